#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""ws_h2.py ADDRESS:PORT: a WebSocket by extended CONNECT (RFC 8441), against an echo; prints what
came back.  Frames of WebSocket are its own, so that every byte is seen."""
import os
import socket
import struct
import sys

import h2.config
import h2.connection
import h2.events
import h2.settings

address, port = sys.argv[1].rsplit(":", 1)
sock = socket.create_connection((address, int(port)), timeout=10)
conn = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
conn.initiate_connection()
sock.sendall(conn.data_to_send())
answers, body, ended = {}, b"", False


def pump():
    global body, ended
    got = sock.recv(65536)
    if not got:
        sys.exit("the connection ended")
    for event in conn.receive_data(got):
        if isinstance(event, h2.events.ResponseReceived):
            answers.update(dict(event.headers))
        elif isinstance(event, h2.events.DataReceived):
            body += event.data
            conn.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)):
            ended = True
    sock.sendall(conn.data_to_send())


def text(s):
    mask = os.urandom(4)
    data = bytes(b ^ mask[i % 4] for i, b in enumerate(s))
    size = bytes([0x80 | len(s)]) if len(s) < 126 else b"\xfe" + struct.pack(">H", len(s))
    return b"\x81" + size + mask + data


while conn.remote_settings.enable_connect_protocol != 1:
    pump()
conn.send_headers(1, [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"),
                      (":path", "/chat"), (":authority", "app.example.org"),
                      ("sec-websocket-version", "13")])
conn.send_data(1, text(b"before the answer"))
sock.sendall(conn.data_to_send())
while b"before the answer" not in body:
    pump()
print("status", answers.get(":status") or answers[b":status"].decode())
conn.send_data(1, text(b"x" * 2000))
sock.sendall(conn.data_to_send())
while b"x" * 2000 not in body:
    pump()
print("echoed")
conn.send_data(1, text(b"bye"))
sock.sendall(conn.data_to_send())
while b"done" not in body:
    pump()
conn.send_data(1, b"\x88\x82\0\0\0\0\x0f\xa1")
sock.sendall(conn.data_to_send())
while not ended:
    pump()
print("ended", (b"\x0f\xa1done") in body)
