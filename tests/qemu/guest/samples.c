/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sound that is known: no two places of it are alike, so that a frame that is lost, doubled, late
 * or of another channel is found.
 *
 *	samples make FORMAT CHANNELS [RATE] SOUND:FRAMES...	frames on standard output, with a
 *								rate as a WAV file
 *	samples compare FILE SOUND:FRAMES...	is all of that in a WAV file, and no more?
 *
 * SOUND is a number, each of which is another noise, or "tone" (440 Hz at 48000 Hz), or "silence".
 * In "compare" FRAMES may be "N-", at most so many frames of it, or "N?", anything up to where the
 * next sound begins; a first word "--loss" lets frames be lost, and tells how many arrived.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHANNELS_MAX 18u
#define TONE_STEP 0.0575958653158129 /* 2 pi 440 / 48000 */
#define TAG_PCM 1
#define TAG_FLOAT 3
#define TAG_EXTENSIBLE 0xfffe
#define LOOK_AHEAD 200000u
#define FAULTS_MAX 10u

struct format {
	const char *name;
	unsigned bits;	/* that count */
	unsigned bytes; /* of a sample */
	bool is_float, is_unsigned;
};

static const struct format formats[] = {
	{ "s8", 8, 1, .is_unsigned = false }, { "u8", 8, 1, .is_unsigned = true },
	{ "s16", 16, 2, .is_unsigned = false }, { "s24", 24, 4, .is_unsigned = false },
	{ "s32", 32, 4, .is_unsigned = false }, { "float", 24, 4, .is_float = true },
};

/* A WAV file's frames, or those that are expected; each sample is the upper bits of a word. */
struct frames {
	unsigned channels, bits;
	size_t n;
	int32_t *samples;
};

_Noreturn static void die(const char *what, const char *which)
{
	fprintf(stderr, "samples: %s: %s\n", what, which);
	exit(2);
}

/* --- what is made ---------------------------------------------------------------------- */

/* A sine without libm: its series is exact enough for 24 bits up to half a turn. */
static double sine(double x)
{
	double term, sum;

	x -= 6.283185307179586 * (double)(long)(x / 6.283185307179586 + 0.5);
	term = sum = x;
	for (unsigned i = 1; i < 14; i++) {
		term *= -x * x / (double)(2 * i * (2 * i + 1));
		sum += term;
	}
	return sum;
}

static int32_t sample_of(const char *sound, uint64_t frame, unsigned channel)
{
	uint64_t x;

	if (!strcmp(sound, "silence"))
		return 0;
	if (!strcmp(sound, "tone"))
		return (int32_t)(sine((double)frame * TONE_STEP) * 0x20000000);
	x = (strtoull(sound, NULL, 10) << 40) + frame * CHANNELS_MAX + channel;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return (int32_t)(x >> 32);
}

static char *colon_of(char *word)
{
	char *colon = strchr(word, ':');

	if (!colon)
		die(word, "must be SOUND:FRAMES");
	return colon;
}

/* Takes "SOUND:FRAMES" apart; returns what follows the number. */
static const char *parse(char *word, uint64_t *ret_n)
{
	char *colon = colon_of(word), *end;

	*colon = '\0';
	*ret_n = strtoull(colon + 1, &end, 10);
	return end;
}

static void put(uint32_t word, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		putchar((int)(word >> (8 * i) & 0xff));
}

static void put_sample(const struct format *format, int32_t sample)
{
	uint32_t word = (uint32_t)(sample >> (32 - format->bits));
	float number;

	if (format->is_unsigned)
		word ^= 1u << (format->bits - 1);
	if (format->is_float) {
		number = (float)(int32_t)word / 0x800000;
		memcpy(&word, &number, sizeof(word));
	}
	put(word, format->bytes);
}

static void put_header(const struct format *format, unsigned channels, uint32_t rate, uint64_t n)
{
	unsigned frame_bytes = channels * format->bytes;
	uint32_t data_bytes = (uint32_t)n * frame_bytes;

	fputs("RIFF", stdout);
	put(36 + data_bytes, 4);
	fputs("WAVEfmt ", stdout);
	put(16, 4);
	put(format->is_float ? TAG_FLOAT : TAG_PCM, 2);
	put(channels, 2);
	put(rate, 4);
	put(rate * frame_bytes, 4);
	put(frame_bytes, 2);
	put(8 * format->bytes, 2);
	fputs("data", stdout);
	put(data_bytes, 4);
}

