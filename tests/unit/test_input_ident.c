/* SPDX-License-Identifier: BSD-3-Clause */

/* What a device says of itself, byte by byte (virtio 1.3, 5.8.4). */

#include <endian.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/num.h"
#include "devices/input/ident.h"

static void fill(struct vhu_input_ident *ident)
{
	memset(ident, 0, sizeof(*ident));
	snprintf(ident->name, sizeof(ident->name), "A touch screen");
	snprintf(ident->serial, sizeof(ident->serial), "007");
	ident->ids = (struct input_id){ BUS_USB, 0x1234, 0xabcd, 0x0102 };
	ident->props[INPUT_PROP_DIRECT / 8] |= 1 << INPUT_PROP_DIRECT % 8;
	vhu_input_ident_add(ident, EV_KEY, KEY_MAX);
	vhu_input_ident_add(ident, EV_KEY, BTN_TOUCH);
	vhu_input_ident_add(ident, EV_REL, REL_WHEEL_HI_RES);
	vhu_input_ident_add(ident, EV_ABS, ABS_X);
	vhu_input_ident_add(ident, EV_ABS, ABS_MT_SLOT);
	vhu_input_ident_add(ident, EV_MSC, MSC_SCAN);
	vhu_input_ident_add(ident, EV_SW, SW_LID);
	vhu_input_ident_add(ident, EV_LED, LED_CAPSL);
	vhu_input_ident_add(ident, EV_SND, SND_TONE);
	vhu_input_ident_add(ident, EV_REP, REP_DELAY);
	vhu_input_ident_add(ident, EV_REP, REP_PERIOD);
	ident->abs[ABS_X] = (struct input_absinfo){ 77, -5, 4095, 1, 2, 30 };
	ident->abs[ABS_MT_SLOT].maximum = 9;
}

struct answer_case {
	const char *name;
	uint8_t select, subsel, size;
	uint8_t bytes[20]; /* the first of them */
};

static const struct answer_case answer_cases[] = {
	{ "unset", VIRTIO_INPUT_CFG_UNSET, 0, 0, { 0 } },
	{ "name", VIRTIO_INPUT_CFG_ID_NAME, 0, 14, "A touch screen" },
	{ "name with subsel", VIRTIO_INPUT_CFG_ID_NAME, 1, 0, { 0 } },
	{ "serial", VIRTIO_INPUT_CFG_ID_SERIAL, 0, 3, "007" },
	{ "ids", VIRTIO_INPUT_CFG_ID_DEVIDS, 0, 8, { 3, 0, 0x34, 0x12, 0xcd, 0xab, 2, 1 } },
	{ "props", VIRTIO_INPUT_CFG_PROP_BITS, 0, 1, { 2 } },
	{ "syn", VIRTIO_INPUT_CFG_EV_BITS, EV_SYN, 0, { 0 } },
	{ "keys", VIRTIO_INPUT_CFG_EV_BITS, EV_KEY, 96, { 0 } },
	{ "rel", VIRTIO_INPUT_CFG_EV_BITS, EV_REL, 2, { 0, 8 } },
	{ "abs", VIRTIO_INPUT_CFG_EV_BITS, EV_ABS, 6, { 1, 0, 0, 0, 0, 0x80 } },
	{ "msc", VIRTIO_INPUT_CFG_EV_BITS, EV_MSC, 1, { 1 << MSC_SCAN } },
	{ "sw", VIRTIO_INPUT_CFG_EV_BITS, EV_SW, 1, { 1 } },
	{ "led", VIRTIO_INPUT_CFG_EV_BITS, EV_LED, 1, { 2 } },
	{ "snd", VIRTIO_INPUT_CFG_EV_BITS, EV_SND, 1, { 4 } },
	{ "rep", VIRTIO_INPUT_CFG_EV_BITS, EV_REP, 1, { 3 } },
	{ "no force feedback", VIRTIO_INPUT_CFG_EV_BITS, EV_FF, 0, { 0 } },
	{ "no such type", VIRTIO_INPUT_CFG_EV_BITS, 255, 0, { 0 } },
	{ "axis",
	  VIRTIO_INPUT_CFG_ABS_INFO,
	  ABS_X,
	  20,
	  { 0xfb, 0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 30 } },
	{ "slots", VIRTIO_INPUT_CFG_ABS_INFO, ABS_MT_SLOT, 20, { 0, 0, 0, 0, 9 } },
	{ "axis that is not there", VIRTIO_INPUT_CFG_ABS_INFO, ABS_Y, 0, { 0 } },
	{ "no such axis", VIRTIO_INPUT_CFG_ABS_INFO, 255, 0, { 0 } },
	{ "no such select", 0x13, 0, 0, { 0 } },
	{ "the last select", 255, 255, 0, { 0 } },
};

