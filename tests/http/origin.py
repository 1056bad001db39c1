#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A backend for tests of HTTP: what it answers is in the path, what it saw in the answer.

origin.py ADDRESS:PORT LOG [--fickle] [--once]
                                        one line of JSON a request that it has seen wholly;
                                        fickle: one connection in ten ends behind an answer;
                                        once: a connection's second request is not answered

  /bytes/N /chunks/N /until-close/N    N bytes of a pattern, framed so
  /status/N                            that status, with a short body where it may have one
  /early/N                             103 first, N times (1); /continue: 100 where it was asked for
  /cors                                with a word of its own about origins
  /trailers                            a chunked body with a trailer
  /drop/N                              N bytes of 1000, then the connection is reset; /vanish: none
  /slow/MS                             the answer comes so late
  /refuse                              413 before the body was read
  /upgrade                             101, then what comes is sent back
  anything else                        what it saw, as JSON
"""
import hashlib
import json
import random
import socket
import struct
import sys
import threading
import time

from reading import Gone, Reader

LOG = open(sys.argv[2], "a", buffering=1, encoding="utf-8")
LOCK = threading.Lock()
FICKLE = "--fickle" in sys.argv
ONCE = "--once" in sys.argv


def pattern(n):
    return (b"0123456789abcdef" * (n // 16 + 1))[:n]


def read_head(r):
    start = r.line()
    fields = []
    while True:
        line = r.line()
        if not line:
            return start, fields
        name, value = line.split(":", 1)
        fields.append((name.lower(), value.strip()))


def value_of(fields, name):
    return next((v for n, v in fields if n == name), None)


def read_body(r, fields, digest):
    total, trailers = 0, []
    if value_of(fields, "transfer-encoding"):
        while True:
            size = int(r.line().split(";")[0], 16)
            if not size:
                break
            digest.update(r.exactly(size))
            total += size
            assert r.line() == ""
        while True:
            line = r.line()
            if not line:
                return total, trailers
            trailers.append(line)
    left = int(value_of(fields, "content-length") or 0)
    while left:
        if not r.buf:
            r.more()
        part = r.buf[:left]
        r.buf = r.buf[len(part):]
        digest.update(part)
        total += len(part)
        left -= len(part)
    return total, trailers


def answer(sock, status, body, fields=(), head_only=False):
    head = f"HTTP/1.1 {status} Whatever\r\ncontent-length: {len(body)}\r\n"
    head += "".join(f"{n}: {v}\r\n" for n, v in fields) + "\r\n"
    sock.sendall(head.encode("latin-1") + (b"" if head_only else body))


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
    raise Gone


def respond(sock, r, method, path, fields, seen):
    head_only = method == "HEAD"
    kind, _, arg = path.split("?")[0].lstrip("/").partition("/")
    if kind == "bytes":
        n = int(arg)
        sock.sendall(f"HTTP/1.1 200 OK\r\ncontent-length: {n}\r\n\r\n".encode())
        while n and not head_only:
            part = min(n, 1 << 20)
            sock.sendall(pattern(part))
            n -= part
    elif kind == "chunks":
        sock.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        if head_only:
            return
        left = int(arg)
        while left:
            part = min(left, 7000)
            sock.sendall(f"{part:x};x=y\r\n".encode() + pattern(part) + b"\r\n")
            left -= part
        sock.sendall(b"0\r\n\r\n")
    elif kind == "until-close":
        sock.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + (b"" if head_only else pattern(int(arg))))
        sock.close()
        raise Gone
    elif kind == "status":
        if arg in ("204", "304"):
            sock.sendall(f"HTTP/1.1 {arg} Whatever\r\n\r\n".encode())
        else:
            answer(sock, arg, b"status\n", head_only=head_only)
    elif kind == "early":
        sock.sendall(b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n" * int(arg or 1))
        answer(sock, 200, b"late\n", head_only=head_only)
    elif kind == "cors":
        answer(sock, 200, b"cors\n", [("access-control-allow-origin", "https://backend.example.org"),
                                      ("access-control-allow-credentials", "true")])
    elif kind == "trailers":
        sock.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n"
                     + (b"" if head_only else b"5\r\nhello\r\n0\r\nx-sum: 42\r\n\r\n"))
    elif kind == "drop":
        sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n" + pattern(int(arg)))
        time.sleep(0.05)
        reset(sock)
    elif kind == "vanish":
        reset(sock)
    elif kind == "slow":
        time.sleep(int(arg) / 1000)
        answer(sock, 200, b"slow\n")
    else:
        answer(sock, 200, json.dumps(seen).encode() + b"\n",
               [("content-type", "application/json"), ("connection", "x-hop"), ("x-hop", "1")],
               head_only=head_only)


def serve_one(sock, r, port):
    start, fields = read_head(r)
    method, path, _ = start.split(" ", 2)
    if path.startswith("/refuse"):
        answer(sock, 413, b"too much\n", [("connection", "close")])
        sock.close()
        raise Gone
    if path.startswith("/upgrade") and value_of(fields, "upgrade"):
        sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n"
                     b"upgrade: " + value_of(fields, "upgrade").encode() + b"\r\n\r\n")
        while True:
            sock.sendall(r.buf)
            r.buf = b""
            r.more()
    if path.startswith("/continue") and value_of(fields, "expect"):
        sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    digest = hashlib.sha256()
    n, trailers = read_body(r, fields, digest)
    seen = {"method": method, "path": path, "fields": fields, "body": n,
            "sha256": digest.hexdigest(), "trailers": trailers, "port": port}
    with LOCK:
        LOG.write(json.dumps(seen) + "\n")
    respond(sock, r, method, path, fields, seen)
    if ONCE:
        r.line()
        raise Gone
    if FICKLE and random.random() < 0.1:
        time.sleep(random.random() / 1000)  # it may be used again by then
        raise Gone
    if value_of(fields, "connection") == "close":
        sock.close()
        raise Gone


def serve(sock, port):
    r = Reader(sock)
    try:
        while True:
            serve_one(sock, r, port)
    except (Gone, OSError, ValueError, AssertionError):
        pass
    finally:
        try:
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        sock.close()


def main():
    address, port = sys.argv[1].rsplit(":", 1)
    listener = socket.create_server((address, int(port)), backlog=1024)
    while True:
        sock, peer = listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=serve, args=(sock, peer[1]), daemon=True).start()


main()
