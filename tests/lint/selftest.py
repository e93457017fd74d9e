#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Shows that each check passes a good tree, up to its limits, and catches a planted fault."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

import headers
from lint import CHECKS, faults
from tree import Tree

HERE = os.path.dirname(os.path.abspath(__file__))
HASH = "# SPDX-License-Identifier: BSD-3-Clause\n"
C = "/* SPDX-License-Identifier: BSD-3-Clause */\n"


def function(lines, head="int f(void)\n{"):
    """The text of a function of so many lines."""
    body = lines - head.count("\n") - 3
    return f"{head}\n" + "\tg();\n" * body + "\treturn 0;\n}\n"


def padded(text, lines):
    return text + "/* more */\n" * (lines - text.count("\n"))


PAGE = """vhu-blk(1)

; SPDX-License-Identifier: BSD-3-Clause

# NAME

vhu-blk - a disk

# OPTIONS

*-h*, *--help*
	Says this; unlike *--other*, which another program has.

*--size* _BYTES_
	How large.

*--image* _NAME_, *--disk* _NAME_
	What.
"""
HELP = """Usage: vhu-blk [--file NAME]

  -h, --help    says this
  --size=BYTES how large; see --nothing
  --image NAME, --disk NAME  what
                --nothing is no row either
"""

# A tree without fault: each limit is reached, none is passed.
CLEAN = {
    "LICENSE": "Do.\n",
    ".ci/run": f"#!/bin/sh\n{HASH}",
    "build/x.c": "no file of ours \n",
    "meson.build": HASH,
    "common/base/fd.h": f"""{C}
#include <stddef.h>

/* int looks_like_a_function(void) */
#define macro(x) \\
int vhu_##x(int a)
struct fd {{
	int (*close)(struct fd *fd);
}};
size_t vhu_fd_count(const int *fds,
		    size_t n);
static inline struct fd *first(struct fd *fds)
{{
	return fds;
}}
""",
    "common/base/fd.c": padded(f'{C}#include "common/base/fd.h"\n\n{function(100)}', 600),
    "common/memory/map.h": padded(f'{C}#include "common/base/fd.h"\nint vhu_map(void);\n', 150),
    "common/memory/map_priv.h": C,
    "common/memory/map.c": f'{C}#include "common/memory/map_priv.h"\n' + "\t" * 12 + "abcd\n",
    "common/backend/device.h": padded(f'{C}#include "common/memory/map.h"\n', 250),
    "common/frontend/driver.c": f'{C}#include "common/memory/map.h"\n',
    "common/session/session.h": f'{C}#include "common/backend/device.h"\n',
    "common/serve/daemon.c": f'{C}#include "common/session/session.h"\n',
    "devices/blk/blk.h": f'{C}#include "common/backend/device.h"\n',
    "devices/blk/io.h": C,
    "devices/sound/alsa_card.c": f"{C}#include <alsa/asoundlib.h>\n",
    "devices/sound/alsa_pcm.c": f"{C}#include <alsa/asoundlib.h>\n",
    "devices/blk/probe.c": f'{C}#include <blkid/blkid.h>\n#include "devices/blk/io.h"\n',
    "devices/gpu/gpu.h": C,
    "cli/vhu-blk.c": f'{C}#include "devices/blk/blk.h"\n#include "common/session/session.h"\n',
    "man/vhu-blk.1.scd": PAGE,
    "tests/unit/test_io.c": f'{C}#include "devices/blk/io.h"\n#include "cli/x.h"\n',
    "tests/run": f"#!/bin/bash\n{HASH}cd /tmp/work/x\n",
}


def text(new):
    return lambda old: new


def after(more):
    """An edit that puts text at the end."""
    return lambda old: old + more


def include(name):
    return after(f'#include "{name}"\n')


def swap(one, other):
    return lambda old: old.replace(one, other)


WORK = "/wo" + "rk/"
LONG = "x" * 101
# What does not call the compiler: for plants that no header sees.
QUICK_CHECKS = [check for check in CHECKS if check is not headers.alone]

