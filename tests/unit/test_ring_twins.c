/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * One random script, of the driver and of the device, through a split and through a packed ring:
 * what either side sees must be the same, word for word. A seed as argument runs that one alone and
 * prints what was seen.
 */

#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/ring_twin.h"

#include "common/base/num.h"

#define RUNS 200
#define STEPS 1500
#define TABLE_MAX 24
#define LOG_BYTES (1u << 20)
#define IN_ORDER (1ull << VIRTIO_F_IN_ORDER)

static const uint64_t region_ends[] = { 0x104321, 0x110000, 0x110010, 0x150000, GUEST_BYTES };

struct run {
	struct twin t;
	uint64_t random;
	bool in_order;
	bool offered[TWIN_REQUESTS];
	struct vhu_chain *held[TWIN_REQUESTS]; /* in the order of the pops */
	uint32_t written[TWIN_REQUESTS];       /* of those */
	unsigned n_held;
	bool asks_for_kicks; /* else the driver may kick or not */
	bool wants_calls;
	char log[LOG_BYTES];
	size_t log_len;
};

__attribute__((format(printf, 2, 3))) static void say(struct run *r, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	r->log_len += (size_t)vsnprintf(r->log + r->log_len, LOG_BYTES - r->log_len, format, args);
	va_end(args);
	assert_true(r->log_len < LOG_BYTES);
}

static uint32_t draw(struct run *r, uint32_t below)
{
	r->random ^= r->random << 13;
	r->random ^= r->random >> 7;
	r->random ^= r->random << 17;
	return (uint32_t)((r->random >> 16) % below);
}

static uint32_t hash(uint32_t h, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		h = (h ^ bytes[i]) * 16777619;
	return h;
}

/* Up to max buffers of a zone; some touch, some are empty. */
static unsigned make_buffers(struct run *r, uint64_t gpa, struct element *elements, unsigned max)
{
	unsigned n = 1 + draw(r, max), n_readable = draw(r, n + 1);

	for (unsigned i = 0; i < n; i++) {
		uint32_t len = draw(r, 5) ? 1 + draw(r, 900) : 0;
		uint8_t *mem = guest_at(&r->t.p.g, gpa);

		elements[i] = (struct element){ gpa, len, i < n_readable ? 0 : WRITE };
		for (uint32_t k = 0; k < len; k++)
			mem[k] = (uint8_t)draw(r, 256);
		gpa += len + draw(r, 2) * draw(r, 100);
	}
	return n;
}

/* The ways in which a chain is malformed that both layouts know. */
static void spoil_buffers(struct run *r, struct element *elements, unsigned n)
{
	struct element *e = &elements[draw(r, n)];

	if (n > 1 && draw(r, 2)) { /* readable after writable */
		elements[0].flags |= WRITE;
		elements[n - 1].flags &= ~WRITE;
	} else if (draw(r, 2)) {
		e->addr = draw(r, 2) ? GUEST_END - 4 : UINT64_MAX - 3;
		e->len = 8;
	} else {
		e->len = UINT32_MAX;
	}
}

static void spoil_table(struct run *r, struct element *table)
{
	switch (draw(r, 3)) {
	case 0:
		table->len += 1 + draw(r, 15);
		break;
	case 1:
		table->len = (1025 + draw(r, 100000)) * 16;
		break;
	default:
		*table = (struct element){ GUEST_END - 16 * draw(r, 2), 32, TABLE };
	}
}

static void offer(struct run *r)
{
	unsigned id = draw(r, TWIN_REQUESTS), n;
	struct element elements[TABLE_MAX];
	uint64_t zone = twin_zone(id), table = zone + TWIN_ZONE_BYTES - 0x400 + draw(r, 0x200);
	bool indirect = draw(r, 2), bad = !draw(r, 8);

	if (r->offered[id])
		return;
	n = make_buffers(r, zone, elements, indirect ? TABLE_MAX : TWIN_STRIDE);
	if (bad && (!indirect || draw(r, 2))) {
		spoil_buffers(r, elements, n);
		bad = false;
	}
	if (indirect) {
		twin_write_table(&r->t, table, elements, n);
		elements[0] = (struct element){ table, n * 16, TABLE | (draw(r, 2) ? WRITE : 0) };
		n = 1;
		if (bad)
			spoil_table(r, &elements[0]);
	}
	for (unsigned i = 0; i + 1 < n; i++)
		elements[i].flags |= NEXT;
	r->offered[id] = true;
	say(r, "offer %u kick %d\n", id,
	    twin_offer(&r->t, id, elements, n) && r->asks_for_kicks);
}

