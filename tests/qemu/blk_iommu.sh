#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Two disks, with split and with packed rings, behind an IOMMU of the guest's: intel-iommu, which
# takes addresses back by way of the device's own TLB, and virtio-iommu, which does not. File
# systems on both, then a crash of a back-end in the middle of reads and writes. No access of a
# disk's may be a fault in the guest's eyes.

. "$(dirname "$0")/lib.sh"

guest_layers="base fio"
guest_memory=768M
script=$(cat <<'END'
fill()
{
	local disk=$1 mnt=/mnt/$1
	mkdir -p "$mnt"

	check "$disk is behind an IOMMU" [ -e "/sys/block/$disk/device/../iommu_group" ]
	check "$disk: a file system is made" mkfs.ext4 -q "/dev/$disk"
	check "$disk: and mounted" mount -t ext4 "/dev/$disk" "$mnt"
	check "$disk: fio random reads and writes, crc32c" \
		fio --directory="$mnt" --ioengine=libaio --direct=1 --verify=crc32c \
		--verify_fatal=1 --verify_backlog=64 --group_reporting --name=mixed --size=8M \
		--numjobs=2 --rw=randrw --bsrange=4k-128k --iodepth=16
	dd if=/dev/urandom of="$mnt/kept" bs=1M count=4 2>/dev/null
	report "$disk" "$(sum_of "$mnt/kept")"
}

check_clean()
{
	check "$1: unmounted" umount "/mnt/$1"
	check "$1: clean" /usr/sbin/e2fsck -fn "/dev/$1"
}

modprobe ext4
fill vda >/tmp/vda.out 2>&1 &
fill vdb >/tmp/vdb.out 2>&1
wait
cat /tmp/vda.out /tmp/vdb.out
echo "the disks are filled"
check "fio goes on through a crash of the back-end, crc32c" \
	fio --directory=/mnt/vda --ioengine=libaio --direct=1 --verify=crc32c --verify_fatal=1 \
	--verify_backlog=64 --name=crash --size=16M --rw=randrw --bsrange=4k-64k --iodepth=16 \
	--time_based --runtime=6
check_equal "what was written before it is still there" "$(sum_of /mnt/vda/kept)" \
	"$(sed -n 's/^report: vda //p' /tmp/vda.out)"
check_clean vda
check_clean vdb
END
)

no_fault()
{
	! grep -E 'DMAR:.*fault|DMAR: \[DMA|iommu.*fault' "$dir/console"
}

start_back_end()
{
	blk_start "$1" --file "$dir/$1.img" --num-queues 2
}

# try NAME IOMMU DISK-PROPERTIES
try()
{
	local name=$1 properties=,num-queues=2$3 disk=vda image

	for image in "$name-split" "$name-packed"; do
		truncate -s 96M "$dir/$image.img"
		start_back_end "$image"
	done
	guest_start -no-reboot $2 $(blk_device "$name-split" "$properties") \
		$(blk_device "$name-packed" "$properties,packed=on") <<<"$script"
	guest_wait_line "the disks are filled" "$name: the disks are filled"
	sleep 2
	backend_kill "$name-split"
	start_back_end "$name-split"
	guest_wait
	check "$name: no fault of the IOMMU" no_fault
	for image in "$name-split" "$name-packed"; do
		check "$image: clean on the host" e2fsck -fn "$dir/$image.img"
		debugfs -R "dump /kept $dir/kept" "$dir/$image.img" 2>/dev/null
		check_equal "$image: the host finds the guest's file" \
			"$(sha256sum <"$dir/kept" | cut -d ' ' -f 1)" "$(guest_report "$disk")"
		rm "$dir/kept"
		disk=vdb
		backend_stop "$image"
	done
}

try virtio "-device virtio-iommu-pci" ,disable-legacy=on,iommu_platform=on
guest_use_intel_iommu
try intel "$intel_iommu" "$intel_iommu_disk"
finish_test
