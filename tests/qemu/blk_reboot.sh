#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The guest reboots twice under the same QEMU and back-end, once with its file system mounted, and
# finds what it wrote, and the cache mode that it set: each write is durable then.

. "$(dirname "$0")/lib.sh"

is_traced()
{
	! grep -q '^TracerPid:[[:blank:]]*0$' /proc/"$1"/task/*/status
}

truncate -s 64M "$dir/disk.img"
blk_start disk --file "$dir/disk.img" --num-queues 2 --engine sync

guest_start $(blk_device disk ,num-queues=2) <<'END'
has_size()
{
	[ "$(cat /sys/block/vda/size)" = "$1" ]
}

modprobe ext4
if ! mount -t ext4 /dev/vda /mnt; then
	check "first boot: made" mkfs.ext4 -q /dev/vda
	check "first boot: mounted" mount -t ext4 /dev/vda /mnt
	dd if=/dev/urandom of=/mnt/file bs=1M count=4 2>/dev/null
	sum_of /mnt/file >/mnt/sum
	check "first boot: unmounted" umount /mnt
	check_equal "first boot: cache mode" "$(cat /sys/block/vda/cache_type)" "write back"
	echo "write through" >/sys/block/vda/cache_type
	check_equal "first boot: cache mode set" \
		"$(cat /sys/block/vda/cache_type)" "write through"
	echo "boot 1 is over"
	reboot -f
fi
if [ ! -e /mnt/second ]; then
	check "second boot: the file is there" [ "$(sum_of /mnt/file)" = "$(cat /mnt/sum)" ]
	dd if=/dev/urandom of=/mnt/second bs=1M count=4 2>/dev/null
	sum_of /mnt/second >/mnt/second.sum
	sync
	check_equal "second boot: cache mode kept" \
		"$(cat /sys/block/vda/cache_type)" "write through"
	echo "boot 2 writes"
	check "second boot: 68 MiB are seen" wait_for 30 has_size $((68 * 2048))
	# Behind the file system, and no flush goes with it.
	check "second boot: 16 blocks written" \
		dd if=/dev/zero of=/dev/vda bs=4k seek=16384 count=16 oflag=direct conv=notrunc
	echo "boot 2 is over"
	reboot -f
fi
check "third boot: the file is there" [ "$(sum_of /mnt/file)" = "$(cat /mnt/sum)" ]
check "third boot: the second file is there" \
	[ "$(sum_of /mnt/second)" = "$(cat /mnt/second.sum)" ]
check "third boot: unmounted" umount /mnt
check "third boot: clean" /usr/sbin/e2fsck -fn /dev/vda
END
guest_wait_line "boot 1 is over"
qemu=$(cat "$dir/qemu.pid")
guest_wait_line "boot 2 writes"
strace -f -qq -e trace=pwritev2,fdatasync -o "$dir/strace" -p "${backend_pid[disk]}" &
tracer=$!
wait_for 10 is_traced "${backend_pid[disk]}"
truncate -s 68M "$dir/disk.img"
guest_wait_line "boot 2 is over"
kill "$tracer"
wait "$tracer"
check_equal "the 16 writes are durable before they are answered" \
	"$(grep -c 'pwritev2(.* 671[0-9]*, RWF_DSYNC' "$dir/strace")" 16
wait_for 60 guest_said_or_gone "ok: third boot: unmounted"
check "QEMU lived on" kill -0 "$qemu"
guest_wait
check "the back-end lived on" kill -0 "${backend_pid[disk]}"
check "clean on the host" e2fsck -fn "$dir/disk.img"
finish_test
