/* SPDX-License-Identifier: BSD-3-Clause */
#include "cli/check/device.h"

#include <endian.h>
#include <string.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_gpu.h>
#include <linux/virtio_snd.h>

#include "common/base/num.h"
#include "common/wire/protocol.h"

#define DEVICE_BITS 0xffffffull
/* Legacy bits, and what demands a driver that knows zones, or cuts its buffers to size_max. */
#define BLK_NOT_TAKEN (1u << 0 | 1u << 7 | 1u << 17 | 1u << VIRTIO_BLK_F_SIZE_MAX)
#define NO_STATUS 0xff

const struct check_device check_device_generic = { .name = "generic", .features = DEVICE_BITS };

/* virtio 1.3, 5.2: a read of the first block. */

enum { BLK_HEADER, BLK_DATA, BLK_STATUS };

uint32_t check_block_size(const struct check_facts *facts)
{
	struct virtio_blk_config config;
	uint32_t size;

	memcpy(&config, facts->config, sizeof(config));
	size = le32toh(config.blk_size);
	return facts->features & VHU_BIT(VIRTIO_BLK_F_BLK_SIZE) && is_pow2(size) && size >= 512 &&
			       size <= 65536
		       ? size
		       : 512;
}

static const char *refuse_blk(const struct check_facts *facts)
{
	uint64_t capacity;

	if (!(facts->protocol_features & VHU_BIT(VHU_PROTOCOL_F_CONFIG)) ||
	    facts->config_bytes < sizeof(capacity))
		return "a disk whose configuration space cannot be read";
	memcpy(&capacity, facts->config, sizeof(capacity));
	if (le64toh(capacity) < check_block_size(facts) / 512)
		return "a disk without a single block";
	return NULL;
}

static void fill_blk(struct check_request *request)
{
	struct virtio_blk_outhdr header = { .type = htole32(VIRTIO_BLK_T_IN) };

	memcpy(request->buffers[BLK_HEADER].host, &header, sizeof(header));
	memset(request->buffers[BLK_DATA].host, 0x5a, request->buffers[BLK_DATA].len);
	memset(request->buffers[BLK_STATUS].host, NO_STATUS, 1);
}

static const char *judge_blk(const struct check_request *request, uint32_t used_len)
{
	if (used_len > request->buffers[BLK_DATA].len + 1)
		return "the used length is more than the writable buffers hold";
	switch (*(volatile uint8_t *)request->buffers[BLK_STATUS].host) {
	case VIRTIO_BLK_S_OK:
		return NULL;
	case NO_STATUS:
		return "no status was written";
	default:
		return "the status of a read of the first block is not VIRTIO_BLK_S_OK";
	}
}

const struct check_device check_device_blk = {
	.name = "blk",
	.features = DEVICE_BITS & ~BLK_NOT_TAKEN,
	.lengths = { [BLK_HEADER] = 16, [BLK_DATA] = 0, [BLK_STATUS] = 1 },
	.n_readable = 1,
	.n_writable = 2,
	.refuse = refuse_blk,
	.fill = fill_blk,
	.judge = judge_blk,
};

/* virtio 1.3, 5.4: some random bytes. */

#define RNG_BYTES 64

static const char *refuse_nothing(const struct check_facts *facts)
{
	(void)facts;
	return NULL;
}

static void fill_rng(struct check_request *request)
{
	memset(request->buffers[0].host, 0, request->buffers[0].len);
}

static const char *judge_rng(const struct check_request *request, uint32_t used_len)
{
	if (used_len > request->buffers[0].len)
		return "the used length is more than the writable buffer holds";
	return used_len ? NULL : "no random byte was placed in the buffer";
}

const struct check_device check_device_rng = {
	.name = "rng",
	.features = DEVICE_BITS,
	.lengths = { RNG_BYTES },
	.n_writable = 1,
	.refuse = refuse_nothing,
	.fill = fill_rng,
	.judge = judge_rng,
};

/* virtio 1.3, 5.14.6.6.2: what the first stream is. */

#define SOUND_STREAMS_AT 4 /* in the configuration space */

enum { SOUND_QUERY, SOUND_ANSWER };

static const char *refuse_sound(const struct check_facts *facts)
{
	uint32_t streams;

	if (!(facts->protocol_features & VHU_BIT(VHU_PROTOCOL_F_CONFIG)) ||
	    facts->config_bytes < SOUND_STREAMS_AT + sizeof(streams))
		return "a sound card whose configuration space cannot be read";
	memcpy(&streams, facts->config + SOUND_STREAMS_AT, sizeof(streams));
	return streams ? NULL : "a sound card without a stream";
}

static void fill_sound(struct check_request *request)
{
	const struct virtio_snd_query_info query = {
		.hdr = { htole32(VIRTIO_SND_R_PCM_INFO) },
		.count = htole32(1),
		.size = htole32(sizeof(struct virtio_snd_pcm_info)),
	};

	memcpy(request->buffers[SOUND_QUERY].host, &query, sizeof(query));
	memset(request->buffers[SOUND_ANSWER].host, NO_STATUS, request->buffers[SOUND_ANSWER].len);
}

