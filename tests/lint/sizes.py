# SPDX-License-Identifier: BSD-3-Clause
"""Lengths of functions, files and lines."""

import re

from tree import Fault

FUNCTION_LINES = 100
FILE_LINES = {".c": 600, ".h": 150}
FILE_LINES_OF = {"common/backend/device.h": 250}
COLUMNS = 100
TAB = 8
# Prose and its tables are not held to it.
CODE = (".c", ".h", ".sh", ".py", "meson.build", "meson_options.txt")

# Also where the brace stands at the end of the signature's line, which is not our style.
BODY = re.compile(r"\{|\w(?!.*__attribute__)[^=;]*\) \{")


def functions(text):
    """Yields first line, last line and name of each function body, its signature included."""
    lines = text.split("\n")
    first = None
    for i, line in enumerate(lines):
        if BODY.fullmatch(line):
            first = signature_start(lines, i)
        elif first is not None and line.startswith("}"):
            name = re.search(r"(\w+)\(", " ".join(lines[first:i]))
            yield first + 1, i + 1, name[1] if name else "?"
            first = None


def signature_start(lines, i):
    while i > 0 and re.match(r"[\w\t ]", lines[i - 1]) and not lines[i - 1].endswith((";", "*/")):
        i -= 1
    return i


def long_functions(tree):
    for path, text in tree.each(".c", ".h"):
        for first, last, name in functions(text):
            length = last - first + 1
            if length > FUNCTION_LINES:
                yield Fault(path, first, f"{name}() has {length} lines, more than {FUNCTION_LINES}")


def long_files(tree):
    for ending, usual in FILE_LINES.items():
        for path, text in tree.each(ending):
            most = FILE_LINES_OF.get(path, usual)
            length = text.count("\n")
            if length > most:
                yield Fault(path, most + 1, f"the file has {length} lines, more than {most}")


def long_lines(tree):
    for path, text in tree.each(*CODE):
        for number, line in enumerate(text.split("\n"), 1):
            width = len(line.expandtabs(TAB))
            if width > COLUMNS:
                yield Fault(path, number, f"the line has {width} columns, more than {COLUMNS}")
