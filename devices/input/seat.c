/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/input/seat.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/fd.h"
#include "common/base/num.h"
#include "devices/input/node.h"
#include "devices/input/seat_priv.h"

#define N_LEDS 16

/* Main's. */
static LIST_HEAD(, vhu_input_seat) seats = LIST_HEAD_INITIALIZER(seats);

/* --- what libinput has open ------------------------------------------------------------------ */

static bool is_path(const struct vhu_input_seat *seat, const char *path)
{
	cleanup_free char *real = realpath(seat->path, NULL);

	return real && !strcmp(real, path);
}

/* A name that udev gives, as those of by-id, is the same device's whenever it is plugged in. */
static bool is_by_path(const struct vhu_input_seat *seat)
{
	return seat->path && (!seat->known || seat->by_link);
}

/* Is that the device of our path? A number may be another's when it comes back. */
static bool is_wanted(struct vhu_input_seat *seat, const struct vhu_input_ident *ident)
{
	struct stat st;

	if (!seat->path || (seat->known && seat->by_link))
		return true;
	if (seat->known)
		return vhu_input_ident_same(ident, &seat->ident);
	seat->known = true;
	seat->ident = *ident;
	seat->by_link = lstat(seat->path, &st) == 0 && S_ISLNK(st.st_mode);
	return true;
}

static struct vhu_seat_node *closed_node(struct vhu_input_seat *seat, const char *path)
{
	struct vhu_seat_node *node;

	LIST_FOREACH(node, &seat->nodes, link)
		if (!node->evdev && !strcmp(node->path, path))
			return node;
	node = calloc(1, sizeof(*node));
	if (!node)
		return NULL;
	node->path = strdup(path);
	if (!node->path) {
		free(node);
		return NULL;
	}
	LIST_INSERT_HEAD(&seat->nodes, node, link);
	return node;
}

static void free_node(struct vhu_seat_node *node)
{
	LIST_REMOVE(node, link);
	vhu_evdev_free(node->evdev);
	free(node->path);
	free(node);
}

/* Once: the others of a seat are then of the same kind. */
static void explain(struct vhu_input_seat *seat, const char *path, int r)
{
	if (!seat->explained && (!seat->path || is_path(seat, path)))
		vhu_input_node_explain(path, r);
	else
		vhu_debug("%s: cannot open %s: %s", seat->key, path, strerror(-r));
	seat->explained = true;
}

int vhu_seat_open(struct vhu_input_seat *seat, const char *path)
{
	struct vhu_input_ident ident;
	struct vhu_seat_node *node;
	struct vhu_evdev *evdev;
	int r;

	if (is_by_path(seat) && !is_path(seat, path))
		return -ENODEV;
	r = vhu_input_node_open(path, &evdev);
	if (r < 0) {
		explain(seat, path, r);
		return r;
	}
	vhu_evdev_ident(evdev, &ident);
	node = is_wanted(seat, &ident) ? closed_node(seat, path) : NULL;
	if (!node) {
		vhu_evdev_free(evdev);
		return -ENODEV;
	}
	node->kinds = vhu_input_kinds_of(&ident);
	node->evdev = evdev;
	node->grabbed = false;
	node->told = 0;
	seat->waits = true;
	return vhu_evdev_fd(evdev);
}

void vhu_seat_close(struct vhu_input_seat *seat, int fd)
{
	struct vhu_seat_node *node;

	LIST_FOREACH(node, &seat->nodes, link)
		if (node->evdev && vhu_evdev_fd(node->evdev) == fd)
			break;
	if (!node)
		return;
	vhu_evdev_free(node->evdev);
	node->evdev = NULL;
	if (!node->added)
		free_node(node);
}

struct vhu_seat_node *vhu_seat_add(struct vhu_input_seat *seat, const char *name)
{
	struct vhu_seat_node *node;

	LIST_FOREACH(node, &seat->nodes, link)
		if (node->evdev && !strcmp(strrchr(node->path, '/') + 1, name))
			break;
	if (!node)
		return NULL;
	node->added = true;
	vhu_info("%s: %s is there", seat->key, node->path);
	return node;
}

/* It may have been opened anew, before libinput tells of the device that it was. */
void vhu_seat_remove(struct vhu_input_seat *seat, struct vhu_seat_node *node)
{
	vhu_info("%s: %s has gone", seat->key, node->path);
	node->added = false;
	if (!node->evdev)
		free_node(node);
}

/* --- what the members want ------------------------------------------------------------------- */

static uint64_t wants_of(struct vhu_input_seat *seat, const struct vhu_seat_node *node)
{
	struct vhu_input_member *member;
	uint64_t wants = 0;

	LIST_FOREACH(member, &seat->members, link)
		if (member->kinds & node->kinds)
			wants |= atomic_load(&member->wants);
	return wants;
}

