#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Packed rings: a disk that the firmware takes up with a split ring and the kernel with packed ones,
# through a reboot, and a second one without indirect tables and event indices.

. "$(dirname "$0")/lib.sh"

guest_layers="base fio"
guest_memory=768M

make_initrd <<'END'
# feature DEVICE BIT
feature()
{
	cut -c $(($2 + 1)) "/sys/block/$1/device/features"
}

verify()
{
	check "$1: fio: random reads and writes, crc32c" \
		fio --filename=/dev/$1 --ioengine=libaio --direct=1 --verify=crc32c \
		--verify_fatal=1 --verify_backlog=256 --group_reporting --name=mixed \
		--size=16M --offset_increment=16M --numjobs=2 --rw=randrw \
		--bsrange=4k-128k --iodepth=32
}

for disk in vda vdb; do
	check_equal "$disk: RING_PACKED" "$(feature $disk 34)" 1
done
check_equal "vda: EVENT_IDX and INDIRECT_DESC" "$(feature vda 29)$(feature vda 28)" 11
check_equal "vdb: EVENT_IDX and INDIRECT_DESC" "$(feature vdb 29)$(feature vdb 28)" 00
verify vda >/tmp/vda.out &
verify vdb
wait
cat /tmp/vda.out
# Behind what fio writes: 4 MiB of data and, after a first boot, a block with their sum.
written=$(dd if=/dev/vda bs=1M skip=100 count=1 2>/dev/null | head -c 64 | tr -d '\0')
if [ -z "$written" ]; then
	dd if=/dev/urandom of=/tmp/data bs=1M count=4 2>/dev/null
	check "first boot: written" dd if=/tmp/data of=/dev/vda bs=1M seek=96 oflag=direct
	sum_of /tmp/data | dd of=/dev/vda bs=4k seek=25600 conv=sync oflag=direct 2>/dev/null
	echo "boot 1 is over"
	reboot -f
fi
check_equal "second boot: read back" "$(sum_of /dev/vda 96 4)" "$written"
report vda "$(sum_of /dev/vda)"
report vdb "$(sum_of /dev/vdb)"
END
truncate -s 104M "$dir/vda.img"
truncate -s 32M "$dir/vdb.img"
blk_start vda --file "$dir/vda.img" --num-queues 2
blk_start vdb --file "$dir/vdb.img" --num-queues 2 --engine sync

guest_launch -kernel "$guest_kernel" -initrd "$dir/initrd" -append "$guest_parameters" \
	$(blk_device vda ,num-queues=2,packed=on) \
	$(blk_device vdb ,num-queues=2,packed=on,event_idx=off,indirect_desc=off)
guest_wait_line "boot 1 is over"
guest_wait
for name in vda vdb; do
	check_equal "$name: the image is the disk" \
		"$(sha256sum <"$dir/$name.img" | cut -d ' ' -f 1)" "$(guest_report $name)"
done
finish_test
