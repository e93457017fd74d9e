# SPDX-License-Identifier: BSD-3-Clause
#
# Goes before the scripts of guests with event devices of their own, behind lib.sh.

export XDG_CACHE_HOME=/tmp
modprobe uinput
modprobe evdev
/lib/systemd/systemd-udevd --daemon
udevadm trigger --action=add
udevadm settle

# device_add NAME KIND: plugs a device in; what it is told later goes to it by device_do. Its LEDs
# are told of in /tmp/NAME.leds.
device_add()
{
	[ -p "/tmp/$1.do" ] || mkfifo "/tmp/$1.do"
	/test/input_make "$2" "$1" <"/tmp/$1.do" >>"/tmp/$1.leds" 2>&1 &
	eval "pid_$1=$!"
	sleep 1000000 >"/tmp/$1.do" &
	eval "holder_$1=$!"
	wait_for 20 [ -e "/dev/input/by-id/test-$1" ]
	udevadm settle
}

device_do()
{
	echo "$2" >"/tmp/$1.do"
}

device_remove()
{
	eval "kill \$holder_$1 \$pid_$1; wait \$pid_$1"
	wait_for 20 fails [ -e "/dev/input/by-id/test-$1" ]
} 2>/dev/null

# The event device of that name.
node_of()
{
	readlink -f "/dev/input/by-id/test-$1"
}
