#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Hostile HTTP/1 to several proxies, each before a witness.py of its own; then what the client
was answered is compared with what the witness saw, and both with a strict reading of the input.

smuggle.py [--table FILE] [--inputs N] [--seed N] [--only N] [--show] NAME=ADDRESS:PORT=LOG...

LOG is what that proxy's witness writes.  Of the proxy called tollgate, for every input:
  - each request that the witness saw was answered to the client who sent it, once, in order;
  - it is the next request of the input, as a strict reader reads it: method, target, framing,
    body, trailers, and no field that is neither the client's nor one that a gateway writes;
  - nothing was seen that no sender may send; behind a fault nothing was seen at all;
  - the connection ends when the client has ended its half;
  - a form of the table has the statuses that the table says.
Of the others the same is counted.  Exit 1, and FAILED lines, if tollgate failed.

In the table @@ is /i and 12 digits of the input, {next} a second request, {hidden} one that
belongs into a body (of 47 bytes), {x} x 9000 times; \\r \\n \\t \\xNN as in Python.
"""
import argparse
import asyncio
import collections
import hashlib
import json
import os
import random
import re
import socket
import sys
import time
import zlib

QUIET_S = 0.06   # nothing came for so long: the client ends its half
END_S = 6        # and the proxy its own, at most so late
AT_ONCE = 160
BUDGET_S = 240   # for 5,000; a proxy that stands still is no reason to wait for ever


def token(n):
    return b"/i%06d%06d" % (n % 1000000, zlib.crc32(b"%d" % n) % 1000000)


def request_of(n, name, more=b""):
    return b"GET %s/%s HTTP/1.1\r\nHost: a\r\n%s\r\n" % (token(n), name, more)


# --- the strict reading (RFC 9112), of which a proxy may refuse more, and take no more ---

TCHAR = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]"
START = re.compile(rb"(" + TCHAR + rb"{1,32}) ([\x21-\x7e]+) HTTP/1\.([01])")
FIELD = re.compile(rb"(" + TCHAR + rb"+):([\t\x20-\x7e\x80-\xff]*)")
AUTHORITY = re.compile(rb"(?:[A-Za-z0-9!$%&'*+.^_`|~-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{0,5})?")
CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;[\t\x20-\x7e\x80-\xff]*)?")
LATE = {b"host", b"content-length", b"transfer-encoding", b"authorization", b"cookie", b"set-cookie",
        b"expect", b"trailer", b"te", b"connection", b"upgrade", b"keep-alive", b"forwarded"}


class Fault(Exception):
    pass


class Message:
    pass


def read_lines(data, at):
    """Lines up to an empty one, and where that ends."""
    lines = []
    while True:
        end = data.find(b"\r\n", at)
        if end < 0:
            raise Fault("it does not end")
        line = data[at:end]
        if b"\r" in line or b"\n" in line or b"\0" in line:
            raise Fault("a bare CR or LF, or NUL")
        at = end + 2
        if not line:
            return lines, at
        lines.append(line)


def read_fields(lines):
    fields = []
    for line in lines:
        m = FIELD.fullmatch(line)
        if not m:
            raise Fault("no field")
        fields.append((m[1].lower(), m[2].strip(b" \t")))
    return fields


def read_target(m, target, hosts):
    if m.method == b"CONNECT":
        return target  # refused in any case
    if target.startswith(b"/"):
        return target if b"#" not in target else None
    if target == b"*":
        return target if m.method == b"OPTIONS" else None
    a = re.fullmatch(rb"https?://([^/?#]*)(/[^#]*)?", target, re.IGNORECASE)
    if not a or not AUTHORITY.fullmatch(a[1]) or (hosts and hosts[0].lower() != a[1].lower()):
        return None
    return a[2] or (b"*" if m.method == b"OPTIONS" else b"/")


def read_chunks(data, at):
    body = []
    while True:
        end = data.find(b"\r\n", at)
        m = CHUNK.fullmatch(data, at, end) if end >= 0 else None
        if not m:
            raise Fault("no chunk size")
        n, at = int(m[1], 16), end + 2
        if not n:
            break
        if data[at + n:at + n + 2] != b"\r\n":
            raise Fault("a chunk does not end")
        body.append(data[at:at + n])
        at += n + 2
    lines, at = read_lines(data, at)
    trailers = read_fields(lines)
    if any(n in LATE for n, _ in trailers):
        raise Fault("a trailer that comes too late")
    return b"".join(body), trailers, at


def read_one(data, at):
    m = Message()
    lines, at = read_lines(data, at)
    start = START.fullmatch(lines[0])
    if not start:
        raise Fault("no request line")
    m.method, m.minor = start[1], int(start[3])
    m.fields = read_fields(lines[1:])
    named = collections.defaultdict(list)
    for n, v in m.fields:
        named[n].append(v)
    hosts, lengths, codings = named[b"host"], named[b"content-length"], named[b"transfer-encoding"]
    if len(hosts) > 1 or (m.minor and not hosts) or (hosts and not AUTHORITY.fullmatch(hosts[0])):
        raise Fault("host")
    m.target = read_target(m, start[2], hosts)
    if m.target is None:
        raise Fault("target")
    if len(lengths) + len(codings) > 1:
        raise Fault("framed twice")
    if codings and (not m.minor or codings[0].lower() != b"chunked"):
        raise Fault("coding")
    if lengths and not re.fullmatch(rb"0*[0-9]{1,19}", lengths[0]):
        raise Fault("length")
    m.framing, m.body, m.trailers = "none", b"", []
    if codings:
        m.framing = "chunked"
        m.body, m.trailers, at = read_chunks(data, at)
    elif lengths:
        m.framing = "length"
        n = int(lengths[0])
        m.body, at = data[at:at + n], at + n
        if at > len(data):
            raise Fault("it does not end")
    words = {w.strip(b" \t").lower() for v in named[b"connection"] for w in v.split(b",")}
    m.last = b"close" in words or (not m.minor and b"keep-alive" not in words)
    return m, at


def read(data):
    """What is in it, and why no more: "" at the end."""
    at, found = 0, []
    while True:
        while data[at:at + 2] == b"\r\n":
            at += 2
        if at == len(data):
            return found, ""
        try:
            m, at = read_one(data, at)
        except Fault as why:
            return found, str(why)
        found.append(m)
        if m.last:
            return found, "last"


# --- a grammar of hostile requests ---

OWS = [b"", b" ", b"\t", b"  \t", b" \t "]
ODD = [b"\0", b"\x01", b"\x08", b"\x0b", b"\x0c", b"\r", b"\n", b"\x1b", b"\x7f", b"\x80", b"\x85", b"\xa0",
       b"\xff", b" ", b"\t", b":", b",", b";", b"\"", b"\\", b"(", b"\xc4\xb0", b"\xe2\x84\xaa"]
CODINGS = [b"chunked", b"Chunked", b"chunKED", b"xchunked", b"chunked, chunked", b"chunked,chunked", b"identity",
           b"identity, chunked", b"chunked, identity", b"gzip, chunked", b"gzip", b"chunked, gzip", b"", b",chunked",
           b"chunked,", b"\"chunked\"", b"'chunked'", b"chunked;q=1", b"chunked ;x", b"chunked\x0b", b"\x0bchunked",
           b"chunked\x0c", b"\x0cchunked", b"chunked\0", b"\0chunked", b"chun\0ked", b"chunked\x80", b"chunked\xa0",
           b"\xa0chunked", b"chunked\x7f", b"ch\xc3\xbcnked", b"chun\xe2\x84\xaaed", b"chunk", b"chunkedx", b"chunked x",
           b"x chunked", b"cow, chunked", b"chunked, cow", b"cow", b"chunked\rx", b"\rchunked", b"chunked\r", b"\nchunked",
           b"x\nTransfer-Encoding: chunked", b"\r\n chunked", b"\r\n\tchunked", b"chunked\r\n x", b"*", b"0", b"[chunked]"]
LENGTHS = [b"%d", b"+%d", b"-%d", b"0x%x", b"%d, %d", b"%d,%d", b"%d %d", b"", b" ", b"0%d", b"0000000%d", b"00000000000000000000%d",
           b"%d;x", b"%d.0", b"%de0", b"%d\x0b", b"\x0b%d", b"\x0c%d", b"%d\0", b"\0%d", b"%d\xa0", b"\"%d\"", b"%d_0", b"1_%d",
           b"%dx", b"five", b"99999999999999999999", b"18446744073709551616", b"18446744073709551615",
           b"9223372036854775808", b"9223372036854775807", b"4294967296", b"4294967301", b"%d,", b",%d", b"-0", b"0", b"1",
           b"\xd9\xa5", b"\r\n %d", b"%d\r\n ", b"%d\r", b"(%d)", b"%d-", b"0%d,%d", b"NaN", b"1e400", b"%d\t%d"]
NAMES = [b"%s ", b"%s\t", b" %s", b"\t%s", b"%s\0", b"\0%s", b"%s\x0b", b"%s\xa0", b"%s:", b":%s", b"%s;", b"\"%s\"", b"X\r%s",
         b"X: y\r%s", b"X: y\n%s", b"X: y\r\n\r%s", b"%s\r\n ", b"%s\n", b"%s\r", b"\r%s", b"\n%s", b"\x85%s", b"%s\xff",
         b"X-%s", b"%s_", b"(%s)", b"%s/", b"_%s", b"%s,"]
HOSTS = [b"a", b"A", b"a:80", b"a:", b"a:x", b"a:99999", b"a:080", b"", b" ", b"a b", b"a,b", b"a/b", b"a?b", b"a#b", b"u@a",
         b"a@b", b"[::1]", b"[::1", b"[::1]x", b"[x]", b"[]", b"a\0", b"a\x0b", b"a\xff", b"\xc3\xa4", b"a\tb", b"a\\b",
         b"http://a", b"a:80:80", b"a:-1", b"a:+80", b"a:80 ", b"a%00", b"a%20b", b"<a>", b"a;b", b"a'b", b"..", b"a\r\n b"]
TARGETS = [b"http://a%s", b"http://b%s", b"HTTP://A%s", b"https://a%s", b"ftp://a%s", b"http:/%s", b"http:%s", b"http://u@a%s",
           b"http://a:80%s", b"http://%s", b"http://a?%s", b"http://a#%s", b"http://a\\%s", b"//a%s", b"a%s", b"*", b"*%s", b"%s#x",
           b"%s?x=y z", b"%s\tx", b"%s\0", b"%s\xff", b"%s\x7f", b"%s%%00", b"%s%%0d%%0aX:%%20y", b"%s/../x", b"%s/%%2e%%2e/x",
           b"%s%%2fx", b"%s%%", b"%s%%zz", b"%s\\x", b"%s;x=y", b"%s\x0b", b"%s\r", b"%s HTTP/1.1", b"%s HTTP/1.1\r", b"", b"?%s",
           b"a:80", b"[::1]:80", b"%s\"<>^`{|}", b"%s\r\nX: y", b"%s\n", b"./%s", b"%s//x//y"]
VERSIONS = [b"HTTP/1.0", b"HTTP/1.1 ", b" HTTP/1.1", b"HTTP/1.1\t", b"HTTP/1.2", b"HTTP/1.9", b"HTTP/1.10", b"HTTP/1.01", b"HTTP/01.1",
            b"HTTP/2.0", b"HTTP/2", b"HTTP/3.0", b"HTTP/0.9", b"HTTP/0.0", b"HTTP/1", b"HTTP/1.", b"HTTP/.1", b"http/1.1", b"Http/1.1",
            b"HTTP/1,1", b"HTTP/-1.1", b"HTTP/+1.1", b"HTTP/1.1x", b"HTTP/1.1\0", b"HTTP/1.1\x0b", b"HTTPS/1.1", b"HTTP 1.1", b"HTTP/ 1.1",
            b"HTTP/1.1 x", b"HTTP/1.1;x", b"", b"\x0bHTTP/1.1", b"HTTP/9.9", b"ICY/1.1", b"HTTP/1.1\r", b"HTTP/\xd9\xa1.1"]
METHODS = [b"get", b"Get", b"FOO", b"GE T", b"G(ET", b"GET\0", b"GET\t", b" GET", b"\tGET", b"\0GET", b"GET:", b"", b"GET,", b"G\xc3\x89T", b"M-SEARCH",
           b"X" * 32, b"X" * 33, b"CONNECT", b"TRACE", b"OPTIONS", b"PRI", b"GET\x0b", b"GET\r", b"\rGET", b"\nGET", b"\r\nGET",
           b"\r\n\r\nGET", b"\r\n GET", b"GET /x HTTP/1.1\r\nHost: a\r\nX: "]
ENDS = [b"\n", b"\r", b"\r\r\n", b"\n\r", b"\n\n", b"\r\n\n", b"\r\n\r", b"\x85", b"\x0b\r\n", b"\0\r\n", b" \r\n", b"\t\r\n", b"\r\n ",
        b"\r\n\t", b"\r \n", b"\n\r\n", b"\x0c", b"\xe2\x80\xa8", b"\\r\\n", b""]
CONNECTIONS = [b"close", b"keep-alive", b"Content-Length", b"Transfer-Encoding", b"Host", b"close, Content-Length", b"X-Token, close",
               b"transfer-encoding, content-length, host", b"Expect", b"TE", b"Upgrade", b"Trailer", b"Connection", b"", b",,,",
               b"keep-alive, close", b"\0", b"close\x0b", b"close\xa0", b"X-Forwarded-For", b"Cookie", b" \t", b"\"close\""]
EXPECTS = [b"100-continue", b"100-Continue", b"100-continue, 100-continue", b"100-continue;x", b"200-ok", b"", b"100", b"y 100-continue",
           b"100-continue\x0b", b"100-continue, x"]
UPGRADES = [b"h2c", b"websocket", b"TLS/1.0", b"HTTP/2.0", b"h2c, websocket", b"h2", b"", b"h2c\x0b", b"tollgate/1"]
SIZES = [b"0x%x", b"+%x", b"-%x", b" %x", b"%x ", b"\t%x", b"%x\t", b"", b"g", b"%x;", b"%x;x", b"%x;x=y", b"%x;x=\"y\"", b"%x;x=\"\\\"\"",
         b"%x;x=\"\ny\"", b"%x;x=\"\ry\"", b"%x;x=\r", b"%x;\0", b"%x;\n", b"%x;\x0b", b"%x ;x", b"%x\t;x", b"%x\0", b"%x\x0b", b"%x\xa0", b"0%x", b"00000%x",
         b"00000000000000%x", b"0000000000000000000%x", b"ffffffffffffffff%x", b"1000000000000000%x", b"100000000%x", b"7fffffffffffffff",
         b"ffffffff", b"8000000000000000", b"%x\r", b"%x\n", b"%x\r\r", b"\r\n%x", b"%x,%x", b"%x.0", b"%xh", b"\"%x\"", b"%x_", b"-0", b"0",
         b"%x;" + b"e" * 255, b"%x;" + b"e" * 300, b"\xd9\xa5", b"%x\r\n\r\n", b"X", b"%x:", b"%x=", b"%x\x7f"]
LASTS = [b"0", b"00", b"0000000", b"0;x", b"0 ", b" 0", b"-0", b"+0", b"0x0", b"0\0", b"0\t", b"", b"0;x=\n", b"0\r", b"0;", b"00000000000000000000", b"0\x0b"]
TRAILERS = [b"X-Sum: 1\r\n", b"Host: b\r\n", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"X: y\n", b"X : y\r\n",
            b" X: y\r\n", b"X: y\r\n z\r\n", b"X\r\n", b"X: y\rZ: w\r\n", b"X: \0\r\n", b"Connection: X\r\nX: y\r\n", b"Trailer: X\r\n",
            b"X: 1\r\nX: 2\r\n", b"GET /x HTTP/1.1\r\n", b"Authorization: x\r\n", b"\r", b"\n", b": y\r\n", b"X:\r\n", b"x-forwarded-for: 1\r\n",
            b"Upgrade: h2c\r\n", b"Expect: 100-continue\r\n", b"Te: trailers\r\n"]


def fill(form, value):
    """The form with the value wherever it asks for one."""
    n = len(re.findall(rb"%(?=[dxs])", form.replace(b"%%", b"")))
    return form % ((value,) * n) if n else form.replace(b"%%", b"%")


class Draft:
    """A request that is right, which each deed makes wrong, or odd, in one place."""

    def __init__(self, r, n, name):
        self.r, self.n = r, n
        self.method = r.choice([b"GET", b"GET", b"POST", b"POST", b"PUT", b"HEAD", b"DELETE", b"PATCH", b"OPTIONS"])
        self.target = token(n) + b"/" + name
        self.start_blanks, self.version, self.start_end = [b" ", b" "], b"HTTP/1.1", b"\r\n"
        self.fields = [[b"Host", b":", b" ", b"a", b"\r\n"], [b"X-Token", b":", b" ", token(n), b"\r\n"]]
        self.kind = r.choice(["none", "length", "length", "chunked", "chunked"])
        if self.kind != "none" and self.method in (b"GET", b"HEAD", b"OPTIONS", b"DELETE") and r.random() < 0.7:
            self.method = b"POST"
        self.data = self.content()
        self.chunks, self.last, self.trailers = [], b"0", b""
        self.tail = b"\r\n"
        self.end = b"\r\n"
        if self.kind == "length":
            self.add(b"Content-Length", b"%d" % len(self.data))
        elif self.kind == "chunked":
            self.add(b"Transfer-Encoding", b"chunked")
            self.cut()
        else:
            self.data = b""
        for _ in range(r.choice([0, 0, 1, 3])):
            self.add(r.choice([b"Accept", b"X-A", b"Cookie", b"User-Agent", b"X-B"]), r.choice([b"x", b"", b"a=b; c=d", b"y, z"]))
        r.shuffle(self.fields)

    def add(self, name, value, where=None):
        field = [name, b":", b" ", value, b"\r\n"]
        self.fields.insert(self.r.randint(0, len(self.fields)) if where is None else where, field)

    def hidden(self):
        return request_of(self.n, b"hidden")

    def content(self):
        r = self.r
        return r.choice([b"hello", b"x", b"x" * 300, self.hidden(), b"0\r\n\r\n" + self.hidden(),
                         b"0\r\n\r\n", b"\r\n" + self.hidden(), b"\n\n" + self.hidden(), b"5\r\nhello\r\n0\r\n\r\n" + self.hidden(),
                         b"X: y\r\n\r\n" + self.hidden(), bytes(r.randrange(256) for _ in range(40)),
                         b"\0" * 20, b"GET " + token(self.n) + b"/hidden HTTP/1.1\r\nX: ", b"z" * 20000])

    def cut(self):
        left = self.data
        while left:
            n = self.r.choice([len(left), self.r.randint(1, len(left)), min(5, len(left))])
            size = self.r.choice([b"%x", b"%x", b"%X", b"0%x", b"%x;x=y"]) % n
            self.chunks.append([size, b"\r\n", left[:n], b"\r\n"])
            left = left[n:]
            if len(self.chunks) == 6 and left:
                self.chunks.append([b"%x" % len(left), b"\r\n", left, b"\r\n"])
                break

    def field(self, name):
        return next((f for f in self.fields if f[0].lower() == name), None)

    def bytes(self):
        head = self.start_blanks[0].join([self.method, self.target]) + self.start_blanks[1] + self.version + self.start_end
        head += b"".join(b"".join(f) for f in self.fields) + self.end
        if self.kind != "chunked":
            return head + self.data
        return head + b"".join(b"".join(c) for c in self.chunks) + self.last + b"\r\n" + self.trailers + self.tail


def deed_cl_te(d):
    if d.kind == "chunked":
        d.add(b"Content-Length", d.r.choice([b"0", b"4", b"5", b"%d" % len(d.data), b"999"]))
    elif d.kind == "length":
        d.add(b"Transfer-Encoding", d.r.choice(CODINGS))
    else:
        d.add(b"Content-Length", b"5")
        d.add(b"Transfer-Encoding", b"chunked")
        d.data = b"0\r\n\r\n"


def framing(d):
    f = d.field(b"content-length") or d.field(b"transfer-encoding")
    if not f:
        if d.kind == "none":
            d.kind, d.data = "length", d.content()
        d.add(b"Content-Length", b"%d" % len(d.data))
        f = d.field(b"content-length")
    return f


def deed_coding(d):
    framing(d)
    f = d.field(b"transfer-encoding") or d.field(b"content-length")
    f[0:4] = [b"Transfer-Encoding", b":", d.r.choice(OWS), d.r.choice(CODINGS)]


def deed_length(d):
    f = framing(d)
    f[0] = b"Content-Length"
    f[3] = fill(d.r.choice(LENGTHS), len(d.data))


def deed_frame_name(d):
    f = framing(d)
    f[0] = fill(d.r.choice(NAMES), f[0])


def deed_frame_twice(d):
    f = framing(d)
    d.add(f[0], d.r.choice([f[3], f[3], fill(d.r.choice(LENGTHS), len(d.data)), d.r.choice(CODINGS)]))


def deed_frame_none(d):
    f = framing(d)
    d.fields.remove(f)


def deed_host(d):
    f = d.field(b"host")
    if f:
        f[3] = d.r.choice(HOSTS)


def deed_hosts(d):
    if d.r.random() < 0.3:
        d.fields = [f for f in d.fields if f[0] != b"Host"]
    else:
        d.add(fill(d.r.choice([b"%s"] * 4 + NAMES), b"Host"), d.r.choice([b"a", b"b", b""]))


def deed_target(d):
    d.target = fill(d.r.choice(TARGETS), d.target)


def deed_version(d):
    d.version = d.r.choice(VERSIONS)
    if d.version == b"HTTP/1.0" and d.r.random() < 0.5:
        d.add(b"Connection", b"keep-alive")


def deed_method(d):
    d.method = d.r.choice(METHODS)
    if d.method == b"CONNECT":
        d.target = d.r.choice([d.target, b"a:80", b"a", b"a:"])


def deed_blank(d):
    d.start_blanks[d.r.randrange(2)] = d.r.choice([b"  ", b"\t", b"\x0b", b"\0", b"", b" \t", b"\r", b"\n", b"\xa0", b"\x0c", b"\r\n "])


def deed_line_end(d):
    ways = d.r.randrange(3)
    if ways == 0:
        d.start_end = d.r.choice(ENDS)
    elif ways == 1 and d.fields:
        d.r.choice(d.fields)[4] = d.r.choice(ENDS)
    else:
        d.end = d.r.choice(ENDS)


def deed_all_lf(d):
    for f in d.fields:
        f[4] = b"\n"
    d.start_end = d.end = b"\n"


def deed_fold(d):
    f = d.r.choice(d.fields)
    f[2] = d.r.choice([b"\r\n ", b"\r\n\t", b" \r\n ", b"\n ", b"\r\n\r\n ", b"\r "])


def deed_colon(d):
    f = d.r.choice(d.fields)
    f[1] = d.r.choice([b" :", b"\t:", b"", b"::", b";", b"=", b": :", b"\0:", b"\r\n:", b"\x0b:", b" ", b"\xa0:"])


def deed_odd_byte(d):
    f = d.r.choice(d.fields)
    k = d.r.choice([0, 0, 3, 3, 2])
    at = d.r.randint(0, len(f[k]))
    f[k] = f[k][:at] + d.r.choice(ODD) + f[k][at:]


def deed_connection(d):
    d.add(d.r.choice([b"Connection", b"connection", b"Proxy-Connection", b"Keep-Alive"]), d.r.choice(CONNECTIONS))


def deed_expect(d):
    d.add(b"Expect", d.r.choice(EXPECTS))


def deed_upgrade(d):
    d.add(b"Upgrade", d.r.choice(UPGRADES))
    d.add(b"Connection", d.r.choice([b"Upgrade", b"Upgrade, HTTP2-Settings", b"keep-alive", b"upgrade, close"]))
    if d.r.random() < 0.5:
        d.add(b"HTTP2-Settings", b"AAMAAABkAAQAoAAAAAIAAAAA")


def deed_te(d):
    d.add(b"TE", d.r.choice([b"trailers", b"trailers, deflate", b"chunked", b"", b"trailers\x0b"]))


def chunked(d):
    f = d.field(b"content-length")
    if f:
        d.fields.remove(f)
    if d.kind != "chunked":
        d.kind = "chunked"
        d.data = d.data or d.content()
        d.add(b"Transfer-Encoding", b"chunked")
        d.cut()


def deed_chunk_size(d):
    chunked(d)
    c = d.r.choice(d.chunks)
    c[0] = fill(d.r.choice(SIZES), len(c[2]))


def deed_chunk_end(d):
    chunked(d)
    d.r.choice(d.chunks)[d.r.choice([1, 3])] = d.r.choice(ENDS + [b"xx\r\n", b"x", b"\r\n\r\n"])


def deed_chunk_wrong(d):
    chunked(d)
    c = d.r.choice(d.chunks)
    c[0] = b"%x" % max(0, len(c[2]) + d.r.choice([-2, -1, 1, 2, 7]))


def deed_last_chunk(d):
    chunked(d)
    d.last = d.r.choice(LASTS)


def deed_trailer(d):
    chunked(d)
    d.trailers = b"".join(d.r.choice(TRAILERS) for _ in range(d.r.choice([1, 1, 2])))


def deed_tail(d):
    chunked(d)
    d.tail = d.r.choice(ENDS)


def deed_other_field(d):
    d.add(d.r.choice([b"X_Forwarded_For", b"X-Forwarded-For", b"Content_Length", b"Transfer_Encoding", b"X-HTTP-Method-Override",
                      b"X-Original-URL", b"Forwarded", b"Via", b"Max-Forwards", b"Range", b"Content-Encoding", b"Trailer",
                      b"X-Request-Id", b"Client-Cert", b"HTTP2-Settings", b"Content-Lenght", b"Transfer-Encodin"]),
          d.r.choice([b"0", b"1", b"chunked", b"5", b"GET", b"/hidden"]))


def deed_nothing(d):
    pass


DEEDS = {f.__name__[5:]: f for f in list(globals().values()) if getattr(f, "__name__", "").startswith("deed_")}
# to all of an input, as bytes
ROUGH = ["truncate", "drop", "double", "change", "insert", "crlf-to-lf"]


def rough(r, kind, data):
    if len(data) < 4:
        return data
    at = r.randrange(min(len(data), 400))
    if kind == "truncate":
        return data[:at]
    if kind == "drop":
        return data[:at] + data[at + 1:]
    if kind == "double":
        return data[:at] + data[at:at + 1] + data[at:]
    if kind == "change":
        return data[:at] + bytes([r.randrange(256)]) + data[at + 1:]
    if kind == "insert":
        return data[:at] + r.choice(ODD) + data[at:]
    where = [m.start() for m in re.finditer(b"\r\n", data[:2000])]
    at = r.choice(where) if where else 0
    return data[:at] + data[at + 1:]


class Input:
    """Bytes, in the pieces they are sent in, and what was done to them."""

    def __init__(self, n, data, deeds, name="", statuses=None, pieces=None):
        self.n, self.data, self.deeds, self.name, self.statuses = n, data, deeds, name, statuses
        self.pieces = pieces or [data]
        self.wants, self.why = read(data)

    def __str__(self):
        return self.name or f"{self.n} ({'+'.join(self.deeds)})"


def draw(seed, n):
    r = random.Random(seed * 1000003 + n)
    deeds = [r.choice(list(DEEDS)) for _ in range(r.choice([1, 1, 1, 2, 2, 3]))]
    first = Draft(r, n, b"first")
    for deed in deeds:
        DEEDS[deed](first)
    data = first.bytes()
    if r.random() < 0.15:
        deeds.append(r.choice(ROUGH))
        data = rough(r, deeds[-1], data)
    if r.random() < 0.2:  # a right one before it: the connection to the backend is used, then
        data = request_of(n, b"before") + data
    data += request_of(n, b"smuggled", r.choice([b"", b"", b"X-Token: " + token(n) + b"\r\n"]))
    if r.random() < 0.1:
        data += Draft(r, n, b"third").bytes()
    pieces = None
    if r.random() < 0.3:
        cuts = sorted(r.randint(1, len(data) - 1) for _ in range(r.randint(1, 3)))
        pieces = [data[a:b] for a, b in zip([0] + cuts, cuts + [len(data)]) if a < b]
    return Input(n, data, sorted(set(deeds) - {"nothing"}) or ["nothing"], pieces=pieces)


def forms(path):
    """NAME, input, statuses"""
    found = []
    with open(path, encoding="ascii") as f:
        for line in f:
            if line.startswith("#") or not line.strip():
                continue
            name, text, statuses = line.rstrip("\n").split("\t")
            n = 900000 + len(found)
            data = text.encode("latin-1").decode("unicode_escape").encode("latin-1")
            for what, by in ((b"{next}", request_of(n, b"smuggled")), (b"{hidden}", request_of(n, b"hidden")),
                             (b"{x}", b"x" * 9000), (b"@@", token(n))):
                data = data.replace(what, by)
            found.append(Input(n, data, [], name, [] if statuses == "-" else [int(s) for s in statuses.split()]))
    return found


# --- to a proxy, and back ---

class Attempt(asyncio.Protocol):
    """One input on a connection of its own."""

    def __init__(self, loop, pieces):
        self.loop, self.pieces = loop, list(pieces)
        self.done = loop.create_future()
        self.got, self.hung, self.ended = bytearray(), False, False

    def connection_made(self, transport):
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.send()

    def send(self):
        if self.transport.is_closing():
            return
        self.transport.write(self.pieces.pop(0))
        self.latest = self.loop.time()
        self.timer = self.loop.call_later(0.004 if self.pieces else QUIET_S, self.send if self.pieces else self.look)

    def look(self):
        left = self.latest + QUIET_S - self.loop.time()
        if left > 0.002:
            self.timer = self.loop.call_later(left, self.look)
            return
        try:
            self.transport.write_eof()
        except OSError:
            pass
        self.timer = self.loop.call_later(END_S, self.give_up)

    def give_up(self):
        self.hung = True
        self.transport.abort()

    def data_received(self, data):
        self.got += data
        self.latest = self.loop.time()

    def eof_received(self):
        self.ended = True
        return False

    def connection_lost(self, exc):
        self.timer.cancel()
        if not self.done.done():
            self.done.set_result(None)


class Answer:
    def __init__(self, status, witness):
        self.status, self.witness = status, witness


HEAD = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: [^\r\n]*)?\r\n((?:[^\r\n]+\r\n)*)\r\n")


def answers_of(data):
    """Final answers, and what is left that is none."""
    found, at = [], 0
    while at < len(data):
        m = HEAD.match(data, at)
        if not m:
            break
        status, at = int(m[1]), m.end()
        if status < 200:
            continue
        fields = dict(line.lower().split(b":", 1) for line in m[2].split(b"\r\n") if b":" in line)
        witness = fields.get(b"x-witness", b"").strip().decode() or None
        n = int(fields.get(b"content-length", b"-1"))
        if fields.get(b"x-method", b"").strip() == b"head" or data.startswith(b"HTTP/1.", at) or status in (204, 304):
            n = 0
        if n < 0:  # until the end, or chunks of a page of its own
            n = len(data) - at
        body = data[at:at + n]
        at += len(body)
        if witness and body and body.split()[1:2] != [witness.encode()]:
            return found, data[m.start():]  # the body of another answer
        found.append(Answer(status, witness))
    rest = data[at:]
    for witness in re.findall(rb"witness ([0-9.]+) ", rest):  # 0.9, which has no head
        found.append(Answer(9, witness.decode()))
        rest = b""
    if rest.startswith(b"<html>"):  # a page of nginx, of 0.9
        found.append(Answer(9, None))
        rest = b""
    if re.match(rb"\0..\x04", rest, re.DOTALL):  # SETTINGS of HTTP/2
        found.append(Answer(2, None))
        rest = b""
    return found, rest


class Result:
    def __init__(self):
        self.answers, self.rest, self.hung = [], b"", False
        self.wrong = []    # what is wrong between client and witness
        self.bad = False   # what the witness refused
        self.hidden = False
        self.seen = []


class Proxy:
    def __init__(self, text):
        self.name, address, self.log = text.split("=", 2)
        self.host, port = address.rsplit(":", 1)
        self.port = int(port)
        self.results = {}
        self.strays = []   # seen, and of nobody's input

    async def ask(self, loop, i):
        result = self.results[i.n] = Result()
        for again in range(3):
            try:
                _, p = await loop.create_connection(lambda: Attempt(loop, i.pieces), self.host, self.port)
                break
            except OSError as e:
                if again == 2:
                    sys.exit(f"{self.name}: {e}")
        await p.done
        result.hung = p.hung
        result.answers, result.rest = answers_of(bytes(p.got))

    def compare(self, inputs):
        """What the witness saw against what was answered."""
        rows, cuts = {}, 0
        with open(self.log, encoding="utf-8") as f:
            for line in f:
                row = json.loads(line)
                if "cut" in row:
                    cuts += 1
                else:
                    rows[row["id"]] = row
        taken = {}
        for i in inputs:
            r = self.results[i.n]
            for a in r.answers:
                if a.witness is None:
                    continue
                row = rows.get(a.witness)
                if row is None:
                    r.wrong.append("an answer to a request that nobody saw")
                elif a.witness in taken:
                    r.wrong.append(f"an answer that another had: {taken[a.witness]}")
                else:
                    taken[a.witness] = str(i)
                    r.seen.append(row)
                    r.bad |= "bad" in row
                    whose = re.search(r"/i(\d{6})", row["target"] or "")
                    if whose and int(whose[1]) != i.n and whose[0].encode() not in i.data:
                        r.wrong.append(f"the answer to {row['target']}")
            if r.rest:
                r.wrong.append(f"what is no answer: {r.rest[:80]!r}")
        by_number = {i.n: i for i in inputs}
        for name in rows.keys() - taken.keys():
            m = re.search(r"/i(\d{6})(\d{6})", json.dumps(rows[name]))
            i = by_number.get(int(m[1])) if m else None
            if i and token(i.n).decode() == m[0]:
                r = self.results[i.n]
                r.wrong.append("seen, and not answered: " + json.dumps(rows[name])[:160])
                r.bad |= "bad" in rows[name]
                r.seen.append(rows[name])
            else:
                self.strays.append(rows[name])
        for i in inputs:
            r, read_so = self.results[i.n], {m.target.decode("latin-1") for m in i.wants}
            r.hidden = any("/hidden" in (row["target"] or "") and row["target"] not in read_so for row in r.seen)
        return cuts

    def outcome(self, i):
        r = self.results[i.n]
        if r.wrong:
            return "DESYNC"
        if r.bad:
            return "invalid"
        return "passed" if r.seen else "refused"

    def told(self, i):
        """Statuses; * are a gateway's own."""
        r = self.results[i.n]
        text = " ".join(f"{a.status}{'' if a.witness else '*'}" for a in r.answers) or "-"
        return text + (" hidden" if r.hidden else "") + (" DESYNC" if r.wrong else " invalid" if r.bad else "")