/* rate: of a WAV file, or 0. */
static int make(const struct format *format, unsigned channels, uint32_t rate, char **words)
{
	uint64_t n, sum = 0;

	for (char **word = words; *word; word++)
		sum += strtoull(colon_of(*word) + 1, NULL, 10);
	if (rate && !format->is_float && format->bits != 8 * format->bytes)
		die(format->name, "is no format of WAV files");
	if (rate)
		put_header(format, channels, rate, sum);
	for (; *words; words++) {
		parse(*words, &n);
		for (uint64_t i = 0; i < n; i++)
			for (unsigned channel = 0; channel < channels; channel++)
				put_sample(format, sample_of(*words, i, channel));
	}
	return fflush(stdout) ? 2 : 0;
}

/* --- what is read ---------------------------------------------------------------------- */

static uint32_t get(const uint8_t *bytes, unsigned n)
{
	uint32_t word = 0;

	for (unsigned i = 0; i < n; i++)
		word |= (uint32_t)bytes[i] << (8 * i);
	return word;
}

static int32_t get_sample(const uint8_t *at, unsigned bytes, bool is_float, unsigned bits)
{
	uint32_t word = get(at, bytes) << (32 - 8 * bytes);
	float number;

	if (is_float) {
		memcpy(&number, &word, sizeof(number));
		return (int32_t)(number * 0x800000) * 256;
	}
	if (bytes == 1)
		word ^= 0x80000000;
	return (int32_t)(word & ~(uint32_t)0 << (32 - bits));
}

static uint8_t *read_file(const char *path, size_t *ret_n)
{
	FILE *file = fopen(path, "rb");
	uint8_t *bytes;
	long n;

	if (!file || fseek(file, 0, SEEK_END) || (n = ftell(file)) < 0 || fseek(file, 0, SEEK_SET))
		die(path, "cannot be read");
	bytes = malloc((size_t)n + 1);
	if (!bytes || fread(bytes, 1, (size_t)n, file) != (size_t)n)
		die(path, "cannot be read");
	fclose(file);
	*ret_n = (size_t)n;
	return bytes;
}

/* The chunk's data, which must be whole. */
static const uint8_t *find_chunk(const char *path, const uint8_t *file, size_t size,
				 const char *name, size_t *ret_n)
{
	size_t at = 12;

	if (size < 12 || memcmp(file, "RIFF", 4) || memcmp(file + 8, "WAVE", 4))
		die(path, "is no WAV file");
	if (get(file + 4, 4) + 8 != size)
		die(path, "is not as long as its header says");
	while (at + 8 <= size && memcmp(file + at, name, 4))
		at += 8 + ((size_t)get(file + at + 4, 4) + 1) / 2 * 2;
	if (at + 8 > size || get(file + at + 4, 4) > size - at - 8)
		die(path, "lacks a chunk");
	*ret_n = get(file + at + 4, 4);
	return file + at + 8;
}

static struct frames read_wav(const char *path)
{
	size_t size, n_format, n_data;
	uint8_t *file = read_file(path, &size);
	const uint8_t *format = find_chunk(path, file, size, "fmt ", &n_format);
	const uint8_t *data = find_chunk(path, file, size, "data", &n_data);
	uint32_t tag = get(format, 2), bytes = get(format + 14, 2) / 8;
	bool is_float;
	struct frames frames = { .channels = get(format + 2, 2), .bits = 8 * bytes };

	if (tag == TAG_EXTENSIBLE) {
		frames.bits = get(format + 18, 2);
		tag = get(format + 24, 2);
	}
	is_float = tag == TAG_FLOAT;
	if (is_float)
		frames.bits = 24;
	if ((tag != TAG_PCM && !is_float) || bytes < 1 || bytes > 4 || frames.bits > 8 * bytes ||
	    frames.channels < 1 || frames.channels > CHANNELS_MAX ||
	    get(format + 12, 2) != frames.channels * bytes)
		die(path, "has samples of an unknown kind");
	frames.n = n_data / (frames.channels * bytes);
	frames.samples = malloc((frames.n * frames.channels + 1) * sizeof(*frames.samples));
	if (!frames.samples)
		die(path, "is too long");
	for (size_t i = 0; i < frames.n * frames.channels; i++)
		frames.samples[i] = get_sample(data + i * bytes, bytes, is_float, frames.bits);
	free(file);
	return frames;
}

/* --- how they compare ------------------------------------------------------------------ */

