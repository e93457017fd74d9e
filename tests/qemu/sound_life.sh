#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# What happens to a card that plays: it pauses and goes on; one stream is aborted while another
# plays; it is muted and turned down; the guest is stopped and goes on; the driver is taken away and
# comes back; the guest reboots. No frame is lost that was not aborted, none comes twice, and each
# new driver finds the device as new.

. "$(dirname "$0")/lib.sh"
. "$here/sound.sh"

# At a reboot Linux breaks the queues of devices under their drivers.
driver_is_content()
{
	! grep virtio_snd "$dir/console" | grep -v 'failed to send I/O message'
}

stop_a_while()
{
	qmp stop && sleep 0.7 && qmp cont
}

"$samples" make s16 2 48000 1000:168000 >"$dir/source.wav"
backend_start sound cli/vhu-sound --playback "wav:$dir/a.wav" --playback "wav:$dir/b.wav" \
	--capture "wav:$dir/source.wav" --jack Speaker --controls

sound_guest_start sound.sock ,controls=on <<'END'
driver=/sys/bus/virtio/drivers/virtio_snd
format="s16 48000 20"
buffer_ms=320

# The clock is what outlives a reboot.
second_boot()
{
	[ "$(date +%Y)" = 2001 ]
}

is_started()
{
	wait_for 10 has_state "$1" RUNNING && sleep 0.4
}

# aplay takes a blank for "pause" and "go on", of a terminal. What is written to fd 3 is typed.
aplay_typed_to()
{
	script -qec "aplay -i $*" /dev/null </tmp/keys
}

pause_and_resume()
{
	local paused=

	rm -f /tmp/keys
	mkfifo /tmp/keys
	exec 3<>/tmp/keys
	begin_play 0 $format 96000 aplay_typed_to
	is_started 0
	printf ' ' >&3
	! wait_for 3 has_state 0 PAUSED || paused=yes
	sleep 0.5
	printf ' ' >&3
	end_play a 48000 20 96000 || return
	check "paused" [ $paused = yes ]
}

# The first is killed with all its periods queued.
abort_one_of_two()
{
	local aborted state

	begin_play 0 $format 96000
	is_started 0
	aborted="$player $seed"
	begin_play 1 $format 96000
	is_started 1
	kill -9 ${aborted% *}
	wait ${aborted% *}
	cut_play a ${aborted#* } 96000
	state=$(state_of 1)
	end_play b 48000 20 96000 || return
	check_equal "the other one plays on" "$state" RUNNING
}

# mixer NAME VALUE: of an element of the first stream
mixer()
{
	local element="iface=MIXER,name='PCM Playback $1'"

	check "$1 is set" amixer -q -D hw:0 cset "$element" "$2"
	check_equal "$1 is read" \
		"$(amixer -D hw:0 cget "$element" | sed -n 's/^  : values=//p')" "$2"
}

# The lowest volume is mute, the highest as it is played.
turn_down_and_up()
{
	check_equal "elements of three streams" \
		"$(amixer -D hw:0 controls | grep -c 'iface=MIXER')" 6
	heard=silence
	mixer Switch off
	play a 0 $format 24000
	mixer Switch on
	mixer Volume 0
	play a 0 $format 24000
	heard=
	mixer Volume 100
	play a 0 $format 24000
}

# Both directions at once.
stop_and_continue()
{
	local recorder

	begin_play 0 $format 192000
	arecord -q -D hw:0,0 $(sound_format $format) -t wav -s 168000 /tmp/record.wav \
		2>/tmp/aplay.record &
	recorder=$!
	is_started 0
	echo "to be stopped"
	wait $recorder
	end_play a 48000 20 192000 || return
	! was_late record || return
	check "nor is a frame lost of what is recorded meanwhile" \
		/test/samples compare /tmp/record.wav 1000:168000
	grep frame /tmp/check.log
}

take_driver_away()
{
	local device=$(basename $driver/virtio*)

	begin_play 0 $format 96000
	is_started 0
	echo "$device" >$driver/unbind
	check_fails "the player has noticed" wait $player
	cut_play a $seed 96000
	check "no card" fails [ -e /dev/snd/controlC0 ]
	echo "$device" >$driver/bind
	check "the card is back" wait_for 20 [ -e /dev/snd/controlC0 ]
}

# try STEP: again when it fails, as it does when a sound was late.
try()
{
	local try

	for try in $(seq $tries); do
		! "$1" || return 0
	done
	check "aplay keeps up: $1" false
}

load_sound
mkdir -p /dev/pts
mount -t devpts devpts /dev/pts
if second_boot; then
	seed=100
	play a 0 $format 48000
	exit
fi
check "channel maps" [ "$(amixer -D hw:0 controls | grep -c 'Playback Channel Map')" = 2 ]
check "the jack" [ "$(amixer -D hw:0 controls | grep -c "'Speaker.* Jack'")" = 1 ]
try pause_and_resume
try abort_one_of_two
turn_down_and_up
try stop_and_continue
echo "stopped enough"
take_driver_away
play a 0 $format 48000
play b 1 $format 48000
begin_play 0 $format 96000
is_started 0
cut_play a $seed 96000
date -s 2001-01-01
check "the clock" hwclock -w
reboot -f
END
stops=0
until guest_said_or_gone "stopped enough"; do
	sleep 0.1
	[ "$(grep -c "^to be stopped" "$dir/result")" -gt $stops ] || continue
	stops=$((stops + 1))
	check "stopped and continued" stop_a_while
	check "stopped and continued again" stop_a_while
done
guest_wait
check "the driver has no complaint" driver_is_content
backend_stop sound
check_played "the first stream" a
check_played "the second stream" b
finish_test
