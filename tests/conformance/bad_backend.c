/* SPDX-License-Identifier: BSD-3-Clause */
/* The messages of the back-end that breaks rules on demand. */
#include "tests/conformance/bad_parts.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/fd.h"
#include "common/base/num.h"
#include "common/wire/request.h"

#define REPLIED BAD_REPLIED
#define CLOSE BAD_CLOSE

static bool has(unsigned protocol_bit)
{
	return bad.protocol & VHU_BIT(protocol_bit);
}

bool bad_any_started(void)
{
	return bad.rings[0].started || bad.rings[1].started;
}

static int reply(const struct vhu_message *message, const void *payload, uint32_t size)
{
	uint32_t flags = VHU_VERSION | VHU_FLAG_REPLY;
	uint8_t longer[sizeof(union vhu_payload)] = { 0 };

	memcpy(longer, payload, size);
	if (breaks("FRM-01"))
		flags = VHU_VERSION;
	if (breaks("FRM-02"))
		flags = VHU_FLAG_REPLY;
	if (breaks("FRM-03"))
		size += 4;
	dies_of("REC-04", vhu_message_send(bad.fd, message->header.request, flags, longer, size,
					   NULL, 0, 1000) < 0);
	return REPLIED;
}

int bad_reply_u64(const struct vhu_message *message, uint64_t value)
{
	return reply(message, &value, sizeof(value));
}

/* Features. */

static int get_features(struct vhu_message *message)
{
	uint64_t features = bad.offered;

	dies_of("IOT-12", bad.rings[0].unresolved);
	if (breaks("IOT-07") && bad_has_iommu() && bad_iotlb_missed())
		return BAD_REPLIED;
	if (breaks("FEA-01") && bad.acked)
		features ^= VHU_BIT(VHU_F_RING_EVENT_IDX);
	return bad_reply_u64(message, features);
}

static int set_features(struct vhu_message *message)
{
	uint64_t features = message->payload.u64;

	if (features & ~bad.offered && !breaks("FEA-04"))
		return -EINVAL;
	if (breaks("FEA-03") && !(features & VHU_BIT(VHU_F_RING_EVENT_IDX)))
		return -EINVAL;
	if (breaks("FEA-06"))
		return -EINVAL;
	bad.acked = features;
	for (unsigned i = 0; i < BAD_QUEUES; i++) {
		if (!(features & VHU_BIT(VHU_F_PROTOCOL_FEATURES)) && !breaks("STA-07"))
			bad.rings[i].enabled = true;
		if (breaks("FEA-05"))
			bad.rings[i].started = false;
	}
	return 0;
}

static int get_protocol_features(struct vhu_message *message)
{
	if (breaks("PRO-01") && !bad.acked)
		return CLOSE;
	return bad_reply_u64(message, bad.protocol_offered);
}

static int set_protocol_features(struct vhu_message *message)
{
	uint64_t features = message->payload.u64;
	const uint64_t company = VHU_BIT(VHU_PROTOCOL_F_BACKEND_REQ) |
				 VHU_BIT(VHU_PROTOCOL_F_REPLY_ACK);

	if (features & ~bad.protocol_offered && !breaks("PRO-07"))
		return -EINVAL;
	if (features & VHU_BIT(VHU_PROTOCOL_F_INBAND_NOTIFICATIONS) &&
	    (features & company) != company && !breaks("PRO-06"))
		return CLOSE;
	bad.protocol = features;
	return 0;
}

static int set_owner(struct vhu_message *message)
{
	(void)message;
	return 0;
}

static int reset_owner(struct vhu_message *message)
{
	(void)message;
	return breaks("STA-23") ? CLOSE : 0;
}

static int get_queue_num(struct vhu_message *message)
{
	return bad_reply_u64(message, breaks("PRO-03") ? 0 : bad.is_rng ? 1 : BAD_QUEUES);
}

static int set_backend_req_fd(struct vhu_message *message)
{
	close_fd(&bad.channel_fd);
	bad.channel_fd = vhu_message_steal_fd(message, 0);
	return breaks("PRO-05") ? -EINVAL : 0;
}

/* Rings. */

static struct bad_ring *ring_of(const struct vhu_message *message)
{
	const struct vhu_request_rule *rule = vhu_frontend_request_rule(message->header.request);
	uint32_t index = vhu_request_index(rule, message);

	dies_of("HOS-01", rule->index == VHU_INDEX_U32 && index >= BAD_QUEUES);
	dies_of("HOS-02", rule->index == VHU_INDEX_BITS07 && index >= BAD_QUEUES);
	return index < BAD_QUEUES ? &bad.rings[index] : NULL;
}

