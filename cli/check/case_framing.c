/* SPDX-License-Identifier: BSD-3-Clause */
/* Messages on the stream, and replies to them. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "cli/check/check.h"

#define HEADER "vhost-user, Header"
#define COMMUNICATION "vhost-user, Communication"
#define REPLY_ACK "vhost-user, VHOST_USER_PROTOCOL_F_REPLY_ACK"
#define ACKS VHU_BIT(VHU_PROTOCOL_F_REPLY_ACK)

/* A request that is answered with a u64, whatever was negotiated before. */
struct question {
	uint32_t request;
	uint64_t features, protocol; /* the bits it needs */
};

static const struct question questions[] = {
	{ VHU_GET_FEATURES, 0, 0 },
	{ VHU_GET_PROTOCOL_FEATURES, VHU_BIT(VHU_F_PROTOCOL_FEATURES), 0 },
	{ VHU_GET_QUEUE_NUM, 0, VHU_BIT(VHU_PROTOCOL_F_MQ) },
	{ VHU_GET_MAX_MEM_SLOTS, 0, VHU_BIT(VHU_PROTOCOL_F_CONFIGURE_MEM_SLOTS) },
	{ VHU_GET_STATUS, 0, VHU_BIT(VHU_PROTOCOL_F_STATUS) },
};

static void ask(struct check *check, const struct question *question, uint32_t flags,
		struct vhu_message *ret_reply)
{
	const struct vhu_header header = { question->request, flags, 0 };
	char buf[80], name[24];
	int r = check_exchange(check, &header, NULL, ret_reply);

	expect(check, r == 0, "a reply", "%s: %s", check_request_name(question->request, name),
	       check_explain(check, r, buf));
	expect(check, ret_reply->header.request == question->request,
	       "a reply to the request that was sent", "%s is answered by request number %u",
	       check_request_name(question->request, name), ret_reply->header.request);
}

/* Asks all that this back-end can be asked, and has each reply looked at. */
static void ask_all(struct check *check, uint32_t flags,
		    void (*look)(struct check *check, const struct question *question,
				 const struct vhu_message *reply))
{
	struct vhu_message reply;

	check_take_protocol_features(check, CHECK_PROTOCOL);
	for (size_t i = 0; i < ARRAY_SIZE(questions); i++) {
		if (questions[i].features & ~check->facts->features ||
		    questions[i].protocol & ~check->frontend.acked_protocol_features)
			continue;
		ask(check, &questions[i], flags, &reply);
		look(check, &questions[i], &reply);
	}
}

static void look_at_flag(struct check *check, const struct question *question,
			 const struct vhu_message *reply)
{
	char name[24];

	expect(check, reply->header.flags & VHU_FLAG_REPLY, "bit 2 of the flags is set",
	       "flags 0x%x in the reply to %s", reply->header.flags,
	       check_request_name(question->request, name));
}

static void replies_have_the_reply_flag(struct check *check)
{
	ask_all(check, VHU_VERSION, look_at_flag);
}

static void look_at_version(struct check *check, const struct question *question,
			    const struct vhu_message *reply)
{
	char name[24];

	expect(check, (reply->header.flags & VHU_FLAG_VERSION_MASK) == VHU_VERSION,
	       "version 1 in the lower 2 bits of the flags", "flags 0x%x in the reply to %s",
	       reply->header.flags, check_request_name(question->request, name));
}

static void replies_have_version_1(struct check *check)
{
	ask_all(check, VHU_VERSION, look_at_version);
}

static void look_at_size(struct check *check, const struct question *question,
			 const struct vhu_message *reply)
{
	char name[24];

	expect(check, reply->header.size == sizeof(uint64_t), "a payload of 8 bytes",
	       "%u bytes in the reply to %s", reply->header.size,
	       check_request_name(question->request, name));
}

static void replies_have_their_size(struct check *check)
{
	ask_all(check, VHU_VERSION, look_at_size);
}

static void look_at_nothing(struct check *check, const struct question *question,
			    const struct vhu_message *reply)
{
	(void)check;
	(void)question;
	(void)reply;
}

