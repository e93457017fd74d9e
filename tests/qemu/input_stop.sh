#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# A key is held down while the guest is stopped and goes on, while its driver is taken away and
# comes back, and while it reboots: it is released each time, pressed again as long as it is held,
# and never stuck.

. "$(dirname "$0")/lib.sh"

guest_layers=input
guest_programs=../../cli/vhu-input

# key VALUE: of the key A
key()
{
	printf 'E: 0.0 0001 001e %d\nE: 0.0 0000 0000 0\n' "$1" >&5
}

backend_start input cli/vhu-input --stream "$dir/stream" --kind keyboard
mkfifo "$dir/typed"
"$here/type.py" "$dir/stream" <"$dir/typed" &
exec 5>"$dir/typed"

guest_start -chardev "socket,id=input,path=$dir/input.sock" \
	-device vhost-user-input-pci,chardev=input <<'END'
driver=/sys/bus/virtio/drivers/virtio_input

start_record()
{
	wait_for 20 [ -e /dev/input/event0 ]
	node=$(grep -lx "vhu keyboard" /sys/class/input/event*/device/name)
	node=/dev/input/$(basename "${node%/device/name}")
	: >/tmp/log
	/test/vhu-input --record /tmp/seen --device $node 2>/tmp/log &
	pid=$!
	wait_for 30 grep -q recording /tmp/log
}

# What the key A has done since the recording began.
keys()
{
	sed -n 's/^E: .* 0001 001e \([01]\)$/\1/p' /tmp/seen | tr -d '\n'
}

keys_are()
{
	[ "$(keys)" = "$1" ]
}

expect_keys()
{
	wait_for 30 keys_are "$2"
	check_equal "$1" "$(keys)" "$2"
	echo "done: $1"
}

modprobe evdev
modprobe virtio_input
start_record
if [ "$(keys)" = 1 ]; then
	expect_keys "held through a reboot" 1
	expect_keys "released" 10
	kill $pid
	exit
fi
echo "ready"
expect_keys "pressed" 1
expect_keys "stopped and continued" 101
kill $pid
wait $pid
device=$(basename -a $driver/virtio*)
echo $device >$driver/unbind
echo $device >$driver/bind
start_record
expect_keys "held while the driver was away" 1
expect_keys "let go" 10
expect_keys "pressed again" 101
kill $pid
reboot -f
END
guest_wait_line ready
key 1
guest_wait_line "done: pressed"
check "stopped" qmp stop
check "continued" qmp cont
guest_wait_line "done: stopped and continued"
guest_wait_line "done: held while the driver was away"
key 0
guest_wait_line "done: let go"
key 1
guest_wait_line "done: pressed again"
guest_wait_line "done: held through a reboot"
key 0
guest_wait
exec 5>&-
finish_test
