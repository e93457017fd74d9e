/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/sound/stream.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#include "common/base/fd.h"
#include "common/base/log.h"
#include "common/base/num.h"
#include "devices/sound/clock.h"
#include "devices/sound/format.h"
#include "devices/sound/pump.h"

/* The Linux driver gives an answer 1,000 ms. */
#define PREPARE_NS (700 * NS_PER_MS)
#define TAIL_NS (500 * NS_PER_MS)
#define RETRY_NS NS_PER_SEC
#define BUFFER_MAX (64u << 20)

/* virtio 1.3, 5.14.6.6.1. UNSET in the table: not from there. */
static const uint8_t next_states[VHU_SOUND_N_STATES][VHU_SOUND_N_COMMANDS] = {
	[VHU_SOUND_UNSET] = { [VHU_SOUND_SET_PARAMS] = VHU_SOUND_SET },
	[VHU_SOUND_SET] = { [VHU_SOUND_SET_PARAMS] = VHU_SOUND_SET,
			    [VHU_SOUND_PREPARE] = VHU_SOUND_PREPARED },
	[VHU_SOUND_PREPARED] = { [VHU_SOUND_SET_PARAMS] = VHU_SOUND_SET,
				 [VHU_SOUND_PREPARE] = VHU_SOUND_PREPARED,
				 [VHU_SOUND_START] = VHU_SOUND_STARTED,
				 [VHU_SOUND_RELEASE] = VHU_SOUND_RELEASED },
	[VHU_SOUND_STARTED] = { [VHU_SOUND_STOP] = VHU_SOUND_STOPPED },
	[VHU_SOUND_STOPPED] = { [VHU_SOUND_START] = VHU_SOUND_STARTED,
				[VHU_SOUND_RELEASE] = VHU_SOUND_RELEASED },
	[VHU_SOUND_RELEASED] = { [VHU_SOUND_SET_PARAMS] = VHU_SOUND_SET,
				 [VHU_SOUND_PREPARE] = VHU_SOUND_PREPARED },
};

/* --- messages ------------------------------------------------------------------------------- */

void vhu_sound_stream_add(struct vhu_sound_stream *s, struct vhu_sound_message *message)
{
	message->next = NULL;
	/* What waits behind others changes nothing. */
	if (!s->head)
		s->due = true;
	*s->tail = message;
	s->tail = &message->next;
}

struct vhu_sound_message *vhu_sound_stream_take_back(struct vhu_sound_stream *s, uint64_t turn)
{
	struct vhu_sound_message **at = &s->head, *message;

	if (!*at)
		return NULL;
	while ((*at)->next)
		at = &(*at)->next;
	message = *at;
	if (message->turn != turn || message->left != message->frames)
		return NULL;
	*at = NULL;
	s->tail = at;
	return message;
}

void vhu_sound_stream_complete(struct vhu_sound_stream *s, int64_t delay)
{
	struct vhu_sound_message *message = s->head;
	uint32_t frames = delay > 0 ? (uint32_t)min_u64((uint64_t)delay, UINT32_MAX) : 0;
	uint64_t bytes = (uint64_t)frames * s->params.frame_bytes;

	s->head = message->next;
	if (!s->head)
		s->tail = &s->head;
	vhu_counter_add(&s->stats.messages, 1);
	vhu_counter_add(&s->stats.frames, message->frames - message->left);
	vhu_counter_set(&s->stats.latency_frames, frames);
	vhu_counter_add(&s->stats.latency_sum, frames);
	s->elapsed += message->frames;
	s->sink->complete(s->sink, s, message, VIRTIO_SND_S_OK,
			  (uint32_t)min_u64(bytes, UINT32_MAX));
	if (s->elapsed >= s->params.period_frames &&
	    s->features & 1u << VIRTIO_SND_PCM_F_EVT_SHMEM_PERIODS)
		s->sink->event(s->sink, s, VIRTIO_SND_EVT_PCM_PERIOD_ELAPSED);
	s->elapsed %= s->params.period_frames;
}

