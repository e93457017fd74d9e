/* SPDX-License-Identifier: BSD-3-Clause */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/base/cleanup.h"
#include "common/base/fd.h"
#include "common/base/num.h"
#include "common/frontend/frontend.h"
#include "common/memory/access.h"
#include "common/wire/message.h"
#include "tests/unit/fake_backend.h"

static void *by_gpa(const struct fake_backend *fake, uint64_t gpa)
{
	for (unsigned i = 0; i < fake->n_regions; i++)
		if (gpa - fake->regions[i].gpa < fake->regions[i].size)
			return fake->hosts[i] + (gpa - fake->regions[i].gpa);
	return NULL;
}

static void *by_uaddr(const struct fake_backend *fake, uint64_t uaddr)
{
	for (unsigned i = 0; i < fake->n_regions; i++)
		if (uaddr - fake->regions[i].uaddr < fake->regions[i].size)
			return fake->hosts[i] + (uaddr - fake->regions[i].uaddr);
	return NULL;
}

static void map_region(struct fake_backend *fake, const struct vhu_wire_region *region, int fd)
{
	unsigned i = fake->n_regions++;

	fake->regions[i] = *region;
	fake->hosts[i] = mmap(NULL, region->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			      (off_t)region->mmap_offset);
}

/* Copies the readable descriptors into the writable ones. Returns the bytes written. */
static uint32_t echo(const struct fake_backend *fake, const struct vring_desc *desc, unsigned head,
		     char *ret_first)
{
	static const size_t room = 4096;
	char text[4096] = { 0 };
	size_t in = 0, out = 0;

	for (unsigned i = head;; i = desc[i].next) {
		char *host = by_gpa(fake, desc[i].addr);

		if (desc[i].flags & VRING_DESC_F_WRITE) {
			memcpy(host, text + out, min_u64(desc[i].len, room - out));
			out += desc[i].len;
		} else {
			memcpy(text + in, host, min_u64(desc[i].len, room - in));
			in += desc[i].len;
		}
		if (!(desc[i].flags & VRING_DESC_F_NEXT))
			break;
	}
	*ret_first = text[0];
	return (uint32_t)out;
}

static bool wants_call(const struct fake_backend *fake, uint16_t before)
{
	if (fake->features & VHU_BIT(VHU_F_RING_EVENT_IDX))
		return vring_need_event(vhu_load_le16(&vring_used_event(&fake->vring)),
					fake->vring.used->idx, before);
	return !(vhu_load_le16(&fake->vring.avail->flags) & VRING_AVAIL_F_NO_INTERRUPT);
}

/* One pass over the ring. Returns the byte that ended it, or 0. */
static char serve_ring(struct fake_backend *fake)
{
	struct vring *vring = &fake->vring;
	uint16_t before = vring->used->idx;
	char first = 0;

	while (fake->avail_idx != vhu_load_acquire_le16(&vring->avail->idx)) {
		unsigned head = vring->avail->ring[fake->avail_idx % vring->num];
		const struct vring_desc *desc = vring->desc;
		uint16_t used = vring->used->idx;
		uint32_t len;

		if (desc[head].flags & VRING_DESC_F_INDIRECT)
			len = echo(fake, by_gpa(fake, desc[head].addr), 0, &first);
		else
			len = echo(fake, desc, head, &first);
		if (first == FAKE_HANG || first == FAKE_DIE || first == FAKE_BREAK)
			break;
		fake->avail_idx++;
		vring->used->ring[used % vring->num].id = head;
		vring->used->ring[used % vring->num].len = len;
		vhu_store_release_le16(&vring->used->idx, (uint16_t)(used + 1));
	}
	vhu_store_le16(&vring_avail_event(vring), fake->avail_idx);
	vhu_full_barrier();
	if (vring->used->idx != before && wants_call(fake, before))
		vhu_fd_signal(fake->call_fd);
	if (first == FAKE_BREAK)
		vhu_fd_signal(fake->err_fd);
	return first;
}

static void replace_fd(int *fd, struct vhu_message *message)
{
	close_fd(fd);
	*fd = vhu_message_steal_fd(message, 0);
}

/* Announces a configuration change, and keeps the answer for the next GET_STATUS. */
static void use_channel(struct fake_backend *fake)
{
	struct pollfd p = { .fd = fake->channel_fd, .events = POLLIN };
	struct vhu_receiver receiver;

	vhu_receiver_init(&receiver);
	vhu_message_send(fake->channel_fd, VHU_BACKEND_CONFIG_CHANGE_MSG,
			 VHU_VERSION | VHU_FLAG_NEED_REPLY, NULL, 0, NULL, 0, 1000);
	if (poll(&p, 1, 5000) == 1 && vhu_receiver_read(&receiver, fake->channel_fd) == 1)
		fake->channel_reply = receiver.message.payload.u64;
	vhu_receiver_finish(&receiver);
}

static void set_addr(struct fake_backend *fake, const struct vhu_vring_addr *addr)
{
	fake->vring.desc = by_uaddr(fake, addr->desc_uaddr);
	fake->vring.avail = by_uaddr(fake, addr->avail_uaddr);
	fake->vring.used = by_uaddr(fake, addr->used_uaddr);
}

