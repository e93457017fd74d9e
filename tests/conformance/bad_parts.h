/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_TESTS_CONFORMANCE_BAD_PARTS_H
#define VHU_TESTS_CONFORMANCE_BAD_PARTS_H

/* Of bad_backend: what goes beyond memory, split rings and a device. */

#include "tests/conformance/bad_backend.h"

/* bad_packed.c */
bool bad_is_packed(void);
void bad_packed_set_base(struct bad_ring *ring, uint32_t base);
uint32_t bad_packed_base(const struct bad_ring *ring);
int bad_packed_start(struct bad_ring *ring);
bool bad_packed_is_available(const struct bad_ring *ring, struct bad_place place);
void bad_packed_run(struct bad_ring *ring);

/* bad_log.c: what was written, and that the used ring was. */
int bad_set_log_base(struct vhu_message *message);
int bad_set_log_fd(struct vhu_message *message);
void bad_mark(uint64_t gpa, uint64_t len);
void bad_mark_used(const struct bad_ring *ring);
void bad_forget_log(void);

/* bad_inflight.c: a chain is taken, about to be used, and used. */
int bad_get_inflight_fd(struct vhu_message *message);
int bad_set_inflight_fd(struct vhu_message *message);
int bad_record_start(struct bad_ring *ring);
void bad_record_take(const struct bad_ring *ring, uint16_t head);
void bad_record_link(const struct bad_ring *ring, uint16_t head);
void bad_record_done(const struct bad_ring *ring, uint16_t head);
void bad_forget_record(void);
/* That of a ring, or NULL. */
void *bad_record_region(const struct bad_ring *ring);

/* bad_inflight_packed.c: the same. */
uint64_t bad_record_packed_bytes(uint16_t queue_size);
int bad_record_packed_start(struct bad_ring *ring);
void bad_record_packed_take(const struct bad_ring *ring, uint16_t id);
void bad_record_packed_use(const struct bad_ring *ring, struct bad_place to);
void bad_record_packed_done(const struct bad_ring *ring, uint16_t id);

/* bad_iotlb.c: begin and missed: around what is to be tried again after a miss. */
bool bad_has_iommu(void);
void bad_iotlb_begin(void);
bool bad_iotlb_missed(void);
void *bad_at_iova(uint64_t iova, uint32_t *len, uint8_t perm);
void *bad_at_ring(uint64_t address, uint64_t len, uint8_t perm);
int bad_iotlb_msg(struct vhu_message *message);
void bad_forget_iotlb(void);

/* bad_postcopy.c */
bool bad_postcopy_can(void);
int bad_postcopy_advise(struct vhu_message *message);
int bad_postcopy_listen(struct vhu_message *message);
int bad_postcopy_end(struct vhu_message *message);
bool bad_postcopy_listens(void);
int bad_postcopy_reply(const struct vhu_message *message, struct vhu_wire_region *regions,
		       unsigned n);
bool bad_postcopy_takes_ack(const struct vhu_message *message, int *ret_result);
void bad_forget_postcopy(void);

/* bad_state.c */
int bad_set_device_state_fd(struct vhu_message *message);
int bad_check_device_state(struct vhu_message *message);
int bad_get_shared_object(struct vhu_message *message);
int bad_get_shmem_config(struct vhu_message *message);
void bad_forget_state(void);

#endif
