/* SPDX-License-Identifier: BSD-3-Clause */
/* Device and ring features, and the features of the protocol. */
#include <errno.h>

#include "cli/check/check.h"

#define FEATURES "vhost-user, VHOST_USER_GET_FEATURES"
#define PROTOCOL_FEATURES VHU_BIT(VHU_F_PROTOCOL_FEATURES)
#define ACKS VHU_BIT(VHU_PROTOCOL_F_REPLY_ACK)

static uint64_t ask_u64(struct check *check, uint32_t request)
{
	uint64_t value = 0;
	char name[24];

	expect_call(check, vhu_frontend_ask_u64(&check->frontend, request, &value),
		    check_request_name(request, name));
	return value;
}

static void features_do_not_change(struct check *check)
{
	uint64_t features;

	check_connect(check);
	features = ask_u64(check, VHU_GET_FEATURES);
	check_negotiate(check, CHECK_FEATURES, CHECK_PROTOCOL);
	expect(check, ask_u64(check, VHU_GET_FEATURES) == features,
	       "the same bits before and after SET_OWNER and SET_FEATURES", "other bits");
}

static void version_1_is_offered(struct check *check)
{
	expect(check, check->facts->features & VHU_BIT(VHU_F_VERSION_1), "bit 32 is offered",
	       "features 0x%llx", (unsigned long long)check->facts->features);
}

/* What QEMU, and we, take away: the bits of the device alone, of the rings alone, and all. */
static void subsets_are_accepted(struct check *check)
{
	const uint64_t base = VHU_BIT(VHU_F_VERSION_1) | PROTOCOL_FEATURES;
	const uint64_t rings = VHU_BIT(VHU_F_RING_INDIRECT_DESC) | VHU_BIT(VHU_F_RING_EVENT_IDX);
	const uint64_t subsets[] = { base, base | rings, base | check->device->features,
				     base | rings | check->device->features };

	for (size_t i = 0; i < ARRAY_SIZE(subsets); i++) {
		uint64_t features = subsets[i] & check->facts->features;

		check_take_protocol_features(check, ACKS);
		expect_call(check, vhu_frontend_set_features(&check->frontend, features),
			    "SET_FEATURES with a subset of what is offered");
	}
}

static void unoffered_bits(struct check *check)
{
	static const unsigned bits[] = { 41, 55, 62, 63 };

	check_connect(check);
	check_negotiate(check, CHECK_FEATURES, CHECK_PROTOCOL);
	for (size_t i = 0; i < ARRAY_SIZE(bits); i++) {
		uint64_t bit = VHU_BIT(bits[i]);
		int r;

		if (check->facts->features & bit)
			continue;
		r = vhu_frontend_tell_u64(&check->frontend, VHU_SET_FEATURES,
					  check->frontend.acked_features | bit);
		if (r == -ECONNRESET)
			return;
		expect(check, r != 0, "the bit is refused, or the connection closed",
		       "success for feature bit %u, which was not offered", bits[i]);
		expect_alive(check);
	}
}

/* What a session needs at its start and in the middle of it. */
static void features_may_come_again(struct check *check)
{
	check_ring(check, CHECK_FEATURES, CHECK_PROTOCOL);
	expect_served(check, &check->ring);
	for (unsigned i = 0; i < 3; i++) {
		expect_call(check,
			    vhu_frontend_set_features(&check->frontend,
						      check->frontend.acked_features),
			    "SET_FEATURES with the same bits while the ring runs");
		expect_served(check, &check->ring);
	}
}

static void a_session_is_opened(struct check *check)
{
	check_connect(check);
	expect_call(check,
		    vhu_frontend_negotiate(&check->frontend,
					   VHU_BIT(VHU_F_VERSION_1) |
						   VHU_BIT(VHU_F_PROTOCOL_FEATURES),
					   CHECK_PROTOCOL),
		    "SET_PROTOCOL_FEATURES, SET_OWNER, SET_FEATURES and what belongs to them");
}

