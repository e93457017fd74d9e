#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Real event devices, by uinput in a guest: what is played on them arrives at a driver of ours,
# whatever its ring and however slow it is; and the life of such devices, with keys held. With
# VHU_LONG ten times as much is played.

. "$(dirname "$0")/lib.sh"

guest_layers=input
guest_programs="input_make input_read ../../cli/vhu-input"
# Who plays does not run away from who reads.
guest_cpus=1
[ -z "${VHU_LONG:-}" ] || guest_seconds=${VHU_GUEST_SECONDS:-1000}
guest_parameters+=" long=${VHU_LONG:-0}"

guest_run < <(cat "$here/guest/input.sh" - <<'END'
kinds="keyboard mouse absolute touch tablet switch"
by_id=/dev/input/by-id/test-
# After so many packets of any kind everything is up again.
n=240
rounds=1
ways="4:0 4:10000 64:1000:packed"
if grep -q long=1 /proc/cmdline; then
	# Not at once: there is a bound to what is kept for a driver that is too slow.
	rounds=10
	ways="4:0 4:1000 4:10000 64:0:packed 64:1000 64:10000 4:1000:packed"
fi

options=
for kind in $kinds; do
	device_add $kind $kind
	options="$options --next --socket-path /tmp/$kind.sock --evdev-path $by_id$kind"
done
vhu_input ${options# --next} >/tmp/all.log 2>&1 &
serve_all=$!
for kind in $kinds; do
	check "$kind: served" wait_for 60 [ -S "/tmp/$kind.sock" ]
done

for way in $ways; do
	for kind in $kinds; do
		device_do $kind forget
		read_start $kind $(echo $way | tr : ' ')
	done
	for round in $(seq $rounds); do
		for kind in $kinds; do
			device_do $kind "play $n 5000"
		done
		for kind in $kinds; do
			check_agree $kind "all arrived, ring and delay $way, round $round"
		done
	done
	for kind in $kinds; do
		check_equal "$kind: no packet is torn" "$(read_info $kind torn)" 0
		read_end $kind
	done
done
serve_end all
check_fails "the kernel dropped nothing" grep dropped /tmp/all.log

# --- what there is ---
/test/vhu-input --list >/tmp/list
check "--list" grep -E \
	"^/dev/input/event[0-9]+ +touch +1d6b:0004 +\"touch\" +${by_id}touch" /tmp/list
/test/vhu-input --list --json >/tmp/list
check "--list --json" grep \
	"\"name\": \"switch\".*\"kinds\": \[\"switch\"\], \"link\": \"${by_id}switch\"" \
	/tmp/list

# --- lights ---
serve keyboard --evdev-path ${by_id}keyboard
read_start keyboard 64 0
read_do keyboard "send 4 4 30"
read_do keyboard "send 17 1 1"
check "caps lock lights" wait_for 20 grep "^led 1 1" /tmp/keyboard.do.out
check_fails "the echo of a scan code is not written" grep "^written 4" /tmp/keyboard.do.out
read_do keyboard "send 17 1 0"
check "and no longer" wait_for 20 grep "^led 1 0" /tmp/keyboard.do.out
read_do keyboard "send 17 1 1"
# --- sounds, and how fast keys repeat ---
read_do keyboard "send 18 2 440"
check "a tone sounds" wait_for 20 grep "^written 18 2 440" /tmp/keyboard.do.out
read_do keyboard "send 18 2 0"
check "and no longer" wait_for 20 grep "^written 18 2 0" /tmp/keyboard.do.out
read_do keyboard "send 20 0 300"
check "keys repeat later" wait_for 20 grep "^repeat 0 300" /tmp/keyboard.do.out
# --- a key that is held ---
device_do keyboard hold
check_sees keyboard key 6
read_do keyboard stop
check_sees keyboard key 0 "stopped: released"
read_do keyboard start
check_sees keyboard key 6 "started: held again"
forget keyboard
sleep 1
check_equal "the repeats are the guest's" "$(read_info keyboard packets)" 0
# --- unplugged with 6 keys held ---
device_remove keyboard
check_sees keyboard key 0 "unplugged: released"
check_equal "all 6 by one packet" "$(read_info keyboard released)" 6
cpu_of()
{
	cut -d ' ' -f 14,15 /proc/$serve_keyboard/stat
}
sleep 4
before=$(cpu_of)
sleep 2
check_equal "no work while it is gone" "$(cpu_of)" "$before"
>/tmp/keyboard.do.out
device_add keyboard keyboard
check "back: as lit as it was" wait_for 20 grep "^led 1 1" /tmp/keyboard.do.out
forget keyboard
device_do keyboard "play $n 1000"
check_agree keyboard "back: served as before"
# --- more than the kernel keeps ---
kill -STOP $serve_keyboard
device_do keyboard "play 999 0"
take_tally keyboard do
kill -CONT $serve_keyboard
wait_for 10 agree_now keyboard
check_equal "events dropped: the same keys are down" \
	"$(grep ^now /tmp/keyboard.read.tally)" "$(grep ^now /tmp/keyboard.do.tally)"
check_fails "and there were events dropped" cmp /tmp/keyboard.read.tally /tmp/keyboard.do.tally
device_do keyboard "play 961 1000"
wait_for 10 agree_now keyboard
check_equal "all up again" "$(downs keyboard key)" 0
# --- and a guest that goes ---
read_do keyboard "send 18 2 880"
read_do keyboard "send 20 0 400"
check "as the guest says" wait_for 20 grep "^repeat 0 400" /tmp/keyboard.do.out
check "a tone sounds once more" grep "^written 18 2 880" /tmp/keyboard.do.out
>/tmp/keyboard.do.out
read_end keyboard
serve_end keyboard
check "the lights are the host's again" wait_for 20 grep "^led 1 0" /tmp/keyboard.do.out
check "silence" grep "^written 18 2 0" /tmp/keyboard.do.out
check "keys repeat as before" wait_for 20 grep "^repeat 0 250" /tmp/keyboard.do.out

# --- contacts, by the number of the device, which is another when it comes back ---
node=$(node_of touch)
serve touch --evdev-path $node
read_start touch 4 1000
device_do touch hold
check_sees touch contact 3
forget touch
device_remove touch
check_sees touch contact 0 "unplugged: contacts ended"
check_sees touch key 0 "unplugged: released"
# BTN_TOUCH is released by the kernel, before.
check_equal "all 3 contacts by one packet" "$(read_info touch released)" 3
device_add other mouse
check_equal "another device has its number" "$(node_of other)" "$node"
device_add touch touch
check "found again" wait_for 20 grep "plugged in again" /tmp/touch.log
forget touch
device_do touch "play $n 1000"
check_agree touch "back by another number"
read_end touch
# --- a driver that gives no buffers, for more than is kept for it ---
rss_of()
{
	awk '/^VmRSS/ { print $2 }' /proc/$serve_touch/status
}
read_start touch 64 0
kill -STOP $read_touch
before=$(rss_of)
device_do touch "play 1203 1000"
take_tally touch do
check "no buffers: nothing grows" [ "$(rss_of)" -lt $((before + 1024)) ]
kill -CONT $read_touch
wait_for 20 agree_now touch
check_equal "the same contacts are there" \
	"$(grep ^now /tmp/touch.read.tally)" "$(grep ^now /tmp/touch.do.tally)"
kill -USR1 $serve_touch
check "and more had come than is kept" wait_for 10 grep '"overflows":[1-9]' /tmp/touch.log
read_end touch
serve_end touch
device_remove other

# --- the hotkey, with the host's view of it ---
down_in()
{
	awk '$3 == "0001" { down[$4] = $5 }
		END { for (k in down) n += down[k] != 0; print n + 0 }' $1
}
tap()
{
	device_do keyboard "event 1 $1 $2"
	device_do keyboard "event 0 0 0"
}
host_has()
{
	grep -q " 0001 $1 $2$" /tmp/host
}
serve keyboard --evdev-path ${by_id}keyboard --grab toggle --hotkey ctrl-ctrl
read_start keyboard 64 0
/test/vhu-input --record /tmp/host --evdev-path ${by_id}keyboard >/tmp/record.log 2>&1 &
recorder=$!
wait_for 30 grep -q recording /tmp/record.log
tap 30 1
check_sees keyboard key 1 "grabbed"
tap 29 1
tap 97 1
tap 29 0
tap 97 0
check_sees keyboard key 1 "the hotkey waits for a key that is held"
tap 30 0
check_sees keyboard key 0 "the key is up"
sleep 1
tap 48 1
check "the host has it" wait_for 20 host_has 0030 1
check_equal "the guest has nothing" "$(downs keyboard key)" 0
check_fails "the host had nothing before" host_has 001e 1
tap 97 1
tap 29 1
tap 97 0
tap 29 0
tap 48 0
sleep 1
tap 46 1
check_sees keyboard key 1 "the guest's again"
check_equal "nothing is down at the host" "$(down_in /tmp/host)" 0
tap 46 0
kill $recorder
check "the recorder ends" wait $recorder
check "a recording says what the device is" grep -x "N: keyboard" /tmp/host
read_end keyboard
serve_end keyboard
serve again --replay /tmp/host
check "and can be replayed" [ -S /tmp/again.sock ]
serve_end again

# --- those that cannot be served ---
bad="--socket-path /tmp/bad.sock --evdev-path"
check "not an event device" complains "not an event device" /test/vhu-input $bad /dev/input/mice
check "no device" complains "not an event device" /test/vhu-input $bad /etc/passwd
check "not there" complains "wait-device" /test/vhu-input $bad /dev/input/event99
mkdir -m 777 /tmp/nobody
check "no permission: the group" complains 'group "input"' su -s /bin/sh nobody -c \
	"/test/vhu-input --socket-path /tmp/nobody/sock --evdev-path $(node_of touch)"
check "no permission: the rule" grep 'ATTRS{name}=="touch"' /tmp/complaint

# --- one that comes later, and one that comes as an open file ---
/test/vhu-input --socket-path /tmp/late.sock --wait-device --evdev-path ${by_id}late \
	2>/tmp/late.log &
serve_late=$!
wait_for 20 grep -q waiting /tmp/late.log
check_fails "it waits" [ -e /tmp/late.sock ]
device_add late mouse
check "it serves" wait_for 30 [ -S /tmp/late.sock ]
serve_end late
/test/vhu-input --socket-path /tmp/fd.sock --device-fd 7 7<>${by_id}late >/tmp/fd.log 2>&1 &
serve_fd=$!
check "served by its fd" wait_for 30 [ -S /tmp/fd.sock ]
serve_end fd
END
)
finish_test
