# SPDX-License-Identifier: BSD-3-Clause
"""Manual pages: they render without a word, and name the options that --help names."""

import os
import re
import shutil

from tree import Fault, run

# One page of any length: a table may not fit where a terminal's page ends, which nobody sees.
LONG = ".pl 1000i\n"
SCDOC_ERROR = re.compile(r"Error at (\d+):\d+: (.*)")


def render(tree):
    for path, text in tree.each(".scd"):
        code, page, errors = run(["scdoc"], text)
        if code:
            error = SCDOC_ERROR.search(errors)
            line, why = error.groups() if error else (1, errors.strip())
            yield Fault(path, int(line), f"scdoc: {why}")
        elif shutil.which("man"):
            for warning in run(["man", "--warnings", "-l", "-"], LONG + page)[2].splitlines():
                yield Fault(path, 1, f"man: {warning}")


OPTION = re.compile(r"(?<![\w-])-(?:-[a-z0-9][a-z0-9-]*|[A-Za-z](?![\w-]))")
# A row begins with an option near the margin: its names, each perhaps with an argument.
HELP_ROW = re.compile(r"^ {0,8}((?:-[\w-]+(?:[= ](?!-)[^\s,]+)?(?:, )?)+)")
# In a page, with an option in bold.
PAGE_ROW = re.compile(r"^(\*-.*)")


def options(text, row):
    """Returns option -> number of the line whose row names it."""
    found = {}
    for number, line in enumerate(text.split("\n"), 1):
        match = row.match(line)
        for option in OPTION.findall(match[1]) if match else ():
            found.setdefault(option, number)
    return found


def built_programs(folder):
    """Returns name -> path of the programs in a build folder."""
    paths = [os.path.join(f, n) for f, _, names in os.walk(folder) for n in names]
    return {os.path.basename(path): path for path in paths
            if re.fullmatch(r"vhu-[a-z]+", os.path.basename(path)) and os.access(path, os.X_OK)}


def disagreements(page, text, program):
    code, shown, errors = run([program, "--help"])
    if code:
        yield Fault(page, 1, f"--help fails: {errors.strip()}")
        return
    in_help, in_page = options(shown, HELP_ROW), options(text, PAGE_ROW)
    for option in in_help:
        if option not in in_page:
            yield Fault(page, 1, f"does not have {option}, which --help names")
    for option, line in in_page.items():
        if option not in in_help:
            yield Fault(page, line, f"has {option}, which --help does not name")


def agreement(tree):
    if tree.programs is None:
        return
    programs = built_programs(tree.programs)
    pages = {os.path.basename(path)[:-len(".1.scd")]: path for path, _ in tree.each(".1.scd")}
    for name in sorted(programs.keys() | pages.keys()):
        page = f"man/{name}.1.scd"
        if pages.get(name) != page:
            yield Fault(page, 1, f"is missing, and {name} is a program")
        elif name not in programs:
            yield Fault(page, 1, f"there is no program {name}")
        else:
            yield from disagreements(page, tree.texts[page], programs[name])
