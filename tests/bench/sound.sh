#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# sound.sh [ROUNDS]: what a guest that plays costs, by vhu-sound and by QEMU's own virtio-sound, in
# turn; both write a WAV file. S16 stereo at 48000 Hz in periods of 10 ms, for 14 seconds, of which
# 10 in the middle are looked at. $VHU_BUILD says where it was built. Two lines a round, then the
# medians:
#
#	device	who has the sound: vhu-sound, or QEMU's main thread, less what that did for other
#		reasons before; in parts of a core, and in times a second that it went to sleep
#	all	of QEMU, the guest included, and vhu-sound, in parts of a core, less the same
#	arrived	of the frames

. "$(dirname "$0")/../qemu/lib.sh"
. "$here/sound.sh"

rounds=${1:-3}
tries=3
frames=$((14 * 48000))
peer="-audiodev wav,id=wav,path=$dir/card.wav,out.frequency=48000
	-device virtio-sound-pci,audiodev=wav"

# threads_of KIND: those that have the sound
threads_of()
{
	if [ "$1" = vhu-sound ]; then
		echo "/proc/${backend_pid[card]}/task/*"
	else
		echo "/proc/$qemu/task/$qemu"
	fi
}

# The time now, then the seconds on a processor and the times asleep of threads.
look()
{
	local task

	echo "$EPOCHREALTIME"
	for task; do
		cut -d ' ' -f 1 "$task/schedstat"
		sed -n 's/^voluntary_ctxt_switches:/asleep/p' "$task/status"
	done 2>/dev/null | awk '/asleep/ { n += $2; next } { ns += $1 } END { print ns / 1e9, n }'
}

# while_of SECONDS THREAD...: seconds on a processor, and times asleep, a second
while_of()
{
	local seconds=$1 before
	shift

	before=$(look "$@")
	sleep "$seconds"
	echo $before $(look "$@") | awk '{ t = $4 - $1; print ($5 - $2) / t, ($6 - $3) / t }'
}

# measure KIND SECONDS: of the device, and of all
measure()
{
	local all="/proc/$qemu/task/*"

	[ "$1" != vhu-sound ] || all+=" $(threads_of "$1")"
	while_of "$2" $all >"$dir/all" &
	while_of "$2" $(threads_of "$1")
	wait $!
	cat "$dir/all"
}

# play_in_guest KIND QEMU-OPTION...: leaves what was measured in idle and busy. Fails when aplay was
# late.
play_in_guest()
{
	local kind=$1
	shift

	guest_start -no-reboot "$@" < <(cat "$here/guest/sound.sh" - <<END
load_sound
sleep 1
echo idle
sleep 6
begin_play 0 s16 48000 10 $frames
wait_for 10 has_state 0 RUNNING
echo playing
end_play card 48000 10 $frames
END
	)
	guest_wait_line idle
	qemu=$(cat "$dir/qemu.pid")
	idle=$(measure "$kind" 5)
	guest_wait_line playing
	sleep 1.5
	busy=$(measure "$kind" 10)
	guest_wait
	! played card | grep -q '?'
}

# round KIND: one line
round()
{
	local try arrived

	for try in $(seq $tries); do
		rm -f "$dir/card.wav"
		if [ "$1" = vhu-sound ]; then
			backend_start card cli/vhu-sound --capture null \
				--playback "wav:$dir/card.wav"
			play_in_guest "$1" -chardev "socket,id=card,path=$dir/card.sock" \
				-device vhost-user-snd-pci,chardev=card
		else
			play_in_guest "$1" $peer
		fi && break
		echo "# $1: aplay was late; once more"
		[ "$1" != vhu-sound ] || backend_stop card
	done
	[ "$1" != vhu-sound ] || backend_stop card
	arrived=$("$samples" compare --loss "$dir/card.wav" "1:$frames" |
		sed -n 's/.*(\(.*\) %)/\1/p')
	echo "$1" $idle $busy "$arrived" |
		awk '{ print $1, 100 * ($6 - $2), $7 - $3, 100 * ($8 - $4), $10 }' |
		tee -a "$dir/lines" | show
}

show()
{
	awk '{ printf "# %-10s device %6.2f %%, asleep %6.1f times/s   all %6.2f %%   ",
			$1, $2, $3, $4
		print "arrived " $5 " %" }'
}

# median KIND FIELD
median()
{
	sed -n "s/^$1 //p" "$dir/lines" | cut -d ' ' -f "$2" | sort -g |
		awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

medians()
{
	local kind

	for kind in vhu-sound QEMU; do
		echo "$kind" $(for field in 1 2 3 4; do median $kind $field; done)
	done | tee "$dir/medians" | show
	awk '{ device[NR] = $2; asleep[NR] = $3; all[NR] = $4 } END {
		printf "# vhu-sound to QEMU: device %.2f, asleep %.2f, all %.2f\n",
			device[1] / device[2], asleep[1] / asleep[2], all[1] / all[2]
	}' "$dir/medians"
}

for ((i = 0; i < rounds; i++)); do
	round vhu-sound
	round QEMU
done
echo "# medians:"
medians
check_equal "all that vhu-sound was given has arrived" "$(median vhu-sound 4)" 100.000
check "it sleeps at most 110 times a second" \
	awk -v n="$(median vhu-sound 2)" 'BEGIN { exit !(n <= 110) }'
finish_test