static int set_vring_num(struct vhu_message *message)
{
	struct bad_ring *ring = ring_of(message);
	uint32_t num = message->payload.vring_state.num;
	bool any = bad_is_packed() && !breaks("PKD-04");
	bool odd = !num || (!any && !is_pow2(num)) || num > BAD_RING_MAX;

	dies_of("HOS-04", odd);
	if (!ring || odd || breaks("STA-01") || (bad.bare && num > BAD_BARE_RING_MAX))
		return -EINVAL;
	ring->num = num;
	return 0;
}

static int set_vring_addr(struct vhu_message *message)
{
	struct bad_ring *ring = ring_of(message);

	if (!ring)
		return -EINVAL;
	ring->addr = message->payload.vring_addr;
	if (ring->started)
		return bad_ring_start(ring);
	/* Without a kick fd, and with nobody asking for it. */
	return breaks("STA-04") && ring->num ? bad_ring_start(ring) : 0;
}

static int set_vring_base(struct vhu_message *message)
{
	struct bad_ring *ring = ring_of(message);
	uint32_t base = message->payload.vring_state.num;

	if (ring && bad_is_packed()) {
		bad_packed_set_base(ring, base);
		return 0;
	}
	dies_of("HOS-05", base > 0xffff);
	if (!ring || base > 0xffff)
		return -EINVAL;
	if (!breaks("REC-02") || !ring->was_started)
		ring->last_avail = (uint16_t)base;
	return 0;
}

static int get_vring_base(struct vhu_message *message)
{
	struct bad_ring *ring = ring_of(message);
	struct vhu_vring_state state = message->payload.vring_state;

	if (!ring || (breaks("STA-09") && !ring->started))
		return CLOSE;
	bad_ring_stop(ring);
	if (breaks("STA-22"))
		for (unsigned i = 0; i < BAD_QUEUES; i++)
			bad_ring_stop(&bad.rings[i]);
	state.num = bad_is_packed() ? bad_packed_base(ring) : ring->last_avail;
	if (breaks("STA-08") || (breaks("INF-14") && has(VHU_PROTOCOL_F_GET_VRING_BASE_INFLIGHT)))
		state.num++;
	if (breaks("STA-11") && state.num < 0x1000)
		state.num |= 0x10000;
	return reply(message, &state, sizeof(state));
}

static int set_fd(struct vhu_message *message, int *fd)
{
	bool none = message->payload.u64 & VHU_VRING_NO_FD;

	close_fd(fd);
	if (none == (message->n_fds == 1))
		return -EINVAL;
	*fd = vhu_message_steal_fd(message, 0);
	return 0;
}

static int set_vring_kick(struct vhu_message *message)
{
	struct bad_ring *ring = ring_of(message);
	int r = ring ? set_fd(message, &ring->kick_fd) : -EINVAL;
	int type;

	if (r < 0)
		return r;
	ring->polled = ring->kick_fd < 0 && !breaks("STA-20");
	type = ring->kick_fd < 0 ? 0 : lseek(ring->kick_fd, 1, SEEK_SET) > 0;
	dies_of("HOS-08", type);
	if (breaks("REC-01") && bad.n_connections > 4)
		return 0;
	if (breaks("CHN-02") && has(VHU_PROTOCOL_F_INBAND_NOTIFICATIONS))
		return 0;
	bad_iotlb_begin();
	r = bad_ring_start(ring);
	ring->unresolved = r < 0 && bad_iotlb_missed();
	if (r == 0)
		bad_ring_run(ring);
	return ring->unresolved ? 0 : r;
}

static int vring_kick(struct vhu_message *message)
{
	uint32_t index = message->payload.vring_state.index;
	struct bad_ring *ring = index < BAD_QUEUES ? &bad.rings[index] : NULL;
	int r = 0;

	dies_of("CHN-03", !ring || message->payload.vring_state.num);
	if (!ring)
		return -EINVAL;
	if (!ring->started)
		r = bad_ring_start(ring);
	if (r == 0 && !breaks("CHN-01"))
		bad_ring_run(ring);
	return r;
}

static int set_vring_call(struct vhu_message *message)
{
	struct bad_ring *ring = ring_of(message);

	if (!ring)
		return -EINVAL;
	if (breaks("STA-18") && ring->started)
		return 0;
	if (breaks("STA-19") && message->payload.u64 & VHU_VRING_NO_FD)
		ring->broken = true;
	return set_fd(message, &ring->call_fd);
}

static int set_vring_err(struct vhu_message *message)
{
	struct bad_ring *ring = ring_of(message);

	return ring ? set_fd(message, &ring->err_fd) : -EINVAL;
}

