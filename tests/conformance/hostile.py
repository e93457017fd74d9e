#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""hostile.py BUILD: vhu-check bears back-ends that are dead, hung or hostile, and says which."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

# Of a whole run: what hangs longer than this hangs.
LIMIT_SECONDS = 120
# Most of the time they wait.
AT_ONCE = 6

BAD = "{bad} {{socket}} "
# What is run, the cases, the exit status, and what has to be said.
RUNS = [
    ("false {{socket}}", "FRM-01", 3, "ended with status 1"),
    ("echo gone {{socket}} >&2; exit 9", "FRM-01", 3, "gone"),
    ("no-such-program {{socket}}", "FRM-01", 3, "ended with status 127"),
    ("kill -11 $$; {{socket}}", "FRM-01", 3, "killed by signal 11"),
    ("sleep 1000 # {{socket}}", "FRM-01", 3, "connecting to"),
    # What has left us ends by itself.
    ("setsid timeout 9 {bad} {{socket}} & sleep 0.1", "FRM-01", 3, "stay in the foreground"),
    # Colours, and a line that begins with spaces.
    ("printf '  \\033[1mbold\\033[m\\n' && exec " + BAD + "--break HOS-01", "HOS-01", 1,
     "  output:\n    1: '  ?[1mbold?[m'\n"),
    (BAD + "--hostile silent", "FRM-01", 3, "no answer within 1 s"),
    (BAD + "--hostile close", "FRM-01", 3, "closed the connection"),
    (BAD + "--hostile exit", "FRM-01", 3, "ended with status 7"),
    (BAD + "--hostile huge", "FRM-01", 3, "Message too long"),
    (BAD + "--hostile flood", "framing", 1, "FRM-01"),
    (BAD + "--hostile fds", "framing", 1, "FRM-01"),
    (BAD + "--break truncate", "STA-02", 1, "was truncated"),
    (BAD + "--break HOS-09", "HOS-09,FRM-01", 1, "it serves no new connection after this case"),
    (BAD + "--break HOS-01", "HOS-01,FRM-01", 1, "killed by signal 6"),
    # The case that comes after finds the back-end well again.
    (BAD + "--break HOS-01", "HOS-01,FRM-01", 1, "ok 1 - FRM-01"),
    (BAD + "--break HOS-01", "HOS-01,REC-01", 1, "ok 1 - REC-01"),
]


