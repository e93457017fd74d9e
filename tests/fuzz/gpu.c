/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * vhu-gpu under a driver that sends anything: commands of all kinds with fields that are right,
 * nearly right and wrong, in any order, cut off, on rings that are scribbled over; resets, stops, a
 * map of memory that changes, and its state saved and loaded meanwhile. After each run nothing is
 * in flight, and no fd is left.
 */

#include <fcntl.h>
#include <linux/virtio_gpu.h>

#include "common/base/num.h"
#include "devices/gpu/gpu.h"
#include "tests/fuzz/driver.h"

#define N_IDS 6
#define CONTROL 0
#define CURSOR 1

static uint32_t some_id(struct input *in)
{
	uint8_t n = input_u8(in);

	return htole32(n < 240 ? n % N_IDS : (uint32_t)input_u64(in));
}

/* A length or a place on a picture: mostly on one of 64 pixels. */
static uint32_t some_place(struct input *in)
{
	uint8_t n = input_u8(in);

	return htole32(n < 220 ? n % 65 : (uint32_t)input_u64(in));
}

static struct virtio_gpu_rect some_rect(struct input *in)
{
	static const struct virtio_gpu_rect all = { .width = 64, .height = 64 };

	if (input_u8(in) & 1)
		return (struct virtio_gpu_rect){ all.x, all.y, htole32(64), htole32(64) };
	return (struct virtio_gpu_rect){ some_place(in), some_place(in), some_place(in),
					 some_place(in) };
}

static uint32_t some_format(struct input *in)
{
	static const uint8_t formats[] = { 1, 2, 3, 4, 67, 68, 121, 134 };
	uint8_t n = input_u8(in);

	return htole32(n < 250 ? formats[n % sizeof(formats)] : n);
}

static struct virtio_gpu_ctrl_hdr header(struct input *in, uint32_t type)
{
	struct virtio_gpu_ctrl_hdr header = { .type = htole32(type) };

	if (input_u8(in) & 1)
		header.flags = htole32(input_u8(in));
	header.fence_id = htole64(input_u8(in));
	return header;
}

static void send(struct driver *s, unsigned queue, const void *command, uint32_t bytes,
		 uint32_t room)
{
	uint8_t odd = input_u8(s->in);

	driver_offer(s, queue, command, bytes, odd & 15 ? bytes : input_u8(s->in),
		     odd >> 4 ? room : input_u8(s->in));
}
#define SEND(s, command) send(s, CONTROL, &(command), sizeof(command), 24)

static void create(struct driver *s)
{
	struct virtio_gpu_resource_create_2d c = {
		.hdr = header(s->in, VIRTIO_GPU_CMD_RESOURCE_CREATE_2D),
		.resource_id = some_id(s->in), .format = some_format(s->in),
		.width = htole32(64),	       .height = htole32(64),
	};

	if (!(input_u8(s->in) & 3)) {
		c.width = some_place(s->in);
		c.height = some_place(s->in);
	}
	SEND(s, c);
}

static void unref(struct driver *s)
{
	struct virtio_gpu_resource_unref c = {
		.hdr = header(s->in, VIRTIO_GPU_CMD_RESOURCE_UNREF), .resource_id = some_id(s->in),
	};

	SEND(s, c);
}

/* Entries in any part of memory, most of which is there. */
static uint32_t some_entries(struct input *in, struct virtio_gpu_mem_entry entries[8])
{
	uint32_t n = input_below(in, 9);

	for (uint32_t i = 0; i < n; i++) {
		uint8_t odd = input_u8(in);

		entries[i] = (struct virtio_gpu_mem_entry){
			htole64(odd < 240 ? DRIVER_GPA + 0x1000u * (odd % 96) : input_u64(in)),
			htole32(odd < 200 ? 0x1000u << odd % 3 : (uint32_t)input_u64(in)), 0
		};
	}
	return n;
}

static void attach(struct driver *s)
{
	struct {
		struct virtio_gpu_resource_attach_backing attach;
		struct virtio_gpu_mem_entry entries[8];
	} c = { .attach = { .hdr = header(s->in, VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING),
			    .resource_id = some_id(s->in) } };
	uint32_t n = some_entries(s->in, c.entries);

	c.attach.nr_entries = htole32(input_u8(s->in) & 15 ? n : (uint32_t)input_u64(s->in));
	SEND(s, c);
}

static void detach(struct driver *s)
{
	struct virtio_gpu_resource_detach_backing c = {
		.hdr = header(s->in, VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING),
		.resource_id = some_id(s->in),
	};

	SEND(s, c);
}

static void transfer(struct driver *s)
{
	struct virtio_gpu_transfer_to_host_2d c = {
		.hdr = header(s->in, VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D),
		.r = some_rect(s->in),
		.offset = htole64(input_u8(s->in) & 3 ? 0 : input_u64(s->in)),
		.resource_id = some_id(s->in),
	};

	SEND(s, c);
}