# --- what must be true of ours ---

WRITES = {"x-forwarded-for", "x-forwarded-proto", "x-forwarded-port", "x-forwarded-host", "x-real-ip", "x-request-id", "via",
          "host", "content-length", "transfer-encoding", "connection", "upgrade"}


def differs(row, m):
    """How a request that the witness saw is not the one of the input."""
    fields = [(n.decode(), v.decode("latin-1")) for n, v in m.fields]
    trailers = [[n.decode(), v.decode("latin-1")] for n, v in m.trailers]
    for what, got, want in (("method", row["method"], m.method.decode()), ("target", row["target"], m.target.decode("latin-1")),
                            ("framing", row["framing"], m.framing), ("body", row["sha256"], hashlib.sha256(m.body).hexdigest()),
                            ("trailers", row["trailers"], trailers)):
        if got != want:
            return f"{what} {got!r}, of the input {want!r}"
    for name, value in row["fields"]:
        if (name, value) in fields:
            fields.remove((name, value))
        elif name not in WRITES:
            return f"a field {name!r}: {value!r}"
    return None


def failures(proxy, i):
    r = proxy.results[i.n]
    found = list(r.wrong)
    if r.hung:
        found.append("it does not end")
    if r.bad:
        found += [f"the backend was sent {row['bad']}: {row['bytes']!r}" for row in r.seen if "bad" in row]
    for k, a in enumerate(r.answers):
        row = next((row for row in r.seen if row["id"] == a.witness), None)
        if a.witness is None or row is None or "bad" in row:
            continue
        if k >= len(i.wants):
            found.append(f"answer {k + 1} is of {row['method']} {row['target']}, where the reading ends: {i.why or 'the end'}")
            continue
        how = differs(row, i.wants[k])
        if how:
            found.append(f"request {k + 1}: {how}")
    if len(r.answers) > len(i.wants) + (i.why not in ("", "last")):
        found.append(f"{len(r.answers)} answers to {len(i.wants)} requests")
    if i.statuses is not None and [a.status for a in r.answers] != i.statuses:
        found.append(f"answered {[a.status for a in r.answers]}, not {i.statuses}")
    if i.deeds == ["nothing"] and (len(r.answers) != len(i.wants) or any(a.witness is None for a in r.answers)):
        found.append(f"answered {[a.status for a in r.answers]}: nothing is wrong with it")
    return found


