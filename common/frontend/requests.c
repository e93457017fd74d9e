/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests by the form of their payload, and the usual orders of them. */
#include <errno.h>
#include <string.h>

#include "common/base/num.h"
#include "common/frontend/frontend.h"

int vhu_frontend_tell(struct vhu_frontend *frontend, uint32_t request)
{
	return vhu_frontend_call(frontend, request, NULL, 0, NULL, 0, NULL);
}

int vhu_frontend_tell_u64(struct vhu_frontend *frontend, uint32_t request, uint64_t value)
{
	return vhu_frontend_call(frontend, request, &value, sizeof(value), NULL, 0, NULL);
}

/* A call whose reply has size bytes of payload, and no fd that anyone wants. */
static int ask(struct vhu_frontend *frontend, uint32_t request, const void *payload,
	       uint32_t payload_size, void *ret_payload, uint32_t size)
{
	struct vhu_message reply;
	int r = vhu_frontend_call(frontend, request, payload, payload_size, NULL, 0, &reply);

	if (r < 0)
		return r;
	if (reply.header.size == size)
		memcpy(ret_payload, &reply.payload, size);
	else
		r = -EPROTO;
	vhu_message_finish(&reply);
	return r;
}

int vhu_frontend_ask_u64(struct vhu_frontend *frontend, uint32_t request, uint64_t *ret_value)
{
	return ask(frontend, request, NULL, 0, ret_value, sizeof(*ret_value));
}

int vhu_frontend_sync(struct vhu_frontend *frontend)
{
	uint64_t features;

	return vhu_frontend_ask_u64(frontend, VHU_GET_FEATURES, &features);
}

int vhu_frontend_set_vring(struct vhu_frontend *frontend, uint32_t request, uint32_t index,
			   uint32_t num)
{
	struct vhu_vring_state state = { index, num };

	return vhu_frontend_call(frontend, request, &state, sizeof(state), NULL, 0, NULL);
}

int vhu_frontend_set_vring_fd(struct vhu_frontend *frontend, uint32_t request, uint32_t index,
			      int fd)
{
	uint64_t value = fd >= 0 ? index : index | VHU_VRING_NO_FD;

	return vhu_frontend_call(frontend, request, &value, sizeof(value), &fd, fd >= 0 ? 1 : 0,
				 NULL);
}

int vhu_frontend_set_vring_addr(struct vhu_frontend *frontend, const struct vhu_vring_addr *addr)
{
	return vhu_frontend_call(frontend, VHU_SET_VRING_ADDR, addr, sizeof(*addr), NULL, 0, NULL);
}

int vhu_frontend_get_vring_base(struct vhu_frontend *frontend, uint32_t index, uint32_t *ret_base)
{
	struct vhu_vring_state state = { index, 0 };
	int r = ask(frontend, VHU_GET_VRING_BASE, &state, sizeof(state), &state, sizeof(state));

	if (r < 0)
		return r;
	if (state.index != index)
		return -EPROTO;
	*ret_base = state.num;
	return 0;
}

int vhu_frontend_set_features(struct vhu_frontend *frontend, uint64_t features)
{
	int r = vhu_frontend_tell_u64(frontend, VHU_SET_FEATURES, features);

	if (r == 0)
		frontend->acked_features = features;
	return r;
}

int vhu_frontend_set_protocol_features(struct vhu_frontend *frontend, uint64_t features)
{
	int r = vhu_frontend_tell_u64(frontend, VHU_SET_PROTOCOL_FEATURES, features);

	if (r == 0)
		frontend->acked_protocol_features = features;
	return r;
}

int vhu_frontend_set_mem_table(struct vhu_frontend *frontend,
			       const struct vhu_wire_region *regions, const int *fds, unsigned n)
{
	struct vhu_mem_table table = { .n_regions = n };

	if (n > VHU_MEM_TABLE_MAX)
		return -EINVAL;
	if (n)
		memcpy(table.regions, regions, n * sizeof(*regions));
	return vhu_frontend_call(frontend, VHU_SET_MEM_TABLE, &table,
				 offsetof(struct vhu_mem_table, regions[n]), fds, n, NULL);
}

int vhu_frontend_add_mem_reg(struct vhu_frontend *frontend, const struct vhu_wire_region *region,
			     int fd)
{
	struct vhu_single_region single = { .region = *region };

	return vhu_frontend_call(frontend, VHU_ADD_MEM_REG, &single, sizeof(single), &fd, 1, NULL);
}

int vhu_frontend_rem_mem_reg(struct vhu_frontend *frontend, const struct vhu_wire_region *region)
{
	struct vhu_single_region single = { .region = *region };

	return vhu_frontend_call(frontend, VHU_REM_MEM_REG, &single, sizeof(single), NULL, 0, NULL);
}

int vhu_frontend_get_config(struct vhu_frontend *frontend, uint32_t offset, void *buf,
			    uint32_t size)
{
	struct vhu_config config = { .offset = offset, .size = size };
	struct vhu_message reply;
	int r;

	if (size > VHU_CONFIG_MAX)
		return -EINVAL;
	r = vhu_frontend_call(frontend, VHU_GET_CONFIG, &config,
			      (uint32_t)VHU_CONFIG_HEADER + size, NULL, 0, &reply);
	if (r < 0)
		return r;
	if (reply.header.size == 0)
		r = -EREMOTEIO;
	else if (reply.header.size != VHU_CONFIG_HEADER + size ||
		 reply.payload.config.offset != offset || reply.payload.config.size != size)
		r = -EPROTO;
	else
		memcpy(buf, reply.payload.config.bytes, size);
	vhu_message_finish(&reply);
	return r;
}

