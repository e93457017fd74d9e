/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/fd.h"
#include "common/base/num.h"
#include "common/frontend/driver_priv.h"
#include "common/memory/access.h"

/* Apart, so that the two sides do not write to one cache line. */
#define AREA_ALIGN 64
/* In both layouts. */
#define DESC_BYTES sizeof(struct vring_desc)
#define TABLE_BYTES (VHU_DRIVER_TABLE * DESC_BYTES)
/* Looks at the ring between two at the clock. */
#define SPINS 1024
/* How long a busy wait may miss that the back-end has gone. */
#define SPIN_NS (10 * NS_PER_MS)

void *vhu_driver_alloc_area(struct vhu_driver *driver, uint32_t bytes, uint64_t *ret_gpa)
{
	struct vhu_guest_buffer area = vhu_guest_alloc(&driver->frontend->guest, bytes, AREA_ALIGN);

	if (area.host)
		*ret_gpa = area.gpa;
	return area.host;
}

static int alloc_rings(struct vhu_driver *driver)
{
	int r = driver->layout->init(driver);

	if (r < 0 || !driver->indirect)
		return r;
	driver->tables = vhu_driver_alloc_area(driver, driver->size * (uint32_t)TABLE_BYTES,
					       &driver->tables_gpa);
	return driver->tables ? 0 : -ENOMEM;
}

static int open_fds(struct vhu_driver *driver)
{
	int *fds[] = { &driver->kick_fd, &driver->call_fd, &driver->err_fd };

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		*fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (*fds[i] < 0)
			return -errno;
	}
	return 0;
}

int vhu_driver_init(struct vhu_driver *driver, struct vhu_frontend *frontend, uint32_t index,
		    uint16_t size)
{
	uint64_t features = frontend->acked_features;
	int r;

	*driver = (struct vhu_driver){
		.layout = features & VHU_BIT(VHU_F_RING_PACKED) ? &vhu_driver_packed_layout
								: &vhu_driver_split_layout,
		.frontend = frontend,
		.index = index,
		.size = size,
		.event_idx = features & VHU_BIT(VHU_F_RING_EVENT_IDX),
		.in_order = features & VHU_BIT(VHU_F_IN_ORDER),
		.in_band = vhu_frontend_acked(frontend, VHU_PROTOCOL_F_INBAND_NOTIFICATIONS),
		.indirect = features & VHU_BIT(VHU_F_RING_INDIRECT_DESC),
		.iova_offset =
			features & VHU_BIT(VHU_F_ACCESS_PLATFORM) ? frontend->guest.iova_offset : 0,
		.kick_fd = -1,
		.call_fd = -1,
		.err_fd = -1,
	};
	driver->slots = calloc(size ? size : 1, sizeof(*driver->slots));
	r = driver->slots ? alloc_rings(driver) : -ENOMEM;
	if (r == 0)
		r = open_fds(driver);
	if (r < 0)
		vhu_driver_finish(driver);
	else
		vhu_driver_reset(driver);
	return r;
}

void vhu_driver_finish(struct vhu_driver *driver)
{
	/* Zeros are a driver that never was: its fds are not ours. */
	if (!driver->slots)
		return;
	close_fd(&driver->kick_fd);
	close_fd(&driver->call_fd);
	close_fd(&driver->err_fd);
	free(driver->slots);
	driver->slots = NULL;
}

void vhu_driver_reset(struct vhu_driver *driver)
{
	for (unsigned i = 0; i < driver->size; i++)
		driver->slots[i] = (struct vhu_driver_slot){ .next = (uint16_t)(i + 1) };
	driver->n_free = driver->size;
	driver->free_head = 0;
	driver->n_in_flight = 0;
	driver->in_batch = false;
	driver->layout->reset(driver);
}

uint32_t vhu_driver_idle_base(const struct vhu_driver *driver)
{
	return driver->layout->idle_base(driver);
}

static bool can_enable(const struct vhu_driver *driver)
{
	return driver->frontend->acked_features & VHU_BIT(VHU_F_PROTOCOL_FEATURES);
}

