/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_FRONTEND_POSTCOPY_H
#define VHU_FRONTEND_POSTCOPY_H

/*
 * The destination of a postcopy migration (vhost-user, Migration): guest memory that has yet to
 * come, and a thread that brings a page when somebody touches it. In order:
 *
 *   init, advise        the back-end's userfaultfd
 *   take_out            these pages are on the source from now on
 *   listen, share       memory is mapped there, faults are served from now on
 *   ...                 rings run; now we may touch missing pages too, in the guest's mapping
 *   push, end           the rest comes, then it is over
 *
 * Pages are put into the shared file and the waiters woken, which is how QEMU does it.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/frontend/frontend.h"

struct vhu_frontend_area;

struct vhu_frontend_postcopy {
	struct vhu_frontend *frontend; /* borrowed */
	int backend_fd, own_fd;	       /* userfaultfds, owned */
	int stop_fd;
	bool running;
	pthread_t thread;
	pthread_mutex_t lock; /* of the areas' pages */
	unsigned n_areas;
	struct vhu_frontend_area *areas; /* one a region of the guest */
	atomic_bool hold;		 /* no fault is served; the caller's */
	atomic_uint n_faults;		 /* of the back-end */
};

/* For the guest's regions as they are now. -EPERM and the like: no userfaultfd can be had here. */
int vhu_frontend_postcopy_init(struct vhu_frontend_postcopy *postcopy,
			       struct vhu_frontend *frontend);
/* Also in the middle of it, when faults are left unserved for ever; also of zeros. */
void vhu_frontend_postcopy_finish(struct vhu_frontend_postcopy *postcopy);

/* POSTCOPY_ADVISE. -EPROTO: no userfaultfd, or a payload with it. */
int vhu_frontend_postcopy_advise(struct vhu_frontend_postcopy *postcopy);
/* Whole pages of one region, which are read before they go. */
int vhu_frontend_postcopy_take_out(struct vhu_frontend_postcopy *postcopy, uint64_t gpa,
				   uint64_t size);
/* POSTCOPY_LISTEN. */
int vhu_frontend_postcopy_listen(struct vhu_frontend_postcopy *postcopy);
/*
 * ADD_MEM_REG for each region, or SET_MEM_TABLE, without need_reply; reads the bases, serves from
 * now on, and sends the ack. -EPROTO: the answer is not the region that was told.
 */
int vhu_frontend_postcopy_share(struct vhu_frontend_postcopy *postcopy);
/* The same in two steps: there may be no fault before the ack. */
int vhu_frontend_postcopy_map(struct vhu_frontend_postcopy *postcopy);
int vhu_frontend_postcopy_ack(struct vhu_frontend_postcopy *postcopy);
/*
 * After the ack: 0 when the back-end's userfaultfd watches memory at the bases that it told,
 * -ENOENT when there is none. It brings the last page of each region.
 */
int vhu_frontend_postcopy_probe(struct vhu_frontend_postcopy *postcopy);
/* Where the back-end says that the first region is. */
uint64_t vhu_frontend_postcopy_base(const struct vhu_frontend_postcopy *postcopy);
/* Whether that page has come, be it by a fault or by push. */
bool vhu_frontend_postcopy_has(struct vhu_frontend_postcopy *postcopy, uint64_t gpa);
/* Brings all that is missing. */
int vhu_frontend_postcopy_push(struct vhu_frontend_postcopy *postcopy);
/* Serves no more, then POSTCOPY_END. */
int vhu_frontend_postcopy_end(struct vhu_frontend_postcopy *postcopy);

#endif
