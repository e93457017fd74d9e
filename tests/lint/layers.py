# SPDX-License-Identifier: BSD-3-Clause
"""Who sees whom: the floors of the house, as include lines."""

import posixpath
import re

from tree import Fault

# Room -> the rooms it may include from, besides itself.
ROOMS = {
    "common/base": (),
    "common/memory": ("common/base",),
    "common/wire": ("common/base",),
    "common/ring": ("common/memory", "common/base"),
    "common/backend": ("common/wire", "common/ring", "common/memory", "common/base"),
    "common/session": ("common/backend", "common/wire", "common/ring", "common/memory",
                       "common/base"),
    "common/serve": ("common/session", "common/backend", "common/wire", "common/ring",
                     "common/memory", "common/base"),
    "common/frontend": ("common/wire", "common/memory", "common/base"),
    "cli": ("common", "devices"),
    "tests": ("common", "devices", "cli"),
}
DEVICES = ("devices/blk", "devices/input", "devices/sound", "devices/gpu")
ROOMS.update((device, ROOMS["common/session"]) for device in DEVICES)

HOST_LIBRARIES = {
    "libblkid": r"blkid/",
    "liburing": r"liburing",
    "libevdev": r"libevdev",
    "libinput": r"libinput",
    "libudev": r"libudev",
    "alsa-lib": r"alsa/",
    "pixman": r"pixman",
    "libpng": r"png",
    "libvncserver": r"rfb/",
    "virglrenderer": r"(virgl/)?virgl",
}

# What is too much for one file: all of its files are called so, and a build without it leaves them
# out together.
IN_PARTS = {"alsa-lib": "alsa_"}

INCLUDE = re.compile(r'\s*#\s*include\s*(["<])([^">]+)')


def includes(text):
    """Yields line number, quote and name of each include line."""
    for number, line in enumerate(text.split("\n"), 1):
        match = INCLUDE.match(line)
        if match:
            yield number, match[1], match[2]


def inside(path, folder):
    return path.startswith(folder + "/")


def room_of(path):
    return next((room for room in ROOMS if inside(path, room)), None)


def is_door(path):
    """devices/x/x.h is all that a program may see of a device."""
    folder = posixpath.dirname(path)
    return path == f"{folder}/{posixpath.basename(folder)}.h"


def arrow_fault(path, name):
    """What is wrong with an include of the file called name by the file at path, or None."""
    room = room_of(path)
    if name.endswith("_priv.h") and posixpath.dirname(name) != posixpath.dirname(path):
        return f"{name} is private to its folder"
    if not any(inside(name, seen) for seen in (room, *ROOMS[room])):
        return f"{room} may not see {name}"
    if room == "cli" and inside(name, "devices") and not is_door(name):
        return f"{name} is not the door of its device"
    return None


def arrows(tree):
    for path, text in tree.each(".c", ".h"):
        if room_of(path) is None:
            yield Fault(path, 1, "is in no room of the house")
            continue
        for line, quote, name in includes(text):
            of_house = room_of(name) and posixpath.normpath(name) == name
            if quote == '"' and not of_house:
                yield Fault(path, line, f'"{name}" does not name a file from the root')
            elif room_of(name):
                what = arrow_fault(path, name)
                if what:
                    yield Fault(path, line, what)


def host_includes(tree):
    """Yields path, line and library for each include line of a host library."""
    for path, text in tree.each(".c", ".h"):
        for line, quote, name in includes(text):
            for library, pattern in HOST_LIBRARIES.items():
                if quote == "<" and re.match(pattern, name):
                    yield path, line, library


def host_libraries(tree):
    users = {}
    for path, line, library in host_includes(tree):
        room = room_of(path)
        if room == "tests":
            continue
        if room not in DEVICES or path.endswith(".h"):
            yield Fault(path, line, f"{library} belongs in a .c file of a device")
            continue
        user = users.setdefault((room, library), path)
        part = f"{room}/{IN_PARTS[library]}" if library in IN_PARTS else path
        if user != path and not (user.startswith(part) and path.startswith(part)):
            yield Fault(path, line, f"{library} is already used by {user}")