static const char *judge_sound(const struct check_request *request, uint32_t used_len)
{
	const struct vhu_guest_buffer *answer = &request->buffers[SOUND_ANSWER];
	uint32_t status;

	if (used_len > answer->len)
		return "the used length is more than the writable buffer holds";
	memcpy(&status, answer->host, sizeof(status));
	return le32toh(status) == VIRTIO_SND_S_OK ? NULL :
					     "the answer to PCM_INFO is not VIRTIO_SND_S_OK";
}

const struct check_device check_device_sound = {
	.name = "sound",
	.features = DEVICE_BITS,
	.lengths = { [SOUND_QUERY] = sizeof(struct virtio_snd_query_info),
		     [SOUND_ANSWER] = sizeof(struct virtio_snd_hdr) +
				      sizeof(struct virtio_snd_pcm_info) },
	.n_readable = 1,
	.n_writable = 1,
	.one_queue = true,
	.refuse = refuse_sound,
	.fill = fill_sound,
	.judge = judge_sound,
};

/* virtio 1.3, 5.7.6.8: what the outputs are. */

#define GPU_SCANOUTS_AT 8 /* in the configuration space */

/* The answer in two pieces, the first of which says all that has to be known. */
enum { GPU_QUERY, GPU_ANSWER, GPU_MODES };

static const char *refuse_gpu(const struct check_facts *facts)
{
	uint32_t scanouts;

	if (!(facts->protocol_features & VHU_BIT(VHU_PROTOCOL_F_CONFIG)) ||
	    facts->config_bytes < GPU_SCANOUTS_AT + sizeof(scanouts))
		return "a graphics card whose configuration space cannot be read";
	memcpy(&scanouts, facts->config + GPU_SCANOUTS_AT, sizeof(scanouts));
	scanouts = le32toh(scanouts);
	return scanouts && scanouts <= VIRTIO_GPU_MAX_SCANOUTS ?
		       NULL : "a graphics card that has not 1 to 16 scanouts";
}

static void fill_gpu(struct check_request *request)
{
	const struct virtio_gpu_ctrl_hdr query = {
		.type = htole32(VIRTIO_GPU_CMD_GET_DISPLAY_INFO),
	};

	memcpy(request->buffers[GPU_QUERY].host, &query, sizeof(query));
	memset(request->buffers[GPU_ANSWER].host, NO_STATUS, request->buffers[GPU_ANSWER].len);
}

static const char *judge_gpu(const struct check_request *request, uint32_t used_len)
{
	const struct vhu_guest_buffer *answer = &request->buffers[GPU_ANSWER];
	uint32_t type;

	if (used_len > answer->len + request->buffers[GPU_MODES].len)
		return "the used length is more than the writable buffer holds";
	memcpy(&type, answer->host, sizeof(type));
	return le32toh(type) == VIRTIO_GPU_RESP_OK_DISPLAY_INFO ?
		       NULL : "the answer to GET_DISPLAY_INFO is not OK_DISPLAY_INFO";
}

const struct check_device check_device_gpu = {
	.name = "gpu",
	.features = DEVICE_BITS,
	.lengths = { [GPU_QUERY] = sizeof(struct virtio_gpu_ctrl_hdr),
		     [GPU_ANSWER] = sizeof(struct virtio_gpu_ctrl_hdr),
		     [GPU_MODES] = sizeof(struct virtio_gpu_resp_display_info) -
				   sizeof(struct virtio_gpu_ctrl_hdr) },
	.n_readable = 1,
	.n_writable = 2,
	.one_queue = true,
	.refuse = refuse_gpu,
	.fill = fill_gpu,
	.judge = judge_gpu,
};

/*
 * No message tells the type. A disk has a configuration space, and FLUSH (bit 9) should always be
 * offered; a network card has that bit only together with GUEST_TSO4 (7), and bit 0 with it.
 */
static const struct check_device *guess(const struct check_facts *facts)
{
	const uint64_t not_disk = 1u << 0 | 1u << 7;

	if (facts->features & VHU_BIT(VIRTIO_BLK_F_FLUSH) && !(facts->features & not_disk) &&
	    !refuse_blk(facts))
		return &check_device_blk;
	return &check_device_generic;
}

const struct check_device *check_device_of(const char *name, const struct check_facts *facts)
{
	static const struct check_device *const devices[] = {
		&check_device_generic,
		&check_device_blk,
		&check_device_gpu,
		&check_device_rng,
		&check_device_sound,
	};

	if (!strcmp(name, "auto"))
		return guess(facts);
	for (size_t i = 0; i < ARRAY_SIZE(devices); i++)
		if (!strcmp(devices[i]->name, name))
			return devices[i];
	return NULL;
}
