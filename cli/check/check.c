/* SPDX-License-Identifier: BSD-3-Clause */
#include "cli/check/check.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "common/base/fd.h"

/* Between two tries to be served. */
#define AGAIN_MS 5

/* How a case ends. */

void check_end(struct check *check, enum check_result result)
{
	check->record->result = result;
	_exit(0);
}

void check_failed(struct check *check, const char *expected, const char *seen, ...)
{
	struct check_record *record = check->record;
	va_list args;

	va_start(args, seen);
	vsnprintf(record->seen, sizeof(record->seen), seen, args);
	va_end(args);
	snprintf(record->expected, sizeof(record->expected), "%s", expected);
	check_end(check, check->now->level == CHECK_MUST ? CHECK_FAIL : CHECK_WARN);
}

void check_skip(struct check *check, const char *why, ...)
{
	va_list args;

	va_start(args, why);
	vsnprintf(check->record->seen, sizeof(check->record->seen), why, args);
	va_end(args);
	check_end(check, CHECK_SKIP);
}

void check_untried(struct check *check, const char *why, ...)
{
	va_list args;

	va_start(args, why);
	vsnprintf(check->record->seen, sizeof(check->record->seen), why, args);
	va_end(args);
	check_end(check, CHECK_UNTRIED);
}

void check_note(struct check *check, const char *text, ...)
{
	va_list args;

	va_start(args, text);
	vsnprintf(check->record->note, sizeof(check->record->note), text, args);
	va_end(args);
}

const char *check_explain(const struct check *check, int result, char buf[80])
{
	switch (result) {
	case 0:
		return "success";
	case -ETIMEDOUT:
		snprintf(buf, 80, "no answer within %g s", check->timeout_ms / 1000.0);
		return buf;
	case -ECONNRESET:
		return "the back-end closed the connection";
	case -EREMOTEIO:
		return "the back-end refused it";
	case -EPROTO:
		return "what came back is no answer to it";
	case -EIO:
		return "the back-end signalled an error of the ring";
	default:
		return strerror(-result);
	}
}

void expect_call(struct check *check, int result, const char *what)
{
	char buf[80];

	expect(check, result == 0, "success", "%s: %s", what,
	       check_explain(check, result, buf));
}

/* Preparations. */

static void prepared(struct check *check, int result, const char *what)
{
	char buf[80];

	if (result < 0)
		check_untried(check, "%s: %s", what, check_explain(check, result, buf));
}

/* One letter to the runner. */
static void send_errand(struct check *check, char errand)
{
	if (write(check->errand_fd, &errand, 1) != 1)
		check_untried(check, "the runner has gone");
}

/* Its answer. */
static void await_errand(struct check *check)
{
	struct pollfd pollfd = { .fd = check->errand_fd, .events = POLLIN };
	char done;

	if (poll(&pollfd, 1, -1) < 0 || read(check->errand_fd, &done, 1) != 1 || done != 'D')
		check_untried(check, "the back-end could not be started again");
}

int check_connect_served(struct check *check)
{
	static const struct vhu_header get_features = { VHU_GET_FEATURES, VHU_VERSION, 0 };
	uint64_t deadline_ns = vhu_now_ns() + (uint64_t)check->timeout_ms * NS_PER_MS;
	struct vhu_message reply;
	int r;

	do {
		r = vhu_frontend_connect(&check->frontend, check->socket);
		if (r == 0)
			r = check_exchange(check, &get_features, NULL, &reply);
		if (r == 0)
			vhu_message_finish(&reply);
		else
			check_sleep_ms(AGAIN_MS);
	} while (r == -ECONNRESET && vhu_now_ns() < deadline_ns);
	return r;
}

void check_connect(struct check *check)
{
	if (check->record->connected && !check->facts->persistent) {
		vhu_frontend_disconnect(&check->frontend);
		send_errand(check, CHECK_ERRAND_NEXT);
		await_errand(check);
	}
	check->record->connected = true;
	prepared(check, check_connect_served(check), "connect");
}

/* With a region at 0, unless the case has made its own. */
void check_share_memory(struct check *check)
{
	struct vhu_frontend *frontend = &check->frontend;

	if (!frontend->guest.n_regions)
		prepared(check, vhu_guest_add(&frontend->guest, 0, CHECK_MEMORY_BYTES), "memory");
	prepared(check, vhu_frontend_share_memory(frontend), "sharing memory");
}

/* Ring bits that only a case about them takes. */
#define ONLY_FOR_THEIR_CASES (VHU_BIT(VHU_F_RING_PACKED) | VHU_BIT(VHU_F_IN_ORDER))

