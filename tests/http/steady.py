#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Requests at a steady rate for some seconds, each accounted for; a line of JSON at the end.

steady.py h2 ADDRESS:PORT CA NAME SECONDS RATE PATH   GET by HTTP/2 over TLS, 16 at once; a GOAWAY
                                                      is heeded: what is behind its last stream is
                                                      asked again, the rest is waited for
steady.py grpc ADDRESS:PORT CA NAME SECONDS RATE      unary calls of test.Echo, without retries
"""
import collections
import json
import os
import select
import socket
import ssl
import sys
import threading
import time

kind, where, ca, name, seconds, rate = sys.argv[1:7]
seconds, rate = float(seconds), float(rate)
host, port = where.rsplit(":", 1)
told = collections.Counter()


class Connection:
    """One of HTTP/2; `open` is False when it takes no more."""

    def __init__(self):
        import h2.connection
        # to the library GOAWAY is the end; to RFC 9113 6.8 what was begun goes on
        state, event = h2.connection.ConnectionState, h2.connection.ConnectionInputs
        h2.connection.H2ConnectionStateMachine._transitions[
            (state.CLIENT_OPEN, event.RECV_GOAWAY)] = (None, state.CLIENT_OPEN)
        context = ssl.create_default_context(cafile=ca)
        context.set_alpn_protocols(["h2"])
        raw = socket.create_connection((host, int(port)), timeout=10)
        self.sock = context.wrap_socket(raw, server_hostname=name)
        self.conn = h2.connection.H2Connection()
        self.conn.initiate_connection()
        self.sock.sendall(self.conn.data_to_send())
        self.open, self.waiting, self.status = True, set(), {}
        told["connections"] += 1

    def ask(self, path):
        stream = self.conn.get_next_available_stream_id()
        self.conn.send_headers(stream, [(":method", "GET"), (":path", path), (":scheme", "https"),
                                        (":authority", name)], True)
        self.waiting.add(stream)
        self.sock.sendall(self.conn.data_to_send())

    def over(self, stream, good):
        if stream in self.waiting:
            self.waiting.discard(stream)
            told["answered" if good else f"failed {self.status.get(stream, 'reset')}"] += 1

    def hear(self):
        """How many are to be asked again."""
        import h2.events as e
        got = self.sock.recv(65536)
        again = 0
        if not got:
            self.open = False
            told["cut"] += len(self.waiting)
            self.waiting.clear()
            return 0
        for event in self.conn.receive_data(got):
            if isinstance(event, e.ResponseReceived):
                self.status[event.stream_id] = int(dict(event.headers)[b":status"])
            elif isinstance(event, e.DataReceived):
                self.conn.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, e.StreamEnded):
                self.over(event.stream_id, self.status.get(event.stream_id) == 200)
            elif isinstance(event, e.StreamReset):
                if event.error_code == 7:  # REFUSED_STREAM: it was not looked at
                    self.waiting.discard(event.stream_id)
                    again += 1
                else:
                    self.over(event.stream_id, False)
            elif isinstance(event, e.ConnectionTerminated):
                self.open = False
                late = {s for s in self.waiting if s > event.last_stream_id}
                self.waiting -= late
                again += len(late)
        try:
            self.sock.sendall(self.conn.data_to_send())
        except OSError:
            pass
        return again


def by_h2(path):
    begin, sent, again = time.monotonic(), 0, 0
    current, old = Connection(), []
    while True:
        now = time.monotonic() - begin
        if not current.open:
            old.append(current)
            current = Connection()
        due = now < seconds and sent < now * rate
        if (due or again) and len(current.waiting) < 16:
            if again:
                again -= 1
                told["again"] += 1
            else:
                sent += 1
            current.ask(path)
            continue
        old = [c for c in old if c.waiting]
        if now >= seconds and not again and not current.waiting and not old:
            break
        if now > seconds + 10:
            told["unanswered"] += len(current.waiting) + sum(len(c.waiting) for c in old)
            break
        for c in [current] + old:
            while c.sock.pending() or select.select([c.sock], [], [], 0.001)[0]:
                again += c.hear()
                if not c.open and not c.waiting:
                    break
    told["sent"] = sent


def by_grpc():
    import grpc
    with open(ca, "rb") as f:
        credentials = grpc.ssl_channel_credentials(f.read())
    channel = grpc.secure_channel(where, credentials, options=[
        ("grpc.ssl_target_name_override", name), ("grpc.enable_retries", 0)])
    call = channel.unary_unary("/test.Echo/Unary")
    lock, begin = threading.Lock(), time.monotonic()

    def work():
        while time.monotonic() - begin < seconds:
            try:
                good = call(b"hello", timeout=10, wait_for_ready=True) == b"hello"
                word = "answered" if good else "failed wrong"
            except grpc.RpcError as e:
                word = f"failed {e.code().name}: {e.details()}"
            with lock:
                told["sent"] += 1
                told[word] += 1
            time.sleep(max(0, 4 / rate - 0.002))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


if kind == "h2":
    by_h2(sys.argv[7])
else:
    by_grpc()
print(json.dumps(told), flush=True)
os._exit(0)  # gRPC's own threads take their time
