#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""downgrade_h2.py ADDRESS:PORT KIND [SEEN]: a client of HTTP/2, and what becomes of what it says.

requests: hostile ones, in front of origin.py that writes SEEN.  all, two: h2_back.py behind.
A line in words, and 1 if it is not as it must be.
"""
import json
import sys
import time

from frames import DATA, END_HEADERS, END_STREAM, HEADERS, Connection, frame, window_update

ADDRESS, KIND = sys.argv[1:3]
FIELDS = [("x", "a\rb"), ("x", "a\nhost: b"), ("x", "a\r\n\r\nGET /evil HTTP/1.1"), ("x", "a\0b"), ("x:y", "1"), ("x y", "1"),
          ("x\ny", "1"), ("X-Up", "1"), ("host", "b"), ("content-length", "5"), ("content-length", "-1"),
          ("transfer-encoding", "chunked"), ("connection", "x-forwarded-for"), ("te", "gzip"), ("upgrade", "h2c"),
          ("proxy-connection", "close"), ("keep-alive", "1")]
PSEUDO = [(":path", "/a b"), (":path", "/a HTTP/1.1\r\nx: y"), (":path", "/a#b"), (":path", "http://b/evil"), (":path", "evil"),
          (":method", "GET /evil"), (":method", "GET\n"), (":authority", "a b"), (":authority", "u@a"), (":scheme", "a b")]
TRAILERS = [("x-forwarded-for", "6.6.6.6"), ("x-real-ip", "6.6.6.6"), ("authorization", "evil"), ("cookie", "evil"),
            ("client-cert", ":evil:"), ("forwarded", "for=6.6.6.6"), ("x-kept", "1")]


def requests():
    answered, wrong = 0, []
    for fields in [[("two", f)] for f in FIELDS] + [[("pseudo", f)] for f in PSEUDO] + [[("hosts", None)], [("lies", None)]]:
        (how, f), = fields
        c = Connection(ADDRESS)
        all_ = c.fields("/x")
        if how == "two":
            all_.append(f)
        elif how == "pseudo":
            all_ = [f if n == f[0] else (n, v) for n, v in all_]
        elif how == "hosts":
            all_ += [("host", "a"), ("host", "b")]
        else:
            all_ = c.fields("/x", method="POST", extra=[("content-length", "3")])
        c.request(1, fields=all_, end=how != "lies")
        if how == "lies":
            c.send(frame(DATA, END_STREAM, 1, b"123GET /evil HTTP/1.1\r\nhost: a\r\n\r\n"))
        got = c.answer(1)
        if got and got < "400":
            answered += 1
            wrong.append((how, f, got))
        c.close()
    c = Connection(ADDRESS)
    c.request(1, "/trailed", end=False, method="POST")
    c.send(frame(DATA, 0, 1, b"ab") + frame(HEADERS, END_HEADERS | END_STREAM, 1, c.block(TRAILERS)))
    answered += c.answer(1) == "200"
    if c.status(1) != "200":
        print(c.words())
    seen, deadline = [], time.monotonic() + 10
    while len(seen) < answered and time.monotonic() < deadline: # a line comes behind its answer
        with open(sys.argv[3], encoding="utf-8") as f:
            seen = [json.loads(line) for line in f if line.endswith("\n")]
        time.sleep(0.05)
    trailers = seen[-1]["trailers"] if seen else None
    # one whose body turns out to be no body may have begun; the backend then sees no whole request
    print(f"answered {answered}, seen {len(seen)}, passed on: {wrong}, trailers: {trailers}")
    return len(seen) == answered and not wrong and "evil" not in json.dumps(seen) and trailers == ["x-kept: 1"]


def all_of_it():
    """Answer, GOAWAY and FIN at once, while our window is small."""
    c = Connection(ADDRESS, with_settings=[(4, 8000)])
    c.request(1, "/h2/all/60000")
    c.until(lambda f: len(c.body(1)) >= 8000)
    c.quiet()
    first = len(c.body(1))
    c.send(window_update(1, 100000))
    print(f"{first} bytes, then {c.answer(1)}, {len(c.body(1))} bytes")
    return first == 8000 and c.status(1) == "200" and len(c.body(1)) == 60000


def two():
    c = Connection(ADDRESS)
    for i in range(6):
        c.request(2 * i + 1, "/two/x")
    got = [c.answer(2 * i + 1, 15) for i in range(6)]
    print(f"one of two backends is dead: {got}")
    return got == ["200"] * 6


sys.exit(not {"requests": requests, "all": all_of_it, "two": two}[KIND]())