static void answers(void **unused)
{
	static const uint8_t zeros[128];
	struct vhu_input_ident ident;

	(void)unused;
	fill(&ident);
	for (size_t i = 0; i < ARRAY_SIZE(answer_cases); i++) {
		const struct answer_case *c = &answer_cases[i];
		struct virtio_input_config config;

		memset(&config, 0xff, sizeof(config));
		vhu_input_ident_answer(&ident, c->select, c->subsel, &config);
		if (config.select != c->select || config.subsel != c->subsel ||
		    config.size != c->size ||
		    memcmp(config.u.bitmap, c->bytes, c->size < 20 ? c->size : 20) ||
		    memcmp(config.u.bitmap + c->size, zeros, sizeof(zeros) - c->size))
			fail_msg("%s", c->name);
		assert_memory_equal(config.reserved, zeros, sizeof(config.reserved));
	}
}

static void the_longest_texts(void **unused)
{
	struct virtio_input_config config;
	struct vhu_input_ident ident = { { 0 } };

	(void)unused;
	memset(ident.name, 'n', VHU_INPUT_TEXT_MAX);
	memset(ident.serial, 's', VHU_INPUT_TEXT_MAX);
	vhu_input_ident_answer(&ident, VIRTIO_INPUT_CFG_ID_NAME, 0, &config);
	assert_int_equal(config.size, 128);
	assert_int_equal(config.u.string[127], 'n');
	vhu_input_ident_answer(&ident, VIRTIO_INPUT_CFG_ID_SERIAL, 0, &config);
	assert_int_equal(config.size, 128);
	assert_int_equal(config.u.string[127], 's');
}

static void codes_in_and_out_of_range(void **unused)
{
	struct vhu_input_ident ident = { { 0 } };
	static const struct vhu_input_ident none;

	(void)unused;
	vhu_input_ident_add(&ident, EV_KEY, KEY_CNT);
	vhu_input_ident_add(&ident, EV_LED, LED_CNT);
	vhu_input_ident_add(&ident, EV_SYN, SYN_REPORT);
	vhu_input_ident_add(&ident, EV_CNT, 0);
	assert_memory_equal(&ident, &none, sizeof(ident));
	assert_false(vhu_input_ident_has(&ident, EV_CNT, 0));
	assert_false(vhu_input_ident_has(&ident, EV_KEY, KEY_CNT));
	vhu_input_ident_add(&ident, EV_REL, REL_X);
	vhu_input_ident_add(&ident, EV_REL, REL_Y);
	vhu_input_ident_remove(&ident, EV_REL, REL_X);
	assert_false(vhu_input_ident_has(&ident, EV_REL, REL_X));
	assert_true(vhu_input_ident_has(&ident, EV_REL, REL_Y));
}

static void slots(void **unused)
{
	struct vhu_input_ident ident;

	(void)unused;
	fill(&ident);
	assert_int_equal(vhu_input_ident_slots(&ident), 10);
	ident.abs[ABS_MT_SLOT].maximum = -1;
	assert_int_equal(vhu_input_ident_slots(&ident), 0);
	ident.abs[ABS_MT_SLOT].maximum = 9;
	vhu_input_ident_remove(&ident, EV_ABS, ABS_MT_SLOT);
	assert_int_equal(vhu_input_ident_slots(&ident), 0);
}

static void known_again(void **unused)
{
	struct vhu_input_ident a, b;

	(void)unused;
	fill(&a);
	fill(&b);
	b.abs[ABS_X].value = 5;
	b.abs[ABS_X].fuzz = 9; /* udev may set it, later */
	b.abs[ABS_Y].maximum = 5;
	assert_true(vhu_input_ident_same(&a, &b));
	b.abs[ABS_X].maximum++;
	assert_false(vhu_input_ident_same(&a, &b));
	fill(&b);
	b.serial[0] = '1';
	assert_false(vhu_input_ident_same(&a, &b));
	fill(&b);
	b.ids.product++;
	assert_false(vhu_input_ident_same(&a, &b));
	fill(&b);
	b.props[0] = 0;
	assert_false(vhu_input_ident_same(&a, &b));
	fill(&b);
	vhu_input_ident_add(&b, EV_KEY, BTN_LEFT);
	assert_false(vhu_input_ident_same(&a, &b));
	fill(&b);
	b.name[0] = 'B';
	assert_false(vhu_input_ident_same(&a, &b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers),
		cmocka_unit_test(the_longest_texts),
		cmocka_unit_test(codes_in_and_out_of_range),
		cmocka_unit_test(slots),
		cmocka_unit_test(known_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
