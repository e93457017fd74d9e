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

static bool has_clock(const struct vhu_sound_stream *s)
{
	return s->port.host && s->port.host->ops->fill && !s->clocked;
}

static int64_t passed(const struct vhu_sound_stream *s)
{
	return vhu_sound_frames_in(vhu_now_ns() - s->begun_ns, s->params.rate_hz);
}

/* More went than there was time for, whatever the two clocks differ by: it takes what comes. */
static bool is_clockless(const struct vhu_sound_stream *s, int64_t fill)
{
	int64_t gone = vhu_sound_is_capture(s) ? s->moved : s->moved - fill;
	int64_t time = passed(s);

	return s->pace == VHU_SOUND_PACE_AUTO &&
	       gone > time + time / 4 + 2 * (int64_t)s->params.target_frames;
}

int64_t vhu_sound_stream_fill(struct vhu_sound_stream *s)
{
	int64_t fill;

	if (has_clock(s)) {
		fill = s->port.host->ops->fill(s->port.host);
		if (fill < 0 || !is_clockless(s, fill))
			return fill;
		vhu_info("%s: it has no clock of its own; paced by a timer", s->label);
		s->clocked = true;
	}
	if (vhu_sound_is_capture(s))
		return passed(s) - s->moved;
	fill = s->moved - passed(s);
	return fill < 0 ? -EPIPE : fill;
}

/* Ran out, or over: the ring begins anew. */
static void begin_anew(struct vhu_sound_stream *s)
{
	vhu_counter_add(&s->stats.xruns, 1);
	if (s->features & 1u << VIRTIO_SND_PCM_F_EVT_XRUNS)
		s->sink->event(s->sink, s, VIRTIO_SND_EVT_PCM_XRUN);
	s->running = false;
	if (s->port.host && s->port.host->ops->reset(s->port.host) == -ENODEV)
		vhu_sound_stream_lose(s);
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
	s->begun_ns = vhu_now_ns();
	return 0;
}

static int64_t delay_of(struct vhu_sound_stream *s, int64_t fill)
{
	int64_t delay;

	if (!has_clock(s) || !s->port.host->ops->delay)
		return fill;
	delay = s->port.host->ops->delay(s->port.host);
	return delay < 0 ? fill : delay;
}

static void set_timer(struct vhu_sound_stream *s, uint64_t ns)
{
	uint64_t period_ns = vhu_sound_ns_of(s->params.period_frames, s->params.rate_hz);

	/* Nobody tells of new messages then. */
	if (!s->head && s->features & 1u << VIRTIO_SND_PCM_F_MSG_POLLING)
		ns = ns ? min_u64(ns, period_ns) : period_ns;
	vhu_source_set_timer(s->timer, ns);
}

/* The ring of a host may be smaller than what was asked for. */
static uint32_t target_of(const struct vhu_sound_stream *s)
{
	return s->port.host ? s->port.host->params.target_frames : s->params.target_frames;
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
	if (s->port.host)
		return s->port.host->ops->write(s->port.host, &message->data, n);
	vhu_iov_skip(&message->data, (size_t)n * s->params.frame_bytes);
	return n;
}

/* Part of the first message. The frames that went, 0 when the host has no room after all. */
static int64_t feed(struct vhu_sound_stream *s, int64_t *fill)
{
	struct vhu_sound_message *message = s->head;
	uint32_t room = (uint32_t)(target_of(s) - *fill);
	int64_t n = write_frames(s, message, (uint32_t)min_u64(room, message->left)), r = 0;

	if (n <= 0)
		return n;
	if (!s->running) {
		s->moved = 0;
		r = begin(s);
	}
	*fill += n;
	s->moved += n;
	message->left -= (uint32_t)n;
	if (!message->left)
		vhu_sound_stream_complete(s, delay_of(s, *fill));
	return r < 0 ? r : n;
}

static int64_t look(struct vhu_sound_stream *s)
{
	int64_t fill;

	if (!s->running)
		return 0;
	fill = vhu_sound_stream_fill(s);
	if (fill < 0)
		take_error(s, fill);
	return fill < 0 ? 0 : fill;
}

static void pump_playback(struct vhu_sound_stream *s)
{
	int64_t fill = look(s), n = 1;
	uint64_t ns = 0;

	for (unsigned tries = 0; s->head && tries < TRIES;) {
		if (fill + needed(s) > target_of(s))
			break;
		n = feed(s, &fill);
		if (n == 0)
			break;
		if (n < 0) {
			take_error(s, n);
			fill = 0;
			tries++;
		}
	}
	vhu_counter_set(&s->stats.fill_frames, (uint64_t)fill);
	if (s->head)
		ns = vhu_sound_ns_of(fill + needed(s) - target_of(s), s->params.rate_hz);
	else if (s->running)
		ns = vhu_sound_ns_of(fill + 1, s->params.rate_hz);
	if (s->head && (n <= 0 || !ns))
		ns = max_u64(ns, AGAIN_NS);
	set_timer(s, ns);
}

/* --- capture -------------------------------------------------------------------------------- */

static int64_t read_frames(struct vhu_sound_stream *s, struct vhu_sound_message *message,
			   uint32_t n)
{
	if (s->port.host)
		return s->port.host->ops->read(s->port.host, &message->data, n);
	vhu_sound_silence(s->params.format, &message->data, (size_t)n * s->params.channels);
	return n;
}

static int64_t drink(struct vhu_sound_stream *s, int64_t *fill)
{
	struct vhu_sound_message *message = s->head;
	int64_t n = read_frames(s, message, (uint32_t)min_u64((uint64_t)*fill, message->left));

	if (n <= 0)
		return n;
	*fill -= n;
	s->moved += n;
	message->left -= (uint32_t)n;
	if (!message->left)
		vhu_sound_stream_complete(s, delay_of(s, *fill));
	return n;
}

static uint32_t wanted(const struct vhu_sound_stream *s)
{
	return s->head ? needed(s) : s->params.period_frames;
}

/* The newest are kept: a driver that is late wants to hear what is. */
static int64_t drop_old(struct vhu_sound_stream *s, int64_t fill)
{
	if (has_clock(s) || fill <= s->params.buffer_frames)
		return fill;
	vhu_counter_add(&s->stats.xruns, 1);
	if (s->features & 1u << VIRTIO_SND_PCM_F_EVT_XRUNS)
		s->sink->event(s->sink, s, VIRTIO_SND_EVT_PCM_XRUN);
	s->moved += fill - s->params.period_frames;
	return s->params.period_frames;
}

static int64_t look_capture(struct vhu_sound_stream *s)
{
	int64_t fill = 0;

	for (unsigned tries = 0; tries < TRIES; tries++) {
		if (!s->running) {
			s->moved = 0;
			fill = begin(s);
		} else {
			fill = vhu_sound_stream_fill(s);
		}
		if (fill >= 0)
			return drop_old(s, fill);
		take_error(s, fill);
	}
	return 0;
}

static void pump_capture(struct vhu_sound_stream *s)
{
	int64_t fill = look_capture(s), n = 1;
	uint64_t ns;

	while (s->head && fill >= wanted(s) && (n = drink(s, &fill)) > 0)
		;
	if (n < 0)
		take_error(s, n);
	vhu_counter_set(&s->stats.fill_frames, (uint64_t)fill);
	ns = vhu_sound_ns_of(wanted(s) - fill, s->params.rate_hz);
	set_timer(s, max_u64(ns, n <= 0 ? AGAIN_NS : 1));
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
