#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# initramfs.sh LAYER: builds one layer of the guests' initramfs if the cache folder lacks it, and
# prints the path of its cpio. A guest is given "base", further layers as it needs them, and last
# a small cpio of its own with the script to run: the kernel unpacks them one over the other.

set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/vhu
kernel=$cache/kernel
PATH=$PATH:/usr/sbin:/sbin

base_programs="blkdiscard fstrim lsblk mkfs.ext4 e2fsck resize2fs mkfs.xfs xfs_repair"
base_modules="virtio_pci virtio_blk virtio_iommu virtio_rng crc32c_generic ext4 xfs"
fio_programs="fio"
input_programs="udevadm chrt"
input_modules="uinput evdev virtio_pci virtio_input"
sound_programs="aplay arecord amixer script"
sound_modules="virtio_pci virtio_snd snd-aloop"
gpu_programs=
gpu_modules="virtio_pci virtio-gpu virtio_input evdev"
input_rules="50-udev-default 60-input-id 60-persistent-input 71-seat 73-seat-late"

# A program and the libraries it loads, at the same paths.
copy_programs()
{
	local name path

	for name; do
		path=$(command -v "$name")
		printf '%s\n' "$path" $(ldd "$path" | grep -o '/[^ ]*')
	done | sort -u | while read -r path; do
		mkdir -p ".${path%/*}"
		cp -L "$path" ".$path"
	done
}

# Modules are stored unpacked: the guest's processor is the slow one.
copy_modules()
{
	local version module path

	version=$(cat "$kernel/version")
	mkdir -p "lib/modules/$version"
	cp "$kernel/lib/modules/$version"/modules.{order,builtin,builtin.modinfo} \
		"lib/modules/$version"
	for module; do
		modprobe -d "$kernel" -S "$version" --show-depends "$module"
	done | sed -n "s|^insmod $kernel/||p" | sort -u | while read -r path; do
		mkdir -p "${path%/*}"
		case $path in
		*.xz)	xz -dc "$kernel/$path" >"${path%.xz}" ;;
		*)	cp "$kernel/$path" "$path" ;;
		esac
	done
	depmod -b . "$version"
}

# What every guest begins with.
fill_root()
{
	mkdir -p bin sbin dev proc sys tmp mnt etc
	cp "$(command -v busybox)" bin/busybox
	busybox --list | grep -vx busybox | sed 's|^|bin/|' | xargs -n 1 ln -s busybox
	ln -s ../bin/busybox sbin/modprobe
	ln -s /proc/self/mounts etc/mtab
	printf '%s\n' root:x:0:0:::/bin/sh nobody:x:65534:65534:::/bin/sh >etc/passwd
	printf '%s\n' root:x:0: tty:x:5: input:x:105: nogroup:x:65534: >etc/group
	cp "$here/guest/init" init
}

fill_base()
{
	fill_root
	copy_programs $base_programs
	copy_modules $base_modules
}

fill_fio()
{
	copy_programs $fio_programs
}

# A guest without disks, instead of base: real event devices by uinput, and udevd with the rules for
# them. The by-id link of a uinput device is ours to make, since it has no bus that gives it one.
fill_input()
{
	local rule

	fill_root
	copy_programs $input_programs
	copy_modules $input_modules
	mkdir -p lib/systemd lib/udev/rules.d etc/udev/rules.d run usr/share
	ln -s "$(command -v udevadm)" lib/systemd/systemd-udevd
	for rule in $input_rules; do
		cp "/lib/udev/rules.d/$rule.rules" lib/udev/rules.d
	done
	echo 'SUBSYSTEM=="input", KERNEL=="event*", ATTRS{name}=="?*",' \
		'SYMLINK+="input/by-id/test-$attr{name}"' >etc/udev/rules.d/90-by-id.rules
	cp -r /usr/share/libinput usr/share
}

# A guest without disks, instead of base.
fill_sound()
{
	fill_root
	copy_programs $sound_programs
	copy_modules $sound_modules
	mkdir -p usr/share/alsa
	cp -r /usr/share/alsa/{alsa.conf,cards,ctl,pcm} usr/share/alsa
}

# Likewise.
fill_gpu()
{
	fill_root
	copy_modules $gpu_modules
}

# All that decides what a layer holds: this folder's scripts, the kernel, the programs.
layer_key()
{
	local programs=${layer}_programs name

	for name in ${!programs} busybox; do
		stat -L -c '%n %s %Y' "$(command -v "$name")"
	done | cat - "$kernel/version" "$0" "$here/guest/init" | sha256sum | cut -c 1-16
}

layer=$1
[ -e "$kernel/version" ] || { echo "no guest kernel: run tests/install.sh" >&2; exit 1; }
cpio=$cache/$layer-$(layer_key).cpio
exec 9>"$cache/lock"
flock 9
if [ ! -e "$cpio" ]; then
	tmp=$(mktemp -d)
	trap 'rm -rf "$tmp"' EXIT
	rm -f "$cache/$layer"-*.cpio
	mkdir "$tmp/root"
	cd "$tmp/root"
	"fill_$layer"
	find . | sort | busybox cpio -o -H newc >"$tmp/cpio" 2>/dev/null
	mv "$tmp/cpio" "$cpio"
fi
printf '%s\n' "$cpio"
