#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""mix.py ADDRESS:PORT REQUESTS SEED [CA NAME] [--whole]: requests of random shape over HTTP/1.1,
several on a connection or none, with bodies of all framings, answers of all framings, and aborts
by this side and by the backend; --whole: none.  Against origin.py, and a route of /nowhere that the gate answers.
One line of JSON: what was sent and received; own_body: of got_body, what the gate said itself."""
import json
import random
import socket
import ssl
import struct
import sys

from reading import Gone, Reader

words = [w for w in sys.argv[1:] if w != "--whole"]
whole = "--whole" in sys.argv
address, port = words[0].rsplit(":", 1)
total, seed = int(words[1]), int(words[2])
rand = random.Random(seed)
context = None
if len(words) > 3:
    context = ssl.create_default_context(cafile=words[3])
told = {"requests": 0, "answered": 0, "aborted": 0, "sent_body": 0, "got_body": 0,
        "own_body": 0, "connections": 0, "cut": 0, "lost": 0, "again": 0}
ENDS = (Gone, ConnectionError, ssl.SSLError)  # a connection that is over


class Connection(Reader):
    def __init__(self):
        raw = socket.create_connection((address, int(port)), timeout=20)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().__init__(context.wrap_socket(raw, server_hostname=words[4]) if context else raw)
        told["connections"] += 1
        self.served, self.heard = 0, False

    def more(self):
        super().more()
        self.heard = True

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        socket.socket.close(self.sock)

    def answer(self, method):
        """(status, bytes of the body, whether the connection goes on)"""
        while True:
            status = int(self.line().split(" ")[1])
            fields = {}
            while True:
                line = self.line()
                if not line:
                    break
                name, value = line.split(":", 1)
                fields[name.lower()] = value.strip()
            if status >= 200:
                break
        goes_on = fields.get("connection") != "close"
        if method == "HEAD" or status in (204, 304):
            return status, 0, goes_on
        if fields.get("transfer-encoding") == "chunked":
            n = 0
            while True:
                size = int(self.line(), 16)
                if not size:
                    while self.line():
                        pass
                    return status, n, goes_on
                self.exactly(size)
                n += size
                self.exactly(2)
        if "content-length" in fields:
            n = int(fields["content-length"])
            self.exactly(n)
            return status, n, goes_on
        n = 0
        try:
            while True:
                n += len(self.buf)
                self.buf = b""
                self.more()
        except ENDS:
            return status, n, False


def body_of(size, chunked):
    if not chunked:
        return b"b" * size
    out, left = b"", size
    while left:
        n = min(left, rand.randint(1, 9000))
        out += b"%x\r\n" % n + b"b" * n + b"\r\n"
        left -= n
    return out + b"0\r\n\r\n"


def one(c):
    method = rand.choice(["GET", "GET", "GET", "POST", "PUT", "HEAD", "DELETE"])
    size = rand.choice([0, 1, 100, 5000, 20000, 200000])
    path = rand.choice(["/x", "/nowhere/x", "/status/204", "/status/404", "/early", "/trailers",
                        f"/bytes/{size}", f"/chunks/{size}", f"/until-close/{size}"])
    sends = method in ("POST", "PUT")
    if whole and sends and path == "/nowhere/x":  # how much of it is read is not for us to say
        path = "/x"
    chunked = sends and rand.random() < 0.5
    sent = rand.choice([0, 10, 3000, 100000]) if sends else 0
    cut = not whole and method == "GET" and rand.random() < 0.08  # the backend goes in the middle
    if cut:
        path = rand.choice(["/drop/0", "/drop/10", "/drop/999", "/vanish"])
    head = f"{method} {path} HTTP/1.1\r\nhost: app.example.org\r\nuser-agent: mix\r\n"
    if sends:
        head += "transfer-encoding: chunked\r\n" if chunked else f"content-length: {sent}\r\n"
    if rand.random() < 0.2:
        head += f"x-padding: {'p' * rand.randint(1, 5000)}\r\n"
    text = head.encode() + b"\r\n" + (body_of(sent, chunked) if sends else b"")
    told["requests"] += 1
    c.heard = False
    if not whole and rand.random() < 0.05:  # it goes in the middle
        c.sock.sendall(text[:rand.randint(1, len(text))])
        if rand.random() < 0.5:
            c.reset()
        else:
            c.sock.close()
        told["aborted"] += 1
        return False
    c.sock.sendall(text)
    if not whole and rand.random() < 0.03:  # it does not wait for the answer
        c.reset()
        told["aborted"] += 1
        return False
    try:
        status, got, goes_on = c.answer(method)
    except socket.timeout:
        sys.exit(f"no answer: request {told['requests']}: {method} {path}, a body of {sent},"
                 f" chunked {chunked}, from port {c.sock.getsockname()[1]}, got {c.buf[:200]}")
    except ENDS:
        if not cut:
            raise
        told["cut"] += 1
        return False
    if (status >= 500) != (path == "/vanish") or path.startswith("/drop"):
        sys.exit(f"{method} {path}: {status}, {got} bytes")
    if method != "HEAD" and path.endswith(f"/{size}") and got != size:
        sys.exit(f"{method} {path}: {status}, {got} bytes")
    told["answered"] += 1
    c.served += 1
    told["own_body"] += got if path == "/nowhere/x" else 0
    told["sent_body"] += sent
    told["got_body"] += got
    return goes_on and rand.random() < 0.9


connection = None
for _ in range(total):
    if not connection:
        connection = Connection()
    try:
        if not one(connection):
            connection.sock.close()
            connection = None
    except ENDS:
        # one that was idle may end while a request is on its way (RFC 9112 9.3.1): a client asks again
        told["again" if connection.served and not connection.heard else "lost"] += 1
        connection.sock.close()
        connection = None
if connection:
    connection.sock.close()
print(json.dumps(told))
