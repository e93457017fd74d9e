/* SPDX-License-Identifier: BSD-3-Clause */
/* Grab, ungrab and hotkeys, on a source that does what it is told. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "devices/input/gate.h"

struct fake {
	struct vhu_input_source source;
	int grab_result;
	bool grabbed, listened;
	unsigned n_writes;
	struct vhu_input_event written;
};

/* Behind the gate: what the guest would see. */
struct behind {
	struct vhu_input_sink sink;
	struct vhu_input_state state;
	unsigned n_packets, n_resyncs;
};

struct scene {
	struct vhu_loop *loop;
	struct fake fake;
	struct behind behind;
	struct vhu_input_stats stats;
	struct vhu_input_gate gate;
};

static int fake_grab(struct vhu_input_source *source, bool on)
{
	struct fake *fake = (struct fake *)source;

	assert_false(vhu_input_state_any_key(&source->state));
	if (fake->grab_result == 0)
		fake->grabbed = on;
	return fake->grab_result;
}

static void fake_write(struct vhu_input_source *source, const struct vhu_input_event *event)
{
	struct fake *fake = (struct fake *)source;

	fake->n_writes++;
	fake->written = *event;
}

static void fake_listened(struct vhu_input_source *source, bool on)
{
	((struct fake *)source)->listened = on;
}

static const struct vhu_input_source_ops fake_ops = {
	.name = "fake",
	.grab = fake_grab,
	.write = fake_write,
	.listened = fake_listened,
};

static void take_packet(struct vhu_input_sink *sink, const struct vhu_input_event *events, size_t n,
			uint64_t time_ns)
{
	struct behind *behind = (struct behind *)sink;

	(void)time_ns;
	for (size_t i = 0; i < n; i++)
		vhu_input_state_apply(&behind->state, &events[i]);
	behind->n_packets++;
}

static void take_resync(struct vhu_input_sink *sink, const struct vhu_input_state *state)
{
	struct behind *behind = (struct behind *)sink;

	behind->state = *state;
	behind->n_resyncs++;
}

static void begin(struct scene *scene, unsigned policy, unsigned hotkey, struct vhu_loop *loop)
{
	const struct vhu_input_options options = { .grab = policy, .hotkey = hotkey };

	memset(scene, 0, sizeof(*scene));
	scene->behind.sink = (struct vhu_input_sink){ take_packet, take_resync };
	vhu_input_state_init(&scene->behind.state);
	vhu_input_source_init(&scene->fake.source, &fake_ops, "fake");
	vhu_input_gate_init(&scene->gate, &options, &scene->fake.source, &scene->behind.sink,
			    &scene->stats);
	scene->fake.source.loop = loop;
	scene->fake.source.sink = &scene->gate.sink;
}

static void put(struct scene *scene, uint16_t type, uint16_t code, int32_t value)
{
	vhu_input_source_event(&scene->fake.source, type, code, value, 0);
	vhu_input_source_event(&scene->fake.source, EV_SYN, SYN_REPORT, 0, 0);
}

static void key(struct scene *scene, uint16_t code, int32_t value)
{
	put(scene, EV_KEY, code, value);
}

static bool sees(const struct scene *scene, unsigned code)
{
	return scene->behind.state.keys[code / 8] >> code % 8 & 1;
}

static void turn(struct vhu_loop *loop)
{
	while (vhu_loop_turn(loop, 0) > 0)
		;
}

static void test_always_waits_for_the_keys(void **state)
{
	struct scene scene;

	(void)state;
	begin(&scene, VHU_INPUT_GRAB_ALWAYS, 0, NULL);
	key(&scene, KEY_ENTER, 1);
	assert_int_equal(scene.behind.n_packets, 0);
	assert_int_equal(vhu_counter_get(&scene.stats.unheard), 1);
	/* Whoever starts the guest by Enter still holds it. */
	vhu_input_gate_listen(&scene.gate, true);
	assert_true(scene.fake.listened);
	assert_false(scene.fake.grabbed);
	assert_false(sees(&scene, KEY_ENTER));
	key(&scene, KEY_A, 1);
	key(&scene, KEY_ENTER, 0);
	assert_false(scene.fake.grabbed);
	key(&scene, KEY_A, 0);
	assert_true(scene.fake.grabbed);
	assert_int_equal(scene.behind.n_packets, 0);
	key(&scene, KEY_B, 1);
	assert_true(sees(&scene, KEY_B));
	/* The guest has gone: released there, and kept from the host until it is up. */
	vhu_input_gate_listen(&scene.gate, false);
	assert_false(sees(&scene, KEY_B));
	assert_true(scene.fake.grabbed);
	key(&scene, KEY_B, 0);
	assert_false(scene.fake.grabbed);
	assert_int_equal(vhu_counter_get(&scene.stats.grabs), 1);
}

