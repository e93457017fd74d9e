# SPDX-License-Identifier: BSD-3-Clause
"""The files that a check looks at, and what it says of them."""

import fnmatch
import os
import subprocess
from typing import NamedTuple

# What git ignores too (see .gitignore), and what fuzzers have found, which is no text.
IGNORED_ANYWHERE = ("__pycache__", "*.swp", "*~", "corpus")
IGNORED_AT_TOP = (".git", "build*")


class Fault(NamedTuple):
    path: str
    line: int
    what: str

    def __str__(self):
        return f"{self.path}:{self.line}: {self.what}"


class Tree:
    """texts: path from the root -> content, of each text file."""

    def __init__(self, root, programs=None):
        self.root = root
        self.programs = programs
        self.top = kept(os.listdir(root), IGNORED_AT_TOP + IGNORED_ANYWHERE)
        self.texts = dict(sorted(read_texts(root, self.top)))

    def each(self, *endings):
        return [(path, text) for path, text in self.texts.items() if path.endswith(endings)]


def kept(names, ignored):
    return [n for n in names if not any(fnmatch.fnmatch(n, pattern) for pattern in ignored)]


def read_texts(root, top):
    for path in walk(root, top):
        with open(os.path.join(root, path), "rb") as file:
            content = file.read()
        if b"\0" not in content:
            yield path, content.decode("utf-8", "replace")


def walk(root, names, folder=""):
    for name in names:
        path = os.path.join(folder, name)
        full = os.path.join(root, path)
        if os.path.isdir(full):
            yield from walk(root, kept(os.listdir(full), IGNORED_ANYWHERE), path)
        elif os.path.isfile(full):
            yield path


def run(command, text="", cwd=None):
    """Returns exit code, standard output and standard error of a command; it speaks English."""
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        done = subprocess.run(command, input=text, cwd=cwd, env=environment, timeout=20,
                              capture_output=True, encoding="utf-8", errors="replace")
    except (OSError, subprocess.TimeoutExpired) as error:
        return 127, "", str(error)
    return done.returncode, done.stdout, done.stderr
