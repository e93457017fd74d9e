#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""hide_features.py LISTEN BACK-END BIT...: between a front-end and a back-end, keeps features from
the front-end. Ends with the connection."""

import array
import os
import selectors
import socket
import struct
import sys

HEADER = struct.Struct("=III")
GET_FEATURES = 1
REPLY = 4
FDS_MAX = 64


def read_message(sock):
    """Returns bytes and fds of the next message, or None at the end."""
    data, fds = b"", array.array("i")
    size = HEADER.size
    while len(data) < size:
        piece, ancillary, _, _ = sock.recvmsg(size - len(data),
                                              socket.CMSG_LEN(FDS_MAX * fds.itemsize))
        for _, _, numbers in ancillary:
            fds.frombytes(numbers)
        if not piece:
            return None
        data += piece
        if len(data) == HEADER.size:
            size += HEADER.unpack(data)[2]
    return data, fds


def relay(source, target, hidden):
    message = read_message(source)
    if message is None:
        return False
    data, fds = message
    request, flags, size = HEADER.unpack_from(data)
    if request == GET_FEATURES and flags & REPLY and size == 8:
        features, = struct.unpack_from("=Q", data, HEADER.size)
        data = data[:HEADER.size] + struct.pack("=Q", features & ~hidden)
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)] if fds else []
    target.sendall(data[target.sendmsg([data], rights):])
    for fd in fds:
        os.close(fd)
    return True


def main():
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(sys.argv[1])
    listener.listen()
    front, _ = listener.accept()
    back = socket.socket(socket.AF_UNIX)
    back.connect(sys.argv[2])
    hidden = sum(1 << int(bit) for bit in sys.argv[3:])
    selector = selectors.DefaultSelector()
    selector.register(front, selectors.EVENT_READ, back)
    selector.register(back, selectors.EVENT_READ, front)
    try:
        while all(relay(key.fileobj, key.data, hidden) for key, _ in selector.select()):
            pass
    except (ConnectionResetError, BrokenPipeError):
        pass
    os.unlink(sys.argv[1])


main()
