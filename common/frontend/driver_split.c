/* SPDX-License-Identifier: BSD-3-Clause */
#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/fd.h"
#include "common/base/num.h"
#include "common/frontend/driver_split.h"
#include "common/memory/access.h"

/* Apart, so that the two sides do not write to one cache line. */
#define RING_ALIGN 64
/* Looks at the ring between two at the clock. */
#define SPINS 1024
/* How long a busy wait may miss that the back-end has gone. */
#define SPIN_NS (10 * NS_PER_MS)

static uint16_t slot_of(const struct vhu_driver_split *driver, uint16_t idx)
{
	return idx & (driver->vring.num - 1);
}

static int alloc_rings(struct vhu_driver_split *driver, uint16_t size)
{
	struct vhu_guest *guest = &driver->frontend->guest;
	struct vhu_guest_buffer desc, avail, used, tables;

	desc = vhu_guest_alloc(guest, size * sizeof(struct vring_desc), RING_ALIGN);
	avail = vhu_guest_alloc(guest, sizeof(uint16_t) * (size + 3u), RING_ALIGN);
	used = vhu_guest_alloc(guest, sizeof(uint16_t) * 3 + size * sizeof(struct vring_used_elem),
			       RING_ALIGN);
	if (!desc.host || !avail.host || !used.host)
		return -ENOMEM;
	driver->vring = (struct vring){ size, desc.host, avail.host, used.host };
	driver->desc_gpa = desc.gpa;
	driver->avail_gpa = avail.gpa;
	driver->used_gpa = used.gpa;
	if (!driver->indirect)
		return 0;
	tables = vhu_guest_alloc(guest, size * VHU_DRIVER_TABLE * sizeof(struct vring_desc),
				 RING_ALIGN);
	if (!tables.host)
		return -ENOMEM;
	driver->tables = tables.host;
	driver->tables_gpa = tables.gpa;
	return 0;
}

static int open_fds(struct vhu_driver_split *driver)
{
	int *fds[] = { &driver->kick_fd, &driver->call_fd, &driver->err_fd };

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		*fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (*fds[i] < 0)
			return -errno;
	}
	return 0;
}

int vhu_driver_split_init(struct vhu_driver_split *driver, struct vhu_frontend *frontend,
			  uint32_t index, uint16_t size)
{
	int r;

	if (!is_pow2(size))
		return -EINVAL;
	*driver = (struct vhu_driver_split){
		.frontend = frontend,
		.index = index,
		.event_idx = frontend->acked_features & VHU_BIT(VHU_F_RING_EVENT_IDX),
		.indirect = frontend->acked_features & VHU_BIT(VHU_F_RING_INDIRECT_DESC),
		.kick_fd = -1,
		.call_fd = -1,
		.err_fd = -1,
	};
	driver->slots = calloc(size, sizeof(*driver->slots));
	r = driver->slots ? alloc_rings(driver, size) : -ENOMEM;
	if (r == 0)
		r = open_fds(driver);
	if (r < 0)
		vhu_driver_split_finish(driver);
	else
		vhu_driver_split_reset(driver);
	return r;
}

void vhu_driver_split_finish(struct vhu_driver_split *driver)
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

void vhu_driver_split_reset(struct vhu_driver_split *driver)
{
	struct vring *vring = &driver->vring;

	memset(vring->desc, 0, vring->num * sizeof(*vring->desc));
	memset(vring->avail, 0, sizeof(uint16_t) * (vring->num + 3));
	memset(vring->used, 0, sizeof(uint16_t) * 3 + vring->num * sizeof(vring->used->ring[0]));
	for (unsigned i = 0; i < vring->num; i++)
		driver->slots[i] = (struct vhu_driver_slot){ .next = (uint16_t)(i + 1) };
	driver->n_free = (uint16_t)vring->num;
	driver->free_head = 0;
	driver->base = 0;
	driver->avail_idx = 0;
	driver->published_idx = 0;
	driver->used_idx = 0;
	driver->seen_idx = 0;
}

static bool can_enable(const struct vhu_driver_split *driver)
{
	return driver->frontend->acked_features & VHU_BIT(VHU_F_PROTOCOL_FEATURES);
}