static bool any_key_is_down(const struct vhu_seat_node *node)
{
	struct vhu_input_state state;

	vhu_input_state_init(&state);
	return ioctl(vhu_evdev_fd(node->evdev), EVIOCGKEY(sizeof(state.keys)), state.keys) >= 0 &&
	       vhu_input_state_any_key(&state);
}

static void grab(struct vhu_input_seat *seat, struct vhu_seat_node *node, bool on)
{
	int r;

	if (node->grabbed == on)
		return;
	/* One that was plugged in with a key down: who saw it go down has to see it come up. */
	if (on && any_key_is_down(node)) {
		seat->waits = true;
		return;
	}
	r = vhu_evdev_grab(node->evdev, on);
	if (r == -EBUSY)
		seat->waits = true;
	if (r < 0) {
		vhu_log_limited(&seat->log_limit, VHU_LOG_WARNING,
				"%s: cannot keep the events of %s for the guest: %s", seat->key,
				node->path, r == -EBUSY ? "another program does" : strerror(-r));
		return;
	}
	node->grabbed = on;
	node->told = 0;
}

static void tell_leds(struct vhu_seat_node *node, uint64_t wants)
{
	for (unsigned code = 0; code < N_LEDS; code++) {
		uint64_t both = VHU_INPUT_WANTS_LED(code) | VHU_INPUT_WANTS_LIT(code);

		if (!(wants & VHU_INPUT_WANTS_LED(code)) || (wants & both) == (node->told & both))
			continue;
		vhu_evdev_write(node->evdev, EV_LED, code, !!(wants & VHU_INPUT_WANTS_LIT(code)));
		node->told = (node->told & ~both) | (wants & both);
	}
}

static void do_what_is_wanted(struct vhu_input_seat *seat)
{
	struct vhu_seat_node *node;

	seat->waits = false;
	pthread_mutex_lock(&seat->mutex);
	LIST_FOREACH(node, &seat->nodes, link) {
		uint64_t wants = wants_of(seat, node);

		if (!node->evdev)
			continue;
		grab(seat, node, wants & VHU_INPUT_WANTS_GRAB);
		tell_leds(node, wants);
	}
	pthread_mutex_unlock(&seat->mutex);
}

/* --- the thread ------------------------------------------------------------------------------ */

static void on_events(void *data, uint32_t events)
{
	struct vhu_input_seat *seat = data;
	int r = vhu_libinput_dispatch(seat->libinput);

	(void)events;
	if (r < 0) {
		vhu_error("%s: libinput: %s; no more events come from it", seat->key,
			  strerror(-r));
		vhu_source_remove(seat->source);
		seat->source = NULL;
	}
	if (seat->waits)
		do_what_is_wanted(seat);
}

static void on_told(struct vhu_call *call)
{
	struct vhu_input_seat *seat = container_of(call, struct vhu_input_seat, call);

	atomic_flag_clear(&seat->posted);
	do_what_is_wanted(seat);
}

static void *seat_thread(void *data)
{
	struct vhu_input_seat *seat = data;

	/* Devices that are there already make no noise. */
	on_events(seat, 0);
	if (!seat->path && LIST_EMPTY(&seat->nodes))
		vhu_info("%s: a seat without a device, so far", seat->key);
	vhu_loop_run(seat->loop);
	return NULL;
}

