/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * A whole session with a device of two queues, each on a worker of its own: messages in any order,
 * mostly of the right form, with a guest that writes into its rings meanwhile. Every session must
 * come to its end, and leave no fd behind.
 */

#include <endian.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/virtio_ring.h>

#include "common/backend/device.h"
#include "common/backend/inband.h"
#include "common/backend/shared.h"
#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/base/num.h"
#include "common/session/session.h"
#include "common/wire/message.h"
#include "common/wire/request.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/session_device.h"

#define GPA 0x100000ull
#define UADDR 0x7f0000000000ull
#define END_NS (20 * NS_PER_SEC)

struct scene {
	struct input *in;
	struct vhu_loop *loop;
	struct vhu_device *device;
	struct vhu_session *session;
	bool closed;
	int fd; /* the front-end's end */
	int kick_fd;
	int channel_fd; /* the front-end's end of the device's channel, or -1 */
	struct asked {
		struct vhu_channel_call call;
		bool open;
	} asked[4];
};

static char *guest;

/* The front-end. */

static uint64_t some_uaddr(struct input *in)
{
	return input_u8(in) < 250 ? UADDR + 16ull * (input_u16(in) % (MEMORY_BYTES / 16))
				  : input_u64(in);
}

static void fill_region(struct input *in, struct vhu_wire_region *ret_region)
{
	uint64_t part = input_below(in, 4) * (MEMORY_BYTES / 4);
	uint8_t odd = input_u8(in);

	*ret_region = (struct vhu_wire_region){
		.gpa = odd == 255 ? input_u64(in) : GPA + part,
		.size = odd == 254 ? input_u64(in) : MEMORY_BYTES / (odd & 1 ? 1 : 4),
		.uaddr = odd == 253 ? input_u64(in) : UADDR + part,
		.mmap_offset = odd == 252 ? input_u64(in) : odd & 1 ? 0 : part,
	};
}

/* The payload in a form that gets past the first checks; other messages are u64s. */
static void fill_payload(struct input *in, uint32_t request, union vhu_payload *payload)
{
	switch (request) {
	case VHU_SET_MEM_TABLE:
		payload->mem_table.n_regions = input_below(in, 3);
		for (unsigned i = 0; i < payload->mem_table.n_regions; i++)
			fill_region(in, &payload->mem_table.regions[i]);
		break;
	case VHU_ADD_MEM_REG:
	case VHU_REM_MEM_REG:
		fill_region(in, &payload->region.region);
		break;
	case VHU_SET_VRING_ADDR:
		payload->vring_addr.index = input_below(in, N_QUEUES);
		payload->vring_addr.flags = input_below(in, 4) == 3;
		payload->vring_addr.desc_uaddr = some_uaddr(in);
		payload->vring_addr.avail_uaddr = some_uaddr(in);
		payload->vring_addr.used_uaddr = some_uaddr(in);
		payload->vring_addr.log_gpa = input_u64(in);
		break;
	case VHU_SET_VRING_NUM:
		payload->vring_state.index = input_below(in, N_QUEUES);
		payload->vring_state.num = 1u << input_below(in, 8);
		break;
	case VHU_SET_VRING_BASE:
	case VHU_GET_VRING_BASE:
	case VHU_SET_VRING_ENABLE:
	case VHU_VRING_KICK:
	case VHU_SET_VRING_ENDIAN:
		payload->vring_state.index = input_below(in, N_QUEUES);
		payload->vring_state.num = input_u8(in) & 3 ? input_u8(in) & 1
							    : (uint32_t)input_u64(in);
		break;
	case VHU_SET_LOG_BASE:
		payload->log_base.size = input_u16(in);
		payload->log_base.offset = input_u8(in) & 7 ? 0 : input_u64(in);
		break;
	case VHU_GET_CONFIG:
	case VHU_SET_CONFIG:
		payload->config.offset = input_u8(in);
		payload->config.size = input_below(in, 64);
		payload->config.flags = input_below(in, 3);
		break;
	case VHU_IOTLB_MSG:
		payload->iotlb.iova = input_u8(in) & 3 ? GPA + input_u16(in) : input_u64(in);
		payload->iotlb.size = input_u8(in) & 3 ? 4096 : input_u64(in);
		payload->iotlb.uaddr = some_uaddr(in);
		payload->iotlb.perm = input_u8(in) & 3;
		payload->iotlb.type = (uint8_t)input_below(in, 6);
		break;
	case VHU_GET_INFLIGHT_FD:
	case VHU_SET_INFLIGHT_FD:
		payload->inflight.mmap_size = input_u8(in) & 1 ? input_u64(in) : 4096;
		payload->inflight.mmap_offset = input_u8(in) & 7 ? 0 : input_u64(in);
		payload->inflight.n_queues = input_below(in, 4);
		payload->inflight.queue_size = (uint16_t)(1u << input_below(in, 8));
		break;
	case VHU_SET_VRING_KICK:
	case VHU_SET_VRING_CALL:
	case VHU_SET_VRING_ERR:
		payload->u64 = input_below(in, N_QUEUES) | (input_u8(in) & 7 ? 0 : VHU_VRING_NO_FD);
		break;
	case VHU_SET_FEATURES:
		payload->u64 = VHU_BIT(VHU_F_PROTOCOL_FEATURES) | VHU_BIT(VHU_F_VERSION_1) |
			       (input_u64(in) & 0xf37000001ull);
		break;
	default:
		payload->u64 = input_u64(in);
	}
}