void vhu_sound_stream_flush(struct vhu_sound_stream *s)
{
	/* A driver may have queued gigabytes: no more than its buffer is made silent. */
	uint64_t room = vhu_sound_is_capture(s) ? s->params.buffer_frames : 0;
	struct vhu_sound_message *message;

	while ((message = s->head)) {
		uint64_t n = min_u64(message->left, room);

		vhu_counter_add(&s->stats.unplayed, message->left);
		vhu_sound_silence(s->params.format, &message->data, n * s->params.channels);
		room -= n;
		vhu_sound_stream_complete(s, 0);
	}
}

/* --- the host ------------------------------------------------------------------------------- */

static void silence(struct vhu_sound_stream *s)
{
	if (s->running && s->port.host)
		s->port.host->ops->reset(s->port.host);
	s->running = false;
	s->tail_until_ns = 0;
}

static void close_host(struct vhu_sound_stream *s)
{
	silence(s);
	s->lost = false;
	vhu_source_set_timer(s->timer, 0);
	vhu_source_set_timer(s->retry_timer, 0);
	vhu_sound_port_close(&s->port);
}

void vhu_sound_stream_lose(struct vhu_sound_stream *s)
{
	vhu_log_limited(&s->log_limit, VHU_LOG_WARNING,
			"%s: it has gone; the guest plays on, and it may come back", s->label);
	vhu_counter_add(&s->stats.losses, 1);
	s->lost = true;
	/* Goes on by the clock, from where it was seen last. */
	s->begun_ns = s->looked_ns;
	s->moved = vhu_sound_is_capture(s) ? -s->fill : s->fill;
	vhu_sound_port_close(&s->port);
	vhu_source_set_timer(s->retry_timer, RETRY_NS);
	s->sink->present(s->sink, s, false);
}

static void on_retry(void *data, uint32_t events)
{
	struct vhu_sound_stream *s = data;

	(void)events;
	if (s->lost)
		vhu_sound_port_open(&s->port, &s->params);
}

static const char *explain(int r)
{
	switch (-r) {
	case EBUSY:
		return "another stream or program has it (try a PCM that mixes, as default or "
		       "dmix, or a file of its own)";
	case ENODEV:
	case ENOENT:
		return "it is not there any more (--list shows what is)";
	case EINVAL:
		return "it cannot do this format, rate or number of channels any more (a plughw: "
		       "PCM converts)";
	default:
		return strerror(-r);
	}
}

static void answer_prepare(struct vhu_sound_stream *s, int r)
{
	s->opening = false;
	vhu_source_set_timer(s->answer_timer, 0);
	if (r == 0) {
		s->state = VHU_SOUND_PREPARED;
	} else {
		vhu_log_limited(&s->log_limit, VHU_LOG_WARNING, "%s: cannot open it: %s", s->label,
				explain(r));
		/* It was prepared before and still is, though without a host. */
		s->lost = vhu_sound_stream_takes(s);
		vhu_source_set_timer(s->retry_timer, s->lost ? RETRY_NS : 0);
	}
	s->sink->prepared(s->sink, s, r < 0 ? VIRTIO_SND_S_IO_ERR : VIRTIO_SND_S_OK);
}

static void on_opened(struct vhu_sound_port *port, int r)
{
	struct vhu_sound_stream *s = container_of(port, struct vhu_sound_stream, port);

	if (r == 0) {
		vhu_counter_add(&s->stats.opens, 1);
		s->sink->present(s->sink, s, true);
	}
	if (s->opening) {
		answer_prepare(s, r);
	} else if (r < 0) {
		vhu_source_set_timer(s->retry_timer, RETRY_NS);
	} else {
		vhu_log_limited(&s->log_limit, VHU_LOG_INFO, "%s: it is there again", s->label);
		s->lost = false;
		s->clocked = false;
		vhu_sound_stream_rehost(s);
		s->due = true;
		s->sink->wake(s->sink, s);
	}
}

void vhu_sound_stream_answer(struct vhu_sound_stream *s)
{
	if (!s->opening)
		return;
	vhu_log_limited(&s->log_limit, VHU_LOG_WARNING,
			"%s: it takes long to open; the guest plays on meanwhile", s->label);
	s->lost = true;
	answer_prepare(s, 0);
}

