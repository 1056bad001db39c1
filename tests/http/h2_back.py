#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""h2_back.py ADDRESS:PORT: a backend of HTTP/2 by prior knowledge, whose frames are odd.

  /h2/empty/STATUS   that status, then DATA of no byte that ends the stream
  /h2/all/N          N bytes, GOAWAY and the end of the connection, all at once
  anything else      what it saw, as JSON: fields, body, trailers
"""
import json
import socket
import sys
import threading

import hpack

from frames import (ACK, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, SETTINGS, frame,
                    goaway, split_address)


class Peer:
    def __init__(self, sock):
        self.sock, self.buf = sock, b""
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.streams = {}  # number: [fields, body, trailers]

    def exactly(self, n):
        while len(self.buf) < n:
            got = self.sock.recv(65536)
            if not got:
                raise EOFError
            self.buf += got
        got, self.buf = self.buf[:n], self.buf[n:]
        return got

    def head(self, stream, status, end=False):
        return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream,
                     self.encoder.encode([(":status", status)]))

    def respond(self, stream):
        fields, body, trailers = self.streams.pop(stream)
        kind, _, arg = dict(fields)[":path"].removeprefix("/h2/").partition("/")
        if kind == "empty":
            self.sock.sendall(self.head(stream, arg) + frame(DATA, END_STREAM, stream))
        elif kind == "all":
            out, left = self.head(stream, "200"), int(arg)
            while left:
                n = min(left, 16384)
                left -= n
                out += frame(DATA, 0 if left else END_STREAM, stream, b"x" * n)
            self.sock.sendall(out + goaway(stream))
            self.sock.shutdown(socket.SHUT_WR)
        else:
            seen = json.dumps({"fields": fields, "body": len(body), "trailers": trailers})
            self.sock.sendall(self.head(stream, "200") + frame(DATA, END_STREAM, stream, seen.encode()))

    def serve(self):
        self.sock.sendall(frame(SETTINGS))
        assert self.exactly(24) == PREFACE
        while True:
            h = self.exactly(9)
            payload = self.exactly(int.from_bytes(h[:3], "big"))
            kind, flags, stream = h[3], h[4], int.from_bytes(h[5:], "big")
            if kind in (SETTINGS, PING) and not flags & ACK:
                self.sock.sendall(frame(kind, ACK, 0, payload if kind == PING else b""))
            elif kind == HEADERS:
                fields = self.decoder.decode(payload)
                if stream in self.streams:
                    self.streams[stream][2] = fields
                else:
                    self.streams[stream] = [fields, b"", []]
            elif kind == DATA:
                self.streams[stream][1] += payload
            if kind in (HEADERS, DATA) and flags & END_STREAM:
                self.respond(stream)

    def run(self):
        try:
            self.serve()
        except (EOFError, OSError):
            pass
        self.sock.close()


listener = socket.create_server(split_address(sys.argv[1]), backlog=256)
while True:
    accepted, _ = listener.accept()
    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    threading.Thread(target=Peer(accepted).run, daemon=True).start()
