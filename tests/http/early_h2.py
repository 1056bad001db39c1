#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""early_h2.py ADDRESS:PORT CA NAME PATH BYTES: a POST of so many by HTTP/2 over TLS that goes on
sending when it is answered before all of it has gone; prints what came of it."""
import select
import socket
import ssl
import sys
import time

import h2.connection
import h2.events as e

address, ca, name, path, left = sys.argv[1:6]
host, port = address.rsplit(":", 1)
left = int(left)
context = ssl.create_default_context(cafile=ca)
context.set_alpn_protocols(["h2"])
sock = context.wrap_socket(socket.create_connection((host, int(port)), timeout=10), server_hostname=name)
conn = h2.connection.H2Connection()
conn.initiate_connection()
conn.send_headers(1, [(":method", "POST"), (":path", path), (":scheme", "https"), (":authority", name),
                      ("content-length", str(left))])
sock.sendall(conn.data_to_send())
begin, status, ended, reset = time.monotonic(), None, False, None
while reset is None and (left or not ended) and time.monotonic() < begin + 20:
    n = min(conn.local_flow_control_window(1), left, 16384)
    if n:
        left -= n
        conn.send_data(1, b"x" * n, end_stream=not left)
        sock.sendall(conn.data_to_send())
    if sock.pending() or select.select([sock], [], [], 0 if n else 0.05)[0]:
        got = sock.recv(65536)
        if not got:
            break
        for event in conn.receive_data(got):
            if isinstance(event, e.ResponseReceived):
                status = int(dict(event.headers)[b":status"])
            elif isinstance(event, e.StreamEnded):
                ended = True
            elif isinstance(event, e.StreamReset):
                reset = int(event.error_code)
        sock.sendall(conn.data_to_send())
print(f"status {status}, {'whole' if ended else 'cut'}, {left} bytes left, reset {reset}")
