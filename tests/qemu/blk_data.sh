#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Data on the bare disk, by four queues: written, discarded, zeroed, and compared on both sides.

. "$(dirname "$0")/lib.sh"

guest_layers="base fio"
guest_memory=768M
guest_cpus=4
truncate -s 96M "$dir/disk.img"
blk_start disk --file "$dir/disk.img" --num-queues 4

guest_run $(blk_device disk ,num-queues=4) <<'END'
# is_zero SKIP-MIB COUNT-MIB
is_zero()
{
	dd if=/dev/vda bs=1M skip="$1" count="$2" iflag=direct 2>/dev/null |
		cmp -s -n "$(($2 << 20))" - /dev/zero
}

# Three copies of the same data, 8 MiB each, from 16 MiB on.
dd if=/dev/urandom of=/tmp/data bs=1M count=8 2>/dev/null
sum=$(sum_of /tmp/data)
report data "$sum"
for at in 16 24 32; do
	check "8 MiB are written at $at MiB" \
		dd if=/tmp/data of=/dev/vda bs=1M seek=$at oflag=direct conv=notrunc
done
for at in 16 24 32; do
	check "and read back at $at MiB" [ "$(sum_of /dev/vda $at 8)" = "$sum" ]
done

check "blkdiscard of the middle copy" blkdiscard -o 24M -l 8M /dev/vda
check "it then reads as zeros" is_zero 24 8
check "blkdiscard -z of 1 MiB" blkdiscard -z -o 33M -l 1M /dev/vda
check "it then reads as zeros" is_zero 33 1
check "the copy before is whole" [ "$(sum_of /dev/vda 16 8)" = "$sum" ]
check "1 MiB before the zeroed one is whole" \
	[ "$(sum_of /dev/vda 32 1)" = "$(sum_of /tmp/data 0 1)" ]
check "6 MiB after the zeroed one are whole" \
	[ "$(sum_of /dev/vda 34 6)" = "$(sum_of /tmp/data 2 6)" ]

before=$(discards_of /dev/vda)
# Each job has a part of the disk to itself.
check "fio: random read, write and trim at the same time, crc32c" \
	fio --filename=/dev/vda --ioengine=libaio --direct=1 --verify=crc32c --verify_fatal=1 \
	--group_reporting --name=mixed --offset=40M --size=14M --offset_increment=14M \
	--numjobs=3 --rw=randrw --bsrange=4k-64k --iodepth=16 --verify_backlog=64 \
	--name=trimmed --offset=82M --size=14M --numjobs=1 --rw=randtrimwrite --bs=16k --iodepth=8
check "the disk was told of the trims" [ "$(discards_of /dev/vda)" -gt $((before + 800)) ]
report disk "$(sum_of /dev/vda)"
END

image_sum()
{
	tail -c "+$(($1 * 1048576 + 1))" "$dir/disk.img" | head -c "$(($2 * 1048576))" |
		sha256sum | cut -d ' ' -f 1
}

next_data()
{
	xfs_io -r -c "seek -d $1" "$dir/disk.img" | sed -n 's/^DATA[[:blank:]]*//p'
}

check_equal "the discarded range takes no room in the image" "$(next_data 24m)" $((32 << 20))
check_equal "the image holds what the guest wrote" "$(image_sum 16 8)" "$(guest_report data)"
check_equal "the whole image is the whole disk" "$(image_sum 0 96)" "$(guest_report disk)"
finish_test
