/* SPDX-License-Identifier: BSD-3-Clause */
/* The control queue (virtio 1.3, 5.14.6): a table of its requests. */
#include <endian.h>
#include <stdalign.h>
#include <string.h>

#include "common/backend/worker.h"
#include "common/base/log.h"
#include "common/base/num.h"
#include "devices/sound/pump.h"
#include "devices/sound/request_priv.h"

/* The largest piece of information. */
#define INFO_MAX 96

void vhu_sound_answer(struct vhu_vring *vring, struct vhu_chain *chain, uint32_t status,
		      size_t written)
{
	const struct virtio_snd_hdr hdr = { htole32(status) };
	struct vhu_iov_cursor writer;

	vhu_chain_writer(chain, &writer);
	vhu_iov_write(&writer, &hdr, sizeof(hdr));
	vhu_vring_push(vring, chain, (uint32_t)(sizeof(hdr) + written));
}

/* --- items ---------------------------------------------------------------------------------- */

/*
 * virtio 1.3, 5.14.6.1: n items from a place on, in strides of the driver's size, which may be
 * that of another version of the structure.
 */
static uint32_t answer_items(struct vhu_sound_request *request, unsigned n_items, size_t item_bytes,
			     void (*describe)(const struct vhu_sound *sound, unsigned i,
					      void *item),
			     const struct vhu_sound *sound)
{
	uint64_t first = le32toh(request->head.query.start_id);
	uint64_t count = le32toh(request->head.query.count);
	uint64_t stride = le32toh(request->head.query.size);
	alignas(8) uint8_t item[INFO_MAX];

	if (first + count > n_items || stride < sizeof(struct virtio_snd_info) ||
	    count * stride > request->writer.left)
		return VIRTIO_SND_S_BAD_MSG;
	for (uint64_t i = first; i < first + count; i++) {
		size_t n = min_u64(stride, item_bytes);

		memset(item, 0, sizeof(item));
		describe(sound, (unsigned)i, item);
		vhu_iov_write(&request->writer, item, n);
		vhu_iov_fill(&request->writer, 0, stride - n);
	}
	request->written = count * stride;
	return VIRTIO_SND_S_OK;
}

static void describe_stream(const struct vhu_sound *sound, unsigned i, void *item)
{
	const struct vhu_sound_stream *stream = &sound->streams[i];
	struct virtio_snd_pcm_info *info = item;

	info->hdr.hda_fn_nid = htole32(stream->nid);
	info->features = htole32(VHU_SOUND_STREAM_FEATURES);
	info->formats = htole64(stream->caps.formats);
	info->rates = htole64(stream->caps.rates);
	info->direction = vhu_sound_is_capture(stream) ? VIRTIO_SND_D_INPUT : VIRTIO_SND_D_OUTPUT;
	info->channels_min = (uint8_t)stream->caps.channels_min;
	info->channels_max = (uint8_t)stream->caps.channels_max;
}

static uint32_t pcm_info(struct vhu_sound *sound, struct vhu_sound_request *request)
{
	return answer_items(request, sound->n_streams, sizeof(struct virtio_snd_pcm_info),
			    describe_stream, sound);
}

static void describe_chmap(const struct vhu_sound *sound, unsigned i, void *item)
{
	const struct vhu_sound_chmap *chmap = &sound->chmaps[i];
	struct virtio_snd_chmap_info *info = item;

	info->hdr.hda_fn_nid = htole32(chmap->stream->nid);
	info->direction = vhu_sound_is_capture(chmap->stream) ? VIRTIO_SND_D_INPUT :
								VIRTIO_SND_D_OUTPUT;
	info->channels = chmap->map->channels;
	memcpy(info->positions, chmap->map->positions, sizeof(info->positions));
}

static uint32_t chmap_info(struct vhu_sound *sound, struct vhu_sound_request *request)
{
	return answer_items(request, sound->n_chmaps, sizeof(struct virtio_snd_chmap_info),
			    describe_chmap, sound);
}

/* --- jacks ---------------------------------------------------------------------------------- */

