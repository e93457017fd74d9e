#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Brings what building and testing need onto a Debian 12 (or later) machine: packages, QEMU 10 and
# a guest kernel. Run as root; quick when everything is there. The guest kernel is unpacked into
# the cache folder and never installed.

set -euo pipefail

build_packages="gcc libc6-dev clang libclang-rt-dev llvm meson ninja-build pkgconf python3 scdoc
	libcmocka-dev libblkid-dev libevdev-dev libinput-dev libudev-dev libasound2-dev
	libpixman-1-dev libpng-dev libvncserver-dev libdrm-dev strace perl"
guest_packages="busybox-static kmod xz-utils e2fsprogs xfsprogs fio util-linux
	syslinux mtools dosfstools udev libinput-bin alsa-utils
	edid-decode gvncviewer socat"
qemu_packages="qemu-system-x86 qemu-utils"
contrib_packages="libvirglrenderer1"
qemu_major=10

cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/vhu
export DEBIAN_FRONTEND=noninteractive
updated=

step()
{
	printf 'install: %s\n' "$*"
}

fail()
{
	printf 'install: %s\n' "$*" >&2
	exit 1
}

# apt is only heard when it fails.
apt()
{
	local log

	[ "$(id -u)" = 0 ] || fail "root is needed for: apt-get $*"
	log=$(mktemp)
	apt-get -q -y -o DPkg::Lock::Timeout=300 "$@" >"$log" 2>&1 || {
		cat "$log" >&2
		rm -f "$log"
		fail "apt-get $* failed"
	}
	rm -f "$log"
}

update_once()
{
	[ -z "$updated" ] || return 0
	step "reading the package lists"
	apt update
	updated=yes
}

installed_of()
{
	dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null |
		sed -n 's/^installed //p' | sort
}

# add_packages LABEL TARGET-RELEASE PACKAGE...
add_packages()
{
	local label=$1 release=$2 missing
	shift 2

	missing=$(comm -13 <(installed_of "$@") <(printf '%s\n' "$@" | sort))
	if [ -z "$missing" ]; then
		step "$label: all there"
		return 0
	fi
	update_once
	step "$label: adding" $missing
	apt install --no-install-recommends ${release:+-t "$release"} $missing
}

# The suite of newer packages, by the addresses and keys of the machine's own sources: they may be
# in deb822 stanzas (with comment lines between the fields) or in lines of sources.list.
add_backports()
{
	local suite=$1-backports file=/etc/apt/sources.list.d/vhu-backports

	if apt-get indextargets --format '$(RELEASE)' 'Created-By: Packages' |
			grep -qx "$suite"; then
		return 0
	fi
	{ cat /etc/apt/sources.list.d/*.sources 2>/dev/null || true; } |
		awk -v release="$1" -v suite="$suite" '
			BEGIN { RS = ""; FS = "\n" }
			("\n" $0 " ") !~ ("\nSuites:([^\n]* )?" release "[ \n]") { next }
			{
				for (i = 1; i <= NF; i++) {
					if ($i ~ /^#/)
						continue
					if ($i !~ /^[ \t]/)
						keep = $i ~ /^(Types|URIs|Components|Signed-By):/
					if (keep)
						print $i
				}
				print "Suites: " suite
				exit
			}' >"$file.tmp"
	if [ -s "$file.tmp" ]; then
		mv "$file.tmp" "$file.sources"
	else
		rm -f "$file.tmp"
		sed -nE "s/^(deb .*) $1 (.*)/\1 $suite \2/p" /etc/apt/sources.list >"$file.list"
	fi
	step "enabled $suite"
	updated=
}

qemu_is_recent()
{
	local version

	version=$(qemu-system-x86_64 --version 2>/dev/null | sed -nE '1s/.*version ([0-9]+).*/\1/p')
	[ "${version:-0}" -ge $qemu_major ]
}

candidate_major()
{
	apt-cache policy "$1" | sed -nE 's/^  Candidate: ([0-9]+:)?([0-9]+).*/\2/p'
}

add_qemu()
{
	local release=

	if qemu_is_recent && command -v qemu-img >/dev/null; then
		step "QEMU: $(qemu-system-x86_64 --version | sed -n 1p)"
		return 0
	fi
	update_once
	if [ "$(candidate_major qemu-system-x86)" -lt $qemu_major ]; then
		add_backports "$VERSION_CODENAME"
		release=$VERSION_CODENAME-backports
		update_once
	fi
	step "QEMU: adding" $qemu_packages ${release:+from $release}
	apt install --no-install-recommends ${release:+-t "$release"} $qemu_packages
	qemu_is_recent || fail "no QEMU $qemu_major to be had"
}

# The kernel that guests boot: Debian's 6.12, as the cache folder "kernel" with boot/ and lib/.
add_kernel()
{
	local package tmp

	if [ -e "$cache/kernel/version" ]; then
		step "guest kernel: $(cat "$cache/kernel/version")"
		return 0
	fi
	update_once
	[ -n "$(kernel_package)" ] || { add_backports "$VERSION_CODENAME"; update_once; }
	package=$(kernel_package)
	[ -n "$package" ] || fail "no Linux 6.12 package to be had"
	step "guest kernel: unpacking $package into $cache"
	mkdir -p "$cache"
	tmp=$(mktemp -d "$cache/kernel.XXXXXX")
	trap 'rm -rf "$tmp"' EXIT
	(cd "$tmp" && apt -o APT::Sandbox::User=root download "$package")
	dpkg-deb -x "$tmp"/*.deb "$tmp"
	rm -f "$tmp"/*.deb
	[ -e "$tmp/lib" ] || ln -s usr/lib "$tmp/lib"
	ls "$tmp/lib/modules" >"$tmp/version"
	depmod -b "$tmp" "$(cat "$tmp/version")"
	rm -rf "$cache/kernel"
	mv "$tmp" "$cache/kernel"
	trap - EXIT
}

# QEMU's own back-end of a graphics card, to compare with: of the same version as QEMU, which the
# rest of its package need not be, so that it is unpacked into the cache folder "contrib".
add_contrib()
{
	local version tmp

	version=$(dpkg-query -W -f '${Version}' qemu-system-x86 2>/dev/null) || {
		step "QEMU's vhost-user-gpu: none, for a QEMU that is in no package"
		return 0
	}
	add_packages "libraries of QEMU's vhost-user-gpu" "" $contrib_packages
	if [ "$(cat "$cache/contrib/version" 2>/dev/null)" = "$version" ]; then
		step "QEMU's vhost-user-gpu: $version"
		return 0
	fi
	update_once
	step "QEMU's vhost-user-gpu: unpacking $version into $cache"
	mkdir -p "$cache"
	tmp=$(mktemp -d "$cache/contrib.XXXXXX")
	trap 'rm -rf "$tmp"' EXIT
	(cd "$tmp" && apt -o APT::Sandbox::User=root download "qemu-system-gui=$version")
	dpkg-deb -x "$tmp"/*.deb "$tmp/unpacked"
	cp "$tmp/unpacked/usr/lib/qemu/vhost-user-gpu" "$tmp"
	rm -rf "$tmp"/*.deb "$tmp/unpacked"
	echo "$version" >"$tmp/version"
	rm -rf "$cache/contrib"
	mv "$tmp" "$cache/contrib"
	trap - EXIT
}

kernel_package()
{
	apt-cache pkgnames linux-image-6.12 | grep -E '^linux-image-6\.12\.[^-]*-amd64$' |
		sort -V | tail -n 1
}

. /etc/os-release
add_packages "building" "" $build_packages
add_packages "guest programs" "" $guest_packages
add_qemu
add_kernel
add_contrib
