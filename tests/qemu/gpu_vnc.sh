#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# A guest as a remote desktop, on a host that has no screen: a VNC viewer sees every pixel of what
# the guest draws by vhu-gpu, and what is typed and clicked there comes to the guest by vhu-input.

. "$(dirname "$0")/lib.sh"
. "$here/gpu.sh"

# gvnccapture knows no Unix sockets.
bridge_start()
{
	display=$((1000 + RANDOM % 20000))
	socat "TCP-LISTEN:$((5900 + display)),bind=127.0.0.1,fork" "UNIX-CONNECT:$dir/vnc" &
	bridge=$!
}

capture_is()
{
	timeout 20 gvnccapture -q "127.0.0.1:$display" "$dir/seen.png" &&
		"$picture" "$@" "$dir/seen.png"
}

check_seen()
{
	check "a viewer sees $1 $2 $3: 0 pixels differ" wait_for 20 capture_is "$@"
}

backend_start hands cli/vhu-input --stream "$dir/hands.stream" --kind keyboard,absolute
backend_start gpu cli/vhu-gpu --vnc "unix:$dir/vnc" --vnc-input "$dir/hands.stream"
gpu_guest_start -no-reboot $(gpu_device gpu) -chardev "socket,id=hands,path=$dir/hands.sock" \
	-device vhost-user-input-pci,chardev=hands </dev/null
order 'modprobe virtio_input; modprobe evdev'
order 'for i in /dev/input/event*; do cat $i >/tmp/events.${i##*/} & done'
order 'setsid sh </dev/tty1 >/tmp/typed 2>&1 &'
bridge_start
order draw pattern 1 1280x800
check_seen pattern 1 1280x800
order draw pattern 2 1366x768
check_seen pattern 2 1366x768
check "a viewer types" "$here/vnc_type.py" "$dir/vnc" "echo Typed by a viewer"
order 'check "the shell has read it" wait_for 20 grep -x "Typed by a viewer" /tmp/typed'
# The type, the code and the value of each event.
order 'list() { cat /tmp/events.* | od -An -v -t x1 -w24 | cut -c 50- >/tmp/list; }'
order 'clicked() { list; grep "^01 00 10 01 01 00 00 00" /tmp/list; }'
order 'check "a click: BTN_LEFT" wait_for 10 clicked'
order 'check "at a place: ABS_X" grep "^03 00 00 00" /tmp/list'
kill $bridge
guest_end
backend_stop gpu
backend_stop hands
finish_test
