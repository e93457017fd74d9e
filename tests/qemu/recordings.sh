# SPDX-License-Identifier: BSD-3-Clause
#
# Recordings of six kinds of devices, made up. Every event in them changes something, so that a
# driver passes each on, and at the end all axes are where they began. A guest's kernel keeps 63
# events for a reader that is late, 1023 of this touch screen: no recording has more. Sourced behind
# lib.sh.
#
# shellcheck shell=bash

kinds=(keyboard mouse touch tablet pointer switch)

# events US EVENT...: one packet, at that time
packet()
{
	local us=$1 event
	shift

	for event in "$@" "0000 0000 0"; do
		printf 'E: %d.%06d %s\n' $((us / 1000000)) $((us % 1000000)) "$event"
	done
}

# description NAME PRODUCT PROPERTIES
description()
{
	printf 'N: Replayed %s\nI: 0003 1d6b %s 0111\nP: %s 00 00 00 00 00 00 00\n' "$1" "$2" "$3"
}

# bits TYPE BYTES CODE...: a B line for each 8 bytes
bits()
{
	local type=$1 bytes=$2 map=() code i
	shift 2

	for ((i = 0; i < bytes; i++)); do map[i]=0; done
	for code; do map[code / 8]=$((map[code / 8] | 1 << code % 8)); done
	for ((i = 0; i < bytes; i += 8)); do
		printf "B: $type %02x %02x %02x %02x %02x %02x %02x %02x\n" "${map[@]:i:8}"
	done
}

keyboard()
{
	local i code

	description keyboard 0001 00
	bits 00 8 0 1 4 17 20
	bits 01 96 $(seq 1 248)
	bits 04 8 4
	bits 11 8 0 1 2
	bits 14 8 0 1
	for ((i = 0; i < 12; i++)); do
		code=$((i * 5 + 2))
		packet $((i * 10000)) "0004 0004 $((0x70000 + code + i * 256))" \
			"$(printf '0001 %04x 1' $code)"
		packet $((i * 10000 + 5000)) "$(printf '0001 %04x 0' $code)"
	done
}

mouse()
{
	local i

	description mouse 0002 00
	bits 00 8 0 1 2 4
	bits 01 96 $(seq 272 279)
	bits 02 8 0 1 6 8 11 12
	bits 04 8 4
	for ((i = 1; i <= 10; i++)); do
		packet $((i * 10000)) "0002 0000 $((i % 7 + 1))" "0002 0001 $((-i % 5 - 1))" \
			"0002 0008 1" "0002 000b 120" "0001 0110 $((i % 2))"
	done
}

# Ten contacts: packets of up to 53 events. A key changes in each, or they could be merged.
touch_screen()
{
	local i slot event

	description touch 0003 02
	bits 00 8 0 1 3
	bits 01 96 325 330
	bits 03 8 0 1 47 48 53 54 57 58
	printf 'A: %s\n' "00 0 4095 0 15 12" "01 0 4095 0 0 13" "2f 0 9 0 0 0" "30 0 255 0 0 0" \
		"35 0 4095 0 0 12" "36 0 4095 0 0 13" "39 0 65535 0 0 0" "3a 0 255 0 0 0"
	for ((i = 1; i <= 15; i++)); do
		event=()
		for slot in 1 2 3 4 5 6 7 8 9 0; do
			event+=("0003 002f $slot")
			case $((i % 5)) in
			1)	event+=("0003 0039 $((i * 10 + slot))") ;;
			0)	event+=("0003 0039 -1") ; continue ;;
			esac
			event+=("0003 0035 $((i * 11 + slot * 3))" "0003 0036 $((i * 13 + slot))"
				"0003 003a $((i * 3 + slot))")
		done
		case $((i % 5)) in
		1)	event+=("0001 014a 1") ;;
		0)	event+=("0001 014a 0") ;;
		esac
		packet $((i * 15000)) "${event[@]}" "0003 0000 $((i * 11))" \
			"0003 0001 $((i * 13))" "0001 0145 $((i % 2))"
	done
	packet 300000 "0001 0145 0"
}

