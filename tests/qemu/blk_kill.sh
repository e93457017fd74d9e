#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# QEMU is killed with -9 in the middle of writes; a second one is started on the same running
# back-end, and its guest finds what the first had synced.

. "$(dirname "$0")/lib.sh"

truncate -s 96M "$dir/disk.img"
blk_start disk --file "$dir/disk.img" --num-queues 2

guest_start -no-reboot $(blk_device disk ,num-queues=2) <<'END'
modprobe ext4
check "first guest: made" mkfs.ext4 -q /dev/vda
check "first guest: mounted" mount -t ext4 /dev/vda /mnt
dd if=/dev/urandom of=/mnt/synced bs=1M count=8 2>/dev/null
sync
report synced "$(sum_of /mnt/synced)"
echo "writing without end"
for n in 0 1; do
	while dd if=/dev/zero of=/mnt/busy$n bs=1M count=16 oflag=direct 2>/dev/null; do
		sync
	done &
done
wait
END
guest_wait_line "writing without end" "first guest: busy writing"
sleep 1
synced=$(guest_report synced)
guest_kill
check "the back-end lived on" kill -0 "${backend_pid[disk]}"

guest_run $(blk_device disk ,num-queues=2) <<'END'
modprobe ext4
check "second guest: mounted, journal replayed" mount -t ext4 /dev/vda /mnt
report synced "$(sum_of /mnt/synced)"
check "second guest: writes" dd if=/dev/urandom of=/mnt/more bs=1M count=8 oflag=direct
check "second guest: unmounted" umount /mnt
check "second guest: clean" /usr/sbin/e2fsck -fn /dev/vda
END
check_equal "what the first guest had synced is there" "$(guest_report synced)" "$synced"
check "the back-end lived on again" kill -0 "${backend_pid[disk]}"
check "clean on the host" e2fsck -fn "$dir/disk.img"
finish_test
