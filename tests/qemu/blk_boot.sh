#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The machine has nothing but the disk: its firmware finds the boot loader there, and the loader
# the kernel. Three drivers use the disk one after the other, the last one by packed rings.

. "$(dirname "$0")/lib.sh"

make_initrd <<'END'
check "the kernel drives the disk that it came from" [ -b /dev/vda ]
check_equal "RING_PACKED" "$(cut -c 35 /sys/block/vda/device/features)" 1
check "all of it can be read" dd if=/dev/vda of=/dev/null bs=1M iflag=direct
report disk "$(sum_of /dev/vda)"
END
cat >"$dir/syslinux.cfg" <<END
DEFAULT linux
PROMPT 0
LABEL linux
	KERNEL vmlinuz
	INITRD initrd
	APPEND $guest_parameters
END
{
	truncate -s 64M "$dir/disk.img"
	mkfs.vfat "$dir/disk.img"
	mcopy -i "$dir/disk.img" "$guest_kernel" ::vmlinuz
	mcopy -i "$dir/disk.img" "$dir/initrd" "$dir/syslinux.cfg" ::
	syslinux --install "$dir/disk.img"
} >"$dir/image.log" 2>&1 || diagnose <"$dir/image.log"
blk_start disk --file "$dir/disk.img" --read-only

guest_launch -no-reboot $(blk_device disk ,bootindex=1,packed=on)
guest_wait
check_equal "the image is the disk" \
	"$(sha256sum <"$dir/disk.img" | cut -d ' ' -f 1)" "$(guest_report disk)"
finish_test
