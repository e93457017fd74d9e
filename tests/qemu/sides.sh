# SPDX-License-Identifier: BSD-3-Clause
#
# For tests that migrate a guest at work, after lib.sh: on each of two sides a vhu-blk serves the
# same two images, split.img for a disk on split rings and packed.img for one on packed rings. The
# guest runs churn on them, with so many workers; its rounds are counted.
#
# shellcheck shell=bash

guest_memory=256M
guest_programs=churn
workers=2
# For an IOMMU: devices before the disks, and what is added to the properties of each disk.
side_devices=
side_properties=

# start_side NAME OPTION...
start_side()
{
	local name=$1
	shift

	blk_start "$name" --file "$dir/split.img" --num-queues 2 "$@" \
		--next --socket "$dir/$name-packed.sock" --file "$dir/packed.img" "$@"
}

# QEMU's options for the side.
devices()
{
	echo $side_devices $(blk_device "$1" ,num-queues=2"$side_properties") \
		$(blk_device "$1-packed" ,num-queues=1,packed=on"$side_properties")
}

has_done()
{
	local worker

	for ((worker = 0; worker < workers; worker++)); do
		[ "$(tr -d '\r' <"$dir/result" | grep -c "^worker $worker: round")" -ge "$1" ] ||
			return 1
	done
}

# Two rounds more of each worker.
check_works()
{
	local done=0

	while has_done $((done + 1)); do
		done=$((done + 1))
	done
	check "$1: the guest is at work" wait_for 180 has_done $((done + 2))
}