def show(i, p):
    r = p.results[i.n]
    print(f"{i}: {i.data!r}\n  pieces {[len(x) for x in i.pieces]}\n  read: "
          f"{[(m.method, m.target, m.framing, len(m.body)) for m in i.wants]} {i.why!r}")
    print(f"  {p.name}: {p.told(i)} {r.wrong}\n  {json.dumps(r.seen)}")


def report(proxies, inputs, cuts):
    known = [i for i in inputs if i.name]
    drawn = [i for i in inputs if not i.name]
    rows = [(i.name, [p.told(i) for p in proxies]) for i in known]
    print(f"known forms: {len(known)}; where they differ (* is the proxy's own answer, - none):")
    print(f"  {'':28}" + "".join(f"{p.name:22}" for p in proxies).rstrip())
    for name, told in rows:
        if len(set(told)) > 1:
            print(f"  {name:28}" + "".join(f"{t:22}" for t in told).rstrip())
    if drawn:
        print(f"drawn: {len(drawn)}; of each deed how many were refused, - served from what was hidden in a body")
        print(f"  {'':28}{'inputs':10}" + "".join(f"{p.name:22}" for p in proxies).rstrip())
        for deed in sorted({d for i in drawn for d in i.deeds}):
            having = [i for i in drawn if deed in i.deeds]
            cells = []
            for p in proxies:
                hidden = sum(p.results[i.n].hidden for i in having)
                cells.append(f"{sum(p.outcome(i) == 'refused' for i in having)}" + (f" - {hidden}" if hidden else ""))
            if len(set(cells)) > 1:
                print(f"  {deed:28}{len(having):<10}" + "".join(f"{c:22}" for c in cells).rstrip())
    for p in proxies:
        why = [(i, p.results[i.n].wrong[0]) for i in inputs if p.results[i.n].wrong]
        for i, wrong in why[:3]:
            print(f"{p.name}, desynchronised by {i}: {wrong[:100]}")
    alike = collections.Counter(tuple(p.outcome(i) for p in proxies) for i in inputs)
    print(f"together ({', '.join(p.name for p in proxies)}):")
    for outcome, n in alike.most_common():
        print(f"  {n:6} {', '.join(outcome)}")
    print(f"of {len(inputs)} inputs, {sum(len(i.wants) for i in inputs)} requests by a strict reading, "
          f"{sum(i.why in ('', 'last') for i in inputs)} without a fault:")
    print(f"  {'':10}{'refused':>9}{'passed':>9}{'invalid':>9}{'desync':>9}{'hidden':>9}{'requests':>10}{'cut':>7}{'own':>7}")
    for p, cut in zip(proxies, cuts):
        n = collections.Counter(p.outcome(i) for i in inputs)
        results = p.results.values()
        print(f"  {p.name:10}{n['refused']:9}{n['passed']:9}{n['invalid']:9}{n['DESYNC']:9}{sum(r.hidden for r in results):9}"
              f"{sum(len(r.seen) for r in results):10}{cut:7}{sum(a.witness is None for r in results for a in r.answers):7}")
    print("  refused: no request of it was seen whole; passed: some, each answered; invalid: the backend was sent what no\n"
          "  sender may send; desync: seen and not answered, or an answer to another; hidden: a request that a strict\n"
          "  reading has in a body, or behind a fault;\n"
          "  requests: seen whole; cut: begun and given up; own: answers of the proxy itself")