static const struct check_case feature_cases[] = {
	{ "FEA-01", "features do not change in a session", FEATURES,
	  "Get from the underlying vhost implementation the features bitmask.",
	  CHECK_SHOULD, .fn = features_do_not_change },
	{ "FEA-02", "VERSION_1 is offered", "virtio 1.3, 6.2",
	  "A device MUST offer VIRTIO_F_VERSION_1. (A warning: the front-end has its part in "
	  "what a device offers.)",
	  CHECK_SHOULD, .fn = version_1_is_offered },
	{ "FEA-03", "subsets of what is offered are accepted", "virtio 1.3, 2.2.2",
	  "The device SHOULD accept any valid subset of features the driver accepts",
	  CHECK_SHOULD, PROTOCOL_FEATURES, ACKS, .fn = subsets_are_accepted },
	{ "FEA-04", "feature bits that were not offered are refused", "virtio 1.3, 2.2.1",
	  "The driver MUST NOT accept a feature which the device did not offer",
	  CHECK_ROBUST, PROTOCOL_FEATURES, ACKS, .fn = unoffered_bits },
	{ "FEA-05", "SET_FEATURES may come again with rings running", "vhost-user, Ring states",
	  "While processing the rings (whether they are enabled or not), the back-end must "
	  "support changing some configuration aspects on the fly.",
	  CHECK_MUST, .needs = CHECK_NEEDS_REQUEST, .fn = features_may_come_again },
	{ "FEA-06", "a session is opened", "vhost-user, VHOST_USER_SET_FEATURES",
	  "Enable features in the underlying vhost implementation using a bitmask.",
	  CHECK_MUST, .fn = a_session_is_opened },
};

const struct check_group check_features = {
	"features", "what is offered to the driver", CHECK_GROUP(feature_cases)
};

/* Features of the protocol. */

static void come_before_set_features(struct check *check)
{
	uint64_t features;

	check_connect(check);
	features = ask_u64(check, VHU_GET_PROTOCOL_FEATURES);
	expect_call(check,
		    vhu_frontend_tell_u64(&check->frontend, VHU_SET_PROTOCOL_FEATURES,
					  features & CHECK_PROTOCOL),
		    "SET_PROTOCOL_FEATURES");
	expect_call(check, vhu_frontend_sync(&check->frontend), "GET_FEATURES after it");
}

static void mq_is_offered(struct check *check)
{
	expect(check, check->facts->protocol_features & VHU_BIT(VHU_PROTOCOL_F_MQ),
	       "protocol feature bit 0 is offered", "protocol features 0x%llx",
	       (unsigned long long)check->facts->protocol_features);
}

static void queues_are_counted(struct check *check)
{
	uint64_t n;

	check_connect(check);
	check_negotiate(check, CHECK_FEATURES, CHECK_PROTOCOL);
	n = ask_u64(check, VHU_GET_QUEUE_NUM);
	/* A vring's index has 8 bits in SET_VRING_KICK. */
	expect(check, n >= 1 && n <= 256, "a number from 1 to 256", "%llu",
	       (unsigned long long)n);
}

static void no_protocol_feature_is_needed(struct check *check)
{
	struct vhu_frontend *frontend = &check->frontend;

	check_connect(check);
	expect_call(check, vhu_frontend_negotiate(frontend,
						  VHU_BIT(VHU_F_VERSION_1) |
							  VHU_BIT(VHU_F_PROTOCOL_FEATURES), 0),
		    "negotiation of no protocol feature");
	check_share_memory(check);
	check_open_ring(check, &check->ring, 0, CHECK_RING_SIZE);
	check_make_request(check, &check->request);
	expect_call(check, vhu_driver_start(&check->ring), "starting a ring");
	check_kick(&check->ring);
	expect_served(check, &check->ring);
}

static void channel_is_acked(struct check *check)
{
	check_take_protocol_features(check, ACKS | VHU_BIT(VHU_PROTOCOL_F_BACKEND_REQ));
	expect_call(check, vhu_frontend_open_channel(&check->frontend), "SET_BACKEND_REQ_FD");
	expect_call(check, vhu_frontend_sync(&check->frontend), "GET_FEATURES after it");
}

static void inband_needs_its_company(struct check *check)
{
	check_connect(check);
	ask_u64(check, VHU_GET_PROTOCOL_FEATURES);
	check->frontend.no_acks = true;
	expect_call(check, vhu_frontend_tell_u64(&check->frontend, VHU_SET_PROTOCOL_FEATURES,
						 VHU_BIT(VHU_PROTOCOL_F_INBAND_NOTIFICATIONS)),
		    "SET_PROTOCOL_FEATURES");
	expect(check, vhu_frontend_wait_closed(&check->frontend) == 0,
	       "the connection is closed", "it stays open");
}

