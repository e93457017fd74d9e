/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_SOUND_STREAM_H
#define VHU_DEVICES_SOUND_STREAM_H

/*
 * A PCM stream (virtio 1.3, 5.14.6.6): its state, its messages, and how they go to the host's ring
 * or come from it. Everything on the worker; a stream is pumped in the passes of its queue only.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/log.h"
#include "devices/sound/gain.h"
#include "devices/sound/host.h"
#include "devices/sound/message.h"
#include "devices/sound/port.h"
#include "devices/sound/stats.h"

enum vhu_sound_state {
	VHU_SOUND_UNSET,
	VHU_SOUND_SET, /* it has parameters */
	VHU_SOUND_PREPARED,
	VHU_SOUND_STARTED,
	VHU_SOUND_STOPPED,
	VHU_SOUND_RELEASED,
	VHU_SOUND_N_STATES,
};

/* In the order of their codes, VIRTIO_SND_R_PCM_SET_PARAMS and on. */
enum vhu_sound_command {
	VHU_SOUND_SET_PARAMS,
	VHU_SOUND_PREPARE,
	VHU_SOUND_RELEASE,
	VHU_SOUND_START,
	VHU_SOUND_STOP,
	VHU_SOUND_N_COMMANDS,
};

struct vhu_sound_stream;

/* What a stream needs of its device. */
struct vhu_sound_stream_sink {
	/* The pass of the stream's queue that is wanted comes. */
	void (*wake)(struct vhu_sound_stream_sink *sink, const struct vhu_sound_stream *stream);
	/* A message is over. */
	void (*complete)(struct vhu_sound_stream_sink *sink, const struct vhu_sound_stream *stream,
			 struct vhu_sound_message *message, uint32_t status,
			 uint32_t latency_bytes);
	/* The answer to PREPARE, which was owed: VIRTIO_SND_S_*. */
	void (*prepared)(struct vhu_sound_stream_sink *sink, struct vhu_sound_stream *stream,
			 uint32_t status);
	/* VIRTIO_SND_EVT_PCM_*; the driver has asked for it. */
	void (*event)(struct vhu_sound_stream_sink *sink, const struct vhu_sound_stream *stream,
		      uint32_t code);
	/* The host's device has gone, or is back. */
	void (*present)(struct vhu_sound_stream_sink *sink, const struct vhu_sound_stream *stream,
			bool present);
};

struct vhu_sound_stream {
	struct vhu_sound_stream_sink *sink;
	struct vhu_sound_stream_options options;
	const char *label; /* for the log */
	unsigned id, nid;
	struct vhu_sound_caps caps; /* what is offered */
	uint64_t latency_ms;
	unsigned pace; /* enum vhu_sound_pace */
	const struct vhu_sound_gain *gain; /* NULL: none */

	enum vhu_sound_state state;
	struct virtio_snd_pcm_set_params asked; /* by the driver; with it: */
	uint32_t features;
	struct vhu_sound_params params;
	bool opening;		/* PREPARE is not answered yet */
	struct vhu_chain *held; /* it; the control queue's */

	struct vhu_sound_port port;
	bool lost;	/* the host has gone; it is tried again and again */
	bool clocked;	/* the host has no clock */
	bool running;	/* the host's ring, or the clock in its place */
	bool due;	/* to be pumped in the next pass */
	bool excused;	/* the ring may have run out meanwhile: that is no xrun */
	uint64_t begun_ns; /* since it runs */
	int64_t moved;	   /* frames, written or read since then */
	int64_t fill;	   /* when last looked at, and what was moved since */
	uint64_t looked_ns;
	int64_t position;  /* of the host's device, and since when it is there */
	uint64_t position_ns;
	uint64_t tail_until_ns; /* what is left may play until then; 0: nothing plays on */
	uint64_t elapsed;	/* frames, of the period at work */

	struct vhu_sound_message *head, **tail;
	struct vhu_source *timer, *retry_timer, *answer_timer;
	struct vhu_log_limit log_limit;
	struct vhu_sound_stats stats;
};

/* Main. The fields from sink to pace are set. 0 or negative errno. */
int vhu_sound_stream_init(struct vhu_sound_stream *stream, struct vhu_loop *loop,
			  const struct vhu_sound_host_ops *host);
/* The worker has ended, its loop is gone. False: a thread that hangs still has the stream. */
bool vhu_sound_stream_finish(struct vhu_sound_stream *stream);

/*
 * A command, params with SET_PARAMS only. VIRTIO_SND_S_*, or VHU_SOUND_LATER: sink->prepared()
 * will tell.
 */
#define VHU_SOUND_LATER 0
uint32_t vhu_sound_stream_command(struct vhu_sound_stream *stream, enum vhu_sound_command command,
				  const struct virtio_snd_pcm_set_params *params);

/* May messages come? */
static inline bool vhu_sound_stream_takes(const struct vhu_sound_stream *stream)
{
	return stream->state == VHU_SOUND_PREPARED || stream->state == VHU_SOUND_STARTED ||
	       stream->state == VHU_SOUND_STOPPED;
}

void vhu_sound_stream_add(struct vhu_sound_stream *stream, struct vhu_sound_message *message);
/* Takes the newest message back if it is the one of that turn and has not been begun, or NULL. */
struct vhu_sound_message *vhu_sound_stream_take_back(struct vhu_sound_stream *stream,
						     uint64_t turn);
/* All messages are completed as they are. */
void vhu_sound_stream_flush(struct vhu_sound_stream *stream);
/* The same, but what the host has room for is written before. The queue stops. */
void vhu_sound_stream_finish_messages(struct vhu_sound_stream *stream);
/* Moves what can be moved. */
void vhu_sound_stream_pump(struct vhu_sound_stream *stream);
/* What PREPARE is to answer cannot wait any longer. */
void vhu_sound_stream_answer(struct vhu_sound_stream *stream);
/*
 * As it was in another process. may_resume: could it be so, with what is offered here? Then resume
 * makes it so; the host is opened meanwhile.
 */
bool vhu_sound_stream_may_resume(const struct vhu_sound_stream *stream, uint32_t state,
				 const struct virtio_snd_pcm_set_params *asked);
void vhu_sound_stream_resume(struct vhu_sound_stream *stream, uint32_t state,
			     const struct virtio_snd_pcm_set_params *asked);
/* As after power on; the messages have gone before. */
void vhu_sound_stream_reset(struct vhu_sound_stream *stream);

static inline bool vhu_sound_is_capture(const struct vhu_sound_stream *stream)
{
	return stream->options.capture;
}

#endif
