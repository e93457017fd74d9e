/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The way of the frames. There is one timer a stream and nothing else to wait for: it fires when
 * the host's ring will have come so far that the first message fits, or is full. So a PCM without
 * anything to poll is served like any other, and the driver need not kick (MSG_POLLING).
 */
#include "devices/sound/pump.h"

#include <errno.h>

#include "common/base/fd.h"
#include "common/base/log.h"
#include "common/base/num.h"
#include "devices/sound/clock.h"
#include "devices/sound/format.h"

/* No sooner than that again, when the host is not as far as we thought. */
#define AGAIN_NS NS_PER_MS
/* Errors of the host in one pump; after that it has its rest until the next one. */
#define TRIES 3
/* At a time, when a ring is filled with nothing. */
#define SILENCE_BYTES 4096
/* A device that stands still for so long has gone, whatever it says. */
#define STUCK_NS NS_PER_SEC

static bool has_clock(const struct vhu_sound_stream *s)
{
	return s->port.host && s->port.host->ops->fill && !s->clocked &&
	       s->pace != VHU_SOUND_PACE_TIMER;
}

static int64_t passed(const struct vhu_sound_stream *s)
{
	return vhu_sound_frames_in(vhu_now_ns() - s->begun_ns, s->params.rate_hz);
}

/* More went than there was time for, whatever the two clocks differ by: it takes what comes. */
static bool is_clockless(const struct vhu_sound_stream *s, int64_t fill)
{
	bool capture = vhu_sound_is_capture(s);
	int64_t gone = capture ? s->moved : s->moved - fill;
	int64_t time = passed(s);
	int64_t more = 2 * (int64_t)(capture ? s->params.period_frames : s->params.target_frames);

	return s->pace == VHU_SOUND_PACE_AUTO &&
	       gone > time + time / 4 + more + s->params.rate_hz / 20;
}

/* Where the device is, by what it has in its ring. It is to move while there is something in it. */
static bool is_stuck(struct vhu_sound_stream *s, int64_t fill)
{
	bool capture = vhu_sound_is_capture(s);
	int64_t position = capture ? s->moved + fill : s->moved - fill;
	uint64_t now_ns = vhu_now_ns();

	if (position != s->position || (!capture && !fill)) {
		s->position = position;
		s->position_ns = now_ns;
	}
	return now_ns - s->position_ns > STUCK_NS;
}

int64_t vhu_sound_stream_fill(struct vhu_sound_stream *s)
{
	int64_t fill;

	if (has_clock(s)) {
		fill = s->port.host->ops->fill(s->port.host);
		if (fill >= 0 && is_stuck(s, fill))
			return -ENODEV;
		if (fill < 0 || !is_clockless(s, fill))
			return fill;
		vhu_log_limited(&s->log_limit, VHU_LOG_INFO,
				"%s: it has no clock of its own; paced by a timer", s->label);
		s->clocked = true;
	}
	fill = vhu_sound_is_capture(s) ? passed(s) - s->moved : s->moved - passed(s);
	/* A PCM without a clock gave more than there was, before it was found out. */
	if (vhu_sound_is_capture(s))
		return fill < 0 ? 0 : fill;
	/* It is we who are late, not the driver: what is due goes at once, and nothing is lost. */
	if (fill < 0 && s->head && !s->excused && -fill <= (int64_t)s->params.buffer_frames)
		return 0;
	return fill < 0 ? -EPIPE : fill;
}

static void note_xrun(struct vhu_sound_stream *s)
{
	if (s->excused)
		return;
	vhu_counter_add(&s->stats.xruns, 1);
	if (s->features & 1u << VIRTIO_SND_PCM_F_EVT_XRUNS)
		s->sink->event(s->sink, s, VIRTIO_SND_EVT_PCM_XRUN);
}

/* Ran out, or over: the ring begins anew. */
static void begin_anew(struct vhu_sound_stream *s)
{
	if (s->port.host && s->port.host->ops->reset(s->port.host) == -ENODEV) {
		vhu_sound_stream_lose(s);
		return;
	}
	note_xrun(s);
	s->running = false;
	s->fill = 0;
}

static void take_error(struct vhu_sound_stream *s, int64_t r)
{
	if (r == -ENODEV)
		vhu_sound_stream_lose(s);
	else
		begin_anew(s);
}

static int64_t begin(struct vhu_sound_stream *s)
{
	int r = s->port.host ? s->port.host->ops->start(s->port.host) : 0;

	if (r < 0)
		return r;
	s->running = true;
	s->begun_ns = s->position_ns = s->looked_ns = vhu_now_ns();
	s->position = 0;
	return 0;
}

