#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""slow.py ADDRESS:PORT N head|body: so many clients that begin a head, or a body, and say no more.
Prints "waiting" when all have; then what they were told, when all are ended: a line of JSON."""
import collections
import json
import resource
import select
import socket
import sys
import time

BEGUN = {"head": b"GET /bytes/3 HTTP/1.1\r\nHost: a\r\nX-Slow: y",
         "body": b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nx"}

address, port = sys.argv[1].rsplit(":", 1)
n, begun = int(sys.argv[2]), BEGUN[sys.argv[3]]
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
poll, sockets, told = select.epoll(), {}, collections.Counter()
for _ in range(n):
    s = socket.create_connection((address, int(port)), timeout=20)
    s.sendall(begun)
    sockets[s.fileno()] = s
    poll.register(s.fileno(), select.EPOLLIN)
print("waiting", flush=True)
deadline = time.monotonic() + 60
while sockets and time.monotonic() < deadline:
    for fd, _ in poll.poll(1):
        try:
            got = sockets[fd].recv(4096)
        except ConnectionError:
            got = b""
        told[got[:12].decode() or "nothing"] += 1
        poll.unregister(fd)
        sockets.pop(fd).close()
print(json.dumps({"left": len(sockets), **told}))
