#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""rules.py BUILD: every case of vhu-check finds a back-end that breaks its rule.

bad_backend is right by itself, which is tried first; called by the name of a case it breaks the
rule that this case is about, and the case has to fail, or warn where its level says so.
"""

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

# Most of the time they wait.
AT_ONCE = 16
# Of a right back-end on a busy machine, and of one that is known to keep the case waiting.
PATIENCE, IMPATIENCE = 60, 1

# The forms of bad_backend, and what is run against it when it breaks nothing.
RIGHT = [("", "blk"), ("--rng", "rng"), ("--packed --iommu", "blk"),
         ("--packed", "blk", "--only", "inflight"), ("--rng", "generic"),
         ("--bare", "blk", "--skip", "PRO-02"), ("--legacy --rng", "rng")]
# Further arguments of bad_backend for some.
ARGUMENTS = {"BLK-15": "--read-only", "RNG-01": "--rng", "RNG-02": "--rng"}
ARGUMENTS |= dict.fromkeys(["LOG-08", "ORD-01", "ORD-02", "INF-03", "INF-08", "INF-12", "INF-15"],
                           "--packed")
ARGUMENTS |= {f"PKD-{n:02}": "--packed" for n in range(1, 17)}
ARGUMENTS |= {f"IOT-{n:02}": "--iommu --packed" for n in range(1, 13)}
# What needs leave to open a userfaultfd.
POSTCOPY = "PCY-" if os.geteuid() else ()


def check(build, arguments, backend):
    command = [f"{build}/cli/vhu-check", "--json", "-", "--exec",
               f"{build}/tests/conformance/bad_backend {backend} {{socket}}", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    try:
        return done.returncode, json.loads(done.stdout)
    except ValueError:
        return done.returncode, {"cases": [], "error": done.stderr.decode(errors="replace")}


def cases(build):
    """Yields id and level of each."""
    listed = subprocess.run([f"{build}/cli/vhu-check", "--list"], stdout=subprocess.PIPE,
                            check=True, text=True).stdout
    yield from re.findall(r"^  ([A-Z]{3}-\d\d)  (\w+)", listed, re.MULTILINE)


def broken(build, case):
    """Returns what is wrong with the case, or None."""
    name, level = case
    rng = name.startswith("RNG")
    backend = f"{ARGUMENTS.get(name, '')} --break {name}"
    for timeout in (IMPATIENCE, PATIENCE):
        status, report = check(build, ["--only", name, "--destructive", "--timeout", str(timeout),
                                       "--device", "rng" if rng else "blk"], backend)
        # Status 3: it was not even up in so short a time.
        if status != 3 or report["cases"]:
            break
    if not report["cases"]:
        return f"{name}: no report, status {status}: {report.get('error')}"
    result = report["cases"][0]
    allowed = {"MUST": {"fail"}, "SHOULD": {"warn"}, "robustness": {"fail", "warn"}}[level]
    if result["result"] in allowed:
        return None
    return f"{name}: {result['result']}: {result.get('seen') or result.get('reason')}"


def unbroken(build, backend, device, *only):
    """Yields what is wrong with a run against the back-end that breaks nothing."""
    status, report = check(build, ["--destructive", "--timeout", str(PATIENCE), "--device",
                                   device, *only], backend)
    if status or not report["cases"]:
        yield f"'{backend}': status {status}: {report.get('error')}"
    for case in report["cases"]:
        if case["result"] not in ("pass", "skip"):
            yield f"'{backend}': {case['id']} {case['result']}: {case.get('seen')}"


def main():
    build = sys.argv[1]
    known = [case for case in cases(build) if not case[0].startswith(POSTCOPY)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        right = [pool.submit(lambda run: list(unbroken(build, *run)), run) for run in RIGHT]
        found = [line for line in pool.map(lambda case: broken(build, case), known) if line]
        found += [line for future in right for line in future.result()]
    for line in found:
        print(line)
    print(f"{len(known)} rules, {len(found)} not found to be broken")
    return 1 if found else 0


sys.exit(main())