static uint32_t payload_size(uint32_t request, const union vhu_payload *payload)
{
	const struct vhu_request_rule *rule = vhu_frontend_request_rule(request);

	if (!rule)
		return 8;
	if (request == VHU_SET_MEM_TABLE)
		return 8 + payload->mem_table.n_regions * (uint32_t)sizeof(struct vhu_wire_region);
	if (request == VHU_GET_CONFIG || request == VHU_SET_CONFIG)
		return VHU_CONFIG_HEADER + payload->config.size;
	if (rule->max_size > sizeof(struct vhu_mem_table))
		return rule->min_size;
	return rule->max_size;
}

static int some_fd(struct scene *s, uint32_t request)
{
	int ends[2];

	switch (request) {
	case VHU_SET_VRING_KICK:
		return dup(s->kick_fd);
	case VHU_SET_VRING_CALL:
	case VHU_SET_VRING_ERR:
	case VHU_SET_LOG_FD:
		return eventfd(0, EFD_NONBLOCK);
	case VHU_SET_BACKEND_REQ_FD:
	case VHU_GPU_SET_SOCKET:
	case VHU_SET_DEVICE_STATE_FD:
		expect(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
		close(ends[1]);
		return ends[0];
	default:
		return dup(memory_fd);
	}
}

static unsigned fds_of(uint32_t request, const union vhu_payload *payload)
{
	const struct vhu_request_rule *rule = vhu_frontend_request_rule(request);

	switch (rule ? rule->fds : VHU_FDS_NONE) {
	case VHU_FDS_ONE:
	case VHU_FDS_OPTIONAL:
		return 1;
	case VHU_FDS_BY_NO_FD:
		return !(payload->u64 & VHU_VRING_NO_FD);
	case VHU_FDS_PER_REGION:
		return payload->mem_table.n_regions;
	default:
		return 0;
	}
}

static void send_request(struct scene *s)
{
	union vhu_payload payload = { 0 };
	uint8_t shape = input_u8(s->in);
	uint32_t request = shape & 63;
	uint32_t flags = VHU_VERSION | (shape & 64 ? VHU_FLAG_NEED_REPLY : 0);
	int fds[VHU_MEM_TABLE_MAX];
	unsigned n;

	fill_payload(s->in, request, &payload);
	n = fds_of(request, &payload);
	if (shape & 128 && input_u8(s->in) < 16)
		n = input_below(s->in, VHU_MEM_TABLE_MAX + 1);
	for (unsigned i = 0; i < n; i++)
		fds[i] = some_fd(s, request);
	vhu_message_send(s->fd, request, flags, &payload, payload_size(request, &payload), fds, n,
			 0);
	for (unsigned i = 0; i < n; i++)
		close(fds[i]);
}

static void write_guest(struct scene *s)
{
	uint64_t at = 2ull * input_u16(s->in) % MEMORY_BYTES;
	uint8_t bytes[32];
	size_t n = input_below(s->in, sizeof(bytes));

	input_bytes(s->in, bytes, n);
	memcpy(guest + at, bytes, min_u64(n, MEMORY_BYTES - at));
}

static void kick(struct scene *s)
{
	eventfd_write(s->kick_fd, 1);
}

/* Fds are borrowed; a message that does not get through is none. */
static void say(struct scene *s, uint32_t request, const void *payload, uint32_t size, int fd)
{
	vhu_message_send(s->fd, request, VHU_VERSION | VHU_FLAG_NEED_REPLY, payload, size, &fd,
			 fd >= 0, 0);
}

/* What a front-end begins with, so that the input need not. */
static void negotiate(struct scene *s)
{
	uint64_t protocol = s->device->protocol_features, bits = s->device->features;
	struct vhu_single_region region = {
		.region = { .gpa = GPA, .size = MEMORY_BYTES, .uaddr = UADDR },
	};

	uint64_t zero = 0;
	uint8_t how;
	bool postcopy;

	protocol &= ~VHU_BIT(input_u8(s->in) % 64);
	how = input_u8(s->in);
	postcopy = (how & 0x1c) == 0x1c;
	if (how & 3)
		protocol &= ~VHU_BIT(VHU_PROTOCOL_F_INBAND_NOTIFICATIONS);
	bits &= ~(VHU_BIT(input_u8(s->in) % 64) | VHU_BIT(input_u8(s->in) % 64));
	say(s, VHU_SET_PROTOCOL_FEATURES, &protocol, sizeof(protocol), -1);
	say(s, VHU_SET_FEATURES, &bits, sizeof(bits), -1);
	if (postcopy) {
		/* Nobody brings what is missing. */
		fallocate(memory_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, MEMORY_BYTES);
		say(s, VHU_POSTCOPY_ADVISE, NULL, 0, -1);
		say(s, VHU_POSTCOPY_LISTEN, NULL, 0, -1);
	}
	say(s, VHU_ADD_MEM_REG, &region, sizeof(region), memory_fd);
	if (postcopy)
		say(s, VHU_ADD_MEM_REG, &zero, sizeof(zero), -1);
}

/* A ring that works. Each queue has a part of the memory. */
static void start_ring(struct scene *s)
{
	uint32_t q = input_below(s->in, N_QUEUES);
	uint64_t at = UADDR + q * (MEMORY_BYTES / N_QUEUES), index = q;
	struct vhu_vring_state num = { q, 8 }, enable = { q, 1 };
	struct vhu_vring_addr addr = {
		.index = q,
		.desc_uaddr = at,
		.avail_uaddr = at + 0x1000,
		.used_uaddr = at + 0x2000,
	};
	int call_fd = eventfd(0, EFD_NONBLOCK);

	say(s, VHU_SET_VRING_NUM, &num, sizeof(num), -1);
	say(s, VHU_SET_VRING_ADDR, &addr, sizeof(addr), -1);
	say(s, VHU_SET_VRING_CALL, &index, sizeof(index), call_fd);
	say(s, VHU_SET_VRING_KICK, &index, sizeof(index), s->kick_fd);
	say(s, VHU_SET_VRING_ENABLE, &enable, sizeof(enable), -1);
	close(call_fd);
}

/* Some descriptors and available entries of the first ring; of a packed one if they fit. */
static void offer(struct scene *s)
{
	struct vring_desc desc = {
		.addr = htole64(GPA + input_u16(s->in)),
		.len = htole32(input_u8(s->in)),
		.flags = htole16(input_below(s->in, 8)),
		.next = htole16(input_below(s->in, 9)),
	};
	struct vring_avail *avail = (struct vring_avail *)(guest + 0x1000);
	uint16_t idx = le16toh(avail->idx);

	memcpy(guest + 16 * input_below(s->in, 8), &desc, sizeof(desc));
	avail->ring[idx % 8] = htole16(input_below(s->in, 8));
	__atomic_store_n(&avail->idx, htole16(idx + 1), __ATOMIC_RELEASE);
	kick(s);
}

/* An IOMMU that shows all memory at its user addresses, or at its guest addresses, or in part. */
static void map_all(struct scene *s)
{
	struct vhu_iotlb_msg update = {
		.iova = input_u8(s->in) & 1 ? UADDR : GPA,
		.size = input_u8(s->in) & 3 ? MEMORY_BYTES : 4096,
		.uaddr = UADDR,
		.perm = 1 + (uint8_t)input_below(s->in, 3),
		.type = VHU_IOTLB_UPDATE,
	};

	say(s, VHU_IOTLB_MSG, &update, sizeof(update), -1);
}

/* A channel that somebody reads, now and then. */
static void open_channel(struct scene *s)
{
	int ends[2];

	expect(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
	say(s, VHU_SET_BACKEND_REQ_FD, NULL, 0, ends[0]);
	close(ends[0]);
	close_fd(&s->channel_fd);
	s->channel_fd = ends[1];
}

static void answer(struct scene *s)
{
	uint64_t value = input_below(s->in, 3);
	struct vhu_receiver receiver;
	uint32_t request;

	vhu_receiver_init(&receiver);
	if (s->channel_fd >= 0 && vhu_receiver_read(&receiver, s->channel_fd) == 1) {
		request = input_u8(s->in) & 7 ? receiver.message.header.request
					      : input_below(s->in, VHU_BACKEND_REQUEST_END);
		vhu_message_send(s->channel_fd, request, VHU_VERSION | VHU_FLAG_REPLY, &value,
				 input_u8(s->in) & 7 ? sizeof(value) : 0, &memory_fd,
				 input_u8(s->in) & 1, 0);
	}
	vhu_receiver_finish(&receiver);
}

static void asked_done(struct vhu_channel_call *call)
{
	struct asked *asked = container_of(call, struct asked, call);

	expect(asked->open && (call->fd < 0 || call->result == 0));
	asked->open = false;
	close_fd(&call->fd);
}

/* What the device asks. A call is either refused or done once. */
static void ask(struct scene *s)
{
	static const uint8_t uuid[16];
	struct asked *asked = &s->asked[input_below(s->in, ARRAY_SIZE(s->asked))];
	struct vhu_shmem_range range = { 1, 4096ull * input_below(s->in, 40), 4096 };
	struct vhu_channel_call *call = asked->open ? NULL : &asked->call;
	int r;

	asked->call.done = asked_done;
	switch (input_below(s->in, 5)) {
	case 0:
		r = call ? vhu_device_shared_object_lookup(s->device, uuid, call) : -1;
		break;
	case 1:
		r = vhu_device_shmem_map(s->device, &range, memory_fd, 0, true, call);
		break;
	case 2:
		r = vhu_device_shmem_unmap(s->device, &range, call);
		break;
	case 3:
		r = vhu_device_set_host_notifier(s->device, 0, memory_fd, 0, call);
		break;
	default:
		call = NULL;
		r = vhu_device_shared_object_add(s->device, uuid);
	}
	if (r == 0 && call)
		asked->open = true;
}

/* A state from a pipe that has it all, and the question how it went. */
static void transfer(struct scene *s)
{
	static const char good[40 + STATE_BYTES] = "vhustatefuzz";
	struct vhu_transfer_state asked = { input_u8(s->in) & 1, 0 };
	char bytes[sizeof(good)];
	int fds[2];

	memcpy(bytes, good, sizeof(bytes));
	bytes[24] = (char)input_below(s->in, 3);
	bytes[32] = STATE_BYTES;
	input_bytes(s->in, bytes + input_below(s->in, sizeof(bytes)), input_u8(s->in) & 1);
	expect(pipe2(fds, O_CLOEXEC | O_NONBLOCK) == 0);
	(void)!write(fds[1], bytes, input_u8(s->in) & 3 ? sizeof(bytes) : input_u8(s->in) / 2);
	say(s, VHU_SET_DEVICE_STATE_FD, &asked, sizeof(asked), fds[asked.direction ? 0 : 1]);
	close(fds[0]);
	close(fds[1]);
	if (input_u8(s->in) & 1)
		say(s, VHU_CHECK_DEVICE_STATE, NULL, 0, -1);
}

static void (*const steps[])(struct scene *s) = {
	send_request, send_request, send_request, send_request, write_guest, kick, negotiate,
	start_ring, offer, offer, map_all, open_channel, answer, ask, transfer,
};

static void drop_replies(struct scene *s)
{
	struct vhu_receiver receiver;

	vhu_receiver_init(&receiver);
	while (vhu_receiver_read(&receiver, s->fd) == 1)
		vhu_receiver_finish(&receiver);
	vhu_receiver_finish(&receiver);
}

static void closed(void *data, int error)
{
	struct scene *s = data;

	(void)error;
	s->closed = true;
}

static void turn(struct scene *s)
{
	for (unsigned i = 0; i < 4 && !s->closed; i++)
		vhu_loop_turn(s->loop, 0);
	drop_replies(s);
}

/*
 * Drained and gone: a session that does not come to its end is a finding, and so is a question
 * without an answer.
 */
static void end(struct scene *s)
{
	uint64_t since_ns = vhu_now_ns();

	close(s->fd);
	while (!s->closed) {
		expect(vhu_now_ns() - since_ns < END_NS);
		vhu_loop_turn(s->loop, NS_PER_MS);
	}
	close_fd(&s->channel_fd);
	for (size_t i = 0; i < ARRAY_SIZE(s->asked); i++)
		expect(!s->asked[i].open);
}

/* The thread of a transfer that was dropped goes when it comes to it. */
static void wait_for_fds(int free_fd)
{
	uint64_t since_ns = vhu_now_ns();

	while (lowest_fd() != free_fd) {
		expect(vhu_now_ns() - since_ns < END_NS);
		usleep(100);
	}
}

static void make_memory(void)
{
	vhu_log_set_level(VHU_LOG_ERROR);
	memory_fd = memfd_create("guest", MFD_CLOEXEC);
	expect(memory_fd >= 0 && ftruncate(memory_fd, (off_t)MEMORY_BYTES) == 0);
	guest = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd, 0);
	expect(guest != MAP_FAILED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { .at = data, .left = size };
	struct fuzz_device fuzz;
	struct vhu_device *device = &fuzz.device;
	struct scene s = { .in = &in, .device = device, .channel_fd = -1 };
	int ends[2], free_fd;

	if (memory_fd < 0)
		make_memory();
	free_fd = lowest_fd();
	memset(guest, 0, MEMORY_BYTES);
	expect(vhu_loop_new(&s.loop) == 0);
	fuzz_device_init(&fuzz);
	vhu_inband_offer(device);
	expect(vhu_device_attach(device, s.loop) == 0);
	expect(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
	s.kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s.fd = ends[1];
	expect(vhu_session_new(device, s.loop, ends[0], closed, &s, &s.session) == 0);
	while (in.left && !s.closed) {
		steps[input_u8(&in) % ARRAY_SIZE(steps)](&s);
		turn(&s);
	}
	end(&s);
	vhu_device_unref(device);
	vhu_loop_destroy(s.loop);
	close(s.kick_fd);
	wait_for_fds(free_fd);
	return 0;
}