async def run(proxies, inputs):
    loop = asyncio.get_running_loop()
    jobs = iter([(p, i) for i in inputs for p in proxies])
    deadline = time.monotonic() + BUDGET_S * max(1, len(inputs) / 5000)

    async def lane():
        for p, i in jobs:
            if time.monotonic() > deadline:
                sys.exit("it takes too long")
            await p.ask(loop, i)

    await asyncio.gather(*(lane() for _ in range(AT_ONCE)))


def settle(proxies):
    """Until no witness has written anything for half a second; at most ten."""
    deadline, before, since = time.monotonic() + 10, None, time.monotonic()
    while time.monotonic() < min(deadline, since + 0.5):
        sizes = [os.path.getsize(p.log) for p in proxies]
        if sizes != before:
            before, since = sizes, time.monotonic()
        time.sleep(0.02)


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--table")
    a.add_argument("--inputs", type=int, default=0)
    a.add_argument("--seed", type=int)
    a.add_argument("--only", type=int, action="append")
    a.add_argument("--show", action="store_true")
    a.add_argument("proxy", nargs="+", type=Proxy)
    o = a.parse_args()
    seed = int.from_bytes(os.urandom(4), "big") if o.seed is None else o.seed
    began = time.monotonic()
    inputs = (forms(o.table) if o.table else []) + [draw(seed, n) for n in range(o.inputs)]
    if o.only:
        inputs = [i for i in inputs if i.n in o.only]
    order = list(inputs)
    random.Random(seed).shuffle(order)
    print(f"seed {seed}; SMUGGLE_SEED={seed} draws the same")
    asyncio.run(run(o.proxy, order))
    settle(o.proxy)
    cuts = [p.compare(inputs) for p in o.proxy]
    report(o.proxy, inputs, cuts)
    if o.show:
        for i in inputs:
            for p in o.proxy:
                show(i, p)
    bad = 0
    for p in o.proxy:
        if p.name != "tollgate":
            continue
        for row in p.strays:
            bad += 1
            print(f"FAILED: seen, and of nobody: {json.dumps(row)[:300]}")
        for i in inputs:
            found = failures(p, i)
            bad += bool(found)
            if found and bad <= 30:
                print(f"FAILED {i}: {'; '.join(found)}")
                show(i, p)
        if inputs and not sum(len(r.seen) for r in p.results.values()) > len(inputs) // 10:
            bad += 1
            print("FAILED: hardly anything passed: nothing was tried")
    print(f"{bad} failed; {time.monotonic() - began:.0f} s")
    sys.exit(bad > 0)


main()
