# SPDX-License-Identifier: BSD-3-Clause
#
# Goes before each guest script: busybox's sh. A line "ok: ..." or "not ok: ..." is a check, a
# line "report: NAME VALUE" something for the host to compare.

# busybox prefers its own applets of these names.
blkdiscard() { /usr/sbin/blkdiscard "$@"; }
fstrim() { /usr/sbin/fstrim "$@"; }

# check NAME COMMAND...
check()
{
	local name=$1
	shift

	if "$@" >/tmp/check.log 2>&1; then
		echo "ok: $name"
	else
		echo "not ok: $name"
		echo "command: $*"
		tail -n 20 /tmp/check.log | awk 1
	fi
}

# The opposite: the command must fail.
check_fails()
{
	local name=$1
	shift

	check "$name" fails "$@"
}

fails()
{
	! "$@"
}

# complains TEXT COMMAND...: it fails, and says so.
complains()
{
	local says=$1
	shift

	"$@" >/tmp/complaint 2>&1 && return 1
	grep -q -- "$says" /tmp/complaint || { cat /tmp/complaint; return 1; }
}

check_equal()
{
	check "$1 ($2)" [ "$2" = "$3" ]
}

report()
{
	echo "report: $*"
}

# wait_for SECONDS COMMAND...
wait_for()
{
	local left=$(($1 * 10))
	shift

	until "$@"; do
		[ $left -gt 0 ] || return 1
		left=$((left - 1))
		sleep 0.1
	done
}

# sum_of FILE [SKIP-MIB COUNT-MIB]: of what is on the disk, not in the page cache
sum_of()
{
	sync
	echo 3 >/proc/sys/vm/drop_caches
	dd if="$1" bs=1M ${2:+skip="$2" count="$3"} 2>/dev/null | sha256sum | cut -d ' ' -f 1
}

# discards_of DEVICE: the discards it has been given until now
discards_of()
{
	awk '{ print $12 }' "/sys/block/${1#/dev/}/stat"
}
