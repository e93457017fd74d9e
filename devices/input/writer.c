/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/input/writer.h"

#include <string.h>

#include "common/base/num.h"

#define CLICK 120 /* REL_WHEEL_HI_RES of one REL_WHEEL (Linux, input event codes) */

void vhu_input_writer_init(struct vhu_input_writer *writer, const struct vhu_input_ident *ident,
			   void (*packet)(struct vhu_input_writer *writer,
					  const struct vhu_input_event *events, size_t n,
					  uint64_t time_ns))
{
	memset(writer, 0, sizeof(*writer));
	writer->ident = ident;
	writer->packet = packet;
}

int32_t vhu_input_whole(double value)
{
	return value > INT32_MIN && value < INT32_MAX ? (int32_t)value : 0;
}

void vhu_input_writer_flush(struct vhu_input_writer *writer)
{
	size_t n = writer->n;

	if (!n)
		return;
	writer->events[n] = (struct vhu_input_event){ EV_SYN, SYN_REPORT, 0 };
	writer->n = 0;
	writer->packet(writer, writer->events, n + 1, writer->time_ns);
}

static bool is_told(const struct vhu_input_writer *writer, uint16_t type, uint16_t code)
{
	for (size_t i = 0; i < writer->n; i++)
		if (writer->events[i].type == type && writer->events[i].code == code)
			return true;
	return false;
}

void vhu_input_writer_put(struct vhu_input_writer *writer, uint64_t time_ns, uint16_t type,
			  uint16_t code, int32_t value)
{
	if (!vhu_input_ident_has(writer->ident, type, code))
		return;
	/* No driver looks for the press and the release of a key in one packet. */
	if (time_ns != writer->time_ns || writer->n == VHU_INPUT_WRITER_MAX - 1 ||
	    (type != EV_ABS && is_told(writer, type, code)))
		vhu_input_writer_flush(writer);
	writer->time_ns = time_ns;
	writer->events[writer->n++] = (struct vhu_input_event){ type, code, value };
}

void vhu_input_writer_key(struct vhu_input_writer *writer, uint64_t time_ns, uint32_t code,
			  bool down)
{
	uint8_t *holders = &writer->holders[code % KEY_CNT];

	if (code >= KEY_CNT || *holders == (down ? UINT8_MAX : 0))
		return;
	*holders += down ? 1 : -1;
	if (*holders == down)
		vhu_input_writer_put(writer, time_ns, EV_KEY, (uint16_t)code, down);
}

/* Adds to what is left of code; returns the whole part of it. */
static int32_t carry(struct vhu_input_writer *writer, uint16_t code, double delta)
{
	double sum = writer->rest[code] + delta;
	int32_t whole = vhu_input_whole(sum);

	writer->rest[code] = sum - whole;
	if (!(writer->rest[code] > -1 && writer->rest[code] < 1))
		writer->rest[code] = 0;
	return whole;
}

void vhu_input_writer_motion(struct vhu_input_writer *writer, uint64_t time_ns, double dx,
			     double dy)
{
	int32_t x = carry(writer, REL_X, dx), y = carry(writer, REL_Y, dy);

	if (x)
		vhu_input_writer_put(writer, time_ns, EV_REL, REL_X, x);
	if (y)
		vhu_input_writer_put(writer, time_ns, EV_REL, REL_Y, y);
}

void vhu_input_writer_wheel(struct vhu_input_writer *writer, uint64_t time_ns, uint16_t code,
			    double v120)
{
	uint16_t hi_res = code == REL_WHEEL ? REL_WHEEL_HI_RES : REL_HWHEEL_HI_RES;
	int32_t parts = carry(writer, hi_res, v120);
	int64_t sum = writer->clicks[code];

	if (!parts)
		return;
	/* For who turns back the way to the next click begins anew. */
	sum = (sum < 0) == (parts < 0) ? sum + parts : parts;
	vhu_input_writer_put(writer, time_ns, EV_REL, hi_res, parts);
	if (sum / CLICK)
		vhu_input_writer_put(writer, time_ns, EV_REL, code, (int32_t)(sum / CLICK));
	writer->clicks[code] = (int32_t)(sum % CLICK);
}

void vhu_input_writer_contact(struct vhu_input_writer *writer, uint64_t time_ns, unsigned slot,
			      int32_t x, int32_t y)
{
	struct vhu_input_writer_contact *contact = &writer->contacts[slot % VHU_INPUT_KIND_SLOTS];

	if (slot >= VHU_INPUT_KIND_SLOTS)
		return;
	vhu_input_writer_put(writer, time_ns, EV_ABS, ABS_MT_SLOT, (int32_t)slot);
	if (!contact->down) {
		contact->down = true;
		contact->number = writer->n_contacts++;
		vhu_input_writer_put(writer, time_ns, EV_ABS, ABS_MT_TRACKING_ID,
				     contact->number & UINT16_MAX);
	}
	contact->x = x;
	contact->y = y;
	vhu_input_writer_put(writer, time_ns, EV_ABS, ABS_MT_POSITION_X, x);
	vhu_input_writer_put(writer, time_ns, EV_ABS, ABS_MT_POSITION_Y, y);
}

void vhu_input_writer_contact_end(struct vhu_input_writer *writer, uint64_t time_ns, unsigned slot)
{
	if (slot >= VHU_INPUT_KIND_SLOTS || !writer->contacts[slot].down)
		return;
	writer->contacts[slot].down = false;
	vhu_input_writer_put(writer, time_ns, EV_ABS, ABS_MT_SLOT, (int32_t)slot);
	vhu_input_writer_put(writer, time_ns, EV_ABS, ABS_MT_TRACKING_ID, -1);
}

static const struct vhu_input_writer_contact *oldest(const struct vhu_input_writer *writer)
{
	const struct vhu_input_writer_contact *found = NULL;

	for (unsigned i = 0; i < VHU_INPUT_KIND_SLOTS; i++) {
		const struct vhu_input_writer_contact *contact = &writer->contacts[i];

		if (contact->down && (!found || contact->number - found->number > INT32_MAX))
			found = contact;
	}
	return found;
}

void vhu_input_writer_frame(struct vhu_input_writer *writer, uint64_t time_ns)
{
	const struct vhu_input_writer_contact *contact = oldest(writer);

	if (writer->touched != !!contact)
		vhu_input_writer_put(writer, time_ns, EV_KEY, BTN_TOUCH, !!contact);
	writer->touched = contact;
	if (contact) {
		vhu_input_writer_put(writer, time_ns, EV_ABS, ABS_X, contact->x);
		vhu_input_writer_put(writer, time_ns, EV_ABS, ABS_Y, contact->y);
	}
	vhu_input_writer_flush(writer);
}
