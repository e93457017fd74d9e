/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_SESSION_SESSION_PRIV_H
#define VHU_SESSION_SESSION_PRIV_H

/*
 * What the handlers share. A handler gets the message in session->receiver.message, checked against
 * its rule, and answers with 0 (done), VHU_PARKED (a step is under way), or a negative errno (the
 * request is refused). Handlers never send: session.c makes the reply from session->reply.
 */

#include <errno.h>

#include "common/backend/slots.h"
#include "common/backend/vring.h"
#include "common/backend/worker.h"
#include "common/memory/userfault.h"
#include "common/session/session.h"
#include "common/wire/message.h"
#include "common/wire/request.h"

#define VHU_PARKED 1
/* Of a handler, which has said why: there is no answer to this but the end of the session. */
#define VHU_SESSION_ENDS (-ECONNABORTED)

struct vhu_session;

typedef int (*vhu_handler_fn)(struct vhu_session *session, struct vhu_message *message);
/* The step after a parked one, on main; returns as a handler does. */
typedef int (*vhu_step_fn)(struct vhu_session *session);

struct vhu_job;
/* On the ring's worker; ends with vhu_errand_done(&job->errand, result). */
typedef void (*vhu_ring_work_fn)(struct vhu_job *job);

/* An errand for one ring, or for the control thread. */
struct vhu_job {
	struct vhu_errand errand;
	struct vhu_session *session;
	struct vhu_vring *vring;
	vhu_ring_work_fn work;
	int fd; /* for the ring, owned until the work takes it; -1 none */
};

/* On the control thread. */
typedef int (*vhu_control_fn)(struct vhu_session *session);

struct vhu_reply {
	bool made;
	union vhu_payload payload;
	uint32_t size; /* 0: the reply has no payload, which for GET_CONFIG means an error */
	int fd; /* owned; -1 none */
};

struct vhu_session {
	struct vhu_device *device;
	struct vhu_loop *loop;
	int fd;
	struct vhu_source *source;
	vhu_session_closed_fn closed;
	void *closed_data;
	struct vhu_call close_call;

	struct vhu_receiver receiver;
	const struct vhu_request_rule *rule; /* of the message at hand */
	struct vhu_reply reply;
	struct vhu_log_limit log_limit; /* of what the front-end did wrong */
	uint64_t unknown_told; /* mask of unknown or refused requests that were logged */

	uint64_t features;	    /* acked */
	uint64_t protocol_features; /* acked */
	uint64_t status;
	struct vhu_memory *memory;
	struct vhu_memory *next_memory; /* of the change under way */
	struct vhu_memory *no_memory;	/* the empty map, for the end */
	struct vhu_userfault userfault; /* from POSTCOPY_ADVISE on */
	bool postcopy;			/* from POSTCOPY_LISTEN to POSTCOPY_END */
	struct vhu_memory *told_memory; /* in postcopy: not to be touched before the ack; or NULL */
	struct vhu_dirty_log *log;	/* SET_LOG_BASE's, a reference; NULL: none yet */
	int log_fd;			/* SET_LOG_FD's, owned; -1 none */
	struct vhu_mapping *inflight, *old_inflight; /* SET_INFLIGHT_FD's; until all have left it */
	bool reset_seen; /* RESET_DEVICE, or a state to load, since the rings last stopped */
	bool silent_reset;		/* the start under way is a new driver's */

	/* A step under way. */
	unsigned outstanding;
	int step_error; /* the first negative result */
	vhu_step_fn next, after; /* after: what follows the steps that several handlers share */
	vhu_control_fn control;
	uint64_t rings;			/* those the message is about */
	enum vhu_drain_reason drain_reason;
	struct vhu_job control_job;
	struct vhu_job jobs[VHU_MAX_QUEUES];

	struct vhu_state_transfer *transfer; /* owned, or NULL */
	void *state_bytes;		     /* owned: to be saved, until there is a transfer */
	size_t state_len;
	bool awaits_transfer; /* parked for nothing but its end */
	bool parked;
	bool closing;  /* no further message; torn down when nothing is under way */
	struct vhu_source *unblock_timer;
	bool tearing;  /* the steps under way are those of the end */
	int close_error;
};

/* The rings that are started, as a mask. */
uint64_t vhu_session_started(const struct vhu_session *session);

/*
 * Does work for each ring of the mask on its worker, then next on main. Return this from a handler
 * or a step.
 */
int vhu_session_on_rings(struct vhu_session *session, uint64_t rings, vhu_ring_work_fn work,
			 vhu_step_fn next);
/* Runs fn on the control thread, then next; its result is in session->step_error. */
int vhu_session_on_control(struct vhu_session *session, vhu_control_fn fn, vhu_step_fn next);
/* On main: the last part of a step that a handler parked by itself has ended. */
void vhu_session_part_done(struct vhu_session *session, int error);
/* A last step: the result of the one before. */
int vhu_session_step_result(struct vhu_session *session);

#include "common/session/answer_priv.h"

#endif
