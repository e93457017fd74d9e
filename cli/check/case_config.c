/* SPDX-License-Identifier: BSD-3-Clause */
/* The device's configuration space (GET_CONFIG, SET_CONFIG). */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include <linux/virtio_blk.h>

#include "cli/check/check.h"

#define GET "vhost-user, VHOST_USER_GET_CONFIG"
#define SET "vhost-user, VHOST_USER_SET_CONFIG"
#define CONFIG VHU_BIT(VHU_PROTOCOL_F_CONFIG)
#define ACKS VHU_BIT(VHU_PROTOCOL_F_REPLY_ACK)

static void open_config(struct check *check)
{
	if (!check->facts->config_bytes)
		check_skip(check, "no byte of the configuration space could be read");
	check_connect(check);
	check_negotiate(check, CHECK_FEATURES, CHECK_PROTOCOL);
}

/* The reply as it is: what is asked for, or no payload, which stands for an error. */
static void ask(struct check *check, uint32_t offset, uint32_t size, struct vhu_message *ret_reply)
{
	struct vhu_config config = { .offset = offset, .size = size };
	const uint32_t payload_size =
		(uint32_t)VHU_CONFIG_HEADER + (uint32_t)min_u64(size, VHU_CONFIG_MAX);

	expect_call(check, vhu_frontend_call(&check->frontend, VHU_GET_CONFIG, &config,
					     payload_size, NULL, 0, ret_reply), "GET_CONFIG");
}

static void replies_are_as_long_as_requests(struct check *check)
{
	uint32_t whole = check->facts->config_bytes;
	struct vhu_message reply;

	open_config(check);
	for (uint32_t size = 1; size <= whole; size++) {
		ask(check, 0, size, &reply);
		expect(check, !reply.header.size || reply.header.size == VHU_CONFIG_HEADER + size,
		       "a payload as long as that of the request, or none",
		       "%u bytes where %u of the configuration space were asked for",
		       reply.header.size, size);
		expect(check, size < whole || reply.header.size, "a payload", "an error");
	}
}

static void parts_are_parts_of_the_whole(struct check *check)
{
	uint32_t whole = check->facts->config_bytes;
	struct vhu_message reply;

	open_config(check);
	for (uint32_t offset = 0; offset < whole; offset++) {
		uint32_t size = (uint32_t)min_u64(whole - offset, 8);

		ask(check, offset, size, &reply);
		/* Some accept only what QEMU sends. */
		if (!reply.header.size)
			check_skip(check, "it gives an error for %u bytes at offset %u", size,
				   offset);
		expect(check,
		       !memcmp(reply.payload.config.bytes, check->facts->config + offset, size),
		       "the bytes that stand there in the whole",
		       "others, for %u bytes at offset %u", size, offset);
	}
}

/* Before SET_FEATURES and without memory, as QEMU does. */
static void config_is_there_before_features(struct check *check)
{
	struct vhu_frontend *frontend = &check->frontend;
	uint8_t bytes[VHU_CONFIG_MAX];
	int r;

	if (!check->facts->config_bytes)
		check_skip(check, "no byte of the configuration space could be read");
	check_connect(check);
	r = vhu_frontend_set_protocol_features(frontend, CONFIG);
	if (r < 0)
		check_untried(check, "SET_PROTOCOL_FEATURES fails");
	expect_call(check, vhu_frontend_get_config(frontend, 0, bytes, check->facts->config_bytes),
		    "GET_CONFIG before SET_FEATURES");
	expect(check, !memcmp(bytes, check->facts->config, check->facts->config_bytes),
	       "the same bytes as ever", "others");
}

static void odd_reads(struct check *check)
{
	static const struct { uint32_t offset, size; } odd[] = {
		{ 1, 256 }, { 255, 2 }, { 256, 1 }, { 0xffffffff, 1 }, { 0xffffff00, 0x100 },
		{ 0, 0xffffffff }, { 0, 0 },
	};
	struct vhu_config config = { .flags = 0 };

	for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
		config.offset = odd[i].offset;
		config.size = odd[i].size;
		open_config(check);
		check_send_odd(check, VHU_GET_CONFIG, VHU_VERSION, &config,
			       (uint32_t)VHU_CONFIG_HEADER +
				       (uint32_t)min_u64(odd[i].size, VHU_CONFIG_MAX), NULL, 0);
		expect_alive(check);
	}
}

static void odd_writes(struct check *check)
{
	static const struct { uint32_t offset, size, flags; } odd[] = {
		{ 1, 256, 0 }, { 256, 1, 0 }, { 0xffffffff, 1, 0 }, { 0xffffff00, 0x100, 0 },
		{ 0, 0xffffffff, 0 }, { 0, 0, 0 }, { 0, 8, 0xffffffff },
	};
	struct vhu_config config = { .flags = 0 };

	for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
		config.offset = odd[i].offset;
		config.size = odd[i].size;
		config.flags = odd[i].flags;
		memcpy(config.bytes, check->facts->config, check->facts->config_bytes);
		open_config(check);
		check_send_odd(check, VHU_SET_CONFIG, VHU_VERSION, &config,
			       (uint32_t)VHU_CONFIG_HEADER +
				       (uint32_t)min_u64(odd[i].size, VHU_CONFIG_MAX), NULL, 0);
		expect_alive(check);
	}
}

