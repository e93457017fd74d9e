/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhu-blk is killed under load at any instant and started again. The front-end gives the in-flight
 * record back, with a base as QEMU has it then: each write comes back once, and the image has the
 * last one of each place.
 */
#include <linux/virtio_blk.h>
#include <signal.h>
#include <string.h>

#include "common/base/fd.h"
#include "common/base/num.h"
#include "common/frontend/inflight.h"
#include "tests/device/disk.h"

#define BITS (VHU_FRONTEND_PROTOCOL_FEATURES | VHU_BIT(VHU_PROTOCOL_F_INFLIGHT_SHMFD))
#define KILLS 20
#define MOST_KILLS 200
#define PLACES 16u /* each written by one request at a time */
/* So much that the program has more to do than we. */
#define PLACE_BYTES (64u << 10)
#define MOST_US 3000
#define HELD_MS 5
#define BUSY_MS 20

struct place {
	struct vhu_guest_buffer buffers[REQUEST_BUFFERS];
	uint64_t token; /* of the request under way; 0: none */
	uint64_t last;	/* of the last one that came back */
};

static struct place places[PLACES];
static struct vhu_record record;
static uint64_t next_token;

static void write_to(struct scene *scene, unsigned i)
{
	struct place *place = &places[i];
	struct virtio_blk_outhdr header = { .type = VIRTIO_BLK_T_OUT };

	header.sector = i * PLACE_BYTES / SECTOR;
	place->token = next_token++;
	memcpy(place->buffers[0].host, &header, sizeof(header));
	fill_pattern(place->buffers[1].host, SECTOR, (uint32_t)place->token);
	*(uint8_t *)place->buffers[2].host = NO_STATUS;
	assert_true(vhu_driver_add(&scene->driver, place->buffers, 2, 1,
				   place->token * PLACES + i) >= 0);
}

/* -EPROTO from the driver: what came back was not in flight. */
static bool take_one(struct scene *scene)
{
	struct vhu_driver_used used;
	struct place *place;
	int r = vhu_driver_get(&scene->driver, &used);

	if (r == 0)
		return false;
	assert_int_equal(r, 1);
	place = &places[used.token % PLACES];
	assert_int_equal(used.token / PLACES, place->token);
	assert_int_equal(*(uint8_t *)place->buffers[2].host, VIRTIO_BLK_S_OK);
	place->last = place->token;
	place->token = 0;
	return true;
}

static void drive(struct scene *scene, uint64_t us)
{
	uint64_t end_ns = vhu_now_ns() + us * NS_PER_US;

	do {
		while (take_one(scene))
			;
		for (unsigned i = 0; i < PLACES; i++)
			if (!places[i].token)
				write_to(scene, i);
		assert_true(vhu_driver_kick(&scene->driver) >= 0);
	} while (vhu_now_ns() < end_ns);
}

static unsigned recorded(const struct scene *scene)
{
	void *region = vhu_record_queue(&record, 0);

	return scene->frontend.acked_features & VHU_BIT(VHU_F_RING_PACKED)
		       ? vhu_record_count_packed(region)
		       : vhu_record_count_split(region);
}

/* Its queue full, it goes on, and has taken some. */
static void wait_until_busy(struct scene *scene)
{
	uint64_t deadline_ns;

	kill(scene->program.pid, SIGSTOP);
	drive(scene, HELD_MS * 1000);
	kill(scene->program.pid, SIGCONT);
	deadline_ns = vhu_now_ns() + BUSY_MS * NS_PER_MS;
	while (!recorded(scene) && vhu_now_ns() < deadline_ns)
		drive(scene, 0);
}

static void kill_program(struct scene *scene)
{
	assert_int_equal(kill(scene->program.pid, SIGKILL), 0);
	assert_int_equal(program_wait(&scene->program, WAIT_MS), 128 + SIGKILL);
}

static void start_again(struct scene *scene)
{
	program_start(&scene->program, scene->target->path, scene->target->args);
	scene_negotiate_bits(scene, VHU_FRONTEND_FEATURES, BITS);
	assert_int_equal(vhu_frontend_set_record(&scene->frontend, &record), 0);
	vhu_driver_restore_base(&scene->driver);
	assert_int_equal(vhu_driver_start(&scene->driver), 0);
}

static void finish(struct scene *scene)
{
	uint64_t deadline_ns = vhu_now_ns() + WAIT_MS * NS_PER_MS;
	unsigned n = 0;

	while (n < PLACES && vhu_now_ns() < deadline_ns) {
		take_one(scene);
		for (n = 0; n < PLACES && !places[n].token; n++)
			;
	}
	assert_int_equal(n, PLACES);
	/* The driver is shown what is done before the record says so. */
	assert_int_equal(vhu_driver_stop(&scene->driver), 0);
	assert_int_equal(recorded(scene), 0);
}

static void check_image(struct scene *scene)
{
	struct disk disk;
	uint8_t sector[SECTOR];

	disk_open(&disk, scene);
	for (unsigned i = 0; i < PLACES; i++) {
		image_read(&disk, i * PLACE_BYTES, sector, sizeof(sector));
		assert_true(is_pattern(sector, sizeof(sector), (uint32_t)places[i].last));
	}
	disk_close(&disk);
}

static void make_places(struct scene *scene)
{
	static const uint32_t lengths[] = { sizeof(struct virtio_blk_outhdr), PLACE_BYTES, 1 };

	memset(places, 0, sizeof(places));
	for (unsigned i = 0; i < PLACES; i++)
		for (unsigned k = 0; k < REQUEST_BUFFERS; k++) {
			places[i].buffers[k] =
				vhu_guest_alloc(&scene->frontend.guest, lengths[k], 16);
			assert_non_null(places[i].buffers[k].host);
		}
}

static void kills_lose_nothing(void **state)
{
	struct scene *scene = *state;
	/* Kills of an idle program show nothing, but it may be all there is in copying memories. */
	bool must_find = scene->target == &sync_target;
	unsigned n_found = 0;
	uint64_t random = 1;

	next_token = 1;
	scene_negotiate_bits(scene, VHU_FRONTEND_FEATURES, BITS);
	assert_int_equal(vhu_frontend_get_record(&scene->frontend, scene->target->n_queues,
						 RING_SIZE, &record),
			 0);
	assert_int_equal(vhu_frontend_set_record(&scene->frontend, &record), 0);
	make_places(scene);
	scene_driver(scene, &scene->driver, 0);
	scene->has_driver = true;
	assert_int_equal(vhu_driver_start(&scene->driver), 0);
	for (unsigned i = 0; i < KILLS || (must_find && !n_found && i < MOST_KILLS); i++) {
		random = random * 6364136223846793005u + 1442695040888963407u;
		drive(scene, (random >> 33) % MOST_US);
		if (i % 2)
			wait_until_busy(scene);
		kill_program(scene);
		n_found += recorded(scene) > 0;
		start_again(scene);
	}
	finish(scene);
	assert_true(n_found || !must_find);
	check_image(scene);
	vhu_record_finish(&record);
}

int main(int argc, char **argv)
{
	static const struct device_test tests[] = {
		DEVICE_TEST(kills_lose_nothing, ON_IMAGE),
	};

	return run_device_tests(tests, ARRAY_SIZE(tests), argc, argv);
}