int vhu_driver_split_set_up(struct vhu_driver_split *driver)
{
	struct vhu_frontend *frontend = driver->frontend;
	struct vhu_vring_addr addr = {
		.index = driver->index,
		.desc_uaddr = vhu_guest_uaddr(&frontend->guest, driver->desc_gpa),
		.avail_uaddr = vhu_guest_uaddr(&frontend->guest, driver->avail_gpa),
		.used_uaddr = vhu_guest_uaddr(&frontend->guest, driver->used_gpa),
	};
	uint32_t index = driver->index;
	int r;

	r = vhu_frontend_set_vring_fd(frontend, VHU_SET_VRING_CALL, index, driver->call_fd);
	if (r == 0)
		r = vhu_frontend_set_vring_fd(frontend, VHU_SET_VRING_ERR, index, driver->err_fd);
	if (r == 0)
		r = vhu_frontend_set_vring(frontend, VHU_SET_VRING_NUM, index, driver->vring.num);
	if (r == 0)
		r = vhu_frontend_set_vring(frontend, VHU_SET_VRING_BASE, index, driver->base);
	if (r == 0)
		r = vhu_frontend_set_vring_addr(frontend, &addr);
	if (r == 0)
		r = vhu_frontend_set_vring_fd(frontend, VHU_SET_VRING_KICK, index,
					      driver->kick_fd);
	return r;
}

int vhu_driver_split_start(struct vhu_driver_split *driver)
{
	int r = vhu_driver_split_set_up(driver);

	if (r == 0 && can_enable(driver))
		r = vhu_frontend_set_vring(driver->frontend, VHU_SET_VRING_ENABLE, driver->index,
					   1);
	return r;
}

int vhu_driver_split_stop(struct vhu_driver_split *driver)
{
	uint32_t base;
	int r = 0;

	if (can_enable(driver))
		r = vhu_frontend_set_vring(driver->frontend, VHU_SET_VRING_ENABLE, driver->index,
					   0);
	if (r == 0)
		r = vhu_frontend_get_vring_base(driver->frontend, driver->index, &base);
	if (r == 0)
		driver->base = (uint16_t)base;
	return r;
}

static void write_desc(struct vring_desc *desc, const struct vhu_guest_buffer *buffer,
		       uint16_t flags, uint16_t next)
{
	desc->addr = htole64(buffer->gpa);
	desc->len = htole32(buffer->len);
	desc->flags = htole16(flags);
	desc->next = htole16(next);
}

static uint16_t flags_of(unsigned i, unsigned n_readable, unsigned n)
{
	return (uint16_t)((i >= n_readable ? VRING_DESC_F_WRITE : 0) |
			  (i + 1 < n ? VRING_DESC_F_NEXT : 0));
}

struct vring_desc *vhu_driver_split_table(struct vhu_driver_split *driver, uint16_t head)
{
	return driver->tables + (size_t)head * VHU_DRIVER_TABLE;
}

static void write_indirect(struct vhu_driver_split *driver,
			   const struct vhu_guest_buffer *buffers, unsigned n_readable, unsigned n)
{
	uint16_t head = driver->free_head;
	struct vring_desc *table = vhu_driver_split_table(driver, head);
	struct vhu_guest_buffer whole = {
		.gpa = driver->tables_gpa + (uint64_t)head * VHU_DRIVER_TABLE * sizeof(*table),
		.len = (uint32_t)(n * sizeof(*table)),
	};

	for (unsigned i = 0; i < n; i++)
		write_desc(&table[i], &buffers[i], flags_of(i, n_readable, n), (uint16_t)(i + 1));
	write_desc(&driver->vring.desc[head], &whole, VRING_DESC_F_INDIRECT, 0);
	driver->free_head = driver->slots[head].next;
}

static void write_direct(struct vhu_driver_split *driver, const struct vhu_guest_buffer *buffers,
			 unsigned n_readable, unsigned n)
{
	uint16_t at = driver->free_head;

	for (unsigned i = 0; i < n; i++) {
		uint16_t next = driver->slots[at].next;

		write_desc(&driver->vring.desc[at], &buffers[i], flags_of(i, n_readable, n),
			   i + 1 < n ? next : 0);
		at = next;
	}
	driver->free_head = at;
}

static void make_available(struct vhu_driver_split *driver, uint16_t head)
{
	driver->vring.avail->ring[slot_of(driver, driver->avail_idx)] = htole16(head);
	driver->avail_idx++;
}