/* The whole, as QEMU reads it: not every back-end can read a part. */
static int read_config(struct check *check, uint8_t config[VHU_CONFIG_MAX])
{
	return vhu_frontend_get_config(&check->frontend, 0, config, check->facts->config_bytes);
}

/* Returns what SET_CONFIG of another capacity was answered, and the capacity then. */
static int change_capacity(struct check *check, uint64_t *ret_now)
{
	uint8_t config[VHU_CONFIG_MAX];
	uint64_t capacity, other;
	int r, read;

	open_config(check);
	memcpy(&capacity, check->facts->config, sizeof(capacity));
	other = htole64(le64toh(capacity) / 2);
	r = vhu_frontend_set_config(&check->frontend, 0, VHU_CONFIG_WRITABLE, &other,
				    sizeof(other));
	read = read_config(check, config);
	/* To close the connection is to refuse, too. */
	if (read == -ECONNRESET) {
		open_config(check);
		read = read_config(check, config);
	}
	expect_call(check, read, "GET_CONFIG after SET_CONFIG");
	memcpy(ret_now, config, sizeof(*ret_now));
	/* As it was, for what comes later. */
	if (*ret_now != capacity)
		vhu_frontend_set_config(&check->frontend, 0, VHU_CONFIG_WRITABLE, &capacity,
					sizeof(capacity));
	return r;
}

static void the_capacity_stays(struct check *check)
{
	uint64_t now = 0, before;

	change_capacity(check, &now);
	memcpy(&before, check->facts->config, sizeof(before));
	expect(check, now == before, "the capacity as it was", "0x%llx sectors, it was 0x%llx",
	       (unsigned long long)le64toh(now), (unsigned long long)le64toh(before));
}

static void a_write_to_the_capacity_is_refused(struct check *check)
{
	uint64_t now = 0;
	int r = change_capacity(check, &now);

	/* Told, or shown by the end of the connection. */
	expect(check, r != 0, "SET_CONFIG of the capacity is refused",
	       "it is answered with success");
}

static void the_cache_mode_can_be_set(struct check *check)
{
	const uint32_t offset = offsetof(struct virtio_blk_config, wce);
	const uint8_t before = check->facts->config[offset];
	const uint8_t modes[] = { 0, 1, 0, before };
	uint8_t config[VHU_CONFIG_MAX];

	if (check->facts->config_bytes <= offset)
		check_skip(check, "only %u bytes of the configuration space could be read",
			   check->facts->config_bytes);
	open_config(check);
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		expect_call(check,
			    vhu_frontend_set_config(&check->frontend, offset, VHU_CONFIG_WRITABLE,
						    &modes[i], 1), "SET_CONFIG of writeback");
		expect_call(check, read_config(check, config), "GET_CONFIG");
		expect(check, config[offset] == modes[i], "writeback as it was set",
		       "%u instead of %u", config[offset], modes[i]);
	}
}

static const struct check_case cases[] = {
	{ "CFG-01", "GET_CONFIG is answered by as much as was asked for, or nothing", GET,
	  "vhost-user back-end's payload size MUST match the front-end's request, vhost-user "
	  "back-end uses zero length of payload to indicate an error",
	  CHECK_MUST, .protocol = CONFIG, .fn = replies_are_as_long_as_requests },
	{ "CFG-02", "parts of the configuration space are parts of the whole", GET,
	  "offset: a 32-bit offset of virtio device's configuration space",
	  CHECK_MUST, .protocol = CONFIG, .fn = parts_are_parts_of_the_whole },
	{ "CFG-03", "the configuration space can be read before SET_FEATURES", "virtio 1.3, 2.5.3",
	  "The device MUST allow reading of any device-specific configuration field before "
	  "FEATURES_OK is set by the driver.",
	  CHECK_MUST, .protocol = CONFIG, .fn = config_is_there_before_features },
	{ "CFG-04", "survives reads beyond the configuration space", GET,
	  "offset: a 32-bit offset ... size: a 32-bit configuration space access size in bytes",
	  CHECK_ROBUST, .protocol = CONFIG, .fn = odd_reads },
	{ "CFG-05", "survives writes beyond the configuration space", SET,
	  "The vhost-user back-end must check the flags field",
	  CHECK_ROBUST, .protocol = CONFIG, .fn = odd_writes },
	{ "CFG-06", "a read-only field stays what it is", SET,
	  "back-ends MUST NOT accept SET_CONFIG for read-only configuration space fields unless "
	  "the live migration bit is set",
	  CHECK_MUST, .protocol = CONFIG, .needs = CHECK_NEEDS_BLK, .fn = the_capacity_stays },
	{ "CFG-07", "a write to a read-only field is refused", SET,
	  "back-ends MUST NOT accept SET_CONFIG for read-only configuration space fields unless "
	  "the live migration bit is set (a warning: the field stays)",
	  CHECK_SHOULD, .protocol = CONFIG | ACKS, .needs = CHECK_NEEDS_BLK,
	  .fn = a_write_to_the_capacity_is_refused },
	{ "CFG-08", "the cache mode can be set and read", "virtio 1.3, 5.2.5",
	  "If the VIRTIO_BLK_F_CONFIG_WCE feature is negotiated, the cache mode can be read or "
	  "set through the writeback field.",
	  CHECK_MUST, VHU_BIT(VIRTIO_BLK_F_CONFIG_WCE), CONFIG, CHECK_NEEDS_BLK,
	  the_cache_mode_can_be_set },
};

const struct check_group check_config = {
	"config", "the configuration space", CHECK_GROUP(cases)
};