static void set_scanout(struct driver *s)
{
	struct virtio_gpu_set_scanout c = {
		.hdr = header(s->in, VIRTIO_GPU_CMD_SET_SCANOUT),
		.r = some_rect(s->in),
		.scanout_id = htole32(input_below(s->in, 18)),
		.resource_id = some_id(s->in),
	};

	SEND(s, c);
}

static void flush(struct driver *s)
{
	struct virtio_gpu_resource_flush c = {
		.hdr = header(s->in, VIRTIO_GPU_CMD_RESOURCE_FLUSH),
		.r = some_rect(s->in),
		.resource_id = some_id(s->in),
	};

	SEND(s, c);
}

static void create_blob(struct driver *s)
{
	struct {
		struct virtio_gpu_resource_create_blob create;
		struct virtio_gpu_mem_entry entries[8];
	} c = { .create = { .hdr = header(s->in, VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB),
			    .resource_id = some_id(s->in),
			    .blob_mem = htole32(input_u8(s->in) & 15 ? 1 : input_u8(s->in)),
			    .size = htole64(input_u8(s->in) & 3 ? 0x1000 : input_u64(s->in)) } };

	c.create.nr_entries = htole32(some_entries(s->in, c.entries));
	SEND(s, c);
}

static void set_scanout_blob(struct driver *s)
{
	struct virtio_gpu_set_scanout_blob c = {
		.hdr = header(s->in, VIRTIO_GPU_CMD_SET_SCANOUT_BLOB),
		.r = some_rect(s->in),
		.scanout_id = htole32(input_below(s->in, 18)),
		.resource_id = some_id(s->in),
		.width = some_place(s->in),
		.height = some_place(s->in),
		.format = some_format(s->in),
		.strides = { htole32(input_u8(s->in) & 3 ? 256 : (uint32_t)input_u64(s->in)) },
		.offsets = { htole32(input_u8(s->in) & 3 ? 0 : (uint32_t)input_u64(s->in)) },
	};

	SEND(s, c);
}

static void ask(struct driver *s)
{
	static const uint32_t types[] = { VIRTIO_GPU_CMD_GET_DISPLAY_INFO, VIRTIO_GPU_CMD_GET_EDID,
					  VIRTIO_GPU_CMD_RESOURCE_ASSIGN_UUID };
	struct virtio_gpu_cmd_get_edid c = {
		.hdr = header(s->in, types[input_below(s->in, ARRAY_SIZE(types))]),
		.scanout = some_id(s->in),
	};

	send(s, CONTROL, &c, sizeof(c), 1200);
}

static void cursor(struct driver *s)
{
	struct virtio_gpu_update_cursor c = {
		.hdr = header(s->in, VIRTIO_GPU_CMD_UPDATE_CURSOR + input_below(s->in, 2)),
		.pos = { htole32(input_below(s->in, 18)), some_place(s->in), some_place(s->in), 0 },
		.resource_id = some_id(s->in),
		.hot_x = some_place(s->in),
		.hot_y = some_place(s->in),
	};

	send(s, CURSOR, &c, sizeof(c), 24);
}

static void anything(struct driver *s)
{
	uint32_t words[24];

	for (unsigned i = 0; i < ARRAY_SIZE(words); i++)
		words[i] = htole32((uint32_t)input_u64(s->in));
	words[0] = htole32(0x0100u + (uint32_t)input_below(s->in, 32));
	send(s, input_below(s->in, 2), words, sizeof(words), 64);
}

/* All of the guest's memory goes, and comes back. */
static void other_memory(struct driver *s)
{
	struct vhu_memory *none;

	expect(vhu_memory_new(&none) == 0);
	if (input_u8(s->in) & 1)
		s->device->ops->update_memory(s->device, none);
	else
		s->device->ops->update_memory(s->device, driver_memory);
	vhu_memory_unref(none);
}

/* What it saves it takes up again; and with a byte that is another one it does not die of it. */
static void save_and_load(struct driver *s)
{
	void *bytes;
	size_t len, at;

	expect(s->device->ops->save(s->device, &bytes, &len) == 0);
	expect(s->device->ops->load(s->device, 1, bytes, len) == 0);
	at = input_u16(s->in);
	if (at < len) {
		((uint8_t *)bytes)[at] ^= (uint8_t)(1 + input_u8(s->in));
		s->device->ops->load(s->device, 1, bytes, len);
	}
	free(bytes);
}

static struct vhu_device *make(void)
{
	static struct vhu_gpu_options options;
	struct vhu_device *device;

	options = vhu_gpu_defaults;
	options.max_resource_mem = 16u << 20;
	expect(vhu_gpu_new(&options, &device) == 0);
	return device;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const driver_step steps[] = {
		create, create, attach, attach, transfer, transfer, set_scanout, set_scanout,
		flush, flush, unref, detach, create_blob, set_scanout_blob, ask, cursor, anything,
		driver_stop_and_go, driver_reset, driver_scribble, other_memory, save_and_load,
	};

	driver_run(data, size, make, 2, steps, ARRAY_SIZE(steps));
	return 0;
}