# What is planted, in which file, by which edit, and the fault that must come of it.
PLANTS = (
    ("an arrow up", "common/memory/map.c", include("common/session/session.h"),
     "common/memory/map.c:4: common/memory may not see common/session/session.h"),
    ("an arrow sideways", "common/frontend/driver.c", include("common/ring/chain.h"),
     "common/frontend/driver.c:3: common/frontend may not see common/ring/chain.h"),
    ("an arrow in angle brackets", "common/memory/map.c", after("#include <common/wire/x.h>\n"),
     "common/memory/map.c:4: common/memory may not see common/wire/x.h"),
    ("serve sees a device", "common/serve/daemon.c", include("devices/blk/blk.h"),
     "common/serve/daemon.c:3: common/serve may not see devices/blk/blk.h"),
    ("a device sees the session", "devices/blk/probe.c", include("common/session/session.h"),
     "devices/blk/probe.c:4: devices/blk may not see common/session/session.h"),
    ("a device sees serve", "devices/blk/probe.c", include("common/serve/daemon.h"),
     "devices/blk/probe.c:4: devices/blk may not see common/serve/daemon.h"),
    ("a device sees another", "devices/blk/probe.c", include("devices/gpu/gpu.h"),
     "devices/blk/probe.c:4: devices/blk may not see devices/gpu/gpu.h"),
    ("a foreign private header", "common/session/session.h", include("common/memory/map_priv.h"),
     "common/session/session.h:3: common/memory/map_priv.h is private to its folder"),
    ("a test sees a private header", "tests/unit/test_io.c", include("common/memory/map_priv.h"),
     "tests/unit/test_io.c:4: common/memory/map_priv.h is private to its folder"),
    ("a program sees a test", "cli/vhu-blk.c", include("tests/unit/x.h"),
     "cli/vhu-blk.c:4: cli may not see tests/unit/x.h"),
    ("a program behind a door", "cli/vhu-blk.c", include("devices/blk/io.h"),
     "cli/vhu-blk.c:4: devices/blk/io.h is not the door of its device"),
    ("a relative include", "common/base/fd.c", swap("common/base/fd.h", "fd.h"),
     'common/base/fd.c:2: "fd.h" does not name a file from the root'),
    ("an include by a detour", "common/base/fd.c",
     swap("common/base/fd.h", "common/base/../session/session.h"),
     'common/base/fd.c:2: "common/base/../session/session.h" does not name a file from the root'),
    ("a room that is not drawn", "common/attic/x.c", text(C),
     "common/attic/x.c:1: is in no room of the house"),
    ("a device that is not drawn", "devices/net/x.c", text(C),
     "devices/net/x.c:1: is in no room of the house"),

    ("a host library in two files", "devices/blk/topology.c",
     text(f"{C}#include <blkid/blkid.h>\n"),
     "devices/blk/topology.c:2: libblkid is already used by devices/blk/probe.c"),
    ("a host library outside of its parts", "devices/sound/sound.c",
     text(f"{C}#include <alsa/asoundlib.h>\n"),
     "devices/sound/sound.c:2: alsa-lib is already used by devices/sound/alsa_card.c"),
    ("a host library in a program", "cli/vhu-blk.c", after("#include <liburing.h>\n"),
     "cli/vhu-blk.c:4: liburing belongs in a .c file of a device"),
    ("a host library in a room", "common/base/fd.c", swap('"common/base/fd.h"', "<libinput.h>"),
     "common/base/fd.c:2: libinput belongs in a .c file of a device"),
    ("a host library in a header", "devices/gpu/gpu.h",
     after("#if 0\n#include <virgl/virglrenderer.h>\n#include <alsa/asoundlib.h>\n#endif\n"),
     "devices/gpu/gpu.h:3: virglrenderer belongs in a .c file of a device",
     "devices/gpu/gpu.h:4: alsa-lib belongs in a .c file of a device"),

    ("a header that needs another", "devices/blk/io.h", after("void vhu_io(size_t n);\n"),
     "devices/blk/io.h:2: does not compile alone: unknown type name 'size_t'"),
    ("a header that includes one that needs another", "common/base/fd.h", after("lost x;\n"),
     "common/backend/device.h:1: does not compile alone: common/base/fd.h:17: "
     "unknown type name 'lost'",
     "common/base/fd.h:17: does not compile alone: unknown type name 'lost'",
     "common/memory/map.h:1: does not compile alone: common/base/fd.h:17: "
     "unknown type name 'lost'",
     "common/session/session.h:1: does not compile alone: common/base/fd.h:17: "
     "unknown type name 'lost'",
     "devices/blk/blk.h:1: does not compile alone: common/base/fd.h:17: "
     "unknown type name 'lost'"),
    ("a foreign name", "devices/gpu/gpu.h", after("\nstruct a;\nstruct a *gpu_new(int n);\n"),
     "devices/gpu/gpu.h:4: exports gpu_new(), which does not begin with vhu_"),
    ("a foreign name after a macro", "common/base/fd.h", after("int\ncount(int n);\n"),
     "common/base/fd.h:17: exports count(), which does not begin with vhu_"),

    ("a long function", "common/memory/map.c", after(f"\n{function(101)}"),
     "common/memory/map.c:5: f() has 101 lines, more than 100"),
    ("a long function of two head lines", "cli/vhu-blk.c",
     after("\n" + function(101, "static int f(int a,\n\t int b)\n{")),
     "cli/vhu-blk.c:5: f() has 101 lines, more than 100"),
    ("a long function, brace behind", "cli/vhu-blk.c", after(function(101, "int f(void) {")),
     "cli/vhu-blk.c:4: f() has 101 lines, more than 100"),
    ("a long inline function", "tests/unit/x.h",
     text(f"{C}\nint g(void);\n\n{function(101, 'static inline int f(void)' + chr(10) + '{')}"),
     "tests/unit/x.h:5: f() has 101 lines, more than 100"),
    ("a long file", "common/base/fd.c", after("\n"),
     "common/base/fd.c:601: the file has 601 lines, more than 600"),
    ("a long header", "common/memory/map.h", after("\n"),
     "common/memory/map.h:151: the file has 151 lines, more than 150"),
    ("a long contract", "common/backend/device.h", after("\n"),
     "common/backend/device.h:251: the file has 251 lines, more than 250"),
    ("a long line by tabs", "common/memory/map.c", swap("abcd", "abcde"),
     "common/memory/map.c:3: the line has 101 columns, more than 100"),
    ("a long line of meson", "meson.build", after(f"{LONG}\n"),
     "meson.build:2: the line has 101 columns, more than 100"),

    ("clutter at the top", "notes.txt", text("x\n"),
     "notes.txt:1: has no place at the top level"),
    ("a folder at the top", "src/x.txt", text("x\n"), "src:1: has no place at the top level"),
    ("C without licence", "devices/blk/io.h", text("#define X\n"),
     "devices/blk/io.h:1: does not begin with /* SPDX-License-Identifier: BSD-3-Clause */"),
    ("a licence below", "devices/blk/io.h", text(f"\n{C}"),
     "devices/blk/io.h:1: does not begin with /* SPDX-License-Identifier: BSD-3-Clause */"),
    ("another licence", "meson.build", swap("BSD-3-Clause", "MIT"),
     "meson.build:1: does not begin with # SPDX-License-Identifier: BSD-3-Clause"),
    ("a script without licence", "tests/run", text("#!/bin/sh\n"),
     "tests/run:1: does not begin with # SPDX-License-Identifier: BSD-3-Clause"),
    ("a page without licence", "man/vhu-blk.1.scd", swap("; SPDX", "; "),
     "man/vhu-blk.1.scd:1: does not begin with ; SPDX-License-Identifier: BSD-3-Clause"),
    ("a space at the end", "LICENSE", after("x\ny \n"), "LICENSE:3: trailing space"),
    ("a carriage return", "tests/run", after("x\r\n"), "tests/run:4: trailing space"),

    ("a folder of one machine", "tests/run", after(f"cd {WORK}main\n"),
     f"tests/run:4: {WORK} is a place of one machine"),
    ("somebody's home", "LICENSE", after('"/ho' + 'me/x/y"\n'),
     "LICENSE:2: /ho" + "me/x/ is a place of one machine"),
    ("root's home", "LICENSE", after("a=/ro" + "ot/.cache\n"),
     "LICENSE:2: /ro" + "ot/ is a place of one machine"),
    ("a package source", "LICENSE", after("deb [a=b]" + " https://example.org/debian x\n"),
     "LICENSE:2: deb [a=b]" + " https:// is a place of one machine"),
    ("a mirror", "LICENSE", after("see https:" + "//apt-mirror.example/debian\n"),
     "LICENSE:2: https:" + "//apt-mirror is a place of one machine"),
    ("an address", "LICENSE", after("see http:" + "//10.1.2.3/x\n"),
     "LICENSE:2: http:" + "//10.1. is a place of one machine"),

    ("a page that does not parse", "man/vhu-blk.1.scd", swap("a disk", "*a disk"),
     "man/vhu-blk.1.scd:9: scdoc: Expected * before starting new paragraph (began with * at 7:11)"),
    ("an option without --help", "man/vhu-blk.1.scd", after("\n*--colour*\n\tRed.\n"),
     "man/vhu-blk.1.scd:20: has --colour, which --help does not name"),
    ("an option without a page", "man/vhu-blk.1.scd", swap("*--size* _BYTES_\n\t", ""),
     "man/vhu-blk.1.scd:1: does not have --size, which --help names"),
    ("a letter without a page", "man/vhu-blk.1.scd", swap("*-h*, ", ""),
     "man/vhu-blk.1.scd:1: does not have -h, which --help names"),
    ("a page without program", "man/vhu-gpu.1.scd", text(PAGE),
     "man/vhu-gpu.1.scd:1: there is no program vhu-gpu"),
)


