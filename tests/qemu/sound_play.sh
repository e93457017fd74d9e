#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# aplay in a guest: every frame that it plays is in the file that vhu-sound writes, to the last
# one, and nothing else is. In split and packed rings; in the long form, on the latter, in six
# formats at four rates, with four lengths of period each.

. "$(dirname "$0")/lib.sh"
. "$here/sound.sh"

formats=s16 rates=48000 periods="10 40"
# run LAYOUT SOCKET PACKED
run()
{
	local layout=$1 format rate file=$1 n=1

	backend_start "$layout" cli/vhu-sound --capture null \
		--playback "wav:$dir/$layout.wav,formats=${formats// /+},rates=${rates// /+}"
	[ "$3" = 1 ] || hide_feature "$layout" $feature_packed
	sound_guest_start "$layout.$2" "" -no-reboot < <(
		echo "formats='$formats' rates='$rates' periods='$periods'"
		cat <<'END'
load_sound
check_equal "no elements without controls=on" "$(amixer -D hw:0 controls | grep -c MIXER)" 0
report packed "$(cut -c 35 /sys/bus/virtio/devices/virtio0/features)"
for format in $formats; do
	for rate in $rates; do
		for period in $periods; do
			play $format.$rate 0 $format $rate $period $((rate + 123))
		done
	done
done
END
	)
	guest_wait
	check_equal "$layout: packed" "$(guest_report packed)" "$3"
	backend_stop "$layout"
	for format in $formats; do
		for rate in $rates; do
			check_played "$layout: $format at $rate Hz" "$format.$rate" "$file"
			file=$layout-$((++n))
		done
	done
}

run split hidden 0
wait "${proxy_pids[@]}"
if [ -n "${VHU_LONG:-}" ]; then
	formats="s8 u8 s16 s24 s32 float" rates="8000 44100 48000 96000" periods="10 20 40 80"
	guest_seconds=900
fi
run packed sock 1
finish_test