/* A second reply would be taken for the answer to the next question. */
static void need_reply_adds_no_second_reply(struct check *check)
{
	struct vhu_message reply;

	ask_all(check, VHU_VERSION | VHU_FLAG_NEED_REPLY, look_at_nothing);
	ask(check, &questions[0], VHU_VERSION, &reply);
}

static void nothing_is_said_unasked(struct check *check)
{
	const uint64_t features = check->facts->features & (VHU_BIT(VHU_F_VERSION_1) |
							     VHU_BIT(VHU_F_PROTOCOL_FEATURES));
	struct vhu_message reply;

	check_connect(check);
	check->frontend.no_acks = true;
	/* Once: there are back-ends that take no second owner. */
	expect_call(check, vhu_frontend_tell(&check->frontend, VHU_SET_OWNER), "SET_OWNER");
	for (unsigned i = 0; i < 5; i++) {
		expect_call(check, vhu_frontend_set_features(&check->frontend, features),
			    "SET_FEATURES");
	}
	ask(check, &questions[0], VHU_VERSION, &reply);
}

static void need_reply_is_answered(struct check *check)
{
	struct vhu_frontend *frontend = &check->frontend;
	const uint64_t features = check->facts->features & (VHU_BIT(VHU_F_VERSION_1) |
							     VHU_BIT(VHU_F_PROTOCOL_FEATURES));
	int fd = check_eventfd(check);

	check_take_protocol_features(check, CHECK_PROTOCOL);
	expect_call(check, vhu_frontend_tell(frontend, VHU_SET_OWNER), "SET_OWNER");
	expect_call(check, vhu_frontend_set_features(frontend, features), "SET_FEATURES");
	expect_call(check, vhu_frontend_set_vring_fd(frontend, VHU_SET_VRING_CALL, 0, fd),
		    "SET_VRING_CALL");
	expect_call(check, vhu_frontend_set_vring_fd(frontend, VHU_SET_VRING_ERR, 0, fd),
		    "SET_VRING_ERR");
	expect_call(check, vhu_frontend_set_vring(frontend, VHU_SET_VRING_NUM, 0, 4),
		    "SET_VRING_NUM");
	expect_call(check, vhu_frontend_set_vring(frontend, VHU_SET_VRING_BASE, 0, 0),
		    "SET_VRING_BASE");
}

/* Many in one write: the stream knows no borders between messages. */
static void messages_in_one_piece_are_told_apart(struct check *check)
{
	struct vhu_header headers[8];
	struct vhu_message reply;
	char buf[80];

	for (size_t i = 0; i < ARRAY_SIZE(headers); i++)
		headers[i] = (struct vhu_header){ VHU_GET_FEATURES, VHU_VERSION, 0 };
	check_connect(check);
	expect_call(check, vhu_frontend_send_bytes(&check->frontend, headers, sizeof(headers),
						   NULL, 0), "8 x GET_FEATURES");
	for (size_t i = 0; i < ARRAY_SIZE(headers); i++) {
		int r = vhu_frontend_receive(&check->frontend, &reply);

		expect(check, r == 0, "8 replies", "%zu replies, then: %s", i,
		       check_explain(check, r, buf));
		expect(check, reply.header.request == VHU_GET_FEATURES && reply.header.size == 8 &&
				      reply.payload.u64 == check->facts->features,
		       "8 times the same reply", "another in place of reply %zu", i + 1);
	}
}

static void a_message_may_come_in_pieces(struct check *check)
{
	const struct {
		struct vhu_header header;
		uint64_t value;
	} __attribute__((packed)) message = {
		{ VHU_SET_FEATURES, VHU_VERSION, 8 },
		check->facts->features & VHU_BIT(VHU_F_VERSION_1),
	};
	const char *bytes = (const char *)&message;

	check_connect(check);
	for (size_t i = 0; i < sizeof(message); i++) {
		expect_call(check, vhu_frontend_send_bytes(&check->frontend, bytes + i, 1, NULL, 0),
			    "a byte of SET_FEATURES");
		check_sleep_ms(1);
	}
	expect(check, expect_alive(check), "the message is put together",
	       "the back-end closed the connection");
}

/* What no front-end sends. */