/* User addresses, or under ACCESS_PLATFORM I/O virtual ones (vhost-user, Memory access). */
static uint64_t area_addr(const struct vhu_driver *driver, uint64_t gpa)
{
	if (driver->frontend->acked_features & VHU_BIT(VHU_F_ACCESS_PLATFORM))
		return gpa + driver->iova_offset;
	return vhu_guest_uaddr(&driver->frontend->guest, gpa);
}

static int set_addr(struct vhu_driver *driver)
{
	struct vhu_vring_addr addr = {
		.index = driver->index,
		.flags = driver->log_used ? VHU_VRING_ADDR_LOG : 0,
		.desc_uaddr = area_addr(driver, driver->desc_gpa),
		.avail_uaddr = area_addr(driver, driver->avail_gpa),
		.used_uaddr = area_addr(driver, driver->used_gpa),
		.log_gpa = driver->log_gpa,
	};

	return vhu_frontend_set_vring_addr(driver->frontend, &addr);
}

static int send_fd(struct vhu_driver *driver, uint32_t request, int fd)
{
	if (driver->in_band)
		return 0;
	return vhu_frontend_set_vring_fd(driver->frontend, request, driver->index, fd);
}

static int kick_in_band(struct vhu_driver *driver)
{
	return vhu_frontend_set_vring(driver->frontend, VHU_VRING_KICK, driver->index, 0);
}

int vhu_driver_set_up(struct vhu_driver *driver)
{
	struct vhu_frontend *frontend = driver->frontend;
	uint32_t index = driver->index;
	int r;

	r = send_fd(driver, VHU_SET_VRING_CALL, driver->call_fd);
	if (r == 0)
		r = send_fd(driver, VHU_SET_VRING_ERR, driver->err_fd);
	if (r == 0)
		r = vhu_frontend_set_vring(frontend, VHU_SET_VRING_NUM, index, driver->size);
	if (r == 0)
		r = vhu_frontend_set_vring(frontend, VHU_SET_VRING_BASE, index, driver->base);
	if (r == 0)
		r = set_addr(driver);
	if (r == 0)
		r = driver->in_band ? kick_in_band(driver)
				    : send_fd(driver, VHU_SET_VRING_KICK, driver->kick_fd);
	return r;
}

int vhu_driver_start(struct vhu_driver *driver)
{
	int r = vhu_driver_set_up(driver);

	if (r == 0 && can_enable(driver))
		r = vhu_frontend_set_vring(driver->frontend, VHU_SET_VRING_ENABLE, driver->index,
					   1);
	return r;
}

int vhu_driver_stop(struct vhu_driver *driver)
{
	int r = 0;

	if (can_enable(driver))
		r = vhu_frontend_set_vring(driver->frontend, VHU_SET_VRING_ENABLE, driver->index,
					   0);
	if (r == 0)
		r = vhu_frontend_get_vring_base(driver->frontend, driver->index, &driver->base);
	return r;
}

int vhu_driver_log(struct vhu_driver *driver, bool on, uint64_t log_gpa)
{
	driver->log_used = on;
	driver->log_gpa = on ? log_gpa : 0;
	return set_addr(driver);
}

void vhu_driver_restore_base(struct vhu_driver *driver)
{
	driver->base = driver->layout->crash_base(driver);
}

void *vhu_driver_table(const struct vhu_driver *driver, uint16_t head)
{
	return driver->tables + head * TABLE_BYTES;
}

struct vhu_guest_buffer vhu_driver_table_buffer(const struct vhu_driver *driver, uint16_t head,
						unsigned n)
{
	return (struct vhu_guest_buffer){
		.gpa = driver->tables_gpa + head * TABLE_BYTES,
		.len = (uint32_t)(n * DESC_BYTES),
	};
}

void vhu_driver_mark_in_flight(struct vhu_driver *driver, uint16_t head, uint64_t token,
			       uint32_t writable_len)
{
	struct vhu_driver_slot *slot = &driver->slots[head];

	slot->token = token;
	slot->writable_len = writable_len;
	slot->in_flight = true;
	if (driver->n_in_flight++)
		driver->slots[driver->newest].later = head;
	else
		driver->oldest = head;
	driver->newest = head;
}