static void describe_jack(const struct vhu_sound *sound, unsigned i, void *item)
{
	const struct vhu_sound_jack_state *jack = &sound->jacks[i];
	const struct vhu_sound_stream *stream = &sound->streams[jack->stream];
	bool input = vhu_sound_jack_is_input(jack->defconf, vhu_sound_is_capture(stream));
	struct virtio_snd_jack_info *info = item;

	info->hdr.hda_fn_nid = htole32(stream->nid);
	info->features = htole32(1u << VIRTIO_SND_JACK_F_REMAP);
	info->hda_reg_defconf = htole32(jack->defconf);
	/* Pin capabilities, HDA 7.3.4.9: presence detect; input or output. */
	info->hda_reg_caps = htole32(1u << 2 | (input ? 1u << 5 : 1u << 4));
	info->connected = jack->jack->connected && !jack->gone;
}

static uint32_t jack_info(struct vhu_sound *sound, struct vhu_sound_request *request)
{
	return answer_items(request, sound->n_jacks, sizeof(struct virtio_snd_jack_info),
			    describe_jack, sound);
}

/* The lowest byte of the default configuration register, HDA 7.3.3.31. */
static uint32_t jack_remap(struct vhu_sound *sound, struct vhu_sound_request *request)
{
	uint32_t id = le32toh(request->head.remap.hdr.jack_id);
	uint32_t association = le32toh(request->head.remap.association);
	uint32_t sequence = le32toh(request->head.remap.sequence);

	if (id >= sound->n_jacks || association > 15 || sequence > 15)
		return VIRTIO_SND_S_BAD_MSG;
	sound->jacks[id].defconf =
		(sound->jacks[id].defconf & ~0xffu) | association << 4 | sequence;
	return VIRTIO_SND_S_OK;
}

/* --- elements ------------------------------------------------------------------------------- */

static uint32_t ctl_info(struct vhu_sound *sound, struct vhu_sound_request *request)
{
	if (!sound->controls)
		return VIRTIO_SND_S_NOT_SUPP;
	return answer_items(request, sound->n_elements, sizeof(struct virtio_snd_ctl_info),
			    vhu_sound_describe_element, sound);
}

/* --- streams -------------------------------------------------------------------------------- */

static uint32_t pcm_command(struct vhu_sound *sound, struct vhu_sound_request *request)
{
	uint32_t id = le32toh(request->head.pcm.stream_id), status;
	struct vhu_sound_stream *stream;
	struct vhu_vring *vring;
	bool capture;

	if (id >= sound->n_streams)
		return VIRTIO_SND_S_BAD_MSG;
	stream = &sound->streams[id];
	capture = vhu_sound_is_capture(stream);
	vring = vhu_device_vring(&sound->device, capture ? VHU_SOUND_RX : VHU_SOUND_TX);
	/* All that was queued is over with RELEASE, also what nobody has looked at yet. */
	if (request->code == VIRTIO_SND_R_PCM_RELEASE) {
		vhu_sound_take_messages(sound, vring, capture ? &sound->rx : &sound->tx);
		vhu_worker_wake_ring(vring->worker, vring->index);
	}
	status = vhu_sound_stream_command(stream, request->code - VIRTIO_SND_R_PCM_SET_PARAMS,
					  &request->head.params);
	/* The driver sees them before the answer. */
	vhu_vring_notify(vring);
	if (status == VHU_SOUND_LATER)
		stream->held = request->chain;
	return status;
}

/* --- all ------------------------------------------------------------------------------------ */

