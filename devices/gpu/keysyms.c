/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The keys of a US keyboard by what is printed on them. Keysyms of ASCII are ASCII (X11 protocol,
 * appendix A); what Shift makes of a key is the same key.
 */
#include <linux/input-event-codes.h>
#include <stddef.h>

#include "common/base/num.h"
#include "devices/gpu/remote_input.h"

/* Neighbours have neighbouring codes. */
static const struct {
	const char *plain, *shifted;
	uint16_t first;
} rows[] = {
	{ "1234567890-=", "!@#$%^&*()_+", KEY_1 },
	{ "qwertyuiop[]", "QWERTYUIOP{}", KEY_Q },
	{ "asdfghjkl;'`", "ASDFGHJKL:\"~", KEY_A },
	{ "\\zxcvbnm,./", "|ZXCVBNM<>?", KEY_BACKSLASH },
	{ " ", " ", KEY_SPACE },
};

static const struct {
	uint32_t first, last; /* keysyms, with as many codes */
	uint16_t code;
} others[] = {
	{ 0xff08, 0xff08, KEY_BACKSPACE },  { 0xff09, 0xff09, KEY_TAB },
	{ 0xfe20, 0xfe20, KEY_TAB }, /* ISO_Left_Tab: with Shift */
	{ 0xff0d, 0xff0d, KEY_ENTER },	    { 0xff13, 0xff13, KEY_PAUSE },
	{ 0xff6b, 0xff6b, KEY_PAUSE },	    { 0xff14, 0xff14, KEY_SCROLLLOCK },
	{ 0xff15, 0xff15, KEY_SYSRQ },	    { 0xff61, 0xff61, KEY_SYSRQ },
	{ 0xff1b, 0xff1b, KEY_ESC },	    { 0xff50, 0xff50, KEY_HOME },
	{ 0xff51, 0xff51, KEY_LEFT },	    { 0xff52, 0xff52, KEY_UP },
	{ 0xff53, 0xff53, KEY_RIGHT },	    { 0xff54, 0xff54, KEY_DOWN },
	{ 0xff55, 0xff55, KEY_PAGEUP },	    { 0xff56, 0xff56, KEY_PAGEDOWN },
	{ 0xff57, 0xff57, KEY_END },	    { 0xff63, 0xff63, KEY_INSERT },
	{ 0xff67, 0xff67, KEY_COMPOSE },    { 0xff7f, 0xff7f, KEY_NUMLOCK },
	{ 0xff8d, 0xff8d, KEY_KPENTER },
	/* The numeric keypad without Num Lock, then with it. */
	{ 0xff95, 0xff95, KEY_KP7 },	    { 0xff96, 0xff96, KEY_KP4 },
	{ 0xff97, 0xff97, KEY_KP8 },	    { 0xff98, 0xff98, KEY_KP6 },
	{ 0xff99, 0xff99, KEY_KP2 },	    { 0xff9a, 0xff9a, KEY_KP9 },
	{ 0xff9b, 0xff9b, KEY_KP3 },	    { 0xff9c, 0xff9c, KEY_KP1 },
	{ 0xff9d, 0xff9d, KEY_KP5 },	    { 0xff9e, 0xff9e, KEY_KP0 },
	{ 0xff9f, 0xff9f, KEY_KPDOT },	    { 0xffaa, 0xffaa, KEY_KPASTERISK },
	{ 0xffab, 0xffab, KEY_KPPLUS },	    { 0xffac, 0xffac, KEY_KPCOMMA },
	{ 0xffad, 0xffad, KEY_KPMINUS },    { 0xffae, 0xffae, KEY_KPDOT },
	{ 0xffaf, 0xffaf, KEY_KPSLASH },    { 0xffb0, 0xffb0, KEY_KP0 },
	{ 0xffb1, 0xffb3, KEY_KP1 },	    { 0xffb4, 0xffb6, KEY_KP4 },
	{ 0xffb7, 0xffb9, KEY_KP7 },	    { 0xffbd, 0xffbd, KEY_KPEQUAL },
	{ 0xffbe, 0xffc7, KEY_F1 },	    { 0xffc8, 0xffc9, KEY_F11 },
	{ 0xffca, 0xffd5, KEY_F13 },	    { 0xffe1, 0xffe1, KEY_LEFTSHIFT },
	{ 0xffe2, 0xffe2, KEY_RIGHTSHIFT }, { 0xffe3, 0xffe3, KEY_LEFTCTRL },
	{ 0xffe4, 0xffe4, KEY_RIGHTCTRL },  { 0xffe5, 0xffe5, KEY_CAPSLOCK },
	{ 0xffe7, 0xffe7, KEY_LEFTALT },    { 0xffe8, 0xffe8, KEY_RIGHTALT },
	{ 0xffe9, 0xffe9, KEY_LEFTALT },    { 0xffea, 0xffea, KEY_RIGHTALT },
	{ 0xffeb, 0xffeb, KEY_LEFTMETA },   { 0xffec, 0xffec, KEY_RIGHTMETA },
	{ 0xfe03, 0xfe03, KEY_RIGHTALT },   { 0xffff, 0xffff, KEY_DELETE },
};

uint16_t vhu_gpu_key_of_keysym(uint32_t keysym)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		for (uint16_t k = 0; rows[i].plain[k]; k++)
			if (keysym == (unsigned char)rows[i].plain[k] ||
			    keysym == (unsigned char)rows[i].shifted[k])
				return (uint16_t)(rows[i].first + k);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		if (keysym >= others[i].first && keysym <= others[i].last)
			return (uint16_t)(others[i].code + (keysym - others[i].first));
	return 0;
}
