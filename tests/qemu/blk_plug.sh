#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Memory and disks come and go while the guest reads: a DIMM is plugged and unplugged under I/O that
# goes to its pages, then a second disk behind a root port. vhu-blk keeps no fd of what has gone.
# VHU_LONG: five times each, else twice.

. "$(dirname "$0")/lib.sh"

rounds=${VHU_LONG:+5}
rounds=${rounds:-2}
guest_memory=384M
guest_machine=(-M "q35,memory-backend=mem" -m "$guest_memory,slots=4,maxmem=2G" -object
	"memory-backend-memfd,id=mem,size=$guest_memory,share=on")
guest_parameters+=" memhp_default_state=online_movable"

fds()
{
	find "/proc/${backend_pid[$1]}/fd" | wc -l
}

has_fds()
{
	[ "$(fds "$1")" = "$2" ]
}

mkdir "$dir/tree"
head -c 48M /dev/urandom >"$dir/tree/file"
mkfs.ext4 -q -d "$dir/tree" "$dir/disk.img" 80M 2>/dev/null
blk_start disk --file "$dir/disk.img" --num-queues 2
truncate -s 64M "$dir/second.img"
blk_start second --file "$dir/second.img" --num-queues 2
idle_fds=$(fds second)

{
	echo "rounds=$rounds"
	echo "sum=$(md5sum <"$dir/tree/file" | cut -d ' ' -f 1)"
	cat <<'END'
memory_is()
{
	[ "$(awk '/^MemTotal/ { print int($2 / 1024 / 256) }' /proc/meminfo)" = "$1" ]
}

# The page cache of a file takes plugged memory first: its pages can be moved out of it again.
read_disk()
{
	while [ ! -e /tmp/enough ]; do
		echo 1 >/proc/sys/vm/drop_caches
		[ "$(md5sum </data/file | cut -d ' ' -f 1)" = "$sum" ] || echo wrong
		echo x >>/tmp/reads
	done
}

reads()
{
	wc -l </tmp/reads
}

read_again()
{
	[ "$(reads)" -ge "$1" ]
}

disk_is_there()
{
	[ -b /dev/vdb ]
}

disk_is_gone()
{
	[ ! -e /sys/block/vdb ]
}

movable()
{
	awk '/^Node.*zone/ { zone = $4 } $1 == "nr_active_file" || $1 == "nr_inactive_file" ||
		$1 == "nr_zone_active_file" || $1 == "nr_zone_inactive_file" {
		if (zone == "Movable") n += $2 } END { print n + 0 }' /proc/zoneinfo
}

movable_is_used()
{
	[ "$(movable)" -gt 1000 ]
}

mkdir /data
modprobe ext4
check "mounted" mount -t ext4 -o ro /dev/vda /data
touch /tmp/reads
read_disk >/tmp/wrong 2>&1 &
reader=$!
echo "the load is on"
for i in $(seq $rounds); do
	check "DIMM $i: the guest has it" wait_for 60 memory_is 3
	check "DIMM $i: the page cache is there" wait_for 60 movable_is_used
	check "DIMM $i: read with it" wait_for 60 read_again $(($(reads) + 2))
	echo "DIMM $i is used"
	check "DIMM $i: it is gone" wait_for 90 memory_is 1
	check "DIMM $i: read without it" wait_for 60 read_again $(($(reads) + 2))
	echo "DIMM $i is gone"
done
touch /tmp/enough
wait $reader
check_equal "nothing was read wrong" "$(cat /tmp/wrong)" ""

for i in $(seq $rounds); do
	check "disk $i: the guest has it" wait_for 60 disk_is_there
	if [ $i = 1 ]; then
		check "disk $i: made" mkfs.ext4 -q /dev/vdb
	fi
	check "disk $i: mounted" mount -t ext4 /dev/vdb /mnt
	echo "round $i" >>/mnt/log
	check_equal "disk $i: what was written" "$(wc -l </mnt/log)" $i
	check "disk $i: unmounted" umount /mnt
	echo "disk $i is used"
	check "disk $i: it is gone" wait_for 60 disk_is_gone
	echo "disk $i is gone"
done
END
} >"$dir/guest"
guest_start -no-reboot -no-shutdown $(blk_device disk ,num-queues=2) \
	-device pcie-root-port,id=rp0,chassis=1,slot=1 <"$dir/guest"
guest_wait_line "the load is on"
used_fds=$(fds disk)
for ((i = 1; i <= rounds; i++)); do
	check "DIMM $i: its memory" qmp object-add '{"qom-type": "memory-backend-memfd",
		"id": "more", "size": 536870912, "share": true}'
	check "DIMM $i: plugged" qmp device_add \
		'{"driver": "pc-dimm", "id": "dimm", "memdev": "more"}'
	guest_wait_line "DIMM $i is used"
	check "DIMM $i: unplugged" qmp device_del '{"id": "dimm"}' DEVICE_DELETED
	check "DIMM $i: its memory goes" qmp object-del '{"id": "more"}'
	guest_wait_line "DIMM $i is gone"
done
check "no fd of the memory is left" has_fds disk "$used_fds"
for ((i = 1; i <= rounds; i++)); do
	check "disk $i: its socket" qmp chardev-add '{"id": "late", "backend": {
		"type": "socket", "data": {"server": false, "addr": {
			"type": "unix", "data": {"path": "'"$dir/second.sock"'"}}}}}'
	check "disk $i: plugged" qmp device_add '{"driver": "vhost-user-blk-pci",
		"id": "late-disk", "chardev": "late", "bus": "rp0", "num-queues": 2}'
	guest_wait_line "disk $i is used"
	check "disk $i: unplugged" qmp device_del '{"id": "late-disk"}' DEVICE_DELETED
	check "disk $i: its socket goes" qmp chardev-remove '{"id": "late"}'
	guest_wait_line "disk $i is gone"
	check "disk $i: vhu-blk has let go of everything" wait_for 10 has_fds second "$idle_fds"
done
guest_wait_line "guest: ended"
check "QEMU quits" qmp quit
guest_wait
check "clean on the host" e2fsck -fn "$dir/second.img"
finish_test