static void unoffered_protocol_bits(struct check *check)
{
	static const unsigned bits[] = { VHU_PROTOCOL_F_XEN_MMAP, 40, 63 };

	check_connect(check);
	check_negotiate(check, CHECK_FEATURES, CHECK_PROTOCOL);
	for (size_t i = 0; i < ARRAY_SIZE(bits); i++) {
		uint64_t bit = VHU_BIT(bits[i]);
		int r;

		if (check->facts->protocol_features & bit)
			continue;
		r = vhu_frontend_tell_u64(&check->frontend, VHU_SET_PROTOCOL_FEATURES,
					  check->frontend.acked_protocol_features | bit);
		if (r == -ECONNRESET)
			return;
		expect(check, r != 0, "the bit is refused, or the connection closed",
		       "success for protocol feature bit %u, which was not offered", bits[i]);
		expect_alive(check);
	}
}

static const struct check_case protocol_cases[] = {
	{ "PRO-01", "protocol features may be negotiated before SET_FEATURES",
	  "vhost-user, VHOST_USER_GET_PROTOCOL_FEATURES",
	  "Back-ends that report VHOST_USER_F_PROTOCOL_FEATURES must support this message even "
	  "before VHOST_USER_SET_FEATURES was called.",
	  CHECK_MUST, PROTOCOL_FEATURES, .fn = come_before_set_features },
	{ "PRO-02", "MQ is offered", "vhost-user, Multiple queue support",
	  "Back-ends should always implement the VHOST_USER_PROTOCOL_F_MQ protocol feature, even "
	  "for devices with a fixed number of virtqueues",
	  CHECK_SHOULD, PROTOCOL_FEATURES, .fn = mq_is_offered },
	{ "PRO-03", "GET_QUEUE_NUM tells a number of queues",
	  "vhost-user, VHOST_USER_GET_QUEUE_NUM",
	  "Query how many queues the back-end supports.",
	  CHECK_MUST, PROTOCOL_FEATURES, VHU_BIT(VHU_PROTOCOL_F_MQ), .fn = queues_are_counted },
	{ "PRO-04", "a front-end that takes no protocol feature is served",
	  "vhost-user, Communication",
	  "Any protocol extensions are gated by protocol feature bits, which allows full "
	  "backwards compatibility on both front-end and back-end.",
	  CHECK_SHOULD, PROTOCOL_FEATURES, .needs = CHECK_NEEDS_REQUEST,
	  .fn = no_protocol_feature_is_needed },
	{ "PRO-05", "SET_BACKEND_REQ_FD is answered with 0",
	  "vhost-user, VHOST_USER_SET_BACKEND_REQ_FD",
	  "If VHOST_USER_PROTOCOL_F_REPLY_ACK is negotiated, the back-end must respond with zero "
	  "for success, non-zero otherwise.",
	  CHECK_MUST, PROTOCOL_FEATURES, ACKS | VHU_BIT(VHU_PROTOCOL_F_BACKEND_REQ),
	  .fn = channel_is_acked },
	{ "PRO-06", "in-band notifications without what they need close the connection",
	  "vhost-user, In-band notifications",
	  "the back-end should close the connection as a response to a "
	  "VHOST_USER_SET_PROTOCOL_FEATURES message that sets the in-band notifications feature "
	  "flag without the other two",
	  CHECK_SHOULD, PROTOCOL_FEATURES, VHU_BIT(VHU_PROTOCOL_F_INBAND_NOTIFICATIONS),
	  .fn = inband_needs_its_company },
	{ "PRO-07", "protocol feature bits that were not offered are refused",
	  "vhost-user, VHOST_USER_SET_PROTOCOL_FEATURES",
	  "Enable protocol features in the underlying vhost implementation.",
	  CHECK_ROBUST, PROTOCOL_FEATURES, ACKS, .fn = unoffered_protocol_bits },
};

const struct check_group check_protocol = {
	"protocol", "features of the protocol", CHECK_GROUP(protocol_cases)
};
