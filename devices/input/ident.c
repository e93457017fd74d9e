/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/input/ident.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

#include "common/base/num.h"

static_assert(sizeof(struct virtio_input_config) == 136, "virtio 1.3, 5.8.4");
static_assert((KEY_CNT + 7) / 8 <= sizeof(((struct virtio_input_config *)0)->u.bitmap),
	      "the bits of every type fit");

/* How many codes a type has; 0: it is not one that a guest is told of. */
static const unsigned n_codes[EV_CNT] = {
	[EV_KEY] = KEY_CNT, [EV_REL] = REL_CNT, [EV_ABS] = ABS_CNT, [EV_MSC] = MSC_CNT,
	[EV_SW] = SW_CNT,   [EV_LED] = LED_CNT, [EV_SND] = SND_CNT, [EV_REP] = REP_CNT,
};

static bool is_code(unsigned type, unsigned code)
{
	return type < EV_CNT && code < n_codes[type];
}

void vhu_input_ident_add(struct vhu_input_ident *ident, unsigned type, unsigned code)
{
	if (is_code(type, code))
		ident->codes[type][code / 8] |= (uint8_t)(1u << code % 8);
}

void vhu_input_ident_remove(struct vhu_input_ident *ident, unsigned type, unsigned code)
{
	if (is_code(type, code))
		ident->codes[type][code / 8] &= (uint8_t) ~(1u << code % 8);
}

bool vhu_input_ident_has(const struct vhu_input_ident *ident, unsigned type, unsigned code)
{
	return is_code(type, code) && ident->codes[type][code / 8] >> code % 8 & 1;
}

unsigned vhu_input_ident_slots(const struct vhu_input_ident *ident)
{
	if (!vhu_input_ident_has(ident, EV_ABS, ABS_MT_SLOT) || ident->abs[ABS_MT_SLOT].maximum < 0)
		return 0;
	return (unsigned)ident->abs[ABS_MT_SLOT].maximum + 1;
}

static bool same_axes(const struct vhu_input_ident *a, const struct vhu_input_ident *b)
{
	for (unsigned i = 0; i < ABS_CNT; i++)
		if (vhu_input_ident_has(a, EV_ABS, i) && (a->abs[i].minimum != b->abs[i].minimum ||
							  a->abs[i].maximum != b->abs[i].maximum))
			return false;
	return true;
}

bool vhu_input_ident_same(const struct vhu_input_ident *a, const struct vhu_input_ident *b)
{
	return !strcmp(a->name, b->name) && !strcmp(a->serial, b->serial) &&
	       !memcmp(&a->ids, &b->ids, sizeof(a->ids)) &&
	       !memcmp(a->props, b->props, sizeof(a->props)) &&
	       !memcmp(a->codes, b->codes, sizeof(a->codes)) && same_axes(a, b);
}

static size_t answer_text(const char *text, struct virtio_input_config *config)
{
	size_t len = strlen(text);

	memcpy(config->u.string, text, len);
	return len;
}

/* Up to the last byte that has a bit. */
static size_t answer_bits(const uint8_t *bits, size_t len, struct virtio_input_config *config)
{
	while (len && !bits[len - 1])
		len--;
	memcpy(config->u.bitmap, bits, len);
	return len;
}

static size_t answer_name(const struct vhu_input_ident *ident, uint8_t subsel,
			  struct virtio_input_config *config)
{
	return subsel ? 0 : answer_text(ident->name, config);
}

static size_t answer_serial(const struct vhu_input_ident *ident, uint8_t subsel,
			    struct virtio_input_config *config)
{
	return subsel ? 0 : answer_text(ident->serial, config);
}

static size_t answer_ids(const struct vhu_input_ident *ident, uint8_t subsel,
			 struct virtio_input_config *config)
{
	if (subsel)
		return 0;
	config->u.ids.bustype = htole16(ident->ids.bustype);
	config->u.ids.vendor = htole16(ident->ids.vendor);
	config->u.ids.product = htole16(ident->ids.product);
	config->u.ids.version = htole16(ident->ids.version);
	return sizeof(config->u.ids);
}

static size_t answer_props(const struct vhu_input_ident *ident, uint8_t subsel,
			   struct virtio_input_config *config)
{
	return subsel ? 0 : answer_bits(ident->props, sizeof(ident->props), config);
}

static size_t answer_codes(const struct vhu_input_ident *ident, uint8_t subsel,
			   struct virtio_input_config *config)
{
	if (subsel >= EV_CNT || !n_codes[subsel])
		return 0;
	return answer_bits(ident->codes[subsel], sizeof(ident->codes[subsel]), config);
}

static size_t answer_axis(const struct vhu_input_ident *ident, uint8_t subsel,
			  struct virtio_input_config *config)
{
	const struct input_absinfo *axis = &ident->abs[subsel % ABS_CNT];

	if (!vhu_input_ident_has(ident, EV_ABS, subsel))
		return 0;
	config->u.abs.min = htole32((uint32_t)axis->minimum);
	config->u.abs.max = htole32((uint32_t)axis->maximum);
	config->u.abs.fuzz = htole32((uint32_t)axis->fuzz);
	config->u.abs.flat = htole32((uint32_t)axis->flat);
	config->u.abs.res = htole32((uint32_t)axis->resolution);
	return sizeof(config->u.abs);
}

static size_t (*const answers[])(const struct vhu_input_ident *ident, uint8_t subsel,
				 struct virtio_input_config *config) = {
	[VIRTIO_INPUT_CFG_ID_NAME] = answer_name,  [VIRTIO_INPUT_CFG_ID_SERIAL] = answer_serial,
	[VIRTIO_INPUT_CFG_ID_DEVIDS] = answer_ids, [VIRTIO_INPUT_CFG_PROP_BITS] = answer_props,
	[VIRTIO_INPUT_CFG_EV_BITS] = answer_codes, [VIRTIO_INPUT_CFG_ABS_INFO] = answer_axis,
};

void vhu_input_ident_answer(const struct vhu_input_ident *ident, uint8_t select, uint8_t subsel,
			    struct virtio_input_config *ret_config)
{
	memset(ret_config, 0, sizeof(*ret_config));
	ret_config->select = select;
	ret_config->subsel = subsel;
	if (select < ARRAY_SIZE(answers) && answers[select])
		ret_config->size = (uint8_t)answers[select](ident, subsel, ret_config);
}
