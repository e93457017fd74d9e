#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The back-end is killed with -9 and started again, five times, while fio writes and verifies. The
# guest sees nothing of it.

. "$(dirname "$0")/lib.sh"

guest_layers="base fio"
guest_memory=768M
truncate -s 96M "$dir/disk.img"
blk_start disk --file "$dir/disk.img" --num-queues 2

guest_start -no-reboot $(blk_device disk ,num-queues=2) <<'END'
echo "fio begins"
check "fio: random reads and writes, crc32c" \
	fio --filename=/dev/vda --ioengine=libaio --direct=1 --verify=crc32c --verify_fatal=1 \
	--verify_backlog=256 --group_reporting --name=mixed --size=40M --offset_increment=48M \
	--numjobs=2 --rw=randrw --bsrange=4k-64k --iodepth=16 --time_based --runtime=15
echo "fio has ended"
dd if=/dev/urandom of=/tmp/data bs=1M count=4 2>/dev/null
check "written after that" dd if=/tmp/data of=/dev/vda bs=1M oflag=direct conv=notrunc
check_equal "and read back" "$(sum_of /dev/vda 0 4)" "$(sum_of /tmp/data)"
report disk "$(sum_of /dev/vda)"
END
fio_runs()
{
	! guest_said "fio has ended"
}

guest_wait_line "fio begins"
for n in 1 2 3 4 5; do
	sleep 2
	backend_kill disk
	check "crash $n: in the middle of it" fio_runs
	blk_start disk --file "$dir/disk.img" --num-queues 2
done
guest_wait
check_equal "a front-end came to each of the six" \
	"$(grep -c 'a front-end is connected' "$dir/disk.log")" 6
check_equal "the image is the disk" \
	"$(sha256sum <"$dir/disk.img" | cut -d ' ' -f 1)" "$(guest_report disk)"
finish_test
