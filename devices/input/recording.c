/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/input/recording.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/num.h"

#define EVENTS_MAX (4u << 20)
#define FRACTION_DIGITS 9

/* While a recording is read. */
struct reader {
	struct vhu_input_recording *recording;
	size_t room;
	unsigned n_props;	  /* bytes so far */
	unsigned n_codes[EV_CNT]; /* the same, of each type */
	bool has_name, has_ids;
	const char *why; /* a constant text */
};

static const char *skip_blanks(const char *at)
{
	while (isblank((unsigned char)*at))
		at++;
	return at;
}

static bool take_number(const char **at, int base, int64_t min, int64_t max, int64_t *ret_value)
{
	const char *begin = skip_blanks(*at);
	char *end;
	long long value;

	errno = 0;
	value = strtoll(begin, &end, base);
	if (end == begin || errno || value < min || value > max)
		return false;
	*at = end;
	*ret_value = value;
	return true;
}

static bool at_end(const char *at)
{
	at = skip_blanks(at);
	return !*at || *at == '#';
}

/* Seconds with a fraction, as "12.000345". */
static bool take_time(const char **at, uint64_t *ret_ns)
{
	uint64_t fraction = 0, scale = NS_PER_SEC;
	int64_t seconds;

	if (!take_number(at, 10, 0, UINT32_MAX, &seconds) || **at != '.')
		return false;
	++*at;
	for (unsigned i = 0; isdigit((unsigned char)**at) && i < FRACTION_DIGITS; i++) {
		scale /= 10;
		fraction += (uint64_t)(*(*at)++ - '0') * scale;
	}
	*ret_ns = (uint64_t)seconds * NS_PER_SEC + fraction;
	return isblank((unsigned char)**at);
}

int vhu_input_parse_event(const char *line, struct vhu_input_timed_event *ret_event,
			  const char **ret_why)
{
	struct vhu_input_timed_event event;
	int64_t type, code, value;
	const char *at;

	line = skip_blanks(line);
	if (!*line || *line == '#')
		return 0;
	if (strchr("NIPBALS", *line) && line[1] == ':')
		return 0;
	*ret_why = "does not begin with N:, I:, P:, B:, A:, L:, S:, E: or #";
	if (line[0] != 'E' || line[1] != ':')
		return -EINVAL;
	at = line + 2;
	*ret_why = "is not E: SECONDS.MICROSECONDS TYPE CODE VALUE";
	if (!take_time(&at, &event.time_ns) || !take_number(&at, 16, 0, EV_MAX, &type) ||
	    !take_number(&at, 16, 0, UINT16_MAX, &code) ||
	    !take_number(&at, 10, INT32_MIN, INT32_MAX, &value) || !at_end(at))
		return -EINVAL;
	event.event = (struct vhu_input_event){ (uint16_t)type, (uint16_t)code, (int32_t)value };
	*ret_event = event;
	return 1;
}

static int read_name(struct reader *reader, const char *at)
{
	char *name = reader->recording->ident.name;
	size_t len;

	at = skip_blanks(at);
	len = strlen(at);
	reader->why = "is not a name of up to 128 bytes";
	reader->has_name = true;
	if (len > VHU_INPUT_TEXT_MAX)
		return -EINVAL;
	memcpy(name, at, len + 1);
	return 0;
}

static int read_ids(struct reader *reader, const char *at)
{
	int64_t ids[4];

	reader->why = "is not I: BUS VENDOR PRODUCT VERSION";
	for (unsigned i = 0; i < ARRAY_SIZE(ids); i++)
		if (!take_number(&at, 16, 0, UINT16_MAX, &ids[i]))
			return -EINVAL;
	if (!at_end(at))
		return -EINVAL;
	reader->recording->ident.ids = (struct input_id){
		.bustype = (uint16_t)ids[0],
		.vendor = (uint16_t)ids[1],
		.product = (uint16_t)ids[2],
		.version = (uint16_t)ids[3],
	};
	reader->has_ids = true;
	return 0;
}

static int read_props(struct reader *reader, const char *at)
{
	struct vhu_input_ident *ident = &reader->recording->ident;
	int64_t byte;

	reader->why = "is not P: and bytes";
	while (!at_end(at)) {
		if (!take_number(&at, 16, 0, UINT8_MAX, &byte))
			return -EINVAL;
		if (reader->n_props < sizeof(ident->props))
			ident->props[reader->n_props++] = (uint8_t)byte;
	}
	return 0;
}

static void add_code(struct vhu_input_ident *ident, unsigned type, unsigned code)
{
	if (type != EV_SYN) {
		vhu_input_ident_add(ident, type, code);
	} else if (code == EV_REP) { /* whose codes are not always listed */
		vhu_input_ident_add(ident, EV_REP, REP_DELAY);
		vhu_input_ident_add(ident, EV_REP, REP_PERIOD);
	}
}

static int read_codes(struct reader *reader, const char *at)
{
	int64_t type, byte;

	reader->why = "is not B: TYPE and bytes";
	if (!take_number(&at, 16, 0, EV_MAX, &type))
		return -EINVAL;
	while (!at_end(at)) {
		if (!take_number(&at, 16, 0, UINT8_MAX, &byte) ||
		    reader->n_codes[type] >= VHU_INPUT_LINE_MAX)
			return -EINVAL;
		for (unsigned i = 0; i < 8; i++)
			if (byte >> i & 1)
				add_code(&reader->recording->ident, (unsigned)type,
					 reader->n_codes[type] * 8 + i);
		reader->n_codes[type]++;
	}
	return 0;
}

