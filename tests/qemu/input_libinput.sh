#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# A seat, as libinput sees it: real devices, by uinput in a guest, that are plugged in while drivers
# of ours already have the devices that show them; and single devices by libinput. With VHU_LONG ten
# times as much is played.

. "$(dirname "$0")/lib.sh"

guest_layers=input
guest_programs="input_make input_read ../../cli/vhu-input"
guest_parameters+=" long=${VHU_LONG:-0}"
guest_seconds=${VHU_GUEST_SECONDS:-400}

guest_run < <(cat "$here/guest/input.sh" - <<'END'
kinds="keyboard mouse absolute touch tablet switch"
by_id=/dev/input/by-id/test-
# After so many packets of any kind everything is up again.
n=240
grep -q long=1 /proc/cmdline && n=2400
# libinput takes two presses of a button within 25 ms for one.
gap=8000

# serve_kinds NAME OPTION...: all kinds by one process; what is given for a kind is in $way_KIND.
serve_kinds()
{
	local options= kind way

	for kind in $kinds; do
		eval "way=\$$1_$kind"
		options="$options --next --socket-path /tmp/$kind.sock $way"
	done
	vhu_input ${options# --next} >>/tmp/$1.log 2>&1 &
	eval "serve_$1=$!"
	for kind in $kinds; do
		check "$1: $kind is served" wait_for 60 [ -S "/tmp/$kind.sock" ]
	done
}

# What of a tally must be the same. Of contacts it is how many came and went: their slots are those
# of the seat. The axes of a tablet are smoothed.
same_of()
{
	case $1 in
	touch)	sed 's/^\(contacts [0-9]*\) .*/\1/; /^now [ac]/d' ;;
	tablet)	grep -v "^now abs" ;;
	*)	cat ;;
	esac
}

agrees()
{
	take_tally "$1" do
	take_tally "$1" read
	same_of "$1" <"/tmp/$1.do.tally" >/tmp/do.same
	same_of "$1" <"/tmp/$1.read.tally" >/tmp/read.same
	cmp /tmp/do.same /tmp/read.same >/dev/null
}

# play_all HOW
play_all()
{
	local kind

	# What is played turns its wheel as often back as forth.
	device_do mouse "event 2 8 2"
	device_do mouse "event 2 11 240"
	device_do mouse "event 0 0 0"
	for kind in $kinds; do
		device_do $kind "play $n $gap"
	done
	for kind in $kinds; do
		wait_for 60 agrees $kind
		check "$1: all of $kind arrived" diff /tmp/do.same /tmp/read.same
		[ $kind = tablet ] ||
			check_equal "$1: no packet of $kind is torn" "$(read_info $kind torn)" 0
	done
}

# add_found PROGRAM NAME KIND: plugs a device in, which the program is to find.
add_found()
{
	: >"/tmp/$1.log"
	device_add "$2" "$3"
	check "$1: $2 is found" wait_for 30 grep "$(node_of "$2") is there" "/tmp/$1.log"
}

read_all()
{
	local kind

	for kind in $kinds; do
		read_start $kind "$@"
	done
}

# The drivers and the devices count anew.
forget_all()
{
	local kind

	for kind in $kinds; do
		forget $kind
	done
}

# --- a seat ---
for kind in $kinds; do
	eval "seat_$kind='--seat seat0 --kind $kind'"
done
serve_kinds seat
read_all 4 1000 seat
# Whatever comes, the drivers have their devices already.
for kind in $kinds; do
	add_found seat $kind $kind
done
# Until it has seen it go, libinput takes a pen that rests for 50 ms for one that has gone.
device_do tablet "play 16 1000"
sleep 2
forget_all
play_all "seat, ring 4, a slow driver"

# --- nobody else gets it ---
/test/vhu-input --record /tmp/host --evdev-path ${by_id}keyboard >/tmp/record.log 2>&1 &
recorder=$!
wait_for 30 grep -q recording /tmp/record.log
forget_all
device_do keyboard hold
check_sees keyboard key 6 "the guest has the keys"
check_fails "and the host has not" grep "^E:.* 0001 " /tmp/host
kill $recorder

# --- lights ---
read_do keyboard "send 4 4 30"
read_do keyboard "send 17 1 1"
check "caps lock lights" wait_for 20 grep "^led 1 1" /tmp/keyboard.do.out

# --- unplugged with 6 keys held, and with 3 contacts ---
forget keyboard
device_remove keyboard
check_sees keyboard key 0 "unplugged: released"
check_equal "by one packet" "$(read_info keyboard packets)" 1
device_do touch hold
check_sees touch contact 3
forget touch
device_remove touch
check_sees touch contact 0 "unplugged: contacts ended"
check_sees touch key 0 "unplugged: released"
check_equal "by one packet" "$(read_info touch packets)" 1
device_do switch hold
check_sees switch switch 1
device_remove switch
check_sees switch switch 0 "unplugged: the lid is open"
cpu_of()
{
	cut -d ' ' -f 14,15 "/proc/$1/stat"
}
sleep 2
before=$(cpu_of $serve_seat)
sleep 2
check_equal "no work while nothing happens" "$(cpu_of $serve_seat)" "$before"

# --- plugged in again ---
>/tmp/keyboard.do.out
for kind in keyboard touch switch; do
	add_found seat $kind $kind
done
check "a keyboard that comes is lit at once" wait_for 20 grep "^led 1 1" /tmp/keyboard.do.out
# --- two that have the same key ---
add_found seat second keyboard
forget_all
device_do keyboard hold
check_sees keyboard key 6
device_do second hold
sleep 1
device_remove keyboard
sleep 1
check_equal "keys are down that one of two holds" "$(downs keyboard key)" 6
device_remove second
check_sees keyboard key 0 "and up with the last one"
check_equal "each went down and up once" \
	"$(sed -n 's/^keys \([0-9]*\) .*/\1/p' /tmp/keyboard.read.tally)" 12
