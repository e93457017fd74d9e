/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/fd.h"
#include "common/base/num.h"
#include "common/frontend/postcopy.h"

#define PAGE 4096u

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

struct vhu_frontend_area {
	const struct vhu_guest_region *region;
	uint64_t base; /* where the back-end has mapped it */
	char *source;  /* what is to come */
	bool *missing; /* by page */
};

static int init_area(struct vhu_frontend_postcopy *postcopy, unsigned i)
{
	struct vhu_frontend_area *area = &postcopy->areas[i];

	area->region = &postcopy->frontend->guest.regions[i];
	area->source = malloc(area->region->wire.size);
	area->missing = calloc(area->region->wire.size / PAGE + 1, sizeof(*area->missing));
	return area->source && area->missing ? 0 : -ENOMEM;
}

/* Only what this process does itself faults on it: no privilege is needed. */
static int open_own(struct vhu_frontend_postcopy *postcopy)
{
	struct uffdio_api api = { .api = UFFD_API };
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);

	if (fd < 0)
		return -errno;
	postcopy->own_fd = fd;
	return ioctl(fd, UFFDIO_API, &api) < 0 ? -errno : 0;
}

/* From now on what we touch ourselves faults, too. */
static int watch_own(struct vhu_frontend_postcopy *postcopy)
{
	for (unsigned i = 0; i < postcopy->n_areas; i++) {
		const struct vhu_guest_region *region = postcopy->areas[i].region;
		struct uffdio_register range = {
			.range = { (uintptr_t)region->host, region->wire.size },
			.mode = UFFDIO_REGISTER_MODE_MISSING,
		};

		if (ioctl(postcopy->own_fd, UFFDIO_REGISTER, &range) < 0)
			return -errno;
	}
	return 0;
}

int vhu_frontend_postcopy_init(struct vhu_frontend_postcopy *postcopy,
			       struct vhu_frontend *frontend)
{
	unsigned n = frontend->guest.n_regions;
	int r;

	*postcopy = (struct vhu_frontend_postcopy){
		.frontend = frontend,
		.backend_fd = -1,
		.own_fd = -1,
		.stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		.n_areas = n,
		.areas = calloc(n + 1, sizeof(*postcopy->areas)),
	};
	pthread_mutex_init(&postcopy->lock, NULL);
	r = postcopy->stop_fd >= 0 && postcopy->areas ? open_own(postcopy) : -ENOMEM;
	for (unsigned i = 0; i < n && r == 0; i++)
		r = init_area(postcopy, i);
	if (r < 0)
		vhu_frontend_postcopy_finish(postcopy);
	return r;
}

static void stop_serving(struct vhu_frontend_postcopy *postcopy)
{
	if (!postcopy->running)
		return;
	vhu_fd_signal(postcopy->stop_fd);
	pthread_join(postcopy->thread, NULL);
	postcopy->running = false;
}

void vhu_frontend_postcopy_finish(struct vhu_frontend_postcopy *postcopy)
{
	if (!postcopy->frontend)
		return;
	stop_serving(postcopy);
	close_fd(&postcopy->backend_fd);
	close_fd(&postcopy->own_fd);
	close_fd(&postcopy->stop_fd);
	for (unsigned i = 0; postcopy->areas && i < postcopy->n_areas; i++) {
		free(postcopy->areas[i].source);
		free(postcopy->areas[i].missing);
	}
	free(postcopy->areas);
	pthread_mutex_destroy(&postcopy->lock);
	postcopy->frontend = NULL;
}

int vhu_frontend_postcopy_advise(struct vhu_frontend_postcopy *postcopy)
{
	struct vhu_message reply;
	int r = vhu_frontend_call(postcopy->frontend, VHU_POSTCOPY_ADVISE, NULL, 0, NULL, 0,
				  &reply);

	if (r < 0)
		return r;
	if (reply.header.size || reply.n_fds != 1) {
		r = -EPROTO;
	} else {
		postcopy->backend_fd = vhu_message_steal_fd(&reply, 0);
		r = vhu_fd_set_nonblock(postcopy->backend_fd, true);
	}
	vhu_message_finish(&reply);
	return r;
}

int vhu_frontend_postcopy_listen(struct vhu_frontend_postcopy *postcopy)
{
	return vhu_frontend_tell(postcopy->frontend, VHU_POSTCOPY_LISTEN);
}

static struct vhu_frontend_area *area_at(const struct vhu_frontend_postcopy *postcopy, uint64_t gpa,
					 uint64_t size)
{
	for (unsigned i = 0; i < postcopy->n_areas; i++) {
		const struct vhu_wire_region *wire = &postcopy->areas[i].region->wire;

		if (gpa >= wire->gpa && range_fits(gpa - wire->gpa, size, wire->size))
			return &postcopy->areas[i];
	}
	return NULL;
}