/* What the device does: reads all, and writes some of what it may. */
static uint32_t use(struct run *r, struct vhu_chain *chain)
{
	uint32_t written = draw(r, (uint32_t)min_u64(chain->writable_bytes, 1 << 20) + 1);
	struct vhu_iov_cursor cursor;
	uint32_t h = 2166136261;
	uint8_t byte;

	vhu_chain_reader(chain, &cursor);
	for (size_t i = 0; i < chain->readable_bytes; i++) {
		assert_int_equal(vhu_iov_read(&cursor, &byte, 1), 1);
		h = hash(h, &byte, 1);
	}
	vhu_chain_writer(chain, &cursor);
	for (uint32_t i = 0; i < written; i++) {
		byte = (uint8_t)draw(r, 256);
		assert_int_equal(vhu_iov_write(&cursor, &byte, 1), 1);
	}
	say(r, "  %08x, wrote %u\n", h, written);
	return written;
}

static void pop(struct run *r)
{
	struct vhu_virtqueue *q = &r->t.p.g.q;
	struct vhu_chain *chain = vhu_virtqueue_pop(q);

	say(r, "pop: malformed %u %s\n", (unsigned)q->malformed,
	    q->why_malformed ? q->why_malformed : "");
	if (!chain) {
		say(r, "  nothing, broken %d, cut short %d\n", q->broken, q->cut_short);
		q->cut_short = false;
		return;
	}
	say(r, "  %u: %u + %u segments, %zu + %zu bytes:", twin_id(&r->t, chain),
	    chain->n_readable, chain->n_writable, chain->readable_bytes, chain->writable_bytes);
	for (unsigned i = 0; i < chain->n_readable + chain->n_writable; i++)
		say(r, " %zu", chain->iov[i].iov_len);
	r->written[r->n_held] = use(r, chain);
	r->held[r->n_held++] = chain;
}

/* With others behind it that have gone back to the driver it goes there too. */
static void unpop(struct run *r)
{
	if (!r->n_held)
		return;
	vhu_virtqueue_unpop(&r->t.p.g.q, r->held[--r->n_held]);
	say(r, "unpop\n");
}

static void push(struct run *r)
{
	unsigned i;

	if (!r->n_held)
		return;
	i = r->in_order ? 0 : draw(r, r->n_held);
	say(r, "push %u\n", twin_id(&r->t, r->held[i]));
	vhu_virtqueue_push(&r->t.p.g.q, r->held[i], r->written[i]);
	r->n_held--;
	for (; i < r->n_held; i++) {
		r->held[i] = r->held[i + 1];
		r->written[i] = r->written[i + 1];
	}
}

static void publish(struct run *r)
{
	say(r, "publish: call %d\n", vhu_virtqueue_publish(&r->t.p.g.q));
}

static void get_used(struct run *r)
{
	uint32_t len;
	unsigned id;

	while (twin_get_used(&r->t, &id, &len)) {
		assert_true(r->offered[id]);
		r->offered[id] = false;
		say(r, "used %u: %u bytes, zone %08x\n", id, len,
		    hash(2166136261, guest_at(&r->t.p.g, twin_zone(id)), TABLE_MAX * 1000));
	}
	twin_want_call(&r->t, r->wants_calls);
}

static void look(struct run *r)
{
	say(r, "news %d\n", vhu_virtqueue_has_news(&r->t.p.g.q));
}

static void enable_kicks(struct run *r)
{
	r->asks_for_kicks = true;
	say(r, "enable: %d\n", vhu_virtqueue_enable_kicks(&r->t.p.g.q));
}

static void disable_kicks(struct run *r)
{
	vhu_virtqueue_disable_kicks(&r->t.p.g.q);
	r->asks_for_kicks = false;
}

