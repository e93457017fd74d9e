/* SPDX-License-Identifier: BSD-3-Clause */
/* Nobody listens, and there is silence to be heard. */
#include "devices/sound/host.h"

#include <errno.h>
#include <stdlib.h>

#include "devices/sound/format.h"

static int probe(const struct vhu_sound_stream_options *options, struct vhu_sound_caps *ret_caps)
{
	(void)options;
	*ret_caps = (struct vhu_sound_caps){
		/* IMA ADPCM has no frames to count. */
		.formats = ((1ull << VHU_SOUND_N_FORMATS) - 1) &
			   ~(1ull << VIRTIO_SND_PCM_FMT_IMA_ADPCM),
		.rates = (1ull << VHU_SOUND_N_RATES) - 1,
		.channels_min = 1,
		.channels_max = VIRTIO_SND_CHMAP_MAX_SIZE,
	};
	vhu_sound_usual_maps(ret_caps);
	return 0;
}

static int open_host(const struct vhu_sound_stream_options *options,
		     const struct vhu_sound_params *params, struct vhu_sound_host **ret_host)
{
	struct vhu_sound_host *host = calloc(1, sizeof(*host));

	(void)options;
	if (!host)
		return -ENOMEM;
	*host = (struct vhu_sound_host){ .ops = &vhu_sound_host_null, .params = *params };
	*ret_host = host;
	return 0;
}

static void close_host(struct vhu_sound_host *host)
{
	free(host);
}

static int do_nothing(struct vhu_sound_host *host)
{
	(void)host;
	return 0;
}

static int64_t write_frames(struct vhu_sound_host *host, struct vhu_iov_cursor *from,
			    uint32_t n_frames)
{
	vhu_iov_skip(from, (size_t)n_frames * host->params.frame_bytes);
	return n_frames;
}

static int64_t read_frames(struct vhu_sound_host *host, struct vhu_iov_cursor *to,
			   uint32_t n_frames)
{
	vhu_sound_silence(host->params.format, to, (size_t)n_frames * host->params.channels);
	return n_frames;
}

const struct vhu_sound_host_ops vhu_sound_host_null = {
	.name = "null",
	.probe = probe,
	.open = open_host,
	.close = close_host,
	.reset = do_nothing,
	.start = do_nothing,
	.write = write_frames,
	.read = read_frames,
};
