#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""raw.py ADDRESS:PORT TEXT...: each text, with \\r \\n \\0 \\xNN as in Python, is sent by itself;
then what comes back until the end, or until nothing more comes for a second."""
import socket
import sys

address, port = sys.argv[1].rsplit(":", 1)
sock = socket.create_connection((address, int(port)), timeout=10)
sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
for text in sys.argv[2:]:
    sock.sendall(text.encode("latin-1").decode("unicode_escape").encode("latin-1"))
sock.settimeout(10)  # for the first of it
try:
    while True:
        got = sock.recv(65536)
        sock.settimeout(1)
        if not got:
            break
        sys.stdout.buffer.write(got)
except socket.timeout:
    pass
except ConnectionResetError:
    sys.stdout.buffer.write(b"[reset]")