static void test_never(void **state)
{
	struct scene scene;

	(void)state;
	begin(&scene, VHU_INPUT_GRAB_NEVER, 0, NULL);
	key(&scene, KEY_A, 1);
	assert_int_equal(scene.behind.n_packets, 0);
	vhu_input_gate_listen(&scene.gate, true);
	assert_true(sees(&scene, KEY_A));
	assert_false(scene.fake.grabbed);
	vhu_input_gate_write(&scene.gate, &(struct vhu_input_event){ EV_REP, REP_DELAY, 250 });
	assert_int_equal(scene.fake.n_writes, 0);
	vhu_input_gate_write(&scene.gate, &(struct vhu_input_event){ EV_LED, LED_CAPSL, 1 });
	assert_int_equal(scene.fake.n_writes, 1);
	vhu_input_gate_listen(&scene.gate, false);
	assert_false(sees(&scene, KEY_A));
}

static void test_another_has_it(void **state)
{
	struct scene scene;

	(void)state;
	begin(&scene, VHU_INPUT_GRAB_ALWAYS, 0, NULL);
	scene.fake.grab_result = -EBUSY;
	vhu_input_gate_listen(&scene.gate, true);
	key(&scene, KEY_A, 1);
	assert_false(sees(&scene, KEY_A));
	/* No longer: the next time that no key is down. */
	scene.fake.grab_result = 0;
	key(&scene, KEY_A, 0);
	key(&scene, KEY_A, 1);
	assert_true(sees(&scene, KEY_A));
}

static void test_unplugged(void **state)
{
	struct scene scene;

	(void)state;
	begin(&scene, VHU_INPUT_GRAB_ALWAYS, 0, NULL);
	vhu_input_gate_listen(&scene.gate, true);
	vhu_input_gate_write(&scene.gate, &(struct vhu_input_event){ EV_LED, LED_CAPSL, 1 });
	key(&scene, KEY_A, 1);
	key(&scene, KEY_B, 1);
	scene.behind.n_resyncs = 0;
	scene.fake.source.grabbed = false;
	scene.fake.grabbed = false;
	scene.fake.grab_result = -ENODEV;
	vhu_input_source_release(&scene.fake.source);
	assert_int_equal(scene.behind.n_resyncs, 1);
	assert_false(vhu_input_state_any_key(&scene.behind.state));
	/* Back, with a key down: the host has seen it, and shall see it released. */
	scene.fake.n_writes = 0;
	scene.fake.grab_result = 0;
	scene.fake.source.state.keys[KEY_C / 8] |= 1u << KEY_C % 8;
	scene.gate.sink.resync(&scene.gate.sink, &scene.fake.source.state);
	assert_false(scene.fake.grabbed);
	assert_false(sees(&scene, KEY_C));
	key(&scene, KEY_C, 0);
	assert_true(scene.fake.grabbed);
	/* The new one is lit as the old one was. */
	assert_int_equal(scene.fake.n_writes, 1);
	assert_int_equal(scene.fake.written.code, LED_CAPSL);
}

/* What was cut short is repaired; the grab stays, whatever is down. */
static void test_resync_while_grabbed(void **state)
{
	struct scene scene;

	(void)state;
	begin(&scene, VHU_INPUT_GRAB_ALWAYS, 0, NULL);
	vhu_input_gate_listen(&scene.gate, true);
	key(&scene, KEY_A, 1);
	scene.behind.n_resyncs = 0;
	scene.gate.sink.resync(&scene.gate.sink, &scene.fake.source.state);
	assert_int_equal(scene.behind.n_resyncs, 1);
	assert_true(sees(&scene, KEY_A));
	assert_true(scene.fake.grabbed);
}

