/* SPDX-License-Identifier: BSD-3-Clause */
/* A sound card that moves to another process in mid-play; and states that nobody has saved. */
#include <stdlib.h>
#include <string.h>

#include "common/frontend/state.h"
#include "tests/device/studio.h"

#define STATE_BYTES 4096
#define PERIOD 480
#define VOLUME (2 * TO_NULL) /* of that stream */

static uint32_t volume(struct studio *studio)
{
	return studio_control_get(studio, VOLUME);
}

static uint32_t defconf(struct studio *studio)
{
	const struct virtio_snd_jack_info *jack;

	studio_expect_ok(studio_query(studio, VIRTIO_SND_R_JACK_INFO, 0, 1, sizeof(*jack),
				      sizeof(*jack)));
	jack = studio_payload(studio);
	return le32toh(jack->hda_reg_defconf);
}

static struct vhu_driver *driver_of(struct studio *studio, unsigned i)
{
	struct vhu_driver *drivers[] = { &studio->control, &studio->event, &studio->tx,
					 &studio->rx };

	return drivers[i];
}

static void stop_rings(struct studio *studio)
{
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(vhu_driver_stop(driver_of(studio, i)), 0);
}

static void start_rings(struct studio *studio)
{
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(vhu_driver_start(driver_of(studio, i)), 0);
}

/* One stream plays, one has parameters only; the rest is as it was. Returns the state's bytes. */
static size_t bring_up_and_save(struct studio *studio, char *bytes)
{
	const struct virtio_snd_jack_remap remap = { { { htole32(VIRTIO_SND_R_JACK_REMAP) } },
						     htole32(5), htole32(9) };
	struct virtio_snd_pcm_set_params params = studio_params(FROM_NULL, PERIOD, 4);
	size_t len;

	studio_begin(studio);
	studio_expect_ok(studio_control_set(studio, VOLUME, 30, 4));
	studio_expect_ok(studio_request(studio, &remap, sizeof(remap), 0));
	studio_expect_ok(studio_set_params(studio, &params));
	studio_prepare(studio, TO_NULL, PERIOD, 0);
	studio_expect_ok(studio_pcm(studio, VIRTIO_SND_R_PCM_START, TO_NULL));
	stop_rings(studio);
	assert_int_equal(vhu_frontend_save_state(&studio->frontend, bytes, STATE_BYTES, &len), 0);
	return len;
}

static void moves_in_mid_play(void **state)
{
	char bytes[STATE_BYTES], again[STATE_BYTES];
	size_t len = bring_up_and_save(*state, bytes), again_len;
	struct studio *other;
	void *other_state;

	assert_int_equal(studio_setup(&other_state), 0);
	other = other_state;
	studio_begin(other);
	assert_int_equal(volume(other), 100);
	stop_rings(other);
	assert_int_equal(vhu_frontend_load_state(&other->frontend, bytes, len), 0);
	assert_int_equal(vhu_frontend_save_state(&other->frontend, again, sizeof(again),
						 &again_len), 0);
	assert_int_equal(again_len, len);
	assert_memory_equal(again, bytes, len);
	start_rings(other);
	assert_int_equal(volume(other), 30);
	assert_int_equal(defconf(other) & 0xff, 0x59);
	/* It plays there. */
	for (unsigned i = 0; i < 8; i++)
		studio_queue(other, TO_NULL, i, i * PERIOD, PERIOD * 4);
	studio_kick(other);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(studio_status(other, studio_wait(other, false)),
				 VIRTIO_SND_S_OK);
	studio_expect_ok(studio_pcm(other, VIRTIO_SND_R_PCM_STOP, TO_NULL));
	studio_expect_ok(studio_pcm(other, VIRTIO_SND_R_PCM_RELEASE, TO_NULL));
	studio_expect_ok(studio_pcm(other, VIRTIO_SND_R_PCM_PREPARE, FROM_NULL));
	assert_int_equal(studio_pcm(other, VIRTIO_SND_R_PCM_PREPARE, FROM_WAV),
			 VIRTIO_SND_S_BAD_MSG);
	assert_int_equal(studio_teardown(&other_state), 0);
}

/* Each byte changed in turn, and all lengths: taken or refused, and the program lives. */
static void what_nobody_saved(void **state)
{
	struct studio *studio = *state;
	char bytes[STATE_BYTES];
	size_t len = bring_up_and_save(studio, bytes), n_refused = 0;

	for (size_t i = 0; i < len; i++) {
		bytes[i] ^= 0x81;
		n_refused += vhu_frontend_load_state(&studio->frontend, bytes, len) != 0;
		bytes[i] ^= 0x81;
	}
	assert_true(n_refused > 24);
	for (size_t n = 0; n < len; n++)
		assert_int_not_equal(vhu_frontend_load_state(&studio->frontend, bytes, n), 0);
	assert_int_equal(vhu_frontend_load_state(&studio->frontend, bytes, len), 0);
	start_rings(studio);
	assert_int_equal(volume(studio), 30);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STUDIO_TEST(moves_in_mid_play),
		STUDIO_TEST(what_nobody_saved),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
