/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_SOUND_REQUEST_PRIV_H
#define VHU_DEVICES_SOUND_REQUEST_PRIV_H

/* A request of the control queue (virtio 1.3, 5.14.6) while it is answered. */

#include "devices/sound/sound_priv.h"

/* What each begins with. */
struct vhu_sound_request {
	uint32_t code;
	union {
		uint8_t bytes[64];
		struct virtio_snd_query_info query;
		struct virtio_snd_jack_remap remap;
		struct virtio_snd_pcm_hdr pcm;
		struct virtio_snd_pcm_set_params params;
		struct virtio_snd_ctl_hdr ctl;
	} head;
	struct vhu_chain *chain;
	struct vhu_iov_cursor reader; /* behind the head */
	struct vhu_iov_cursor writer; /* behind the status */
	size_t written;		      /* there */
};

/* elements.c; VIRTIO_SND_S_*. */
uint32_t vhu_sound_read_element(struct vhu_sound *sound, struct vhu_sound_request *request);
uint32_t vhu_sound_write_element(struct vhu_sound *sound, struct vhu_sound_request *request);
uint32_t vhu_sound_read_tlv(struct vhu_sound *sound, struct vhu_sound_request *request);
uint32_t vhu_sound_refuse_control(struct vhu_sound *sound, struct vhu_sound_request *request);
void vhu_sound_describe_element(const struct vhu_sound *sound, unsigned i, void *item);

#endif
