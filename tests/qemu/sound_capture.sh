#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# arecord in a guest: what is in the WAV files that vhu-sound captures from, a stream each, arrives
# from the first frame to the last; after that there is silence. In packed and split rings.

. "$(dirname "$0")/lib.sh"
. "$here/sound.sh"

if [ -n "${VHU_LONG:-}" ]; then
	periods="10 20 40 80"
else
	periods="10 40"
fi

# source NUMBER FORMAT RATE FRAMES
source_file()
{
	"$samples" make "$2" 2 "$3" "$1:$4" >"$dir/source.$1"
}

source_file 0 s16 48000 96000
source_file 1 u8 8000 8000
source_file 2 s32 96000 96000
source_file 3 float 44100 44100

# run LAYOUT SOCKET PACKED
run()
{
	backend_start "$1" cli/vhu-sound --playback null --formats u8,s16,s32,float \
		--rates 8000,44100,48000,96000 --capture "wav:$dir/source.0" \
		--capture "wav:$dir/source.1" --capture "wav:$dir/source.2" \
		--capture "wav:$dir/source.3"
	[ "$3" = 1 ] || hide_feature "$1" $feature_packed
	sound_guest_start "$1.$2" "" -no-reboot < <(
		echo "periods='$periods'"
		cat <<'END'
load_sound
report packed "$(cut -c 35 /sys/bus/virtio/devices/virtio0/features)"
for period in $periods; do
	record 0 s16 48000 $period 48000 0:48000
done
record 0 s16 48000 20 115200 0:96000 silence:19200
record 1 u8 8000 20 4000 1:4000
record 2 s32 96000 10 48000 2:48000
record 3 float 44100 10 22050 3:22050
END
	)
	guest_wait
	check_equal "$1: packed" "$(guest_report packed)" "$3"
	backend_stop "$1"
}

run packed sock 1
run split hidden 0
wait "${proxy_pids[@]}"
finish_test