int vhu_driver_split_add(struct vhu_driver_split *driver, const struct vhu_guest_buffer *buffers,
			 unsigned n_readable, unsigned n_writable, uint64_t token)
{
	unsigned n = n_readable + n_writable;
	bool indirect = driver->indirect && n > 1 && n <= VHU_DRIVER_TABLE;
	unsigned cost = indirect ? 1 : n;
	uint16_t head = driver->free_head;

	if (n == 0)
		return -EINVAL;
	if (cost > driver->n_free)
		return -ENOSPC;
	if (indirect)
		write_indirect(driver, buffers, n_readable, n);
	else
		write_direct(driver, buffers, n_readable, n);
	driver->n_free -= (uint16_t)cost;
	driver->slots[head].token = token;
	driver->slots[head].n_descriptors = (uint16_t)cost;
	driver->slots[head].in_flight = true;
	make_available(driver, head);
	return head;
}

void vhu_driver_split_add_head(struct vhu_driver_split *driver, uint16_t head, uint64_t token)
{
	if (head < driver->vring.num && !driver->slots[head].in_flight) {
		driver->slots[head].token = token;
		driver->slots[head].n_descriptors = 0;
		driver->slots[head].in_flight = true;
	}
	make_available(driver, head);
}

void vhu_driver_split_publish(struct vhu_driver_split *driver)
{
	driver->published_idx = driver->avail_idx;
	vhu_store_release_le16(&driver->vring.avail->idx, driver->avail_idx);
}