static int set_vring_enable(struct vhu_message *message)
{
	struct bad_ring *ring = ring_of(message);
	bool on = message->payload.vring_state.num;

	if (!(bad.acked & VHU_BIT(VHU_F_PROTOCOL_FEATURES)))
		return CLOSE;
	if (!ring)
		return -EINVAL;
	if (breaks("STA-05") && !ring->started)
		return 0;
	if (breaks("STA-06") && on && ring->last_avail)
		return 0;
	ring->enabled = on;
	bad_ring_run(ring);
	return 0;
}

/* Device. */

static int get_config(struct vhu_message *message)
{
	struct vhu_config config = message->payload.config;
	uint32_t offset = breaks("CFG-02") ? 0 : config.offset;
	bool odd = !range_fits(config.offset, config.size, sizeof(bad.config)) || !config.size;

	dies_of("CFG-04", odd);
	if (breaks("CFG-03") && !bad.acked)
		odd = bad.n_connections > 1; /* not at first sight */
	if (odd)
		return reply(message, &config, 0);
	if (breaks("CFG-01"))
		config.size = 60;
	memcpy(config.bytes, (char *)&bad.config + offset, config.size);
	return reply(message, &config, (uint32_t)VHU_CONFIG_HEADER + config.size);
}

static int set_config(struct vhu_message *message)
{
	const struct vhu_config *config = &message->payload.config;
	bool is_wce = config->offset == offsetof(struct virtio_blk_config, wce) &&
		      config->size == 1;

	dies_of("CFG-05", !range_fits(config->offset, config->size, sizeof(bad.config)));
	if (is_wce && !breaks("CFG-08"))
		bad.config.wce = config->bytes[0] & 1;
	if (config->offset == 0 && config->size == 8 && breaks("CFG-06"))
		memcpy(&bad.config.capacity, config->bytes, 8);
	return is_wce || breaks("CFG-06") || breaks("CFG-07") ? 0 : -EINVAL;
}

static int set_status(struct vhu_message *message)
{
	uint64_t status = message->payload.u64;

	if (breaks("RST-02") && !status)
		return 0;
	bad.status = status;
	return 0;
}

static int get_status(struct vhu_message *message)
{
	return bad_reply_u64(message, breaks("RST-01") ? 0 : bad.status);
}

static int reset_device(struct vhu_message *message)
{
	(void)message;
	dies_of("RST-05", bad_any_started());
	if (breaks("RST-03"))
		return CLOSE;
	if (!breaks("RST-04"))
		bad.status = 0;
	for (unsigned i = 0; i < BAD_QUEUES; i++) {
		bad_ring_stop(&bad.rings[i]);
		bad.rings[i].enabled = false;
		bad.rings[i].last_avail = 0;
	}
	return 0;
}

static int (*const handlers[VHU_FRONTEND_REQUEST_END])(struct vhu_message *) = {
	[VHU_GET_FEATURES] = get_features,
	[VHU_SET_FEATURES] = set_features,
	[VHU_GET_PROTOCOL_FEATURES] = get_protocol_features,
	[VHU_SET_PROTOCOL_FEATURES] = set_protocol_features,
	[VHU_SET_OWNER] = set_owner,
	[VHU_RESET_OWNER] = reset_owner,
	[VHU_GET_QUEUE_NUM] = get_queue_num,
	[VHU_SET_BACKEND_REQ_FD] = set_backend_req_fd,
	[VHU_SET_MEM_TABLE] = bad_set_mem_table,
	[VHU_ADD_MEM_REG] = bad_add_mem_reg,
	[VHU_REM_MEM_REG] = bad_rem_mem_reg,
	[VHU_GET_MAX_MEM_SLOTS] = bad_get_max_mem_slots,
	[VHU_SET_VRING_NUM] = set_vring_num,
	[VHU_SET_VRING_ADDR] = set_vring_addr,
	[VHU_SET_VRING_BASE] = set_vring_base,
	[VHU_GET_VRING_BASE] = get_vring_base,
	[VHU_SET_VRING_KICK] = set_vring_kick,
	[VHU_SET_VRING_CALL] = set_vring_call,
	[VHU_SET_VRING_ERR] = set_vring_err,
	[VHU_SET_VRING_ENABLE] = set_vring_enable,
	[VHU_GET_CONFIG] = get_config,
	[VHU_SET_CONFIG] = set_config,
	[VHU_SET_STATUS] = set_status,
	[VHU_GET_STATUS] = get_status,
	[VHU_RESET_DEVICE] = reset_device,
	[VHU_POSTCOPY_ADVISE] = bad_postcopy_advise,
	[VHU_POSTCOPY_LISTEN] = bad_postcopy_listen,
	[VHU_POSTCOPY_END] = bad_postcopy_end,
	[VHU_IOTLB_MSG] = bad_iotlb_msg,
	[VHU_SET_LOG_BASE] = bad_set_log_base,
	[VHU_SET_LOG_FD] = bad_set_log_fd,
	[VHU_GET_INFLIGHT_FD] = bad_get_inflight_fd,
	[VHU_SET_INFLIGHT_FD] = bad_set_inflight_fd,
	[VHU_SET_DEVICE_STATE_FD] = bad_set_device_state_fd,
	[VHU_CHECK_DEVICE_STATE] = bad_check_device_state,
	[VHU_GET_SHARED_OBJECT] = bad_get_shared_object,
	[VHU_GET_SHMEM_CONFIG] = bad_get_shmem_config,
	[VHU_VRING_KICK] = vring_kick,
};

