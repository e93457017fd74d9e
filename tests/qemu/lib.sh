# SPDX-License-Identifier: BSD-3-Clause
#
# What a guest test is made of. A test sources this file, starts back-ends, runs guests whose
# script it gives on standard input, and judges with check; it prints TAP. The programs are taken
# from $VHU_BUILD. Nothing is left behind: the processes are ended and the folder removed.
#
#	VHU_KEEP=1	keeps the folder, with the logs and images
#	VHU_PARAM=...	more kernel parameters, for a look at what goes on
#	VHU_GUEST_SECONDS=...	the longest that a guest may live
#	VHU_NO_SKIP=1	a missing QEMU or kernel is a failure
#
# shellcheck shell=bash

set -u -o pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=${VHU_BUILD:?the build folder}
cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/vhu
dir=$(mktemp -d "${TMPDIR:-/tmp}/vhu-guest.XXXXXX")
PATH=$PATH:/usr/sbin:/sbin

declare -A backend_pid
proxy_pids=()
# What a test makes its back-ends complain of, as a regular expression.
backend_may_say=
guest_layers=base
guest_memory=512M
guest_machine=()
guest_cpus=2
guest_kernel=$(echo "$cache"/kernel/boot/vmlinuz-*)
# A host that is busy lets the timer of an emulated machine look broken, and its processors stuck.
guest_parameters="console=ttyS0 loglevel=5 panic=-1 mitigations=off nokaslr no_timer_check"
guest_parameters+=" nosoftlockup"
guest_parameters+=${VHU_PARAM:+ $VHU_PARAM}
guest_boot=()
guest_programs=
guest_pid=
guest_qemu=qemu
target_pid=
target_qemu=
migrations=0
guest_seconds=${VHU_GUEST_SECONDS:-240}
checks=0
failures=0

if [ ! -e "$guest_kernel" ] || ! command -v qemu-system-x86_64 >/dev/null; then
	rm -r "$dir"
	if [ -n "${VHU_NO_SKIP:-}" ]; then
		echo "Bail out! no QEMU or no guest kernel, and none may be missing"
		exit 1
	fi
	echo "1..0 # SKIP no QEMU or no guest kernel: tests/install.sh brings them"
	exit 0
fi

# --- judging -----------------------------------------------------------------------------------

tap_line()
{
	checks=$((checks + 1))
	[ "$1" = ok ] || failures=$((failures + 1))
	echo "$1 $checks - $2"
}

diagnose()
{
	sed 's/^/# /'
}

# check NAME COMMAND...
check()
{
	local name=$1
	shift

	if "$@" >"$dir/check" 2>&1; then
		tap_line ok "$name"
	else
		tap_line "not ok" "$name"
		{ echo "command: $*"; tail -n 20 "$dir/check"; } | diagnose
	fi
}

check_equal()
{
	check "$1 ($2)" [ "$2" = "$3" ]
}

# wait_for SECONDS COMMAND...: true as soon as the command is.
wait_for()
{
	local deadline=$((SECONDS + $1))
	shift

	until "$@"; do
		[ "$SECONDS" -lt "$deadline" ] || return 1
		sleep 0.05
	done
}

is_gone()
{
	! kill -0 "$1" 2>/dev/null
}

finish()
{
	local pid

	for pid in $guest_pid $target_pid "${backend_pid[@]}"; do
		kill "$pid" 2>/dev/null || true
	done
	for pid in $guest_pid $target_pid "${backend_pid[@]}"; do
		wait_for 5 is_gone "$pid" || kill -9 "$pid" 2>/dev/null || true
	done
	if [ -n "${VHU_KEEP:-}" ]; then
		echo "# kept: $dir"
	else
		rm -rf "$dir"
	fi
}
trap finish EXIT
trap 'exit 1' HUP INT TERM