static bool is_frame(const struct frames *frames, size_t at, const char *sound, uint64_t frame)
{
	for (unsigned channel = 0; channel < frames->channels; channel++) {
		int32_t expected = sample_of(sound, frame, channel) >> (32 - frames->bits);

		if (frames->samples[at * frames->channels + channel] >> (32 - frames->bits) !=
		    expected)
			return false;
	}
	return true;
}

/* Eight of 8 bits in a row are there by chance once in 2^64 times. */
static bool are_frames(const struct frames *frames, size_t at, const char *sound, uint64_t frame,
		       uint64_t n)
{
	uint64_t left = n - frame < 8 ? n - frame : 8;

	if (frames->n - at < left)
		return false;
	for (uint64_t i = 0; i < left; i++)
		if (!is_frame(frames, at + i, sound, frame + i))
			return false;
	return true;
}

/*
 * Frames of the file that are too many, or of the sound that are missing, until both go on alike.
 * *at and *frame are moved there.
 */
static void find_again(const struct frames *frames, size_t *at, const char *sound, uint64_t *frame,
		       uint64_t n)
{
	for (size_t ahead = 1; ahead < LOOK_AHEAD; ahead++) {
		if (*at + ahead < frames->n &&
		    are_frames(frames, *at + ahead, sound, *frame, n)) {
			*at += ahead;
			return;
		}
		if (*frame + ahead < n && are_frames(frames, *at, sound, *frame + ahead, n)) {
			*frame += ahead;
			return;
		}
	}
	*frame = n;
}

/* To where the sound of the next word begins. */
static void skip(const struct frames *frames, size_t *at, const char *next)
{
	char *word = next ? strdup(next) : NULL;
	uint64_t n;

	if (word)
		parse(word, &n);
	while (*at < frames->n && !(word && are_frames(frames, *at, word, 0, n)))
		(*at)++;
	free(word);
}

/* Returns the faults. *at is moved behind the sound. */
static unsigned compare_sound(const struct frames *frames, size_t *at, char *word, const char *next,
			      bool loss)
{
	uint64_t n, frame = 0, arrived = 0;
	unsigned faults = 0;
	char kind = *parse(word, &n);

	while (frame < n) {
		size_t old_at = *at;
		uint64_t old_frame = frame;

		if (*at < frames->n && is_frame(frames, *at, word, frame)) {
			(*at)++;
			frame++;
			arrived++;
			continue;
		}
		if (kind || (loss && *at == frames->n))
			break;
		find_again(frames, at, word, &frame, n);
		if (++faults <= FAULTS_MAX)
			printf("%s: at frame %llu: %llu missing, %zu that are not of it\n", word,
			       (unsigned long long)old_frame,
			       (unsigned long long)(frame - old_frame), *at - old_at);
	}
	printf("%s: %llu of %llu frames arrived (%.3f %%)\n", word, (unsigned long long)arrived,
	       (unsigned long long)n, n ? 100.0 * (double)arrived / (double)n : 100.0);
	if (kind == '?')
		skip(frames, at, next);
	return loss || kind ? 0 : faults + (arrived < n);
}

static int compare(char **words)
{
	bool loss = *words && !strcmp(*words, "--loss");
	struct frames frames;
	unsigned faults = 0;
	size_t at = 0;

	words += loss;
	frames = read_wav(*words++);
	for (; *words; words++)
		faults += compare_sound(&frames, &at, words[0], words[1], loss);
	if (at < frames.n) {
		printf("%zu frames more\n", frames.n - at);
		faults += !loss;
	}
	free(frames.samples);
	return faults > 0;
}

int main(int argc, char **argv)
{
	unsigned channels;
	uint32_t rate;

	if (argc > 3 && !strcmp(argv[1], "compare"))
		return compare(argv + 2);
	if (argc < 5 || strcmp(argv[1], "make"))
		die("usage", "samples make|compare ...");
	channels = (unsigned)strtoul(argv[3], NULL, 10);
	if (channels < 1 || channels > CHANNELS_MAX)
		die(argv[3], "must be a number of channels");
	rate = strchr(argv[4], ':') ? 0 : (uint32_t)strtoul(argv[4], NULL, 10);
	for (size_t i = 0; i < sizeof(formats) / sizeof(*formats); i++)
		if (!strcmp(argv[2], formats[i].name))
			return make(&formats[i], channels, rate, argv + (rate ? 5 : 4));
	die(argv[2], "must be a format");
}
