#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Clients that change the configuration of a proxy, whoever answers, and remember what was
acknowledged.

change.py write FILE --clients N --changes N [--seconds S] [--seed N]
    Each changes the route `app` of the listener `in` at random, until so many changes were
    answered or the time is over, and adds and removes routes of its own.  FILE gets a line
    for each that was acknowledged: revision, and the weight that it gave.  One line of JSON
    at the end.
change.py verify FILE
    Each revision that was acknowledged is there, and says what was acknowledged.
"""
import argparse
import difflib
import glob
import http.client
import json
import os
import random
import socket
import sys
import threading
import time


class Unix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("x", timeout=10)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(10)
        self.sock.connect(self.path)


def ask(path, method, where, body=None):
    c = Unix(path)
    c.request(method, where, body, {"If-Match": "*"})
    r = c.getresponse()
    text = r.read()
    c.close()
    return r.status, text


def sockets(folder):
    """The newest first: of two, one has been succeeded."""
    found = glob.glob(folder + "/control-*.sock")
    return sorted(found, key=lambda p: os.stat(p).st_mtime if os.path.exists(p) else 0, reverse=True)


class Writer(threading.Thread):
    def __init__(self, number, args, out, lock, seen):
        super().__init__(daemon=True)
        self.number, self.args, self.out, self.lock, self.seen = number, args, out, lock, seen
        self.random = random.Random(args.seed * 1000 + number)
        self.mine = False

    def one(self, path):
        weight = self.random.randint(1, 250)
        name = "c%d" % self.number
        if self.random.random() < 0.3:
            where = "/v1/listeners/in/routes/" + name
            if self.mine:
                status, text = ask(path, "DELETE", where)
            else:
                body = {"from": ["203.0.113.%d/32" % self.number], "backends": ["198.51.100.1:3001"]}
                status, text = ask(path, "PUT", where, json.dumps(body))
            if status in (200, 201, 404):
                self.mine = status == 201
            return status, text, 0
        body = {"backends": ["198.51.100.1:3000 weight=%d" % weight, "198.51.100.1:3001"]}
        status, text = ask(path, "PATCH", "/v1/listeners/in/routes/app", json.dumps(body))
        return status, text, weight

    def run(self):
        end = time.monotonic() + self.args.seconds
        while time.monotonic() < end:
            for path in sockets(self.args.folder):
                try:
                    status, text, weight = self.one(path)
                except (OSError, http.client.HTTPException):
                    continue
                with self.lock:
                    self.seen[status] = self.seen.get(status, 0) + 1
                    if status in (200, 201):
                        answer = json.loads(text)
                        self.out.write("%d %d\n" % (answer["revision"], weight if answer["changes"] else 0))
                        self.out.flush()
                    if sum(n for s, n in self.seen.items() if s < 300) >= self.args.changes:
                        return
                break
            else:
                time.sleep(0.005)


def write(args):
    lock, seen = threading.Lock(), {}
    with open(args.file, "a") as out:
        all = [Writer(i, args, out, lock, seen) for i in range(args.clients)]
        for w in all:
            w.start()
        for w in all:
            w.join(args.seconds + 15)
    print(json.dumps({str(k): v for k, v in seen.items()}))
    return 0 if all and not any(w.is_alive() for w in all) else 1


def plain(text):
    """Without quotes, and without what is the file's own."""
    lines = text.replace(b'"', b"").splitlines(True)
    return b"".join(line for line in lines if not line.startswith((b"user:", b"state")))


def verify(args):
    path, bad, n, last = sockets(args.folder)[0], 0, 0, 0
    for line in open(args.file).readlines()[-args.last:]:
        revision, weight = map(int, line.split())
        last = max(last, revision)
        if not weight:
            continue
        status, text = ask(path, "GET", "/v1/revisions/%d" % revision)
        n += 1
        if status != 200 or b"198.51.100.1:3000 weight=%d\"" % weight not in text:
            bad += 1
            print("revision %d: acknowledged with weight %d: %d %r" % (revision, weight, status, text[-400:]))
    now = json.loads(ask(path, "GET", "/v1/status")[1])["revision"]
    latest = plain(ask(path, "GET", "/v1/revisions/%d" % now)[1])
    served = plain(ask(path, "GET", "/v1/config")[1])
    if now < last:
        print("revision %d is in force, and %d was acknowledged" % (now, last))
    if latest != served:
        print("what is in force is not revision %d:" % now)
        sys.stdout.writelines(difflib.unified_diff(latest.decode().splitlines(True), served.decode().splitlines(True)))
    print(json.dumps({"compared": n, "bad": bad, "last": last, "now": now}))
    return 0 if n and not bad and now >= last and latest == served else 1


def main():
    p = argparse.ArgumentParser()
    p.add_argument("what", choices=["write", "verify"])
    p.add_argument("file")
    p.add_argument("--folder", required=True, help="of control sockets")
    p.add_argument("--clients", type=int, default=8)
    p.add_argument("--changes", type=int, default=1000)
    p.add_argument("--seconds", type=float, default=60)
    p.add_argument("--last", type=int, default=1000, help="so many of them")
    p.add_argument("--seed", type=int, default=1)
    args = p.parse_args()
    return write(args) if args.what == "write" else verify(args)


sys.exit(main())