static void press_hotkey(struct scene *scene, uint16_t a, uint16_t b)
{
	key(scene, a, 1);
	if (b != a)
		key(scene, b, 1);
	key(scene, a, 0);
	if (b != a)
		key(scene, b, 0);
}

static void test_toggle_all(void **state)
{
	struct scene keyboard, mouse, stranger;
	struct vhu_loop *loop;

	(void)state;
	assert_int_equal(vhu_loop_new(&loop), 0);
	begin(&keyboard, VHU_INPUT_GRAB_TOGGLE, 0, loop);
	begin(&mouse, VHU_INPUT_GRAB_TOGGLE, 0, loop);
	begin(&stranger, VHU_INPUT_GRAB_ALWAYS, 0, loop);
	vhu_input_gate_listen(&keyboard.gate, true);
	vhu_input_gate_listen(&mouse.gate, true);
	vhu_input_gate_listen(&stranger.gate, true);
	assert_true(keyboard.fake.grabbed && mouse.fake.grabbed && stranger.fake.grabbed);

	/* With others held, it is done when all are up; the mouse's when its button is. */
	key(&keyboard, KEY_A, 1);
	press_hotkey(&keyboard, KEY_LEFTCTRL, KEY_RIGHTCTRL);
	turn(loop);
	assert_true(keyboard.fake.grabbed && mouse.fake.grabbed);
	key(&mouse, BTN_LEFT, 1);
	assert_true(sees(&keyboard, KEY_A));
	key(&keyboard, KEY_A, 0);
	turn(loop);
	assert_false(keyboard.fake.grabbed);
	assert_false(vhu_input_state_any_key(&keyboard.behind.state));
	assert_true(mouse.fake.grabbed);
	assert_true(sees(&mouse, BTN_LEFT));
	key(&mouse, BTN_LEFT, 0);
	assert_false(mouse.fake.grabbed);
	assert_false(sees(&mouse, BTN_LEFT));
	assert_true(stranger.fake.grabbed);

	/* The host's now; the guest's lights wait. */
	key(&keyboard, KEY_B, 1);
	assert_false(sees(&keyboard, KEY_B));
	vhu_input_gate_write(&keyboard.gate, &(struct vhu_input_event){ EV_LED, LED_NUML, 1 });
	vhu_input_gate_write(&keyboard.gate, &(struct vhu_input_event){ EV_LED, LED_NUML, 0 });
	assert_int_equal(keyboard.fake.n_writes, 0);
	press_hotkey(&keyboard, KEY_RIGHTCTRL, KEY_LEFTCTRL);
	key(&keyboard, KEY_B, 0);
	turn(loop);
	assert_true(keyboard.fake.grabbed && mouse.fake.grabbed);
	assert_false(vhu_input_state_any_key(&keyboard.behind.state));
	assert_int_equal(keyboard.fake.n_writes, 1);
	assert_int_equal(keyboard.fake.written.value, 0);

	vhu_input_gate_listen(&keyboard.gate, false);
	vhu_input_gate_listen(&mouse.gate, false);
	vhu_input_gate_listen(&stranger.gate, false);
	vhu_loop_destroy(loop);
}

/* A hotkey that ends by being unplugged is none: the next key would seem to be its end. */
static void test_hotkey_unplugged(void **state)
{
	struct scene scene;
	struct vhu_loop *loop;

	(void)state;
	assert_int_equal(vhu_loop_new(&loop), 0);
	begin(&scene, VHU_INPUT_GRAB_TOGGLE, 0, loop);
	vhu_input_gate_listen(&scene.gate, true);
	key(&scene, KEY_LEFTCTRL, 1);
	key(&scene, KEY_RIGHTCTRL, 1);
	scene.fake.source.grabbed = false;
	vhu_input_source_release(&scene.fake.source);
	turn(loop);
	assert_true(scene.fake.grabbed);
	key(&scene, KEY_A, 1);
	key(&scene, KEY_A, 0);
	turn(loop);
	assert_true(scene.fake.grabbed);
	vhu_input_gate_listen(&scene.gate, false);
	vhu_loop_destroy(loop);
}

