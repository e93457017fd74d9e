#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# A guest boots from the lines that --print-qemu-args prints, pasted as they are.

. "$(dirname "$0")/lib.sh"

# The size that QEMU gives the queue of its own virtio-rng, which asks for 8.
rng_queue_size()
{
	printf '%s\n' "info virtio-queue-status /machine/peripheral/rng/virtio-backend 0" quit |
		timeout -k 5 20 qemu-system-x86_64 -nodefaults -no-user-config -display none \
			-M q35 -S -device virtio-rng-pci,id=rng -monitor stdio |
		tr -d '\r' | sed -n 's/^ *num: *//p'
}

# QEMU 10.0.13 (virtio_add_queue) makes every queue of 1024, whatever queue-size= says.
case $(rng_queue_size) in
8)	queue_size=64 ;;
1024)	queue_size=1024 ;;
*)	queue_size=unknown ;;
esac
check "QEMU makes queues as told, or of 1024 ($queue_size)" [ "$queue_size" != unknown ]

truncate -s 16M "$dir/first.img"
truncate -s 32M "$dir/second.img"
mkdir "$dir/it's a folder, with blanks"
second="$dir/it's a folder, with blanks/second.sock"
options=(--file "$dir/first.img" --num-queues 1 --queue-size "$queue_size"
	--next --file "$dir/second.img" --read-only --socket-path "$second")
"$build/cli/vhu-blk" --socket "$dir/disk.sock" "${options[@]}" --print-qemu-args \
	>"$dir/lines" 2>"$dir/said"
blk_start disk "${options[@]}"

eval "guest_machine=($(cat "$dir/lines"))"
guest_run <<'END'
check_equal "first: size" "$(cat /sys/block/vda/size)" $((16 * 2048))
check_equal "first: one queue" "$(ls /sys/block/vda/mq | wc -w)" 1
report size "$(cat /sys/block/vda/mq/0/nr_tags)"
check "first: written" dd if=/dev/urandom of=/dev/vda bs=1M oflag=direct count=16
report first "$(sum_of /dev/vda)"
check_equal "second: size" "$(cat /sys/block/vdb/size)" $((32 * 2048))
check_equal "second: read-only" "$(cat /sys/block/vdb/ro)" 1
check_equal "memory as printed" "$(awk '/^MemTotal:/ { print ($2 > 900000) }' /proc/meminfo)" 1
END
check_equal "first: its queue's size" "$(guest_report size)" "$queue_size"
check_equal "the first image is the first disk" \
	"$(sha256sum <"$dir/first.img" | cut -d ' ' -f 1)" "$(guest_report first)"
finish_test
