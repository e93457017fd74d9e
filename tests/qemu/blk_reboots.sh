#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The guest restarts again and again under one QEMU and one vhu-blk, in the middle of its writing,
# with split and then with packed rings; each boot finds what the one before had made durable.
# VHU_LONG: 20 restarts of each, else 2.

. "$(dirname "$0")/lib.sh"

reboots=${VHU_LONG:+20}
reboots=${reboots:-2}

for layout in off on; do
	truncate -s 64M "$dir/disk.img"
	blk_start disk --file "$dir/disk.img" --num-queues 2
	{
		echo "reboots=$reboots"
		cat <<'END'
boots()
{
	dd if=/dev/vda bs=512 count=1 iflag=direct 2>/dev/null | head -c 3
}

# The first sector counts, the rest of the disk is noise under the reboot.
n=$(boots | tr -d '\0' | sed 's/^0*//')
n=$((${n:-0} + 1))
packed=$(cut -c 35 /sys/bus/virtio/devices/virtio0/features)
printf '%03d' $n | dd of=/dev/vda bs=512 conv=sync,notrunc oflag=direct 2>/dev/null
check_equal "boot $n is counted, packed" "$(boots) $packed" "$(printf '%03d' $n) $PACKED"
if [ $n -le $reboots ]; then
	dd if=/dev/zero of=/dev/vda bs=64k seek=16 2>/dev/null &
	sleep 0.3
	# At once: "reboot -f" lets the kernel fail what is in flight first.
	echo b >/proc/sysrq-trigger
fi
END
	} | sed "s/\$PACKED/$([ $layout = on ] && echo 1 || echo 0)/" >"$dir/guest"
	guest_start $(blk_device disk ",num-queues=2,packed=$layout") <"$dir/guest"
	guest_wait
	check_equal "packed=$layout: boots" \
		"$(head -c 3 "$dir/disk.img")" "$(printf '%03d' $((reboots + 1)))"
	backend_stop disk
	rm "$dir/disk.img"
done
finish_test