int vhu_frontend_set_config(struct vhu_frontend *frontend, uint32_t offset, uint32_t flags,
			    const void *buf, uint32_t size)
{
	struct vhu_config config = { .offset = offset, .size = size, .flags = flags };

	if (size > VHU_CONFIG_MAX)
		return -EINVAL;
	memcpy(config.bytes, buf, size);
	return vhu_frontend_call(frontend, VHU_SET_CONFIG, &config,
				 (uint32_t)VHU_CONFIG_HEADER + size, NULL, 0, NULL);
}

int vhu_frontend_get_shared_object(struct vhu_frontend *frontend, const uint8_t uuid[16],
				   int *ret_fd)
{
	struct vhu_message reply;
	int r = vhu_frontend_call(frontend, VHU_GET_SHARED_OBJECT, uuid, 16, NULL, 0, &reply);

	if (r < 0)
		return r;
	if (reply.n_fds > 1)
		r = -EPROTO;
	else
		*ret_fd = vhu_message_steal_fd(&reply, 0);
	vhu_message_finish(&reply);
	return r;
}

int vhu_frontend_get_shmem_config(struct vhu_frontend *frontend,
				  struct vhu_shmem_config *ret_config)
{
	return ask(frontend, VHU_GET_SHMEM_CONFIG, NULL, 0, ret_config, sizeof(*ret_config));
}

static int share_slots(struct vhu_frontend *frontend)
{
	const struct vhu_guest *guest = &frontend->guest;
	int r = 0;

	for (unsigned i = 0; i < guest->n_regions && r == 0; i++)
		r = vhu_frontend_add_mem_reg(frontend, &guest->regions[i].wire,
					     guest->regions[i].fd);
	return r;
}

static int share_table(struct vhu_frontend *frontend)
{
	const struct vhu_guest *guest = &frontend->guest;
	struct vhu_wire_region regions[VHU_MEM_TABLE_MAX];
	int fds[VHU_MEM_TABLE_MAX];

	if (guest->n_regions > VHU_MEM_TABLE_MAX)
		return -E2BIG;
	for (unsigned i = 0; i < guest->n_regions; i++) {
		regions[i] = guest->regions[i].wire;
		fds[i] = guest->regions[i].fd;
	}
	return vhu_frontend_set_mem_table(frontend, regions, fds, guest->n_regions);
}

int vhu_frontend_share_memory(struct vhu_frontend *frontend)
{
	if (vhu_frontend_acked(frontend, VHU_PROTOCOL_F_CONFIGURE_MEM_SLOTS))
		return share_slots(frontend);
	return share_table(frontend);
}

/* What the protocol features bring with them, before the owner is set. */
static int negotiate_protocol(struct vhu_frontend *frontend, uint64_t wanted)
{
	uint64_t *offered = &frontend->offered_protocol_features;
	int r = vhu_frontend_ask_u64(frontend, VHU_GET_PROTOCOL_FEATURES, offered);

	if (r == 0)
		r = vhu_frontend_set_protocol_features(frontend, *offered & wanted);
	if (r == 0 && vhu_frontend_acked(frontend, VHU_PROTOCOL_F_MQ))
		r = vhu_frontend_ask_u64(frontend, VHU_GET_QUEUE_NUM, &frontend->n_queues);
	if (r == 0 && vhu_frontend_acked(frontend, VHU_PROTOCOL_F_CONFIGURE_MEM_SLOTS))
		r = vhu_frontend_ask_u64(frontend, VHU_GET_MAX_MEM_SLOTS,
					 &frontend->n_memory_slots);
	if (r == 0 && vhu_frontend_acked(frontend, VHU_PROTOCOL_F_BACKEND_REQ))
		r = vhu_frontend_open_channel(frontend);
	return r;
}

int vhu_frontend_negotiate(struct vhu_frontend *frontend, uint64_t features,
			   uint64_t protocol_features)
{
	uint64_t *offered = &frontend->offered_features;
	int r = vhu_frontend_ask_u64(frontend, VHU_GET_FEATURES, offered);

	if (r == 0 && *offered & features & VHU_BIT(VHU_F_PROTOCOL_FEATURES))
		r = negotiate_protocol(frontend, protocol_features);
	if (r == 0)
		r = vhu_frontend_tell(frontend, VHU_SET_OWNER);
	if (r == 0)
		r = vhu_frontend_ask_u64(frontend, VHU_GET_FEATURES, offered);
	if (r == 0)
		r = vhu_frontend_set_features(frontend, *offered & features);
	if (r == 0 && vhu_frontend_acked(frontend, VHU_PROTOCOL_F_STATUS))
		r = vhu_frontend_tell_u64(frontend, VHU_SET_STATUS,
					  VHU_STATUS_ACKNOWLEDGE | VHU_STATUS_DRIVER |
						  VHU_STATUS_FEATURES_OK);
	return r;
}
