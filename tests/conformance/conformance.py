#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""conformance.py BUILD NAME: vhu-check against a back-end of ours, which has to pass.

Every case passes: none fails, warns or cannot be tried, and only those named here are skipped.
"""

import json
import os
import subprocess
import sys
import tempfile

IMAGE_BYTES = 64 << 20
# Of each wait; a busy machine is slow, and a sanitized program slower.
TIMEOUT_SECONDS = 60

# Bits that none of ours offers unless it is told to.
NEVER = {"PRO-06"}
ONE_QUEUE = {"STA-22"}

BLK = "{build}/cli/vhu-blk --socket-path {{socket}} "
IMAGE = BLK + "--file {dir}/image "
# Name -> the command, further arguments of vhu-check, the cases that may be skipped.
TARGETS = {
    "blk_mmap": (IMAGE + "--engine mmap", ["--destructive"], NEVER),
    "blk_sync": (IMAGE + "--engine sync", ["--destructive"], NEVER),
    "blk_read_only": (IMAGE + "--read-only", [], NEVER),
    "blk_once": (IMAGE + "--once", [], NEVER | {"FRM-13"}),
    "blk_null": (BLK + "--engine null --size 64M", [], NEVER),
    "rng": ("{build}/tests/device/rng --socket-path {{socket}}", ["--device", "rng"],
            NEVER | ONE_QUEUE),
}


def complaints(report, may_skip):
    """Yields what is wrong with a run that has to be clean."""
    if "bail_out" in report:
        yield f"bailed out: {report['bail_out']}"
    if not report["totals"]["pass"]:
        yield "nothing passed"
    for case in report["cases"]:
        result = case["result"]
        if result == "pass" or (result == "skip" and case["id"] in may_skip):
            continue
        why = case.get("reason") or case.get("seen") or ""
        yield f"{case['id']} {result}: {why}"


def run(build, command, arguments):
    """Returns the exit status and the report."""
    done = subprocess.run([f"{build}/cli/vhu-check", "--exec", command, "--json", "-",
                           "--timeout", str(TIMEOUT_SECONDS), *arguments],
                          stdout=subprocess.PIPE, check=False)
    return done.returncode, json.loads(done.stdout) if done.stdout else None


def main():
    build, name = sys.argv[1:]
    command, arguments, may_skip = TARGETS[name]
    with tempfile.TemporaryDirectory(prefix="vhu-conformance.",
                                     dir="/dev/shm" if name == "blk_mmap" else None) as folder:
        with open(os.path.join(folder, "image"), "wb") as image:
            image.truncate(IMAGE_BYTES)
        status, report = run(build, command.format(build=build, dir=folder), arguments)
    if report is None:
        return f"no report, status {status}"
    found = list(complaints(report, may_skip))
    for line in found:
        print(line)
    print(report["totals"])
    return 1 if status or found else 0


sys.exit(main())
