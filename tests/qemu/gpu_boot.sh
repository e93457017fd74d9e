#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# What a guest draws is what is shown: its console and a test picture, on four heads, differ in no
# pixel between QEMU's own virtio-gpu, vhu-gpu by QEMU's screendump, and vhu-gpu's screenshots; by
# vhost-user-gpu-pci, and by vhost-user-vga with packed rings. The monitor's EDID is well-formed.
# Pictures come back when the driver is loaded again, when the machine is stopped in the middle of
# page flips, and at each of 3 resets; 20 with VHU_LONG.
#
# The last guest is a host, too: its kernel makes dma-bufs of blobs, for vhu-gpu in the guest.

. "$(dirname "$0")/lib.sh"
. "$here/gpu.sh"

resets=3
if [ -n "${VHU_LONG:-}" ]; then
	resets=20
	guest_seconds=900
fi
sizes=(1280x800 1366x768 801x601 640x480)

# check_pattern NAME SEED: what QEMU shows of all heads
check_pattern()
{
	local head

	for head in "${!sizes[@]}"; do
		check_dump "$1-$head" "$head" pattern $(($2 + head)) "${sizes[head]}"
	done
}

# check_shots NAME SEED: what vhu-gpu shows of all heads
check_shots()
{
	local head=0 shot

	screenshot "$1" ${#sizes[@]}
	for shot in "$dir/$1.shots"/*; do
		check "$1: 0 pixels differ in the screenshot of head $head" "$picture" pattern \
			$(($2 + head)) "${sizes[head]}" "$shot"
		head=$((head + 1))
	done
	check_equal "$1: screenshots" $head ${#sizes[@]}
}

# check_edid NAME: as the guest has read it
check_edid()
{
	order 'report edid $(od -An -v -t x1 /sys/class/drm/card0-Virtual-1/edid | tr -d " \n")'
	guest_report edid | tr a-f A-F | basenc --base16 -d >"$dir/$1.edid"
	check "$1: the EDID is well-formed" edid-decode --check "$dir/$1.edid"
}

gpu_start()
{
	mkdir -p "$dir/shots"
	backend_start "$1" cli/vhu-gpu --screenshot-dir "$dir/shots"
}

flip_while_stopped()
{
	local i

	orders=$((orders + 1))
	echo 'undraw; report flips $(/test/gpu_draw flip 1280x800 3000)' >&$order_fd
	sleep 1
	for i in 1 2 3; do
		check "stopped while it flips" qmp stop
		sleep 0.2
		check "continued" qmp cont
		sleep 0.3
	done
	wait_for 60 guest_has_obeyed
	check_equal "all flips are done" "$(guest_report flips | cut -d ' ' -f 1,2)" "flip 3000"
}

# The picture on all heads again, with the next seed.
draw_again()
{
	seed=$((seed + 10))
	order draw pattern $seed "${sizes[@]}"
	check_pattern "$1" $seed
}

gpu_guest_start -no-reboot -device virtio-gpu-pci,id=gpu0,max_outputs=4 </dev/null
order write_console the console
dump model-console 0 >/dev/null
order draw pattern 1 "${sizes[@]}"
check_pattern model 1
guest_end

gpu_start gpu
gpu_guest_start $(gpu_device gpu ,max_outputs=4) </dev/null
check_edid gpu
order write_console the console
check_dump console 0 same "$dir/model-console.png"
screenshot gpu 1
check "0 pixels differ in the screenshot of the console" \
	"$picture" same "$dir/model-console.png" "$dir"/gpu.shots/*
order draw pattern 1 "${sizes[@]}"
check_pattern gpu 1
check_shots gpu 1
seed=1
flip_while_stopped
draw_again stopped
order 'undraw; check "the driver is gone" unload_gpu; load_gpu'
draw_again reloaded
for ((i = 1; i <= resets; i++)); do
	said=$(grep -c ^obeys "$dir/result")
	check "reset $i" qmp system_reset
	wait_for 60 guest_obeys_anew "$said" || check "the guest is back" false
	orders=$(grep -c ^obeyed "$dir/result")
	draw_again "reset-$i"
done
check_shots gpu $seed
guest_end
backend_stop gpu

guest_programs+=" ../device/test_gpu_blobs ../../cli/vhu-gpu"
gpu_start vga
gpu_guest_start -no-reboot $(gpu_device vga ,max_outputs=4,packed=on vhost-user-vga) </dev/null
order 'report packed $(cut -c 35 /sys/bus/virtio/devices/virtio0/features)'
check_equal "packed rings" "$(guest_report packed)" 1
check_edid vga
draw_again vga
order 'mkdir /test/cli; ln -s ../vhu-gpu /test/cli'
order 'check "the guest can make dma-bufs" [ -c /dev/udmabuf ]'
order 'check "blobs are shared" env VHU_BUILD=/test /test/test_gpu_blobs "*shared*"'
guest_end
backend_stop vga
finish_test
