#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The device in 100 lines: a guest reads its random bytes, by a packed ring since QEMU passes on
# what is offered.

. "$(dirname "$0")/lib.sh"

backend_start rng tests/device/rng

guest_run -chardev "socket,id=rng,path=$dir/rng.sock" \
	-device vhost-user-rng-pci,chardev=rng <<'END'
modprobe virtio_rng
check_equal "RING_PACKED" "$(cut -c 35 /sys/bus/virtio/devices/virtio0/features)" 1
check_equal "the kernel's source" "$(cat /sys/class/misc/hw_random/rng_current)" virtio_rng.0
for n in 1 2; do
	check "64 KiB of /dev/hwrng" dd if=/dev/hwrng of=/tmp/$n bs=4096 count=16 iflag=fullblock
	check_equal "their size" "$(stat -c %s /tmp/$n)" 65536
	# Random bytes do not shrink.
	check "they look random" [ "$(gzip -c /tmp/$n | wc -c)" -gt 65000 ]
done
check_fails "the second 64 KiB are others" cmp -s /tmp/1 /tmp/2
END
finish_test
