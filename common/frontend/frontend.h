/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_FRONTEND_FRONTEND_H
#define VHU_FRONTEND_FRONTEND_H

/*
 * The other side of the protocol: a front-end without a virtual machine, for tests, benches and
 * whoever wants to try a back-end. Every wait ends by time-out. Calls return 0 or negative errno:
 *
 *   -ETIMEDOUT   the back-end did not answer within timeout_ms
 *   -ECONNRESET  it closed the connection (or never was there)
 *   -EREMOTEIO   it answered, and the answer is no
 *   -EPROTO      its answer is not one to this request
 *
 * One thread at a time; drivers of different rings may run in threads of their own.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/frontend/guest.h"
#include "common/wire/message.h"

/* What negotiate is usually asked for; the bits of the device type are among the features. */
#define VHU_FRONTEND_FEATURES \
	(0xffffffull | VHU_BIT(VHU_F_RING_INDIRECT_DESC) | VHU_BIT(VHU_F_RING_EVENT_IDX) | \
	 VHU_BIT(VHU_F_PROTOCOL_FEATURES) | VHU_BIT(VHU_F_VERSION_1))
#define VHU_FRONTEND_PROTOCOL_FEATURES \
	(VHU_BIT(VHU_PROTOCOL_F_MQ) | VHU_BIT(VHU_PROTOCOL_F_REPLY_ACK) | \
	 VHU_BIT(VHU_PROTOCOL_F_BACKEND_REQ) | VHU_BIT(VHU_PROTOCOL_F_CONFIG) | \
	 VHU_BIT(VHU_PROTOCOL_F_RESET_DEVICE) | VHU_BIT(VHU_PROTOCOL_F_CONFIGURE_MEM_SLOTS) | \
	 VHU_BIT(VHU_PROTOCOL_F_STATUS))

struct vhu_frontend {
	int fd;		/* the connection, non-blocking, or -1 */
	int channel_fd; /* our end of the back-end's own channel, or -1 */
	int timeout_ms; /* of each wait; 5,000 at first, and the caller's to change */
	bool no_acks;	/* ask for none, and do not wait for what has no reply */
	/* As negotiated on this connection. */
	uint64_t offered_features, acked_features;
	uint64_t offered_protocol_features, acked_protocol_features;
	uint64_t n_queues, n_memory_slots; /* 0: not asked */
	struct vhu_receiver receiver, channel_receiver;
	/* See vhu_frontend_serve(). */
	uint64_t (*on_request)(void *data, const struct vhu_message *request);
	void *on_request_data;
	uint64_t called, broken; /* rings, by bits, that VRING_CALL and VRING_ERR told of */
	struct vhu_guest guest; /* outlives a connection */
};

static inline bool vhu_frontend_acked(const struct vhu_frontend *frontend,
				      enum vhu_protocol_feature feature)
{
	return frontend->acked_protocol_features & VHU_BIT(feature);
}

void vhu_frontend_init(struct vhu_frontend *frontend);
void vhu_frontend_finish(struct vhu_frontend *frontend);

/* Tries until timeout_ms have passed: the socket may not be there yet. */
int vhu_frontend_connect(struct vhu_frontend *frontend, const char *path);
/* Takes a connected socket. */
int vhu_frontend_attach(struct vhu_frontend *frontend, int fd);
/* Goes without a word. What was negotiated is forgotten, the guest's memory stays. */
void vhu_frontend_disconnect(struct vhu_frontend *frontend);

/*
 * Everything up to the rings, in the order that QEMU has: takes of the offered bits those in the
 * two masks, opens the channel, asks for the number of queues. Without PROTOCOL_FEATURES in the
 * first mask it is the old protocol.
 */
int vhu_frontend_negotiate(struct vhu_frontend *frontend, uint64_t features,
			   uint64_t protocol_features);
/* All of the guest's regions: ADD_MEM_REG each when memory slots were negotiated, else a table. */
int vhu_frontend_share_memory(struct vhu_frontend *frontend);

/*
 * One request in its right form, fds borrowed. What always has a reply is waited for; the rest is
 * acked when REPLY_ACK was negotiated, and without that followed by sync: its fate is unknown then,
 * but it has been handled (QEMU does so where it has to know). *ret_reply (or NULL) is the reply
 * or the ack, to be finished by the caller.
 */
