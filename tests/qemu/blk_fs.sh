#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# File systems on two disks: made, filled under fio's eyes, checked in the guest and on the host.

. "$(dirname "$0")/lib.sh"

guest_layers="base fio"
guest_memory=768M
truncate -s 256M "$dir/ext4.img"
truncate -s 384M "$dir/xfs.img"
blk_start ext4 --file "$dir/ext4.img" --num-queues 2
blk_start xfs --file "$dir/xfs.img" --num-queues 2

guest_run $(blk_device ext4 ,num-queues=2) $(blk_device xfs ,num-queues=1,queue-size=1024) <<'END'
modprobe ext4
modprobe xfs

told_more()
{
	[ "$(discards_of "$1")" -gt "$2" ]
}

# try NAME DEVICE MKFS FSCK: the checks of one file system
try()
{
	local name=$1 device=$2 mkfs=$3 fsck=$4 mnt=/mnt/$1 before
	mkdir -p "$mnt"

	check "$name: made" $mkfs "$device"
	check "$name: mounted" mount -t "$name" -o discard "$device" "$mnt"
	dd if=/dev/urandom of="$mnt/kept" bs=1M count=8 2>/dev/null
	report "$name-kept" "$(sum_of "$mnt/kept")"
	before=$(discards_of "$device")
	# The third job punches holes into a file, which "-o discard" passes on to the disk.
	fallocate -l 24M "$mnt/holes"
	check "$name: fio random read and write mixed with trim, crc32c" \
		fio --directory="$mnt" --bsrange=4k-64k --end_fsync=1 --group_reporting \
		--name=mixed --size=24M --numjobs=2 --rw=randrw --ioengine=libaio --iodepth=16 \
		--direct=1 --fsync=64 --verify=crc32c --verify_fatal=1 --verify_backlog=128 \
		--name=holes --filename=holes --size=24M --numjobs=1 --rw=randtrim --ioengine=falloc
	sync
	check "$name: the disk was told of the holes" wait_for 20 told_more "$device" "$before"
	check "$name: fio random write through the page cache, crc32c" \
		fio --name=cached --directory="$mnt" --size=16M --rw=randwrite --bs=8k \
		--verify=crc32c --verify_fatal=1 --fdatasync=32
	rm "$mnt"/mixed.*
	check "$name: fstrim" fstrim -v "$mnt"
	check "$name: unmounted" umount "$mnt"
	check "$name: clean" $fsck "$device"
	report "$name-disk" "$(sum_of "$device" 0 64)"
}

check_equal "queue size 1024" "$(cat /sys/block/vdb/mq/0/nr_tags)" 1024
try ext4 /dev/vda "mkfs.ext4 -q" "/usr/sbin/e2fsck -fn" >/tmp/ext4.out 2>&1 &
try xfs /dev/vdb "mkfs.xfs -q" "/usr/sbin/xfs_repair -n" >/tmp/xfs.out 2>&1
wait
cat /tmp/ext4.out /tmp/xfs.out
END

first_64_mib()
{
	head -c 64M "$1" | sha256sum | cut -d ' ' -f 1
}

debugfs -R "dump /kept $dir/kept" "$dir/ext4.img" 2>/dev/null
check_equal "ext4: the host finds the guest's file in the image" \
	"$(sha256sum <"$dir/kept" | cut -d ' ' -f 1)" "$(guest_report ext4-kept)"
check "ext4: clean on the host" e2fsck -fn "$dir/ext4.img"
check "xfs: clean on the host" xfs_repair -n -f "$dir/xfs.img"
for name in ext4 xfs; do
	check_equal "$name: the first 64 MiB are the same on both sides" \
		"$(first_64_mib "$dir/$name.img")" "$(guest_report $name-disk)"
done
finish_test
