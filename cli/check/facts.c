/* SPDX-License-Identifier: BSD-3-Clause */
#include "cli/check/facts.h"

#include <string.h>

#include "common/base/num.h"
#include "common/wire/request.h"

static const char *const blk_bits[64] = {
	[0] = "BLK_BARRIER", [1] = "BLK_SIZE_MAX", [2] = "BLK_SEG_MAX", [4] = "BLK_GEOMETRY",
	[5] = "BLK_RO", [6] = "BLK_BLK_SIZE", [7] = "BLK_SCSI", [9] = "BLK_FLUSH",
	[10] = "BLK_TOPOLOGY", [11] = "BLK_CONFIG_WCE", [12] = "BLK_MQ", [13] = "BLK_DISCARD",
	[14] = "BLK_WRITE_ZEROES", [15] = "BLK_LIFETIME", [16] = "BLK_SECURE_ERASE",
	[17] = "BLK_ZONED",
};

/* virtio 1.3, 6; 26 and 30 are vhost's. */
static const char *const common_bits[64] = {
	[24] = "NOTIFY_ON_EMPTY", [26] = "LOG_ALL", [27] = "ANY_LAYOUT",
	[28] = "RING_INDIRECT_DESC", [29] = "RING_EVENT_IDX", [30] = "PROTOCOL_FEATURES",
	[32] = "VERSION_1", [33] = "ACCESS_PLATFORM", [34] = "RING_PACKED", [35] = "IN_ORDER",
	[36] = "ORDER_PLATFORM", [37] = "SR_IOV", [38] = "NOTIFICATION_DATA",
	[39] = "NOTIF_CONFIG_DATA", [40] = "RING_RESET", [41] = "ADMIN_VQ", [43] = "SUSPEND",
};

static const char *const protocol_bits[64] = {
	[0] = "MQ", [1] = "LOG_SHMFD", [2] = "RARP", [3] = "REPLY_ACK", [4] = "MTU",
	[5] = "BACKEND_REQ", [6] = "CROSS_ENDIAN", [7] = "CRYPTO_SESSION", [8] = "PAGEFAULT",
	[9] = "CONFIG", [10] = "BACKEND_SEND_FD", [11] = "HOST_NOTIFIER", [12] = "INFLIGHT_SHMFD",
	[13] = "RESET_DEVICE", [14] = "INBAND_NOTIFICATIONS", [15] = "CONFIGURE_MEM_SLOTS",
	[16] = "STATUS", [17] = "XEN_MMAP", [18] = "SHARED_OBJECT", [19] = "DEVICE_STATE",
	[20] = "GET_VRING_BASE_INFLIGHT", [21] = "GPA_ADDRESSES", [22] = "SHMEM",
};

static const char *bit_name(const char *const names[64], unsigned bit, char buf[16])
{
	if (names[bit])
		return names[bit];
	snprintf(buf, 16, "bit %u", bit);
	return buf;
}

const char *check_feature_name(const char *device, unsigned bit, char buf[16])
{
	if (!strcmp(device, "blk") && blk_bits[bit])
		return blk_bits[bit];
	return bit_name(common_bits, bit, buf);
}

const char *check_protocol_feature_name(unsigned bit, char buf[16])
{
	return bit_name(protocol_bits, bit, buf);
}

const char *check_request_name(uint32_t request, char buf[24])
{
	const struct vhu_request_rule *rule = vhu_frontend_request_rule(request);

	if (rule)
		return rule->name;
	snprintf(buf, 24, "request %u", request);
	return buf;
}