/* The ring of a host may be smaller than what was asked for. */
static uint32_t target_of(const struct vhu_sound_stream *s)
{
	return s->port.host ? s->port.host->params.target_frames : s->params.target_frames;
}

static int64_t write_silence(struct vhu_sound_stream *s, int64_t n_frames)
{
	char bytes[SILENCE_BYTES];
	struct iovec iov = { bytes, sizeof(bytes) };
	struct vhu_iov_cursor cursor;
	uint64_t most = sizeof(bytes) / s->params.frame_bytes;
	int64_t done = 0, n = 1;

	vhu_iov_cursor_init(&cursor, &iov, 1);
	vhu_sound_silence(s->params.format, &cursor, most * s->params.channels);
	while (done < n_frames && n > 0) {
		vhu_iov_cursor_init(&cursor, &iov, 1);
		n = s->port.host->ops->write(s->port.host, &cursor,
					     (uint32_t)min_u64((uint64_t)(n_frames - done), most));
		done += n > 0 ? n : 0;
	}
	return done;
}

/*
 * What the driver believes to be in the ring is there as silence: were the ring empty it would take
 * as much more at once, and a driver that has no more would have an under-run.
 */
void vhu_sound_stream_rehost(struct vhu_sound_stream *s)
{
	int64_t fill = s->running && !vhu_sound_is_capture(s) ? s->moved - passed(s) : 0;

	/* One with a ring has to be started, whoever paces it. */
	if (!s->port.host->ops->fill)
		return;
	s->running = false;
	s->fill = 0;
	if (fill <= 0 || s->state != VHU_SOUND_STARTED)
		return;
	s->moved = s->fill = write_silence(s, (int64_t)min_u64((uint64_t)fill, target_of(s)));
	begin(s);
}

static int64_t delay_of(struct vhu_sound_stream *s, int64_t fill)
{
	int64_t delay;

	if (!has_clock(s) || !s->port.host->ops->delay)
		return fill;
	delay = s->port.host->ops->delay(s->port.host);
	return delay < 0 ? fill : delay;
}

/* Nobody tells of new messages: they are looked for. */
static bool polls(const struct vhu_sound_stream *s)
{
	return s->features & 1u << VIRTIO_SND_PCM_F_MSG_POLLING;
}

/* Of periods that a driver may have made as short as it likes. */
static uint64_t poll_ns(const struct vhu_sound_stream *s)
{
	return max_u64(AGAIN_NS, vhu_sound_ns_of(s->params.period_frames, s->params.rate_hz));
}

/* For each message one visit; a large one is taken in parts. */
static uint32_t needed(const struct vhu_sound_stream *s)
{
	return (uint32_t)min_u64(s->head->left, max_u64(target_of(s) / 2, 1));
}

/* --- playback ------------------------------------------------------------------------------- */

static int64_t write_frames(struct vhu_sound_stream *s, struct vhu_sound_message *message,
			    uint32_t n)
{
	if (s->port.host && s->gain && !vhu_sound_gain_is_unity(s->gain))
		return vhu_sound_gain_write(s->gain, s->port.host, &message->data, n);
	if (s->port.host)
		return s->port.host->ops->write(s->port.host, &message->data, n);
	vhu_iov_skip(&message->data, (size_t)n * s->params.frame_bytes);
	return n;
}

/* Part of the first message. The frames that went, 0 when the host has no room after all. */
static int64_t feed(struct vhu_sound_stream *s, int64_t room)
{
	struct vhu_sound_message *message = s->head;
	uint32_t most = (uint32_t)min_u64((uint64_t)room, message->left);
	int64_t n = write_frames(s, message, most), r = 0;

	if (n <= 0)
		return n;
	if (!s->running) {
		s->moved = 0;
		r = begin(s);
	}
	s->excused = false;
	s->fill += n;
	s->moved += n;
	message->left -= (uint32_t)n;
	if (!message->left)
		vhu_sound_stream_complete(s, delay_of(s, s->fill));
	return r < 0 ? r : n;
}

static void look(struct vhu_sound_stream *s)
{
	int64_t fill = s->running ? vhu_sound_stream_fill(s) : 0;

	if (fill < 0) {
		take_error(s, fill);
		return;
	}
	s->fill = fill;
	s->looked_ns = vhu_now_ns();
}