int vhu_driver_split_kick(struct vhu_driver_split *driver)
{
	static const uint64_t one = 1;
	uint16_t before = driver->published_idx;
	bool wanted;

	vhu_driver_split_publish(driver);
	vhu_full_barrier();
	if (driver->event_idx)
		wanted = vring_need_event(vhu_load_le16(&vring_avail_event(&driver->vring)),
					  driver->published_idx, before);
	else
		wanted = !(vhu_load_le16(&driver->vring.used->flags) & VRING_USED_F_NO_NOTIFY);
	if (!wanted)
		return 0;
	driver->n_kicks++;
	/* A full counter is a kick that nobody has looked at yet. */
	if (write(driver->kick_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		return -errno;
	return 1;
}

/* Gives the chain's descriptors back to the list of free ones. */
static void free_chain(struct vhu_driver_split *driver, uint16_t head)
{
	struct vhu_driver_slot *slots = driver->slots;
	uint16_t n = slots[head].n_descriptors;
	uint16_t last = head;

	slots[head].in_flight = false;
	if (n == 0)
		return;
	for (uint16_t i = 1; i < n; i++)
		last = slots[last].next;
	slots[last].next = driver->free_head;
	driver->free_head = head;
	driver->n_free += n;
}

int vhu_driver_split_get(struct vhu_driver_split *driver, struct vhu_driver_used *ret_used)
{
	const struct vring_used_elem *elem;
	uint32_t id;

	if (driver->seen_idx == driver->used_idx) {
		driver->seen_idx = vhu_load_acquire_le16(&driver->vring.used->idx);
		if (driver->seen_idx == driver->used_idx)
			return 0;
		if ((uint16_t)(driver->seen_idx - driver->used_idx) >
		    (uint16_t)(driver->published_idx - driver->used_idx))
			return -EPROTO;
	}
	elem = &driver->vring.used->ring[slot_of(driver, driver->used_idx)];
	id = le32toh(elem->id);
	if (id >= driver->vring.num || !driver->slots[id].in_flight)
		return -EPROTO;
	*ret_used = (struct vhu_driver_used){
		.token = driver->slots[id].token,
		.len = le32toh(elem->len),
		.head = (uint16_t)id,
	};
	driver->used_idx++;
	free_chain(driver, (uint16_t)id);
	return 1;
}

bool vhu_driver_split_want_call(struct vhu_driver_split *driver)
{
	if (driver->event_idx)
		vhu_store_le16(&vring_used_event(&driver->vring), driver->used_idx);
	else
		vhu_store_le16(&driver->vring.avail->flags, 0);
	vhu_full_barrier();
	return vhu_load_acquire_le16(&driver->vring.used->idx) != driver->used_idx;
}

void vhu_driver_split_refuse_calls(struct vhu_driver_split *driver)
{
	if (driver->event_idx)
		vhu_store_le16(&vring_used_event(&driver->vring), (uint16_t)(driver->used_idx - 1));
	else
		vhu_store_le16(&driver->vring.avail->flags, VRING_AVAIL_F_NO_INTERRUPT);
}

uint64_t vhu_driver_split_count_calls(struct vhu_driver_split *driver)
{
	struct pollfd pollfd = { .fd = driver->call_fd, .events = POLLIN };
	uint64_t n;

	/* Also right when the caller has made the fd a blocking one. */
	if (poll(&pollfd, 1, 0) > 0 && read(driver->call_fd, &n, sizeof(n)) == sizeof(n))
		driver->n_calls += n;
	return driver->n_calls;
}

/* Up to timeout_ns for a call; 0 also when there was none. */
static int sleep_for_call(struct vhu_driver_split *driver, uint64_t timeout_ns)
{
	enum { CALL, ERR, SOCKET };
	struct pollfd pollfds[] = {
		[CALL] = { .fd = driver->call_fd, .events = POLLIN },
		[ERR] = { .fd = driver->err_fd, .events = POLLIN },
		[SOCKET] = { .fd = driver->frontend->fd, .events = POLLRDHUP },
	};
	struct timespec timeout = {
		.tv_sec = (time_t)(timeout_ns / NS_PER_SEC),
		.tv_nsec = (long)(timeout_ns % NS_PER_SEC),
	};

	if (ppoll(pollfds, ARRAY_SIZE(pollfds), &timeout, NULL) < 0)
		return errno == EINTR ? 0 : -errno;
	if (pollfds[CALL].revents) {
		vhu_driver_split_count_calls(driver);
		return 0;
	}
	if (pollfds[ERR].revents) {
		vhu_fd_drain(driver->err_fd);
		return -EIO;
	}
	return pollfds[SOCKET].revents ? -ECONNRESET : 0;
}

static void spin(const struct vhu_driver_split *driver, uint64_t until_ns)
{
	do {
		for (unsigned i = 0; i < SPINS; i++) {
			if (vhu_load_le16(&driver->vring.used->idx) != driver->used_idx)
				return;
#if defined(__x86_64__) || defined(__i386__)
			__builtin_ia32_pause();
#endif
		}
	} while (vhu_now_ns() < until_ns);
}

/* Until there is a used entry, or something that says there will be none. */
static int wait_for_used(struct vhu_driver_split *driver, uint64_t deadline_ns)
{
	uint64_t now_ns = vhu_now_ns();

	if (now_ns >= deadline_ns)
		return -ETIMEDOUT;
	if (!driver->busy)
		return vhu_driver_split_want_call(driver)
			       ? 0
			       : sleep_for_call(driver, deadline_ns - now_ns);
	spin(driver, min_u64(deadline_ns, now_ns + SPIN_NS));
	if (vhu_load_le16(&driver->vring.used->idx) != driver->used_idx)
		return 0;
	return sleep_for_call(driver, 0);
}

int vhu_driver_split_wait(struct vhu_driver_split *driver, struct vhu_driver_used *ret_used)
{
	uint64_t deadline_ns = 0;
	int r;

	while ((r = vhu_driver_split_get(driver, ret_used)) == 0) {
		if (!deadline_ns)
			deadline_ns = vhu_now_ns() +
				      (uint64_t)driver->frontend->timeout_ms * NS_PER_MS;
		r = wait_for_used(driver, deadline_ns);
		if (r < 0)
			return r;
	}
	return r < 0 ? r : 0;
}

int vhu_driver_split_run(struct vhu_driver_split *driver, const struct vhu_guest_buffer *buffers,
			 unsigned n_readable, unsigned n_writable, uint32_t *ret_len)
{
	struct vhu_driver_used used;
	int head = vhu_driver_split_add(driver, buffers, n_readable, n_writable, 0);
	int r;

	if (head < 0)
		return head;
	r = vhu_driver_split_kick(driver);
	if (r < 0)
		return r;
	r = vhu_driver_split_wait(driver, &used);
	if (r < 0)
		return r;
	if (used.head != head)
		return -EPROTO;
	if (ret_len)
		*ret_len = used.len;
	return 0;
}
