/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/qemu/guest/input_tally.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void note(struct tally_line *line, unsigned code, int32_t value)
{
	line->n++;
	line->hash = (line->hash ^ (code << 8 | (value & 0xff))) * 0x100000001b3ull;
}

static void note_key(struct tally *tally, unsigned code, int32_t value)
{
	/* The repeats of a key that is held are nobody's transitions. */
	if (value == 2 || code >= KEY_CNT)
		return;
	note(&tally->keys, code, value);
	tally->released += !value;
	tally->key[code] = value;
}

static void note_tracking_id(struct tally *tally, int32_t id)
{
	bool *contact = &tally->contact[tally->slot];

	if (*contact) {
		note(&tally->contacts, tally->slot, 0);
		tally->released++;
	}
	*contact = id >= 0;
	if (*contact)
		note(&tally->contacts, tally->slot, 1);
}

static void note_abs(struct tally *tally, unsigned code, int32_t value)
{
	switch (code) {
	case ABS_MT_SLOT:
		tally->slot = (unsigned)value % TALLY_SLOTS;
		break;
	case ABS_MT_TRACKING_ID:
		note_tracking_id(tally, value);
		break;
	case ABS_MT_POSITION_X:
		tally->x[tally->slot] = value;
		break;
	case ABS_MT_POSITION_Y:
		tally->y[tally->slot] = value;
		break;
	default:
		tally->abs[code % ABS_CNT] = value;
	}
}

static bool is_torn(const struct tally *tally)
{
	if (tally->packet_rel[REL_X] + tally->packet_rel[REL_Y] ||
	    tally->packet_rel[REL_WHEEL_HI_RES] != 120 * tally->packet_rel[REL_WHEEL])
		return true;
	for (unsigned i = 0; i < TALLY_SLOTS; i++)
		if (tally->contact[i] && tally->x[i] + tally->y[i] != TALLY_AXIS_MAX)
			return true;
	return (tally->abs[ABS_X] || tally->abs[ABS_Y]) &&
	       tally->abs[ABS_X] + tally->abs[ABS_Y] != TALLY_AXIS_MAX;
}

static void end_packet(struct tally *tally)
{
	tally->packets++;
	tally->torn += is_torn(tally);
	if (tally->released > tally->most_released)
		tally->most_released = tally->released;
	if (tally->in_packet > tally->longest)
		tally->longest = tally->in_packet;
	tally->released = 0;
	tally->in_packet = 0;
	memset(tally->packet_rel, 0, sizeof(tally->packet_rel));
}

void tally_event(struct tally *tally, unsigned type, unsigned code, int32_t value)
{
	tally->events++;
	tally->in_packet++;
	if (type == EV_SYN && code == SYN_REPORT) {
		end_packet(tally);
	} else if (type == EV_KEY) {
		note_key(tally, code, value);
	} else if (type == EV_SW && code < SW_CNT) {
		note(&tally->switches, code, value);
		tally->sw[code] = value;
	} else if (type == EV_REL && code < REL_CNT) {
		tally->rel[code] += value;
		tally->packet_rel[code] += value;
	} else if (type == EV_ABS) {
		note_abs(tally, code, value);
	}
}

void tally_forget(struct tally *tally)
{
	tally->keys = tally->switches = tally->contacts = (struct tally_line){ 0 };
	memset(tally->rel, 0, sizeof(tally->rel));
	tally->events = tally->packets = tally->torn = 0;
	tally->longest = tally->most_released = 0;
}

static void write_line(FILE *file, const char *name, const struct tally_line *line)
{
	fprintf(file, "%s %" PRIu64 " %016" PRIx64 "\n", name, line->n, line->hash);
}

/* Lines that begin with "now" are the state. */
void tally_write(const struct tally *tally, const char *path)
{
	char *tmp;
	FILE *file;

	if (asprintf(&tmp, "%s.tmp", path) < 0)
		abort();
	file = fopen(tmp, "w");
	if (!file)
		abort();
	write_line(file, "keys", &tally->keys);
	write_line(file, "switches", &tally->switches);
	write_line(file, "contacts", &tally->contacts);
	for (unsigned i = 0; i < REL_CNT; i++)
		if (tally->rel[i])
			fprintf(file, "rel %u %" PRId64 "\n", i, tally->rel[i]);
	for (unsigned i = 0; i < KEY_CNT; i++)
		if (tally->key[i])
			fprintf(file, "now key %u\n", i);
	for (unsigned i = 0; i < SW_CNT; i++)
		if (tally->sw[i])
			fprintf(file, "now switch %u\n", i);
	for (unsigned i = 0; i < ABS_CNT; i++)
		if (tally->abs[i])
			fprintf(file, "now abs %u %d\n", i, tally->abs[i]);
	for (unsigned i = 0; i < TALLY_SLOTS; i++)
		if (tally->contact[i])
			fprintf(file, "now contact %u at %d %d\n", i, tally->x[i], tally->y[i]);
	if (fclose(file) || rename(tmp, path))
		abort();
	free(tmp);
}