/* Until there is room for the first message, or nothing is left to be heard. */
static uint64_t next_look_ns(const struct vhu_sound_stream *s)
{
	uint64_t dry_ns = vhu_sound_ns_of(s->fill + 1, s->params.rate_hz);

	if (s->head)
		return max_u64(AGAIN_NS, vhu_sound_ns_of(s->fill + needed(s) - target_of(s),
							 s->params.rate_hz));
	if (!s->running)
		return polls(s) ? poll_ns(s) : 0;
	return polls(s) ? min_u64(poll_ns(s), max_u64(dry_ns / 2, AGAIN_NS)) : dry_ns;
}

static void pump_playback(struct vhu_sound_stream *s)
{
	look(s);
	for (unsigned tries = 0; s->head && tries < TRIES;) {
		int64_t room = target_of(s) - s->fill, n;

		if (room < needed(s))
			break;
		n = feed(s, room);
		if (n == 0)
			break;
		if (n < 0) {
			take_error(s, n);
			tries++;
		}
	}
	vhu_counter_set(&s->stats.fill_frames, (uint64_t)s->fill);
	vhu_source_set_timer(s->timer, next_look_ns(s));
}

void vhu_sound_stream_finish_messages(struct vhu_sound_stream *s)
{
	/* A driver may have queued gigabytes, and the front-end waits. */
	int64_t room = (int64_t)max_u64(s->params.buffer_frames, s->params.rate_hz), n = 1;

	if (s->state == VHU_SOUND_STARTED && !vhu_sound_is_capture(s))
		for (; s->head && room > 0 && n > 0; room -= n)
			n = feed(s, room);
	s->excused = true;
	vhu_sound_stream_flush(s);
}

/* --- capture -------------------------------------------------------------------------------- */

static int64_t read_frames(struct vhu_sound_stream *s, struct vhu_sound_message *message,
			   uint32_t n)
{
	if (s->port.host && s->gain && !vhu_sound_gain_is_unity(s->gain))
		return vhu_sound_gain_read(s->gain, s->port.host, &message->data, n);
	if (s->port.host)
		return s->port.host->ops->read(s->port.host, &message->data, n);
	vhu_sound_silence(s->params.format, &message->data, (size_t)n * s->params.channels);
	return n;
}

/* Part of the first message, or all of it. The frames that came. */
static int64_t drink(struct vhu_sound_stream *s)
{
	struct vhu_sound_message *message = s->head;
	int64_t n = read_frames(s, message,
				(uint32_t)min_u64((uint64_t)s->fill, message->left));

	if (n <= 0)
		return n;
	s->fill -= n;
	s->moved += n;
	message->left -= (uint32_t)n;
	if (!message->left)
		vhu_sound_stream_complete(s, delay_of(s, s->fill));
	return n;
}

/* The newest are kept: a driver that is late wants to hear what is. */
static int64_t drop_old(struct vhu_sound_stream *s, int64_t fill)
{
	uint64_t bound = max_u64(2ull * s->params.buffer_frames, s->params.rate_hz / 4);

	if (has_clock(s) || fill <= (int64_t)bound)
		return fill;
	note_xrun(s);
	s->moved += fill - s->params.period_frames;
	return s->params.period_frames;
}

static void look_capture(struct vhu_sound_stream *s)
{
	for (unsigned tries = 0; tries < TRIES; tries++) {
		int64_t fill;

		if (s->running) {
			fill = vhu_sound_stream_fill(s);
		} else {
			s->moved = 0;
			fill = begin(s);
		}
		if (fill >= 0) {
			s->fill = drop_old(s, fill);
			s->looked_ns = vhu_now_ns();
			return;
		}
		take_error(s, fill);
	}
	s->fill = 0;
}

static void pump_capture(struct vhu_sound_stream *s)
{
	uint64_t ns = polls(s) ? poll_ns(s) : 0;
	int64_t n = 1;

	look_capture(s);
	s->excused = false;
	while (s->head && s->fill >= needed(s) && (n = drink(s)) > 0)
		;
	if (n < 0)
		take_error(s, n);
	if (s->head)
		ns = max_u64(AGAIN_NS, vhu_sound_ns_of(needed(s) - s->fill, s->params.rate_hz));
	vhu_counter_set(&s->stats.fill_frames, (uint64_t)s->fill);
	vhu_source_set_timer(s->timer, ns);
}

void vhu_sound_stream_pump(struct vhu_sound_stream *s)
{
	s->due = false;
	if (s->state != VHU_SOUND_STARTED)
		return;
	vhu_counter_add(&s->stats.pumps, 1);
	if (vhu_sound_is_capture(s))
		pump_capture(s);
	else
		pump_playback(s);
}