void check_negotiate_bits(struct check *check, uint64_t features, uint64_t protocol)
{
	const uint64_t others_bits = 0xffffffull & ~check->device->features;

	features &= ~ONLY_FOR_THEIR_CASES;
	features |= check->now->features & ONLY_FOR_THEIR_CASES;

	prepared(check, vhu_frontend_negotiate(&check->frontend, features & ~others_bits, protocol),
		 "negotiation");
}

void check_negotiate(struct check *check, uint64_t features, uint64_t protocol)
{
	check_negotiate_bits(check, features, protocol);
	check_share_memory(check);
}

void check_take_protocol_features(struct check *check, uint64_t protocol)
{
	check_connect(check);
	check->frontend.no_acks = true;
	if (check->facts->features & VHU_BIT(VHU_F_PROTOCOL_FEATURES))
		prepared(check,
			 vhu_frontend_set_protocol_features(
				 &check->frontend, check->facts->protocol_features & protocol),
			 "SET_PROTOCOL_FEATURES");
	check->frontend.no_acks = false;
}

void check_make_request(struct check *check, struct check_request *request)
{
	const struct check_device *device = check->device;

	request->n_readable = device->n_readable;
	request->n_writable = device->n_writable;
	for (unsigned i = 0; i < check_n_buffers(request); i++)
		request->buffers[i] = check_alloc(check, device->lengths[i]
								 ? device->lengths[i]
								 : check_block_size(check->facts),
						  512);
}

void check_spread_request(struct check *check)
{
	for (unsigned i = 0; i < check_n_buffers(&check->request); i++)
		check->request.buffers[i] =
			check_alloc(check, check->request.buffers[i].len, CHECK_PAGE);
	check_alloc(check, CHECK_PAGE, CHECK_PAGE);
}

void check_open_ring(struct check *check, struct vhu_driver *ring, uint32_t index,
		     uint16_t size)
{
	prepared(check, vhu_driver_init(ring, &check->frontend, index, size), "a ring");
}

void check_set_running(struct check *check)
{
	const uint64_t status = VHU_STATUS_ACKNOWLEDGE | VHU_STATUS_DRIVER |
				VHU_STATUS_FEATURES_OK | VHU_STATUS_DRIVER_OK;

	if (vhu_frontend_acked(&check->frontend, VHU_PROTOCOL_F_STATUS))
		prepared(check, vhu_frontend_tell_u64(&check->frontend, VHU_SET_STATUS, status),
			 "SET_STATUS");
}

/* Some back-ends start a ring only at the first kick, as the specification has it. */
void check_start_ring(struct check *check, struct vhu_driver *ring)
{
	prepared(check, vhu_driver_start(ring), "starting a ring");
	check_set_running(check);
	check_kick(ring);
}

void check_stop_ring(struct check *check, struct vhu_driver *ring)
{
	prepared(check, vhu_driver_stop(ring), "stopping a ring");
}

int check_enable_ring(struct check *check, bool on)
{
	if (!(check->frontend.acked_features & VHU_BIT(VHU_F_PROTOCOL_FEATURES)))
		return 0;
	return vhu_frontend_set_vring(&check->frontend, VHU_SET_VRING_ENABLE, 0, on);
}

static int add_request(struct check *check, struct vhu_driver *ring, uint64_t token)
{
	const struct check_request *request = &check->request;

	return vhu_driver_add(ring, request->buffers, request->n_readable, request->n_writable,
			      token);
}

uint16_t check_add(struct check *check, struct vhu_driver *ring)
{
	int head;

	check->device->fill(&check->request);
	head = add_request(check, ring, 0);
	prepared(check, head < 0 ? head : 0, "adding a request");
	return (uint16_t)head;
}

void check_offer(struct check *check, struct vhu_driver *ring)
{
	check_add(check, ring);
	vhu_driver_publish(ring);
	check_kick(ring);
}

unsigned check_fill_ring(struct check *check, struct vhu_driver *ring)
{
	unsigned n = 0;

	check->device->fill(&check->request);
	while (add_request(check, ring, n) >= 0)
		n++;
	vhu_driver_publish(ring);
	check_kick(ring);
	return n;
}

void check_ring(struct check *check, uint64_t features, uint64_t protocol)
{
	check_connect(check);
	check_negotiate(check, features, protocol);
	check_open_ring(check, &check->ring, 0, CHECK_RING_SIZE);
	if (check_device_has_requests(check->device))
		check_make_request(check, &check->request);
	check_start_ring(check, &check->ring);
}

void check_forget(struct check *check)
{
	vhu_frontend_disconnect(&check->frontend);
	vhu_driver_finish(&check->ring);
	vhu_guest_finish(&check->frontend.guest);
	vhu_guest_init(&check->frontend.guest);
}

int check_eventfd(struct check *check)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	prepared(check, fd < 0 ? -errno : 0, "eventfd");
	return fd;
}