add_found seat keyboard keyboard
for kind in $kinds; do
	read_end $kind
done

serve_end seat
last_led()
{
	grep ^led /tmp/keyboard.do.out | tail -n 1
}
wait_for 10 [ "$(last_led)" = "led 1 0" ]
check_equal "the light is the host's again" "$(last_led)" "led 1 0"

# --- each by its path ---
for kind in $kinds; do
	eval "path_$kind='--evdev-path $by_id$kind --mode libinput'"
done
serve_kinds path
read_all 64 0 seat packed
for kind in $kinds; do
	check "path: $kind is found" wait_for 30 \
		grep "$by_id$kind: $(node_of $kind) is there" /tmp/path.log
done
device_do tablet "play 16 1000"
sleep 2
forget_all
play_all "path, ring 64"
device_do keyboard hold
check_sees keyboard key 6
device_remove keyboard
check_sees keyboard key 0 "path: released"
device_add other keyboard
add_found path keyboard keyboard
device_do other hold
device_do keyboard hold
check_sees keyboard key 6 "path: back"
check_equal "and no other device is" "$(grep -c "$(node_of other) is there" /tmp/path.log)" 0
device_remove other
for kind in $kinds; do
	read_end $kind
done
serve_end path

# --- fingers that scroll, how a pen is held, the ring of a pad ---
for kind in mouse tablet pad; do
	serve $kind --seat seat0 --kind $kind
	read_start $kind 4 0 seat
done
add_found mouse touchpad touchpad
add_found tablet artpen artpen
add_found pad pad pad

sum_of()
{
	take_tally mouse read
	sed -n "s/^rel $1 //p" /tmp/mouse.read.tally
}

# sees_axis NAME CODE VALUE
sees_axis()
{
	take_tally "$1" read
	grep -qx "now abs $2 $3" "/tmp/$1.read.tally"
}

check_axis()
{
	wait_for 10 sees_axis "$1" "$2" "$3"
	check_equal "$4" "$(sed -n "s/^now abs $2 //p" "/tmp/$1.read.tally")" "$3"
}

device_do touchpad "play 32 $gap"
sleep 1
parts=$(sum_of 11)
check "two fingers scroll down ($parts)" [ "${parts:-0}" -lt -120 ]
check_equal "whole clicks are told, too" "$(sum_of 8)" $((parts / 120))
check_equal "the pointer rests" "$(sum_of 0)$(sum_of 1)" ""

device_do artpen "play 16 1000"
sleep 2
for event in "1 320 1" "3 0 2000" "3 1 2000" "3 26 30" "3 27 -20" "3 2 450" "0 0 0" \
	"3 24 1000" "1 330 1" "0 0 0"; do
	device_do artpen "event $event"
done
check_sees tablet key 2 "a pen is there, and down"
check_axis tablet 26 30 "it is tilted to the right"
check_axis tablet 27 -20 "and up"
check_axis tablet 2 450 "it is turned"
device_remove artpen
check_sees tablet key 0 "it goes with its tip down: released"

for event in "1 257 1" "3 8 18" "3 40 15" "0 0 0"; do
	device_do pad "event $event"
done
check_sees pad key 1 "a pad's button is down"
check_axis pad 8 256 "its ring is where the finger is"
device_remove pad
check_sees pad key 0 "it goes: released"
for kind in mouse tablet pad; do
	read_end $kind
	serve_end $kind
done

# --- one that comes later, and goes to the host and back ---
serve late --evdev-path ${by_id}late --mode libinput --wait-device --kind keyboard --grab toggle
read_start late 4 0 seat
add_found late late keyboard
check_host()
{
	sleep 1
	/test/vhu-input --record /tmp/host --evdev-path ${by_id}late >/tmp/record.log 2>&1 &
	recorder=$!
	wait_for 30 grep -q recording /tmp/record.log
	forget late
	device_do late "event 1 30 1"
	device_do late "event 0 0 0"
	device_do late "event 1 30 0"
	device_do late "event 0 0 0"
	sleep 1
	kill $recorder
	take_tally late read
	check_equal "$1: the guest has its keys" \
		"$(sed -n 's/^keys \([0-9]*\) .*/\1/p' /tmp/late.read.tally)" $2
	check_equal "$1: the host has" "$(grep -c "^E:.* 0001 " /tmp/host)" $3
}

press_hotkey()
{
	for event in "1 29 1" "0 0 0" "1 97 1" "0 0 0" "1 29 0" "0 0 0" "1 97 0" "0 0 0"; do
		device_do late "event $event"
	done
	check_sees late key 0 "the keys of the hotkey are up"
}
check_host "at first" 2 0
press_hotkey
check_host "by the hotkey" 0 2
press_hotkey
check_host "and back" 2 0
read_end late
serve_end late

# --- those that libinput does not take ---
bad="--socket-path /tmp/bad.sock --mode libinput --evdev-path"
check "not there" complains "there is no" /test/vhu-input $bad /dev/input/event99
mkdir -m 777 /tmp/nobody
check "no permission" complains 'group "input"' su -s /bin/sh nobody -c "/test/vhu-input \
	--socket-path /tmp/nobody/sock --mode libinput --evdev-path $(node_of touch)"
udevadm control --stop-exec-queue
on_fifo unseen do /test/input_make keyboard unseen
sleep 1
unseen=$(grep -lx unseen /sys/class/input/event*/device/name | cut -d / -f 5)
check "what udev has not seen" complains "is udevd running" \
	timeout 20 /test/vhu-input $bad "/dev/input/$unseen"
udevadm control --start-exec-queue
END
)
finish_test
