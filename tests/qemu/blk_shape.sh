#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# What a guest sees of its disks: size, serial, queues, block size and topology, read-only.

. "$(dirname "$0")/lib.sh"

serial=vhu-serial-20-chars!
truncate -s 64M "$dir/plain.img" "$dir/backing.img" "$dir/large.img"
mkdir "$dir/tree"
head -c 100000 /dev/urandom >"$dir/tree/file"
mkfs.ext4 -q -d "$dir/tree" "$dir/readonly.img" 32M 2>&1 | diagnose
readonly_sum=$(sha256sum <"$dir/readonly.img")

blk_start plain --file "$dir/plain.img" --serial "$serial" --num-queues 4
blk_start readonly --file "$dir/readonly.img" --read-only
blk_start large --file "$dir/large.img" --block-size 4096

# A loop device is the only real block device that any machine can make.
loop=$(losetup --find --show --sector-size 4096 "$dir/backing.img") || exit 1
trap 'losetup --detach "$loop"; finish' EXIT
blk_start device --file "$loop"

guest_run $(blk_device plain ,num-queues=4) $(blk_device readonly) $(blk_device large) \
	$(blk_device device) <<'END'
q()
{
	cat "/sys/block/$1/queue/$2"
}

check_equal "size in sectors" "$(cat /sys/block/vda/size)" 131072
check_equal "serial" "$(cat /sys/block/vda/serial)" "vhu-serial-20-chars!"
check_equal "logical block size" "$(q vda logical_block_size)" 512
report file-physical "$(q vda physical_block_size)"

# The guest uses a queue for each of its processors, of the four that are there.
check_equal "4 queues, 2 processors: hardware contexts" "$(ls /sys/block/vda/mq | wc -w)" 2
interrupts()
{
	awk -v name="virtio0-req.$1" '$NF == name { print $2 + $3 }' /proc/interrupts
}
for n in 0 1; do
	before=$(interrupts $n)
	taskset $((n + 1)) dd if=/dev/vda of=/dev/null bs=64k count=32 iflag=direct 2>/dev/null
	check "queue $n carries requests" [ "$(interrupts $n)" -gt "$before" ]
done

check_equal "read-only flag" "$(cat /sys/block/vdb/ro)" 1
check_fails "a write to the read-only disk is refused" dd if=/dev/zero of=/dev/vdb bs=4k count=1
check_fails "a discard of the read-only disk is refused" blkdiscard /dev/vdb
modprobe ext4
check "the read-only disk can be mounted" mount -t ext4 -o ro /dev/vdb /mnt
report file "$(sum_of /mnt/file)"

check_equal "--block-size 4096: logical" "$(q vdc logical_block_size)" 4096
check_equal "--block-size 4096: size in sectors" "$(cat /sys/block/vdc/size)" 131072
check "--block-size 4096: 4 KiB go through" \
	dd if=/dev/urandom of=/dev/vdc bs=4096 count=8 oflag=direct

report logical "$(q vdd logical_block_size)"
report physical "$(q vdd physical_block_size)"
report minimum "$(q vdd minimum_io_size)"
END

# The file system's blocks, or the disk's below where those are larger.
below=$(findmnt -n -o SOURCE --target "$dir")
expected=$(blockdev --getpbsz "$below" 2>/dev/null || echo 512)
block=$(stat -c %o "$dir/plain.img")
check_equal "file: physical block size" \
	"$(guest_report file-physical)" $((expected > block ? expected : block))
check_equal "block device: logical block size" \
	"$(guest_report logical)" "$(blockdev --getss "$loop")"
check_equal "block device: physical block size" \
	"$(guest_report physical)" "$(blockdev --getpbsz "$loop")"
check_equal "block device: minimum I/O size" \
	"$(guest_report minimum)" "$(blockdev --getiomin "$loop")"
check_equal "the file on the read-only disk is the host's" \
	"$(guest_report file)" "$(sha256sum <"$dir/tree/file" | cut -d ' ' -f 1)"
check "the read-only image is unchanged" \
	[ "$(sha256sum <"$dir/readonly.img")" = "$readonly_sum" ]
finish_test
