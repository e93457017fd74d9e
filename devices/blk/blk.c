/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/blk/blk.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "common/backend/vring.h"
#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/base/num.h"
#include "common/wire/protocol.h"
#include "devices/blk/blk_priv.h"
#include "devices/blk/sysfs.h"

/* The largest segment that is asked for; Linux builds requests of 1 to 4 MiB. */
#define SIZE_MAX_BYTES (1u << 20)
/* Front-ends have queues of 128 unless told otherwise, and a request must fit with its two ends. */
#define USUAL_QUEUE_SIZE 128u
#define REQUEST_ENDS 2u

#define WATCH_NS NS_PER_SEC

static struct vhu_blk *blk_of(struct vhu_device *device)
{
	return container_of(device, struct vhu_blk, device);
}

static unsigned blk_num_queues(struct vhu_device *device)
{
	return blk_of(device)->num_queues;
}

static unsigned blk_max_queue_size(struct vhu_device *device)
{
	return blk_of(device)->queue_size;
}

static uint64_t blk_features(struct vhu_device *device)
{
	return blk_of(device)->features;
}

static void blk_acked_features(struct vhu_device *device, uint64_t features)
{
	atomic_store(&blk_of(device)->disk.features, features);
}

/*
 * The cache mode stays: a driver reads it after each reset (virtio 1.3, 5.2.5), and QEMU answers
 * that by what was set last, without asking us.
 */
static void blk_reset_device(struct vhu_device *device)
{
	atomic_store(&blk_of(device)->disk.features, 0);
}

static unsigned blk_queues_per_thread(struct vhu_device *device, uint64_t masks[VHU_MAX_WORKERS])
{
	unsigned n = blk_of(device)->num_queues;

	for (unsigned i = 0; i < n; i++)
		masks[i] = 1ull << i;
	return n;
}

/* Bytes as a number of blocks in a field whose largest value is max. */
static uint32_t in_blocks(const struct vhu_blk *blk, uint32_t bytes, uint32_t max)
{
	return (uint32_t)min_u64(bytes / blk->image.block_bytes, max);
}

static uint8_t physical_exp(const struct vhu_blk *blk)
{
	uint32_t blocks = in_blocks(blk, blk->image.topology.physical, UINT32_MAX);

	return blocks ? (uint8_t)(31 - __builtin_clz(blocks)) : 0;
}

/* virtio 1.3, 5.2.4. Fields without their feature are zero to the driver or not looked at. */
static void fill_config(struct vhu_blk *blk, struct virtio_blk_config *c)
{
	const struct vhu_blk_topology *t = &blk->image.topology;
	uint32_t queue_size = (uint32_t)min_u64(blk->queue_size, USUAL_QUEUE_SIZE);
	uint32_t align = htole32(blk->image.discard_block_bytes / VHU_BLK_SECTOR_BYTES);

	memset(c, 0, sizeof(*c));
	c->capacity = htole64(atomic_load(&blk->disk.capacity_sectors));
	c->size_max = htole32(SIZE_MAX_BYTES);
	c->seg_max = htole32(queue_size - REQUEST_ENDS);
	c->blk_size = htole32(blk->image.block_bytes);
	c->physical_block_exp = physical_exp(blk);
	c->alignment_offset = (uint8_t)in_blocks(blk, t->alignment_offset, UINT8_MAX);
	c->min_io_size = htole16((uint16_t)in_blocks(blk, t->min_io, UINT16_MAX));
	c->opt_io_size = htole32(in_blocks(blk, t->opt_io, UINT32_MAX));
	c->wce = atomic_load(&blk->disk.writeback);
	c->num_queues = htole16((uint16_t)blk->num_queues);
	c->max_discard_sectors = htole32(VHU_BLK_MAX_DISCARD_SECTORS);
	c->max_discard_seg = htole32(VHU_BLK_MAX_SEGMENTS);
	c->discard_sector_alignment = align;
	c->max_write_zeroes_sectors = htole32(VHU_BLK_MAX_ZEROES_SECTORS);
	c->max_write_zeroes_seg = htole32(VHU_BLK_MAX_SEGMENTS);
	c->write_zeroes_may_unmap = blk->disk.unmap;
	c->max_secure_erase_sectors = htole32(VHU_BLK_MAX_ERASE_SECTORS);
	c->max_secure_erase_seg = htole32(VHU_BLK_MAX_SEGMENTS);
	c->secure_erase_sector_alignment = align;
}