int vhu_frontend_postcopy_take_out(struct vhu_frontend_postcopy *postcopy, uint64_t gpa,
				   uint64_t size)
{
	struct vhu_frontend_area *area = area_at(postcopy, gpa, size);
	uint64_t offset, file_offset;

	if (!area || (gpa - area->region->wire.gpa) % PAGE || size % PAGE)
		return -EINVAL;
	offset = gpa - area->region->wire.gpa;
	file_offset = area->region->wire.mmap_offset + offset;
	if (pread(area->region->fd, area->source + offset, size, (off_t)file_offset) !=
	    (ssize_t)size)
		return -EIO;
	for (uint64_t i = 0; i < size / PAGE; i++)
		area->missing[offset / PAGE + i] = true;
	return fallocate(area->region->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			 (off_t)file_offset, (off_t)size) < 0
		       ? -errno
		       : 0;
}

static void wake(int fd, uint64_t address)
{
	struct uffdio_range range = { .start = address, .len = PAGE };

	/* Nobody waits there: that is fine. */
	if (fd >= 0)
		ioctl(fd, UFFDIO_WAKE, &range);
}

/* A page in the file cannot be seen half written: faults on it wait for the write. */
static int bring(struct vhu_frontend_postcopy *postcopy, struct vhu_frontend_area *area,
		 uint64_t offset)
{
	const struct vhu_guest_region *region = area->region;
	off_t at = (off_t)(region->wire.mmap_offset + offset);
	int r = 0;

	pthread_mutex_lock(&postcopy->lock);
	if (area->missing[offset / PAGE]) {
		if (pwrite(region->fd, area->source + offset, PAGE, at) != PAGE)
			r = -EIO;
		area->missing[offset / PAGE] = false;
	} else if (fallocate(region->fd, FALLOC_FL_KEEP_SIZE, at, PAGE) < 0) {
		/* One that nobody ever wrote to is of zeros; one that is there stays. */
		r = -errno;
	}
	pthread_mutex_unlock(&postcopy->lock);
	wake(postcopy->own_fd, (uintptr_t)region->host + offset);
	if (area->base)
		wake(postcopy->backend_fd, area->base + offset);
	return r;
}

/* With the page there already, only where it is watched is it found to be. */
int vhu_frontend_postcopy_probe(struct vhu_frontend_postcopy *postcopy)
{
	int r = 0;

	for (unsigned i = 0; i < postcopy->n_areas && r == 0; i++) {
		struct vhu_frontend_area *area = &postcopy->areas[i];
		uint64_t last = (area->region->wire.size - 1) & ~(uint64_t)(PAGE - 1);
		struct uffdio_zeropage zero = { .range = { area->base + last, PAGE } };

		r = bring(postcopy, area, last);
		if (r == 0 && ioctl(postcopy->backend_fd, UFFDIO_ZEROPAGE, &zero) < 0)
			r = errno == EEXIST ? 0 : -errno;
	}
	return r;
}

uint64_t vhu_frontend_postcopy_base(const struct vhu_frontend_postcopy *postcopy)
{
	return postcopy->areas[0].base;
}

bool vhu_frontend_postcopy_has(struct vhu_frontend_postcopy *postcopy, uint64_t gpa)
{
	struct vhu_frontend_area *area = area_at(postcopy, gpa, 1);
	bool has;

	pthread_mutex_lock(&postcopy->lock);
	has = area && !area->missing[(gpa - area->region->wire.gpa) / PAGE];
	pthread_mutex_unlock(&postcopy->lock);
	return has;
}

int vhu_frontend_postcopy_push(struct vhu_frontend_postcopy *postcopy)
{
	int r = 0;

	for (unsigned i = 0; i < postcopy->n_areas && r == 0; i++) {
		struct vhu_frontend_area *area = &postcopy->areas[i];

		for (uint64_t at = 0; at + PAGE <= area->region->wire.size && r == 0; at += PAGE)
			r = bring(postcopy, area, at);
	}
	return r;
}

static void wait_while_held(struct vhu_frontend_postcopy *postcopy)
{
	struct pollfd stop = { .fd = postcopy->stop_fd, .events = POLLIN };

	while (atomic_load(&postcopy->hold) && poll(&stop, 1, 1) == 0)
		;
}

static void serve_fault(struct vhu_frontend_postcopy *postcopy, int fd)
{
	bool theirs = fd == postcopy->backend_fd;
	struct uffd_msg message;

	if (read(fd, &message, sizeof(message)) != sizeof(message) ||
	    message.event != UFFD_EVENT_PAGEFAULT)
		return;
	if (theirs) {
		atomic_fetch_add(&postcopy->n_faults, 1);
		wait_while_held(postcopy);
		/* Stopped: it is not to be served at all. */
		if (atomic_load(&postcopy->hold))
			return;
	}
	for (unsigned i = 0; i < postcopy->n_areas; i++) {
		struct vhu_frontend_area *area = &postcopy->areas[i];
		uint64_t base = theirs ? area->base : (uintptr_t)area->region->host;
		uint64_t offset = message.arg.pagefault.address - base;

		if (offset < area->region->wire.size)
			bring(postcopy, area, offset & ~(uint64_t)(PAGE - 1));
	}
}