int vhu_frontend_call(struct vhu_frontend *frontend, uint32_t request, const void *payload,
		      uint32_t payload_size, const int *fds, unsigned n_fds,
		      struct vhu_message *ret_reply);
/* GET_FEATURES: whatever was sent before has been handled. */
int vhu_frontend_sync(struct vhu_frontend *frontend);

/* Requests by the form of their payload. */
int vhu_frontend_tell(struct vhu_frontend *frontend, uint32_t request);
int vhu_frontend_tell_u64(struct vhu_frontend *frontend, uint32_t request, uint64_t value);
int vhu_frontend_ask_u64(struct vhu_frontend *frontend, uint32_t request, uint64_t *ret_value);
/* SET_VRING_NUM, BASE, ENABLE, ENDIAN and VRING_KICK. */
int vhu_frontend_set_vring(struct vhu_frontend *frontend, uint32_t request, uint32_t index,
			   uint32_t num);
/* SET_VRING_KICK, CALL, ERR; fd -1 says that there is none. */
int vhu_frontend_set_vring_fd(struct vhu_frontend *frontend, uint32_t request, uint32_t index,
			      int fd);
int vhu_frontend_set_vring_addr(struct vhu_frontend *frontend, const struct vhu_vring_addr *addr);
int vhu_frontend_get_vring_base(struct vhu_frontend *frontend, uint32_t index, uint32_t *ret_base);
/* These two also remember what was acked. */
int vhu_frontend_set_features(struct vhu_frontend *frontend, uint64_t features);
int vhu_frontend_set_protocol_features(struct vhu_frontend *frontend, uint64_t features);
int vhu_frontend_set_mem_table(struct vhu_frontend *frontend,
			       const struct vhu_wire_region *regions, const int *fds, unsigned n);
int vhu_frontend_add_mem_reg(struct vhu_frontend *frontend, const struct vhu_wire_region *region,
			     int fd);
int vhu_frontend_rem_mem_reg(struct vhu_frontend *frontend, const struct vhu_wire_region *region);
/* -EREMOTEIO also when the back-end gives back no bytes. */
int vhu_frontend_get_config(struct vhu_frontend *frontend, uint32_t offset, void *buf,
			    uint32_t size);
int vhu_frontend_set_config(struct vhu_frontend *frontend, uint32_t offset, uint32_t flags,
			    const void *buf, uint32_t size);
/* *ret_fd, which the caller owns, is -1 when the back-end has no such object. */
int vhu_frontend_get_shared_object(struct vhu_frontend *frontend, const uint8_t uuid[16],
				   int *ret_fd);
int vhu_frontend_get_shmem_config(struct vhu_frontend *frontend,
				  struct vhu_shmem_config *ret_config);

/* SET_BACKEND_REQ_FD with a new channel; an old one is closed. */
int vhu_frontend_open_channel(struct vhu_frontend *frontend);
/* Waits for the back-end's next request, in its right form. The caller finishes *ret_message. */
int vhu_frontend_next_request(struct vhu_frontend *frontend, struct vhu_message *ret_message);
/* Answers one if it wants an answer. fd (borrowed): -1 for none. */
int vhu_frontend_answer(struct vhu_frontend *frontend, const struct vhu_message *request,
			uint64_t value, int fd);
/*
 * Takes what has come on the channel, without waiting: notes in-band calls and errors, hands the
 * rest to on_request, whose result is the answer (without one it is 0). A driver that waits does it
 * too, if there is an on_request or calls are in-band.
 */
int vhu_frontend_serve(struct vhu_frontend *frontend);

/* For faults: any bytes, any fds (at most 253, more than a back-end will read at once). */
int vhu_frontend_send_bytes(struct vhu_frontend *frontend, const void *bytes, size_t len,
			    const int *fds, unsigned n_fds);
/* The header as it stands, then payload_size bytes, whatever the header says. */
int vhu_frontend_send(struct vhu_frontend *frontend, const struct vhu_header *header,
		      const void *payload, size_t payload_size, const int *fds, unsigned n_fds);
/* The next message of the connection, whatever it is. The caller finishes *ret_message. */
int vhu_frontend_receive(struct vhu_frontend *frontend, struct vhu_message *ret_message);
/* 0 once the back-end has closed the connection; what it still said is thrown away. */
int vhu_frontend_wait_closed(struct vhu_frontend *frontend);

#endif