static void unknown_requests(struct check *check)
{
	static const uint32_t requests[] = { 0, 45, 100, 0x80000001, 0xffffffff };
	static const uint64_t payload[8];

	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		check_connect(check);
		check_negotiate(check, CHECK_FEATURES, CHECK_PROTOCOL);
		check_send_odd(check, requests[i], VHU_VERSION, payload, sizeof(payload), NULL, 0);
		expect_alive(check);
	}
}

static void wrong_versions(struct check *check)
{
	static const uint32_t flags[] = { 0, 2, 3, VHU_VERSION | VHU_FLAG_REPLY, 0xffffffff };

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		check_connect(check);
		check_send_odd(check, VHU_SET_OWNER, flags[i], NULL, 0, NULL, 0);
		expect_alive(check);
	}
}

/* It may wait for the rest of what was announced: then this connection is lost, and no more. */
static void huge_sizes(struct check *check)
{
	static const uint32_t sizes[] = { 0x1000, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		const struct vhu_header header = { VHU_SET_FEATURES, VHU_VERSION, sizes[i] };
		static const uint64_t payload[512];

		check_connect(check);
		vhu_frontend_send(&check->frontend, &header, payload, sizeof(payload), NULL, 0);
		check_sleep_ms(20);
	}
}

static void wrong_sizes(struct check *check)
{
	static const uint32_t requests[] = {
		VHU_SET_FEATURES,   VHU_SET_MEM_TABLE,	VHU_SET_VRING_NUM,  VHU_SET_VRING_ADDR,
		VHU_SET_VRING_BASE, VHU_GET_VRING_BASE, VHU_SET_VRING_CALL, VHU_SET_VRING_ENABLE,
		VHU_GET_CONFIG,	    VHU_ADD_MEM_REG,	VHU_SET_STATUS,	    VHU_SET_LOG_BASE,
	};
	static const uint32_t sizes[] = { 0, 1, 7, 3000 };
	static const uint8_t payload[3000];

	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		for (size_t k = 0; k < ARRAY_SIZE(sizes); k++) {
			check_connect(check);
			check_negotiate(check, CHECK_FEATURES, CHECK_PROTOCOL);
			check_send_odd(check, requests[i], VHU_VERSION, payload, sizes[k], NULL, 0);
			expect_alive(check);
		}
	}
}

static void headers_that_end_early(struct check *check)
{
	const struct vhu_header header = { VHU_SET_FEATURES, VHU_VERSION, 8 };

	for (size_t len = 1; len <= sizeof(header); len++) {
		check_connect(check);
		vhu_frontend_send_bytes(&check->frontend, &header, len, NULL, 0);
	}
	check_connect(check);
	expect_alive(check);
}

#define SURPLUS_FDS 100

static void surplus_fds(struct check *check)
{
	static const uint32_t requests[] = { VHU_GET_FEATURES, VHU_SET_OWNER, VHU_SET_VRING_NUM };
	static const unsigned counts[] = { 1, 8, 9, SURPLUS_FDS };
	static const uint64_t payload;
	int fds[SURPLUS_FDS];

	for (unsigned i = 0; i < SURPLUS_FDS; i++)
		fds[i] = check_eventfd(check);
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		for (size_t k = 0; k < ARRAY_SIZE(counts); k++) {
			check_connect(check);
			check_send_odd(check, requests[i], VHU_VERSION, &payload,
				       requests[i] == VHU_SET_VRING_NUM ? 8 : 0, fds, counts[k]);
			expect_alive(check);
		}
	}
}

/* The back-end holds the last file descriptor of the pipe, until it closes it. */
static void surplus_fds_are_closed(struct check *check)
{
	const struct vhu_header header = { VHU_GET_FEATURES, VHU_VERSION, 0 };
	struct pollfd pollfd = { .events = POLLIN };
	struct vhu_message reply;
	int pipe_fds[2], fds[8];

	if (pipe(pipe_fds) < 0)
		check_untried(check, "no pipe");
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = pipe_fds[1];
	check_connect(check);
	vhu_frontend_send(&check->frontend, &header, NULL, 0, fds, ARRAY_SIZE(fds));
	close(pipe_fds[1]);
	/* An answer, or the end of the connection. */
	if (vhu_frontend_receive(&check->frontend, &reply) == 0)
		vhu_message_finish(&reply);
	vhu_frontend_disconnect(&check->frontend);
	pollfd.fd = pipe_fds[0];
	expect(check, poll(&pollfd, 1, check->timeout_ms) == 1,
	       "what came with a message that takes none is closed, with the connection at least",
	       "it is still open %g s after the end of the connection",
	       check->timeout_ms / 1000.0);
}