int vhu_driver_add(struct vhu_driver *driver, const struct vhu_guest_buffer *buffers,
		   unsigned n_readable, unsigned n_writable, uint64_t token)
{
	unsigned n = n_readable + n_writable;
	bool indirect = driver->indirect && n > 1 && n <= VHU_DRIVER_TABLE;
	unsigned cost = indirect ? 1 : n;
	uint32_t writable_len = 0;
	uint16_t head;

	if (n == 0)
		return -EINVAL;
	if (cost > driver->n_free)
		return -ENOSPC;
	for (unsigned i = n_readable; i < n; i++)
		writable_len += buffers[i].len;
	head = driver->layout->add(driver, buffers, n_readable, n, indirect);
	driver->n_free -= (uint16_t)cost;
	driver->slots[head].n_descriptors = (uint16_t)cost;
	vhu_driver_mark_in_flight(driver, head, token, writable_len);
	return head;
}

void vhu_driver_publish(struct vhu_driver *driver)
{
	driver->layout->publish(driver);
}

int vhu_driver_kick(struct vhu_driver *driver)
{
	static const uint64_t one = 1;

	if (!driver->layout->publish(driver))
		return 0;
	if (!driver->in_band && driver->kick_fd < 0)
		return 0;
	driver->n_kicks++;
	if (driver->in_band) {
		int r = kick_in_band(driver);

		return r < 0 ? r : 1;
	}
	/* A full counter is a kick that nobody has looked at yet. */
	if (write(driver->kick_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		return -errno;
	return 1;
}

bool vhu_driver_has_used(const struct vhu_driver *driver)
{
	return driver->in_batch || driver->layout->has_used(driver);
}

/* What the ring says next: a chain, or the last of a batch (virtio 1.3, 2.7.9 and 2.8.8). */
static int read_used(struct vhu_driver *driver)
{
	uint32_t head, len;
	int r = driver->layout->peek(driver, &head, &len);

	if (r <= 0)
		return r;
	if (head >= driver->size || !driver->slots[head].in_flight)
		return -EPROTO;
	driver->last = (struct vhu_driver_used){
		.token = driver->slots[head].token,
		.len = len,
		.head = (uint16_t)head,
	};
	return 1;
}

/* The oldest, which the batch has used whole. */
static struct vhu_driver_used skipped(const struct vhu_driver *driver)
{
	const struct vhu_driver_slot *slot = &driver->slots[driver->oldest];

	return (struct vhu_driver_used){ slot->token, slot->writable_len, driver->oldest };
}

int vhu_driver_get(struct vhu_driver *driver, struct vhu_driver_used *ret_used)
{
	struct vhu_driver_slot *slot;
	int r = driver->in_batch ? 1 : read_used(driver);

	if (r <= 0)
		return r;
	driver->in_batch = driver->in_order && driver->oldest != driver->last.head;
	*ret_used = driver->in_batch ? skipped(driver) : driver->last;
	slot = &driver->slots[ret_used->head];
	slot->in_flight = false;
	driver->oldest = slot->later;
	driver->n_in_flight--;
	driver->layout->release(driver, ret_used->head);
	driver->n_free += slot->n_descriptors;
	return 1;
}

bool vhu_driver_want_call(struct vhu_driver *driver)
{
	driver->layout->ask_calls(driver, true);
	vhu_full_barrier();
	return vhu_driver_has_used(driver);
}

void vhu_driver_refuse_calls(struct vhu_driver *driver)
{
	driver->layout->ask_calls(driver, false);
}

uint64_t vhu_driver_count_calls(struct vhu_driver *driver)
{
	struct pollfd pollfd = { .fd = driver->call_fd, .events = POLLIN };
	uint64_t n, ring = 1ull << (driver->index & 63);

	if (driver->frontend->called & ring) {
		driver->frontend->called &= ~ring;
		driver->n_calls++;
	}
	/* Also right when the caller has made the fd a blocking one. */
	if (poll(&pollfd, 1, 0) > 0 && read(driver->call_fd, &n, sizeof(n)) == sizeof(n))
		driver->n_calls += n;
	return driver->n_calls;
}

/* What has come on the channel; an error in-band is one of this ring. */
static int serve_channel(struct vhu_driver *driver)
{
	uint64_t ring = 1ull << (driver->index & 63);
	int r = vhu_frontend_serve(driver->frontend);

	if (driver->frontend->broken & ring) {
		driver->frontend->broken &= ~ring;
		return -EIO;
	}
	return r;
}

/* Up to timeout_ns for a call; 0 also when there was none. */
static int sleep_for_call(struct vhu_driver *driver, uint64_t timeout_ns)
{
	enum {
		CALL,
		ERR,
		SOCKET,
		CHANNEL
	};
	struct vhu_frontend *frontend = driver->frontend;
	bool serves = frontend->on_request || driver->in_band;
	struct pollfd pollfds[] = {
		[CALL] = { .fd = driver->call_fd, .events = POLLIN },
		[ERR] = { .fd = driver->err_fd, .events = POLLIN },
		[SOCKET] = { .fd = frontend->fd, .events = POLLRDHUP },
		[CHANNEL] = { .fd = serves ? frontend->channel_fd : -1, .events = POLLIN },
	};
	struct timespec timeout = {
		.tv_sec = (time_t)(timeout_ns / NS_PER_SEC),
		.tv_nsec = (long)(timeout_ns % NS_PER_SEC),
	};

	if (ppoll(pollfds, ARRAY_SIZE(pollfds), &timeout, NULL) < 0)
		return errno == EINTR ? 0 : -errno;
	if (pollfds[CALL].revents) {
		vhu_driver_count_calls(driver);
		return 0;
	}
	if (pollfds[ERR].revents) {
		vhu_fd_drain(driver->err_fd);
		return -EIO;
	}
	if (pollfds[SOCKET].revents)
		return -ECONNRESET;
	return pollfds[CHANNEL].revents ? serve_channel(driver) : 0;
}

static void spin(const struct vhu_driver *driver, uint64_t until_ns)
{
	do {
		for (unsigned i = 0; i < SPINS; i++) {
			if (vhu_driver_has_used(driver))
				return;
#if defined(__x86_64__) || defined(__i386__)
			__builtin_ia32_pause();
#endif
		}
	} while (vhu_now_ns() < until_ns);
}

/* Until there is a used chain, or something that says there will be none. */
static int wait_for_used(struct vhu_driver *driver, uint64_t deadline_ns)
{
	uint64_t now_ns = vhu_now_ns();

	if (now_ns >= deadline_ns)
		return -ETIMEDOUT;
	if (!driver->busy)
		return vhu_driver_want_call(driver) ? 0
						    : sleep_for_call(driver, deadline_ns - now_ns);
	spin(driver, min_u64(deadline_ns, now_ns + SPIN_NS));
	if (vhu_driver_has_used(driver))
		return 0;
	return sleep_for_call(driver, 0);
}

int vhu_driver_wait(struct vhu_driver *driver, struct vhu_driver_used *ret_used)
{
	uint64_t deadline_ns = 0;
	int r;

	while ((r = vhu_driver_get(driver, ret_used)) == 0) {
		if (!deadline_ns)
			deadline_ns = vhu_now_ns() +
				      (uint64_t)driver->frontend->timeout_ms * NS_PER_MS;
		r = wait_for_used(driver, deadline_ns);
		if (r < 0)
			return r;
	}
	return r < 0 ? r : 0;
}

int vhu_driver_run(struct vhu_driver *driver, const struct vhu_guest_buffer *buffers,
		   unsigned n_readable, unsigned n_writable, uint32_t *ret_len)
{
	struct vhu_driver_used used;
	int head = vhu_driver_add(driver, buffers, n_readable, n_writable, 0);
	int r;

	if (head < 0)
		return head;
	r = vhu_driver_kick(driver);
	if (r < 0)
		return r;
	r = vhu_driver_wait(driver, &used);
	if (r < 0)
		return r;
	if (used.head != head)
		return -EPROTO;
	if (ret_len)
		*ret_len = used.len;
	return 0;
}
