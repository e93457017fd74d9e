#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""vnc_type.py SOCKET TEXT: a VNC viewer (RFC 6143) that types, then clicks in the middle."""

import socket
import struct
import sys

SECONDS = 20
SHIFT, RETURN = 0xFFE1, 0xFF0D


class Viewer:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(SECONDS)
        self.socket.connect(path)
        self.take(12)
        self.socket.sendall(b"RFB 003.008\n")
        if 1 not in self.take(self.take(1)[0]):
            sys.exit("the server wants a password")
        self.socket.sendall(b"\1")
        if struct.unpack(">I", self.take(4)) != (0,):
            sys.exit("the server refuses")
        self.socket.sendall(b"\1")
        self.width, self.height = struct.unpack(">HH", self.take(4))
        self.take(16)
        self.take(struct.unpack(">I", self.take(4))[0])

    def take(self, size):
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            if not more:
                sys.exit("the server has closed the connection")
            data += more
        return data

    def key(self, sym, down):
        self.socket.sendall(struct.pack(">BBHI", 4, down, 0, sym))

    def type(self, sym):
        self.key(sym, 1)
        self.key(sym, 0)

    def point(self, x, y, buttons):
        self.socket.sendall(struct.pack(">BBHH", 5, buttons, x, y))

    def look(self):
        """Until the server has shown something: it has taken all that was sent before."""
        self.socket.sendall(struct.pack(">BBHHHH", 3, 0, 0, 0, 1, 1))
        self.take(4)


def main():
    path, text = sys.argv[1:]
    viewer = Viewer(path)
    for letter in text:
        if letter.isupper():
            viewer.key(SHIFT, 1)
        viewer.type(ord(letter))
        if letter.isupper():
            viewer.key(SHIFT, 0)
    viewer.type(RETURN)
    for buttons in (0, 1, 0):
        viewer.point(viewer.width // 2, viewer.height // 2, buttons)
    viewer.look()


main()