class House:
    """A clean tree and its one built program, in a folder of their own."""

    def __init__(self, folder):
        self.root = os.path.join(folder, "tree")
        self.programs = os.path.join(folder, "programs")
        for path, content in CLEAN.items():
            write(os.path.join(self.root, path), content)
        self.add_program("vhu-blk", f"cat <<'.'\n{HELP}.\n")

    def add_program(self, name, script):
        path = os.path.join(self.programs, name)
        write(path, f"#!/bin/sh\n{script}")
        os.chmod(path, 0o755)

    def plant(self, path, edit):
        write(os.path.join(self.root, path), edit(CLEAN.get(path, "")))

    def faults(self, checks=CHECKS):
        return [str(fault) for fault in faults(Tree(self.root, self.programs), checks)]


def write(path, content):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(content)


@contextlib.contextmanager
def clean_house():
    with tempfile.TemporaryDirectory(prefix="vhu-lint-") as folder:
        yield House(folder)


def lint(*arguments):
    """Runs the command; returns its exit code and all that it said."""
    done = subprocess.run([sys.executable, "-B", os.path.join(HERE, "lint.py"), *arguments],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.returncode, done.stdout


class Lint(unittest.TestCase):
    maxDiff = None

    def test_clean_tree(self):
        with clean_house() as house:
            self.assertEqual(house.faults(), [])

    def test_plants(self):
        for name, path, edit, *expected in PLANTS:
            with self.subTest(name), clean_house() as house:
                house.plant(path, edit)
                checks = CHECKS if path.endswith(".h") else QUICK_CHECKS
                self.assertEqual(house.faults(checks), expected)

    def test_program_without_page(self):
        with clean_house() as house:
            house.add_program("vhu-check", "")
            self.assertEqual(house.faults(),
                             ["man/vhu-check.1.scd:1: is missing, and vhu-check is a program"])

    def test_help_that_fails(self):
        with clean_house() as house:
            house.add_program("vhu-blk", "echo no >&2; exit 3")
            self.assertEqual(house.faults(), ["man/vhu-blk.1.scd:1: --help fails: no"])

    @unittest.skipUnless(shutil.which("man"), "man is not there")
    def test_page_with_warning(self):
        with clean_house() as house:
            house.plant("man/vhu.7.scd", text(f"{PAGE}\n{chr(9)}{'x' * 200}\n"))
            self.assertRegex("\n".join(house.faults()), r"^man/vhu\.7\.scd:1: man: .*warning.*$")

    def test_command(self):
        with clean_house() as house:
            self.assertEqual(lint(house.root, "--programs", house.programs), (0, ""))
            house.plant("LICENSE", after("x \n"))
            self.assertEqual(lint(house.root), (1, "LICENSE:2: trailing space\n"))


if __name__ == "__main__":
    unittest.main()