static const struct check_case cases[] = {
	{ "FRM-01", "each reply has the reply flag", HEADER,
	  "Bit 2 is the reply flag - needs to be sent on each reply from the back-end",
	  CHECK_MUST, .fn = replies_have_the_reply_flag },
	{ "FRM-02", "each reply has version 1", HEADER,
	  "Lower 2 bits are the version (currently 0x01)",
	  CHECK_MUST, .fn = replies_have_version_1 },
	{ "FRM-03", "each reply is as long as its type", "vhost-user, Payload",
	  "A single 64-bit integer ... u64: a 64-bit unsigned integer",
	  CHECK_MUST, .fn = replies_have_their_size },
	{ "FRM-04", "need_reply adds nothing to what is answered anyway", REPLY_ACK,
	  "For the message types that already solicit a reply from the back-end, the presence of "
	  "VHOST_USER_PROTOCOL_F_REPLY_ACK or need_reply bit being set brings no behavioural "
	  "change.",
	  CHECK_MUST, .protocol = ACKS, .fn = need_reply_adds_no_second_reply },
	{ "FRM-05", "what needs no reply gets none", COMMUNICATION,
	  "Most of the requests don't require replies, except for the following requests",
	  CHECK_MUST, .fn = nothing_is_said_unasked },
	{ "FRM-06", "need_reply is answered with 0 on success", REPLY_ACK,
	  "This indicates that the back-end MUST respond with a Payload VhostUserMsg indicating "
	  "success or failure. The payload should be set to zero on success or non-zero on "
	  "failure",
	  CHECK_MUST, .protocol = ACKS, .fn = need_reply_is_answered },
	{ "FRM-07", "messages that arrive together are told apart", HEADER,
	  "A vhost-user message consists of 3 header fields and a payload. ... size: 32-bit size "
	  "of the payload",
	  CHECK_MUST, .fn = messages_in_one_piece_are_told_apart },
	{ "FRM-08", "a message that arrives in pieces is put together", "unix(7)",
	  "SOCK_STREAM, for a stream-oriented socket (One read may bring a part of a message, "
	  "though front-ends send it in one piece.)",
	  CHECK_ROBUST, .fn = a_message_may_come_in_pieces },
	{ "FRM-09", "survives unknown requests", COMMUNICATION,
	  "Any protocol extensions are gated by protocol feature bits",
	  CHECK_ROBUST, .fn = unknown_requests },
	{ "FRM-10", "survives headers with a wrong version or the reply flag", HEADER,
	  "Lower 2 bits are the version (currently 0x01)",
	  CHECK_ROBUST, .fn = wrong_versions },
	{ "FRM-11", "survives announced payloads of up to 4 GiB", HEADER,
	  "size: 32-bit size of the payload",
	  CHECK_ROBUST, .fn = huge_sizes },
	{ "FRM-12", "survives payloads that are too short or too long", "vhost-user, Payload",
	  "Depending on the request type, payload can be: ...",
	  CHECK_ROBUST, .fn = wrong_sizes },
	{ "FRM-13", "survives connections that end in a header", COMMUNICATION,
	  "If front-end is unable to send the full message ... it will close the connection.",
	  CHECK_ROBUST, .needs = CHECK_NEEDS_RECONNECT, .fn = headers_that_end_early },
	{ "FRM-14", "survives file descriptors on messages that take none", COMMUNICATION,
	  "There are several messages that the front-end sends with file descriptors passed in "
	  "the ancillary data: ...",
	  CHECK_ROBUST, .fn = surplus_fds },
	{ "FRM-15", "closes file descriptors that nobody asked for", COMMUNICATION,
	  "There are several messages that the front-end sends with file descriptors passed in the "
	  "ancillary data: ... (Kept ones add up until there are no more to be had.)",
	  CHECK_ROBUST, .fn = surplus_fds_are_closed },
};

const struct check_group check_framing = {
	"framing", "messages on the stream, and replies to them", CHECK_GROUP(cases)
};
