/* SPDX-License-Identifier: BSD-3-Clause */
/* Postcopy: all goes on while the memory comes, and nothing is made up when it does not. */
#include <endian.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/num.h"
#include "common/frontend/postcopy.h"
#include "tests/device/disk.h"

#define PAGE 4096ull

/* What the image holds, and what requests write to it: no zeros. */
#define OLD 0x5a
#define NEW 0xa5

#define N_STUCK 8u
#define STUCK_BYTES 65536u
/* Far from each other, and from where others have read: the mmap engine copies to each at once. */
#define STUCK_SECTORS ((2u << 20) / SECTOR)

/*
 * A ring, not started, and the memory of its requests; none of it is shared yet. Ends the test
 * where a userfaultfd is not to be had.
 */
static void set_up(struct scene *scene)
{
	struct vhu_frontend *frontend = &scene->frontend;

	if (scene->has_driver)
		vhu_driver_finish(&scene->driver);
	scene->has_driver = false;
	scene_connect(scene);
	assert_int_equal(vhu_frontend_negotiate(frontend,
						VHU_FRONTEND_FEATURES | scene->ring_features,
						VHU_FRONTEND_PROTOCOL_FEATURES |
							VHU_BIT(VHU_PROTOCOL_F_PAGEFAULT)),
			 0);
	if (!vhu_frontend_acked(frontend, VHU_PROTOCOL_F_PAGEFAULT) &&
	    access("/dev/userfaultfd", R_OK | W_OK))
		skip();
	assert_true(vhu_frontend_acked(frontend, VHU_PROTOCOL_F_PAGEFAULT));
	frontend->guest.regions[0].used_bytes = 0;
	scene_driver(scene, &scene->driver, 0);
	scene->has_driver = true;
	scene_buffers(scene, scene->buffers);
}

/* ADVISE and LISTEN, the guest's [gpa, gpa + len) being elsewhere. */
static void listen_without(struct scene *scene, struct vhu_frontend_postcopy *p, uint64_t gpa,
			   uint64_t len)
{
	assert_int_equal(vhu_frontend_postcopy_init(p, &scene->frontend), 0);
	assert_int_equal(vhu_frontend_postcopy_advise(p), 0);
	assert_int_equal(vhu_frontend_postcopy_take_out(p, gpa, len), 0);
	assert_int_equal(vhu_frontend_postcopy_listen(p), 0);
}

static void begin_without(struct scene *scene, struct vhu_frontend_postcopy *p, uint64_t gpa,
			  uint64_t len)
{
	listen_without(scene, p, gpa, len);
	assert_int_equal(vhu_frontend_postcopy_share(p), 0);
	assert_int_equal(vhu_driver_start(&scene->driver), 0);
}

static void begin_without_any(struct scene *scene, struct vhu_frontend_postcopy *p)
{
	begin_without(scene, p, 0, scene->frontend.guest.regions[0].wire.size);
}

static void end(struct vhu_frontend_postcopy *p)
{
	assert_int_equal(vhu_frontend_postcopy_push(p), 0);
	assert_int_equal(vhu_frontend_postcopy_end(p), 0);
	vhu_frontend_postcopy_finish(p);
}

static void requests_go_through_missing_pages(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend_postcopy p;

	set_up(scene);
	begin_without_any(scene, &p);
	for (unsigned i = 0; i < 10; i++)
		scene_io(scene, &scene->driver);
	assert_true(p.n_faults > 0);
	end(&p);
	scene_io(scene, &scene->driver);
	assert_int_equal(vhu_driver_stop(&scene->driver), 0);
	assert_int_equal(scene->driver.base, vhu_driver_idle_base(&scene->driver));
}

