/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/device/studio.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/fd.h"

#define MEMORY_BYTES (8u << 20)
#define RING_ENTRIES 64
#define ARGS_MAX 24

static const char *const usual_args[] = {
	"--playback", "wav:DIR/out.wav",
	"--capture",  "wav:DIR/in.wav",
	"--playback", "null",
	"--capture",  "null",
	"--jack",     "Headphone",
	"--formats",  "s8,u8,s16,s24,s32,float",
	"--controls",
	NULL,
};

static void write_input(const struct studio *studio)
{
	uint32_t frames[INPUT_FRAMES];
	struct {
		char riff[4];
		uint32_t riff_bytes;
		char wave_fmt[8];
		uint32_t fmt_bytes;
		uint16_t tag, channels;
		uint32_t rate, byte_rate;
		uint16_t frame_bytes, bits;
		char data[4];
		uint32_t data_bytes;
	} header = { "RIFF", 36 + sizeof(frames), "WAVEfmt ", 16, 1, 2, 48000, 192000, 4, 16,
		     "data", sizeof(frames) };
	char path[80];
	int fd;

	memcpy(header.wave_fmt, "WAVEfmt ", 8);
	for (uint32_t i = 0; i < INPUT_FRAMES; i++)
		frames[i] = htole32(ramp(i));
	snprintf(path, sizeof(path), "%s/in.wav", studio->program.dir);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, &header, sizeof(header)), sizeof(header));
	assert_int_equal(write(fd, frames, sizeof(frames)), sizeof(frames));
	close(fd);
}

int studio_setup(void **state)
{
	struct studio *studio = calloc(1, sizeof(*studio));

	assert_non_null(studio);
	program_init(&studio->program, "/tmp");
	vhu_frontend_init(&studio->frontend);
	studio->frontend.timeout_ms = WAIT_MS;
	assert_true(vhu_guest_add(&studio->frontend.guest, 0, MEMORY_BYTES) >= 0);
	write_input(studio);
	*state = studio;
	return 0;
}

static void finish_drivers(struct studio *studio)
{
	if (!studio->has_drivers)
		return;
	vhu_driver_finish(&studio->control);
	vhu_driver_finish(&studio->event);
	vhu_driver_finish(&studio->tx);
	vhu_driver_finish(&studio->rx);
	studio->has_drivers = false;
}

int studio_teardown(void **state)
{
	struct studio *studio = *state;
	char *said;
	int status = studio->program.pid ? -1 : 0; /* 0: the test has ended it */

	vhu_frontend_finish(&studio->frontend);
	finish_drivers(studio);
	if (studio->program.pid && program_lives(&studio->program))
		status = program_end(&studio->program);
	said = program_said(&studio->program);
	if (strstr(said, "Sanitizer") || strstr(said, "runtime error"))
		status = -1;
	if (status)
		fprintf(stderr, "status %d\n%s", status, said);
	free(said);
	program_finish(&studio->program);
	free(studio);
	return status;
}

static char *expand(const struct studio *studio, const char *arg)
{
	const char *dir = strstr(arg, "DIR");
	char *text;

	if (!dir)
		return strdup(arg);
	assert_true(asprintf(&text, "%.*s%s%s", (int)(dir - arg), arg, studio->program.dir,
			     dir + 3) > 0);
	return text;
}

void studio_start(struct studio *studio, const char *const *args)
{
	char *expanded[ARGS_MAX + 1] = { NULL };
	unsigned n = 0;

	for (args = args ? args : usual_args; *args; args++) {
		assert_true(n < ARGS_MAX);
		expanded[n++] = expand(studio, *args);
	}
	program_start(&studio->program, "cli/vhu-sound", (const char *const *)expanded);
	while (n)
		free(expanded[--n]);
}

static void add_event_buffer(struct studio *studio, uint64_t token)
{
	assert_true(vhu_driver_add(&studio->event, &studio->events[token], 0, 1, token) >= 0);
}

static void allocate(struct studio *studio)
{
	struct vhu_guest *guest = &studio->frontend.guest;

	studio->request = vhu_guest_alloc(guest, 4096, 8);
	studio->response = vhu_guest_alloc(guest, 65540, 8);
	/* So that what is behind the status is aligned. */
	studio->response.gpa += 4;
	studio->response.host = (char *)studio->response.host + 4;
	studio->response.len -= 4;
	for (unsigned i = 0; i < ARRAY_SIZE(studio->events); i++)
		studio->events[i] = vhu_guest_alloc(guest, 8, 8);
	for (unsigned i = 0; i < STUDIO_MESSAGES; i++)
		studio->messages[i] = (struct studio_message){
			.header = vhu_guest_alloc(guest, 4, 4),
			.data = vhu_guest_alloc(guest, STUDIO_DATA_BYTES, 8),
			.status = vhu_guest_alloc(guest, 8, 8),
		};
	assert_non_null(studio->messages[STUDIO_MESSAGES - 1].status.host);
}