static int run(struct vhu_input_seat *seat)
{
	sigset_t all, before;
	int r;

	/* Signals are main's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = -pthread_create(&seat->thread, NULL, seat_thread, seat);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r < 0) {
		vhu_error("%s: cannot start a thread: %s", seat->key, strerror(-r));
		return r;
	}
	seat->running = true;
	pthread_setname_np(seat->thread, "vhu-seat");
	return 0;
}

void vhu_input_seat_tell(struct vhu_input_seat *seat)
{
	if (!atomic_flag_test_and_set(&seat->posted))
		vhu_loop_post(seat->loop, &seat->call);
}

/* --- members --------------------------------------------------------------------------------- */

static void give(struct vhu_input_writer *writer, const struct vhu_input_event *events, size_t n,
		 uint64_t time_ns)
{
	struct vhu_input_member *member = container_of(writer, struct vhu_input_member, writer);

	vhu_input_handoff_put(&member->handoff, events, n, time_ns);
}

static void write_switch(struct vhu_input_member *member, uint64_t time_ns, unsigned number,
			 bool on)
{
	if (member->kinds & 1u << VHU_INPUT_SWITCH)
		vhu_input_writer_put(&member->writer, time_ns, EV_SW, (uint16_t)(SW_LID + number),
				     on);
}

void vhu_seat_switch(struct vhu_input_seat *seat, uint64_t time_ns, unsigned number, bool on)
{
	struct vhu_input_member *member;

	if (seat->switches[number] == on)
		return;
	seat->switches[number] = on;
	LIST_FOREACH(member, &seat->members, link)
		write_switch(member, time_ns, number, on);
}

int vhu_input_seat_join(struct vhu_input_seat *seat, struct vhu_input_member *member)
{
	vhu_input_writer_init(&member->writer, member->ident, give);
	pthread_mutex_lock(&seat->mutex);
	LIST_INSERT_HEAD(&seat->members, member, link);
	for (unsigned i = 0; i < ARRAY_SIZE(seat->switches); i++)
		if (seat->switches[i])
			write_switch(member, vhu_now_ns(), i, true);
	vhu_input_writer_flush(&member->writer);
	pthread_mutex_unlock(&seat->mutex);
	return seat->running ? 0 : run(seat);
}

void vhu_input_seat_leave(struct vhu_input_seat *seat, struct vhu_input_member *member)
{
	struct vhu_input_member *other;

	pthread_mutex_lock(&seat->mutex);
	LIST_FOREACH(other, &seat->members, link)
		if (other == member)
			break;
	if (other)
		LIST_REMOVE(other, link);
	pthread_mutex_unlock(&seat->mutex);
	/* What only it has grabbed is free again. */
	vhu_input_seat_tell(seat);
}

/* --- coming and going ------------------------------------------------------------------------ */

void vhu_input_seat_put(struct vhu_input_seat *seat)
{
	if (!seat || --seat->refs)
		return;
	if (seat->running) {
		vhu_loop_stop(seat->loop);
		pthread_join(seat->thread, NULL);
	}
	LIST_REMOVE(seat, link);
	vhu_loop_destroy(seat->loop);
	vhu_libinput_free(seat->libinput);
	while (!LIST_EMPTY(&seat->nodes))
		free_node(LIST_FIRST(&seat->nodes));
	pthread_mutex_destroy(&seat->mutex);
	free(seat->path);
	free(seat->key);
	free(seat);
}

static struct vhu_input_seat *find(const char *key)
{
	struct vhu_input_seat *seat;

	LIST_FOREACH(seat, &seats, link)
		if (!strcmp(seat->key, key))
			return seat;
	return NULL;
}

static void say(const char *key, int r)
{
	switch (-r) {
	case ENODATA:
		vhu_error("%s: udev knows nothing of it, and libinput takes no such device: is "
			  "udevd running? (--mode evdev does without)", key);
		break;
	case EOPNOTSUPP:
		vhu_error("%s: this program was built without libinput", key);
		break;
	default:
		vhu_error("%s: %s", key, strerror(-r));
	}
}

/* Takes seat, also on error. */
static int set_up(struct vhu_input_seat *seat, const char *name, struct vhu_input_seat **ret_seat)
{
	int r = -ENOMEM;

	seat->refs = 1;
	seat->call.fn = on_told;
	pthread_mutex_init(&seat->mutex, NULL);
	LIST_INSERT_HEAD(&seats, seat, link);
	if (seat->key)
		r = vhu_loop_new(&seat->loop);
	if (r == 0)
		r = vhu_libinput_new(seat, name, &seat->libinput);
	if (r == 0)
		r = vhu_loop_add_fd(seat->loop, vhu_libinput_fd(seat->libinput), EPOLLIN, on_events,
				    seat, &seat->source);
	if (r < 0) {
		say(seat->key ? seat->key : name, r);
		vhu_input_seat_put(seat);
		return r;
	}
	*ret_seat = seat;
	return 0;
}

int vhu_input_seat_get(const char *name, struct vhu_input_seat **ret_seat)
{
	struct vhu_input_seat *seat = find(name);

	if (seat) {
		seat->refs++;
		*ret_seat = seat;
		return 0;
	}
	seat = calloc(1, sizeof(*seat));
	if (!seat)
		return -ENOMEM;
	seat->key = strdup(name);
	return set_up(seat, name, ret_seat);
}

int vhu_input_seat_get_path(const char *path, bool is_there, struct vhu_input_seat **ret_seat)
{
	struct vhu_input_seat *seat = find(path);
	char name[VHU_INPUT_TEXT_MAX] = "seat0";
	int r;

	if (seat) {
		seat->refs++;
		*ret_seat = seat;
		return 0;
	}
	r = is_there ? vhu_libinput_seat_of(path, name) : 0;
	if (r < 0) {
		say(path, r);
		return r;
	}
	seat = calloc(1, sizeof(*seat));
	if (!seat)
		return -ENOMEM;
	seat->path = strdup(path);
	seat->key = seat->path ? strdup(path) : NULL;
	return set_up(seat, name, ret_seat);
}
