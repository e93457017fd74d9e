# SPDX-License-Identifier: BSD-3-Clause
"""Headers: each compiles alone, and what it exports carries the house's name."""

import os
import posixpath
import re
import shlex
from concurrent.futures import ThreadPoolExecutor

from tree import Fault, run

COMPILE = shlex.split(os.environ.get("CC", "cc")) + shlex.split(
    "-std=gnu11 -D_GNU_SOURCE -I. -Wall -Wextra -Wshadow -Wstrict-prototypes "
    "-Wmissing-prototypes -Wvla -Wformat=2 -Wundef -Werror -fsyntax-only -x c -")

ERROR = re.compile(r"^(.+?):(\d+):\d+: (?:fatal )?error: (.*)$", re.MULTILINE)


def compile_alone(root, path):
    """Returns where and why the compiler refuses a header as the only include, or None."""
    code, _, errors = run(COMPILE, f'#include "{path}"\n', cwd=root)
    if code == 0:
        return None
    error = ERROR.search(errors)
    if not error:
        return Fault(path, 1, f"does not compile alone: {errors.strip()}")
    where, line, why = posixpath.normpath(error[1]), error[2], error[3]
    if where != path:
        return Fault(path, 1, f"does not compile alone: {where}:{line}: {why}")
    return Fault(path, int(line), f"does not compile alone: {why}")


def alone(tree):
    paths = [path for path, _ in tree.each(".h")]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return [f for f in pool.map(lambda path: compile_alone(tree.root, path), paths) if f]


# Comments and preprocessor lines, whose words are no declarations.
NOT_CODE = re.compile(r"/\*.*?\*/|//[^\n]*|^[ \t]*#(?:\\\n|[^\n])*", re.DOTALL | re.MULTILINE)
# A function at the left margin that is not static: its type, then its name.
FUNCTION = re.compile(r"^(?!static|typedef|_Static_assert)(?:\w+[\s*]+)+(\w+)\(", re.MULTILINE)


def blank(match):
    """As many line ends as were there, so that positions keep their line number."""
    return "\n" * match[0].count("\n")


def names(tree):
    for path, text in tree.each(".h"):
        if not path.startswith(("common/", "devices/")):
            continue
        code = NOT_CODE.sub(blank, text)
        for match in FUNCTION.finditer(code):
            if not match[1].startswith("vhu_"):
                line = code.count("\n", 0, match.start()) + 1
                yield Fault(path, line, f"exports {match[1]}(), which does not begin with vhu_")