void studio_connect(struct studio *studio, uint64_t ring_features)
{
	struct vhu_frontend *frontend = &studio->frontend;
	struct vhu_driver *drivers[] = { &studio->control, &studio->event, &studio->tx,
					 &studio->rx };

	finish_drivers(studio);
	frontend->guest.regions[0].used_bytes = 0;
	vhu_frontend_disconnect(frontend);
	assert_int_equal(vhu_frontend_connect(frontend, studio->program.socket), 0);
	assert_int_equal(
		vhu_frontend_negotiate(
			frontend, (VHU_FRONTEND_FEATURES | ring_features) & ~studio->refused,
			VHU_FRONTEND_PROTOCOL_FEATURES | VHU_BIT(VHU_PROTOCOL_F_DEVICE_STATE)),
		0);
	assert_int_equal(vhu_frontend_share_memory(frontend), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(drivers); i++)
		assert_int_equal(vhu_driver_init(drivers[i], frontend, i, RING_ENTRIES), 0);
	studio->has_drivers = true;
	allocate(studio);
	for (unsigned i = 0; i < ARRAY_SIZE(studio->events); i++)
		add_event_buffer(studio, i);
	vhu_driver_publish(&studio->event);
	for (unsigned i = 0; i < ARRAY_SIZE(drivers); i++)
		assert_int_equal(vhu_driver_start(drivers[i]), 0);
}

void studio_begin(struct studio *studio)
{
	studio_start(studio, NULL);
	studio_connect(studio, 0);
}

void *studio_file(const struct studio *studio, const char *name, size_t *ret_bytes)
{
	char path[80], *bytes = NULL;
	FILE *file;
	long n;

	snprintf(path, sizeof(path), "%s/%s", studio->program.dir, name);
	file = fopen(path, "r");
	assert_non_null(file);
	fseek(file, 0, SEEK_END);
	n = ftell(file);
	rewind(file);
	bytes = malloc((size_t)n + 1);
	assert_non_null(bytes);
	*ret_bytes = fread(bytes, 1, (size_t)n, file);
	fclose(file);
	return bytes;
}

uint32_t studio_request(struct studio *studio, const void *request, size_t bytes,
			size_t payload_bytes)
{
	struct vhu_guest_buffer buffers[2] = { studio->request, studio->response };
	uint32_t written, status;

	buffers[0].len = (uint32_t)bytes;
	buffers[1].len = (uint32_t)(sizeof(struct virtio_snd_hdr) + payload_bytes);
	assert_true(bytes <= studio->request.len && buffers[1].len <= studio->response.len);
	memcpy(studio->request.host, request, bytes);
	memset(studio->response.host, 0xee, buffers[1].len);
	assert_int_equal(vhu_driver_run(&studio->control, buffers, 1, 1, &written), 0);
	if (!written)
		return 0;
	memcpy(&status, studio->response.host, sizeof(status));
	status = le32toh(status);
	assert_int_equal(written, status == VIRTIO_SND_S_OK ? buffers[1].len : 4);
	return status;
}

const void *studio_payload(const struct studio *studio)
{
	return (const char *)studio->response.host + sizeof(struct virtio_snd_hdr);
}

uint32_t studio_query(struct studio *studio, uint32_t code, uint32_t start, uint32_t count,
		      uint32_t size, size_t room)
{
	const struct virtio_snd_query_info query = {
		.hdr.code = htole32(code),
		.start_id = htole32(start),
		.count = htole32(count),
		.size = htole32(size),
	};

	return studio_request(studio, &query, sizeof(query), room);
}

uint32_t studio_pcm(struct studio *studio, uint32_t code, uint32_t stream)
{
	const struct virtio_snd_pcm_hdr request = { { htole32(code) }, htole32(stream) };

	return studio_request(studio, &request, sizeof(request), 0);
}

uint32_t studio_control(struct studio *studio, uint32_t code, uint32_t id, size_t room)
{
	const struct virtio_snd_ctl_hdr request = { { htole32(code) }, htole32(id) };

	return studio_request(studio, &request, sizeof(request), room);
}

uint32_t studio_control_set(struct studio *studio, uint32_t id, uint32_t value, size_t bytes)
{
	struct {
		struct virtio_snd_ctl_hdr hdr;
		struct virtio_snd_ctl_value value;
	} request = { .hdr = { { htole32(VIRTIO_SND_R_CTL_WRITE) }, htole32(id) } };

	request.value.value.integer[0] = htole32(value);
	return studio_request(studio, &request, sizeof(request.hdr) + bytes, 0);
}

