/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/input/kinds.h"

#include <string.h>

#include "common/base/num.h"

#define XY_RESOLUTION 100 /* a millimetre; libinput takes no tablet without */

const char *const vhu_input_kind_names[VHU_INPUT_N_KINDS + 1] = {
	"keyboard", "mouse", "absolute", "touch", "tablet", "switch", "pad", NULL,
};

struct span {
	uint16_t type, first, last;
};

struct kind {
	unsigned property; /* and one; 0: none */
	struct span spans[10];
};

static const struct kind kinds_table[VHU_INPUT_N_KINDS] = {
	[VHU_INPUT_KEYBOARD] = {
		.spans = {
			/* All but buttons, which would make it a mouse or a joystick. */
			{ EV_KEY, KEY_ESC, BTN_MISC - 1 },
			{ EV_KEY, KEY_OK, BTN_DPAD_UP - 1 },
			{ EV_KEY, BTN_DPAD_RIGHT + 1, BTN_TRIGGER_HAPPY - 1 },
			{ EV_LED, LED_NUML, LED_KANA },
			{ EV_REP, REP_DELAY, REP_PERIOD },
		},
	},
	[VHU_INPUT_MOUSE] = {
		.spans = {
			{ EV_KEY, BTN_LEFT, BTN_TASK },
			{ EV_REL, REL_X, REL_Y },
			{ EV_REL, REL_HWHEEL, REL_HWHEEL },
			{ EV_REL, REL_WHEEL, REL_WHEEL },
			{ EV_REL, REL_WHEEL_HI_RES, REL_HWHEEL_HI_RES },
		},
	},
	[VHU_INPUT_ABSOLUTE] = {
		.spans = {
			{ EV_KEY, BTN_LEFT, BTN_TASK },
			{ EV_ABS, ABS_X, ABS_Y },
			{ EV_REL, REL_HWHEEL, REL_HWHEEL },
			{ EV_REL, REL_WHEEL, REL_WHEEL },
			{ EV_REL, REL_WHEEL_HI_RES, REL_HWHEEL_HI_RES },
		},
	},
	[VHU_INPUT_TOUCH] = {
		.property = 1 + INPUT_PROP_DIRECT,
		.spans = {
			{ EV_KEY, BTN_TOUCH, BTN_TOUCH },
			{ EV_ABS, ABS_X, ABS_Y },
			{ EV_ABS, ABS_MT_SLOT, ABS_MT_SLOT },
			{ EV_ABS, ABS_MT_POSITION_X, ABS_MT_POSITION_Y },
			{ EV_ABS, ABS_MT_TRACKING_ID, ABS_MT_TRACKING_ID },
		},
	},
	[VHU_INPUT_TABLET] = {
		.property = 1 + INPUT_PROP_POINTER,
		.spans = {
			{ EV_KEY, BTN_LEFT, BTN_EXTRA },
			{ EV_KEY, BTN_TOOL_PEN, BTN_TOOL_AIRBRUSH },
			{ EV_KEY, BTN_TOOL_MOUSE, BTN_TOOL_LENS },
			{ EV_KEY, BTN_STYLUS3, BTN_STYLUS2 },
			{ EV_ABS, ABS_X, ABS_Z },
			{ EV_ABS, ABS_WHEEL, ABS_WHEEL },
			{ EV_ABS, ABS_PRESSURE, ABS_TILT_Y },
			{ EV_REL, REL_WHEEL, REL_WHEEL },
		},
	},
	[VHU_INPUT_SWITCH] = {
		.spans = { { EV_SW, SW_LID, SW_TABLET_MODE } },
	},
	[VHU_INPUT_PAD] = {
		.spans = {
			{ EV_KEY, BTN_0, BTN_9 },
			{ EV_KEY, BTN_A, BTN_Z },
			/* As the kernel's: pads are told from others by them. */
			{ EV_KEY, BTN_STYLUS, BTN_STYLUS },
			{ EV_ABS, ABS_X, ABS_Y },
			{ EV_ABS, ABS_RX, ABS_RY },
			{ EV_ABS, ABS_WHEEL, ABS_WHEEL },
			{ EV_ABS, ABS_MISC, ABS_MISC },
		},
	},
};

struct axis {
	uint16_t code;
	int32_t minimum, maximum, resolution;
};