/* One guest has given its devices back and gone: the next one begins with them. */
static void test_next_guest(void **state)
{
	struct scene keyboard, mouse;
	struct vhu_loop *loop;

	(void)state;
	assert_int_equal(vhu_loop_new(&loop), 0);
	begin(&keyboard, VHU_INPUT_GRAB_TOGGLE, 0, loop);
	begin(&mouse, VHU_INPUT_GRAB_TOGGLE, 0, loop);
	vhu_input_gate_listen(&keyboard.gate, true);
	press_hotkey(&keyboard, KEY_LEFTCTRL, KEY_RIGHTCTRL);
	turn(loop);
	assert_false(keyboard.fake.grabbed);
	/* Of the same guest: it goes with the others. */
	vhu_input_gate_listen(&mouse.gate, true);
	assert_false(mouse.fake.grabbed);
	vhu_input_gate_listen(&keyboard.gate, false);
	vhu_input_gate_listen(&mouse.gate, false);
	vhu_input_gate_listen(&mouse.gate, true);
	assert_true(mouse.fake.grabbed);
	vhu_input_gate_listen(&mouse.gate, false);
	vhu_loop_destroy(loop);
}

/* A finger that the host has seen come must be seen to go; not all screens have BTN_TOUCH. */
static void test_a_contact_is_held(void **state)
{
	struct scene scene;

	(void)state;
	begin(&scene, VHU_INPUT_GRAB_ALWAYS, 0, NULL);
	put(&scene, EV_ABS, ABS_MT_TRACKING_ID, 7);
	vhu_input_gate_listen(&scene.gate, true);
	assert_false(scene.fake.grabbed);
	put(&scene, EV_ABS, ABS_MT_TRACKING_ID, -1);
	assert_true(scene.fake.grabbed);
	put(&scene, EV_ABS, ABS_MT_TRACKING_ID, 8);
	vhu_input_gate_listen(&scene.gate, false);
	assert_true(scene.fake.grabbed);
	put(&scene, EV_ABS, ABS_MT_TRACKING_ID, -1);
	assert_false(scene.fake.grabbed);
}

/* Nobody is left to end a tone; a light may stay, it is the host's to set anew. */
static void test_a_tone_ends_with_its_guest(void **state)
{
	struct scene scene;

	(void)state;
	begin(&scene, VHU_INPUT_GRAB_NEVER, 0, NULL);
	vhu_input_gate_listen(&scene.gate, true);
	vhu_input_gate_write(&scene.gate, &(struct vhu_input_event){ EV_SND, SND_TONE, 440 });
	vhu_input_gate_write(&scene.gate, &(struct vhu_input_event){ EV_LED, LED_CAPSL, 1 });
	assert_int_equal(scene.fake.n_writes, 2);
	vhu_input_gate_listen(&scene.gate, false);
	assert_int_equal(scene.fake.n_writes, 3);
	assert_int_equal(scene.fake.written.type, EV_SND);
	assert_int_equal(scene.fake.written.code, SND_TONE);
	assert_int_equal(scene.fake.written.value, 0);
}

static void test_every_hotkey(void **state)
{
	static const uint16_t keys[][2] = {
		{ KEY_LEFTCTRL, KEY_RIGHTCTRL },   { KEY_LEFTALT, KEY_RIGHTALT },
		{ KEY_LEFTSHIFT, KEY_RIGHTSHIFT }, { KEY_LEFTMETA, KEY_RIGHTMETA },
		{ KEY_SCROLLLOCK, KEY_SCROLLLOCK }, { KEY_RIGHTCTRL, KEY_SCROLLLOCK },
	};
	struct scene scene;
	struct vhu_loop *loop;
	unsigned i;

	(void)state;
	assert_int_equal(vhu_loop_new(&loop), 0);
	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		assert_non_null(vhu_input_hotkey_names[i]);
		begin(&scene, VHU_INPUT_GRAB_TOGGLE, i, loop);
		vhu_input_gate_listen(&scene.gate, true);
		assert_true(scene.fake.grabbed);
		key(&scene, keys[i][0], 1);
		key(&scene, keys[i][0], 0);
		turn(loop);
		/* Scroll lock is one by itself. */
		assert_int_equal(scene.fake.grabbed, keys[i][0] != keys[i][1]);
		press_hotkey(&scene, keys[i][0], keys[i][1]);
		turn(loop);
		assert_int_equal(scene.fake.grabbed, keys[i][0] == keys[i][1]);
		if (!scene.fake.grabbed)
			press_hotkey(&scene, keys[i][1], keys[i][0]);
		turn(loop);
		assert_true(scene.fake.grabbed);
		vhu_input_gate_listen(&scene.gate, false);
	}
	assert_null(vhu_input_hotkey_names[i]);
	vhu_loop_destroy(loop);
}

