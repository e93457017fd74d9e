# SPDX-License-Identifier: BSD-3-Clause
#
# Goes behind lib.sh in the tests of vhu-sound, whose guests have a card that writes WAV files.
#
# shellcheck shell=bash

guest_layers=sound
guest_programs=samples
samples=$build/tests/qemu/samples

# sound_guest_start SOCKET [PROPERTIES] [QEMU-OPTION...] <SCRIPT
sound_guest_start()
{
	local socket=$1 properties=${2:-}
	shift $(($# < 2 ? $# : 2))

	guest_start -chardev "socket,id=sound,path=$dir/$socket" \
		-device "vhost-user-snd-pci,chardev=sound$properties" "$@" \
		< <(cat "$here/guest/sound.sh" -)
}

# What the guest says that it has played for FILE.
played()
{
	tr -d '\r' <"$dir/result" | sed -n "s/^played: $1 //p"
}

# check_played NAME CARRIER [FILE]: all that the guest has played for it, and nothing else.
check_played()
{
	check "$1" "$samples" compare "$dir/${3:-$2}.wav" $(played "$2")
	sed 's/^/# /' "$dir/check"
}
