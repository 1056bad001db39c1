#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A backend that takes nothing but what RFC 9112 says must be sent, and remembers all of it.

witness.py ADDRESS:PORT LOG     one line of JSON a request that it has seen wholly

Its answer has the id of that line, in `x-witness` and in the body, with the number of requests
seen on that connection.  What no sender may send is a line with `bad` and is answered 400; a
request whose end never came is a line with `cut` and is not answered.  It shares no code with
what makes the requests.
"""
import asyncio
import hashlib
import json
import re
import sys

TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
START = re.compile(rb"(" + TOKEN + rb") ([\x21-\x7e]+) HTTP/1\.([01])")
FIELD = re.compile(rb"(" + TOKEN + rb"):[ \t]*((?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*"
                   rb"[\x21-\x7e\x80-\xff])?)?)[ \t]*")
SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})((?:;[\t\x20-\x7e\x80-\xff]*)?)")
LONGEST = 1 << 17
connections = 0
log = None


class Bad(Exception):
    pass


class Short(Exception):
    pass


def lines_of(block):
    """Lines that end with CRLF, and have neither CR nor LF nor NUL within."""
    lines = block.split(b"\r\n")
    for line in lines:
        if re.search(rb"[\r\n\0]", line):
            raise Bad("a control character in a line")
    return lines


def fields_of(lines):
    fields = []
    for line in lines:
        m = FIELD.fullmatch(line)
        if not m:
            raise Bad("no field")
        fields.append((m[1].lower().decode(), m[2].decode("latin-1")))
    return fields


class Request:
    def __init__(self, block):
        lines = lines_of(block)
        m = START.fullmatch(lines[0])
        if not m:
            raise Bad("no request line")
        self.method, self.target, self.minor = m[1].decode(), m[2].decode(), int(m[3])
        self.fields = fields_of(lines[1:])
        self.trailers, self.body = [], hashlib.sha256()
        self.length = 0  # of the body that was read
        lengths, codings = self.all("content-length"), self.all("transfer-encoding")
        hosts = self.all("host")
        if len(hosts) > 1 or (self.minor and not hosts):
            raise Bad("hosts")
        if len(lengths) + len(codings) > 1:
            raise Bad("framed twice")
        if codings and (codings[0].lower() != "chunked" or not self.minor):
            raise Bad("coding")
        if lengths and not (re.fullmatch("[0-9]{1,19}", lengths[0]) and int(lengths[0]) < 1 << 63):
            raise Bad("length")
        self.framing = "chunked" if codings else "length" if lengths else "none"
        self.left = int(lengths[0]) if lengths else 0
        self.in_trailers = False

    def all(self, name):
        return [v for n, v in self.fields if n == name]

    def take(self, data):
        self.body.update(data)
        self.length += len(data)

    def last(self):
        words = {w.strip().lower() for v in self.all("connection") for w in v.split(",")}
        return "close" in words or (not self.minor and "keep-alive" not in words)


class Witness(asyncio.Protocol):
    def connection_made(self, transport):
        global connections
        connections += 1
        self.transport, self.number = transport, connections
        self.buf, self.request, self.seen, self.deaf = bytearray(), None, 0, False

    def data_received(self, data):
        if self.deaf:
            return
        self.buf += data
        try:
            while not self.deaf:
                self.step()
        except Short:
            if len(self.buf) > LONGEST:
                self.bad("too long")
        except Bad as why:
            self.bad(str(why))

    def eof_received(self):
        if self.request or self.buf:
            self.tell({"cut": True, "target": self.request.target if self.request else None,
                       "bytes": self.sample()})
        return False

    def connection_lost(self, exc):
        if exc:
            self.eof_received()

    # --- reading ---

    def until(self, end):
        at = self.buf.find(end)
        if at < 0:
            if re.search(rb"(?:^|[^\r])\n|\r[^\n]|\0", self.buf):
                raise Bad("a bare CR or LF, or NUL")
            raise Short
        got = bytes(self.buf[:at])
        del self.buf[:at + len(end)]
        return got

    def step(self):
        if not self.request:
            if not self.buf:
                raise Short
            self.request = Request(self.until(b"\r\n\r\n"))
            if "100-continue" in self.request.all("expect"):
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        r = self.request
        if r.framing == "chunked":
            self.chunks(r)
        else:
            self.exactly(r)
        self.answer(r)

    def exactly(self, r):
        part = bytes(self.buf[:r.left])
        del self.buf[:len(part)]
        r.take(part)
        r.left -= len(part)
        if r.left:
            raise Short

    def chunks(self, r):
        while not r.in_trailers:
            if r.left == 0:
                m = SIZE.fullmatch(self.until(b"\r\n"))
                if not m:
                    raise Bad("no chunk size")
                r.left = int(m[1], 16)
                if not r.left:
                    r.in_trailers = True
                    break
                r.left += 2
            if r.left > 2:
                part = bytes(self.buf[:r.left - 2])
                del self.buf[:len(part)]
                r.take(part)
                r.left -= len(part)
            if r.left > 2 or len(self.buf) < 2:
                raise Short
            if self.buf[:2] != b"\r\n":
                raise Bad("a chunk does not end")
            del self.buf[:2]
            r.left = 0
        while True:
            line = self.until(b"\r\n")
            if not line:
                return
            r.trailers += fields_of(lines_of(line))

    # --- telling ---

    def tell(self, row):
        log.write(json.dumps({"conn": self.number, "nth": self.seen} | row) + "\n")
        log.flush()

    def sample(self):
        return bytes(self.buf[:200]).decode("latin-1")

    def id(self):
        self.seen += 1
        return f"{self.number}.{self.seen}"

    def bad(self, why):
        name = self.id()
        self.tell({"id": name, "bad": why, "bytes": self.sample(),
                   "target": self.request.target if self.request else None})
        self.deaf = True
        self.reply("400 Bad", name, "GET")
        self.transport.close()

    def answer(self, r):
        name = self.id()
        self.tell({"id": name, "method": r.method, "target": r.target, "minor": r.minor,
                   "framing": r.framing, "body": r.length, "sha256": r.body.hexdigest(),
                   "fields": r.fields, "trailers": r.trailers})
        self.request = None
        # 2xx would make a tunnel of it
        self.reply("405 Seen" if r.method == "CONNECT" else "200 Seen", name, r.method)
        if r.last():
            self.deaf = True
            self.transport.close()

    def reply(self, status, name, method):
        body = f"witness {name} {self.seen}\n"
        head = (f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\nx-witness: {name}\r\n"
                f"x-method: {method}\r\n")
        if status.startswith("400"):
            head += "connection: close\r\n"
        self.transport.write((head + "\r\n" + (body if method != "HEAD" else "")).encode())


async def main():
    global log
    address, port = sys.argv[1].rsplit(":", 1)
    log = open(sys.argv[2], "a", encoding="utf-8")
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Witness, address, int(port), backlog=1024)
    await server.serve_forever()


asyncio.run(main())
