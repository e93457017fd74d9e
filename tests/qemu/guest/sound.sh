# SPDX-License-Identifier: BSD-3-Clause
#
# Goes before the scripts of guests with a sound card, behind lib.sh.

seed=0
tries=5
buffer_ms=80
heard= # in place of what is played

# Four periods of 80 ms are more than the driver has room for by itself.
load_sound()
{
	modprobe virtio_snd pcm_buffer_ms=640
	wait_for 20 [ -e /dev/snd/controlC0 ]
}

alsa_format()
{
	case $1 in
	s8 | u8)	echo "$1" ;;
	float)		echo FLOAT_LE ;;
	*)		echo "$1_LE" ;;
	esac | tr a-z A-Z
}

# sound_format FORMAT RATE PERIOD-MS: what aplay and arecord are told. 4 periods at least.
sound_format()
{
	local buffer=$(($3 * 4))

	[ $buffer -gt $buffer_ms ] || buffer=$buffer_ms
	echo "-t raw -f $(alsa_format "$1") -c 2 -r $2 --period-time=$(($3 * 1000))" \
		"--buffer-time=$((buffer * 1000))"
}

# What aplay adds: a last period, when it has found out that there is no more.
padding()
{
	local period=$(($1 * $2 / 1000))

	echo $((period - $3 % period))
}

# Of the playback stream DEVICE: RUNNING, PAUSED ...
state_of()
{
	sed -n 's/^state: //p' "/proc/asound/card0/pcm$1p/sub0/status"
}

has_state()
{
	[ "$(state_of "$1")" = "$2" ]
}

now_ms()
{
	awk '{ print $1 * 1000 }' /proc/uptime
}

# begin_play DEVICE FORMAT RATE PERIOD-MS FRAMES [COMMAND]: plays a new sound, whose number is
# $seed; $player is its process.
begin_play()
{
	seed=$((seed + 1))
	/test/samples make "$2" 2 $seed:"$5" >/tmp/sound.$seed
	begun=$(now_ms)
	${6:-aplay} -q -D "hw:0,$1" $(sound_format "$2" "$3" "$4") /tmp/sound.$seed \
		>/tmp/aplay.$seed 2>&1 &
	player=$!
}

# was_late SEED: did it not come in time, or were no periods taken from it for the length of its
# buffer? Busy processors do that, too; it is done again then.
was_late()
{
	grep -q 'underrun\|overrun\|Input/output error' /tmp/aplay.$1
}

# end_play CARRIER RATE PERIOD-MS FRAMES: waits for the last that was begun, and reports what the
# host is to find in the file of CARRIER. Fails when it was late.
end_play()
{
	local status took least=$(($4 * 1000 / $2 - 2 * $3 - 60))

	wait $player
	status=$?
	took=$(($(now_ms) - begun))
	rm /tmp/sound.$seed
	if was_late $seed; then
		echo "played: $1 $seed:$4?"
		return 1
	fi
	check "sound $seed is played" [ "$status $(grep -v PAUSE /tmp/aplay.$seed)" = "0 " ]
	check "sound $seed is not too quick ($took ms)" [ $took -ge $least ]
	echo "played: $1 ${heard:-$seed}:$4 silence:$(padding "$2" "$3" "$4")"
}

# cut_play CARRIER SOUND FRAMES: the host may find less of it.
cut_play()
{
	local kind=-

	! was_late "$2" || kind=?
	echo "played: $1 $2:$3$kind"
}

# play CARRIER DEVICE FORMAT RATE PERIOD-MS FRAMES: until aplay has got through it.
play()
{
	local try

	for try in $(seq $tries); do
		begin_play "$2" "$3" "$4" "$5" "$6"
		! end_play "$1" "$4" "$5" "$6" || return 0
	done
	check "aplay keeps up: $*" false
}

# record DEVICE FORMAT RATE PERIOD-MS FRAMES SOUND:FRAMES...: until arecord has got through it; it
# must be that.
record()
{
	local try took format="$(sound_format "$2" "$3" "$4")"

	for try in $(seq $tries); do
		begun=$(now_ms)
		arecord -q -D "hw:0,$1" $format -t wav -s "$5" /tmp/record.wav \
			2>/tmp/arecord.err
		! grep -q 'overrun\|Input/output error' /tmp/arecord.err || continue
		took=$(($(now_ms) - begun))
		check "$2 at $3 Hz, periods of $4 ms: recorded" [ ! -s /tmp/arecord.err ]
		check "not too quick ($took ms)" [ $took -ge $(($5 * 1000 / $3 - 10)) ]
		shift 5
		check "every frame" /test/samples compare /tmp/record.wav "$@"
		cat /tmp/check.log
		return
	done
	check "arecord keeps up: $*" false
}