int check_memfd(struct check *check, uint64_t bytes)
{
	int fd = memfd_create("vhu-check", MFD_CLOEXEC);

	prepared(check, fd < 0 || ftruncate(fd, (off_t)bytes) < 0 ? -errno : 0, "memfd");
	return fd;
}

struct vhu_guest_buffer check_alloc(struct check *check, uint32_t len, uint32_t align)
{
	struct vhu_guest_buffer buffer = vhu_guest_alloc(&check->frontend.guest, len, align);

	prepared(check, buffer.host ? 0 : -ENOMEM, "guest memory");
	return buffer;
}

void check_kick(struct vhu_driver *ring)
{
	static const uint64_t one = 1;
	ssize_t n = write(ring->kick_fd, &one, sizeof(one));

	/* A full counter is a kick that nobody has looked at yet. */
	(void)n;
}

void check_sleep_ms(unsigned ms)
{
	struct timespec time = { ms / 1000, (long)(ms % 1000) * 1000000 };

	nanosleep(&time, NULL);
}

/* Statements. */

void expect_done(struct check *check, struct vhu_driver *ring, const char *what)
{
	struct vhu_driver_used used = { .len = 0 };
	const char *wrong;
	char buf[80];
	int r = vhu_driver_kick(ring);

	if (r >= 0)
		r = vhu_driver_wait(ring, &used);
	expect(check, r == 0, "the request is served", "%s: %s", what,
	       r == -EPROTO ? "a used entry that names no chain of ours"
			    : check_explain(check, r, buf));
	wrong = check->device->judge(&check->request, used.len);
	expect(check, !wrong, "the request is served", "%s: %s", what, wrong);
}

void expect_served(struct check *check, struct vhu_driver *ring)
{
	check_add(check, ring);
	expect_done(check, ring, "a request");
}

void expect_used(struct check *check, struct vhu_driver *ring, unsigned n)
{
	struct vhu_driver_used used;
	char buf[80];

	for (unsigned i = 0; i < n; i++) {
		int r = vhu_driver_wait(ring, &used);

		expect(check, r == 0, "every request comes back", "%u of %u came back: %s", i, n,
		       check_explain(check, r, buf));
	}
}

void expect_silence(struct check *check, struct vhu_driver *ring, const char *expected)
{
	struct vhu_driver_used used;

	check_sleep_ms(CHECK_SILENCE_MS);
	expect(check, vhu_driver_get(ring, &used) == 0, expected,
	       "an entry appeared in the used ring");
}

int check_exchange(struct check *check, const struct vhu_header *header, const void *payload,
		   struct vhu_message *ret_reply)
{
	int r = vhu_frontend_send(&check->frontend, header, payload, header->size, NULL, 0);

	return r < 0 ? r : vhu_frontend_receive(&check->frontend, ret_reply);
}

/* Answers to what was sent before may still be on their way; a flood of them is none. */
#define STRAY_MESSAGES 1000

bool expect_alive(struct check *check)
{
	struct vhu_message reply;
	char buf[80];
	uint32_t request = 0;
	int r = vhu_frontend_send(&check->frontend,
				  &(struct vhu_header){ VHU_GET_FEATURES, VHU_VERSION, 0 }, NULL, 0,
				  NULL, 0);

	for (unsigned i = 0; r == 0 && request != VHU_GET_FEATURES && i < STRAY_MESSAGES; i++) {
		r = vhu_frontend_receive(&check->frontend, &reply);
		if (r < 0)
			break;
		request = reply.header.request;
		vhu_message_finish(&reply);
	}
	if (r == -ECONNRESET)
		return false;
	expect(check, r == 0, "it answers GET_FEATURES, or has closed the connection",
	       "GET_FEATURES: %s", check_explain(check, r, buf));
	expect(check, request == VHU_GET_FEATURES, "it answers GET_FEATURES",
	       "a flood of other messages");
	return true;
}

void check_send_odd(struct check *check, uint32_t request, uint32_t flags, const void *payload,
		    uint32_t size, const int *fds, unsigned n_fds)
{
	const struct vhu_header header = { request, flags, size };

	/* A back-end that has closed, or reads no more, is found out by what follows. */
	(void)vhu_frontend_send(&check->frontend, &header, payload, size, fds, n_fds);
}

void check_kill_backend(struct check *check)
{
	send_errand(check, CHECK_ERRAND_RESTART);
}

void check_await_backend(struct check *check)
{
	await_errand(check);
	vhu_frontend_disconnect(&check->frontend);
	check->record->connected = false; /* to the new one */
}

void check_run(struct check *check)
{
	vhu_frontend_init(&check->frontend);
	check->frontend.timeout_ms = check->timeout_ms;
	check->now->fn(check);
	check_end(check, CHECK_PASS);
}
