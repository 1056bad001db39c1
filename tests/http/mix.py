#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""mix.py ADDRESS:PORT REQUESTS SEED [CA NAME]: requests of random shape over HTTP/1.1, several on
a connection or none, with bodies of all framings, answers of all framings, and aborts by this
side.  Against origin.py.  One line of JSON: what was sent and received."""
import json
import random
import socket
import ssl
import struct
import sys

address, port = sys.argv[1].rsplit(":", 1)
total, seed = int(sys.argv[2]), int(sys.argv[3])
rand = random.Random(seed)
context = None
if len(sys.argv) > 4:
    context = ssl.create_default_context(cafile=sys.argv[4])
told = {"requests": 0, "answered": 0, "aborted": 0, "sent_body": 0, "got_body": 0, "connections": 0}


class Gone(Exception):
    pass


class Connection:
    def __init__(self):
        raw = socket.create_connection((address, int(port)), timeout=20)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = context.wrap_socket(raw, server_hostname=sys.argv[5]) if context else raw
        self.buf = b""
        told["connections"] += 1

    def more(self):
        got = self.sock.recv(65536)
        if not got:
            raise Gone
        self.buf += got

    def line(self):
        while b"\r\n" not in self.buf:
            self.more()
        line, self.buf = self.buf.split(b"\r\n", 1)
        return line.decode("latin-1")

    def take(self, n):
        while len(self.buf) < n:
            self.more()
        got, self.buf = self.buf[:n], self.buf[n:]
        return got

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
                self.take(size)
                n += size
                self.take(2)
        if "content-length" in fields:
            n = int(fields["content-length"])
            self.take(n)
            return status, n, goes_on
        n = 0
        try:
            while True:
                n += len(self.buf)
                self.buf = b""
                self.more()
        except (Gone, ssl.SSLError):
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
    chunked = sends and rand.random() < 0.5
    sent = rand.choice([0, 10, 3000, 100000]) if sends else 0
    head = f"{method} {path} HTTP/1.1\r\nhost: app.example.org\r\nuser-agent: mix\r\n"
    if sends:
        head += "transfer-encoding: chunked\r\n" if chunked else f"content-length: {sent}\r\n"
    if rand.random() < 0.2:
        head += f"x-padding: {'p' * rand.randint(1, 5000)}\r\n"
    text = head.encode() + b"\r\n" + (body_of(sent, chunked) if sends else b"")
    told["requests"] += 1
    if rand.random() < 0.05:  # it goes in the middle
        c.sock.sendall(text[:rand.randint(1, len(text))])
        if rand.random() < 0.5:
            c.reset()
        else:
            c.sock.close()
        told["aborted"] += 1
        return False
    c.sock.sendall(text)
    if rand.random() < 0.03:  # it does not wait for the answer
        c.reset()
        told["aborted"] += 1
        return False
    try:
        status, got, goes_on = c.answer(method)
    except socket.timeout:
        sys.exit(f"no answer: request {told['requests']}: {method} {path}, a body of {sent},"
                 f" chunked {chunked}, from port {c.sock.getsockname()[1]}, got {c.buf[:200]}")
    told["answered"] += 1
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
    except Gone:
        told["lost"] = told.get("lost", 0) + 1
        connection.sock.close()
        connection = None
if connection:
    connection.sock.close()
print(json.dumps(told))
