/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bench-input VHU-INPUT: what vhu-input adds to the way of an event. To be run where there is
 * uinput, as in a guest (tests/bench/input.sh). A device is made by uinput and played on; its
 * events are taken by read(2) of its node, and by a driver of ours from a ring of 4, which is what
 * QEMU gives a device. One line each:
 *
 *	latency		from just before an event is made until it is seen, packets 2 ms apart
 *	rate		events a second, of which never more than the kernel keeps are under way
 *			(both in turn, in rounds: medians, and their ratio to read(2)'s; a driver
 *			that is busy sees an event as soon as it is in the used ring)
 *	arrived		of packets that change a key or a contact; "dropping" is the same ring fed
 *			by someone who drops what does not fit, as QEMU's contrib back-end does
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/input.h>
#include <linux/uinput.h>
#include <linux/virtio_input.h>

#include "common/base/fd.h"
#include "common/base/num.h"
#include "common/frontend/driver.h"

#define RING 4
#define PACKET_MAX 16
#define N_PACKETS 1000u
#define N_ROUNDS 5
#define WINDOW 12u /* packets under way, when it is about their rate */
#define GUEST_BYTES (1u << 20)
#define SOCKET "/tmp/vhu-bench-input.sock"
#define PATIENCE_NS (60 * NS_PER_SEC)

struct kind {
	const char *name;
	unsigned n_events;
	struct input_event events[PACKET_MAX];
};

/* The value of a transition, which is the first event, is filled in. */
static struct kind kinds[] = {
	{ "key", 3, { { .type = EV_KEY, .code = KEY_A }, { .type = EV_MSC, .code = MSC_SCAN } } },
	{ "mouse", 4,
	  { { .type = EV_KEY, .code = BTN_LEFT }, { .type = EV_REL, .code = REL_X, .value = 1 },
	    { .type = EV_REL, .code = REL_Y, .value = -1 } } },
	{ "touch", 7,
	  { { .type = EV_ABS, .code = ABS_MT_TRACKING_ID },
	    { .type = EV_KEY, .code = BTN_TOUCH },
	    { .type = EV_ABS, .code = ABS_MT_POSITION_X },
	    { .type = EV_ABS, .code = ABS_MT_POSITION_Y },
	    { .type = EV_ABS, .code = ABS_X }, { .type = EV_ABS, .code = ABS_Y } } },
};

/* Where events are taken from: the node, or the ring. */
struct taker {
	const char *name;
	bool busy; /* looks without sleeping */
	int node;
	struct vhu_driver *driver; /* NULL: read(2) */
	uint64_t delay_ns;	   /* of the driver, before it gives buffers back */
	unsigned ring;		   /* not 0: dropping, by a ring of this size */
};

#define N_TAKERS 3
static struct taker takers[N_TAKERS] = {
	{ .name = "read(2)" }, { .name = "vhu-input" }, { .name = "vhu-input", .busy = true },
};
static struct figures {
	double p50_us[N_ROUNDS], p99_us[N_ROUNDS], rate[N_ROUNDS];
} all_figures[N_TAKERS];

static int uinput_fd;
static struct vhu_frontend frontend;
static struct vhu_guest_buffer buffers[RING];
static uint64_t made_ns[N_PACKETS], latency_ns[N_PACKETS];
static atomic_uint n_taken;
static atomic_bool stopped;
static unsigned in_packet, transitions;
static unsigned n_free; /* of who drops */
static uint64_t given_back_ns;

static void must(const char *what, long r)
{
	if (r >= 0)
		return;
	fprintf(stderr, "bench-input: %s: %s\n", what, strerror(r == -1 ? errno : (int)-r));
	exit(1);
}

static void sleep_ns(uint64_t ns)
{
	const struct timespec time = { (time_t)(ns / NS_PER_SEC), (long)(ns % NS_PER_SEC) };

	nanosleep(&time, NULL);
}

/* --- the device ------------------------------------------------------------------------ */

static void add_axis(uint16_t code)
{
	struct uinput_abs_setup axis = { .code = code, .absinfo = { .maximum = 65535 } };

	if (code == ABS_MT_SLOT)
		axis.absinfo.maximum = 1;
	must("UI_ABS_SETUP", ioctl(uinput_fd, UI_ABS_SETUP, &axis));
}