static void ack(const struct vhu_message *message, uint32_t flags, int result)
{
	bool asked = flags & VHU_FLAG_NEED_REPLY && has(VHU_PROTOCOL_F_REPLY_ACK);

	if (result == REPLIED && !(breaks("FRM-04") && asked))
		return;
	if (breaks("FRM-06") || !(asked || breaks("FRM-05")))
		return;
	bad_reply_u64(message, result < 0 ? (uint64_t)-result : 0);
}

static bool some_device_rule_about(const struct vhu_message *message)
{
	uint32_t request = message->header.request;

	/* A message in need of what was not negotiated. */
	return request < VHU_FRONTEND_REQUEST_END && !handlers[request];
}

/* A message as it came, before it is known to be right. */
static void look_at_odd(const struct vhu_message *message)
{
	const struct vhu_request_rule *rule = vhu_frontend_request_rule(message->header.request);
	uint32_t flags = message->header.flags;

	dies_of("FRM-09", !rule);
	dies_of("FRM-10", (flags & VHU_FLAG_VERSION_MASK) != VHU_VERSION || flags & VHU_FLAG_REPLY);
	dies_of("FRM-12", rule && (message->header.size < rule->min_size ||
				   message->header.size > rule->max_size));
	dies_of("FRM-14", rule && rule->fds == VHU_FDS_NONE && message->n_fds);
	dies_of("HOS-03", rule && rule->fds == VHU_FDS_BY_NO_FD && message->header.size == 8 &&
				  !(message->payload.u64 & VHU_VRING_NO_FD) == !message->n_fds);
	dies_of("HOS-15", rule && some_device_rule_about(message));
	dies_of("MEM-12", rule && message->header.request == VHU_SET_MEM_TABLE &&
				  message->payload.mem_table.n_regions > VHU_MEM_TABLE_MAX);
	/* An fd that comes with it is kept for ever. */
	if (message->n_fds && ((breaks("MEM-09") && message->header.request == VHU_REM_MEM_REG) ||
			       (breaks("FRM-15") && message->header.request == VHU_GET_FEATURES) ||
			       (breaks("REC-05") &&
				message->header.request == VHU_SET_BACKEND_REQ_FD)))
		(void)!dup(message->fds[0]);
}

/* False: the connection is to be closed. */
static bool handle(struct vhu_message *message)
{
	const struct vhu_request_rule *rule = vhu_frontend_request_rule(message->header.request);
	uint32_t flags = message->header.flags;
	int r;

	look_at_odd(message);
	if (vhu_request_check(rule, message) < 0 ||
	    (rule && rule->gate != VHU_NO_GATE && !has((unsigned)rule->gate)))
		return false;
	r = rule && handlers[message->header.request] ? handlers[message->header.request](message)
						      : -ENOSYS;
	if (r == -ENOSYS && rule && rule->reply == VHU_REPLY_ALWAYS)
		return false;
	if (r != CLOSE)
		ack(message, flags, r);
	/* Without an ack there is no other way to tell. */
	return r != CLOSE && !(bad.bare && r < 0);
}

bool bad_receive(struct vhu_receiver *receiver)
{
	char rest[4096];
	int r, n = 0;
	bool goes_on;

	if (breaks("FRM-08") && ioctl(bad.fd, FIONREAD, &n) == 0 && n < 12)
		return false;
	r = vhu_receiver_read(receiver, bad.fd);
	if (r == -EAGAIN)
		return true;
	dies_of("FRM-11", r == -EMSGSIZE);
	dies_of("FRM-13", r == -ECONNRESET && receiver->got);
	if (r != 1)
		return false;
	if (breaks("FRM-07"))
		(void)!recv(bad.fd, rest, sizeof(rest), MSG_DONTWAIT);
	/* PRO-04: nothing works without acks. */
	goes_on = handle(&receiver->message);
	if (breaks("PRO-04") && bad.rings[0].started && !has(VHU_PROTOCOL_F_REPLY_ACK))
		goes_on = false;
	vhu_receiver_finish(receiver);
	return goes_on;
}
