/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>

#include "common/base/cleanup.h"
#include "common/base/num.h"
#include "common/wire/message.h"
#include "common/wire/request.h"

/* Payload sizes, smallest and largest. */
#define EMPTY 0, 0
#define ONE_U64 sizeof(uint64_t), sizeof(uint64_t)
#define SIZE_OF(member) sizeof(((union vhu_payload *)0)->member)
#define WHOLE(member) SIZE_OF(member), SIZE_OF(member)
#define UP_TO(member) SIZE_OF(u64), SIZE_OF(member)
/* Some front-ends send the padding that their compiler adds. */
#define INFLIGHT VHU_INFLIGHT_SIZE, SIZE_OF(inflight)
#define CONFIG VHU_CONFIG_HEADER, VHU_CONFIG_HEADER + VHU_CONFIG_MAX

#define GATE(bit) VHU_PROTOCOL_F_##bit

#define RULE(request, sizes, fds, reply, index, gate, check) \
	[VHU_##request] = { \
		#request, sizes, VHU_FDS_##fds, VHU_REPLY_##reply, VHU_INDEX_##index, gate, check, \
	}

/*
 * vhost-user, VHOST_USER_SET_MEM_TABLE. No region at all is what a front-end answers in postcopy; a
 * payload longer than its regions is a front-end that sends the whole array.
 */
static int check_mem_table(const struct vhu_message *message)
{
	const struct vhu_mem_table *table = &message->payload.mem_table;

	if (table->n_regions > VHU_MEM_TABLE_MAX)
		return -EPROTO;
	if (message->header.size <
	    offsetof(struct vhu_mem_table, regions) + table->n_regions * sizeof(table->regions[0]))
		return -EPROTO;
	return 0;
}

/* Without LOG_SHMFD a log address may come as a lone u64; the described log always has its fd. */
static int check_log_base(const struct vhu_message *message)
{
	unsigned n_fds = message->header.size == SIZE_OF(log_base) ? 1 : 0;

	if (!n_fds && message->header.size != SIZE_OF(u64))
		return -EPROTO;
	return message->n_fds == n_fds ? 0 : -EPROTO;
}

/* The short form is the front-end's answer in postcopy: a u64, no fd. */
static int check_add_mem_reg(const struct vhu_message *message)
{
	unsigned n_fds = message->header.size == SIZE_OF(region) ? 1 : 0;

	if (!n_fds && message->header.size != SIZE_OF(u64))
		return -EPROTO;
	return message->n_fds == n_fds ? 0 : -EPROTO;
}

static int check_config(const struct vhu_message *message)
{
	uint32_t bytes = message->header.size - (uint32_t)VHU_CONFIG_HEADER;

	return message->payload.config.size == bytes ? 0 : -EPROTO;
}

/*
 * GET_QUEUE_NUM is asked of a back-end that offers MQ, acknowledged or not, so it has no gate.
 * SET_VRING_ENABLE, IOTLB_MSG and the log depend on bits of the other feature word.
 */
