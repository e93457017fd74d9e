/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_CLI_CHECK_CHECK_H
#define VHU_CLI_CHECK_CHECK_H

/* What a case works with. See case.h for how to write one. */

#include <stdbool.h>
#include <stdint.h>

#include "cli/check/case.h"
#include "cli/check/device.h"
#include "cli/check/facts.h"
#include "cli/check/record.h"
#include "common/base/num.h"
#include "common/frontend/driver.h"
#include "common/frontend/frontend.h"

/* Of the usual ring, and of the guest's memory, which begins at guest address 0. */
#define CHECK_RING_SIZE 64
#define CHECK_MEMORY_BYTES (16ull << 20)
#define CHECK_PAGE 4096u
/* How long nothing may happen until we believe that nothing will. */
#define CHECK_SILENCE_MS 150
/* Between two looks at what nothing tells of, and how many looks there are until the time-out. */
#define CHECK_LOOK_MS 10
#define CHECK_LOOKS(check) ((unsigned)(check)->timeout_ms / CHECK_LOOK_MS)

struct check {
	const struct check_case *now;
	const struct check_facts *facts;
	const struct check_device *device;
	const char *socket;
	int timeout_ms;
	int errand_fd; /* to the runner */
	struct check_record *record;
	struct vhu_frontend frontend;
	struct vhu_driver ring;	     /* queue 0, by check_ring() */
	struct check_request request;	     /* the harmless one, for it */
};

/* Ends the case. */
void check_end(struct check *check, enum check_result result) __attribute__((noreturn));
void check_failed(struct check *check, const char *expected, const char *seen, ...)
	__attribute__((noreturn, format(printf, 3, 4)));
void check_skip(struct check *check, const char *why, ...)
	__attribute__((noreturn, format(printf, 2, 3)));
void check_untried(struct check *check, const char *why, ...)
	__attribute__((noreturn, format(printf, 2, 3)));
void check_note(struct check *check, const char *text, ...) __attribute__((format(printf, 2, 3)));

/* expect(check, n == 1, "one reply", "%u replies", n) */
#define expect(check, condition, expected, ...) \
	do { \
		if (!(condition)) \
			check_failed(check, expected, __VA_ARGS__); \
	} while (0)
/* A call of common/frontend that has to succeed; what: "SET_OWNER". */
void expect_call(struct check *check, int result, const char *what);
/* "no answer within 5 s", "the back-end closed the connection", ... */
const char *check_explain(const struct check *check, int result, char buf[80]);

/*
 * Preparations; what fails here is not the case's matter. negotiate: takes of what is offered the
 * bits in the masks, then shares the guest's memory; negotiate_bits: no memory.
 */
#define CHECK_FEATURES VHU_FRONTEND_FEATURES
#define CHECK_PROTOCOL VHU_FRONTEND_PROTOCOL_FEATURES
/*
 * The connection has been served, once: some make a new socket for each connection, and close
 * whoever came to the old one.
 */
void check_connect(struct check *check);
int check_connect_served(struct check *check);
void check_negotiate_bits(struct check *check, uint64_t features, uint64_t protocol);
void check_negotiate(struct check *check, uint64_t features, uint64_t protocol);
void check_share_memory(struct check *check);
/* Less than that: a connection with protocol features, where replies are the matter: none yet. */
void check_take_protocol_features(struct check *check, uint64_t protocol);
/* The two above, and queue 0 running with the harmless request at hand. */
void check_ring(struct check *check, uint64_t features, uint64_t protocol);
/* Leaves: connection, ring and guest are as they were before. */
void check_forget(struct check *check);
/* The parts of it, for other queues, sizes and moments. */
void check_open_ring(struct check *check, struct vhu_driver *ring, uint32_t index,
		     uint16_t size);
void check_start_ring(struct check *check, struct vhu_driver *ring);
void check_make_request(struct check *check, struct check_request *request);
/* The harmless request's buffers elsewhere, each in pages of its own. */
void check_spread_request(struct check *check);
/* SET_VRING_ENABLE 0 and GET_VRING_BASE. */
void check_stop_ring(struct check *check, struct vhu_driver *ring);
/* Queue 0, where protocol features were negotiated: else they are all enabled for good. */
int check_enable_ring(struct check *check, bool on);
/* Adds the harmless request, made ready again, to be seen at the next kick. Returns its head. */
uint16_t check_add(struct check *check, struct vhu_driver *ring);
/* The same, and a kick, in whatever state the ring is. */
void check_offer(struct check *check, struct vhu_driver *ring);
/* The same until the ring is full; token: the how-manieth. Returns how many fitted. */
unsigned check_fill_ring(struct check *check, struct vhu_driver *ring);
/* All the status bits of a running device, when STATUS was negotiated. */
void check_set_running(struct check *check);
int check_eventfd(struct check *check);
int check_memfd(struct check *check, uint64_t bytes);
struct vhu_guest_buffer check_alloc(struct check *check, uint32_t len, uint32_t align);

/* A kick whatever the ring says about it. */
void check_kick(struct vhu_driver *ring);
void check_sleep_ms(unsigned ms);

/* Each of these is a statement about the back-end, and ends the case when it is not so. */
void expect_served(struct check *check, struct vhu_driver *ring);
/* The same of the harmless request that was added, however; what: "a request in two regions". */
void expect_done(struct check *check, struct vhu_driver *ring, const char *what);
/* Waits for n requests, whichever they are. */
void expect_used(struct check *check, struct vhu_driver *ring, unsigned n);
/* Nothing is used. */
void expect_silence(struct check *check, struct vhu_driver *ring, const char *expected);
/* The message, then what comes next, whatever that is. Returns 0 or negative errno. */
int check_exchange(struct check *check, const struct vhu_header *header, const void *payload,
		   struct vhu_message *ret_reply);
/* It answers, or has closed the connection. False: closed. */
bool expect_alive(struct check *check);
/* A message of that form; what the back-end makes of it is its own affair, if it lives. */
void check_send_odd(struct check *check, uint32_t request, uint32_t flags, const void *payload,
		    uint32_t size, const int *fds, unsigned n_fds);

/*
 * For CHECK_NEEDS_EXEC. The runner kills the back-end with SIGKILL, some time soon, and starts it
 * anew; only await closes the connection, so the back-end dies without a warning.
 */
void check_kill_backend(struct check *check);
void check_await_backend(struct check *check);

/* Runs the case in this process, and ends it. */
void check_run(struct check *check) __attribute__((noreturn));

#endif