static void want_call(struct run *r)
{
	r->wants_calls = draw(r, 2);
	twin_want_call(&r->t, r->wants_calls);
}

static void restart(struct run *r)
{
	struct vhu_virtqueue *q = &r->t.p.g.q;

	if (q->in_flight || draw(r, 4))
		return;
	publish(r);
	say(r, "new %d\n", vhu_virtqueue_is_new(q));
	twin_restart(&r->t);
}

static void run_script(struct run *r, unsigned seed, bool packed)
{
	static void (*const steps[])(struct run *r) = {
		offer, offer, offer, pop, pop, pop, push, push, unpop, publish, get_used, look,
		enable_kicks, disable_kicks, want_call, restart,
	};
	static const uint64_t features[] = {
		INDIRECT, INDIRECT | EVENT_IDX, EVENT_IDX, INDIRECT | IN_ORDER,
		INDIRECT | EVENT_IDX | IN_ORDER,
	};
	uint64_t chosen = features[seed % ARRAY_SIZE(features)];
	struct vhu_memory *map;

	memset(r, 0, sizeof(*r));
	r->random = (seed + 1) * 0x9e3779b97f4a7c15ull;
	r->in_order = chosen & IN_ORDER;
	twin_start(&r->t, packed, chosen);
	map = guest_map(&r->t.p.g, region_ends, ARRAY_SIZE(region_ends));
	assert_int_equal(vhu_virtqueue_set_memory(&r->t.p.g.q, map), 0);
	vhu_memory_unref(r->t.p.g.memory);
	r->t.p.g.memory = map;
	disable_kicks(r);
	want_call(r);
	for (unsigned i = 0; i < STEPS; i++)
		steps[draw(r, ARRAY_SIZE(steps))](r);
	do {
		pop(r);
		while (r->n_held)
			push(r);
		publish(r);
		get_used(r);
	} while (vhu_virtqueue_has_news(&r->t.p.g.q));
	for (unsigned id = 0; id < TWIN_REQUESTS; id++)
		say(r, "left: %u %d\n", id, r->offered[id]);
	twin_finish(&r->t);
}

static struct run split, packed;
static unsigned first_seed = 1, last_seed = RUNS;

/* The line where the two part, and some before it. */
static void show_difference(unsigned seed)
{
	size_t at = 0, begin;

	while (split.log[at] == packed.log[at])
		at++;
	for (begin = at; begin && (split.log[begin - 1] != '\n' || at - begin < 400); begin--)
		;
	fail_msg("seed %u: the split ring: %.*s\n... the packed ring: %.*s", seed,
		 (int)(at - begin + 60), split.log + begin, (int)(at - begin + 60),
		 packed.log + begin);
}

static void both_layouts_do_the_same(void **state)
{
	(void)state;
	for (unsigned seed = first_seed; seed <= last_seed; seed++) {
		run_script(&split, seed, false);
		run_script(&packed, seed, true);
		if (first_seed == last_seed)
			print_message("%s", split.log);
		if (strcmp(split.log, packed.log))
			show_difference(seed);
	}
}

/* Runs that meet nothing would agree too. */
static void scripts_meet_what_they_are_for(void **state)
{
	static const char *const wanted[] = {
		"kick 1", "kick 0", "call 1", "call 0", "news 1", "enable: 1", "unpop",
		"cut short 1", "new 1", "a readable buffer after a writable one",
		"a buffer outside guest memory", "an indirect table of an odd length",
		"an indirect table that is too long", "an indirect table outside guest memory",
		"an indirect table that was not negotiated",
	};
	bool seen[ARRAY_SIZE(wanted)] = { false };

	(void)state;
	for (unsigned seed = 1; seed <= 20; seed++) {
		run_script(&packed, seed, true);
		for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
			seen[i] |= strstr(packed.log, wanted[i]) != NULL;
	}
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
		if (!seen[i])
			fail_msg("never seen: %s", wanted[i]);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_layouts_do_the_same),
		cmocka_unit_test(scripts_meet_what_they_are_for),
	};

	if (argc > 1)
		first_seed = last_seed = (unsigned)strtoul(argv[1], NULL, 0);
	return cmocka_run_group_tests_name("ring/twins", tests, NULL, NULL);
}
