#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The machine is stopped and continued again and again while the guest writes and verifies. While
# it is stopped the image grows, and SIGHUP tells vhu-blk: the guest sees it once it goes on.
# VHU_LONG: a hundred times, else thirty.

. "$(dirname "$0")/lib.sh"

rounds=${VHU_LONG:+100}
rounds=${rounds:-30}
guest_layers="base fio"

truncate -s 256M "$dir/disk.img"
blk_start disk --file "$dir/disk.img" --num-queues 2

guest_start -no-reboot $(blk_device disk ,num-queues=2) <<'END'
has_size()
{
	[ "$(cat /sys/block/vda/size)" = "$1" ]
}

fio --name=load --filename=/dev/vda --size=128M --rw=randrw --bs=4k --iodepth=16 \
	--ioengine=libaio --direct=1 --numjobs=2 --offset_increment=128M --verify=crc32c \
	--verify_backlog=512 --verify_fatal=1 --time_based --runtime=600 >/tmp/fio 2>&1 &
load=$!
sleep 1
echo "the load is on"
check "320 MiB are seen" wait_for 240 has_size $((320 * 2048))
check "the load goes on" kill -0 $load
kill -INT $load
wait $load
check_equal "jobs of fio without an error" "$(grep -c 'err= 0' /tmp/fio)" 2
END
guest_wait_line "the load is on"

stop_and_go()
{
	local i

	for ((i = 0; i < rounds; i++)); do
		qmp stop && sleep 0.02 && qmp cont && sleep 0.1 || return 1
	done
}
check "stopped and continued $rounds times" stop_and_go
check "QEMU stops" qmp stop
truncate -s 320M "$dir/disk.img"
kill -HUP "${backend_pid[disk]}"
sleep 0.5
check "it continues" qmp cont
guest_wait
finish_test