static void on_late(void *data, uint32_t events)
{
	(void)events;
	vhu_sound_stream_answer(data);
}

/* What was handed over to the end of it is still to be heard. */
static void play_tail(struct vhu_sound_stream *s)
{
	int64_t fill = s->running ? vhu_sound_stream_fill(s) : 0;
	uint64_t now_ns = vhu_now_ns();

	if (fill <= 0 || now_ns >= s->tail_until_ns) {
		close_host(s);
		return;
	}
	vhu_source_set_timer(s->timer, min_u64(vhu_sound_ns_of(fill, s->params.rate_hz) + 1,
					       s->tail_until_ns - now_ns));
}

static void on_timer(void *data, uint32_t events)
{
	struct vhu_sound_stream *s = data;

	(void)events;
	if (s->tail_until_ns) {
		play_tail(s);
		return;
	}
	s->due = true;
	s->sink->wake(s->sink, s);
}

/* --- commands ------------------------------------------------------------------------------- */

static bool has(uint64_t mask, unsigned bit)
{
	return bit < 64 && mask >> bit & 1;
}

/* virtio 1.3, 5.14.6.6.3 */
static uint32_t check_params(const struct vhu_sound_stream *s,
			     const struct virtio_snd_pcm_set_params *p,
			     struct vhu_sound_params *ret_params)
{
	uint32_t buffer_bytes = le32toh(p->buffer_bytes), period_bytes = le32toh(p->period_bytes);
	uint32_t frame_bytes;
	uint64_t target;

	if (p->format >= VHU_SOUND_N_FORMATS || p->rate >= VHU_SOUND_N_RATES || !p->channels)
		return VIRTIO_SND_S_BAD_MSG;
	if (!has(s->caps.formats, p->format) || !has(s->caps.rates, p->rate) ||
	    p->channels < s->caps.channels_min || p->channels > s->caps.channels_max ||
	    (le32toh(p->features) & ~VHU_SOUND_STREAM_FEATURES))
		return VIRTIO_SND_S_NOT_SUPP;
	frame_bytes = (uint32_t)vhu_sound_frame_bytes(p->format, p->channels);
	if (!period_bytes || period_bytes % frame_bytes || buffer_bytes % period_bytes ||
	    buffer_bytes / period_bytes < 2 || buffer_bytes > BUFFER_MAX)
		return VIRTIO_SND_S_BAD_MSG;
	*ret_params = (struct vhu_sound_params){
		.format = p->format,
		.rate_hz = vhu_sound_rates_hz[p->rate],
		.channels = p->channels,
		.frame_bytes = frame_bytes,
		.period_frames = period_bytes / frame_bytes,
		.buffer_frames = buffer_bytes / frame_bytes,
	};
	target = max_u64(2ull * ret_params->period_frames,
			 s->latency_ms * ret_params->rate_hz / 1000);
	ret_params->target_frames = (uint32_t)min_u64(target, BUFFER_MAX);
	return VIRTIO_SND_S_OK;
}

static uint32_t set_params(struct vhu_sound_stream *s, const struct virtio_snd_pcm_set_params *p)
{
	struct vhu_sound_params params;
	uint32_t status = check_params(s, p, &params);

	if (status != VIRTIO_SND_S_OK)
		return status;
	vhu_sound_stream_flush(s);
	s->params = params;
	s->asked = *p;
	s->features = le32toh(p->features);
	return VIRTIO_SND_S_OK;
}

static uint32_t prepare(struct vhu_sound_stream *s)
{
	vhu_sound_stream_flush(s);
	vhu_source_set_timer(s->timer, 0);
	vhu_source_set_timer(s->retry_timer, 0);
	s->tail_until_ns = 0;
	s->elapsed = 0;
	s->excused = true;
	s->lost = false;
	if (!s->port.host || memcmp(&s->port.params, &s->params, sizeof(s->params)))
		s->running = s->clocked = false;
	s->opening = true;
	if (vhu_sound_port_open(&s->port, &s->params))
		s->opening = false;
	if (!s->opening)
		return s->port.host ? VIRTIO_SND_S_OK : VIRTIO_SND_S_IO_ERR;
	vhu_source_set_timer(s->answer_timer, PREPARE_NS);
	return VHU_SOUND_LATER;
}