static const struct vhu_request_rule frontend_rules[] = {
	RULE(GET_FEATURES, EMPTY, NONE, ALWAYS, NONE, VHU_NO_GATE, NULL),
	RULE(SET_FEATURES, ONE_U64, NONE, ACK, NONE, VHU_NO_GATE, NULL),
	RULE(SET_OWNER, EMPTY, NONE, ACK, NONE, VHU_NO_GATE, NULL),
	RULE(RESET_OWNER, EMPTY, NONE, ACK, NONE, VHU_NO_GATE, NULL),
	RULE(SET_MEM_TABLE, UP_TO(mem_table), PER_REGION, ACK, NONE, VHU_NO_GATE, check_mem_table),
	RULE(SET_LOG_BASE, UP_TO(log_base), OPTIONAL, LOG_BASE, NONE, VHU_NO_GATE, check_log_base),
	RULE(SET_LOG_FD, EMPTY, ONE, ACK, NONE, VHU_NO_GATE, NULL),
	RULE(SET_VRING_NUM, WHOLE(vring_state), NONE, ACK, U32, VHU_NO_GATE, NULL),
	RULE(SET_VRING_ADDR, WHOLE(vring_addr), NONE, ACK, U32, VHU_NO_GATE, NULL),
	RULE(SET_VRING_BASE, WHOLE(vring_state), NONE, ACK, U32, VHU_NO_GATE, NULL),
	RULE(GET_VRING_BASE, WHOLE(vring_state), NONE, ALWAYS, U32, VHU_NO_GATE, NULL),
	RULE(SET_VRING_KICK, ONE_U64, BY_NO_FD, ACK, BITS07, VHU_NO_GATE, NULL),
	RULE(SET_VRING_CALL, ONE_U64, BY_NO_FD, ACK, BITS07, VHU_NO_GATE, NULL),
	RULE(SET_VRING_ERR, ONE_U64, BY_NO_FD, ACK, BITS07, VHU_NO_GATE, NULL),
	RULE(GET_PROTOCOL_FEATURES, EMPTY, NONE, ALWAYS, NONE, VHU_NO_GATE, NULL),
	RULE(SET_PROTOCOL_FEATURES, ONE_U64, NONE, ACK, NONE, VHU_NO_GATE, NULL),
	RULE(GET_QUEUE_NUM, EMPTY, NONE, ALWAYS, NONE, VHU_NO_GATE, NULL),
	RULE(SET_VRING_ENABLE, WHOLE(vring_state), NONE, ACK, U32, VHU_NO_GATE, NULL),
	RULE(SEND_RARP, ONE_U64, NONE, ACK, NONE, GATE(RARP), NULL),
	RULE(NET_SET_MTU, ONE_U64, NONE, ACK, NONE, GATE(MTU), NULL),
	RULE(SET_BACKEND_REQ_FD, EMPTY, ONE, ACK, NONE, GATE(BACKEND_REQ), NULL),
	RULE(IOTLB_MSG, WHOLE(iotlb), NONE, ALWAYS, NONE, VHU_NO_GATE, NULL),
	RULE(SET_VRING_ENDIAN, WHOLE(vring_state), NONE, ACK, U32, GATE(CROSS_ENDIAN), NULL),
	RULE(GET_CONFIG, CONFIG, NONE, ALWAYS, NONE, GATE(CONFIG), check_config),
	RULE(SET_CONFIG, CONFIG, NONE, ACK, NONE, GATE(CONFIG), check_config),
	RULE(CREATE_CRYPTO_SESSION, UP_TO(bytes), NONE, ALWAYS, NONE, GATE(CRYPTO_SESSION), NULL),
	RULE(CLOSE_CRYPTO_SESSION, ONE_U64, NONE, ACK, NONE, GATE(CRYPTO_SESSION), NULL),
	RULE(POSTCOPY_ADVISE, EMPTY, NONE, ALWAYS, NONE, GATE(PAGEFAULT), NULL),
	RULE(POSTCOPY_LISTEN, EMPTY, NONE, ACK, NONE, GATE(PAGEFAULT), NULL),
	RULE(POSTCOPY_END, EMPTY, NONE, ALWAYS, NONE, GATE(PAGEFAULT), NULL),
	RULE(GET_INFLIGHT_FD, INFLIGHT, NONE, ALWAYS, NONE, GATE(INFLIGHT_SHMFD), NULL),
	RULE(SET_INFLIGHT_FD, INFLIGHT, ONE, ACK, NONE, GATE(INFLIGHT_SHMFD), NULL),
	RULE(GPU_SET_SOCKET, EMPTY, ONE, ACK, NONE, VHU_NO_GATE, NULL),
	RULE(RESET_DEVICE, EMPTY, NONE, ACK, NONE, GATE(RESET_DEVICE), NULL),
	RULE(VRING_KICK, WHOLE(vring_state), NONE, ACK, U32, GATE(INBAND_NOTIFICATIONS), NULL),
	RULE(GET_MAX_MEM_SLOTS, EMPTY, NONE, ALWAYS, NONE, GATE(CONFIGURE_MEM_SLOTS), NULL),
	RULE(ADD_MEM_REG, UP_TO(region), OPTIONAL, ACK, NONE, GATE(CONFIGURE_MEM_SLOTS),
	     check_add_mem_reg),
	RULE(REM_MEM_REG, WHOLE(region), NONE, ACK, NONE, GATE(CONFIGURE_MEM_SLOTS), NULL),
	RULE(SET_STATUS, ONE_U64, NONE, ACK, NONE, GATE(STATUS), NULL),
	RULE(GET_STATUS, EMPTY, NONE, ALWAYS, NONE, GATE(STATUS), NULL),
	RULE(GET_SHARED_OBJECT, WHOLE(uuid), NONE, ALWAYS, NONE, GATE(SHARED_OBJECT), NULL),
	RULE(SET_DEVICE_STATE_FD, WHOLE(transfer), ONE, ALWAYS, NONE, GATE(DEVICE_STATE), NULL),
	RULE(CHECK_DEVICE_STATE, EMPTY, NONE, ALWAYS, NONE, GATE(DEVICE_STATE), NULL),
	RULE(GET_SHMEM_CONFIG, EMPTY, NONE, ALWAYS, NONE, GATE(SHMEM), NULL),
};