/* Reads and writes of data that only the front-end can bring, before and after the end. */
static void data_goes_through_missing_pages(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend_postcopy p;
	struct vhu_guest_buffer late;
	struct disk disk;
	unsigned n_faults;

	set_up(scene);
	disk_open(&disk, scene);
	fill_pattern(disk.data.host, DATA_BYTES, 1);
	late = vhu_guest_alloc(&scene->frontend.guest, DATA_BYTES, 4096);
	begin_without_any(scene, &p);

	assert_int_equal(disk_run(&disk, VIRTIO_BLK_T_OUT, 8, DATA_BYTES, 0), VIRTIO_BLK_S_OK);
	n_faults = p.n_faults;
	assert_true(n_faults >= DATA_BYTES / PAGE);
	disk.data = late;
	assert_int_equal(disk_run(&disk, VIRTIO_BLK_T_IN, 8, 0, DATA_BYTES), VIRTIO_BLK_S_OK);
	assert_true(p.n_faults >= n_faults + DATA_BYTES / PAGE);
	assert_true(is_pattern(late.host, DATA_BYTES, 1));
	end(&p);

	assert_true(is_pattern(late.host, DATA_BYTES, 1));
	fill_pattern(late.host, DATA_BYTES, 2);
	assert_int_equal(disk_run(&disk, VIRTIO_BLK_T_OUT, 8, DATA_BYTES, 0), VIRTIO_BLK_S_OK);
	memset(late.host, 0, DATA_BYTES);
	image_read(&disk, 8 * SECTOR, late.host, DATA_BYTES);
	assert_true(is_pattern(late.host, DATA_BYTES, 2));
	disk_close(&disk);
}

static void fill_image(struct disk *disk)
{
	char *block = malloc(DATA_BYTES);

	memset(block, OLD, DATA_BYTES);
	for (uint64_t at = 0; at < IMAGE_BYTES; at += DATA_BYTES)
		assert_int_equal(pwrite(disk->image_fd, block, DATA_BYTES, (off_t)at), DATA_BYTES);
	free(block);
}

static void image_is_not_made_up(struct disk *disk)
{
	uint8_t *block = malloc(DATA_BYTES);

	for (uint64_t at = 0; at < IMAGE_BYTES; at += DATA_BYTES) {
		image_read(disk, at, block, DATA_BYTES);
		for (unsigned i = 0; i < DATA_BYTES; i++)
			if (block[i] != OLD && block[i] != NEW)
				fail_msg("byte %llu is 0x%02x", (unsigned long long)at + i,
					 block[i]);
	}
	free(block);
}

/* Requests that write; the data of the first comes but for its last pages, of the rest nothing. */
static void stick(struct scene *scene, struct disk *disk, struct vhu_frontend_postcopy *p,
		  unsigned n_pages)
{
	struct vhu_guest *guest = &scene->frontend.guest;
	struct vhu_guest_buffer headers, status, data;

	set_up(scene);
	disk_open(disk, scene);
	fill_image(disk);
	headers = vhu_guest_alloc(guest, N_STUCK * sizeof(struct virtio_blk_outhdr), PAGE);
	status = vhu_guest_alloc(guest, N_STUCK, PAGE);
	data = vhu_guest_alloc(guest, N_STUCK * STUCK_BYTES, PAGE);
	assert_non_null(data.host);
	memset(data.host, NEW, data.len);
	for (unsigned i = 0; i < N_STUCK; i++) {
		struct virtio_blk_outhdr *header = (struct virtio_blk_outhdr *)headers.host + i;
		struct vhu_guest_buffer buffers[] = {
			{ headers.gpa + i * sizeof(*header), sizeof(*header), NULL },
			{ data.gpa + i * STUCK_BYTES, STUCK_BYTES, NULL },
			{ status.gpa + i, 1, NULL },
		};

		*header = (struct virtio_blk_outhdr){
			.type = htole32(VIRTIO_BLK_T_OUT),
			.sector = htole64((i + 1) * STUCK_SECTORS),
		};
		assert_true(vhu_driver_add(&scene->driver, buffers, 2, 1, i) >= 0);
	}
	begin_without(scene, p, data.gpa + n_pages * PAGE, data.len - n_pages * PAGE);
	p->hold = true;
	assert_true(vhu_driver_kick(&scene->driver) >= 0);
	for (unsigned i = 0; i < WAIT_MS && !p->n_faults; i++)
		sleep_ms(1);
	assert_true(p->n_faults > 0);
}