static int blk_get_config(struct vhu_device *device, uint32_t offset, uint32_t size, uint8_t *buf)
{
	struct virtio_blk_config config;

	vhu_blk_check_size(device);
	fill_config(blk_of(device), &config);
	if (offset < sizeof(config))
		memcpy(buf, (char *)&config + offset, min_u64(size, sizeof(config) - offset));
	return 0;
}

/* Only the writeback mode is the driver's to set (virtio 1.3, 5.2.5.2). */
static int blk_set_config(struct vhu_device *device, uint32_t offset, uint32_t size,
			  const uint8_t *buf, uint32_t flags)
{
	const uint32_t wce_at = offsetof(struct virtio_blk_config, wce);
	struct vhu_blk *blk = blk_of(device);
	struct virtio_blk_config config;
	uint8_t wce;

	(void)flags;
	fill_config(blk, &config);
	wce = config.wce;
	for (uint32_t i = 0; i < size; i++) {
		uint32_t at = offset + i;

		if (at == wce_at && buf[i] <= 1)
			wce = buf[i];
		else if (buf[i] != (at < sizeof(config) ? ((uint8_t *)&config)[at] : 0))
			return -EINVAL;
	}
	atomic_store(&blk->disk.writeback, wce);
	return 0;
}

/*
 * Requests popped before their turn: while one is copied, the header of a later one and the data of
 * the next come into the caches. Random reads of 4 KiB from a mapping take a quarter less time so.
 */
#define LOOK_AHEAD 4u

static int blk_handle_event(struct vhu_device *device, unsigned event_id, uint32_t epoll_events,
			    unsigned worker_idx)
{
	struct vhu_blk *blk = blk_of(device);
	struct vhu_vring *vring = vhu_device_vring(device, event_id);
	struct vhu_blk_request request = {
		.disk = &blk->disk,
		.stats = &blk->stats[event_id],
		.memory = vring->queue.memory,
	};
	struct vhu_chain *ahead[LOOK_AHEAD], *chain;
	unsigned first = 0, n = 0;

	(void)epoll_events;
	(void)worker_idx;
	for (;;) {
		while (n < LOOK_AHEAD && (chain = vhu_vring_pop(vring))) {
			vhu_blk_request_prefetch_header(chain);
			ahead[(first + n++) % LOOK_AHEAD] = chain;
		}
		if (!n)
			return 0;
		if (n > 1)
			vhu_blk_request_prefetch_data(&blk->disk, ahead[(first + 1) % LOOK_AHEAD]);
		request.chain = ahead[first++ % LOOK_AHEAD];
		n--;
		vhu_blk_request_run(&request);
		vhu_vring_push(vring, request.chain, request.written);
	}
}

void vhu_blk_check_size(struct vhu_device *device)
{
	struct vhu_blk *blk = blk_of(device);
	uint64_t bytes, sectors;

	if (blk->image.fd < 0 || vhu_blk_image_measure(&blk->image, &bytes) < 0)
		return;
	sectors = bytes / VHU_BLK_SECTOR_BYTES;
	if (atomic_exchange(&blk->disk.capacity_sectors, sectors) == sectors)
		return;
	vhu_info("%s: has %" PRIu64 " bytes now", blk->image.path, bytes);
	if (blk->disk.io->ops->resize)
		blk->disk.io->ops->resize(blk->disk.io, blk->image.offset_bytes + bytes);
	vhu_device_config_changed(device);
}

uint64_t vhu_blk_bytes(struct vhu_device *device)
{
	return atomic_load(&blk_of(device)->disk.capacity_sectors) * VHU_BLK_SECTOR_BYTES;
}

/* No inotify: it would wake us for each write of our own. */
static void watch_size(void *data, uint32_t events)
{
	struct vhu_blk *blk = data;

	(void)events;
	vhu_blk_check_size(&blk->device);
	vhu_source_set_timer(blk->watch, WATCH_NS);
}

static void blk_resumed(struct vhu_device *device)
{
	struct vhu_blk *blk = blk_of(device);

	if (!blk->watch &&
	    vhu_loop_add_timer(device->main_loop, watch_size, blk, &blk->watch) < 0)
		return;
	watch_size(blk, 0);
}

static bool migrates(const struct vhu_blk *blk)
{
	return atomic_load(&blk->disk.features) & VHU_BIT(VHU_F_LOG_ALL);
}

