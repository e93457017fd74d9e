/* SPDX-License-Identifier: BSD-3-Clause */

/* A recording, played once with its timing. */

#include "devices/input/source.h"

#include <errno.h>
#include <stdlib.h>

#include "common/base/fd.h"
#include "common/base/log.h"
#include "common/base/num.h"
#include "devices/input/recording.h"

/* A guest that is so far behind is waited for, this long each time. */
#define BACKLOG_MAX 1024
#define PATIENCE_NS (5 * NS_PER_MS)

struct replay {
	struct vhu_input_source source;
	const struct vhu_input_options *options;
	struct vhu_input_recording recording;
	struct vhu_source *timer;
	bool begun;
	bool listened; /* a guest listens */
	bool unheard;  /* something was played to nobody */
	size_t at;	   /* the next event */
	uint64_t begin_ns; /* when the first one is due */
};

static struct replay *replay_of(struct vhu_input_source *source)
{
	return container_of(source, struct replay, source);
}

static int replay_open(const struct vhu_input_options *options, struct vhu_input_ident *ret_ident,
		       struct vhu_input_source **ret_source)
{
	struct replay *replay = calloc(1, sizeof(*replay));
	int r;

	if (!replay)
		return -ENOMEM;
	r = vhu_input_recording_read(options->replay, &replay->recording);
	if (r < 0) {
		free(replay);
		return r;
	}
	vhu_input_source_init(&replay->source, &vhu_input_source_replay, options->replay);
	replay->source.state = replay->recording.state;
	replay->options = options;
	*ret_ident = replay->recording.ident;
	*ret_source = &replay->source;
	return 0;
}

static uint64_t due_ns(const struct replay *replay)
{
	const struct vhu_input_recording *recording = &replay->recording;

	return replay->begin_ns + recording->events[replay->at].time_ns -
	       recording->events[0].time_ns;
}

static void play(void *data, uint32_t events)
{
	struct replay *replay = data;
	struct vhu_input_source *source = &replay->source;
	const struct vhu_input_recording *recording = &replay->recording;
	uint64_t now_ns = vhu_now_ns();

	(void)events;
	while (replay->at < recording->n && due_ns(replay) <= now_ns) {
		const struct vhu_input_event *event = &recording->events[replay->at].event;

		if (source->sink->backlog(source->sink) > BACKLOG_MAX) {
			replay->begin_ns += PATIENCE_NS;
			vhu_source_set_timer(replay->timer, PATIENCE_NS);
			return;
		}
		replay->at++;
		replay->unheard |= !replay->listened;
		vhu_input_source_event(source, event->type, event->code, event->value, now_ns);
	}
	if (replay->at < recording->n) {
		vhu_source_set_timer(replay->timer, due_ns(replay) - now_ns);
		return;
	}
	vhu_input_source_release(source);
	if (replay->unheard)
		vhu_warning("%s: no guest listened to all of what has been played",
			    source->label);
	else
		vhu_info("%s: has been played", source->label);
}

static int replay_attach(struct vhu_input_source *source, struct vhu_loop *loop,
			 struct vhu_input_sink *sink)
{
	struct replay *replay = replay_of(source);

	source->loop = loop;
	source->sink = sink;
	sink->resync(sink, &source->state);
	return vhu_loop_add_timer(loop, play, replay, &replay->timer);
}

static void start(struct replay *replay, uint64_t delay_ns)
{
	replay->begun = true;
	replay->unheard = false;
	replay->at = 0;
	replay->begin_ns = vhu_now_ns() + delay_ns;
	/* 0 would mean never. */
	vhu_source_set_timer(replay->timer, delay_ns + 1);
}

static void replay_listened(struct vhu_input_source *source, bool on)
{
	struct replay *replay = replay_of(source);

	replay->listened = on;
	if (on && !replay->begun && !replay->options->replay_wait)
		start(replay, replay->options->replay_delay_ms * NS_PER_MS);
}

/* Again, when it has been played. */
static void replay_begin(struct vhu_input_source *source)
{
	struct replay *replay = replay_of(source);

	if (replay->options->replay_wait && (!replay->begun || replay->at == replay->recording.n))
		start(replay, replay->options->replay_delay_ms * NS_PER_MS);
}

static void replay_close(struct vhu_input_source *source)
{
	struct replay *replay = replay_of(source);

	vhu_input_recording_free(&replay->recording);
	free(replay);
}

const struct vhu_input_source_ops vhu_input_source_replay = {
	.name = "replay",
	.open = replay_open,
	.attach = replay_attach,
	.listened = replay_listened,
	.begin = replay_begin,
	.close = replay_close,
};