static const struct vhu_request_rule backend_rules[] = {
	RULE(BACKEND_IOTLB_MSG, WHOLE(iotlb), NONE, ACK, NONE, GATE(BACKEND_REQ), NULL),
	RULE(BACKEND_CONFIG_CHANGE_MSG, EMPTY, NONE, ACK, NONE, GATE(CONFIG), NULL),
	RULE(BACKEND_VRING_HOST_NOTIFIER_MSG, WHOLE(area), BY_NO_FD, ACK, BITS07,
	     GATE(HOST_NOTIFIER), NULL),
	RULE(BACKEND_VRING_CALL, WHOLE(vring_state), NONE, ACK, U32, GATE(INBAND_NOTIFICATIONS),
	     NULL),
	RULE(BACKEND_VRING_ERR, WHOLE(vring_state), NONE, ACK, U32, GATE(INBAND_NOTIFICATIONS),
	     NULL),
	RULE(BACKEND_SHARED_OBJECT_ADD, WHOLE(uuid), NONE, ACK, NONE, GATE(SHARED_OBJECT), NULL),
	RULE(BACKEND_SHARED_OBJECT_REMOVE, WHOLE(uuid), NONE, ACK, NONE, GATE(SHARED_OBJECT), NULL),
	RULE(BACKEND_SHARED_OBJECT_LOOKUP, WHOLE(uuid), NONE, ALWAYS, NONE, GATE(SHARED_OBJECT),
	     NULL),
	RULE(BACKEND_SHMEM_MAP, WHOLE(shmem_map), ONE, ACK, NONE, GATE(SHMEM), NULL),
	RULE(BACKEND_SHMEM_UNMAP, WHOLE(shmem_map), NONE, ACK, NONE, GATE(SHMEM), NULL),
};

static const struct vhu_request_rule *find_rule(const struct vhu_request_rule *rules, size_t n,
						uint32_t request)
{
	return request < n && rules[request].name ? &rules[request] : NULL;
}

const struct vhu_request_rule *vhu_frontend_request_rule(uint32_t request)
{
	return find_rule(frontend_rules, ARRAY_SIZE(frontend_rules), request);
}

const struct vhu_request_rule *vhu_backend_request_rule(uint32_t request)
{
	return find_rule(backend_rules, ARRAY_SIZE(backend_rules), request);
}

static void drop_fds(struct vhu_message *message)
{
	while (message->n_fds)
		close_fd(&message->fds[--message->n_fds]);
}

static int check_fds(enum vhu_fd_rule fds, struct vhu_message *message)
{
	bool right = true;

	switch (fds) {
	case VHU_FDS_NONE:
		drop_fds(message);
		break;
	case VHU_FDS_ONE:
		right = message->n_fds == 1;
		break;
	case VHU_FDS_BY_NO_FD:
		right = message->n_fds == (message->payload.u64 & VHU_VRING_NO_FD ? 0 : 1);
		break;
	case VHU_FDS_PER_REGION:
		right = message->n_fds == message->payload.mem_table.n_regions;
		break;
	case VHU_FDS_OPTIONAL:
		right = message->n_fds <= 1;
		break;
	}
	return right ? 0 : -EPROTO;
}

int vhu_request_check(const struct vhu_request_rule *rule, struct vhu_message *message)
{
	const struct vhu_header *header = &message->header;

	if ((header->flags & VHU_FLAG_VERSION_MASK) != VHU_VERSION ||
	    header->flags & VHU_FLAG_REPLY)
		return -EPROTO;
	if (!rule) {
		drop_fds(message);
		return 0;
	}
	if (header->size < rule->min_size || header->size > rule->max_size)
		return -EPROTO;
	if (rule->check && rule->check(message) < 0)
		return -EPROTO;
	return check_fds(rule->fds, message);
}

uint32_t vhu_request_index(const struct vhu_request_rule *rule, const struct vhu_message *message)
{
	return rule->index == VHU_INDEX_U32 ? message->payload.vring_state.index
					    : message->payload.u64 & VHU_VRING_INDEX_MASK;
}
