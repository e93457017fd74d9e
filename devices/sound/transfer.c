/* SPDX-License-Identifier: BSD-3-Clause */
/* Messages of the tx and rx queues (virtio 1.3, 5.14.6.8). */
#include <endian.h>

#include "common/base/log.h"
#include "common/base/num.h"
#include "devices/sound/sound_priv.h"

#define HEADER_BYTES sizeof(struct virtio_snd_pcm_xfer)
#define STATUS_BYTES sizeof(struct virtio_snd_pcm_status)

static_assert(HEADER_BYTES == 4 && STATUS_BYTES == 8, "virtio 1.3, 5.14.6.8");

/* The status is at the end of what the device may write, behind the frames that were captured. */
static void push(struct vhu_vring *vring, struct vhu_chain *chain, uint32_t status,
		 uint32_t latency_bytes, size_t data_bytes)
{
	const struct virtio_snd_pcm_status bytes = { htole32(status), htole32(latency_bytes) };
	struct vhu_iov_cursor writer;

	if (chain->writable_bytes < STATUS_BYTES) {
		vhu_vring_push(vring, chain, 0);
		return;
	}
	vhu_chain_writer(chain, &writer);
	vhu_iov_skip(&writer, chain->writable_bytes - STATUS_BYTES);
	vhu_iov_write(&writer, &bytes, sizeof(bytes));
	vhu_vring_push(vring, chain, (uint32_t)(data_bytes + STATUS_BYTES));
}

void vhu_sound_end_message(struct vhu_vring *vring, struct vhu_sound_message *message,
			   uint32_t status, uint32_t latency_bytes)
{
	struct vhu_chain *chain = message->chain;

	message->chain = NULL;
	push(vring, chain, status, latency_bytes,
	     chain->writable_bytes > STATUS_BYTES ? chain->writable_bytes - STATUS_BYTES : 0);
}

static struct vhu_sound_stream *stream_of(struct vhu_sound *sound, const struct vhu_chain *chain,
					  bool capture, struct vhu_iov_cursor *reader)
{
	struct virtio_snd_pcm_xfer header;
	uint32_t id;

	vhu_chain_reader(chain, reader);
	if (vhu_iov_read(reader, &header, sizeof(header)) < sizeof(header))
		return NULL;
	id = le32toh(header.stream_id);
	if (id >= sound->n_streams || vhu_sound_is_capture(&sound->streams[id]) != capture)
		return NULL;
	return &sound->streams[id];
}

/* The frames of a message that is as it must be. Returns the status of one that is not. */
static uint32_t check(const struct vhu_sound_stream *stream, const struct vhu_chain *chain,
		      size_t *ret_data_bytes)
{
	bool capture = vhu_sound_is_capture(stream);
	size_t data_bytes;

	if (chain->writable_bytes < STATUS_BYTES)
		return VIRTIO_SND_S_BAD_MSG;
	if (capture ? chain->readable_bytes != HEADER_BYTES : chain->writable_bytes != STATUS_BYTES)
		return VIRTIO_SND_S_BAD_MSG;
	if (!vhu_sound_stream_takes(stream))
		return VIRTIO_SND_S_IO_ERR;
	data_bytes = capture ? chain->writable_bytes - STATUS_BYTES :
			       chain->readable_bytes - HEADER_BYTES;
	if (data_bytes % stream->params.frame_bytes || data_bytes > UINT32_MAX - STATUS_BYTES)
		return VIRTIO_SND_S_BAD_MSG;
	*ret_data_bytes = data_bytes;
	return VIRTIO_SND_S_OK;
}

static void take_message(struct vhu_sound *sound, struct vhu_vring *vring,
			 struct vhu_sound_transfers *transfers, struct vhu_chain *chain)
{
	struct vhu_sound_message *message = &transfers->messages[chain->slot];
	struct vhu_iov_cursor reader;
	struct vhu_sound_stream *stream =
		stream_of(sound, chain, transfers == &sound->rx, &reader);
	/* Also of what goes back at once: nothing before it can be given back to the ring then. */
	uint64_t turn = ++transfers->turns;
	size_t bytes = 0;
	uint32_t status = stream ? check(stream, chain, &bytes) : VIRTIO_SND_S_BAD_MSG;

	if (!bytes) {
		if (status != VIRTIO_SND_S_OK)
			vhu_log_limited(&transfers->log_limit, VHU_LOG_WARNING,
					"sound: a message of %zu and %zu bytes is not one",
					chain->readable_bytes, chain->writable_bytes);
		if (stream && status != VIRTIO_SND_S_OK)
			vhu_counter_add(&stream->stats.bad_messages, 1);
		push(vring, chain, status, 0, 0);
		return;
	}
	*message = (struct vhu_sound_message){
		.chain = chain,
		.data = reader,
		.turn = turn,
	};
	if (vhu_sound_is_capture(stream))
		vhu_chain_writer(chain, &message->data);
	message->frames = message->left = (uint32_t)(bytes / stream->params.frame_bytes);
	vhu_sound_stream_add(stream, message);
}

void vhu_sound_take_messages(struct vhu_sound *sound, struct vhu_vring *vring,
			     struct vhu_sound_transfers *transfers)
{
	struct vhu_chain *chain;

	/* Out of a pass of the queue there is no other limit to what a driver adds meanwhile. */
	for (uint32_t n = vring->queue.size; n && (chain = vhu_vring_pop(vring)); n--)
		take_message(sound, vring, transfers, chain);
}

static struct vhu_sound_message *take_newest(struct vhu_sound *sound, bool capture, uint64_t turn)
{
	struct vhu_sound_message *message = NULL;

	for (unsigned i = 0; i < sound->n_streams && !message; i++)
		if (vhu_sound_is_capture(&sound->streams[i]) == capture)
			message = vhu_sound_stream_take_back(&sound->streams[i], turn);
	return message;
}

/*
 * To a guest that goes on later the ring is as it was. Completing all would be an under-run to it:
 * its position is what has been completed.
 */
void vhu_sound_give_back(struct vhu_sound *sound, struct vhu_vring *vring,
			 struct vhu_sound_transfers *transfers)
{
	bool capture = transfers == &sound->rx;
	struct vhu_sound_message *message;

	while ((message = take_newest(sound, capture, transfers->turns))) {
		transfers->turns--;
		vhu_vring_unpop(vring, message->chain);
		message->chain = NULL;
	}
	for (unsigned i = 0; i < sound->n_streams; i++)
		if (vhu_sound_is_capture(&sound->streams[i]) == capture)
			vhu_sound_stream_finish_messages(&sound->streams[i]);
}
