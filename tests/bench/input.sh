#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# bench-input in a guest, where there is uinput; $VHU_BUILD says where it was built.

. "$(dirname "$0")/../qemu/lib.sh"

guest_layers=input
guest_programs="../bench/bench-input ../../cli/vhu-input"

guest_run < <(cat "$here/guest/input.sh" - <<'END'
check "it measures" /test/bench-input /test/vhu-input
cp /tmp/check.log /tmp/bench.log
cat /tmp/bench.log
check "all have arrived" [ "$(grep -c 'vhu-input 100.0 %' /tmp/bench.log)" = 6 ]
check "none of the touches, where they are dropped" \
	[ "$(grep touch /tmp/bench.log | grep -c 'dropping   0.0 %')" = 2 ]
END
)
finish_test