uint32_t studio_control_get(struct studio *studio, uint32_t id)
{
	uint32_t value;

	studio_expect_ok(studio_control(studio, VIRTIO_SND_R_CTL_READ, id,
					sizeof(struct virtio_snd_ctl_value)));
	memcpy(&value, studio_payload(studio), sizeof(value));
	return le32toh(value);
}

struct virtio_snd_pcm_set_params studio_params(uint32_t stream, uint32_t period_frames,
					       uint32_t periods)
{
	return (struct virtio_snd_pcm_set_params){
		.hdr = { { htole32(VIRTIO_SND_R_PCM_SET_PARAMS) }, htole32(stream) },
		.buffer_bytes = htole32(4 * period_frames * periods),
		.period_bytes = htole32(4 * period_frames),
		.channels = 2,
		.format = VIRTIO_SND_PCM_FMT_S16,
		.rate = VIRTIO_SND_PCM_RATE_48000,
	};
}

uint32_t studio_set_params(struct studio *studio, const struct virtio_snd_pcm_set_params *params)
{
	return studio_request(studio, params, sizeof(*params), 0);
}

void studio_expect_ok(uint32_t status)
{
	assert_int_equal(status, VIRTIO_SND_S_OK);
}

void studio_prepare(struct studio *studio, uint32_t stream, uint32_t period_frames,
		    uint32_t features)
{
	struct virtio_snd_pcm_set_params params = studio_params(stream, period_frames, 16);

	params.features = htole32(features);
	studio_expect_ok(studio_set_params(studio, &params));
	studio_expect_ok(studio_pcm(studio, VIRTIO_SND_R_PCM_PREPARE, stream));
}

void studio_queue(struct studio *studio, uint32_t stream, unsigned token, uint32_t first,
		  uint32_t bytes)
{
	struct studio_message *message = &studio->messages[token];
	bool capture = stream == FROM_WAV || stream == FROM_NULL;
	struct vhu_guest_buffer buffers[3] = { message->header, message->data, message->status };
	uint32_t *frames = message->data.host, id = htole32(stream);

	assert_false(message->under_way);
	assert_true(bytes <= STUDIO_DATA_BYTES);
	message->under_way = true;
	memcpy(message->header.host, &id, sizeof(id));
	memset(message->status.host, 0xee, 8);
	for (uint32_t i = 0; i < bytes / 4; i++)
		frames[i] = capture ? 0xeeeeeeee : htole32(ramp(first + i));
	buffers[1].len = bytes;
	assert_true(vhu_driver_add(capture ? &studio->rx : &studio->tx, buffers, capture ? 1 : 2,
				   capture ? 2 : 1, token) >= 0);
}

void studio_kick(struct studio *studio)
{
	assert_true(vhu_driver_kick(&studio->tx) >= 0);
	assert_true(vhu_driver_kick(&studio->rx) >= 0);
}

static void note_used(struct studio *studio, const struct vhu_driver_used *used)
{
	assert_true(studio->messages[used->token].under_way);
	studio->messages[used->token].under_way = false;
	studio->messages[used->token].used_len = used->len;
}

unsigned studio_collect(struct studio *studio, bool capture)
{
	struct vhu_driver_used used;
	unsigned n = 0;

	while (vhu_driver_get(capture ? &studio->rx : &studio->tx, &used) == 1) {
		note_used(studio, &used);
		n++;
	}
	return n;
}

unsigned studio_wait(struct studio *studio, bool capture)
{
	struct vhu_driver_used used;

	assert_int_equal(vhu_driver_wait(capture ? &studio->rx : &studio->tx, &used), 0);
	note_used(studio, &used);
	return (unsigned)used.token;
}

uint32_t studio_status(const struct studio *studio, unsigned token)
{
	const struct virtio_snd_pcm_status *status = studio->messages[token].status.host;

	return le32toh(status->status);
}

bool studio_next_event(struct studio *studio, unsigned timeout_ms,
		       struct virtio_snd_event *ret_event)
{
	uint64_t until_ns = vhu_now_ns() + timeout_ms * NS_PER_MS;
	struct vhu_driver_used used;

	while (vhu_driver_get(&studio->event, &used) != 1) {
		if (vhu_now_ns() >= until_ns)
			return false;
		sleep_ms(2);
	}
	assert_int_equal(used.len, sizeof(*ret_event));
	memcpy(ret_event, studio->events[used.token].host, sizeof(*ret_event));
	add_event_buffer(studio, used.token);
	assert_true(vhu_driver_kick(&studio->event) >= 0);
	return true;
}
