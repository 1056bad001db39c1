#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""abuse_h2.py ADDRESS:PORT KIND [ARGUMENT]: clients that cost a server of HTTP/2 more than them.

A flood: goes on until the server has ended it; 1 if it has not.  The other kinds say what they
look at.  A line in words, and 1 if it is not as it must be.
"""
import itertools
import sys
import time

from frames import (CALM, CONTINUATION, DATA, GOAWAY, HEADERS, PING, RST_STREAM, Connection, frame,
                     priority, rst_stream, settings, window_update)

ADDRESS, KIND = sys.argv[1:3]
MOST = 100000


def post(c, i, **more):
    return c.head_of(2 * i + 1, "/slow/500", False, method="POST", **more)


# name: what goes before, what goes again and again, wait for the reset of each
FLOODS = {
    "rapid-reset": (None, lambda c, i: c.head_of(2 * i + 1, "/slow/500") + rst_stream(2 * i + 1), False),
    "window": (None, lambda c, i: post(c, i) + window_update(2 * i + 1, 0x7fffffff), True),
    "length": (None, lambda c, i: post(c, i, extra=[("content-length", "1")]) + frame(DATA, 0, 2 * i + 1, b"xx"), True),
    "trailers": (None, lambda c, i: post(c, i) + frame(HEADERS, 4, 2 * i + 1, c.block(c.fields())), True),
    "continuation": (lambda c: frame(HEADERS, 1, 1, c.block(c.fields())), lambda c, i: frame(CONTINUATION, 0, 1), False),
    "settings": (None, lambda c, i: settings(), False),
    "ping": (None, lambda c, i: frame(PING, payload=b"12345678"), False),
    "priority": (None, lambda c, i: priority(2 * i + 1), False),
    "empty-data": (lambda c: post(c, 0), lambda c, i: frame(DATA, 0, 1), False),
}


def flood(before, again, waits):
    c = Connection(ADDRESS)
    c.quiet(0.1)
    if before:
        c.send(before(c))
    for i in range(0, MOST):
        if not c.send(again(c, i)):
            break
        if waits:
            c.until(lambda f: f.type == GOAWAY or (f.type == RST_STREAM and f.stream == 2 * i + 1))
        elif i % 100 == 99:
            c.quiet(0.002) # what is never read would stop us
        if c.end or any(f.type == GOAWAY for f in c.frames[-2:]):
            break
    c.ended()
    codes = [f.payload[1] for f in c.frames if f.type == GOAWAY]
    print(f"{KIND}: {i + 1} times, GOAWAY {codes}, {c.end}")
    # a GOAWAY behind which more was sent may be lost with the connection
    return c.end and i + 1 < MOST and set(codes) <= {CALM}


def pings():
    c = Connection(ADDRESS)
    c.quiet(0.1)
    n = sum(bool(c.pong()) for _ in range(1000))
    print(f"{n} of 1000 pings were answered, then {c.pong() and c.request(1) and c.answer(1)}")
    return n == 1000 and c.status(1) == "200"


def window0():
    """Answers that nobody reads are given up after body_timeout (2 s)."""
    all_ = []
    for _ in range(20):
        c = Connection(ADDRESS, with_settings=[(4, 0)])
        c.quiet(0.05)
        c.send(b"".join(c.head_of(1 + 2 * k, "/bytes/12000") for k in range(100)))
        all_.append(c)
    deadline = time.monotonic() + 30
    for c in itertools.cycle(all_):
        c.quiet(0.02)
        resets = [sum(f.type == RST_STREAM for f in c.frames) for c in all_]
        if time.monotonic() > deadline or min(resets) == 100 or all(c.end for c in all_):
            break
    print(f"resets of the streams of {len(all_)} connections: {min(resets)} to {max(resets)} of 100; ended: {sum(bool(c.end) for c in all_)}")
    return all(r == 100 or c.end for r, c in zip(resets, all_))


def blocks():
    """A block that does not end, and one that is malformed while a long request is under way."""
    slow = Connection(ADDRESS)
    slow.send(frame(HEADERS, 1, 1, slow.block(slow.fields())))
    good = Connection(ADDRESS)
    good.request(1, "/slow/4000")
    good.request(3, "/own/x", extra=[("X-Up", "1")])
    began = time.monotonic()
    ended = slow.ended(6)
    took = time.monotonic() - began
    print(f"the block that does not end: {ended} after {took:.1f} s; the long request: {good.answer(1, 8)}, {good.end}")
    return ended and 1 < took < 5 and good.status(1) == "200" and not good.end


sys.exit(not (flood(*FLOODS[KIND]) if KIND in FLOODS else globals()[KIND]()))