static int read_axis(struct reader *reader, const char *at)
{
	struct vhu_input_ident *ident = &reader->recording->ident;
	int64_t axis, values[4], resolution = 0;

	reader->why = "is not A: AXIS MINIMUM MAXIMUM FUZZ FLAT RESOLUTION";
	if (!take_number(&at, 16, 0, ABS_MAX, &axis))
		return -EINVAL;
	for (unsigned i = 0; i < ARRAY_SIZE(values); i++)
		if (!take_number(&at, 10, INT32_MIN, INT32_MAX, &values[i]))
			return -EINVAL;
	if (!at_end(at) && !take_number(&at, 10, INT32_MIN, INT32_MAX, &resolution))
		return -EINVAL;
	if (!at_end(at) || values[0] > values[1])
		return -EINVAL;
	ident->abs[axis] = (struct input_absinfo){
		.minimum = (int32_t)values[0],
		.maximum = (int32_t)values[1],
		.fuzz = (int32_t)values[2],
		.flat = (int32_t)values[3],
		.resolution = (int32_t)resolution,
	};
	return 0;
}

static int read_switch(struct reader *reader, const char *at)
{
	struct vhu_input_event event = { .type = EV_SW };
	int64_t code, value;

	reader->why = "is not S: SWITCH VALUE";
	if (!take_number(&at, 16, 0, SW_MAX, &code) || !take_number(&at, 10, 0, 1, &value) ||
	    !at_end(at))
		return -EINVAL;
	event.code = (uint16_t)code;
	event.value = (int32_t)value;
	vhu_input_state_apply(&reader->recording->state, &event);
	return 0;
}

static int read_led(struct reader *reader, const char *at)
{
	(void)reader;
	(void)at;
	return 0;
}

static const struct {
	char letter;
	int (*read)(struct reader *reader, const char *at);
} descriptions[] = {
	{ 'N', read_name }, { 'I', read_ids },	  { 'P', read_props }, { 'B', read_codes },
	{ 'A', read_axis }, { 'S', read_switch }, { 'L', read_led },
};

static int add_event(struct reader *reader, const struct vhu_input_timed_event *event)
{
	struct vhu_input_recording *recording = reader->recording;

	reader->why = "is one too many";
	if (recording->n == EVENTS_MAX)
		return -EFBIG;
	if (recording->n == reader->room) {
		size_t room = reader->room ? 2 * reader->room : 256;
		void *events = realloc(recording->events, room * sizeof(*recording->events));

		if (!events)
			return -ENOMEM;
		recording->events = events;
		reader->room = room;
	}
	recording->events[recording->n] = *event;
	/* Clocks are set while others record. */
	if (recording->n && event->time_ns < recording->events[recording->n - 1].time_ns)
		recording->events[recording->n].time_ns =
			recording->events[recording->n - 1].time_ns;
	recording->n++;
	return 0;
}

static int read_line(struct reader *reader, const char *line)
{
	struct vhu_input_timed_event event;
	int r = vhu_input_parse_event(line, &event, &reader->why);

	if (r)
		return r < 0 ? r : add_event(reader, &event);
	line = skip_blanks(line);
	for (size_t i = 0; i < ARRAY_SIZE(descriptions); i++)
		if (*line == descriptions[i].letter)
			return descriptions[i].read(reader, line + 2);
	return 0;
}

static bool is_report(const struct vhu_input_event *event)
{
	return event->type == EV_SYN && event->code == SYN_REPORT;
}

/* What follows the last SYN_REPORT is no packet. */
static void cut_last_packet(struct vhu_input_recording *recording, const char *path)
{
	size_t n = recording->n;

	while (n && !is_report(&recording->events[n - 1].event))
		n--;
	if (n < recording->n)
		vhu_warning("%s: is cut short: its last packet has no end, and is left out", path);
	recording->n = n;
}

static int read_lines(struct reader *reader, FILE *file, const char *path)
{
	char line[VHU_INPUT_LINE_MAX];
	unsigned number = 0;

	while (fgets(line, sizeof(line), file)) {
		size_t len = strlen(line);
		bool whole = len && line[len - 1] == '\n';
		int r;

		number++;
		/* The rest of its last number may be missing. */
		if (!whole && feof(file))
			break;
		line[len - whole] = '\0';
		while (whole && len > 1 && line[len - 2] == '\r')
			line[--len - 1] = '\0';
		reader->why = "is too long, or no text";
		r = whole ? read_line(reader, line) : -EINVAL;
		if (r < 0) {
			vhu_error("%s: line %u %s", path, number,
				  r == -ENOMEM ? strerror(ENOMEM) : reader->why);
			return r;
		}
	}
	if (!ferror(file))
		return 0;
	vhu_error("%s: %s", path, strerror(errno));
	return -EIO;
}

int vhu_input_recording_read(const char *path, struct vhu_input_recording *ret_recording)
{
	struct vhu_input_recording recording = { { { 0 } } };
	struct reader reader = { .recording = &recording };
	FILE *file = fopen(path, "re");
	int r;

	if (!file) {
		r = -errno;
		vhu_error("%s: %s", path, strerror(-r));
		return r;
	}
	vhu_input_state_init(&recording.state);
	r = read_lines(&reader, file, path);
	fclose(file);
	if (r == 0 && (!reader.has_name || !reader.has_ids || !reader.n_codes[EV_SYN])) {
		vhu_error("%s: does not say what device it is of: N:, I: and B: lines are missing",
			  path);
		r = -EINVAL;
	}
	if (r < 0) {
		vhu_input_recording_free(&recording);
		return r;
	}
	cut_last_packet(&recording, path);
	*ret_recording = recording;
	return 0;
}

void vhu_input_recording_free(struct vhu_input_recording *recording)
{
	free(recording->events);
	recording->events = NULL;
	recording->n = 0;
}
