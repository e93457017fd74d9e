#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# A card with a clock of its own, snd-aloop in a guest: how well what is played and captured is
# paced, an under-run and an over-run, the card taken away and brought back in mid-play. The driver
# is one of ours. An emulated machine is slow: periods of 40 ms.

. "$(dirname "$0")/lib.sh"

guest_layers=sound
guest_programs="sound_card sound_drive ../../cli/vhu-sound"

guest_run < <(cat - <<'END'
# refuses PART OPTION...: in one line
refuses()
{
	local says=$1
	shift

	complains "$says" /test/vhu-sound --socket-path /tmp/bad.sock "$@" || return
	[ "$(wc -l </tmp/complaint)" = 1 ] || { cat /tmp/complaint; return 1; }
}

check "no card at all" refuses "this machine has no sound card; try" --playback default
check "no such PCM" refuses "there is no such PCM; --list" --playback nonsense
modprobe snd-aloop
wait_for 10 [ -e /dev/snd/controlC0 ]
raw="-t raw -f S16_LE -r 48000 -c 2 --buffer-time=500000"

# serve NAME OPTION...
serve()
{
	local name=$1
	shift

	/test/vhu-sound --socket-path "/tmp/$name.sock" "$@" >"/tmp/$name.log" 2>&1 &
	eval "serve_$name=$!"
	wait_for 30 [ -S "/tmp/$name.sock" ]
}

serve_end()
{
	local pid status=0

	eval "pid=\$serve_$1"
	kill -USR1 "$pid"
	sleep 0.2
	kill "$pid"
	wait "$pid" || status=$?
	check_equal "$1: it ends with 0 on SIGTERM" $status 0
	check_fails "$1: no complaint of a sanitizer" \
		grep -E 'Sanitizer|runtime error:' "/tmp/$1.log"
	cat "/tmp/$1.log"
}

# drive NAME DIRECTION SECONDS: its report is /tmp/NAME.report
drive()
{
	/test/sound_drive "/tmp/$1.sock" $2 48000 1920 4 $3 >"/tmp/$1.report" 2>&1
}

figure()
{
	sed -n "s/^$2 //p" "/tmp/$1.report"
}

# is NAME FIGURE TEST VALUE
is()
{
	[ "$(figure $1 $2)" $3 $4 ] || { cat /tmp/$1.report; return 1; }
}

# is_paced NAME [MORE]: MORE frames are allowed, and half a second each time it ran out or over
is_paced()
{
	awk -v more=${2:-0} '{ at[$1] = $2 }
		END { e = at["ahead_frames"]; if (e < 0) e = -e
			more += at["allowed_frames"] + 24000 * at["xruns"]
			print "ahead", at["ahead_frames"], "allowed", more
			exit !(("bad" in at) && e <= more) }' /tmp/$1.report
}

# in_time NAME MOST COMMAND...: when the whole machine stands still for longer than the card's ring
# lasts there are more under-runs than MOST, which are not ours. It is done again then.
in_time()
{
	local try name=$1 most=$2
	shift 2

	for try in 1 2 3; do
		"$@" || return
		! is "$name" xruns -le "$most" || return 0
	done
}

# --- playback ---
serve play --playback hw:Loopback,0,0
play_and_record()
{
	local status=0

	arecord -q -D hw:Loopback,1,0 $raw /tmp/heard.raw 2>/tmp/arecord.log &
	recorder=$!
	drive play playback 10 || status=$?
	sleep 1
	kill -INT $recorder
	wait $recorder
	return $status
}
check "playback: the driver comes to its end" in_time play 0 play_and_record
report paced $(figure play ahead_frames)
check "playback: paced by the card" is_paced play
check "playback: no under-run" is play xruns -eq 0
check "playback: every message is OK" is play bad -eq 0
check "playback: released in less than 100 ms" is play release_us -lt 100000
check "playback: the latency is told" is play latency_frames -gt 960
/test/sound_drive check /tmp/heard.raw >/tmp/heard.report
check "playback: all arrived" is heard frames -eq 480000
check "playback: none is lost or doubled" is heard jumps -eq 0

# --- an under-run ---
# halt NAME DIRECTION: for a second
halt()
{
	local pid

	eval "pid=\$serve_$1"
	drive $1 $2 5 &
	driver=$!
	sleep 2
	kill -STOP $pid
	sleep 1
	kill -CONT $pid
	wait $driver
}
in_time play 3 halt play playback
check "under-run: the driver comes to its end" is play frames -eq 240000
check "under-run: it was told" is play xruns -ge 1
check "under-run: recovered" is play xruns -le 3
check "under-run: nobody else noticed" is play bad -eq 0

# --- no card ---
# A card that is in use cannot be unloaded, but unplugged.
unplug()
{
	echo snd_aloop.0 >/sys/bus/platform/drivers/snd_aloop/unbind && rmmod snd-aloop
}
drive play playback 9 &
driver=$!
sleep 2
check "no card: unplugged in mid-play" unplug
check "no card: it is told" wait_for 5 grep "it has gone" /tmp/play.log
sleep 1
check "no card: nothing is there to be found" fails [ -e /dev/snd/controlC0 ]
modprobe snd-aloop
check "no card: it is back" wait_for 10 grep "it is there again" /tmp/play.log
arecord -q -D hw:Loopback,1,0 $raw /tmp/again.raw 2>/tmp/arecord.log &
recorder=$!
wait $driver
check "no card: the driver comes to its end" is play frames -eq 432000
check "no card: the driver did not notice" is play bad -eq 0
# Where the card was is known to a period.
check "no card: nor was it kept waiting, or hurried on" is_paced play
kill -INT $recorder
wait $recorder
/test/sound_drive check /tmp/again.raw >/tmp/again.report
check "no card: heard again" is again frames -gt 48000
serve_end play

# --- capture ---
/test/sound_drive make 1440000 >/tmp/frames.raw
serve listen --capture hw:Loopback,0,1
player=
speak()
{
	[ -z "$player" ] || { kill $player; wait $player; }
	aplay -q -D hw:Loopback,1,1 $raw /tmp/frames.raw 2>/tmp/aplay.log &
	player=$!
	sleep 0.5
}
speak_and_listen()
{
	speak
	drive listen capture 10
}
check "capture: the driver comes to its end" in_time listen 0 speak_and_listen
report captured $(figure listen ahead_frames)
check "capture: paced by the card" is_paced listen
check "capture: no over-run" is listen xruns -eq 0
check "capture: every message is OK" is listen bad -eq 0
check "capture: all arrived" is listen silent -lt 4800
check "capture: none is lost or doubled" is listen jumps -eq 0

# --- an over-run ---
speak_and_halt()
{
	speak
	halt listen capture
}
in_time listen 3 speak_and_halt
check "over-run: it was told" is listen xruns -ge 1
check "over-run: recovered" is listen xruns -le 3
check "over-run: sound lasts to the end" is listen frames -gt 180000
kill $player
wait $player

# --- no card to listen to ---
drive listen capture 7 &
driver=$!
sleep 2
check "nobody speaks: unplugged" unplug
sleep 1
modprobe snd-aloop
check "nobody speaks: it is back" wait_for 10 grep "it is there again" /tmp/listen.log
wait $driver
check "nobody speaks: the driver did not notice" is listen bad -eq 0
# At the end and at the begin there is a part of a period that nobody has.
check "nobody speaks: nor was it kept waiting" is_paced listen 3840
serve_end listen

# --- what cannot be ---
/test/vhu-sound --list >/tmp/list
check "--list" grep "^hw:CARD=Loopback,DEV=0 .*playback,capture" /tmp/list
/test/vhu-sound --list --json >/tmp/list
check "--list --json" grep "{\"name\": \"hw:CARD=Loopback,DEV=0\", \"playback\": true, \
\"capture\": true, \"description\": \"Loopback" /tmp/list
sleep 60 | aplay -q -D hw:Loopback,0,0 $raw - >/dev/null 2>&1 &
holder=$!
sleep 2
check "busy" refuses "another program has it; try" --playback hw:Loopback,0,0
check "not there" refuses "no such" --playback hw:7,0
mkdir -m 777 /tmp/nobody
check "no permission: the group" complains 'group "audio"' su -s /bin/sh nobody -c \
	"/test/vhu-sound --socket-path /tmp/nobody/sock --playback hw:Loopback,0,1"
check "no permission: the default" complains 'group "audio"' su -s /bin/sh nobody -c \
	"/test/vhu-sound --socket-path /tmp/nobody/sock --playback default"
check "a rate it cannot do" refuses "no rate of those asked for" \
	--playback hw:Loopback,0,1,rates=5512

# --- the card's own ---
check "elements are made" /test/sound_card make hw:0
/test/sound_card watch hw:Loopback,0,2 >/tmp/watch 2>&1 &
watcher=$!
wait_for 10 grep -q where /tmp/watch
check "a volume with its scale" grep -x "element PCM Playback Volume: type 1 role 2 access 0x13 \
range 0-100 tlv 1 8 -5000 50 values 0 0" /tmp/watch
check "a switch" grep "element PCM Playback Switch: type 0 role 4 access 0x3 range 0-1" /tmp/watch
check "a jack" grep -x "jack Headphone Jack: 0 defconf 0x200000" /tmp/watch
check "where" grep -x "where hw:Loopback" /tmp/watch
amixer -q -c 0 cset name="PCM Playback Volume" 42,43
check "a volume that is changed" wait_for 5 grep -x "changed PCM Playback Volume: 42 43" /tmp/watch
amixer -q -c 0 cset name="PCM Playback Switch" on
check "a switch that is changed" wait_for 5 grep -x "changed PCM Playback Switch: 1" /tmp/watch
amixer -q -c 0 cset iface=CARD,name="Headphone Jack" on
check "a jack that is plugged in" wait_for 5 grep -x "jack Headphone Jack: 1" /tmp/watch
check "a volume that is set" /test/sound_card set hw:Loopback,0,2 0 77
check "is heard by the host" sh -c "amixer -c 0 cget name='PCM Playback Volume' | grep 77,77"
check_fails "a volume out of range" /test/sound_card set hw:Loopback,0,2 0 101
check "by its name" sh -c "timeout 2 /test/sound_card watch hw:Loopback,0,2 PCM | grep Volume"
check_fails "a name that it has not" /test/sound_card watch hw:Loopback,0,2 Nonsense
serve card --controls --playback hw:Loopback,0,3
drive card playback 4 &
driver=$!
sleep 2
amixer -q -c 0 cset iface=CARD,name="Headphone Jack" off
amixer -q -c 0 cset iface=CARD,name="Headphone Jack" on
amixer -q -c 0 cset name="PCM Playback Volume" 44
wait $driver
check "the device has its jack" is card jacks -eq 1
check "the device has its volume and switch" is card controls -eq 2
check "the driver is told of the jack" is card back -eq 1
check "the driver is told of the volume" is card notified -eq 1
serve_end card

kill $holder
wait $holder
check "unplugged" unplug
check "with its jacks" wait_for 5 grep -x "jack Headphone Jack: 0" /tmp/watch
modprobe snd-aloop
wait_for 10 [ -e /dev/snd/controlC0 ]
/test/sound_card make hw:0
sleep 2
amixer -q -c 0 cset name="PCM Playback Volume" 5
amixer -q -c 0 cset iface=CARD,name="Headphone Jack" on
check "back again" wait_for 5 grep -x "changed PCM Playback Volume: 5 5" /tmp/watch
back()
{
	[ "$(grep -x "jack Headphone Jack: ." /tmp/watch | tail -n 2 | tr '\n' ' ')" = \
		"jack Headphone Jack: 0 jack Headphone Jack: 1 " ]
}
check "with its jacks" wait_for 5 back
kill $watcher
cat /tmp/watch
END
)
finish_test
