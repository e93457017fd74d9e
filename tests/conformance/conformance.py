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

# What none of ours offers unless it is told to, and what the others are.
NEVER = {"PRO-06", "CHN-01", "CHN-02", "CHN-03"}
# Shared objects and memory are a matter of other devices.
NO_OBJECTS = {"CHN-04", "CHN-05"}
# What needs leave to open a userfaultfd.
POSTCOPY = {f"PCY-{n:02}" for n in range(1, 12)} if os.geteuid() else set()
BLK_ONLY = {f"BLK-{n:02}" for n in range(1, 17)} | {f"BLW-{n:02}" for n in range(1, 9)} | \
           {"CFG-06", "CFG-07", "CFG-08"}
RNG_ONLY = {"RNG-01", "RNG-02"}
CONFIG = {f"CFG-{n:02}" for n in range(1, 9)}
ONE_QUEUE = {"STA-22"}
STATE = {f"DST-{n:02}" for n in range(1, 9)}
NO_READABLE = {"SPL-09"}
IN_ORDER = {"ORD-01", "ORD-02"}
RECONNECT = {"FRM-13", "REC-01", "REC-02", "REC-03"}
# No request brings an event: somebody has to type.
NO_REQUESTS = {"the requests of this device are not known (--device)"}
# A disk has blocks of 512 bytes or not, and is read-only or not.
DISK = NEVER | RNG_ONLY | {"BLK-05", "BLK-15"}

BLK = "{build}/cli/vhu-blk --socket-path {{socket}} "
IMAGE = BLK + "--file {dir}/image "
# Name -> the command, further arguments of vhu-check, the cases that may be skipped (or why).
TARGETS = {
    "blk_mmap": (IMAGE + "--engine mmap", ["--destructive"], DISK),
    # What may differ from that.
    "blk_sync": (IMAGE + "--engine sync",
                 ["--destructive", "--only", "memory,states,split,packed,blk,blk-write"], DISK),
    "blk_4096": (IMAGE + "--block-size 4096", ["--destructive", "--only", "config,blk,blk-write"],
                 DISK - {"BLK-05"}),
    "blk_read_only": (IMAGE + "--read-only", ["--only", "states,config,blk,hostile"],
                      DISK - {"BLK-15"}),
    "blk_one_queue": (IMAGE + "--num-queues 1", ["--only", "protocol,states,hostile"],
                      DISK | ONE_QUEUE),
    "blk_once": (IMAGE + "--once", ["--only", "framing,states,inflight,reconnect,blk"],
                 DISK | RECONNECT),
    "blk_inband": (IMAGE + "--inband-notifications", ["--only", "protocol,channel"],
                   DISK - NEVER),
    "rng": ("{build}/tests/device/rng --socket-path {{socket}}", ["--device", "rng"],
            NEVER | BLK_ONLY | CONFIG | NO_READABLE | ONE_QUEUE | STATE),
    "sound": ("{build}/cli/vhu-sound --socket-path {{socket}} --backend null --controls",
              ["--device", "sound", "--skip", "inflight"],
              NEVER | BLK_ONLY | RNG_ONLY | ONE_QUEUE | IN_ORDER),
    "gpu": ("{build}/cli/vhu-gpu --socket-path {{socket}}",
            ["--device", "gpu", "--skip", "inflight"],
            NEVER | BLK_ONLY | RNG_ONLY | ONE_QUEUE | IN_ORDER),
    "input": ("{build}/cli/vhu-input --socket-path {{socket}} --stream {dir}/stream",
              ["--device", "generic"], NEVER | BLK_ONLY | RNG_ONLY | STATE | NO_REQUESTS),
}


def complaints(report, may_skip):
    """Yields what is wrong with a run that has to be clean."""
    if "bail_out" in report:
        yield f"bailed out: {report['bail_out']}"
    if not report["totals"]["pass"]:
        yield "nothing passed"
    for case in report["cases"]:
        result = case["result"]
        why = case.get("reason") or case.get("seen") or ""
        if result == "pass" or (result == "skip" and
                                {case["id"], why} & (may_skip | POSTCOPY | NO_OBJECTS)):
            continue
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