# The last line of every test.
finish_test()
{
	local name

	for name in "${!backend_pid[@]}"; do
		backend_stop "$name"
	done
	echo "1..$checks"
	if [ "$failures" -gt 0 ]; then
		tail -n 20 "$dir"/*.log | diagnose
		exit 1
	fi
	exit 0
}

# --- back-ends ---------------------------------------------------------------------------------

# backend_start NAME PROGRAM OPTION...: on the socket $dir/NAME.sock
backend_start()
{
	local name=$1 program=$build/$2
	shift 2

	"$program" --socket "$dir/$name.sock" "$@" >>"$dir/$name.log" 2>&1 &
	backend_pid[$name]=$!
	wait_for 20 backend_listens_or_gone "$name"
	[ -S "$dir/$name.sock" ] && return 0
	diagnose <"$dir/$name.log"
	echo "Bail out! $program does not start"
	exit 1
}

backend_listens_or_gone()
{
	[ -S "$dir/$1.sock" ] || is_gone "${backend_pid[$1]}"
}

blk_start()
{
	local name=$1
	shift

	backend_start "$name" cli/vhu-blk "$@"
}

# A back-end must have lived until now, end by itself on SIGTERM, and have no complaint in its log,
# of a sanitizer or of its own.
backend_stop()
{
	local name=$1 pid=${backend_pid[$1]} status=0

	kill -TERM "$pid" 2>/dev/null
	wait_for 10 is_gone "$pid" || kill -9 "$pid"
	wait "$pid" || status=$?
	unset "backend_pid[$name]"
	check_equal "$name: the back-end ends with 0 on SIGTERM" "$status" 0
	check "$name: no complaint of a sanitizer" backend_is_clean "$name"
	check "$name: no complaint of its own" backend_is_content "$name"
}

backend_is_clean()
{
	! grep -E -A 30 'Sanitizer|runtime error:' "$dir/$1.log"
}

backend_is_content()
{
	! grep -E -i 'error|failed|refused|broken|malformed' "$dir/$1.log" |
		grep -E -v "${backend_may_say:-^$}"
}

# As a crash would. The socket file stays.
backend_kill()
{
	local name=$1

	kill -9 "${backend_pid[$name]}"
	{ wait "${backend_pid[$name]}"; } 2>/dev/null
	unset "backend_pid[$name]"
}

# --- guests ------------------------------------------------------------------------------------

# hide_feature NAME BIT: back-end NAME without it, until the front-end goes, at $dir/NAME.hidden.
# QEMU gives the guest all that devices offer that are no disks.
hide_feature()
{
	"$here/hide_features.py" "$dir/$1.hidden" "$dir/$1.sock" "$2" &
	proxy_pids+=($!)
	wait_for 20 [ -S "$dir/$1.hidden" ]
}

feature_packed=34

# Prints the QEMU options for the disk of back-end NAME, with PROPERTIES (",num-queues=2") added.
# Only for a list of words: nothing in it holds a blank.
blk_device()
{
	echo "-chardev socket,id=$1,path=$dir/$1.sock,reconnect-ms=200" \
		"-device vhost-user-blk-pci,chardev=$1${2:-}"
}

# QEMU's options for an IOMMU, which come before those of the disks, and a disk's properties.
intel_iommu="-device intel-iommu,intremap=on,device-iotlb=on"
intel_iommu_disk=,disable-legacy=on,iommu_platform=on,ats=on

# The machine and the kernel for it.
guest_use_intel_iommu()
{
	guest_machine=(-M "q35,memory-backend=mem,kernel-irqchip=split" -m "$guest_memory" -object
		"memory-backend-memfd,id=mem,size=$guest_memory,share=on")
	guest_parameters+=" intel_iommu=on"
}

# copy_program FILE ROOT: as /test/NAME, and the libraries it loads.
copy_program()
{
	local path

	cp "$1" "$2/test"
	for path in $(ldd "$1" 2>/dev/null | grep -o '/[^ ]*'); do
		mkdir -p "$2${path%/*}"
		cp -L "$path" "$2$path"
	done
}

# The initramfs: layers that are there already, and a small one with the script from standard
# input and, as /test/NAME, the programs of ours that guest_programs names.
make_initrd()
{
	local root=$dir/script layer path

	: >"$dir/initrd"
	for layer in $guest_layers; do
		path=$("$here/initramfs.sh" "$layer") || exit 1
		cat "$path" >>"$dir/initrd"
	done
	mkdir -p "$root/test"
	for path in $guest_programs; do
		copy_program "$build/tests/qemu/$path" "$root"
	done
	cat "$here/guest/lib.sh" - >"$root/test/script"
	(cd "$root" && find . | busybox cpio -o -H newc 2>/dev/null) >>"$dir/initrd"
}

# qemu_start NAME OPTION...: its QMP socket is $dir/NAME.qmp, its process id $!.
qemu_start()
{
	local name=$1
	shift

	[ ${#guest_machine[@]} -gt 0 ] ||
		guest_machine=(-M "q35,memory-backend=mem" -m "$guest_memory" -object
			"memory-backend-memfd,id=mem,size=$guest_memory,share=on")
	rm -f "$dir/$name.pid"
	qemu_command=(qemu-system-x86_64 -nodefaults -no-user-config -display none
		"${guest_machine[@]}" -accel "tcg,thread=multi" -cpu max -smp "$guest_cpus"
		-pidfile "$dir/$name.pid" -qmp "unix:$dir/$name.qmp,server=on,wait=off" "$@")
	timeout -k 5 "$guest_seconds" "${qemu_command[@]}" >>"$dir/qemu.log" 2>&1 &
}

# guest_launch QEMU-OPTION...: boots what the options name. A test may set guest_machine, the
# options for the machine and its memory, itself.
guest_launch()
{
	: >"$dir/result"
	: >"$dir/qemu.log"
	guest_qemu=qemu
	qemu_start $guest_qemu -serial "file:$dir/console" -serial "file:$dir/result" "$@"
	guest_pid=$!
}

# guest_start QEMU-OPTION... <SCRIPT: boots without a disk or a firmware that would look for one,
# which takes three seconds; returns at once.
guest_start()
{
	make_initrd
	guest_boot=(-bios qboot.rom -kernel "$guest_kernel" -initrd "$dir/initrd"
		-append "$guest_parameters")
	guest_launch "${guest_boot[@]}" "$@"
}

# qmp COMMAND [ARGUMENTS] [EVENT]: asks QEMU; prints its answer, and the event that is waited for.
qmp()
{
	"$here/qmp.py" "$dir/$guest_qemu.qmp" "$@"
}

guest_said()
{
	grep -q "^$1" <(tr -d '\r' <"$dir/result")
}

guest_said_or_gone()
{
	guest_said "$1" || is_gone "$guest_pid"
}

# guest_wait_line LINE [NAME]: checks that the guest prints it; does not wait for one that is gone.
guest_wait_line()
{
	wait_for "$guest_seconds" guest_said_or_gone "$1"
	check "${2:-the guest says: $1}" guest_said "$1"
}

# What the guest reported with: report NAME VALUE
guest_report()
{
	tr -d '\r' <"$dir/result" | sed -n "s/^report: $1 //p" | tail -n 1
}

# The guest's checks become ours.
guest_lines()
{
	local line

	while read -r line; do
		case $line in
		"ok: "*)	tap_line ok "guest: ${line#ok: }" ;;
		"not ok: "*)	tap_line "not ok" "guest: ${line#not ok: }" ;;
		*)		echo "# $line" ;;
		esac
	done < <(tr -d '\r' <"$dir/result")
}

kernel_is_content()
{
	[ -s "$dir/console" ] || return 1
	! grep -E -A 20 'I/O error|WARNING:|BUG:|Oops|blocked for more than|Kernel panic' \
		"$dir/console"
}

# Waits for the guest to power off. Its script must have run to its end. A guest whose back-end is
# gone would wait for ever.
guest_wait()
{
	local status=0 ended

	# A guest that bash has told of already is not waited for a second time.
	is_gone "$guest_pid" || wait -n -p ended "$guest_pid" "${backend_pid[@]}" 2>/dev/null
	if [ "${ended:-}" != "$guest_pid" ] && ! wait_for 5 is_gone "$guest_pid"; then
		kill "$guest_pid"
	fi
	{ wait "$guest_pid" || status=$?; } 2>/dev/null
	guest_pid=
	guest_lines
	check "the guest's kernel has no complaint" kernel_is_content
	check "the guest's script ran to its end" guest_said "guest: ended with 0"
	check_equal "QEMU ended by itself" "$status" 0
	[ "$status" -eq 0 ] || tail -n 30 "$dir/console" | diagnose
}

guest_run()
{
	guest_start -no-reboot "$@"
	guest_wait
}

# As a crash of the host program would: nothing is told to the guest or the back-end.
guest_kill()
{
	kill -9 "$(cat "$dir/$guest_qemu.pid")" || kill "$guest_pid"
	{ wait "$guest_pid"; } 2>/dev/null
	guest_pid=
	guest_lines
}

# --- migration ---------------------------------------------------------------------------------
#
# A second QEMU, the target, takes over the guest that guest_start began:
#
#	blk_start b ...
#	guest_incoming $(blk_device b)	the same devices in the same order, on other back-ends
#	migrate_begin [CAPABILITY...]	as xbzrle or postcopy-ram
#	qmp ...; target_qmp ...		whatever the test wants of the two meanwhile
#	migrate_end NAME		waits, and checks that it went well
#	migrate_give_up NAME		or: the guest stays, and the target goes
#
# After that the first QEMU has gone, the target is the guest's, and all can be done again.

target_qmp()
{
	"$here/qmp.py" "$dir/$target_qemu.qmp" "$@"
}

target_answers()
{
	target_qmp query-status >/dev/null 2>&1
}

# guest_incoming QEMU-OPTION...: the guest goes on to report where it did.
guest_incoming()
{
	target_qemu=qemu$((++migrations))
	qemu_start $target_qemu "${guest_boot[@]}" -incoming defer \
		-chardev "file,id=console,path=$dir/console,append=on" -serial chardev:console \
		-chardev "file,id=result,path=$dir/result,append=on" -serial chardev:result "$@"
	target_pid=$!
	check "the target waits for the guest" wait_for 30 target_answers
}

# So little and so slow that the guest's pages are copied again and again, until migrate_end has
# waited for so many seconds. Else a back-end without a dirty log would pass.
migrate_patience=5
migrate_bandwidth=134217728

migrate_ask()
{
	local capability list=

	for capability; do
		list+='{"capability": "'$capability'", "state": true},'
	done
	list='{"capabilities": ['${list%,}']}'
	qmp migrate-set-capabilities "$list" &&
		target_qmp migrate-set-capabilities "$list" &&
		target_qmp migrate-incoming '{"uri": "unix:'"$dir"'/migration"}' &&
		qmp migrate-set-parameters \
			'{"downtime-limit": 1, "max-bandwidth": '$migrate_bandwidth'}' &&
		qmp migrate '{"uri": "unix:'"$dir"'/migration"}'
}

migrate_begin()
{
	check "the migration begins" migrate_ask "$@"
}

migration_field()
{
	qmp query-migrate | grep -o '"'"$1"'": [^,}]*' | head -n 1 | sed 's/.*: //; s/"//g'
}

migration_is_over()
{
	sleep 0.2
	case $(migration_field status) in
	completed | failed | cancelled | "")	return 0 ;;
	esac
	return 1
}

migrate_end()
{
	local name=$1

	wait_for "$migrate_patience" migration_is_over ||
		check "$name: it may end" qmp migrate-set-parameters \
			'{"downtime-limit": 2000, "max-bandwidth": 10737418240}'
	wait_for 120 migration_is_over
	check_equal "$name: migrated" "$(migration_field status)" completed
	echo "# $name: passes over memory: $(migration_field dirty-sync-count)," \
		"downtime: $(migration_field downtime) ms"
	qmp quit >/dev/null
	{ wait "$guest_pid" || check "$name: the first QEMU ended by itself" false; } 2>/dev/null
	guest_pid=$target_pid
	guest_qemu=$target_qemu
	target_pid=
}

migrate_give_up()
{
	local name=$1

	check "$name: cancelled" qmp migrate_cancel
	wait_for 60 migration_is_over
	check_equal "$name: the guest stays" "$(migration_field status)" cancelled
	kill "$target_pid" 2>/dev/null
	{ wait "$target_pid"; } 2>/dev/null
	target_pid=
}
