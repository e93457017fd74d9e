# SPDX-License-Identifier: BSD-3-Clause
#
# Goes before the scripts of guests with a graphics card, behind lib.sh. The host says by a third
# serial port what is to be done next, and each line of it is answered.

load_gpu()
{
	modprobe virtio-gpu
	wait_for 20 [ -e /dev/dri/card0 ]
	check "a console on the card" wait_for 10 [ -e /dev/fb0 ]
}

# The card has no console any more.
release_console()
{
	local console

	for console in /sys/class/vtconsole/*; do
		! grep -q "frame buffer" $console/name || echo 0 >$console/bind
	done
}

# Without its console, which holds it.
unload_gpu()
{
	release_console
	modprobe -r virtio-gpu
}

# The same on every back-end: nothing of what the kernel has said, and no cursor that blinks.
write_console()
{
	printf '\033[2J\033[H\033[?25l' >/dev/tty1
	for line in $(seq 30); do
		printf '\033[%dm%s %s\n' $((31 + line % 7)) "$line" "$*" >/dev/tty1
	done
	sleep 0.3 # the kernel draws it a little later
}

# draw ARGUMENT...: until undraw, or the next
draw()
{
	undraw
	: >/tmp/drawn
	/test/gpu_draw "$@" >/tmp/drawn 2>&1 &
	drawer=$!
	wait_for 30 grep -q drawn /tmp/drawn || cat /tmp/drawn
}

undraw()
{
	[ -n "$drawer" ] || return 0
	kill $drawer
	wait $drawer 2>/dev/null
	drawer=
}

# Until the host has nothing more to say. Nothing is drawn then any more: Linux that powers off
# breaks the rings before the console, whose cursor blinks, and complains of what does not go there.
obey()
{
	local line

	drawer=
	stty -F /dev/ttyS2 raw -echo
	exec 3</dev/ttyS2
	echo "obeys"
	while read -r line <&3; do
		[ "$line" != "end" ] || break
		eval "$line"
		echo "obeyed"
	done
	undraw
	release_console
}
