/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/input/handoff.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>

#include "common/base/cleanup.h"

int vhu_input_handoff_init(struct vhu_input_handoff *handoff)
{
	handoff->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (handoff->fd < 0)
		return -errno;
	pthread_mutex_init(&handoff->mutex, NULL);
	handoff->n = 0;
	handoff->lost = false;
	memset(handoff->lost_rel, 0, sizeof(handoff->lost_rel));
	vhu_input_state_init(&handoff->state);
	handoff->filled = 0;
	return 0;
}

void vhu_input_handoff_finish(struct vhu_input_handoff *handoff)
{
	close_fd(&handoff->fd);
	pthread_mutex_destroy(&handoff->mutex);
}

/* Motion has no state that would tell of it later. */
static void lose(struct vhu_input_handoff *handoff, const struct vhu_input_event *event)
{
	int32_t *sum;

	if (event->type != EV_REL || event->code >= REL_CNT)
		return;
	sum = &handoff->lost_rel[event->code];
	if (__builtin_add_overflow(*sum, event->value, sum))
		*sum = event->value < 0 ? INT32_MIN : INT32_MAX;
}

void vhu_input_handoff_put(struct vhu_input_handoff *handoff, const struct vhu_input_event *events,
			   size_t n, uint64_t time_ns)
{
	bool first;

	pthread_mutex_lock(&handoff->mutex);
	first = !handoff->n && !handoff->lost;
	handoff->lost |= n > VHU_INPUT_HANDOFF_MAX - handoff->n;
	for (size_t i = 0; i < n; i++) {
		vhu_input_state_apply(&handoff->state, &events[i]);
		if (handoff->lost)
			lose(handoff, &events[i]);
		else
			handoff->events[handoff->filled][handoff->n++] =
				(struct vhu_input_timed){ events[i], time_ns };
	}
	pthread_mutex_unlock(&handoff->mutex);
	/* Who takes takes all. */
	if (first)
		eventfd_write(handoff->fd, 1);
}

static void make_good(struct vhu_input_source *source, const int32_t rel[REL_CNT],
		      const struct vhu_input_state *state)
{
	for (uint16_t code = 0; code < REL_CNT; code++)
		if (rel[code])
			vhu_input_source_event(source, EV_REL, code, rel[code], 0);
	vhu_input_source_event(source, EV_SYN, SYN_REPORT, 0, 0);
	source->state = *state;
	source->sink->resync(source->sink, &source->state);
}

void vhu_input_handoff_take(struct vhu_input_handoff *handoff, struct vhu_input_source *source)
{
	int32_t lost_rel[REL_CNT];
	struct vhu_input_state state;
	const struct vhu_input_timed *taken;
	bool lost;
	size_t n;

	pthread_mutex_lock(&handoff->mutex);
	taken = handoff->events[handoff->filled];
	handoff->filled = !handoff->filled;
	n = handoff->n;
	lost = handoff->lost;
	if (lost) {
		memcpy(lost_rel, handoff->lost_rel, sizeof(lost_rel));
		memset(handoff->lost_rel, 0, sizeof(lost_rel));
		state = handoff->state;
	}
	handoff->n = 0;
	handoff->lost = false;
	pthread_mutex_unlock(&handoff->mutex);

	for (size_t i = 0; i < n; i++)
		vhu_input_source_event(source, taken[i].event.type, taken[i].event.code,
				       taken[i].event.value, taken[i].time_ns);
	if (lost)
		make_good(source, lost_rel, &state);
}
