/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/gpu/command.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/num.h"
#include "common/wire/protocol.h"

#define HEADER_BYTES sizeof(struct virtio_gpu_ctrl_hdr)
#define NO_FEATURE (-1)
#define PAGE_BYTES 4096u

static_assert(HEADER_BYTES == 24, "virtio 1.3, 5.7.6.7");

static uint32_t update_cursor(struct vhu_gpu *gpu, struct vhu_gpu_request *request)
{
	return vhu_gpu_update_cursor(gpu, &request->command.cursor);
}

static uint32_t move_cursor(struct vhu_gpu *gpu, struct vhu_gpu_request *request)
{
	return vhu_gpu_move_cursor(gpu, &request->command.cursor);
}

static const struct row {
	const char *name; /* in statistics */
	uint32_t type;
	size_t bytes;
	unsigned queue;
	int feature; /* of the driver */
	/* VIRTIO_GPU_RESP_*, or VHU_GPU_LATER. */
	uint32_t (*run)(struct vhu_gpu *gpu, struct vhu_gpu_request *request);
} rows[] = {
#define CONTROL(type, what, feature, run) \
	{ #type, VIRTIO_GPU_CMD_##type, sizeof(struct what), VHU_GPU_CONTROL, feature, run }
#define CURSOR(type, run)                                                                      \
	{ #type, VIRTIO_GPU_CMD_##type, sizeof(struct virtio_gpu_update_cursor), VHU_GPU_CURSOR, \
	  NO_FEATURE, run }
	CONTROL(GET_DISPLAY_INFO, virtio_gpu_ctrl_hdr, NO_FEATURE, vhu_gpu_get_display_info),
	CONTROL(RESOURCE_CREATE_2D, virtio_gpu_resource_create_2d, NO_FEATURE, vhu_gpu_create_2d),
	CONTROL(RESOURCE_UNREF, virtio_gpu_resource_unref, NO_FEATURE, vhu_gpu_unref),
	CONTROL(SET_SCANOUT, virtio_gpu_set_scanout, NO_FEATURE, vhu_gpu_set_scanout),
	CONTROL(RESOURCE_FLUSH, virtio_gpu_resource_flush, NO_FEATURE, vhu_gpu_resource_flush),
	CONTROL(TRANSFER_TO_HOST_2D, virtio_gpu_transfer_to_host_2d, NO_FEATURE, vhu_gpu_transfer),
	CONTROL(RESOURCE_ATTACH_BACKING, virtio_gpu_resource_attach_backing, NO_FEATURE,
		vhu_gpu_attach_backing),
	CONTROL(RESOURCE_DETACH_BACKING, virtio_gpu_resource_detach_backing, NO_FEATURE,
		vhu_gpu_detach_backing),
	CONTROL(GET_EDID, virtio_gpu_cmd_get_edid, VIRTIO_GPU_F_EDID, vhu_gpu_get_edid),
	CONTROL(RESOURCE_ASSIGN_UUID, virtio_gpu_resource_assign_uuid, VIRTIO_GPU_F_RESOURCE_UUID,
		vhu_gpu_assign_uuid),
	CONTROL(RESOURCE_CREATE_BLOB, virtio_gpu_resource_create_blob, VIRTIO_GPU_F_RESOURCE_BLOB,
		vhu_gpu_create_blob),
	CONTROL(SET_SCANOUT_BLOB, virtio_gpu_set_scanout_blob, VIRTIO_GPU_F_RESOURCE_BLOB,
		vhu_gpu_set_scanout_blob),
	CURSOR(UPDATE_CURSOR, update_cursor),
	CURSOR(MOVE_CURSOR, move_cursor),
};

static_assert(ARRAY_SIZE(rows) <= VHU_GPU_COMMANDS_MAX, "each kind is counted");

const char *vhu_gpu_command_name(unsigned kind)
{
	return kind < ARRAY_SIZE(rows) ? rows[kind].name : NULL;
}

/* --- helpers of the commands ---------------------------------------------------------------- */

struct vhu_gpu_rect vhu_gpu_rect_of(const struct virtio_gpu_rect *rect)
{
	return (struct vhu_gpu_rect){ le32toh(rect->x), le32toh(rect->y), le32toh(rect->width),
				      le32toh(rect->height) };
}

bool vhu_gpu_rect_fits(const struct vhu_gpu_rect *rect, uint32_t width, uint32_t height)
{
	return rect->width && rect->height && range_fits(rect->x, rect->width, width) &&
	       range_fits(rect->y, rect->height, height);
}

static bool add_range(struct vhu_gpu_entries *entries, uint64_t gpa, uint64_t bytes)
{
	struct vhu_gpu_range *last = entries->n ? &entries->ranges[entries->n - 1] : NULL;

	if (last && last->gpa + last->bytes == gpa) {
		last->bytes += bytes;
		return true;
	}
	if (entries->n == VHU_GPU_RANGES_MAX)
		return false;
	if (entries->n == entries->max) {
		unsigned max = entries->max ? 2 * entries->max : 64;
		struct vhu_gpu_range *ranges =
			reallocarray(entries->ranges, max, sizeof(*ranges));

		if (!ranges)
			return false;
		entries->ranges = ranges;
		entries->max = max;
	}
	entries->ranges[entries->n++] = (struct vhu_gpu_range){ gpa, bytes };
	return true;
}

/*
 * What the IOMMU says of an address now holds until the driver detaches the memory: it has no
 * business to unmap it before.
 */
static uint32_t add_translated(struct vhu_gpu *gpu, uint64_t address, uint64_t bytes)
{
	struct vhu_vring *vring = vhu_device_vring(&gpu->device, VHU_GPU_CONTROL);

	while (bytes) {
		/* A page at a time, so that no entry has more pieces than one. */
		uint64_t n = min_u64(bytes, PAGE_BYTES - address % PAGE_BYTES);
		const struct vhu_memory_slot *slot;
		struct iovec piece;
		int r = vhu_vring_translate(vring, address, n, VHU_ACCESS_READ, &piece, 1);

		if (r == -EAGAIN)
			return VHU_GPU_AGAIN;
		slot = r == 1 ? vhu_memory_slot_of(vring->queue.memory, piece.iov_base) : NULL;
		if (!slot)
			return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
		if (!add_range(&gpu->entries,
			       slot->gpa + (uint64_t)((char *)piece.iov_base - slot->host), n))
			return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
		address += n;
		bytes -= n;
		gpu->entries.done_bytes += n;
	}
	return VIRTIO_GPU_RESP_OK_NODATA;
}

static uint32_t add_entry(struct vhu_gpu *gpu, const struct virtio_gpu_mem_entry *entry)
{
	uint64_t address = le64toh(entry->addr), bytes = le32toh(entry->length);
	uint64_t done = min_u64(gpu->entries.done_bytes, bytes);

	if (gpu->entries.bytes + bytes > VHU_GPU_BACKING_MAX)
		return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	if (gpu->features >> VHU_F_ACCESS_PLATFORM & 1)
		return add_translated(gpu, address + done, bytes - done);
	return add_range(&gpu->entries, address, bytes) ? VIRTIO_GPU_RESP_OK_NODATA :
							  VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
}

void vhu_gpu_forget_entries(struct vhu_gpu *gpu)
{
	free(gpu->entries.ranges);
	gpu->entries = (struct vhu_gpu_entries){ 0 };
}

uint32_t vhu_gpu_read_entries(struct vhu_gpu *gpu, struct vhu_gpu_request *request, uint32_t n,
			      struct vhu_gpu_range **ret_ranges, unsigned *ret_n)
{
	struct vhu_gpu_entries *entries = &gpu->entries;
	uint32_t status = VIRTIO_GPU_RESP_OK_NODATA;

	if (!n || n > VHU_GPU_ENTRIES_MAX ||
	    request->rest.left < n * sizeof(struct virtio_gpu_mem_entry))
		return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	vhu_iov_skip(&request->rest, entries->next * sizeof(struct virtio_gpu_mem_entry));
	while (entries->next < n && status == VIRTIO_GPU_RESP_OK_NODATA) {
		struct virtio_gpu_mem_entry entry;

		vhu_iov_read(&request->rest, &entry, sizeof(entry));
		status = add_entry(gpu, &entry);
		if (status == VIRTIO_GPU_RESP_OK_NODATA) {
			entries->next++;
			entries->bytes += le32toh(entry.length);
			entries->done_bytes = 0;
		}
	}
	if (status == VHU_GPU_AGAIN)
		return status;
	/* Nothing but empty entries. */
	if (status == VIRTIO_GPU_RESP_OK_NODATA && !entries->n)
		status = VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	if (status == VIRTIO_GPU_RESP_OK_NODATA) {
		*ret_n = entries->n;
		*ret_ranges = steal_ptr(&entries->ranges);
	}
	vhu_gpu_forget_entries(gpu);
	return status;
}

/* --- answers -------------------------------------------------------------------------------- */

/* virtio 1.3, 5.7.6.7: a fence is answered with what names it. */
static struct virtio_gpu_ctrl_hdr answer_to(const struct virtio_gpu_ctrl_hdr *asked, uint32_t type)
{
	uint32_t flags = le32toh(asked->flags);
	struct virtio_gpu_ctrl_hdr header = { .type = htole32(type) };

	if (!(flags & VIRTIO_GPU_FLAG_FENCE))
		return header;
	header.flags = htole32(flags & (VIRTIO_GPU_FLAG_FENCE | VIRTIO_GPU_FLAG_INFO_RING_IDX));
	header.fence_id = asked->fence_id;
	header.ctx_id = asked->ctx_id;
	header.ring_idx = asked->ring_idx;
	return header;
}

/* bytes: of the whole answer, whose header is filled here. */
static void answer(struct vhu_gpu *gpu, unsigned queue, struct vhu_chain *chain,
		   const struct virtio_gpu_ctrl_hdr *asked, uint32_t type,
		   struct virtio_gpu_ctrl_hdr *response, size_t bytes)
{
	struct vhu_iov_cursor writer;

	if (bytes > chain->writable_bytes && bytes > HEADER_BYTES) {
		type = VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
		bytes = HEADER_BYTES;
	}
	if (bytes > chain->writable_bytes)
		bytes = 0;
	if (type >= VIRTIO_GPU_RESP_ERR_UNSPEC) {
		vhu_counter_add(&gpu->stats.errors, 1);
		vhu_log_limited(&gpu->log_limit, VHU_LOG_WARNING,
				"gpu: command 0x%x of %zu bytes: answered with error 0x%x",
				le32toh(asked->type), chain->readable_bytes, type);
	}
	*response = answer_to(asked, type);
	vhu_chain_writer(chain, &writer);
	vhu_iov_write(&writer, response, bytes);
	vhu_vring_push(vhu_device_vring(&gpu->device, queue), chain, (uint32_t)bytes);
}

void vhu_gpu_answer_held(struct vhu_gpu *gpu, uint64_t token, uint32_t response)
{
	struct vhu_gpu_held *held = &gpu->held[token];
	struct virtio_gpu_ctrl_hdr header;
	struct vhu_chain *chain = held->chain;

	if (!chain)
		return;
	held->chain = NULL;
	answer(gpu, VHU_GPU_CONTROL, chain, &held->header, response, &header, sizeof(header));
	vhu_vring_notify(vhu_device_vring(&gpu->device, VHU_GPU_CONTROL));
}

void vhu_gpu_answer_modes(struct vhu_gpu *gpu)
{
	union vhu_gpu_response response;

	for (unsigned i = 0; i < VHU_GPU_QUEUE_MAX; i++) {
		struct vhu_gpu_held *held = &gpu->held[i];
		struct vhu_chain *chain = held->chain;
		size_t bytes;
		uint32_t type;

		if (!chain || !held->fill)
			continue;
		type = held->fill(gpu, held->scanout, &response, &bytes);
		held->chain = NULL;
		held->fill = NULL;
		answer(gpu, VHU_GPU_CONTROL, chain, &held->header, type, &response.header, bytes);
	}
	vhu_vring_notify(vhu_device_vring(&gpu->device, VHU_GPU_CONTROL));
}

static void modes_are_there(struct vhu_gpu_display_call *call)
{
	struct vhu_gpu *gpu = container_of(call, struct vhu_gpu, modes_call);

	gpu->asking = false;
	vhu_gpu_answer_modes(gpu);
}

/* The front-end's display is asked each time: it has no way to tell us. */
uint32_t vhu_gpu_ask_modes(struct vhu_gpu *gpu, struct vhu_gpu_request *request, uint32_t scanout,
			   vhu_gpu_fill_fn *fill)
{
	struct vhu_gpu_held *held = &gpu->held[request->chain->slot];

	held->fill = fill;
	held->scanout = scanout;
	if (!gpu->asking) {
		gpu->asking = true;
		gpu->modes_call.done = modes_are_there;
		vhu_gpu_display_ask_modes(gpu->display, &gpu->modes_call);
	}
	return VHU_GPU_LATER;
}

/* --- the queues ----------------------------------------------------------------------------- */

static const struct row *find_row(const struct vhu_gpu *gpu, uint32_t type, unsigned queue)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].type == type && rows[i].queue == queue &&
		    (rows[i].feature == NO_FEATURE || gpu->features >> rows[i].feature & 1))
			return &rows[i];
	return NULL;
}

