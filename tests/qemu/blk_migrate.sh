#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# A guest at work migrates between two QEMUs, there and back, with a disk on split rings and one on
# packed rings. On each side a vhu-blk serves both images, and only the guest's side holds them.
# First of all a migration is given up half-way. VHU_LONG: ten times, else once.

. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/sides.sh"

trips=${VHU_LONG:+10}
trips=${trips:-1}
guest_seconds=$((180 + 90 * trips))
workers=3
if [ -n "${behind_iommu:-}" ]; then
	guest_use_intel_iommu
	side_devices=$intel_iommu
	side_properties=$intel_iommu_disk
fi

holder_of()
{
	"$build/cli/vhu-blk" --probe --file "$dir/$1.img" | sed -n 's/^ *who: \([0-9]*\) .*/\1/p'
}

# That side has the images, and only that one.
check_holds()
{
	check "$2: $1 holds the split disk" [ "$(holder_of split)" = "${backend_pid[$1]}" ]
	check "$2: $1 holds the packed disk" [ "$(holder_of packed)" = "${backend_pid[$1]}" ]
}

is_refused()
{
	! "$build/cli/vhu-blk" --socket "$dir/third.sock" --file "$dir/split.img" 2>"$dir/third" &&
		grep -q "locked by process ${backend_pid[$1]}" "$dir/third"
}

# One of QEMU's own programs, which wants to write.
qemu_opens()
{
	qemu-io -f raw -c "read 0 512" "$dir/split.img"
}

qemu_is_kept_out()
{
	! qemu_opens 2>"$dir/qemu-io" && grep -q "Failed to get .* lock" "$dir/qemu-io"
}

truncate -s 64M "$dir/split.img" "$dir/packed.img"
start_side here
check "a third program is kept out" is_refused here
start_side there --incoming
guest_start -no-reboot $(devices here) <<'END'
/test/churn /dev/vda /dev/vda /dev/vdb
check_equal "memory and disks are what was written" $? 0
END
check_works "before"
check "QEMU's programs are kept out" qemu_is_kept_out
check_holds here "before"
guest_incoming -no-reboot $(devices there)
bandwidth=$migrate_bandwidth
migrate_bandwidth=16777216 # it is not to be over before it is given up
migrate_begin
migrate_bandwidth=$bandwidth
sleep 2
migrate_give_up "given up"
check_works "given up"
check_holds here "given up"
for ((i = 1; i <= trips; i++)); do
	for name in there here; do
		guest_incoming -no-reboot $(devices $name)
		migrate_begin
		migrate_end "$i, $name"
		check_works "$i, $name"
		check_holds $name "$i"
	done
done
for name in split packed; do
	printf stop | dd of="$dir/$name.img" conv=notrunc status=none
done
guest_wait
check "QEMU's programs may have the image when the guest has gone" qemu_opens
finish_test
