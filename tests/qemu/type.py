#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""type.py SOCKET: what comes on standard input goes to a stream of vhu-input; stays connected until
the input ends."""

import socket
import sys

with socket.socket(socket.AF_UNIX) as stream:
    stream.connect(sys.argv[1])
    for line in sys.stdin.buffer:
        stream.sendall(line)
