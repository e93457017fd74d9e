#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The back-end is killed with -9 and started again, 25 times with a split ring and 25 times with a
# packed one, while fio writes and verifies and a log is appended to. The guest sees nothing of it:
# no error, and each line of the log once.
#
# Two kills of three come when the back-end has been held up so that its queues are full, and has
# just been let go: those find requests done and not given back, and a batch half given back.

. "$(dirname "$0")/lib.sh"

kills=25
kill_every_ms=1500
guest_layers="base fio"
guest_memory=768M
mkfifo "$dir/never"
exec {never}<>"$dir/never"

now_ms()
{
	local now=$EPOCHREALTIME

	echo $((${now/./} / 1000))
}

# pause US: without a process, which would take longer to start than that.
pause()
{
	read -r -t "$(printf '%d.%06d' $(($1 / 1000000)) $(($1 % 1000000)))" -u "$never"
}

# Exact to some tens of microseconds: nothing is started between the two signals.
kill_just_busy()
{
	local pid=${backend_pid[disk]} us

	printf -v us '0.%06d' $((RANDOM % 600))
	kill -STOP "$pid"
	pause 300000
	kill -CONT "$pid"
	read -r -t "$us" -u "$never"
	backend_kill disk
}

fio_runs()
{
	! guest_said "fio has ended"
}

kill_many()
{
	local n begin

	begin=$(now_ms)
	for ((n = 1; n <= kills; n++)); do
		# The end of the interval is the next one's to be late by.
		until [ "$(now_ms)" -ge $((begin + n * kill_every_ms - 600)) ]; do
			pause 20000
		done
		pause $((RANDOM * 10))
		if [ $((n % 3)) -ne 0 ]; then
			kill_just_busy
		else
			backend_kill disk
		fi
		fio_runs || return 1
		blk_start disk --file "$dir/disk.img" --num-queues 2
	done
}

again_lines()
{
	grep -c 'were in flight and are done again' "$dir/disk.log"
}

restart_under_load()
{
	local device
	device=$(blk_device disk ",num-queues=2${2:-}")

	echo "# $1"
	truncate -s 0 "$dir/disk.img"
	truncate -s 160M "$dir/disk.img"
	blk_start disk --file "$dir/disk.img" --num-queues 2
	guest_start -no-reboot ${device/reconnect-ms=200/reconnect-ms=500} <<'END'
modprobe ext4
check "write-back cache" grep -q "write back" /sys/block/vda/queue/write_cache
check "made" mkfs.ext4 -q /dev/vda
check "mounted" mount -t ext4 /dev/vda /mnt
echo "fio begins"
append()
{
	n=0
	while [ -e /tmp/append ]; do
		n=$((n + 1))
		echo "line $n" >>/mnt/log
		[ $((n % 8)) -ne 0 ] || sync
	done
	echo $n >/tmp/appended
}
: >/tmp/append
append &
check "fio: random reads and writes, crc32c" \
	fio --directory=/mnt --ioengine=libaio --direct=1 --verify=crc32c --verify_fatal=1 \
	--verify_backlog=64 --group_reporting --name=mixed --size=4M --numjobs=24 --thread \
	--rw=randrw --bsrange=4k-32k --iodepth=4 --fsync=32 --time_based --runtime=44
echo "fio has ended"
rm /tmp/append
wait
check "the log grew" [ "$(cat /tmp/appended)" -gt 100 ]
check "unmounted" umount /mnt
check "clean" /usr/sbin/e2fsck -fn /dev/vda
check "mounted again" mount -t ext4 /dev/vda /mnt
awk -v n="$(cat /tmp/appended)" 'BEGIN { for (i = 1; i <= n; i++) print "line " i }' >/tmp/wanted
check "each line once, in order" cmp /mnt/log /tmp/wanted
umount /mnt
report disk "$(sum_of /dev/vda)"
END
	guest_wait_line "fio begins" "$1: at work"
	check "$1: killed $kills times in the middle of it" kill_many
	guest_wait
	check_equal "$1: the image is the disk" \
		"$(sha256sum <"$dir/disk.img" | cut -d ' ' -f 1)" "$(guest_report disk)"
	backend_stop disk
}

restart_under_load split
echo "# rings that took up what was in flight: $(again_lines)"
check "kills hit requests in flight" [ "$(again_lines)" -gt 2 ]
: >"$dir/disk.log"
restart_under_load packed ,packed=on
echo "# rings that took up what was in flight: $(again_lines)"
check "kills hit requests in flight" [ "$(again_lines)" -gt 2 ]
finish_test
