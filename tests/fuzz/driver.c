/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/fuzz/driver.h"

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <sys/mman.h>

#include "common/backend/vring.h"
#include "common/base/log.h"
#include "common/base/num.h"

#define UADDR 0x7f0000000000ull
/* In the page of a ring. */
#define AVAIL 0x400
#define USED 0x800

struct vhu_memory *driver_memory;
char *driver_guest;

static char *ring_of(unsigned queue)
{
	return driver_guest + queue * 0x1000;
}

static void add_desc(struct driver *s, unsigned queue, uint32_t at, uint32_t len, uint16_t flags)
{
	uint16_t i = s->next_desc[queue]++ % DRIVER_SIZE;
	const struct vring_desc desc = {
		.addr = htole64(DRIVER_GPA + DRIVER_DATA + at),
		.len = htole32(len),
		.flags = htole16(flags),
		.next = htole16((i + 1) % DRIVER_SIZE),
	};

	memcpy(ring_of(queue) + 16 * i, &desc, sizeof(desc));
}

static void make_available(struct driver *s, unsigned queue, uint16_t head)
{
	struct vring_avail *avail = (struct vring_avail *)(ring_of(queue) + AVAIL);

	avail->ring[s->avail_idx[queue]++ % DRIVER_SIZE] = htole16(head % DRIVER_SIZE);
	__atomic_store_n(&avail->idx, htole16(s->avail_idx[queue]), __ATOMIC_RELEASE);
}

/* Readable and writable bytes, each in one piece or two. */
void driver_offer(struct driver *s, unsigned queue, const void *bytes, uint32_t len,
		  uint32_t readable, uint32_t writable)
{
	uint32_t at = 64u * input_u8(s->in), cut = input_below(s->in, 9);
	uint16_t head = s->next_desc[queue];

	if (len)
		memcpy(driver_guest + DRIVER_DATA + at, bytes, min_u64(len, readable));
	if (cut && cut < readable) {
		add_desc(s, queue, at, cut, VRING_DESC_F_NEXT);
		add_desc(s, queue, at + cut, readable - cut, writable ? VRING_DESC_F_NEXT : 0);
	} else if (readable) {
		add_desc(s, queue, at, readable, writable ? VRING_DESC_F_NEXT : 0);
	}
	if (writable)
		add_desc(s, queue, 0x8000 + at, writable, VRING_DESC_F_WRITE);
	make_available(s, queue, head);
}

void driver_turn(struct driver *s, uint64_t timeout_ns)
{
	vhu_loop_turn(s->worker->loop, timeout_ns);
	for (unsigned i = 0; i < s->n_queues; i++)
		if (s->device->vrings[i].active)
			vhu_vring_process(&s->device->vrings[i]);
}

static void start(struct driver *s, unsigned i, uint32_t base)
{
	struct vhu_vring *vring = &s->device->vrings[i];

	vring->setup = (struct vhu_virtqueue_setup){
		.features = 1ull << VIRTIO_F_VERSION_1,
		.size = DRIVER_SIZE,
		.base = base,
		.desc_uaddr = UADDR + 0x1000 * i,
		.driver_uaddr = UADDR + 0x1000 * i + AVAIL,
		.device_uaddr = UADDR + 0x1000 * i + USED,
	};
	vring->started = true;
	expect(vhu_vring_start(vring, driver_memory) == 0);
	vhu_vring_set_active(vring, true);
}

static void drained(struct vhu_errand *errand)
{
	(void)errand;
}

static void stop(struct driver *s, unsigned i, enum vhu_drain_reason reason)
{
	struct vhu_vring *vring = &s->device->vrings[i];
	struct vhu_errand errand = { .worker = s->worker, .back = drained };

	vhu_vring_drain(vring, reason, &errand);
	expect(vring->queue.in_flight == 0);
	vhu_vring_stop(vring);
	vring->started = false;
}

/* The driver_guest stops and goes on. What it gets then is what it had not got before. */
void driver_stop_and_go(struct driver *s)
{
	for (unsigned i = 0; i < s->n_queues; i++) {
		bool broken = atomic_load(&s->device->vrings[i].broken);

		stop(s, i, VHU_DRAIN_STOP);
		start(s, i, broken ? s->avail_idx[i] : s->device->vrings[i].setup.base);
	}
}

static void stop_all(struct driver *s, enum vhu_drain_reason reason)
{
	for (unsigned i = 0; i < s->n_queues; i++)
		stop(s, i, reason);
	if (reason == VHU_DRAIN_RESET)
		s->device->ops->reset_device(s->device);
	else
		s->device->ops->set_backend_req_fd(s->device, NULL);
}

static void start_all(struct driver *s)
{
	memset(driver_guest, 0, DRIVER_DATA);
	for (unsigned i = 0; i < s->n_queues; i++) {
		s->next_desc[i] = s->avail_idx[i] = 0;
		start(s, i, 0);
	}
}

void driver_reset(struct driver *s)
{
	stop_all(s, VHU_DRAIN_RESET);
	start_all(s);
}

void driver_scribble(struct driver *s)
{
	uint64_t at = input_u16(s->in) % 0x4000;
	uint8_t bytes[16];
	size_t n = input_below(s->in, sizeof(bytes) + 1);

	input_bytes(s->in, bytes, n);
	memcpy(driver_guest + at, bytes, n);
}

static void make_memory(void)
{
	const struct vhu_memory_region region = { .gpa = DRIVER_GPA, .size = DRIVER_BYTES,
						  .uaddr = UADDR };
	struct vhu_memory *none;
	int fd = memfd_create("guest", 0);

	expect(fd >= 0 && ftruncate(fd, (off_t)DRIVER_BYTES) == 0);
	driver_guest = mmap(NULL, DRIVER_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	expect(driver_guest != MAP_FAILED && vhu_memory_new(&none) == 0);
	expect(vhu_memory_with_region(none, &region, fd, &driver_memory) == 0);
	vhu_memory_unref(none);
	close(fd);
}

/* All rings begin. */
static void begin(struct driver *s, struct input *in, struct vhu_device *device, unsigned n_queues)
{
	*s = (struct driver){ .in = in, .device = device, .n_queues = n_queues };
	s->worker = vhu_device_worker(device, 0);
	if (device->ops->acked_features)
		device->ops->acked_features(device, device->features);
	if (device->ops->update_memory)
		expect(device->ops->update_memory(device, driver_memory) == 0);
	start_all(s);
}

/* Nothing is in flight. */
static void end(struct driver *s)
{
	stop_all(s, VHU_DRAIN_SESSION_GONE);
	vhu_device_unref(s->device);
}

void driver_run(const uint8_t *data, size_t size, struct vhu_device *(*make)(void),
		unsigned n_queues, const driver_step *steps, unsigned n_steps)
{
	struct input in = { data, size };
	struct driver s;
	int lowest;

	if (!driver_memory) {
		vhu_log_set_level(VHU_LOG_ERROR);
		make_memory();
		/* The first device opens what the process keeps. */
		vhu_device_unref(make());
	}
	lowest = lowest_fd();
	begin(&s, &in, make(), n_queues);
	for (unsigned i = 0; i < 200 && in.left; i++) {
		steps[input_below(&in, n_steps)](&s);
		driver_turn(&s, 0);
	}
	end(&s);
	expect(lowest_fd() == lowest);
}