/* Devices with workers of their own: each presses the hotkey, comes and goes as it likes. */
#define N_WORKERS 4
#define N_ROUNDS 300

struct hand {
	struct scene scene;
	struct vhu_loop *loop;
	pthread_t thread;
	pthread_barrier_t *calm;
};

static void *press_and_leave(void *data)
{
	struct hand *hand = data;

	for (unsigned i = 0; i < N_ROUNDS; i++) {
		vhu_input_gate_listen(&hand->scene.gate, true);
		press_hotkey(&hand->scene, KEY_LEFTCTRL, KEY_RIGHTCTRL);
		turn(hand->loop);
		if (i % 3 == 0)
			vhu_input_gate_listen(&hand->scene.gate, false);
	}
	vhu_input_gate_listen(&hand->scene.gate, true);
	/* The last word is one hand's, and for all. */
	if (pthread_barrier_wait(hand->calm) == PTHREAD_BARRIER_SERIAL_THREAD)
		press_hotkey(&hand->scene, KEY_LEFTCTRL, KEY_RIGHTCTRL);
	pthread_barrier_wait(hand->calm);
	turn(hand->loop);
	return NULL;
}

/* Whatever came between, in the end all are the guest's or all the host's. */
static void test_toggle_across_workers(void **state)
{
	struct hand hands[N_WORKERS];
	pthread_barrier_t calm;

	(void)state;
	pthread_barrier_init(&calm, NULL, N_WORKERS);
	for (unsigned i = 0; i < N_WORKERS; i++) {
		assert_int_equal(vhu_loop_new(&hands[i].loop), 0);
		hands[i].calm = &calm;
		begin(&hands[i].scene, VHU_INPUT_GRAB_TOGGLE, 0, hands[i].loop);
	}
	for (unsigned i = 0; i < N_WORKERS; i++)
		assert_int_equal(pthread_create(&hands[i].thread, NULL, press_and_leave, &hands[i]),
				 0);
	for (unsigned i = 0; i < N_WORKERS; i++)
		pthread_join(hands[i].thread, NULL);
	for (unsigned i = 0; i < N_WORKERS; i++) {
		assert_int_equal(hands[i].scene.fake.grabbed, hands[0].scene.fake.grabbed);
		assert_int_equal(hands[i].scene.gate.open, hands[i].scene.fake.grabbed);
		assert_false(vhu_input_state_any_key(&hands[i].scene.behind.state));
	}
	/* One more is for all; who leaves with it on its way is left alone. */
	press_hotkey(&hands[0].scene, KEY_LEFTCTRL, KEY_RIGHTCTRL);
	for (unsigned i = 0; i < N_WORKERS; i++) {
		vhu_input_gate_listen(&hands[i].scene.gate, false);
		vhu_loop_destroy(hands[i].loop);
		assert_false(hands[i].scene.fake.grabbed);
	}
	pthread_barrier_destroy(&calm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_always_waits_for_the_keys),
		cmocka_unit_test(test_never),
		cmocka_unit_test(test_another_has_it),
		cmocka_unit_test(test_unplugged),
		cmocka_unit_test(test_resync_while_grabbed),
		cmocka_unit_test(test_toggle_all),
		cmocka_unit_test(test_hotkey_unplugged),
		cmocka_unit_test(test_next_guest),
		cmocka_unit_test(test_a_contact_is_held),
		cmocka_unit_test(test_a_tone_ends_with_its_guest),
		cmocka_unit_test(test_every_hotkey),
		cmocka_unit_test(test_toggle_across_workers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
