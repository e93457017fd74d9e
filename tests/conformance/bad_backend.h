/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_TESTS_CONFORMANCE_BAD_BACKEND_H
#define VHU_TESTS_CONFORMANCE_BAD_BACKEND_H

/*
 * A back-end for tests of vhu-check: a disk in memory, or an entropy device, right by itself and
 * small. It breaks one rule on demand: that of the case of vhu-check by whose name it is called. It
 * shares the messages with our back-ends (common/wire), and nothing else.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_ring.h>

#include "common/wire/message.h"

#define BAD_QUEUES 2
#define BAD_REGIONS 32
#define BAD_SEGMENTS 1024
#define BAD_DISK_BYTES (4u << 20)
#define BAD_PENDING 1024
#define BAD_RING_MAX 32768
#define BAD_BARE_RING_MAX 64
/* What a handler returns that has replied; 0 and negative errno become the ack. */
#define BAD_REPLIED 1
#define BAD_CLOSE 2
/* How much later a request is done that comes out of order. */
#define BAD_LATE_US 20000

struct bad_region {
	struct vhu_wire_region wire;
	char *host;
};

struct bad_segment {
	uint64_t gpa;
	uint32_t len;
};

struct bad_chain {
	uint16_t head;
	unsigned n_readable, n; /* readable ones first */
	struct bad_segment segments[BAD_SEGMENTS];
};

struct bad_place {
	uint32_t at;
	bool wrap;
};

struct bad_packed {
	struct vring_packed_desc *desc;
	struct vring_packed_desc_event *driver, *device;
	struct bad_place avail, used;
};

struct bad_ring {
	bool unresolved; /* it is to start when its addresses are known */
	bool started, enabled, broken, polled, was_started;
	int kick_fd, call_fd, err_fd;
	uint32_t num;
	struct vhu_vring_addr addr;
	struct vring vring; /* while it is started */
	uint16_t last_avail, used_idx;
	uint16_t late[BAD_PENDING]; /* heads that were taken and wait (STA-14) */
	unsigned n_late;
	uint16_t again[BAD_RING_MAX]; /* heads that were in flight when it died */
	unsigned n_again;
	struct bad_packed packed;
};

struct bad_backend {
	const char *rule; /* that is broken, or "" */
	bool is_rng, read_only, packed, iommu;
	bool bare;   /* no acks, no channel, small rings that are faster than messages */
	bool legacy; /* no protocol features */
	uint32_t block;
	int fd, channel_fd;
	uint64_t offered, acked, protocol_offered, protocol, status;
	unsigned n_connections, n_regions;
	struct bad_region regions[BAD_REGIONS];
	struct bad_ring rings[BAD_QUEUES];
	uint8_t *disk;
	struct virtio_blk_config config;
};

extern struct bad_backend bad;

/* Is it the rule of that case which is broken? */
bool breaks(const char *id);
/* To break a rule about odd input is to die of it. */
void dies_of(const char *id, bool odd);

/* bad_backend.c: false: the connection is to be closed. */
bool bad_receive(struct vhu_receiver *receiver);
int bad_reply_u64(const struct vhu_message *message, uint64_t value);
bool bad_any_started(void);

/* bad_memory.c: NULL when it is not all in one region. */
void *bad_at_uaddr(uint64_t uaddr, uint64_t len);
bool bad_read(uint64_t gpa, void *buf, uint32_t len);
bool bad_write(uint64_t gpa, const void *buf, uint32_t len);
int bad_set_mem_table(struct vhu_message *message);
int bad_add_mem_reg(struct vhu_message *message);
int bad_rem_mem_reg(struct vhu_message *message);
int bad_get_max_mem_slots(struct vhu_message *message);
void bad_forget_memory(void);

/* bad_ring.c */
int bad_ring_start(struct bad_ring *ring);
void bad_ring_stop(struct bad_ring *ring);
/* Serves what is there. */
void bad_ring_run(struct bad_ring *ring);
void bad_ring_call(struct bad_ring *ring);
/* What was put off, whatever the ring is now. */
void bad_ring_run_late(struct bad_ring *ring);

/* bad_device.c: serves a chain, and returns the used length. */
uint32_t bad_device_serve(struct bad_chain *chain);
void bad_device_init(void);

#endif
