# SPDX-License-Identifier: BSD-3-Clause
#
# Goes before the scripts of guests with event devices of their own, behind lib.sh.

export XDG_CACHE_HOME=/tmp
echo -1 >/proc/sys/kernel/sched_rt_runtime_us
modprobe uinput
modprobe evdev
/lib/systemd/systemd-udevd --daemon
udevadm trigger --action=add
udevadm settle

# on_fifo NAME WHAT COMMAND...: runs it with a fifo, held open, as its standard input.
on_fifo()
{
	local fifo=/tmp/$1.$2 out=/tmp/$1.$2.out
	shift 2

	[ -p "$fifo" ] || mkfifo "$fifo"
	sleep 1000000 >"$fifo" &
	holder=$!
	"$@" <"$fifo" >>"$out" 2>&1 &
}

# device_add NAME KIND: plugs a device in; what it is told later goes to it by device_do. What it
# says of its LEDs is in /tmp/NAME.do.out.
device_add()
{
	on_fifo "$1" do /test/input_make "$2" "$1"
	eval "make_$1=$!; make_holder_$1=$holder"
	wait_for 20 [ -e "/dev/input/by-id/test-$1" ]
	udevadm settle
}

device_do()
{
	echo "$2" 1<>"/tmp/$1.do"
}

device_remove()
{
	eval "kill \$make_holder_$1; wait \$make_$1"
	wait_for 20 fails [ -e "/dev/input/by-id/test-$1" ]
} 2>/dev/null

# Before the rest of the guest: the kernel keeps but 64 events for who does not come for them.
vhu_input()
{
	exec /usr/bin/chrt -f 10 /test/vhu-input "$@"
}

# The event device of that name.
node_of()
{
	readlink -f "/dev/input/by-id/test-$1"
}

# serve NAME OPTION...: a vhu-input on /tmp/NAME.sock
serve()
{
	local name=$1
	shift

	vhu_input --socket-path "/tmp/$name.sock" "$@" >>"/tmp/$name.log" 2>&1 &
	eval "serve_$name=$!"
	wait_for 30 [ -S "/tmp/$name.sock" ]
}

serve_end()
{
	local pid status=0

	eval "pid=\$serve_$1"
	kill "$pid"
	wait "$pid" || status=$?
	check_equal "$1: it ends with 0 on SIGTERM" $status 0
	check_fails "$1: no complaint of a sanitizer" \
		grep -E 'Sanitizer|runtime error:' "/tmp/$1.log"
	rm -f "/tmp/$1.sock"
}

# read_start NAME RING DELAY_US [packed] [seat]: the driver of the device on /tmp/NAME.sock
read_start()
{
	rm -f "/tmp/$1.read.out"
	on_fifo "$1" read /test/input_read "/tmp/$1.sock" $2 $3 ${4:-} ${5:-}
	eval "read_$1=$!; read_holder_$1=$holder"
	wait_for 30 grep -qs ready "/tmp/$1.read.out"
	sleep 0.2 # its kick makes the device listen
}

read_do()
{
	echo "$2" 1<>"/tmp/$1.read"
}

read_end()
{
	eval "kill \$read_holder_$1; wait \$read_$1"
	check_fails "$1: its driver has no complaint" grep "not ok" "/tmp/$1.read.out"
} 2>/dev/null

# Of what NAME's device does from here on the driver's tally is. A driver that is slow hears late.
forget()
{
	device_do "$1" forget
	read_do "$1" forget
	take_tally "$1" read
}

# The driver's figure of that name, now.
read_info()
{
	local n

	n=$(grep -c ^info: "/tmp/$1.read.out")
	read_do "$1" info
	wait_for 20 has_lines "/tmp/$1.read.out" $((n + 1))
	sed -n "s/^info: .*$2 \([0-9]*\).*/\1/p" "/tmp/$1.read.out" | tail -n 1
}

has_lines()
{
	[ "$(grep -c ^info: "$1")" -ge "$2" ]
}

take_tally()
{
	rm -f "/tmp/$1.$2.tally"
	echo "tally /tmp/$1.$2.tally" 1<>"/tmp/$1.$2"
	wait_for 20 [ -e "/tmp/$1.$2.tally" ]
}

# Has the driver got all that the device did?
agree()
{
	take_tally "$1" do
	take_tally "$1" read
	cmp "/tmp/$1.do.tally" "/tmp/$1.read.tally" >/dev/null
}

agree_now()
{
	take_tally "$1" do
	take_tally "$1" read
	[ "$(grep ^now "/tmp/$1.do.tally")" = "$(grep ^now "/tmp/$1.read.tally")" ]
}

check_agree()
{
	wait_for 5 agree "$1"
	check "$1: $2" diff "/tmp/$1.do.tally" "/tmp/$1.read.tally"
}

# How many keys (or contacts) the driver sees down.
downs()
{
	take_tally "$1" read
	grep -c "^now $2" "/tmp/$1.read.tally"
}

sees()
{
	[ "$(downs "$1" "$2")" = "$3" ]
}

check_sees()
{
	wait_for 10 sees "$@"
	check_equal "$1: ${4:-the guest sees so many: $2}" "$(downs "$1" "$2")" "$3"
}