static const struct axis axes[] = {
	{ ABS_X, 0, VHU_INPUT_XY_MAX, XY_RESOLUTION },
	{ ABS_Y, 0, VHU_INPUT_XY_MAX, XY_RESOLUTION },
	{ ABS_Z, VHU_INPUT_ROTATION_MIN, VHU_INPUT_ROTATION_MAX, 287 }, /* a radian */
	{ ABS_RX, 0, 1 << VHU_INPUT_STRIP_BITS, 0 },
	{ ABS_RY, 0, 1 << VHU_INPUT_STRIP_BITS, 0 },
	{ ABS_WHEEL, 0, VHU_INPUT_WHEEL_MAX, 0 },
	{ ABS_PRESSURE, 0, VHU_INPUT_PRESSURE_MAX, 0 },
	{ ABS_DISTANCE, 0, VHU_INPUT_DISTANCE_MAX, 0 },
	{ ABS_TILT_X, -VHU_INPUT_TILT_MAX, VHU_INPUT_TILT_MAX, 57 }, /* a radian */
	{ ABS_TILT_Y, -VHU_INPUT_TILT_MAX, VHU_INPUT_TILT_MAX, 57 },
	{ ABS_MISC, 0, 15, 0 },
	{ ABS_MT_SLOT, 0, VHU_INPUT_KIND_SLOTS - 1, 0 },
	{ ABS_MT_POSITION_X, 0, VHU_INPUT_XY_MAX, XY_RESOLUTION },
	{ ABS_MT_POSITION_Y, 0, VHU_INPUT_XY_MAX, XY_RESOLUTION },
	{ ABS_MT_TRACKING_ID, 0, UINT16_MAX, 0 },
};

static void add_kind(struct vhu_input_ident *ident, unsigned i)
{
	const struct kind *kind = &kinds_table[i];

	strcat(ident->name, " ");
	strcat(ident->name, vhu_input_kind_names[i]);
	if (kind->property)
		ident->props[(kind->property - 1) / 8] |=
			(uint8_t)(1u << (kind->property - 1) % 8);
	for (const struct span *span = kind->spans; span->type; span++)
		for (unsigned code = span->first; code <= span->last; code++)
			vhu_input_ident_add(ident, span->type, code);
}

void vhu_input_kinds_ident(unsigned kinds, struct vhu_input_ident *ret_ident)
{
	*ret_ident = (struct vhu_input_ident){
		.name = "vhu",
		.ids = { .bustype = BUS_VIRTUAL, .product = (uint16_t)kinds, .version = 1 },
	};
	for (unsigned i = 0; i < VHU_INPUT_N_KINDS; i++)
		if (kinds >> i & 1)
			add_kind(ret_ident, i);
	for (size_t i = 0; i < ARRAY_SIZE(axes); i++)
		if (vhu_input_ident_has(ret_ident, EV_ABS, axes[i].code))
			ret_ident->abs[axes[i].code] = (struct input_absinfo){
				.minimum = axes[i].minimum,
				.maximum = axes[i].maximum,
				.resolution = axes[i].resolution,
			};
}

static bool has_any(const struct vhu_input_ident *ident, const struct span *span)
{
	for (unsigned code = span->first; code <= span->last; code++)
		if (vhu_input_ident_has(ident, span->type, code))
			return true;
	return false;
}

static bool has_key(const struct vhu_input_ident *ident, unsigned code)
{
	return vhu_input_ident_has(ident, EV_KEY, code);
}

static unsigned kind_of_pointer(const struct vhu_input_ident *ident)
{
	bool direct = ident->props[INPUT_PROP_DIRECT / 8] >> INPUT_PROP_DIRECT % 8 & 1;

	if (!vhu_input_ident_has(ident, EV_ABS, ABS_X) ||
	    !vhu_input_ident_has(ident, EV_ABS, ABS_Y))
		return vhu_input_ident_has(ident, EV_REL, REL_X) &&
				       vhu_input_ident_has(ident, EV_REL, REL_Y) ?
			       1u << VHU_INPUT_MOUSE :
			       0;
	if (has_key(ident, BTN_TOOL_PEN))
		return 1u << VHU_INPUT_TABLET;
	if (has_key(ident, BTN_STYLUS))
		return 1u << (has_key(ident, BTN_0) ? VHU_INPUT_PAD : VHU_INPUT_TABLET);
	/* A touchpad moves a pointer as a mouse does. */
	if (has_key(ident, BTN_TOOL_FINGER) && !direct)
		return 1u << VHU_INPUT_MOUSE;
	if (has_key(ident, BTN_LEFT))
		return 1u << VHU_INPUT_ABSOLUTE;
	return has_key(ident, BTN_TOUCH) || direct ? 1u << VHU_INPUT_TOUCH : 0;
}

unsigned vhu_input_kinds_of(const struct vhu_input_ident *ident)
{
	static const struct span switches = { EV_SW, 0, SW_MAX };
	const struct span *keys = kinds_table[VHU_INPUT_KEYBOARD].spans;
	unsigned kinds = kind_of_pointer(ident);

	for (; keys->type == EV_KEY; keys++)
		if (has_any(ident, keys))
			kinds |= 1u << VHU_INPUT_KEYBOARD;
	if (has_any(ident, &switches))
		kinds |= 1u << VHU_INPUT_SWITCH;
	return kinds;
}

uint16_t vhu_input_pad_button(unsigned number)
{
	return (uint16_t)(number < 10 ? BTN_0 + number : BTN_A + number - 10);
}
