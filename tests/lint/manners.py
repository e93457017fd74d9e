# SPDX-License-Identifier: BSD-3-Clause
"""What holds for every file: its place, its licence line, and nothing of one machine in it."""

import os
import re

from tree import Fault

TOP = {
    "common", "devices", "cli", "man", "tests",
    "meson.build", "meson_options.txt", "README.md", "LICENSE",
    ".ci", ".clang-format", ".editorconfig", ".gitignore",
}


def top_level(tree):
    for name in sorted(set(tree.top) - TOP):
        yield Fault(name, 1, "has no place at the top level")


LICENCE = "SPDX-License-Identifier: BSD-3-Clause"
C_LICENCE = f"/* {LICENCE} */"
# Ending of a file's name -> its licence line.
LICENCE_LINES = {
    ".c": C_LICENCE,
    ".h": C_LICENCE,
    ".scd": f"; {LICENCE}",
    ".sh": f"# {LICENCE}",
    ".py": f"# {LICENCE}",
    "meson.build": f"# {LICENCE}",
    "meson_options.txt": f"# {LICENCE}",
}
# scdoc wants its title before anything else, a script its interpreter.
TITLE_LINES = 4


def licence_line(path, text):
    """Returns the licence line that a file must have, or None when it is not source."""
    for ending, line in LICENCE_LINES.items():
        if path.endswith(ending):
            return line
    is_script = not os.path.splitext(path)[1] and text.startswith("#!")
    return f"# {LICENCE}" if is_script else None


def licence(tree):
    for path, text in tree.texts.items():
        wanted = licence_line(path, text)
        titled = text.startswith("#!") or path.endswith(".scd")
        if wanted and wanted not in text.split("\n")[:TITLE_LINES if titled else 1]:
            yield Fault(path, 1, f"does not begin with {wanted}")


def spaces(tree):
    for path, text in tree.texts.items():
        for number, line in enumerate(text.split("\n"), 1):
            if line != line.rstrip():
                yield Fault(path, number, "trailing space")


# A developer's folders; package sources and hosts that only one network knows.
MACHINE = re.compile(
    r"(?<![\w.}-])/(?:work|root|home/\w+)/"
    r"|\b(?:URIs:|deb|deb-src)(?: +\[[^]]*\])? +https?://"
    r"|\bregistry *= *https?://"
    r"|https?://[\w.-]*(?:mirror|proxy|artifactory|nexus)"
    r"|https?://\d+\.\d+\.")


def machine(tree):
    for path, text in tree.texts.items():
        for number, line in enumerate(text.split("\n"), 1):
            match = MACHINE.search(line)
            if match:
                yield Fault(path, number, f"{match[0]} is a place of one machine")
