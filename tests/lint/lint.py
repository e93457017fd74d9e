#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Holds a source tree against the rules of the house. One line a fault; fails if there is one."""

import argparse
import sys

import headers
import layers
import manners
import manuals
import sizes
from tree import Tree

CHECKS = (
    layers.arrows,
    layers.host_libraries,
    headers.alone,
    headers.names,
    sizes.long_functions,
    sizes.long_files,
    sizes.long_lines,
    manners.top_level,
    manners.licence,
    manners.spaces,
    manners.machine,
    manuals.render,
    manuals.agreement,
)


def faults(tree, checks=CHECKS):
    return sorted(fault for check in checks for fault in check(tree))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tree", help="root of the source tree")
    parser.add_argument("--programs", metavar="FOLDER",
                        help="built programs, whose --help must agree with their man pages")
    arguments = parser.parse_args()
    found = faults(Tree(arguments.tree, arguments.programs))
    for fault in found:
        print(fault)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
