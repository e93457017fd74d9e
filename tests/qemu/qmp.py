#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""qmp.py SOCKET COMMAND [ARGUMENTS] [EVENT]: one command for a QEMU, its arguments as JSON.

Prints the answer as JSON. With EVENT it waits until QEMU tells of that as well, and prints it.
"""

import json
import socket
import sys

SECONDS = 60


class Qmp:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(SECONDS)
        self.socket.connect(path)
        self.lines = self.socket.makefile("r")
        self.events = []
        self.receive()
        self.execute("qmp_capabilities", {})

    def receive(self):
        line = self.lines.readline()
        if not line:
            sys.exit("QEMU has closed the connection")
        return json.loads(line)

    def execute(self, command, arguments):
        request = {"execute": command, "arguments": arguments}
        self.socket.sendall(json.dumps(request).encode() + b"\n")
        while True:
            answer = self.receive()
            if "error" in answer:
                sys.exit(f"{command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]
            self.events.append(answer)

    def wait(self, name):
        for event in self.events:
            if event["event"] == name:
                return event
        while True:
            event = self.receive()
            if event.get("event") == name:
                return event


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    path, command, *rest = sys.argv[1:]
    try:
        qmp = Qmp(path)
        print(json.dumps(qmp.execute(command, json.loads(rest[0] if rest else "{}"))))
        if len(rest) > 1:
            print(json.dumps(qmp.wait(rest[1])))
    except OSError as error:
        sys.exit(f"{path}: {command}: {error}")


main()
