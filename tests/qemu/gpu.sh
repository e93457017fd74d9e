# SPDX-License-Identifier: BSD-3-Clause
#
# Goes behind lib.sh in the tests with a graphics card.
#
# shellcheck shell=bash

guest_layers=gpu
guest_programs=gpu_draw
picture=$build/tests/qemu/picture
orders=0

# gpu_guest_start QEMU-OPTION... [<SCRIPT]: loads the card's driver, and obeys; SCRIPT is for what
# goes before.
gpu_guest_start()
{
	rm -f "$dir"/order.{in,out}
	mkfifo "$dir"/order.{in,out}
	exec {order_fd}<>"$dir/order.in" # else a guest that is gone would make the host wait
	orders=0
	guest_start "$@" -chardev "pipe,id=order,path=$dir/order" -serial chardev:order \
		< <(cat "$here/guest/gpu.sh" -; echo load_gpu; echo obey)
	guest_wait_line obeys "the guest is up"
}

guest_has_obeyed()
{
	[ "$(grep -c "^obeyed" "$dir/result")" -ge $orders ] || is_gone "$guest_pid"
}

# order COMMAND...: the guest does it.
order()
{
	orders=$((orders + 1))
	echo "$*" >&$order_fd
	wait_for 60 guest_has_obeyed || check "the guest does: $*" false
}

# The guest powers off.
guest_end()
{
	echo end >&$order_fd
	exec {order_fd}>&-
	guest_wait
}

# dump NAME HEAD: what QEMU shows, as $dir/NAME.png
dump()
{
	qmp screendump '{"filename": "'"$dir/$1.png"'", "format": "png", "device": "gpu0",
		"head": '"$2"'}'
}

# What a head shows may come a little after the guest's command has been answered.
dump_is()
{
	local name=$1 head=$2
	shift 2

	dump "$name" "$head" && "$picture" "$@" "$dir/$name.png"
}

# check_dump NAME HEAD same FILE | pattern SEED WxH: 0 pixels differ
check_dump()
{
	wait_for 5 dump_is "$@" >/dev/null 2>&1
	check "$1: 0 pixels differ on head $2" dump_is "$@"
}

gpu_device()
{
	echo "-chardev socket,id=$1,path=$dir/$1.sock" \
		"-device ${3:-vhost-user-gpu-pci},id=gpu0,chardev=$1${2:-}"
}

# screenshot NAME COUNT: vhu-gpu's own, of all its outputs: $dir/NAME.shots holds the PNGs
screenshot()
{
	rm -rf "$dir/$1.shots"
	mkdir -p "$dir/$1.shots"
	rm -f "$dir/shots"/*
	kill -USR2 "${backend_pid[$1]}"
	wait_for 10 shots_are "$2"
	mv "$dir/shots"/* "$dir/$1.shots"
}

shots_are()
{
	[ "$(ls "$dir/shots" | grep -c '\.png$')" -ge "$1" ]
}

# guest_obeys_anew TIMES: it has been booted more often than that.
guest_obeys_anew()
{
	[ "$(grep -c ^obeys "$dir/result")" -gt "$1" ]
}
