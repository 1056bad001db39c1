#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""conform_h2.py ADDRESS:PORT [CA NAME]: a server of HTTP/2 by RFC 9113 and RFC 7541.

Each case is a section, what is sent, and what must come.  Where the RFC leaves a choice all that
it allows is taken, and said so: a stream error may be made one of the connection (5.4.1), and a
malformed request may be answered 400 (8.1.1).  A line of TAP a case; 1 if one failed.

The server passes requests on to origin.py; /dead/ goes to a backend that is not there, /own/ is
answered by itself.
"""
import json
import struct
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import hpack

from frames import (ACK, CANCEL, COMPRESSION, CONTINUATION, DATA, END_HEADERS, END_STREAM,
                     FLOW_CONTROL, FRAME_SIZE, GOAWAY, HEADERS, NO_ERROR, PADDED, PING, PREFACE,
                     PRIORITY, PROTOCOL, PUSH_PROMISE, REFUSED, RST_STREAM, SETTINGS, STREAM_CLOSED,
                     WINDOW_UPDATE, Connection, frame, goaway, priority, rst_stream, settings,
                     window_update)

ADDRESS = sys.argv[1]
TLS = tuple(sys.argv[2:4]) if len(sys.argv) > 3 else None
CASES = []
CODES = ("NO_ERROR PROTOCOL_ERROR INTERNAL_ERROR FLOW_CONTROL_ERROR SETTINGS_TIMEOUT STREAM_CLOSED "
         "FRAME_SIZE_ERROR REFUSED_STREAM CANCEL COMPRESSION_ERROR").split()


def case(section, what, send, expect, **options):
    CASES.append((section, what, send, expect, options))


# --- what must come: (in words, a function of the connection that says what is wrong) ---

def names(codes):
    return " or ".join(CODES[c] for c in codes)


def find(c, what, seconds=10.0):
    """The first frame of which what(frame), of those that came before or come now."""
    return next(filter(what, c.frames), None) or c.until(what, seconds)


def broken(*codes):
    """An error of the connection: GOAWAY with one of these codes, then its end."""
    def check(c):
        f = find(c, lambda f: f.type == GOAWAY)
        if not f:
            return "no GOAWAY"
        if f.payload[1] not in codes:
            return "another code"
        return None if c.ended() else "it was not closed"
    return f"GOAWAY({names(codes)}), closed", check


def closed():
    return "closed, with a GOAWAY or without (3.4)", lambda c: None if c.ended() else "it was not closed"


def failed(*codes, stream=1):
    """An error of a stream, or of the connection (5.4.1); of a stream, the others live on."""
    def check(c):
        f = find(c, lambda f: f.type == GOAWAY or (f.type == RST_STREAM and f.stream == stream
                                                   and f.payload != NO_ERROR))
        if not f:
            return "neither RST_STREAM nor GOAWAY"
        if (f.payload[1] if f.type == GOAWAY else f.payload) not in codes:
            return "another code"
        if f.type == GOAWAY:
            return None if c.ended() else "it was not closed"
        return None if c.pong() else "the connection does not answer any more"
    return f"RST_STREAM or GOAWAY({names(codes)})", check


def malformed(stream=1):
    def check(c):
        f = find(c, lambda f: f.type == GOAWAY or (f.stream == stream and (
            f.type == RST_STREAM or f.type == HEADERS)))
        if not f:
            return "no answer"
        if f.type == HEADERS:
            return None if dict(f.payload).get(":status", "").startswith("4") else "it was passed on"
        code = f.payload[1] if f.type == GOAWAY else f.payload
        if code != PROTOCOL:
            return "another code"
        return None if f.type == GOAWAY or c.pong() else "the connection does not answer any more"
    return "RST_STREAM or GOAWAY(PROTOCOL_ERROR), or 4xx", check


def answered(status="200", stream=1, body=None):
    def check(c):
        got = c.answer(stream)
        if got != status:
            return f"status {got}"
        if body is not None and c.body(stream) != body:
            return f"body {c.body(stream)[:50]!r}"
        return None
    return f"{status}" + (f" and {len(body)} bytes" if body is not None else ""), check


def saw(test, what):
    """The backend saw the request, and test(what it saw) holds."""
    def check(c):
        if c.answer(1) != "200":
            return f"status {c.status(1)}"
        seen = json.loads(c.body(1))
        return None if test(seen) else f"it saw {seen}"
    return f"200, the backend saw {what}", check


def alive():
    """As if nothing was: a PING is answered, nothing ended."""
    def check(c):
        if not c.pong():
            return "no PING(ACK)"
        bad = [f for f in c.frames if f.type in (GOAWAY, RST_STREAM)]
        return "an error" if bad else None
    return "nothing; PING is answered", check


def any_of(*expects):
    """For what is left to the server: the first of them is waited for."""
    def check(c):
        wrong = []
        for _, one in expects:
            wrong.append(one(c))
            if not wrong[-1]:
                return None
        return "; ".join(map(str, wrong))
    return " or ".join(e[0] for e in expects), check


def that(words, test):
    return words, lambda c: None if test(c) else "it is not so"


def data_sizes(*want):
    """So many bytes of DATA on stream 1, and no more."""
    def check(c):
        if len(c.body(1)) < sum(want):
            c.until(lambda f: f.type == DATA and len(c.body(1)) >= sum(want))
        c.quiet()
        got = len(c.body(1))
        return None if got == sum(want) else f"{got} bytes"
    return f"{sum(want)} bytes of DATA", check


# --- what is sent ---

def send(*parts):
    """Each part is bytes, a function of the connection that makes them, or a number: a pause."""
    def run(c):
        for p in parts:
            if isinstance(p, (int, float)):
                c.quiet(p)
            elif isinstance(p, bytes):
                c.send(p)
            else:
                got = p(c)
                if isinstance(got, bytes):
                    c.send(got)
    return run


def get(stream=1, path="/bytes/3", end=True, **more):
    return lambda c: c.head_of(stream, path, end, **more)


def post(stream=1, path="/x", **more):
    return get(stream, path, False, method="POST", **more)


SLOW = get(1, "/slow/700")


def over(stream=1, path="/own/x"):
    """A request, and its whole answer: the stream is closed on both sides."""
    def run(c):
        c.request(stream, path)
        c.answer(stream)
    return run


def block(**more):
    return lambda c: c.block(c.fields(**more))


def headers(flags, stream, before=b"", after=b"", **more):
    return lambda c: frame(HEADERS, flags, stream, before + c.block(c.fields(**more)) + after)


def with_fields(make):
    """A request of exactly these fields, and nothing behind it."""
    return lambda c: frame(HEADERS, END_HEADERS | END_STREAM, 1, c.block(make(c)))


def edited(**changes):
    """The usual pseudo-fields, with these instead (None: without)."""
    def make(c):
        usual = {"method": "GET", "scheme": c.scheme, "path": "/bytes/3", "authority": c.authority}
        usual.update(changes)
        return [(":" + n, v) for n, v in usual.items() if v is not None]
    return with_fields(make)


def twice(name):
    def make(c):
        all_ = c.fields()
        at = next(i for i, f in enumerate(all_) if f[0] == name)
        return all_[:at] + [all_[at]] + all_[at:]
    return with_fields(make)


def field(name, value):
    return with_fields(lambda c: c.fields("/x", extra=[(name, value)]))


def raw(*after, stream=1):
    """A head of which we know each byte: a GET of /; then these bytes of HPACK."""
    def make(c):
        name = c.authority.encode()
        text = b"\x82" + (b"\x87" if c.scheme == "https" else b"\x86") + b"\x84\x01" + \
            bytes([len(name)]) + name + b"".join(after)
        return frame(HEADERS, END_HEADERS | END_STREAM, stream, text)
    return make


def raw_led(before, stream=1):
    def make(c):
        f = raw(stream=stream)(c)
        return frame(HEADERS, END_HEADERS | END_STREAM, stream, before + f[9:])
    return make


def cut(*at, last_flags=END_HEADERS, end=True):
    """A head cut at these bytes: HEADERS and CONTINUATIONs."""
    def make(c):
        b = c.block(c.fields())
        ends = [*at, len(b)]
        out = frame(HEADERS, END_STREAM if end else 0, 1, b[:ends[0]])
        for i in range(1, len(ends)):
            out += frame(CONTINUATION, last_flags if i == len(ends) - 1 else 0, 1, b[ends[i - 1]:ends[i]])
        return out
    return make


def in_block(part):
    """Within a header block."""
    return send(headers(END_STREAM, 1), part)


PING_8 = frame(PING, payload=b"12345678")

# --- 3: starting ---
case("3.4", "the server's preface is a SETTINGS frame, first of all", send(),
     that("SETTINGS first", lambda c: c.pong() and c.frames[0].type == SETTINGS and not c.frames[0].flags & ACK))
case("3.4", "our SETTINGS are acknowledged", send(),
     that("SETTINGS(ACK)", lambda c: c.until(lambda f: f.type == SETTINGS and f.flags & ACK)))


def bytewise(c):
    for i in range(len(PREFACE)):
        c.send(PREFACE[i:i + 1])
        time.sleep(0.002)
    c.send(settings())
    c.request(1)


case("3.4", "a preface byte by byte", bytewise, answered(), preface=False)
case("3.4", "a request right behind the preface", lambda c: c.send(
    PREFACE + settings() + c.head_of(1)), answered(body=b"012"), preface=False)
case("3.4", "no preface at all", send(b"X" * 50 + b"\r\n\r\n"), closed(), preface=False)
case("3.4", "a preface whose second half is another", send(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n" + settings()),
     closed(), preface=False)
# h1 may have an empty line before a request; the preface may not
case("3.4", "a preface behind an empty line", send(b"\r\n" + PREFACE + settings()), closed(), preface=False)
case("5.1", "HEADERS of a request that goes on, then FIN, and the socket stays open",
     send(post(), 0.1, lambda c: c.sock.shutdown(socket.SHUT_WR)), closed())
case("3.4", "a preface with PING for SETTINGS", send(PREFACE + PING_8), closed(), preface=False)
case("3.4", "a preface, then a request for SETTINGS", send(PREFACE, get()), closed(), preface=False)
case("3.4", "a preface with an acknowledgement for SETTINGS", send(PREFACE + frame(SETTINGS, ACK)),
     any_of(closed(), alive()), preface=False)

# --- 4: frames ---
case("4.1", "a frame of an unknown type on the connection", send(frame(0x16, 0, 0, b"abc")), alive())
case("4.1", "one with all flags", send(frame(0xff, 0xff, 0, b"abc")), alive())
case("4.1", "one on a stream that is open", send(post(), frame(0x16, 0, 1, b"abc"), frame(DATA, 1, 1, b"x")), answered())
case("4.1", "unknown flags of PING", send(frame(PING, 0x16, 0, b"12345678")), alive())
case("4.1", "unknown flags of SETTINGS", send(frame(SETTINGS, 0xfe)), alive())
case("4.1", "unknown flags of WINDOW_UPDATE", send(frame(WINDOW_UPDATE, 0xff, 0, b"\0\0\0\1")), alive())
case("4.1", "unknown flags of HEADERS", send(headers(END_HEADERS | END_STREAM | 0x52, 1)), answered())
case("4.1", "unknown flags of DATA", send(post(), frame(DATA, END_STREAM | 0xf6, 1, b"x")), answered())
case("4.1", "unknown flags of RST_STREAM", send(SLOW, frame(RST_STREAM, 0xff, 1, b"\0\0\0\x08")), alive())
case("4.1", "the reserved bit of a stream of PING", send(frame(PING, 0, 1 << 31, b"12345678")), alive())
case("4.1", "the reserved bit of a stream of HEADERS", send(headers(5, 1 | 1 << 31)), answered())
case("4.2", "DATA of 2^14 bytes", send(post(), frame(DATA, 1, 1, b"x" * 16384)), answered())
case("4.2", "DATA of one byte more", send(post(), frame(DATA, 1, 1, b"x" * 16385)), failed(FRAME_SIZE))
case("4.2", "HEADERS of one byte more", send(frame(HEADERS, 5, 1, b"x" * 16385)), broken(FRAME_SIZE))
case("4.2", "CONTINUATION of one byte more", send(headers(1, 1), frame(CONTINUATION, 4, 1, b"\0\1x\x7f\x83\x7f" + b"v" * 16386)), broken(FRAME_SIZE))
case("4.2", "SETTINGS larger than that", send(frame(SETTINGS, 0, 0, b"\0\x55\0\0\0\0" * 2731)), broken(FRAME_SIZE))
case("4.2", "PING larger than that", send(frame(PING, 0, 0, b"x" * 16385)), broken(FRAME_SIZE))
case("4.2", "an unknown frame larger than that", send(frame(0x16, 0, 0, b"x" * 16385)), broken(FRAME_SIZE))
case("4.3", "a header block that cannot be decoded", send(frame(HEADERS, 5, 1, b"\xff\xff\xff\xff\x7f")), broken(COMPRESSION))
case("4.3", "one that ends within a field", send(frame(HEADERS, 5, 1, b"\x82\x40\x05ab")), broken(COMPRESSION))
for kind, part in (("PRIORITY", priority(1)), ("DATA", frame(DATA, 1, 1, b"x")), ("PING", PING_8),
                   ("SETTINGS", settings()), ("WINDOW_UPDATE", window_update(0, 1)),
                   ("RST_STREAM", rst_stream(1)), ("GOAWAY", goaway()),
                   ("HEADERS of the stream", get()), ("HEADERS of another", get(3)),
                   ("CONTINUATION of another", frame(CONTINUATION, 4, 3))):
    case("4.3", f"{kind} within a header block", in_block(part), broken(PROTOCOL))

# --- 5: streams ---
case("5.1", "idle: DATA", send(frame(DATA, 1, 1, b"x")), broken(PROTOCOL))
case("5.1", "idle: RST_STREAM", send(rst_stream(1)), broken(PROTOCOL))
case("5.1", "idle: WINDOW_UPDATE", send(window_update(1, 8)), broken(PROTOCOL))
case("5.1", "idle: CONTINUATION", send(lambda c: frame(CONTINUATION, 4, 1, c.block(c.fields()))), broken(PROTOCOL))
case("5.1", "idle: PRIORITY", send(priority(7)), alive())
case("5.1", "half-closed: DATA", send(SLOW, frame(DATA, 1, 1, b"x")), failed(STREAM_CLOSED))
case("5.1", "half-closed: HEADERS", send(SLOW, SLOW), failed(STREAM_CLOSED))
case("5.1", "half-closed: CONTINUATION", send(SLOW, frame(CONTINUATION, 4, 1)), broken(PROTOCOL, STREAM_CLOSED))
case("5.1", "half-closed: WINDOW_UPDATE", send(SLOW, window_update(1, 8)), answered())
case("5.1", "half-closed: PRIORITY", send(SLOW, priority(1)), answered())
case("5.1", "half-closed: RST_STREAM", send(SLOW, rst_stream(1)), alive())
# who forgets closed streams cannot tell them from those that were never used, and 5.1 lets it
# ignore what comes for a stream that it has reset; a request is never served twice
IGNORED = any_of(alive(), failed(STREAM_CLOSED, PROTOCOL))
case("5.1", "closed: DATA", send(over(), frame(DATA, 1, 1, b"x")), IGNORED)
case("5.1", "closed: CONTINUATION", send(over(), frame(CONTINUATION, 4, 1)), broken(PROTOCOL, STREAM_CLOSED))
case("5.1", "closed: PRIORITY", send(over(), priority(1)), alive())
case("5.1", "closed: WINDOW_UPDATE", send(over(), window_update(1, 8)), alive())
case("5.1", "closed: RST_STREAM", send(over(), rst_stream(1)), alive())


def once_more(c):
    """HEADERS on a stream that is closed: whatever comes, no second answer does."""
    c.pong()
    c.quiet()
    return sum(f.type == HEADERS and f.stream == 1 for f in c.frames) < 2


NOT_TWICE = that("STREAM_CLOSED, PROTOCOL_ERROR, or nothing; no second answer", once_more)
case("5.1", "closed: HEADERS", send(over(), get(1, "/own/x")), NOT_TWICE)
case("5.1", "reset by us: DATA", send(post(), rst_stream(1), frame(DATA, 1, 1, b"x")), IGNORED)
case("5.1", "reset by us: HEADERS", send(SLOW, rst_stream(1), get(1, "/own/x")), that(
    "no answer", lambda c: not c.until(lambda f: f.type == HEADERS, 0.5)))
case("5.1", "reset by us: CONTINUATION", send(SLOW, rst_stream(1), frame(CONTINUATION, 4, 1)),
     broken(PROTOCOL, STREAM_CLOSED))
case("5.1.1", "a stream with an even number", send(get(2)), broken(PROTOCOL))
# 5.1.1 has GOAWAY(PROTOCOL_ERROR); nghttp2 remembers no stream that is closed, and takes it for
# one: it is ignored, and never answered
case("5.1.1", "a number below the last", send(get(5, "/own/x"), 0.1, get(3, "/own/x")), that(
    "GOAWAY(PROTOCOL_ERROR), or nothing; no answer", lambda c: not c.pong() or not [f for f in c.quiet() if f.stream == 3]))
case("5.1.1", "DATA on a number that was passed over", send(get(5, "/own/x"), 0.1, frame(DATA, 1, 3, b"x")),
     any_of(alive(), broken(STREAM_CLOSED, PROTOCOL)))
case("5.1.1", "numbers with gaps", send(get(7), get(1001), get(0x7fffffff)), answered(stream=0x7fffffff))


def limit_of(c):
    first = c.until(lambda f: f.type == SETTINGS and not f.flags & ACK)
    pairs = struct.iter_unpack(">HI", first.payload)
    return dict(pairs).get(3)


def too_many(c):
    n = limit_of(c)
    c.last = 2 * n + 1
    c.send(b"".join(c.head_of(2 * i + 1, "/slow/1000") for i in range(n + 1)))


def is_refused(c):
    f = c.until(lambda f: f.type in (RST_STREAM, GOAWAY))
    if f and f.type == GOAWAY:  # 5.4.1: a stream error may be made one of the connection
        return f.payload == (c.last - 2, PROTOCOL) and c.ended()
    return f and f.stream == c.last and f.payload in (REFUSED, PROTOCOL) and c.answer(1) == "200"


case("5.1.2", "one stream more than SETTINGS_MAX_CONCURRENT_STREAMS", too_many,
     that("RST_STREAM(REFUSED_STREAM or PROTOCOL_ERROR) and the others are answered, or GOAWAY(PROTOCOL_ERROR)", is_refused))
case("5.1.2", "the limit is at least 100", lambda c: None, that("it is", lambda c: limit_of(c) >= 100))
# 5.3.2 has priorities deprecated: they may be ignored, or looked at as RFC 7540 says
SELF = any_of(alive(), failed(PROTOCOL))
case("5.3.2", "HEADERS that depend on themselves", send(headers(0x25, 1, before=b"\0\0\0\1\xff", path="/slow/300")),
     any_of(answered(), failed(PROTOCOL)))
case("5.3.2", "PRIORITY that depends on itself", send(priority(1, 1)), SELF)
case("5.3.2", "an exclusive dependency on a stream of the future", send(priority(1, 99 | 1 << 31)), alive())
case("5.4.1", "a connection error names the last stream, and ends it", send(over(5), frame(PING, 0, 0, b"short")),
     that("GOAWAY(last 5), closed", lambda c: (c.until(lambda f: f.type == GOAWAY) or c.frames[0]).payload[0] == 5 and c.ended()))
case("5.4.1", "bytes behind a connection error, of a frame that is cut",
     send(frame(PING, 0, 0, b"short") + frame(DATA, 0, 1, b"x", length=0xffffff)), broken(PROTOCOL, FRAME_SIZE))
case("5.4.2", "a stream error leaves other streams alone",
     send(SLOW, post(3, extra=[("content-length", "1")]), frame(DATA, 1, 3, b"long")), answered())
case("5.4.2", "RST_STREAM is not answered by one", send(SLOW, rst_stream(1)), that(
    "nothing", lambda c: c.pong() and not [f for f in c.quiet() if f.type == RST_STREAM]))
case("5.5", "an unknown frame within a header block", in_block(frame(0x16, 0, 0)), broken(PROTOCOL))
case("5.5", "an unknown setting", send(settings((0x55, 9))), alive())

# --- 6: each type of frame ---
case("6.1", "DATA on stream 0", send(frame(DATA, 1, 0, b"x")), broken(PROTOCOL))
case("6.1", "DATA with padding", send(post(), frame(DATA, 9, 1, b"\3abc\0\0\0")), saw(lambda s: s["body"] == 3, "3 bytes"))
case("6.1", "DATA with padding of no byte", send(post(), frame(DATA, 9, 1, b"\0abc")), saw(lambda s: s["body"] == 3, "3 bytes"))
case("6.1", "DATA of padding only", send(post(), frame(DATA, 9, 1, b"\5" + bytes(5))), saw(lambda s: s["body"] == 0, "no byte"))
case("6.1", "padding longer than its frame", send(post(), frame(DATA, 9, 1, b"\6test")), broken(PROTOCOL))
case("6.1", "padding as long as its frame", send(post(), frame(DATA, 9, 1, b"\5test")), broken(PROTOCOL))
case("6.1", "PADDED, and not a byte", send(post(), frame(DATA, 9, 1)), failed(FRAME_SIZE, PROTOCOL))
case("6.1", "empty DATA that ends", send(post(), frame(DATA, 1, 1)), saw(lambda s: s["body"] == 0, "no byte"))
case("6.2", "HEADERS on stream 0", send(headers(5, 0)), broken(PROTOCOL))
case("6.2", "HEADERS with padding", send(headers(13, 1, before=b"\4", after=bytes(4))), answered())
case("6.2", "HEADERS with a priority", send(headers(0x25, 1, before=b"\0\0\0\0\x0f")), answered())
case("6.2", "HEADERS with both", send(headers(0x2d, 1, before=b"\4\0\0\0\0\x0f", after=bytes(4))), answered())
case("6.2", "padding longer than its frame", send(headers(13, 1, before=b"\xff")), broken(PROTOCOL))
case("6.2", "PADDED, and not a byte", send(frame(HEADERS, 13, 1)), broken(FRAME_SIZE, PROTOCOL))
case("6.2", "a priority that is cut", send(frame(HEADERS, 0x25, 1, b"\0\0\0")), broken(FRAME_SIZE, PROTOCOL))
case("6.3", "PRIORITY on stream 0", send(priority(0)), broken(PROTOCOL))
case("6.3", "PRIORITY of 4 bytes", send(SLOW, frame(PRIORITY, 0, 1, bytes(4))), failed(FRAME_SIZE))
case("6.3", "PRIORITY of 6 bytes", send(SLOW, frame(PRIORITY, 0, 1, bytes(6))), failed(FRAME_SIZE))
case("6.4", "RST_STREAM on stream 0", send(rst_stream(0)), broken(PROTOCOL))
case("6.4", "RST_STREAM of 3 bytes", send(SLOW, frame(RST_STREAM, 0, 1, bytes(3))), broken(FRAME_SIZE))
case("6.4", "RST_STREAM of 5 bytes", send(SLOW, frame(RST_STREAM, 0, 1, bytes(5))), broken(FRAME_SIZE))
case("6.5", "SETTINGS(ACK) with a payload", send(frame(SETTINGS, ACK, 0, b"\0\3\0\0\0\1")), broken(FRAME_SIZE))
case("6.5", "SETTINGS on a stream", send(frame(SETTINGS, 0, 1, b"\0\3\0\0\0\1")), broken(PROTOCOL))
case("6.5", "SETTINGS of 5 bytes", send(frame(SETTINGS, 0, 0, b"\0\3\0\0\0")), broken(FRAME_SIZE))
case("6.5", "SETTINGS of no byte", send(settings()), alive())
case("6.5.2", "ENABLE_PUSH of 2", send(settings((2, 2))), broken(PROTOCOL))
case("6.5.2", "ENABLE_PUSH of 1", send(settings((2, 1))), alive())
case("6.5.2", "ENABLE_PUSH of 0", send(settings((2, 0))), alive())
case("6.5.2", "INITIAL_WINDOW_SIZE of 2^31", send(settings((4, 1 << 31))), broken(FLOW_CONTROL))
case("6.5.2", "INITIAL_WINDOW_SIZE of 2^31-1", send(settings((4, (1 << 31) - 1)), get()), answered())
case("6.5.2", "MAX_FRAME_SIZE of 2^14-1", send(settings((5, 16383))), broken(PROTOCOL))
case("6.5.2", "MAX_FRAME_SIZE of 2^24", send(settings((5, 1 << 24))), broken(PROTOCOL))
case("6.5.2", "MAX_FRAME_SIZE of 2^24-1", send(settings((5, (1 << 24) - 1)), get()), answered())
case("6.5.2", "MAX_FRAME_SIZE bounds what it sends", send(get(1, "/bytes/60000")), that(
    "no frame over 2^14", lambda c: c.answer(1) == "200" and max(len(f.payload) for f in c.frames if f.type == DATA) <= 16384))
case("6.5.2", "HEADER_TABLE_SIZE of 0", send(settings((1, 0)), get(1), get(3)), answered(stream=3))
case("6.5.2", "HEADER_TABLE_SIZE of 2^32-1", send(settings((1, (1 << 32) - 1)), get()), answered())
case("6.5.2", "MAX_CONCURRENT_STREAMS of 0, which is about pushes", send(settings((3, 0)), get()), answered())
case("6.5.3", "a setting twice in a frame: the last holds", send(settings((4, 100), (4, 1)), 0.1, get(1, "/bytes/10")), data_sizes(1))
case("6.5.3", "each SETTINGS has its acknowledgement", send(settings(), settings((3, 5)), settings((4, 9))), that(
    "4 SETTINGS(ACK)", lambda c: c.pong() and sum(f.type == SETTINGS and f.flags & ACK for f in c.frames) == 4))
case("6.6", "PUSH_PROMISE of a client", send(get(1, "/slow/300"), lambda c: frame(PUSH_PROMISE, 4, 1, b"\0\0\0\2" + c.block(c.fields()))),
     broken(PROTOCOL))
case("6.6", "PUSH_PROMISE on stream 0", send(frame(PUSH_PROMISE, 4, 0, b"\0\0\0\2\x82")), broken(PROTOCOL))
case("6.7", "PING comes back as it was", send(), that("PING(ACK)", lambda c: c.pong(payload=b"\0\xff\1\xfe\2\xfd\3\xfc")))
case("6.7", "PING(ACK) is not answered", send(frame(PING, ACK, 0, b"12345678")), that(
    "only the other", lambda c: c.pong() and [f.payload for f in c.frames if f.type == PING] == [b"are you?"]))
case("6.7", "PING on a stream", send(frame(PING, 0, 1, b"12345678")), broken(PROTOCOL))
case("6.7", "PING of 7 bytes", send(frame(PING, 0, 0, b"1234567")), broken(FRAME_SIZE))
case("6.7", "PING of 9 bytes", send(frame(PING, 0, 0, b"123456789")), broken(FRAME_SIZE))
case("6.8", "GOAWAY on a stream", send(goaway(stream=1)), broken(PROTOCOL))
case("6.8", "GOAWAY of 7 bytes", send(frame(GOAWAY, 0, 0, bytes(7))), broken(FRAME_SIZE))
case("6.8", "GOAWAY: what is under way is answered", send(get(1, "/slow/300"), goaway()), answered())
case("6.8", "GOAWAY with words", send(get(1, "/slow/300"), goaway(debug=b"bye")), answered())
case("6.9", "WINDOW_UPDATE of 0 for the connection", send(window_update(0, 0)), broken(PROTOCOL))
case("6.9", "WINDOW_UPDATE of 0 for a stream", send(SLOW, window_update(1, 0)), failed(PROTOCOL))
case("6.9", "WINDOW_UPDATE of 3 bytes", send(frame(WINDOW_UPDATE, 0, 0, bytes(3))), broken(FRAME_SIZE))
case("6.9", "WINDOW_UPDATE of 5 bytes", send(SLOW, frame(WINDOW_UPDATE, 0, 1, bytes(5))), broken(FRAME_SIZE))
case("6.9.1", "a window of 1", send(get(1, "/bytes/10")), data_sizes(1), with_settings=[(4, 1)])
case("6.9.1", "a window of 0: the head comes all the same", send(get(1, "/bytes/10")), that(
    "200, no DATA", lambda c: c.until(lambda f: f.type == HEADERS) and not [f for f in c.quiet() if f.type == DATA]),
    with_settings=[(4, 0)])
case("6.9.1", "a window that is opened", send(get(1, "/bytes/10"), 0.3, window_update(1, 9)), answered(body=b"0123456789"),
     with_settings=[(4, 1)])
case("6.9.1", "the window of the connection holds all", send(get(1, "/bytes/100000")), data_sizes(65535),
     with_settings=[(4, 1 << 20)])
case("6.9.1", "over 2^31-1 for the connection", send(window_update(0, 0x7fffffff)), broken(FLOW_CONTROL))
case("6.9.1", "over 2^31-1 for a stream", send(SLOW, window_update(1, 0x7fffffff)), failed(FLOW_CONTROL))
case("6.9.1", "more DATA than the server's window has", send(post(1, "/dead/x"), 0.05, *[frame(DATA, 0, 1, b"x" * 16384)] * 6),
     failed(FLOW_CONTROL))
case("6.9.2", "INITIAL_WINDOW_SIZE grows under a stream", send(get(1, "/bytes/10"), 0.3, settings((4, 5))), data_sizes(5),
     with_settings=[(4, 1)])
case("6.9.2", "a window below 0 that is opened by less", send(get(1, "/bytes/20"), 0.3, settings((4, 2)), window_update(1, 6)),
     data_sizes(10), with_settings=[(4, 10)])
case("6.9.2", "a window below 0 that is opened by more", send(get(1, "/bytes/20"), 0.3, settings((4, 2)), window_update(1, 11)),
     data_sizes(13), with_settings=[(4, 10)])
case("6.9.2", "INITIAL_WINDOW_SIZE that puts a stream over 2^31-1",
     send(SLOW, window_update(1, 0x7fffffff - 65535), settings((4, 65536))),
     failed(FLOW_CONTROL))  # 6.9.2 has GOAWAY; nghttp2 resets each stream of which that is so
case("6.10", "a CONTINUATION", send(cut(3)), answered())
case("6.10", "many of them, some of no byte", send(cut(3, 3, 5, 6, 7)), answered())
case("6.10", "behind END_HEADERS", send(SLOW, frame(CONTINUATION, 4, 1)), broken(PROTOCOL))
case("6.10", "behind a CONTINUATION with END_HEADERS", send(cut(3), frame(CONTINUATION, 4, 1)), broken(PROTOCOL))
case("6.10", "on stream 0", send(headers(1, 1), frame(CONTINUATION, 4, 0)), broken(PROTOCOL))
case("6.10", "on another stream", send(headers(1, 1), frame(CONTINUATION, 4, 3)), broken(PROTOCOL))
case("6.10", "behind DATA", send(post(), frame(DATA, 0, 1, b"x"), frame(CONTINUATION, 4, 1)), broken(PROTOCOL))
case("7", "RST_STREAM with an unknown code", send(SLOW, rst_stream(1, 0xff)), alive())
case("7", "GOAWAY with an unknown code", send(get(1, "/slow/300"), goaway(code=0xff)), answered())

# --- 8: messages ---
case("8.1", "GET", send(get(1, "/bytes/100")), answered(body=(b"0123456789abcdef" * 7)[:100]))
case("8.1", "HEAD has no DATA", send(get(method="HEAD")), answered(body=b""))
case("8.1", "204 has no DATA", send(get(1, "/status/204")), answered("204", body=b""))
case("8.1", "304 has no DATA", send(get(1, "/status/304")), answered("304", body=b""))
case("8.1", "POST with DATA", send(post(), frame(DATA, 0, 1, b"ab"), frame(DATA, 1, 1, b"c")), saw(lambda s: s["body"] == 3, "3 bytes"))
case("8.1", "POST with trailers", send(post(), frame(DATA, 0, 1, b"ab"), lambda c: frame(HEADERS, 5, 1, c.block([("x-sum", "1")]))),
     saw(lambda s: s["trailers"] == ["x-sum: 1"], "the trailers"))
case("8.1", "trailers of an answer", send(get(1, "/trailers")), that("trailers", lambda c: c.answer(1) == "200" and [
    f for f in c.frames if f.type == HEADERS and f.flags & END_STREAM and ("x-sum", "42") in f.payload]))
case("8.1", "1xx before the answer", send(get(1, "/early")), that("103, 200", lambda c: c.answer(1) == "200" and [
    dict(f.payload).get(":status") for f in c.frames if f.type == HEADERS] == ["103", "200"]))
case("8.1", "a second head that does not end the stream", send(post(), lambda c: frame(HEADERS, 4, 1, c.block([("x", "y")]))),
     malformed())
case("8.1", "an answer before the body: the rest is not wanted", send(post(1, "/own/x")), that(
    "200, RST_STREAM(NO_ERROR)", lambda c: c.answer(1) == "200" and c.until(lambda f: f.type == RST_STREAM).payload == NO_ERROR))
case("8.1.1", "a length that holds", send(post(extra=[("content-length", "4")]), frame(DATA, 1, 1, b"test")), answered())
case("8.1.1", "a length, and a field behind it whose name begins with a digit",
     send(post(extra=[("content-length", "4"), ("9a", "x")]), frame(DATA, 1, 1, b"test")), answered())
case("8.1.1", "a length of less than one DATA", send(post(extra=[("content-length", "1")]), frame(DATA, 1, 1, b"test")), malformed())
case("8.1.1", "a length of less than two", send(post(extra=[("content-length", "3")]), frame(DATA, 0, 1, b"te"), frame(DATA, 1, 1, b"st")),
     malformed())
case("8.1.1", "a length of more than came", send(post(extra=[("content-length", "9")]), frame(DATA, 1, 1, b"test")), malformed())
case("8.1.1", "a length, and no body", send(get(extra=[("content-length", "5")])), malformed())
case("8.1.1", "a length of more than came, and trailers", send(post(extra=[("content-length", "9")]), frame(DATA, 0, 1, b"test"),
     lambda c: frame(HEADERS, 5, 1, c.block([("x", "y")]))), malformed())
for value in ("+0", "-1", "0x1", "1.0", "", "0, 1", "99999999999999999999999"):
    case("8.1.1", f"a length of '{value}'", send(field("content-length", value)), malformed())
case("8.1.1", "two lengths", send(with_fields(lambda c: c.fields(extra=[("content-length", "0"), ("content-length", "1")]))), malformed())
for name, what in (("X-Up", "upper case"), ("x y", "a space"), ("x:y", "a colon"), ("x\ny", "LF"), ("x\ry", "CR"), ("x\0y", "NUL"),
                   ("x\x7fy", "DEL"), ("x\xe4", "a byte over 127"), ("", "no character"), ("\tx", "a tab before")):
    case("8.2.1", f"a name with {what}", send(field(name.encode("latin-1"), b"1")), malformed())
for value, what in (("a\rb", "CR"), ("a\nhost: b", "LF"), ("a\0b", "NUL"), (" 1", "a space before"), ("1 ", "a space behind"),
                    ("\t1", "a tab before")):
    case("8.2.1", f"a value with {what}", send(field("x", value)), malformed())
for name, value in (("connection", "keep-alive"), ("proxy-connection", "x"), ("keep-alive", "x"), ("transfer-encoding", "chunked"),
                    ("upgrade", "x"), ("te", "gzip"), ("te", "trailers, gzip")):
    case("8.2.2", f"{name}: {value}", send(field(name, value)), malformed())
case("8.2.2", "te: trailers", send(field("te", "trailers")), answered())
case("8.2.3", "crumbs of a cookie are one field", send(with_fields(lambda c: c.fields("/x", extra=[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2")]))),
     saw(lambda s: [v for n, v in s["fields"] if n == "cookie"] == ["a=1; b=2"], "one cookie"))
case("8.3", "an unknown pseudo-field", send(with_fields(lambda c: [*c.fields(), (":foo", "1")])), malformed())
case("8.3", "one of answers", send(with_fields(lambda c: [*c.fields(), (":status", "200")])), malformed())
case("8.3", "one behind a field", send(with_fields(lambda c: [*c.fields()[:3], ("x", "y"), c.fields()[3]])), malformed())
case("8.3", "one in trailers", send(post(), lambda c: frame(HEADERS, 5, 1, c.block([(":method", "GET")]))), malformed())
for name in (":method", ":scheme", ":path", ":authority"):
    case("8.3.1", f"{name} twice", send(twice(name)), malformed())
case("8.3.1", "no :method", send(edited(method=None)), malformed())
case("8.3.1", "no :scheme", send(edited(scheme=None)), malformed())
case("8.3.1", "no :path", send(edited(path=None)), malformed())
case("8.3.1", "an empty :path", send(edited(path="")), malformed())
case("8.3.1", "neither :authority nor host", send(edited(authority=None)), malformed())
case("8.3.1", "host for :authority", send(with_fields(lambda c: [*c.fields()[:3], ("host", c.authority)])), answered())
case("8.3.1", "host that is another than :authority", send(field("host", "b")), malformed())
case("8.3.1", "two hosts", send(with_fields(lambda c: [*c.fields(), ("host", c.authority), ("host", "b")])), malformed())
case("8.3.1", "userinfo in :authority", send(edited(authority="u@a")), malformed())
case("8.3.1", "a space in :authority", send(edited(authority="a b")), malformed())
for path, what in (("/a b", "a space"), ("/a#b", "a fragment"), ("http://b/x", "a whole URI"), ("x", "no slash"), ("*", "a star, of GET"),
                   ("/a\nb", "LF"), ("/a\0", "NUL")):
    case("8.3.1", f":path with {what}", send(edited(path=path)), malformed())
case("8.3.1", "OPTIONS *", send(edited(method="OPTIONS", path="*")), any_of(answered(), answered("404")))
for method, what in (("GET /x", "a space"), ("GET\n", "LF"), ("", "no character"), ("G(T", "what no token has")):
    case("8.3.1", f":method with {what}", send(edited(method=method)), malformed())
case("8.4", "a push is not cancelled that was never there", send(rst_stream(2)), broken(PROTOCOL))
case("8.5", "CONNECT with :path and :scheme", send(edited(method="CONNECT")), malformed())
case("8.5", "CONNECT without :authority", send(edited(method="CONNECT", path=None, scheme=None, authority=None)), malformed())
case("8.5", "CONNECT", send(lambda c: c.head_of(1, end=False, fields=[(":method", "CONNECT"), (":authority", c.authority)])),
     any_of(answered("405"), answered("501"), answered("200")))

# --- RFC 7541 ---
case("7541 2.3.3", "an index beyond both tables", send(raw(b"\xfe")), broken(COMPRESSION))
case("7541 2.3.3", "the first of an empty dynamic table", send(raw(b"\xbe")), broken(COMPRESSION))
case("7541 2.3.2", "a field by the dynamic table, in the next request", send(raw(b"\x40\1x\3abc"), raw(b"\xbe", stream=3)), answered(stream=3))
case("7541 4.2", "a change of the size, at the beginning", send(raw_led(b"\x20")), answered())
case("7541 4.2", "two of them", send(raw_led(b"\x20\x3f\xe1\x1f")), answered())
case("7541 4.2", "a change of the size, at the end", send(raw(b"\x20")), broken(COMPRESSION))
case("7541 4.3", "a change of the size evicts", send(raw(b"\x40\1x\3abc"), raw_led(b"\x20\x3f\xe1\x1f\xbe", stream=3)), broken(COMPRESSION))
case("7541 4.4", "an entry larger than the table empties it", send(
    raw(b"\x40\1x\3abc"), raw(b"\x40\1y\x7f\xa1\x1f" + b"v" * 4128, stream=3), 0.05, raw(b"\xbe", stream=5)), broken(COMPRESSION))
case("7541 5.1", "an integer without an end", send(raw(b"\xff" + b"\xff" * 12 + b"\x7f")), broken(COMPRESSION))
case("7541 5.1", "an integer that is cut", send(raw(b"\xff\x80")), broken(COMPRESSION))
case("7541 5.2", "a text longer than its block", send(raw(b"\x40\1x\x20abc")), broken(COMPRESSION))
case("7541 5.2", "Huffman codes", send(raw(b"\0\x85\xf2\xb2\x4a\x84\xff\1a")), answered())
case("7541 5.2", "padding of Huffman of more than 7 bits", send(raw(b"\0\x86\xf2\xb2\x4a\x84\xff\xff\1a")), broken(COMPRESSION))
case("7541 5.2", "padding of Huffman that is not of ones", send(raw(b"\0\x85\xf2\xb2\x4a\x84\xff\x83\x49\x50\x90")), broken(COMPRESSION))
case("7541 5.2", "the end of text within Huffman", send(raw(b"\0\x84\xff\xff\xff\xff\1a")), broken(COMPRESSION))
case("7541 6.1", "index 0", send(raw(b"\x80")), broken(COMPRESSION))
case("7541 6.2.1", "a literal that is indexed", send(raw(b"\x40\1x\1a")), answered())
case("7541 6.2.2", "a literal that is not", send(raw(b"\0\1x\1a")), answered())
case("7541 6.2.3", "a literal that never is", send(raw(b"\x10\1x\1a")), answered())
case("7541 6.2.1", "a name by an index beyond the tables", send(raw(b"\x7f\x40\1a")), broken(COMPRESSION))
case("7541 6.3", "a size over SETTINGS_HEADER_TABLE_SIZE", send(raw_led(b"\x3f\xe2\x1f")), broken(COMPRESSION))


def run(what):
    section, _, sends, expect, options = what
    c = None
    try:
        c = Connection(ADDRESS, TLS, **options)
        c.encoder = hpack.Encoder()
        sends(c)
        wrong = expect[1](c)
        return wrong and f"{wrong}: {c.words()}"
    except Exception as e:  # of a case is its failure
        return f"{type(e).__name__} {e}: {c.words() if c else 'not connected'}"
    finally:
        if c:
            c.close()


def main():
    began = time.monotonic()
    with ThreadPoolExecutor(16) as pool:
        wrongs = list(pool.map(run, CASES))
    print(f"1..{len(CASES)}")
    for i, ((section, what, _, expect, _), wrong) in enumerate(zip(CASES, wrongs), 1):
        print(f"{'not ok' if wrong else 'ok'} {i} - {section} {what!r}: {expect[0]}" + (f"\n# {wrong}" if wrong else ""))
    bad = sum(map(bool, wrongs))
    print(f"# {len(CASES)} cases, {bad} failed, {time.monotonic() - began:.1f} s")
    sys.exit(bad > 0)


main()