/* Does what the message says. Returns what the ack of it says. */
static uint64_t obey(struct fake_backend *fake, struct vhu_message *message)
{
	const union vhu_payload *payload = &message->payload;

	switch (message->header.request) {
	case VHU_SET_FEATURES:
		fake->features = payload->u64;
		if (!(payload->u64 & VHU_BIT(VHU_F_PROTOCOL_FEATURES)))
			fake->enabled = true;
		return payload->u64 & ~fake->offered_features;
	case VHU_ADD_MEM_REG:
		map_region(fake, &payload->region.region, message->fds[0]);
		return 0;
	case VHU_SET_MEM_TABLE:
		for (unsigned i = 0; i < payload->mem_table.n_regions; i++)
			map_region(fake, &payload->mem_table.regions[i], message->fds[i]);
		return 0;
	case VHU_SET_VRING_NUM:
		fake->vring.num = payload->vring_state.num;
		return 0;
	case VHU_SET_VRING_BASE:
		fake->avail_idx = (uint16_t)payload->vring_state.num;
		return 0;
	case VHU_SET_VRING_ADDR:
		set_addr(fake, &payload->vring_addr);
		return 0;
	case VHU_SET_VRING_KICK:
		replace_fd(&fake->kick_fd, message);
		return 0;
	case VHU_SET_VRING_CALL:
		replace_fd(&fake->call_fd, message);
		return 0;
	case VHU_SET_VRING_ERR:
		replace_fd(&fake->err_fd, message);
		return 0;
	case VHU_SET_VRING_ENABLE:
		fake->enabled = payload->vring_state.num;
		return 0;
	case VHU_SET_BACKEND_REQ_FD:
		replace_fd(&fake->channel_fd, message);
		return 0;
	case VHU_SET_STATUS:
		if (payload->u64 & VHU_STATUS_DRIVER_OK)
			use_channel(fake);
		return 0;
	case VHU_SET_CONFIG:
		return 1;
	default:
		return 0;
	}
}

/* Fills in the reply of what has one. False for a message that is only acked. */
static bool reply_to(struct fake_backend *fake, const struct vhu_message *message,
		     union vhu_payload *ret_reply, uint32_t *ret_size)
{
	*ret_reply = message->payload;
	*ret_size = sizeof(uint64_t);
	switch (message->header.request) {
	case VHU_GET_FEATURES:
		ret_reply->u64 = fake->offered_features;
		return true;
	case VHU_GET_PROTOCOL_FEATURES:
		ret_reply->u64 = VHU_FRONTEND_PROTOCOL_FEATURES;
		return true;
	case VHU_GET_QUEUE_NUM:
		ret_reply->u64 = FAKE_QUEUES;
		return true;
	case VHU_GET_MAX_MEM_SLOTS:
		ret_reply->u64 = FAKE_REGIONS;
		return true;
	case VHU_GET_STATUS:
		ret_reply->u64 = fake->channel_reply;
		return true;
	case VHU_GET_CONFIG:
		*ret_size = message->payload.config.offset ? 0 : message->header.size;
		memset(ret_reply->config.bytes, 0x77, VHU_CONFIG_MAX);
		return true;
	case VHU_GET_VRING_BASE:
		close_fd(&fake->kick_fd);
		ret_reply->vring_state.num = fake->avail_idx;
		return true;
	default:
		return false;
	}
}

/* One message; false ends the session. */
static bool serve_message(struct fake_backend *fake)
{
	struct vhu_receiver receiver;
	struct vhu_message *message = &receiver.message;
	union vhu_payload reply;
	uint32_t size, request;
	bool answers;
	int r;

	vhu_receiver_init(&receiver);
	r = vhu_receiver_read(&receiver, fake->fd);
	request = message->header.request;
	if (r != 1 || request >= VHU_FRONTEND_REQUEST_END) {
		vhu_receiver_finish(&receiver);
		return false;
	}
	answers = reply_to(fake, message, &reply, &size);
	if (!answers) {
		reply.u64 = obey(fake, message);
		answers = message->header.flags & VHU_FLAG_NEED_REPLY;
	}
	vhu_receiver_finish(&receiver);
	/* Its answer to CHECK_DEVICE_STATE is one to another question. */
	if (request == VHU_CHECK_DEVICE_STATE) {
		request = VHU_GET_FEATURES;
		answers = true;
	}
	if (answers)
		vhu_message_send(fake->fd, request, VHU_VERSION | VHU_FLAG_REPLY, &reply, size,
				 NULL, 0, 1000);
	return true;
}

static void *run_fake(void *data)
{
	struct fake_backend *fake = data;
	char ended_by = 0;

	for (;;) {
		struct pollfd pollfds[] = {
			{ .fd = fake->fd, .events = POLLIN },
			{ .fd = fake->enabled && !ended_by ? fake->kick_fd : -1, .events = POLLIN },
		};

		poll(pollfds, ARRAY_SIZE(pollfds), -1);
		if (pollfds[0].revents && !serve_message(fake))
			break;
		if (pollfds[1].revents & POLLIN) {
			vhu_fd_drain(fake->kick_fd);
			ended_by = serve_ring(fake);
			if (ended_by == FAKE_DIE)
				break;
			if (ended_by != FAKE_HANG && ended_by != FAKE_BREAK)
				ended_by = 0;
		}
	}
	for (unsigned i = 0; i < fake->n_regions; i++)
		munmap(fake->hosts[i], fake->regions[i].size);
	close_fd(&fake->kick_fd);
	close_fd(&fake->call_fd);
	close_fd(&fake->err_fd);
	close_fd(&fake->channel_fd);
	close_fd(&fake->fd);
	return NULL;
}

void fake_backend_start(struct fake_backend *fake, int fd)
{
	*fake = (struct fake_backend){
		.fd = fd,
		.offered_features = VHU_FRONTEND_FEATURES,
		.kick_fd = -1,
		.call_fd = -1,
		.err_fd = -1,
		.channel_fd = -1,
	};
	if (pthread_create(&fake->thread, NULL, run_fake, fake))
		abort();
}

void fake_backend_join(struct fake_backend *fake)
{
	pthread_join(fake->thread, NULL);
}