static uint32_t release(struct vhu_sound_stream *s)
{
	bool aborted = s->head;

	vhu_sound_stream_flush(s);
	if (aborted || vhu_sound_is_capture(s) || !s->running || !s->port.host) {
		close_host(s);
	} else {
		s->tail_until_ns = vhu_now_ns() + TAIL_NS;
		play_tail(s);
	}
	return VIRTIO_SND_S_OK;
}

static uint32_t start(struct vhu_sound_stream *s)
{
	/* What was captured meanwhile nobody has asked for. */
	if (vhu_sound_is_capture(s))
		silence(s);
	s->due = true;
	s->sink->wake(s->sink, s);
	return VIRTIO_SND_S_OK;
}

static uint32_t stop(struct vhu_sound_stream *s)
{
	vhu_source_set_timer(s->timer, 0);
	s->excused = true;
	if (vhu_sound_is_capture(s))
		silence(s);
	return VIRTIO_SND_S_OK;
}

uint32_t vhu_sound_stream_command(struct vhu_sound_stream *s, enum vhu_sound_command command,
				  const struct virtio_snd_pcm_set_params *params)
{
	static uint32_t (*const commands[])(struct vhu_sound_stream *s) = {
		[VHU_SOUND_PREPARE] = prepare, [VHU_SOUND_RELEASE] = release,
		[VHU_SOUND_START] = start,     [VHU_SOUND_STOP] = stop,
	};
	enum vhu_sound_state next = next_states[s->state][command];
	uint32_t status;

	if (next == VHU_SOUND_UNSET || s->opening)
		return VIRTIO_SND_S_BAD_MSG;
	status = command == VHU_SOUND_SET_PARAMS ? set_params(s, params) : commands[command](s);
	if (status == VIRTIO_SND_S_OK)
		s->state = next;
	return status;
}

bool vhu_sound_stream_may_resume(const struct vhu_sound_stream *s, uint32_t state,
				 const struct virtio_snd_pcm_set_params *asked)
{
	struct vhu_sound_params params;

	return state == VHU_SOUND_UNSET ||
	       (state < VHU_SOUND_N_STATES &&
		check_params(s, asked, &params) == VIRTIO_SND_S_OK);
}

void vhu_sound_stream_resume(struct vhu_sound_stream *s, uint32_t state,
			     const struct virtio_snd_pcm_set_params *asked)
{
	vhu_sound_stream_reset(s);
	if (state == VHU_SOUND_UNSET)
		return;
	set_params(s, asked);
	s->state = state;
	s->excused = true;
	if (!vhu_sound_stream_takes(s))
		return;
	/* What plays on is of a sound before. Until it is open it is as one that has gone. */
	close_host(s);
	s->lost = true;
	vhu_sound_port_open(&s->port, &s->params);
}

void vhu_sound_stream_reset(struct vhu_sound_stream *s)
{
	s->head = NULL;
	s->tail = &s->head;
	s->state = VHU_SOUND_UNSET;
	s->features = 0;
	s->opening = s->due = s->clocked = false;
	s->held = NULL;
	vhu_source_set_timer(s->answer_timer, 0);
	/* The end of what was released before is still heard. */
	if (!s->tail_until_ns)
		close_host(s);
}

int vhu_sound_stream_init(struct vhu_sound_stream *s, struct vhu_loop *loop,
			  const struct vhu_sound_host_ops *host)
{
	int r = vhu_sound_port_init(&s->port, host, &s->options, loop, on_opened);

	s->tail = &s->head;
	if (r == 0)
		r = vhu_loop_add_timer(loop, on_timer, s, &s->timer);
	if (r == 0)
		r = vhu_loop_add_timer(loop, on_retry, s, &s->retry_timer);
	if (r == 0)
		r = vhu_loop_add_timer(loop, on_late, s, &s->answer_timer);
	return r;
}

bool vhu_sound_stream_finish(struct vhu_sound_stream *s)
{
	return vhu_sound_port_finish(&s->port);
}