/* Of a ring in memory that is gone there is nothing to say. */
static void ring_is_not_blamed(const struct scene *scene)
{
	char *said = program_said(&scene->program);

	assert_null(strstr(said, "broken"));
	assert_null(strstr(said, "malformed"));
	free(said);
}

/* What becomes of a front-end that is killed, and of the image. */
static void die(struct scene *scene, struct disk *disk, struct vhu_frontend_postcopy *p)
{
	vhu_frontend_postcopy_finish(p);
	vhu_frontend_disconnect(&scene->frontend);
	if (scene->program.pid)
		scene_serves(scene);
	image_is_not_made_up(disk);
	disk_close(disk);
}

static void session_lost_in_the_middle(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend_postcopy p;
	struct disk disk;

	for (unsigned round = 0; round < 8; round++) {
		stick(scene, &disk, &p, 2 * round);
		sleep_ms(round);
		die(scene, &disk, &p);
	}
	ring_is_not_blamed(scene);
}

/* The session waits for the worker, and the worker for a page. */
static void session_lost_while_it_waits(void **state)
{
	static const struct {
		uint32_t request, size;
	} messages[] = {
		{ VHU_GET_VRING_BASE, sizeof(struct vhu_vring_state) },
		{ VHU_SET_VRING_ENABLE, sizeof(struct vhu_vring_state) },
		{ VHU_RESET_DEVICE, 0 },
		{ VHU_REM_MEM_REG, sizeof(struct vhu_single_region) },
	};
	struct scene *scene = *state;
	struct vhu_frontend_postcopy p;
	struct disk disk;

	for (unsigned i = 0; i < ARRAY_SIZE(messages); i++) {
		union vhu_payload payload = { .bytes = { 0 } };

		if (messages[i].request == VHU_REM_MEM_REG)
			payload.region.region = scene->frontend.guest.regions[0].wire;
		stick(scene, &disk, &p, 3);
		send_raw(&scene->frontend, messages[i].request, VHU_VERSION, &payload,
			 messages[i].size, NULL, 0);
		sleep_ms(20);
		die(scene, &disk, &p);
	}
}

static void sigterm_in_the_middle(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend_postcopy p;
	struct disk disk;

	stick(scene, &disk, &p, 7);
	assert_int_equal(program_end(&scene->program), 0);
	die(scene, &disk, &p);
}

/* One answer, and its region where the program has it. */
static void add_region(struct vhu_frontend *frontend, unsigned number, uint32_t flags)
{
	const struct vhu_guest_region *r = &frontend->guest.regions[number];
	struct vhu_single_region single = { .region = r->wire };
	struct vhu_message reply;

	send_raw(frontend, VHU_ADD_MEM_REG, VHU_VERSION | flags, &single, sizeof(single), &r->fd,
		 1);
	assert_int_equal(vhu_frontend_receive(frontend, &reply), 0);
	assert_int_equal(reply.header.request, VHU_ADD_MEM_REG);
	assert_int_equal(reply.header.flags & ~VHU_FLAG_NEED_REPLY, VHU_VERSION | VHU_FLAG_REPLY);
	assert_int_equal(reply.header.size, sizeof(single));
	assert_int_equal(reply.n_fds, 0);
	assert_true(reply.payload.region.region.uaddr != r->wire.uaddr);
	single.region.uaddr = reply.payload.region.region.uaddr;
	assert_memory_equal(&reply.payload.region.region, &single.region, sizeof(single.region));
	vhu_message_finish(&reply);
}

static void ack(struct vhu_frontend *frontend)
{
	send_raw(frontend, VHU_ADD_MEM_REG, VHU_VERSION, &(uint64_t){ 0 }, sizeof(uint64_t), NULL,
		 0);
}

/* Nothing is touched, and nothing is lost, between an answer and its ack. */
static void front_end_that_never_acks(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend_postcopy p;

	set_up(scene);
	listen_without(scene, &p, 0, scene->frontend.guest.regions[0].wire.size);
	add_region(&scene->frontend, 0, 0);
	vhu_frontend_postcopy_finish(&p);
	/* The ring has no memory yet; to look for it in a missing page would take for ever. */
	expect_refused(&scene->frontend, vhu_driver_start(&scene->driver));
	vhu_frontend_disconnect(&scene->frontend);
	scene_serves(scene);
}

