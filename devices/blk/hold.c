/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * When others are kept away from the image: from the first start of a ring, or of the program
 * unless the disk is incoming, until the guest has gone to another machine or its front-end has
 * gone. Then the next start of a ring takes it again. So of two programs that a guest migrates
 * between only one has the image.
 */
#include "devices/blk/blk_priv.h"

/* Any worker. All rings of a run fare alike: half a disk is worse than none. */
int vhu_blk_hold(struct vhu_blk *blk)
{
	int r;

	if (blk->image.fd < 0)
		return 0;
	pthread_mutex_lock(&blk->hold_mutex);
	if (!blk->held && !blk->refused) {
		blk->refused = vhu_blk_image_take(&blk->image, true);
		blk->held = !blk->refused;
	}
	r = blk->refused;
	pthread_mutex_unlock(&blk->hold_mutex);
	return r;
}

/* No ring is at work. */
void vhu_blk_let_go(struct vhu_blk *blk)
{
	pthread_mutex_lock(&blk->hold_mutex);
	if (blk->held)
		vhu_blk_image_give_up(&blk->image);
	blk->held = false;
	pthread_mutex_unlock(&blk->hold_mutex);
}