static void blk_suspended(struct vhu_device *device)
{
	struct vhu_blk *blk = blk_of(device);

	vhu_source_remove(steal_ptr(&blk->watch));
	blk->refused = 0;
	if (migrates(blk))
		vhu_blk_let_go(blk);
}

static void blk_set_backend_req_fd(struct vhu_device *device, struct vhu_channel *channel)
{
	if (!channel) /* the session has ended */
		vhu_blk_let_go(blk_of(device));
}

static int blk_start(struct vhu_device *device, unsigned queue, unsigned size)
{
	(void)queue;
	(void)size;
	return vhu_blk_hold(blk_of(device));
}

/*
 * As QEMU flushes its own disks when the guest is stopped: it may go on on a machine that does not
 * see our page cache.
 */
static void blk_drain(struct vhu_device *device, unsigned queue, enum vhu_drain_reason reason)
{
	struct vhu_blk *blk = blk_of(device);
	struct vhu_blk_io *io = blk->disk.io;
	int r;

	(void)queue;
	if (reason != VHU_DRAIN_STOP || blk->disk.read_only || io->fd < 0 ||
	    (blk->disk.unsafe && !migrates(blk)))
		return;
	r = vhu_blk_flush_unasked(&io->flush, io->fd);
	if (r < 0)
		vhu_error("%s: what the guest wrote before it stopped is not all on disk: %s",
			  blk->image.path, strerror(-r));
}

static void blk_destroy(struct vhu_device *device)
{
	struct vhu_blk *blk = blk_of(device);

	vhu_source_remove(blk->watch);
	if (blk->disk.io)
		blk->disk.io->ops->close(blk->disk.io);
	vhu_blk_image_close(&blk->image);
	pthread_mutex_destroy(&blk->hold_mutex);
	free(blk->stats);
	free(blk);
}

/* The null engine's disk, which is nowhere. */
static int imagine_image(const struct vhu_blk_options *o, struct vhu_blk_image *image)
{
	uint32_t block = o->block_size ? (uint32_t)o->block_size : VHU_BLK_SECTOR_BYTES;

	*image = (struct vhu_blk_image){
		.fd = -1,
		.exclusive_fd = -1,
		.size_bytes = o->size,
		.block_bytes = block,
		.discard_block_bytes = block,
		.can_discard = true,
		.topology = { .logical = block, .physical = block, .min_io = block },
		.serial = "vhu-null",
	};
	return 0;
}

static int get_lifetime(void *data, struct vhu_blk_lifetime *ret_lifetime)
{
	const struct vhu_blk_image *image = data;
	char folder[VHU_BLK_SYSFS_PATH];

	vhu_blk_sysfs_disk_folder(image->st.st_rdev, folder);
	return vhu_blk_sysfs_lifetime(folder, ret_lifetime);
}

/* The kernel looks at the range only when the device can: a wrong address finds that out. */
static bool can_erase(const struct vhu_blk_image *image)
{
	return ioctl(image->fd, BLKSECDISCARD, NULL) < 0 && errno == EFAULT;
}

static uint64_t offered_features(const struct vhu_blk_options *o, struct vhu_blk_image *image)
{
	bool is_block = S_ISBLK(image->st.st_mode);
	struct vhu_blk_lifetime life;
	uint64_t bits = VHU_BLK_FEATURE(SIZE_MAX) | VHU_BLK_FEATURE(SEG_MAX) |
			VHU_BLK_FEATURE(BLK_SIZE) | VHU_BLK_FEATURE(TOPOLOGY) |
			VHU_BLK_FEATURE(MQ) | VHU_BLK_FEATURE(FLUSH) | VHU_BLK_FEATURE(CONFIG_WCE);

	if (is_block && get_lifetime(image, &life) == 0)
		bits |= VHU_BLK_FEATURE(LIFETIME);
	if (o->read_only)
		return bits | VHU_BLK_FEATURE(RO);
	bits |= VHU_BLK_FEATURE(WRITE_ZEROES);
	if (o->discard == VHU_BLK_DISCARD_UNMAP && image->can_discard)
		bits |= VHU_BLK_FEATURE(DISCARD);
	if (is_block && can_erase(image))
		bits |= VHU_BLK_FEATURE(SECURE_ERASE);
	return bits;
}

