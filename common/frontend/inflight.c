/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "common/base/cleanup.h"
#include "common/base/num.h"
#include "common/frontend/inflight.h"

/* Takes fd. */
static int map_record(const struct vhu_inflight *wire, int fd, struct vhu_record *ret_record)
{
	cleanup_fd int owned = fd;
	struct stat st;
	void *host;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (wire->mmap_size == 0 ||
	    !range_fits(wire->mmap_offset, wire->mmap_size, (uint64_t)st.st_size))
		return -EPROTO;
	host = mmap(NULL, wire->mmap_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		    (off_t)wire->mmap_offset);
	if (host == MAP_FAILED)
		return -errno;
	*ret_record = (struct vhu_record){ *wire, steal_fd(&owned), host };
	ret_record->wire.padding = 0;
	return 0;
}

/*
 * With the padding of the C structure, as all front-ends send it, though the specification draws
 * it without: there are back-ends that take nothing else.
 */
int vhu_frontend_get_record(struct vhu_frontend *frontend, uint16_t n_queues, uint16_t queue_size,
			    struct vhu_record *ret_record)
{
	struct vhu_inflight asked = { .n_queues = n_queues, .queue_size = queue_size };
	struct vhu_message reply;
	int r = vhu_frontend_call(frontend, VHU_GET_INFLIGHT_FD, &asked, sizeof(asked), NULL, 0,
				  &reply);

	if (r < 0)
		return r;
	if (reply.header.size < VHU_INFLIGHT_SIZE || reply.n_fds != 1 ||
	    reply.payload.inflight.n_queues != n_queues ||
	    reply.payload.inflight.queue_size != queue_size)
		r = -EPROTO;
	else
		r = map_record(&reply.payload.inflight, vhu_message_steal_fd(&reply, 0),
			       ret_record);
	vhu_message_finish(&reply);
	return r;
}

int vhu_frontend_set_record(struct vhu_frontend *frontend, const struct vhu_record *record)
{
	return vhu_frontend_call(frontend, VHU_SET_INFLIGHT_FD, &record->wire, sizeof(record->wire),
				 &record->fd, 1, NULL);
}

void vhu_record_finish(struct vhu_record *record)
{
	if (!record->host)
		return;
	munmap(record->host, record->wire.mmap_size);
	close_fd(&record->fd);
	record->host = NULL;
}

/* No sentence says where a region begins, but that they are alike and follow each other. */
void *vhu_record_queue(const struct vhu_record *record, unsigned queue)
{
	return record->host + record->wire.mmap_size / record->wire.n_queues * queue;
}

unsigned vhu_record_count_split(const struct vhu_record_split *region)
{
	unsigned n = 0;

	for (unsigned i = 0; i < region->desc_num; i++)
		n += region->desc[i].inflight != 0;
	return n;
}

unsigned vhu_record_count_packed(const struct vhu_record_packed *region)
{
	unsigned n = 0;

	for (unsigned i = 0; i < region->desc_num; i++)
		n += region->desc[i].inflight != 0;
	return n;
}
