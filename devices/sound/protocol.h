/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_DEVICES_SOUND_PROTOCOL_H
#define VHU_DEVICES_SOUND_PROTOCOL_H

/* What virtio 1.3, 5.14 has and the headers of older kernels (Debian 12's) have not. */

#include <assert.h>
#include <stdint.h>

#include <linux/virtio_snd.h>

#ifndef VHU_HAVE_SND_CTLS
#define VIRTIO_SND_F_CTLS 0

enum {
	VIRTIO_SND_R_CTL_INFO = 0x0300,
	VIRTIO_SND_R_CTL_ENUM_ITEMS,
	VIRTIO_SND_R_CTL_READ,
	VIRTIO_SND_R_CTL_WRITE,
	VIRTIO_SND_R_CTL_TLV_READ,
	VIRTIO_SND_R_CTL_TLV_WRITE,
	VIRTIO_SND_R_CTL_TLV_COMMAND,
	VIRTIO_SND_EVT_CTL_NOTIFY = 0x1200,
};

struct virtio_snd_ctl_hdr {
	struct virtio_snd_hdr hdr;
	__le32 control_id;
};

enum {
	VIRTIO_SND_CTL_ROLE_UNDEFINED = 0,
	VIRTIO_SND_CTL_ROLE_VOLUME,
	VIRTIO_SND_CTL_ROLE_MUTE,
	VIRTIO_SND_CTL_ROLE_GAIN,
};

enum {
	VIRTIO_SND_CTL_TYPE_BOOLEAN = 0,
	VIRTIO_SND_CTL_TYPE_INTEGER,
	VIRTIO_SND_CTL_TYPE_INTEGER64,
	VIRTIO_SND_CTL_TYPE_ENUMERATED,
	VIRTIO_SND_CTL_TYPE_BYTES,
	VIRTIO_SND_CTL_TYPE_IEC958,
};

enum {
	VIRTIO_SND_CTL_ACCESS_READ = 0,
	VIRTIO_SND_CTL_ACCESS_WRITE,
	VIRTIO_SND_CTL_ACCESS_VOLATILE,
	VIRTIO_SND_CTL_ACCESS_INACTIVE,
	VIRTIO_SND_CTL_ACCESS_TLV_READ,
	VIRTIO_SND_CTL_ACCESS_TLV_WRITE,
	VIRTIO_SND_CTL_ACCESS_TLV_COMMAND,
};

struct virtio_snd_ctl_info {
	struct virtio_snd_info hdr;
	__le32 role;
	__le32 type;
	__le32 access;
	__le32 count;
	__le32 index;
	__u8 name[44];
	union {
		struct {
			__le32 min, max, step;
		} integer;
		struct {
			__le64 min, max, step;
		} integer64;
		struct {
			__le32 items;
		} enumerated;
	} value;
};

struct virtio_snd_ctl_enum_item {
	__u8 item[64];
};

struct virtio_snd_ctl_iec958 {
	__u8 status[24];
	__u8 subcode[147];
	__u8 pad;
	__u8 dig_subframe[4];
};

struct virtio_snd_ctl_value {
	union {
		__le32 integer[128];
		__le64 integer64[64];
		__le32 enumerated[128];
		__u8 bytes[512];
		struct virtio_snd_ctl_iec958 iec958;
	} value;
};

enum {
	VIRTIO_SND_CTL_EVT_MASK_VALUE = 0,
	VIRTIO_SND_CTL_EVT_MASK_INFO,
	VIRTIO_SND_CTL_EVT_MASK_TLV,
};

struct virtio_snd_ctl_event {
	struct virtio_snd_hdr hdr;
	__le16 control_id;
	__le16 mask;
};
#endif

/* From virtio 1.4 on. */
#define VHU_SND_PCM_RATE_12000 14
#define VHU_SND_PCM_RATE_24000 15

/* virtio_snd_config as it is with VIRTIO_SND_F_CTLS. */
struct vhu_snd_config {
	__le32 jacks, streams, chmaps, controls;
};

/* virtio_snd_ctl_tlv, which no kernel header has. */
struct vhu_snd_ctl_tlv {
	__le32 type;
	__le32 length;
	__le32 value[];
};

static_assert(sizeof(struct virtio_snd_pcm_info) == 32, "virtio 1.3, 5.14.6.6.2");
static_assert(sizeof(struct virtio_snd_pcm_set_params) == 24, "virtio 1.3, 5.14.6.6.3");
static_assert(sizeof(struct virtio_snd_jack_info) == 24, "virtio 1.3, 5.14.6.4.1");
static_assert(sizeof(struct virtio_snd_chmap_info) == 24, "virtio 1.3, 5.14.6.9.1");
/* As the kernel has it: 4 bytes of padding before value. */
static_assert(sizeof(struct virtio_snd_ctl_info) == 96, "virtio 1.3, 5.14.6.10.1");
static_assert(sizeof(struct virtio_snd_ctl_value) == 512, "virtio 1.3, 5.14.6.10.2");

#endif
