/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_WIRE_PAYLOAD_H
#define VHU_WIRE_PAYLOAD_H

/*
 * Layouts of the vhost-user protocol (vhost-user specification, Message Specification). All fields
 * are in the machine's native byte order.
 */

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

/* Regions in one SET_MEM_TABLE. */
#define VHU_MEM_TABLE_MAX 8
/* Of GET_CONFIG and SET_CONFIG (VHOST_USER_MAX_CONFIG_SIZE). */
#define VHU_CONFIG_MAX 256
#define VHU_SHMEM_MAX 256

struct vhu_header {
	uint32_t request;
	uint32_t flags;
	uint32_t size; /* of the payload, bytes */
};

struct vhu_vring_state {
	uint32_t index;
	uint32_t num;
};

struct vhu_vring_addr {
	uint32_t index;
	uint32_t flags;
	uint64_t desc_uaddr;
	uint64_t used_uaddr;
	uint64_t avail_uaddr;
	uint64_t log_gpa;
};

struct vhu_wire_region {
	uint64_t gpa;
	uint64_t size;
	uint64_t uaddr;
	uint64_t mmap_offset;
};

struct vhu_mem_table {
	uint32_t n_regions;
	uint32_t padding;
	struct vhu_wire_region regions[VHU_MEM_TABLE_MAX];
};

struct vhu_single_region {
	uint64_t padding;
	struct vhu_wire_region region;
};

struct vhu_log_base {
	uint64_t size;
	uint64_t offset;
};

struct vhu_config {
	uint32_t offset;
	uint32_t size;
	uint32_t flags;
	uint8_t bytes[VHU_CONFIG_MAX];
};
#define VHU_CONFIG_HEADER offsetof(struct vhu_config, bytes)
#define VHU_CONFIG_WRITABLE 0u	/* flags: the guest writes */
#define VHU_CONFIG_MIGRATION 1u /* flags: a migration restores */

struct vhu_iotlb_msg {
	uint64_t iova;
	uint64_t size;
	uint64_t uaddr;
	uint8_t perm;
	uint8_t type;
	uint8_t padding[6];
};

struct vhu_inflight {
	uint64_t mmap_size;
	uint64_t mmap_offset;
	uint16_t n_queues;
	uint16_t queue_size;
	uint32_t padding; /* sent by most, and not in the specification */
};
#define VHU_INFLIGHT_SIZE offsetof(struct vhu_inflight, padding)

struct vhu_transfer_state {
	uint32_t direction; /* 0 save, 1 load */
	uint32_t phase;	    /* 0 stopped */
};

struct vhu_vring_area {
	uint64_t value; /* index and VHU_VRING_NO_FD as in the u64 of kick */
	uint64_t size;
	uint64_t offset;
};

struct vhu_shmem_config {
	uint32_t n_regions;
	uint32_t padding;
	uint64_t size[VHU_SHMEM_MAX];
};

struct vhu_shmem_map {
	uint8_t shmid;
	uint8_t padding[7];
	uint64_t fd_offset;
	uint64_t shm_offset;
	uint64_t len;
	uint64_t flags;
};

union vhu_payload {
	uint64_t u64;
	struct vhu_vring_state vring_state;
	struct vhu_vring_addr vring_addr;
	struct vhu_mem_table mem_table;
	struct vhu_single_region region;
	struct vhu_log_base log_base;
	struct vhu_config config;
	struct vhu_iotlb_msg iotlb;
	struct vhu_inflight inflight;
	uint8_t uuid[16];
	struct vhu_transfer_state transfer;
	struct vhu_vring_area area;
	struct vhu_shmem_config shmem_config;
	struct vhu_shmem_map shmem_map;
	uint8_t bytes[4096]; /* CREATE_CRYPTO_SESSION, which is decoded for its size alone */
};

static_assert(sizeof(struct vhu_header) == 12, "header");
static_assert(sizeof(struct vhu_vring_state) == 8, "vring state");
static_assert(sizeof(struct vhu_vring_addr) == 40, "vring address");
static_assert(sizeof(struct vhu_wire_region) == 32, "memory region");
static_assert(sizeof(struct vhu_mem_table) == 8 + 8 * 32, "memory table");
static_assert(sizeof(struct vhu_single_region) == 40, "single memory region");
static_assert(sizeof(struct vhu_log_base) == 16, "log description");
static_assert(VHU_CONFIG_HEADER == 12, "config");
static_assert(sizeof(struct vhu_iotlb_msg) == 32, "IOTLB message");
static_assert(VHU_INFLIGHT_SIZE == 20, "in-flight description");
static_assert(sizeof(struct vhu_transfer_state) == 8, "device state transfer");
static_assert(sizeof(struct vhu_vring_area) == 24, "vring area");
static_assert(sizeof(struct vhu_shmem_config) == 8 + 8 * 256, "shmem config");
static_assert(sizeof(struct vhu_shmem_map) == 40, "shmem map");

#endif