static int open_disk(const struct vhu_blk_options *o, struct vhu_blk *blk)
{
	const struct vhu_blk_io_ops *engine = vhu_blk_io_find(o->engine, blk->image.fd);
	struct vhu_blk_disk *disk = &blk->disk;
	int r = engine->open(blk->image.fd, o->read_only, &disk->io);

	if (r < 0 && !strcmp(o->engine, "auto")) {
		vhu_info("%s: engine %s cannot serve it: %s", blk->image.path, engine->name,
			 strerror(-r));
		engine = &vhu_blk_io_sync;
		r = engine->open(blk->image.fd, o->read_only, &disk->io);
	}
	if (r < 0) {
		vhu_error("%s: engine %s cannot serve it: %s", blk->image.path, engine->name,
			  strerror(-r));
		return r;
	}
	assert(engine->in_order); /* a request is answered before the next is run */
	disk->start_bytes = blk->image.offset_bytes;
	atomic_init(&disk->capacity_sectors, blk->image.size_bytes / VHU_BLK_SECTOR_BYTES);
	atomic_init(&disk->features, 0);
	atomic_init(&disk->writeback, o->cache != VHU_BLK_WRITETHROUGH);
	disk->read_only = o->read_only;
	disk->unsafe = o->cache == VHU_BLK_UNSAFE;
	disk->unmap = o->discard == VHU_BLK_DISCARD_UNMAP;
	memcpy(disk->serial, blk->image.serial, sizeof(disk->serial));
	disk->get_lifetime = get_lifetime;
	disk->lifetime_data = &blk->image;
	return 0;
}

static int init_blk(const struct vhu_blk_options *o, struct vhu_blk *blk)
{
	bool is_null = !strcmp(o->engine, "null");
	int r = is_null ? imagine_image(o, &blk->image) : vhu_blk_image_open(o, &blk->image);

	if (r < 0)
		return r;
	blk->held = !o->incoming;
	blk->num_queues = (unsigned)o->num_queues;
	blk->queue_size = (unsigned)o->queue_size;
	blk->features = offered_features(o, &blk->image);
	blk->stats = aligned_alloc(_Alignof(struct vhu_blk_stats),
				   blk->num_queues * sizeof(*blk->stats));
	if (!blk->stats)
		return -ENOMEM;
	memset(blk->stats, 0, blk->num_queues * sizeof(*blk->stats));
	return open_disk(o, blk);
}

static const struct vhu_device_ops blk_ops = {
	.name = "blk",
	.locking = VHU_LOCK_NONE,
	.completes_in_order = true, /* see open_disk() */
	.num_queues = blk_num_queues,
	.max_queue_size = blk_max_queue_size,
	.features = blk_features,
	.acked_features = blk_acked_features,
	.reset_device = blk_reset_device,
	.get_config = blk_get_config,
	.set_config = blk_set_config,
	.set_backend_req_fd = blk_set_backend_req_fd,
	.queues_per_thread = blk_queues_per_thread,
	.handle_event = blk_handle_event,
	.start = blk_start,
	.drain = blk_drain,
	.suspended = blk_suspended,
	.resumed = blk_resumed,
	.state_version = VHU_BLK_STATE_VERSION,
	.save = vhu_blk_save,
	.load = vhu_blk_load,
	.destroy = blk_destroy,
};

int vhu_blk_new(const struct vhu_blk_options *options, struct vhu_device **ret_device)
{
	struct vhu_blk *blk;
	int r = vhu_blk_options_check(options);

	if (r < 0)
		return r;
	blk = calloc(1, sizeof(*blk));
	if (!blk)
		return -ENOMEM;
	blk->image.fd = blk->image.exclusive_fd = -1;
	pthread_mutex_init(&blk->hold_mutex, NULL);
	r = init_blk(options, blk);
	if (r == 0)
		r = vhu_device_init(&blk->device, &blk_ops);
	if (r < 0) {
		blk_destroy(&blk->device);
		return r;
	}
	if (options->poll_us != VHU_BLK_POLL_AUTO)
		blk->device.poll_max_ns = options->poll_us * NS_PER_US;
	vhu_info("%s: %" PRIu64 " bytes, %s, serial %s, engine %s",
		 blk->image.path ? blk->image.path : "null", blk->image.size_bytes,
		 options->read_only ? "read-only" : "writable", blk->disk.serial,
		 blk->disk.io->ops->name);
	*ret_device = &blk->device;
	return 0;
}

void vhu_blk_keep(struct vhu_device *device)
{
	blk_of(device)->image.created = false;
}