static void *serve(void *data)
{
	struct vhu_frontend_postcopy *postcopy = data;
	struct pollfd pollfds[] = {
		{ .fd = postcopy->stop_fd, .events = POLLIN },
		{ .fd = postcopy->own_fd, .events = POLLIN },
		{ .fd = postcopy->backend_fd, .events = POLLIN },
	};

	while (poll(pollfds, ARRAY_SIZE(pollfds), -1) >= 0 || errno == EINTR) {
		if (pollfds[0].revents)
			break;
		for (int i = 1; i < 3; i++)
			if (pollfds[i].revents & POLLIN)
				serve_fault(postcopy, pollfds[i].fd);
			else if (pollfds[i].revents)
				pollfds[i].fd = -1;
	}
	return NULL;
}

/* Sends what has bases as its answer, and receives them. */
static int exchange(struct vhu_frontend *frontend, uint32_t request, const void *payload,
		    uint32_t size, const int *fds, unsigned n_fds, union vhu_payload *ret_reply)
{
	struct vhu_message reply;
	int r = vhu_message_send(frontend->fd, request, VHU_VERSION, payload, size, fds, n_fds,
				 frontend->timeout_ms);

	if (r == 0)
		r = vhu_frontend_receive(frontend, &reply);
	if (r < 0)
		return r;
	if (reply.header.request != request || reply.header.size != size ||
	    reply.header.flags != (VHU_VERSION | VHU_FLAG_REPLY) || reply.n_fds)
		r = -EPROTO;
	else
		*ret_reply = reply.payload;
	vhu_message_finish(&reply);
	return r;
}

static int take_base(struct vhu_frontend_area *area, const struct vhu_wire_region *answer)
{
	const struct vhu_wire_region *told = &area->region->wire;

	if (answer->gpa != told->gpa || answer->size != told->size || !answer->uaddr)
		return -EPROTO;
	area->base = answer->uaddr;
	return 0;
}

static int share_slots(struct vhu_frontend_postcopy *postcopy)
{
	int r = 0;

	for (unsigned i = 0; i < postcopy->n_areas && r == 0; i++) {
		struct vhu_frontend_area *area = &postcopy->areas[i];
		struct vhu_single_region single = { .region = area->region->wire };
		union vhu_payload reply;

		r = exchange(postcopy->frontend, VHU_ADD_MEM_REG, &single, sizeof(single),
			     &area->region->fd, 1, &reply);
		if (r == 0)
			r = take_base(area, &reply.region.region);
	}
	return r;
}

static int share_table(struct vhu_frontend_postcopy *postcopy)
{
	struct vhu_mem_table table = { .n_regions = postcopy->n_areas };
	int fds[VHU_MEM_TABLE_MAX];
	union vhu_payload reply;
	int r;

	if (postcopy->n_areas > VHU_MEM_TABLE_MAX)
		return -E2BIG;
	for (unsigned i = 0; i < postcopy->n_areas; i++) {
		table.regions[i] = postcopy->areas[i].region->wire;
		fds[i] = postcopy->areas[i].region->fd;
	}
	r = exchange(postcopy->frontend, VHU_SET_MEM_TABLE, &table,
		     (uint32_t)offsetof(struct vhu_mem_table, regions[table.n_regions]), fds,
		     table.n_regions, &reply);
	if (r == 0 && reply.mem_table.n_regions != table.n_regions)
		r = -EPROTO;
	for (unsigned i = 0; i < postcopy->n_areas && r == 0; i++)
		r = take_base(&postcopy->areas[i], &reply.mem_table.regions[i]);
	return r;
}

static bool uses_slots(const struct vhu_frontend_postcopy *postcopy)
{
	return vhu_frontend_acked(postcopy->frontend, VHU_PROTOCOL_F_CONFIGURE_MEM_SLOTS);
}

int vhu_frontend_postcopy_map(struct vhu_frontend_postcopy *postcopy)
{
	int r = uses_slots(postcopy) ? share_slots(postcopy) : share_table(postcopy);

	if (r == 0)
		r = watch_own(postcopy);
	if (r == 0)
		r = -pthread_create(&postcopy->thread, NULL, serve, postcopy);
	postcopy->running = r == 0;
	return r;
}

int vhu_frontend_postcopy_ack(struct vhu_frontend_postcopy *postcopy)
{
	static const uint64_t ok;
	uint32_t request = uses_slots(postcopy) ? VHU_ADD_MEM_REG : VHU_SET_MEM_TABLE;

	return vhu_message_send(postcopy->frontend->fd, request, VHU_VERSION, &ok, sizeof(ok), NULL,
				0, postcopy->frontend->timeout_ms);
}

int vhu_frontend_postcopy_share(struct vhu_frontend_postcopy *postcopy)
{
	int r = vhu_frontend_postcopy_map(postcopy);

	return r < 0 ? r : vhu_frontend_postcopy_ack(postcopy);
}

int vhu_frontend_postcopy_end(struct vhu_frontend_postcopy *postcopy)
{
	uint64_t value;
	int r;

	stop_serving(postcopy);
	/* Who waits in this process wakes up. */
	close_fd(&postcopy->own_fd);
	r = vhu_frontend_ask_u64(postcopy->frontend, VHU_POSTCOPY_END, &value);
	close_fd(&postcopy->backend_fd);
	return r == 0 && value ? -EREMOTEIO : r;
}
