#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Recordings, played to the driver of a real guest: its event devices are those of the recordings,
# and every event comes out of them again. With queues of 4, split and packed; after a reload of
# the driver and a reboot.

. "$(dirname "$0")/lib.sh"
. "$here/recordings.sh"

guest_layers=input
guest_programs=../../cli/vhu-input

is_played()
{
	[ "$(grep -c 'has been played' "$dir/$1.log")" -ge "$2" ]
}

play()
{
	local kind

	for kind in "${kinds[@]}"; do
		kill -USR2 "${backend_pid[$kind]}"
		wait_for 60 is_played "$kind" "$1" || return 1
	done
}

# What the guest printed between two lines.
printed()
{
	tr -d '\r' <"$dir/result" | sed -n "/^begin $1\$/,/^end $1\$/p" | sed '1d; $d'
}

# The last of what was seen: a reader is told first how things are when it begins.
what_it_did_last()
{
	what_it_did "$2" | tail -n "$(what_it_did "$1" | wc -l)"
}

check_seen()
{
	local round=$1 kind=$2

	printed "$round $kind" >"$dir/$kind.seen"
	check "$layout: $round: $kind: name, ids, properties, codes, axes" \
		diff <(what_it_is "$dir/$kind.rec") <(what_it_is "$dir/$kind.seen")
	check "$layout: $round: $kind: every event" \
		diff <(what_it_did "$dir/$kind.rec") \
		<(what_it_did_last "$dir/$kind.rec" "$dir/$kind.seen")
}

# run LAYOUT: packed 1 or 0
run()
{
	local layout=$1 devices=() kind round socket=sock

	proxy_pids=()
	[ "$2" = 1 ] || socket=hidden
	for kind in "${kinds[@]}"; do
		backend_start "$kind" cli/vhu-input --replay "$dir/$kind.rec" --replay-wait
		[ "$2" = 1 ] || hide_feature "$kind" $feature_packed
		devices+=(-chardev "socket,id=$kind,path=$dir/$kind.$socket"
			-device "vhost-user-input-pci,chardev=$kind")
	done
	guest_start "${devices[@]}" <<'END'
kinds="keyboard mouse touch tablet pointer switch"
driver=/sys/bus/virtio/drivers/virtio_input

node_of()
{
	grep -lx "Replayed $1" /sys/class/input/event*/device/name |
		sed 's|.*/\(event[0-9]*\)/.*|/dev/input/\1|'
}

has_all()
{
	[ "$(grep -lx 'Replayed .*' /sys/class/input/event*/device/name | wc -l)" -eq 6 ]
}

all_record()
{
	[ "$(grep -c 'recording' /tmp/record.log)" -eq 6 ]
}

what_there_is()
{
	local kind

	for kind in $kinds; do cat /tmp/$kind; done | wc -c
}

# The switch is played last, but the others need not have written all that they have read.
is_over()
{
	local before

	grep -q '^E: .* 0005 0001 0$' /tmp/switch 2>/dev/null || return 1
	before=$(what_there_is)
	sleep 0.5
	[ "$(what_there_is)" = "$before" ]
}

# record ROUND: all devices, while the host plays.
record()
{
	local kind pids=

	check "$1: six devices" wait_for 20 has_all
	: >/tmp/record.log
	for kind in $kinds; do
		/test/vhu-input --record "/tmp/$kind" --device "$(node_of $kind)" \
			2>>/tmp/record.log &
		pids="$pids $!"
	done
	check "$1: they are read" wait_for 30 all_record || cat /tmp/record.log
	echo "ready $1"
	check "$1: the last event" wait_for 60 is_over
	kill $pids
	wait
	for kind in $kinds; do
		echo "begin $1 $kind"
		cat /tmp/$kind
		echo "end $1 $kind"
	done
}

modprobe evdev
modprobe virtio_input
report packed "$(cut -c 35 /sys/bus/virtio/devices/virtio0/features)"
record boot
devices=$(basename -a $driver/virtio*)
for device in $devices; do
	echo "$device" >$driver/unbind
done
check "the driver lets go of all" fails has_all
for device in $devices; do
	echo "$device" >$driver/bind
done
record reload
END
	for round in boot reload; do
		guest_wait_line "ready $round"
		check "$layout: $round: played" play $([ $round = reload ] && echo 2 || echo 1)
	done
	guest_wait
	check_equal "$layout: packed" "$(guest_report packed)" "$2"
	for kind in "${proxy_pids[@]}"; do
		wait "$kind"
	done
	for round in boot reload; do
		for kind in "${kinds[@]}"; do
			check_seen "$round" "$kind"
		done
	done
	for kind in "${kinds[@]}"; do
		backend_stop "$kind"
	done
}

make_recordings
run packed 1
run split 0
finish_test
