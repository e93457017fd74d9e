#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The image grows under a mounted file system: once with SIGHUP, once with nothing said.

. "$(dirname "$0")/lib.sh"

truncate -s 64M "$dir/disk.img"
blk_start disk --file "$dir/disk.img" --num-queues 2

guest_start -no-reboot $(blk_device disk ,num-queues=2) <<'END'
has_size()
{
	[ "$(cat /sys/block/vda/size)" = "$1" ]
}

blocks()
{
	stat -f -c %b /mnt
}

modprobe ext4
check "made" mkfs.ext4 -q /dev/vda
check "mounted" mount -t ext4 /dev/vda /mnt
dd if=/dev/urandom of=/mnt/before bs=1M count=4 2>/dev/null
sum=$(sum_of /mnt/before)
small=$(blocks)

echo "ready for 96 MiB"
check "96 MiB are seen" wait_for 30 has_size $((96 * 2048))
check "the file system grows while mounted" /usr/sbin/resize2fs /dev/vda
check "it has more blocks" [ "$(blocks)" -gt "$small" ]

echo "ready for 128 MiB"
check "128 MiB are seen" wait_for 30 has_size $((128 * 2048))
check "the file system grows again" /usr/sbin/resize2fs /dev/vda
check "80 MiB find room" dd if=/dev/zero of=/mnt/large bs=1M count=80 oflag=direct
check "the last MiB of the disk can be read" \
	dd if=/dev/vda of=/dev/null bs=1M skip=127 count=1 iflag=direct
check "the file from before is whole" [ "$(sum_of /mnt/before)" = "$sum" ]
check "unmounted" umount /mnt
check "clean" /usr/sbin/e2fsck -fn /dev/vda
END
guest_wait_line "ready for 96 MiB"
truncate -s 96M "$dir/disk.img"
kill -HUP "${backend_pid[disk]}"
guest_wait_line "ready for 128 MiB"
truncate -s 128M "$dir/disk.img"
guest_wait
check "clean on the host" e2fsck -fn "$dir/disk.img"
finish_test