static int make_device(char node[64])
{
	static const uint16_t keys[] = { KEY_A, BTN_LEFT, BTN_TOUCH };
	static const uint16_t axes[] = { ABS_X, ABS_Y, ABS_MT_SLOT, ABS_MT_POSITION_X,
					 ABS_MT_POSITION_Y, ABS_MT_TRACKING_ID };
	struct uinput_setup setup = { .id = { BUS_USB, 1, 1, 1 }, .name = "bench-input" };
	char device[32], command[128];
	FILE *names;

	uinput_fd = open("/dev/uinput", O_RDWR | O_CLOEXEC);
	must("/dev/uinput", uinput_fd);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		must("UI_SET_KEYBIT", ioctl(uinput_fd, UI_SET_KEYBIT, keys[i]));
	must("UI_SET_RELBIT", ioctl(uinput_fd, UI_SET_RELBIT, REL_X));
	must("UI_SET_RELBIT", ioctl(uinput_fd, UI_SET_RELBIT, REL_Y));
	must("UI_SET_MSCBIT", ioctl(uinput_fd, UI_SET_MSCBIT, MSC_SCAN));
	for (unsigned type = EV_KEY; type <= EV_MSC; type++)
		must("UI_SET_EVBIT", ioctl(uinput_fd, UI_SET_EVBIT, type));
	for (size_t i = 0; i < ARRAY_SIZE(axes); i++)
		add_axis(axes[i]);
	must("UI_DEV_SETUP", ioctl(uinput_fd, UI_DEV_SETUP, &setup));
	must("UI_DEV_CREATE", ioctl(uinput_fd, UI_DEV_CREATE));
	must("UI_GET_SYSNAME", ioctl(uinput_fd, UI_GET_SYSNAME(sizeof(device)), device));
	sleep(1); /* udev has a look */
	snprintf(command, sizeof(command), "ls /sys/class/input/%s | grep event", device);
	names = popen(command, "r");
	if (!names || fscanf(names, "%15s", device) != 1)
		must("no event node", -ENODEV);
	pclose(names);
	snprintf(node, 64, "/dev/input/%s", device);
	return open(node, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
}

static void make_packet(struct kind *kind, unsigned i)
{
	bool begins = i % 2 == 0;
	unsigned n = kind->n_events;

	kind->events[0].value = begins ? 1 + (int)i : -1;
	if (kind->events[0].type == EV_KEY)
		kind->events[0].value = begins;
	for (unsigned j = 1; j + 1 < n; j++) {
		struct input_event *event = &kind->events[j];

		if (event->type == EV_ABS || event->type == EV_MSC)
			event->value = 1 + (int)i;
		else if (event->type == EV_KEY)
			event->value = begins;
	}
	kind->events[n - 1] = (struct input_event){ .type = EV_SYN, .code = SYN_REPORT };
	made_ns[i] = vhu_now_ns();
	must("write", write(uinput_fd, kind->events, n * sizeof(*kind->events)));
}

/* --- who takes its events -------------------------------------------------------------- */

static bool is_transition(unsigned type, unsigned code, int value)
{
	return (type == EV_KEY && code != BTN_TOUCH && value != 2) ||
	       (type == EV_ABS && code == ABS_MT_TRACKING_ID);
}

static void note(unsigned n_transitions)
{
	uint64_t now_ns = vhu_now_ns();
	unsigned n = atomic_load(&n_taken);

	for (; n_transitions && n < N_PACKETS; n_transitions--, n++)
		latency_ns[n] = now_ns - made_ns[n];
	atomic_store(&n_taken, n);
}

/* Does the packet fit what the driver has given back by now? */
static bool fits(const struct taker *taker, unsigned n)
{
	if (vhu_now_ns() >= given_back_ns)
		n_free = taker->ring;
	if (n > n_free)
		return false;
	n_free -= n;
	given_back_ns = vhu_now_ns() + taker->delay_ns;
	return true;
}

static void take_from_node(const struct taker *taker)
{
	struct input_event events[64];
	struct pollfd polled = { .fd = taker->node, .events = POLLIN };
	ssize_t n;

	if (!taker->busy)
		poll(&polled, 1, 100);
	n = read(taker->node, events, sizeof(events)) / (ssize_t)sizeof(*events);
	for (ssize_t i = 0; i < n; i++) {
		in_packet++;
		transitions += is_transition(events[i].type, events[i].code, events[i].value);
		if (events[i].type != EV_SYN)
			continue;
		if (!taker->ring || fits(taker, in_packet))
			note(transitions);
		in_packet = transitions = 0;
	}
}

static void take_from_ring(const struct taker *taker)
{
	struct vhu_driver *driver = taker->driver;
	struct pollfd polled = { .fd = driver->call_fd, .events = POLLIN };
	struct virtio_input_event event;
	struct vhu_driver_used used;
	unsigned n = 0, tokens[RING];

	while (n < RING && vhu_driver_get(driver, &used) == 1) {
		memcpy(&event, buffers[used.token].host, sizeof(event));
		note(is_transition(le16toh(event.type), le16toh(event.code),
				   (int)le32toh(event.value)));
		tokens[n++] = (unsigned)used.token;
	}
	if (n && taker->delay_ns)
		sleep_ns(taker->delay_ns);
	for (unsigned i = 0; i < n; i++)
		must("add", vhu_driver_add(driver, &buffers[tokens[i]], 0, 1, tokens[i]));
	if (n)
		must("kick", vhu_driver_kick(driver));
	else if (!taker->busy && !vhu_driver_want_call(driver) && poll(&polled, 1, 100) > 0)
		vhu_driver_count_calls(driver);
}

static void *take(void *data)
{
	const struct taker *taker = data;

	while (!atomic_load(&stopped))
		taker->driver ? take_from_ring(taker) : take_from_node(taker);
	return NULL;
}

static void wait_taken(unsigned n, uint64_t patience_ns)
{
	uint64_t deadline_ns = vhu_now_ns() + patience_ns;

	while (atomic_load(&n_taken) < n && vhu_now_ns() < deadline_ns)
		sleep_ns(20 * NS_PER_US);
}

/* Plays, and returns the time it took. window: packets under way at most. */
static uint64_t run(const struct taker *taker, struct kind *kind, uint64_t gap_ns, unsigned window)
{
	struct input_event old[64];
	pthread_t thread;
	uint64_t begin_ns;

	atomic_store(&n_taken, 0);
	atomic_store(&stopped, false);
	while (!taker->driver && read(taker->node, old, sizeof(old)) > 0)
		;
	in_packet = transitions = 0;
	n_free = taker->ring;
	must("thread", -pthread_create(&thread, NULL, take, (void *)taker));
	sleep_ns(100 * NS_PER_MS);
	begin_ns = vhu_now_ns();
	for (unsigned i = 0; i < N_PACKETS; i++) {
		make_packet(kind, i);
		if (gap_ns)
			sleep_ns(gap_ns);
		if (window && i >= window)
			wait_taken(i - window, PATIENCE_NS);
	}
	wait_taken(N_PACKETS, taker->ring ? NS_PER_SEC : PATIENCE_NS);
	begin_ns = vhu_now_ns() - begin_ns;
	atomic_store(&stopped, true);
	pthread_join(thread, NULL);
	return begin_ns;
}

/* --- what comes of it ------------------------------------------------------------------ */

static int compare(const void *a, const void *b)
{
	return *(const uint64_t *)a < *(const uint64_t *)b ? -1 : 1;
}

static uint64_t percentile(unsigned hundredths)
{
	qsort(latency_ns, N_PACKETS, sizeof(*latency_ns), compare);
	return latency_ns[(uint64_t)N_PACKETS * hundredths / 10000];
}

static void measure(const struct taker *taker, unsigned round)
{
	struct figures *figures = &all_figures[taker - takers];
	uint64_t ns;

	/* The other has nothing to do then. */
	if (!taker->driver)
		must("EVIOCGRAB", ioctl(taker->node, EVIOCGRAB, 1));
	run(taker, &kinds[1], 2 * NS_PER_MS, 0);
	figures->p50_us[round] = (double)percentile(5000) / 1000;
	figures->p99_us[round] = (double)percentile(9900) / 1000;
	ns = run(taker, &kinds[1], 0, WINDOW);
	if (atomic_load(&n_taken) != N_PACKETS)
		must("events are lost", -EIO);
	figures->rate[round] = N_PACKETS * (double)kinds[1].n_events * 1e9 / (double)ns;
	if (!taker->driver)
		must("EVIOCGRAB", ioctl(taker->node, EVIOCGRAB, 0));
}

static int compare_doubles(const void *a, const void *b)
{
	return *(const double *)a < *(const double *)b ? -1 : 1;
}

static double median(double of[N_ROUNDS])
{
	qsort(of, N_ROUNDS, sizeof(*of), compare_doubles);
	return of[N_ROUNDS / 2];
}

/* Medians of the rounds, and how they compare to the first taker's. */
static void print_figures(const struct taker *taker)
{
	static double p50_us, p99_us, rate;
	struct figures *figures = &all_figures[taker - takers];
	double own_p50_us = median(figures->p50_us), own_p99_us = median(figures->p99_us);
	double own_rate = median(figures->rate);

	if (taker == takers) {
		p50_us = own_p50_us;
		p99_us = own_p99_us;
		rate = own_rate;
	}
	printf("latency  %-9s %-6s  p50 %6.0f us (%.2f)  p99 %6.0f us (%.2f)\n", taker->name,
	       taker->busy ? "busy" : "asleep", own_p50_us, own_p50_us / p50_us, own_p99_us,
	       own_p99_us / p99_us);
	printf("rate     %-9s %-6s  %8.0f events/s (%.2f)\n", taker->name,
	       taker->busy ? "busy" : "asleep", own_rate, own_rate / rate);
}

static double arrived(struct taker *taker, struct kind *kind)
{
	run(taker, kind, NS_PER_MS, taker->ring ? 0 : WINDOW);
	return 100.0 * atomic_load(&n_taken) / N_PACKETS;
}

static pid_t start_program(const char *program, const char *node)
{
	pid_t pid = fork();

	if (pid == 0) {
		execl(program, program, "--socket-path", SOCKET, "--evdev-path", node, "--no-grab",
		      (char *)NULL);
		_exit(127);
	}
	return pid;
}

static void start_driver(struct vhu_driver *driver)
{
	vhu_frontend_init(&frontend);
	must("memory", vhu_guest_add(&frontend.guest, 0, GUEST_BYTES));
	must("connect", vhu_frontend_connect(&frontend, SOCKET));
	must("negotiate", vhu_frontend_negotiate(&frontend, VHU_FRONTEND_FEATURES,
						 VHU_FRONTEND_PROTOCOL_FEATURES));
	must("share memory", vhu_frontend_share_memory(&frontend));
	must("ring", vhu_driver_init(driver, &frontend, 0, RING));
	for (unsigned i = 0; i < RING; i++) {
		buffers[i] = vhu_guest_alloc(&frontend.guest, sizeof(struct virtio_input_event), 8);
		must("add", vhu_driver_add(driver, &buffers[i], 0, 1, i));
	}
	must("start", vhu_driver_start(driver));
	must("kick", vhu_driver_kick(driver));
}

static void compare_arrived(struct taker *vhu, struct taker *dropping)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		for (uint64_t ms = 0; ms < 2; ms++) {
			double dropped, whole;

			vhu->delay_ns = dropping->delay_ns = ms * NS_PER_MS + 50 * NS_PER_US;
			dropped = arrived(dropping, &kinds[i]);
			whole = arrived(vhu, &kinds[i]);
			printf("arrived  %-6s driver's delay %llu ms: vhu-input %5.1f %%, "
			       "dropping %5.1f %%\n",
			       kinds[i].name, (unsigned long long)ms, whole, dropped);
		}
}

int main(int argc, char **argv)
{
	static struct vhu_driver driver;
	struct taker dropping = { .name = "dropping", .ring = RING };
	char node[64];
	pid_t pid;

	if (argc != 2)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	takers[0].node = dropping.node = make_device(node);
	must(node, dropping.node);
	must("clock", ioctl(dropping.node, EVIOCSCLOCKID, &(int){ CLOCK_MONOTONIC }));
	pid = start_program(argv[1], node);
	start_driver(&driver);
	takers[1].driver = takers[2].driver = &driver;
	for (unsigned round = 0; round < N_ROUNDS; round++)
		for (unsigned i = 0; i < N_TAKERS; i++)
			measure(&takers[i], round);
	for (unsigned i = 0; i < N_TAKERS; i++)
		print_figures(&takers[i]);
	compare_arrived(&takers[1], &dropping);
	vhu_driver_finish(&driver);
	vhu_frontend_finish(&frontend);
	kill(pid, SIGTERM);
	waitpid(pid, NULL, 0);
	return 0;
}