/* END is as good as the ack that did not come. */
static void end_without_ack(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend_postcopy p;

	set_up(scene);
	listen_without(scene, &p, 0, scene->frontend.guest.regions[0].wire.size);
	add_region(&scene->frontend, 0, VHU_FLAG_NEED_REPLY);
	end(&p);
	assert_int_equal(vhu_driver_start(&scene->driver), 0);
	scene_io(scene, &scene->driver);
}

/* With buffers in regions that came while the ring was at work. */
static void region_added_in_postcopy(void **state)
{
	struct scene *scene = *state;
	const struct target *target = scene->target;
	struct vhu_guest *guest = &scene->frontend.guest;
	struct vhu_frontend_postcopy p;
	uint64_t at = 1ull << 32;

	set_up(scene);
	begin_without_any(scene, &p);
	scene_io(scene, &scene->driver);
	for (unsigned i = 0; i < 2; i++) {
		int number = vhu_guest_add(guest, at + i * 64 * PAGE, 64 * PAGE);

		assert_true(number >= 0);
		memset(guest->regions[number].host, 0, 64 * PAGE);
		add_region(&scene->frontend, (unsigned)number, 0);
	}
	for (unsigned i = 0; i < target->n_readable + target->n_writable; i++)
		scene->buffers[i].gpa = at + (63 + i) * PAGE;
	ack(&scene->frontend);
	assert_int_equal(vhu_frontend_sync(&scene->frontend), 0);
	scene_io(scene, &scene->driver);
	assert_int_equal(vhu_frontend_rem_mem_reg(&scene->frontend, &guest->regions[1].wire), 0);
	end(&p);
	assert_int_equal(vhu_driver_stop(&scene->driver), 0);
	assert_int_equal(scene->driver.base, vhu_driver_idle_base(&scene->driver));
}

/* For front-ends without memory slots: the table comes back, an empty one acks it. */
static void table_in_postcopy(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;
	struct vhu_frontend_postcopy p;

	set_up(scene);
	assert_int_equal(vhu_frontend_set_protocol_features(
				 frontend, frontend->acked_protocol_features &
						   ~VHU_BIT(VHU_PROTOCOL_F_CONFIGURE_MEM_SLOTS)),
			 0);
	begin_without_any(scene, &p);
	scene_io(scene, &scene->driver);
	assert_true(p.n_faults > 0);
	end(&p);
	scene_io(scene, &scene->driver);
}

static void end_with_need_reply(struct vhu_frontend *frontend)
{
	struct vhu_message reply;

	send_raw(frontend, VHU_POSTCOPY_END, VHU_VERSION | VHU_FLAG_NEED_REPLY, NULL, 0, NULL, 0);
	assert_int_equal(vhu_frontend_receive(frontend, &reply), 0);
	assert_int_equal(reply.header.request, VHU_POSTCOPY_END);
	assert_int_equal(reply.header.size, sizeof(uint64_t));
	assert_int_equal(reply.payload.u64, 0);
	vhu_message_finish(&reply);
	/* And no second one. */
	assert_int_equal(vhu_frontend_sync(frontend), 0);
}

/* A postcopy that never comes to it, as when precopy was enough; and one more. */
static void end_without_listen(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend_postcopy p;
	unsigned n_fds;

	set_up(scene);
	assert_int_equal(vhu_frontend_postcopy_init(&p, &scene->frontend), 0);
	n_fds = scene_fds(scene);
	end_with_need_reply(&scene->frontend);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(vhu_frontend_postcopy_advise(&p), 0);
		close_fd(&p.backend_fd);
		if (i & 1)
			end_with_need_reply(&scene->frontend);
	}
	assert_int_equal(scene_fds(scene), n_fds);
	vhu_frontend_postcopy_finish(&p);
	assert_int_equal(vhu_frontend_share_memory(&scene->frontend), 0);
	assert_int_equal(vhu_driver_start(&scene->driver), 0);
	scene_io(scene, &scene->driver);
}

