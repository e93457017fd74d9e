#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# A guest at work migrates between two QEMUs by postcopy: it runs on the other side before its
# memory is there, and so do its disks, one on split rings and one on packed rings. Then it
# migrates back, and in the middle of that the QEMU that it came to is killed with -9: the images
# hold nothing but what the guest has written.
# VHU_LONG: five such guests, else one.

. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/sides.sh"

guests=${VHU_LONG:+5}
guests=${guests:-1}
guest_seconds=400
# Precopy is not to get to its end before postcopy begins.
migrate_bandwidth=8388608
# What the requests that wait for memory say in the end.
backend_may_say='(read|write) of .* failed: Bad address'

# Bytes that a back-end has moved from and to its images.
moved_by()
{
	awk '/^[rw]char/ { n += $2 } END { printf "%.0f", n }' "/proc/${backend_pid[$1]}/io"
}

has_moved()
{
	[ "$(moved_by "$1")" -ge "$2" ]
}

is_active()
{
	[ "$(migration_field status)" = "$1" ]
}

asked_for_pages()
{
	grep -q vhost_user_postcopy_fault_handler_found "$dir/qemu.log"
}

# A thread of the back-end is in a write, and the write in a page that has not come.
writes_without_memory()
{
	local task

	for task in "/proc/${backend_pid[$1]}"/task/*; do
		grep -q handle_userfault "$task/wchan" && grep -q '^328 ' "$task/syscall" && return
	done
	return 1
}

come_at()
{
	qmp migrate-set-parameters '{"max-postcopy-bandwidth": '"$1"'}'
}

# postcopy_to SIDE BYTES-A-SECOND: so that much is still missing when the guest goes over, and for
# some time.
postcopy_to()
{
	guest_incoming -no-reboot -trace vhost_user_postcopy_fault_handler_found $(devices "$1")
	check "to $1: the rest is to come slowly" come_at "$2"
	migrate_begin postcopy-ram
	check "to $1: memory goes over" wait_for 60 is_active active
	check "to $1: the guest goes over" qmp migrate-start-postcopy
	check "to $1: it is there before its memory" wait_for 60 is_active postcopy-active
}

# Each page that a worker has on its disk is one that churn makes: words that go up by one and the
# same number.
cat >"$dir/look.py" <<'END'
import struct, sys

STEP = 0x9e3779b97f4a7c15
PAGE, N = 4096, 4096
wrong = 0
for worker, path in enumerate(sys.argv[1:]):
    with open(path, "rb") as image:
        image.seek(PAGE + worker * N * PAGE)
        for number in range(N):
            words = struct.unpack("<512Q", image.read(PAGE))
            if any((b - a - STEP) % 2**64 for a, b in zip(words, words[1:])):
                wrong += 1
                print(path, "page", number, "begins with", hex(words[0]), hex(words[1]))
sys.exit(wrong > 0)
END

for ((i = 1; i <= guests; i++)); do
	truncate -s 0 "$dir/split.img" "$dir/packed.img"
	truncate -s 64M "$dir/split.img" "$dir/packed.img"
	rm -f "$dir"/*.log
	start_side here
	start_side there --incoming
	guest_start -no-reboot $(devices here) <<'END'
/test/churn /dev/vda /dev/vdb
END
	check_works "$i, here"

	before=$(moved_by there)
	postcopy_to there 2097152
	check "the disks work before the memory is there" \
		wait_for 60 has_moved there $((before + (1 << 20)))
	check "memory is still on its way" is_active postcopy-active
	check "$i: the rest may come" come_at 0
	wait_for 60 is_active completed
	echo "# pages that were asked for: $(migration_field postcopy-requests)"
	migrate_end "$i, there"
	check "$i: vhu-blk has asked for pages" asked_for_pages
	check_works "$i, there"

	postcopy_to here 1048576
	check "$i: a write waits for memory" wait_for 60 writes_without_memory here
	kill -9 "$(cat "$dir/$target_qemu.pid")"
	{ wait "$target_pid"; } 2>/dev/null
	target_pid=
	guest_kill
	check "$i: it was in the middle of a postcopy" grep "middle of postcopy" "$dir/here.log"
	check "$i: the back-end lives on" kill -0 "${backend_pid[here]}"
	backend_stop here
	backend_stop there
	check "$i: nothing on the disks that the guest did not write" \
		python3 "$dir/look.py" "$dir/split.img" "$dir/packed.img"
done
finish_test
