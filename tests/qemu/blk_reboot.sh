#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The guest reboots twice under the same QEMU and back-end, once with its file system mounted, and
# finds what it wrote.

. "$(dirname "$0")/lib.sh"

truncate -s 64M "$dir/disk.img"
blk_start disk --file "$dir/disk.img" --num-queues 2

guest_start $(blk_device disk ,num-queues=2) <<'END'
modprobe ext4
if ! mount -t ext4 /dev/vda /mnt; then
	check "first boot: made" mkfs.ext4 -q /dev/vda
	check "first boot: mounted" mount -t ext4 /dev/vda /mnt
	dd if=/dev/urandom of=/mnt/file bs=1M count=4 2>/dev/null
	sum_of /mnt/file >/mnt/sum
	check "first boot: unmounted" umount /mnt
	echo "boot 1 is over"
	reboot -f
fi
if [ ! -e /mnt/second ]; then
	check "second boot: the file is there" [ "$(sum_of /mnt/file)" = "$(cat /mnt/sum)" ]
	dd if=/dev/urandom of=/mnt/second bs=1M count=4 2>/dev/null
	sum_of /mnt/second >/mnt/second.sum
	sync
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
guest_wait_line "boot 2 is over"
wait_for 60 guest_said_or_gone "ok: third boot: unmounted"
check "QEMU lived on" kill -0 "$qemu"
guest_wait
check "the back-end lived on" kill -0 "${backend_pid[disk]}"
check "clean on the host" e2fsck -fn "$dir/disk.img"
finish_test