def vhu_check(build, *arguments):
    """Returns exit status and all that was said."""
    done = subprocess.run([f"{build}/cli/vhu-check", "--timeout", "1", "--device", "blk",
                           *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=LIMIT_SECONDS, check=False, text=True, errors="replace")
    return done.returncode, done.stdout


def by_exec(build):
    """Yields what is wrong with the runs of the table."""
    commands = [run[0].format(bad=f"{build}/tests/conformance/bad_backend") for run in RUNS]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        results = pool.map(lambda command, run: vhu_check(build, "--exec", command, "--only",
                                                          run[1]), commands, RUNS)
    for (_, _, status, said), command, (got, output) in zip(RUNS, commands, results):
        if got != status or said not in output:
            yield f"{command}: status {got}, wanted {status} and '{said}':\n{output}"


def by_socket(build, folder):
    """The same back-end at a socket of its own, right and then dying."""
    for arguments, only, status, said in [
            ([], "framing", 0, "# 15 passed, 0 failed"),
            (["--break", "FRM-09"], "FRM-09,FRM-10", 3,
             "Bail out! the back-end has not come back after FRM-09"),
            (["--break", "REC-04"], "REC-04", 3, "not ok 1 - REC-04"),
    ]:
        path = os.path.join(folder, "socket")
        backend = subprocess.Popen([f"{build}/tests/conformance/bad_backend", path, *arguments],
                                   stderr=subprocess.DEVNULL)
        got, output = vhu_check(build, path, "--only", only)
        backend.kill()
        backend.wait()
        if got != status or said not in output:
            yield f"{arguments} at a socket: status {got}:\n{output}"
    got, output = vhu_check(build, os.path.join(folder, "nowhere"))
    if got != 3 or "No such file" not in output:
        yield f"no socket: status {got}:\n{output}"


def interrupted(build, folder):
    """What was started ends with vhu-check, and its folder goes."""
    checker = subprocess.Popen([f"{build}/cli/vhu-check", "--exec",
                                f"exec {build}/tests/conformance/bad_backend {{socket}}"],
                               stdout=subprocess.PIPE, env={**os.environ, "TMPDIR": folder})
    checker.stdout.readline()
    time.sleep(0.3)
    checker.send_signal(signal.SIGINT)
    output = checker.stdout.read().decode()
    status = checker.wait(LIMIT_SECONDS)
    if status != 3 or "Bail out! interrupted" not in output:
        yield f"SIGINT: status {status}:\n{output}"
    if os.listdir(folder):
        yield f"SIGINT leaves {os.listdir(folder)}"


def unheard(build):
    """A report that cannot be written ends the run."""
    command = [f"{build}/cli/vhu-check", "--only", "framing", "--exec",
               f"{build}/tests/conformance/bad_backend {{socket}}"]
    with open("/dev/full", "wb") as full:
        for arguments in [], ["--json", "-"], ["--json", "/dev/full"]:
            done = subprocess.run([*command, *arguments], stdout=full, stderr=subprocess.PIPE,
                                  timeout=LIMIT_SECONDS, check=False)
            if done.returncode != 3 or b"cannot be written" not in done.stderr:
                yield f"full disk, {arguments}: status {done.returncode}, {done.stderr}"
    checker = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    checker.stdout.close()
    status = checker.wait(LIMIT_SECONDS)
    if status != 3:
        yield f"closed pipe: status {status}"


def usage(build):
    """Yields command lines that are wrong and are not refused, and the other way round."""
    for arguments, status in [
            ([], 2), (["--exec", "true", "socket"], 2), (["a", "b"], 2), (["--nothing"], 2),
            (["--device", "toaster", "x"], 2), (["--only", "nothing", "x"], 2),
            (["--timeout", "0", "x"], 2), (["--json", "/no/such/folder/file", "x"], 2),
            (["--exec", "true"], 2),
            (["--help"], 0), (["--version"], 0), (["--list"], 0), (["--list", "--verbose"], 0),
    ]:
        done = subprocess.run([f"{build}/cli/vhu-check", *arguments], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, check=False)
        if done.returncode != status or not done.stdout + done.stderr:
            yield f"{arguments}: status {done.returncode}, wanted {status}"


def reports(build, folder):
    """The report in a file says what TAP says."""
    path = os.path.join(folder, "report.json")
    _, output = vhu_check(build, "--json", path, "--only", "config", "--exec",
                          f"{build}/tests/conformance/bad_backend {{socket}} --break CFG-06")
    with open(path, encoding="ascii") as file:
        report = json.load(file)
    for number, case in enumerate(report["cases"], 1):
        start = "not ok" if case["result"] == "fail" else "ok"
        if f"{start} {number} - {case['id']} {case['title']}" not in output:
            yield f"TAP has no line for {case}"
    if "CONFIG" not in report["backend"]["protocol_features"]["names"]:
        yield "the bits are not named"


def harnessed(build, folder):
    """A harness understands what is said, also of a back-end that says odd things."""
    path = os.path.join(folder, "tap")
    _, output = vhu_check(build, "--only", "HOS-01,CFG-07,PRO-06", "--exec",
                          "printf '  - a: b\\na: b: c\\n\\t# \\001 \\377 it'\\''s\\n\\n' && exec "
                          f"{build}/tests/conformance/bad_backend --break HOS-01 {{socket}}")
    with open(path, "w", encoding="utf-8") as file:
        file.write(output)
    heard = subprocess.run(["prove", "-e", "cat", path], stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, check=False, text=True).stdout
    if "Parse errors" in heard or "Tests: 3 Failed: 1" not in heard:
        yield f"{output}\n{heard}"


def main():
    build = sys.argv[1]
    found = [*by_exec(build), *usage(build), *unheard(build)]
    for test in (by_socket, interrupted, reports, harnessed):
        with tempfile.TemporaryDirectory(prefix="vhu-hostile.") as folder:
            found += test(build, folder)
    for line in found:
        print(line)
    return 1 if found else 0


sys.exit(main())
