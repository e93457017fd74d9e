/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_SESSION_HANDLERS_PRIV_H
#define VHU_SESSION_HANDLERS_PRIV_H

/* The handlers, by file; the table in session.c says which request is whose. */

#include "common/session/session_priv.h"

int vhu_handle_get_features(struct vhu_session *session, struct vhu_message *message);
int vhu_handle_set_features(struct vhu_session *session, struct vhu_message *message);
int vhu_handle_get_protocol_features(struct vhu_session *session, struct vhu_message *message);
int vhu_handle_set_protocol_features(struct vhu_session *session, struct vhu_message *message);
int vhu_handle_set_owner(struct vhu_session *session, struct vhu_message *message);
int vhu_handle_reset_owner(struct vhu_session *session, struct vhu_message *message);
int vhu_handle_get_queue_num(struct vhu_session *session, struct vhu_message *message);
int vhu_handle_reset_device(struct vhu_session *session, struct vhu_message *message);
int vhu_handle_set_status(struct vhu_session *session, struct vhu_message *message);
int vhu_handle_get_status(struct vhu_session *session, struct vhu_message *message);

int vhu_handle_set_mem_table(struct vhu_session *session, struct vhu_message *message);
int vhu_handle_get_max_mem_slots(struct vhu_session *session, struct vhu_message *message);
int vhu_handle_add_mem_reg(struct vhu_session *session, struct vhu_message *message);
int vhu_handle_rem_mem_reg(struct vhu_session *session, struct vhu_message *message);

int vhu_handle_postcopy_advise(struct vhu_session *session, struct vhu_message *message);
int vhu_handle_postcopy_listen(struct vhu_session *session, struct vhu_message *message);
int vhu_handle_postcopy_end(struct vhu_session *session, struct vhu_message *message);

int vhu_handle_set_log_base(struct vhu_session *session, struct vhu_message *message);
int vhu_handle_set_log_fd(struct vhu_session *session, struct vhu_message *message);

int vhu_handle_get_inflight_fd(struct vhu_session *session, struct vhu_message *message);
int vhu_handle_set_inflight_fd(struct vhu_session *session, struct vhu_message *message);

int vhu_handle_set_vring_num(struct vhu_session *session, struct vhu_message *message);
int vhu_handle_set_vring_addr(struct vhu_session *session, struct vhu_message *message);
int vhu_handle_set_vring_base(struct vhu_session *session, struct vhu_message *message);
int vhu_handle_get_vring_base(struct vhu_session *session, struct vhu_message *message);
int vhu_handle_set_vring_kick(struct vhu_session *session, struct vhu_message *message);
int vhu_handle_vring_kick(struct vhu_session *session, struct vhu_message *message);
int vhu_handle_set_vring_call(struct vhu_session *session, struct vhu_message *message);
int vhu_handle_set_vring_err(struct vhu_session *session, struct vhu_message *message);
int vhu_handle_set_vring_enable(struct vhu_session *session, struct vhu_message *message);
int vhu_handle_set_vring_endian(struct vhu_session *session, struct vhu_message *message);

int vhu_handle_iotlb_msg(struct vhu_session *session, struct vhu_message *message);

int vhu_handle_get_config(struct vhu_session *session, struct vhu_message *message);
int vhu_handle_set_config(struct vhu_session *session, struct vhu_message *message);

int vhu_handle_set_backend_req_fd(struct vhu_session *session, struct vhu_message *message);
int vhu_handle_get_shared_object(struct vhu_session *session, struct vhu_message *message);
int vhu_handle_get_shmem_config(struct vhu_session *session, struct vhu_message *message);
int vhu_handle_gpu_set_socket(struct vhu_session *session, struct vhu_message *message);

int vhu_handle_set_device_state_fd(struct vhu_session *session, struct vhu_message *message);
int vhu_handle_check_device_state(struct vhu_session *session, struct vhu_message *message);

/* What handlers of several files share. */

/*
 * handle_state.c: no transfer any more; a session that was parked for its end is not parked. Not
 * while the control thread has it.
 */
void vhu_session_drop_transfer(struct vhu_session *session);

/*
 * handle_vring.c: drains and stops those rings; suspends the device when none is left; then
 * after.
 */
int vhu_session_stop_rings(struct vhu_session *session, uint64_t rings,
			   enum vhu_drain_reason reason, vhu_step_fn after);
/*
 * handle_vring.c: takes no more requests from those rings until they are activated again, and has
 * what was taken completed; then next.
 */
int vhu_session_drain_rings(struct vhu_session *session, uint64_t rings,
			    enum vhu_drain_reason reason, vhu_step_fn next);
/* Takes no more requests from the ring; for vhu_session_on_rings(). */
void vhu_session_deactivate_ring(struct vhu_job *job);
/* handle_memory.c: every ring gets session->next_memory, the device too; then after. */
int vhu_session_publish_memory(struct vhu_session *session, vhu_step_fn after);
/* The same, once no request is in flight that points into the map there is. */
int vhu_session_replace_memory(struct vhu_session *session, vhu_step_fn after);
/*
 * handle_postcopy.c: the answer is the message, its regions with the addresses where next (taken)
 * has them mapped; the front-end's ack makes next the map. Between the two nobody touches it.
 */
int vhu_session_tell_bases(struct vhu_session *session, struct vhu_memory *next,
			   struct vhu_wire_region *regions, unsigned n);
int vhu_session_bases_acked(struct vhu_session *session);
/* The session is lost: nobody waits for memory any more. */
void vhu_session_lose_postcopy(struct vhu_session *session);
/* handle_log.c: the map has the log that LOG_ALL and SET_LOG_BASE ask for; then after. */
int vhu_session_apply_log(struct vhu_session *session, vhu_step_fn after);
/* handle_iotlb.c: -EINVAL when a ring behind an IOMMU would have nobody to ask. */
int vhu_session_check_iommu(struct vhu_session *session);
/* handle_inflight.c: no ring runs, and what was in flight is no longer to be done. */
void vhu_session_forget_inflight(struct vhu_session *session);
/* handle_features.c: tells the device what was acked; for vhu_session_on_control(). */
int vhu_session_tell_acked(struct vhu_session *session);
/* handle_vring.c: takes requests from those rings, which are started and enabled. */
int vhu_session_activate_rings(struct vhu_session *session, uint64_t rings);

#endif
