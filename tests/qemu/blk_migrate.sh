#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# A guest at work migrates between two QEMUs on two vhu-blk that serve one image, there and back.
# VHU_LONG: ten times, else once.

. "$(dirname "$0")/lib.sh"

trips=${VHU_LONG:+10}
trips=${trips:-1}
guest_seconds=$((120 + 60 * trips))
guest_memory=256M
guest_programs=churn

round_of()
{
	tr -d '\r' <"$dir/result" | grep -c "^worker $1: round"
}

has_done()
{
	[ "$(round_of 0)" -ge "$1" ] && [ "$(round_of 1)" -ge "$2" ]
}

check_works()
{
	check "$1" wait_for 60 has_done $(($(round_of 0) + 2)) $(($(round_of 1) + 2))
}

truncate -s 64M "$dir/disk.img"
for name in here there; do
	blk_start $name --file "$dir/disk.img" --num-queues 2 --lock off
done

guest_start -no-reboot $(blk_device here ,num-queues=2) <<'END'
/test/churn /dev/vda 2
check_equal "memory and disk are what was written" $? 0
END
check_works "the guest is at work"
for ((i = 1; i <= trips; i++)); do
	for name in there here; do
		guest_incoming -no-reboot $(blk_device $name ,num-queues=2)
		migrate_begin
		migrate_end "$i, $name"
		check_works "$i, $name: the guest is at work"
	done
done
printf stop | dd of="$dir/disk.img" conv=notrunc status=none
guest_wait
finish_test
