/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_CLI_CHECK_CASE_H
#define VHU_CLI_CHECK_CASE_H

/*
 * The cases, as data. To add one:
 *
 *  1. Find the sentence. A case tests one statement of a specification and cites it: its section,
 *     and its words as they stand there (shortened with "..." where it is long). What no sentence
 *     says is CHECK_ROBUST, and then text says what the input breaks.
 *  2. Write the function in the file of its group (case_x.c). It runs in a process of its own, with
 *     a connection and a guest of its own, so it frees nothing and may end anywhere. It gets ready
 *     by check_connect(), check_negotiate(), check_ring() and the like (check.h): when the back-end
 *     does not even get that far, the case could not be tried, and is not failed. Then it does what
 *     the sentence is about, by the calls of common/frontend, and says what has to be by
 *     expect() and expect_call(). The first that does not hold ends the case.
 *  3. Add its row to the table at the end of the file. Numbers are never used again. What the
 *     case cannot do without stands in features, protocol and needs: without it the case is
 *     skipped, and the report says why.
 *  4. Break the rule in tests/conformance/bad_backend.c, and name the case in its table: a case
 *     that nothing fails is not known to work.
 *
 * A group is a table of cases and a row in cases.c.
 */

#include <stddef.h>
#include <stdint.h>

struct check;

/* How much the sentence demands, and with it what a back-end that does otherwise gets. */
enum check_level {
	CHECK_MUST,   /* it fails */
	CHECK_SHOULD, /* a warning */
	/*
	 * Input that no front-end may send. Nothing says what is to become of it, so any answer and
	 * the end of the connection will do, and less is a warning. But a back-end that dies of a
	 * signal or serves nobody any more fails.
	 */
	CHECK_ROBUST,
};

/* What a case needs besides feature bits, and is. */
enum {
	CHECK_NEEDS_REQUEST = 1 << 0,	  /* a device whose requests we know how to make */
	CHECK_NEEDS_BLK = 1 << 1,
	CHECK_NEEDS_RNG = 1 << 2,
	CHECK_NEEDS_QUEUES = 1 << 3,	  /* two of them that take requests */
	CHECK_NEEDS_EXEC = 1 << 4,	  /* a back-end that we started and may start again */
	CHECK_NEEDS_DESTRUCTIVE = 1 << 5, /* leave to write to the disk */
	CHECK_NEEDS_RECONNECT = 1 << 6,	  /* a back-end that outlives its connection */
	/*
	 * No need: memory is taken away that the back-end uses, and few can do more than die of
	 * it. Then that is a warning.
	 */
	CHECK_MAY_DIE = 1 << 7,
};

struct check_case {
	const char *id;	     /* "MEM-03" */
	const char *title;   /* what a right back-end does */
	const char *section; /* "vhost-user, VHOST_USER_SET_MEM_TABLE" */
	const char *text;    /* the sentence */
	enum check_level level;
	uint64_t features, protocol; /* the bits that have to be offered */
	unsigned needs;
	void (*fn)(struct check *check);
};

struct check_group {
	const char *name, *about;
	const struct check_case *cases;
	size_t n;
};

extern const struct check_group *const check_groups[];
extern const size_t check_n_groups;

const char *check_level_name(enum check_level level);
/* Does a list like "framing,MEM-03" name this case, by its group or by its own name? */
int check_list_has(const char *list, const struct check_group *group,
		   const struct check_case *one);
/* Every name of the list is one: 0, else -EINVAL and it is said. */
int check_list_valid(const char *list);

#define CHECK_GROUP(cases) cases, sizeof(cases) / sizeof((cases)[0])

/* The tables, one a file. */
extern const struct check_group check_framing, check_features, check_protocol, check_memory,
	check_states, check_split, check_config, check_reset, check_reconnect, check_hostile,
	check_blk, check_blk_write, check_rng,
	check_packed, check_order, check_postcopy, check_log, check_iotlb, check_transfer,
	check_channel, check_inflight;

#endif
