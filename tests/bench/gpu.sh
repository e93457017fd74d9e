#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# gpu.sh [ROUNDS [FLIPS]]: how fast a guest draws by vhu-gpu, by QEMU's contrib back-end (when
# install.sh has brought it), and by QEMU's own virtio-gpu, in turn, at 1280x800. $VHU_BUILD says
# where it was built. A line for each, then the medians of all rounds:
#
#	flip	page flips between pictures that differ in each pixel
#	full	a framebuffer that is changed everywhere, and said to be (DIRTYFB)
#	small	32x32 pixels of it; the driver sends all of it nevertheless
#	cursor	moves
#
# Each is timed until the device has done the last. "shown" is how many pictures vhu-gpu has shown
# meanwhile; the two others show each one before they answer. The last picture of some flips must be
# the same everywhere. One round is not judged by its speed.

. "$(dirname "$0")/../qemu/lib.sh"
. "$here/gpu.sh"

# On two cores, one of which a guest keeps busy, the other is the card's.
guest_cpus=1
rounds=${1:-3}
flips=${2:-2000}
size=1280x800
contrib=$cache/contrib/vhost-user-gpu
works="flip full small cursor"
kinds="vhu-gpu QEMU"
[ ! -x "$contrib" ] || kinds="vhu-gpu contrib QEMU"

# stat NAME: a counter of vhu-gpu, now
stat_of()
{
	local n

	n=$(grep -c '^{' "$dir/card.log")
	kill -USR1 "${backend_pid[card]}"
	wait_for 5 stats_are_more "$n"
	sed -n 's/.*"'"$1"'": \([0-9]*\).*/\1/p' "$dir/card.log" | tail -n 1
}

stats_are_more()
{
	[ "$(grep -c '^{' "$dir/card.log")" -gt "$1" ]
}

start_contrib()
{
	"$contrib" --socket-path "$dir/card.sock" >>"$dir/contrib.log" 2>&1 &
	contrib_pid=$!
	wait_for 10 [ -S "$dir/card.sock" ]
}

# card_start KIND: the guest that has it
card_start()
{
	case $1 in
	vhu-gpu)	backend_start card cli/vhu-gpu ;;
	contrib)	start_contrib ;;
	esac
	if [ "$1" = QEMU ]; then
		gpu_guest_start -no-reboot -device virtio-gpu-pci,id=gpu0 </dev/null
	else
		gpu_guest_start -no-reboot $(gpu_device card) </dev/null
	fi
}

card_end()
{
	guest_end
	case $1 in
	vhu-gpu)	backend_stop card ;;
	contrib)	{ wait "$contrib_pid"; } 2>/dev/null ;;
	esac
	rm -f "$dir/card.sock"
}

# The number of times is such that each takes about as long.
times_of()
{
	case $1 in
	flip)	echo "$flips" ;;
	cursor)	echo $((flips * 4)) ;;
	*)	echo $((flips / 2)) ;;
	esac
}

# measure KIND WORK: "KIND WORK a-second median-us p99-us shown"
measure()
{
	local n shown=- before= line

	n=$(times_of "$2")
	[ "$1" != vhu-gpu ] || before=$(stat_of looks)
	order "report $2 \$(/test/gpu_draw $2 $size $n)"
	line=($(guest_report "$2"))
	[ "$1" != vhu-gpu ] || shown=$(($(stat_of looks) - before))
	echo "$1" "${line[@]}" "$shown" | awk '{ print $1, $2, $3 / $4, $5, $6, $7 }' |
		tee -a "$dir/lines" | show
}

show()
{
	awk '{ printf "# %-8s %-7s %8.1f a second, %6d us median, %6d us p99", $1, $2, $3, $4, $5
		print $6 == "-" ? "" : ", shown " $6 }'
}

# The last picture of page flips.
check_last()
{
	order draw flip $size 50 stay
	dump "$1" 0 >"$dir/dump"
	[ -e "$dir/last.png" ] || cp "$dir/$1.png" "$dir/last.png"
	check "$1: 0 pixels differ in the last picture" dump_is "$1" 0 same "$dir/last.png"
}

round()
{
	local work

	card_start "$1"
	for work in $works; do
		measure "$1" "$work"
	done
	check_last "$1"
	card_end "$1"
}

# median KIND WORK FIELD
median()
{
	sed -n "s/^$1 $2 //p" "$dir/lines" | cut -d ' ' -f "$3" | sort -g |
		awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

# ratio WORK OTHER: how many times as fast as it vhu-gpu is
ratio()
{
	awk -v ours="$(median vhu-gpu "$1" 1)" -v other="$(median "$2" "$1" 1)" \
		'BEGIN { printf "%.2f", ours / other }'
}

# check_ratio WORK OTHER LEAST
check_ratio()
{
	check "$1: $(ratio "$1" "$2") times as fast as $2, at least $3" \
		awk -v ratio="$(ratio "$1" "$2")" -v least="$3" 'BEGIN { exit ratio < least }'
}

backend_may_say='"errors"'
guest_seconds=600
for ((i = 0; i < rounds; i++)); do
	for kind in $kinds; do
		round "$kind"
	done
done
echo "# medians:"
for work in $works; do
	for kind in $kinds; do
		echo "$kind" "$work" $(for i in 1 2 3 4; do median "$kind" "$work" $i; done) | show
	done
	for kind in ${kinds#vhu-gpu}; do
		echo "# $work: vhu-gpu is $(ratio "$work" "$kind") times as fast as $kind"
	done
done
if [ "$rounds" -gt 1 ]; then
	check_ratio flip QEMU 0.5
	[ ! -x "$contrib" ] || check_ratio flip contrib 5
fi
finish_test