static const struct type {
	uint32_t code;
	size_t head_bytes;
	uint32_t (*handle)(struct vhu_sound *sound, struct vhu_sound_request *request);
} types[] = {
	{ VIRTIO_SND_R_JACK_INFO, sizeof(struct virtio_snd_query_info), jack_info },
	{ VIRTIO_SND_R_JACK_REMAP, sizeof(struct virtio_snd_jack_remap), jack_remap },
	{ VIRTIO_SND_R_PCM_INFO, sizeof(struct virtio_snd_query_info), pcm_info },
	{ VIRTIO_SND_R_PCM_SET_PARAMS, sizeof(struct virtio_snd_pcm_set_params), pcm_command },
	{ VIRTIO_SND_R_PCM_PREPARE, sizeof(struct virtio_snd_pcm_hdr), pcm_command },
	{ VIRTIO_SND_R_PCM_RELEASE, sizeof(struct virtio_snd_pcm_hdr), pcm_command },
	{ VIRTIO_SND_R_PCM_START, sizeof(struct virtio_snd_pcm_hdr), pcm_command },
	{ VIRTIO_SND_R_PCM_STOP, sizeof(struct virtio_snd_pcm_hdr), pcm_command },
	{ VIRTIO_SND_R_CHMAP_INFO, sizeof(struct virtio_snd_query_info), chmap_info },
	{ VIRTIO_SND_R_CTL_INFO, sizeof(struct virtio_snd_query_info), ctl_info },
	{ VIRTIO_SND_R_CTL_ENUM_ITEMS, sizeof(struct virtio_snd_ctl_hdr),
	  vhu_sound_refuse_control },
	{ VIRTIO_SND_R_CTL_READ, sizeof(struct virtio_snd_ctl_hdr), vhu_sound_read_element },
	{ VIRTIO_SND_R_CTL_WRITE, sizeof(struct virtio_snd_ctl_hdr), vhu_sound_write_element },
	{ VIRTIO_SND_R_CTL_TLV_READ, sizeof(struct virtio_snd_ctl_hdr), vhu_sound_read_tlv },
	{ VIRTIO_SND_R_CTL_TLV_WRITE, sizeof(struct virtio_snd_ctl_hdr),
	  vhu_sound_refuse_control },
	{ VIRTIO_SND_R_CTL_TLV_COMMAND, sizeof(struct virtio_snd_ctl_hdr),
	  vhu_sound_refuse_control },
};

static const struct type *find_type(uint32_t code)
{
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (types[i].code == code)
			return &types[i];
	return NULL;
}

static uint32_t handle(struct vhu_sound *sound, struct vhu_sound_request *request)
{
	const struct type *type;
	struct virtio_snd_hdr hdr;
	size_t more;

	vhu_chain_reader(request->chain, &request->reader);
	if (vhu_iov_read(&request->reader, &hdr, sizeof(hdr)) < sizeof(hdr))
		return VIRTIO_SND_S_BAD_MSG;
	request->code = le32toh(hdr.code);
	type = find_type(request->code);
	if (!type)
		return VIRTIO_SND_S_NOT_SUPP;
	memcpy(request->head.bytes, &hdr, sizeof(hdr));
	more = type->head_bytes - sizeof(hdr);
	if (vhu_iov_read(&request->reader, request->head.bytes + sizeof(hdr), more) < more)
		return VIRTIO_SND_S_BAD_MSG;
	return type->handle(sound, request);
}

static void serve(struct vhu_sound *sound, struct vhu_vring *vring, struct vhu_chain *chain)
{
	struct vhu_sound_request request = { .chain = chain };
	uint32_t status;

	vhu_counter_add(&sound->requests, 1);
	vhu_chain_writer(chain, &request.writer);
	if (vhu_iov_skip(&request.writer, sizeof(struct virtio_snd_hdr)) <
	    sizeof(struct virtio_snd_hdr)) {
		vhu_counter_add(&sound->bad_requests, 1);
		vhu_vring_push(vring, chain, 0);
		return;
	}
	status = handle(sound, &request);
	if (status == VHU_SOUND_LATER)
		return;
	if (status != VIRTIO_SND_S_OK) {
		vhu_counter_add(&sound->bad_requests, 1);
		vhu_log_limited(&sound->log_limit, VHU_LOG_WARNING,
				"sound: request 0x%x of the guest is refused (0x%x)", request.code,
				status);
		request.written = 0;
	}
	vhu_sound_answer(vring, chain, status, request.written);
}

void vhu_sound_handle_control(struct vhu_sound *sound, struct vhu_vring *vring)
{
	struct vhu_chain *chain;

	while ((chain = vhu_vring_pop(vring)))
		serve(sound, vring, chain);
}
