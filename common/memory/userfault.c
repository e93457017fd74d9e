/* SPDX-License-Identifier: BSD-3-Clause */
#include "common/memory/userfault.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/cleanup.h"

static pthread_once_t asked = PTHREAD_ONCE_INIT;
static int device_fd = -1; /* /dev/userfaultfd, for life */
static bool available;

/*
 * Never with UFFD_USER_MODE_ONLY: a read from the disk into a missing page would fail. Without that
 * flag the system call is for the privileged, unless vm.unprivileged_userfaultfd says otherwise;
 * the device is for who may open it. The front-end polls, which wants O_NONBLOCK.
 */
static int new_userfaultfd(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	cleanup_fd int fd = -1;

	if (device_fd >= 0)
		fd = ioctl(device_fd, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) < 0)
		return -errno;
	if (!(api.features & UFFD_FEATURE_MISSING_SHMEM))
		return -EOPNOTSUPP;
	return steal_fd(&fd);
}

static void ask(void)
{
	cleanup_fd int fd = -1;

	device_fd = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	fd = new_userfaultfd();
	available = fd >= 0;
	if (!available)
		close_fd(&device_fd);
}

bool vhu_userfault_available(void)
{
	pthread_once(&asked, ask);
	return available;
}

int vhu_userfault_open(struct vhu_userfault *userfault)
{
	cleanup_fd int empty_fd = memfd_create("vhu-empty", MFD_CLOEXEC);
	int fd;

	if (empty_fd < 0)
		return -errno;
	if (!vhu_userfault_available())
		return -EOPNOTSUPP;
	fd = new_userfaultfd();
	if (fd < 0)
		return fd;
	*userfault = (struct vhu_userfault){ .fd = fd, .empty_fd = steal_fd(&empty_fd) };
	return 0;
}

void vhu_userfault_close(struct vhu_userfault *userfault)
{
	close_fd(&userfault->fd);
	close_fd(&userfault->empty_fd);
}

static struct uffdio_range range_of(const struct vhu_mapping *mapping)
{
	return (struct uffdio_range){
		.start = (uintptr_t)mapping->base,
		.len = mapping->len_bytes,
	};
}

int vhu_userfault_register(const struct vhu_userfault *userfault, struct vhu_memory *memory)
{
	atomic_store(&memory->health->partial, true);
	for (unsigned i = 0; i < memory->n_slots; i++) {
		const struct vhu_mapping *mapping = memory->by_gpa[i].mapping;
		struct uffdio_register reg = {
			.range = range_of(mapping),
			.mode = UFFDIO_REGISTER_MODE_MISSING,
		};

		/* A huge page would be there as a whole though parts of it have not come. */
		madvise(mapping->base, mapping->len_bytes, MADV_NOHUGEPAGE);
		if (ioctl(userfault->fd, UFFDIO_REGISTER, &reg) < 0)
			return -errno;
	}
	return 0;
}

void vhu_userfault_unregister(const struct vhu_userfault *userfault, struct vhu_memory *memory)
{
	for (unsigned i = 0; i < memory->n_slots; i++) {
		struct uffdio_range range = range_of(memory->by_gpa[i].mapping);

		ioctl(userfault->fd, UFFDIO_UNREGISTER, &range);
	}
	atomic_store(&memory->health->partial, false);
}

/*
 * Behind the end of its file there is nothing to be had from a mapping: SIGBUS, and EFAULT from the
 * kernel. Putting such a one in place is one step and does not depend on how much is missing.
 */
static void empty(const struct vhu_mapping *mapping, int empty_fd)
{
	/* Not the library's mmap(): ThreadSanitizer has it race with who touches the range. */
	long r = syscall(SYS_mmap, mapping->base, mapping->len_bytes, PROT_READ | PROT_WRITE,
			 MAP_FIXED | MAP_SHARED | MAP_NORESERVE, empty_fd, 0L);

	/* Rather no program than zeros. */
	if (r == -1)
		mprotect(mapping->base, mapping->len_bytes, PROT_NONE);
}

void vhu_userfault_abandon(const struct vhu_userfault *userfault, struct vhu_memory *memory)
{
	vhu_memory_note_fault(memory);
	for (unsigned i = 0; i < memory->n_slots; i++) {
		struct uffdio_range range = range_of(memory->by_gpa[i].mapping);

		empty(memory->by_gpa[i].mapping, userfault->empty_fd);
		/* They try again, and meet what is there now. */
		ioctl(userfault->fd, UFFDIO_WAKE, &range);
	}
}
