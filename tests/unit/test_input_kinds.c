/* SPDX-License-Identifier: BSD-3-Clause */

/* The devices that stand for a kind. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/num.h"
#include "devices/input/kinds.h"

static struct vhu_input_ident ident;

static void each_is_of_its_kind(void **state)
{
	(void)state;
	for (unsigned i = 0; i < VHU_INPUT_N_KINDS; i++) {
		vhu_input_kinds_ident(1u << i, &ident);
		assert_int_equal(vhu_input_kinds_of(&ident), 1u << i);
		assert_string_equal(ident.name + strlen("vhu "), vhu_input_kind_names[i]);
	}
	assert_null(vhu_input_kind_names[VHU_INPUT_N_KINDS]);
}

static void some_are_both(void **state)
{
	const unsigned both = 1u << VHU_INPUT_KEYBOARD | 1u << VHU_INPUT_MOUSE;

	(void)state;
	vhu_input_kinds_ident(both, &ident);
	assert_int_equal(vhu_input_kinds_of(&ident), both);
	assert_string_equal(ident.name, "vhu keyboard mouse");
}

/* udev would see no keyboard where one of these is missing, and a joystick where there are more. */
static void a_keyboard_has_keys(void **state)
{
	(void)state;
	vhu_input_kinds_ident(1u << VHU_INPUT_KEYBOARD, &ident);
	for (unsigned code = KEY_ESC; code <= KEY_MICMUTE; code++)
		assert_true(vhu_input_ident_has(&ident, EV_KEY, code));
	assert_false(vhu_input_ident_has(&ident, EV_KEY, KEY_RESERVED));
	for (unsigned code = BTN_MISC; code < KEY_OK; code++)
		assert_false(vhu_input_ident_has(&ident, EV_KEY, code));
	assert_true(vhu_input_ident_has(&ident, EV_LED, LED_CAPSL));
	assert_true(vhu_input_ident_has(&ident, EV_REP, REP_DELAY));
}

/* An axis whose ends are the same is one that a driver divides by zero for. */
static void every_axis_has_a_range(void **state)
{
	unsigned all = (1u << VHU_INPUT_N_KINDS) - 1, n = 0;

	(void)state;
	vhu_input_kinds_ident(all, &ident);
	for (unsigned code = 0; code < ABS_CNT; code++) {
		if (!vhu_input_ident_has(&ident, EV_ABS, code))
			continue;
		assert_true(ident.abs[code].minimum < ident.abs[code].maximum);
		n++;
	}
	assert_int_equal(n, 15);
	assert_int_equal(vhu_input_ident_slots(&ident), VHU_INPUT_KIND_SLOTS);
	assert_true(ident.abs[ABS_X].resolution > 0);
}

struct device_case {
	const char *name;
	unsigned kinds;
	uint16_t codes[8][2]; /* types and codes; EV_SYN: the end */
	bool direct;
};

static const struct device_case device_cases[] = {
	{ "power button", 1u << VHU_INPUT_KEYBOARD, { { EV_KEY, KEY_POWER } } },
	{ "media keys", 1u << VHU_INPUT_KEYBOARD, { { EV_KEY, KEY_SUBTITLE } } },
	{ "headphone jack", 1u << VHU_INPUT_SWITCH, { { EV_SW, SW_HEADPHONE_INSERT } } },
	{ "touchpad", 1u << VHU_INPUT_MOUSE,
	  { { EV_ABS, ABS_X }, { EV_ABS, ABS_Y }, { EV_KEY, BTN_TOUCH },
	    { EV_KEY, BTN_TOOL_FINGER }, { EV_KEY, BTN_LEFT } } },
	{ "touch screen without BTN_TOUCH", 1u << VHU_INPUT_TOUCH,
	  { { EV_ABS, ABS_X }, { EV_ABS, ABS_Y } }, true },
	{ "joystick", 0, { { EV_ABS, ABS_X }, { EV_ABS, ABS_Y }, { EV_KEY, BTN_TRIGGER } } },
	{ "knob", 0, { { EV_REL, REL_DIAL } } },
	{ "beeper", 0, { { EV_SND, SND_BELL } } },
};

static void others_are_told_apart(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(device_cases); i++) {
		const struct device_case *c = &device_cases[i];

		memset(&ident, 0, sizeof(ident));
		ident.props[0] = (uint8_t)(c->direct << INPUT_PROP_DIRECT);
		for (unsigned j = 0; c->codes[j][0]; j++)
			vhu_input_ident_add(&ident, c->codes[j][0], c->codes[j][1]);
		if (vhu_input_kinds_of(&ident) != c->kinds)
			fail_msg("%s: kinds %#x", c->name, vhu_input_kinds_of(&ident));
	}
}

static void pad_buttons_are_all_there(void **state)
{
	(void)state;
	vhu_input_kinds_ident(1u << VHU_INPUT_PAD, &ident);
	for (unsigned i = 0; i < VHU_INPUT_PAD_BUTTONS; i++)
		assert_true(vhu_input_ident_has(&ident, EV_KEY, vhu_input_pad_button(i)));
	assert_int_equal(vhu_input_pad_button(9), BTN_9);
	assert_int_equal(vhu_input_pad_button(10), BTN_A);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_is_of_its_kind),
		cmocka_unit_test(some_are_both),
		cmocka_unit_test(a_keyboard_has_keys),
		cmocka_unit_test(every_axis_has_a_range),
		cmocka_unit_test(others_are_told_apart),
		cmocka_unit_test(pad_buttons_are_all_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