static void out_of_order(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;
	const struct vhu_wire_region *wire = &frontend->guest.regions[0].wire;
	struct vhu_frontend_postcopy p;

	set_up(scene);
	assert_int_equal(vhu_frontend_postcopy_init(&p, frontend), 0);
	expect_refused(frontend, vhu_frontend_postcopy_listen(&p));
	/* Memory that is mapped where the front-end does not know. */
	assert_int_equal(vhu_frontend_postcopy_advise(&p), 0);
	assert_int_equal(vhu_frontend_share_memory(frontend), 0);
	expect_refused(frontend, vhu_frontend_postcopy_listen(&p));
	assert_int_equal(vhu_frontend_rem_mem_reg(frontend, wire), 0);
	assert_int_equal(vhu_frontend_postcopy_listen(&p), 0);
	/* Acks of nothing. */
	expect_refused(frontend, vhu_frontend_tell_u64(frontend, VHU_ADD_MEM_REG, 0));
	expect_refused(frontend, vhu_frontend_tell_u64(frontend, VHU_SET_MEM_TABLE, 0));
	/* A region that waits for its ack does not go, and a bad ack is none. */
	add_region(frontend, 0, 0);
	expect_refused(frontend, vhu_frontend_rem_mem_reg(frontend, wire));
	expect_refused(frontend, vhu_frontend_tell_u64(frontend, VHU_ADD_MEM_REG, 1));
	ack(frontend);
	expect_refused(frontend, vhu_frontend_tell_u64(frontend, VHU_ADD_MEM_REG, 0));
	/* A second userfaultfd would know of no region. */
	send_raw(frontend, VHU_POSTCOPY_ADVISE, VHU_VERSION, NULL, 0, NULL, 0);
	scene_expect_closed(scene);
	vhu_frontend_postcopy_finish(&p);
}

/* Pages of a disk's file cannot be on their way, and nobody would be told. */
static void region_that_cannot_be_missing(void **state)
{
	struct scene *scene = *state;
	struct vhu_frontend *frontend = &scene->frontend;
	struct vhu_single_region single = { .region = { 1ull << 32, 16 * PAGE, 1ull << 40, 0 } };
	cleanup_fd int fd = open("/var/tmp", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	struct vhu_frontend_postcopy p;

	if (fd < 0 || ftruncate(fd, 16 * PAGE) < 0)
		skip();
	set_up(scene);
	listen_without(scene, &p, 0, PAGE);
	expect_refused(frontend, vhu_frontend_add_mem_reg(frontend, &single.region, fd));
	send_raw(frontend, VHU_ADD_MEM_REG, VHU_VERSION, &single, sizeof(single), &fd, 1);
	scene_expect_closed(scene);
	vhu_frontend_postcopy_finish(&p);
}

int main(int argc, char **argv)
{
	static const struct device_test tests[] = {
		DEVICE_TEST(requests_go_through_missing_pages, ON_BOTH),
		DEVICE_TEST(data_goes_through_missing_pages, ON_IMAGE),
		DEVICE_TEST(session_lost_in_the_middle, ON_IMAGE),
		DEVICE_TEST(session_lost_while_it_waits, ON_IMAGE | SPLIT_ONLY),
		DEVICE_TEST(sigterm_in_the_middle, ON_IMAGE | SPLIT_ONLY),
		DEVICE_TEST(front_end_that_never_acks, ON_BOTH | SPLIT_ONLY),
		DEVICE_TEST(end_without_ack, ON_BOTH | SPLIT_ONLY),
		DEVICE_TEST(region_added_in_postcopy, ON_BOTH),
		DEVICE_TEST(table_in_postcopy, ON_BOTH | SPLIT_ONLY),
		DEVICE_TEST(end_without_listen, ON_BLK | SPLIT_ONLY),
		DEVICE_TEST(out_of_order, ON_BLK | SPLIT_ONLY),
		DEVICE_TEST(region_that_cannot_be_missing, ON_BLK | SPLIT_ONLY),
	};

	return run_device_tests(tests, ARRAY_SIZE(tests), argc, argv);
}