static uint32_t run(struct vhu_gpu *gpu, unsigned queue, struct vhu_gpu_request *request)
{
	struct virtio_gpu_ctrl_hdr *header = &request->command.header;
	const struct row *row;
	size_t more;

	if (vhu_iov_read(&request->rest, header, sizeof(*header)) < sizeof(*header)) {
		memset(header, 0, sizeof(*header));
		return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	}
	row = find_row(gpu, le32toh(header->type), queue);
	if (!row)
		return VIRTIO_GPU_RESP_ERR_UNSPEC;
	vhu_counter_add(&gpu->stats.kinds[row - rows], 1);
	more = row->bytes - sizeof(*header);
	if (vhu_iov_read(&request->rest, header + 1, more) < more)
		return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	return row->run(gpu, request);
}

/* Answers come by the loop: none before this. */
static void hold(struct vhu_gpu *gpu, const struct vhu_gpu_request *request)
{
	struct vhu_gpu_held *held = &gpu->held[request->chain->slot];

	held->chain = request->chain;
	held->header = request->command.header;
}

static void take(struct vhu_gpu *gpu, unsigned queue, struct vhu_chain *chain)
{
	struct vhu_gpu_request request;
	uint32_t type;

	request.chain = chain;
	request.response_bytes = HEADER_BYTES;
	vhu_chain_reader(chain, &request.rest);
	type = run(gpu, queue, &request);
	if (type == VHU_GPU_AGAIN) {
		vhu_vring_put_off(vhu_device_vring(&gpu->device, queue), chain);
		return;
	}
	vhu_counter_add(&gpu->stats.commands, 1);
	if (type == VHU_GPU_LATER)
		hold(gpu, &request);
	else
		answer(gpu, queue, chain, &request.command.header, type, &request.response.header,
		       type < VIRTIO_GPU_RESP_ERR_UNSPEC ? request.response_bytes : HEADER_BYTES);
}

void vhu_gpu_handle_queue(struct vhu_gpu *gpu, unsigned queue)
{
	struct vhu_vring *vring = vhu_device_vring(&gpu->device, queue);
	struct vhu_chain *chain;

	while ((chain = vhu_vring_pop(vring)))
		take(gpu, queue, chain);
}