tablet()
{
	local i

	description tablet 0004 01
	bits 00 8 0 1 3
	bits 01 96 320 321 330 331 332
	bits 03 8 0 1 24 25 26 27
	printf 'A: %s\n' "00 0 44704 0 0 200" "01 0 27940 0 0 200" "18 0 8191 0 0 0" \
		"19 0 63 0 0 0" "1a -64 63 0 0 57" "1b -64 63 0 0 57"
	packet 0 "0001 0140 1" "0003 0000 100" "0003 0001 100" "0003 0019 30"
	for ((i = 1; i <= 6; i++)); do
		packet $((i * 10000)) "0003 0000 $((100 + i * 999))" \
			"0003 0001 $((100 + i * 777))" "0003 0018 $((i * 1300))" \
			"0003 001a $((i * 9))" "0003 001b $((-i * 10))" "0001 014a $((i % 2))"
	done
	packet 90000 "0001 0140 0" "0003 0000 0" "0003 0001 0" "0003 0018 0" "0003 0019 0" \
		"0003 001a 0" "0003 001b 0"
}

pointer()
{
	local i

	description pointer 0005 00
	bits 00 8 0 1 2 3
	bits 01 96 272 273 274
	bits 02 8 8
	bits 03 8 0 1
	printf 'A: %s\n' "00 0 32767 0 0 0" "01 0 32767 0 0 0"
	for ((i = 1; i <= 14; i++)); do
		packet $((i * 10000)) "0003 0000 $((i * 2000))" "0003 0001 $((i * 1900))" \
			"0002 0008 -1"
	done
	packet 200000 "0003 0000 0" "0003 0001 0"
}

switch()
{
	local i

	description switch 0006 00
	bits 00 8 0 5
	bits 05 8 0 1
	for ((i = 1; i <= 10; i++)); do
		packet $((i * 10000)) "0005 0000 $((i % 2))"
	done
	packet 200000 "0005 0001 1"
	packet 210000 "0005 0001 0" # the guest waits for it
}

# key US CODE: down and up, codes as <linux/input-event-codes.h> has them, in decimal
key()
{
	packet "$1" "$(printf '0001 %04x 1' "$2")"
	packet $(($1 + 10000)) "$(printf '0001 %04x 0' "$2")"
}

# typing TEXT: on an American keyboard, small letters and a few signs, 20 ms each
typing()
{
	local text=$1 us=0 i at
	local rows=("qwertyuiop 16" "asdfghjkl 30" "zxcvbnm,./ 44" "1234567890-= 2" "_ 57")

	text=${text// /_}
	for ((i = 0; i < ${#text}; i++)); do
		for row in "${rows[@]}"; do
			at=${row% *}
			case $at in
			*"${text:i:1}"*)
				at=${at%%"${text:i:1}"*}
				key $us $((${row##* } + ${#at}))
				;;
			esac
		done
		us=$((us + 20000))
	done
	key $us 28
}

# One device with keys and a pointer: the text, and a way of 60 to the right and 30 up.
hands()
{
	local i

	description hands 0007 00
	bits 00 8 0 1 2
	bits 01 96 $(seq 1 127) 272 273 274
	bits 02 8 0 1
	typing "$1"
	for ((i = 0; i < 30; i++)); do
		packet $((4000000 + i * 20000)) "0002 0000 2" "0002 0001 -1"
	done
}

make_recordings()
{
	keyboard >"$dir/keyboard.rec"
	mouse >"$dir/mouse.rec"
	touch_screen >"$dir/touch.rec"
	tablet >"$dir/tablet.rec"
	pointer >"$dir/pointer.rec"
	switch >"$dir/switch.rec"
}

# Lines of codes are numbered, so that those without any may be left out.
what_it_is()
{
	sed -n '/^[NIPBA]:/p' "$1" | awk '
		$1 != "B:" { print; next }
		{ n = seen[$2]++ }
		!/^B: .. (00 ?)*$/ { print n, $0 }'
}

# Without the times.
what_it_did()
{
	sed -n 's/^E: [0-9.]* //p' "$1"
}
