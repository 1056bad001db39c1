#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A server and a client of gRPC whose messages are bytes.

grpc_peer.py serve ADDRESS:PORT
grpc_peer.py call ADDRESS:PORT [CA NAME]    all kinds of calls; one line a kind, exit code 1
                                            if anything is not as it must be
grpc_peer.py stream ADDRESS:PORT BYTES      so many each way in one call, in messages of 64 KiB
"""
import hashlib
import sys
from concurrent import futures

import grpc

SERVICE = "test.Echo"


def unary(request, context):
    context.set_trailing_metadata((("x-seen", str(len(request))),))
    return request


def fails(request, context):
    context.abort(grpc.StatusCode.NOT_FOUND, "nothing of that name")


def down(request, context):
    for i in range(int(request)):
        yield b"%d" % i


def up(requests, context):
    digest, total = hashlib.sha256(), 0
    for message in requests:
        digest.update(message)
        total += len(message)
    return b"%d %s" % (total, digest.hexdigest().encode())


def both(requests, context):
    for message in requests:
        yield message


def health(request, context):
    """grpc.health.v1.Health/Check, of the server as a whole and of two services."""
    service = request[2:].decode()
    if service in ("", SERVICE):
        return b"\x08\x01"  # SERVING
    if service == "test.Down":
        return b"\x08\x02"  # NOT_SERVING
    context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")


def serve(address):
    server = grpc.server(futures.ThreadPoolExecutor(64),
                         options=[("grpc.max_receive_message_length", -1),
                                  ("grpc.max_concurrent_streams", 1000)])
    handlers = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "Fails": grpc.unary_unary_rpc_method_handler(fails),
        "Down": grpc.unary_stream_rpc_method_handler(down),
        "Up": grpc.stream_unary_rpc_method_handler(up),
        "Both": grpc.stream_stream_rpc_method_handler(both),
    }
    check = {"Check": grpc.unary_unary_rpc_method_handler(health)}
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(SERVICE, handlers),
         grpc.method_handlers_generic_handler("grpc.health.v1.Health", check)))
    if not server.add_insecure_port(address):
        sys.exit("cannot listen")
    server.start()
    server.wait_for_termination()


def open_channel(address, ca=None, name=None):
    options = [("grpc.max_receive_message_length", -1)]
    if not ca:
        return grpc.insecure_channel(address, options=options)
    with open(ca, "rb") as f:
        credentials = grpc.ssl_channel_credentials(f.read())
    options.append(("grpc.ssl_target_name_override", name))
    return grpc.secure_channel(address, credentials, options=options)


def must(what, good):
    print("ok" if good else "NOT ok", what)
    if not good:
        sys.exit(1)


def call(channel):
    def path(method):
        return f"/{SERVICE}/{method}"

    one = channel.unary_unary(path("Unary"))
    answer, state = one.with_call(b"hello", metadata=(("x-mine", "1"),), timeout=20)
    must("unary", answer == b"hello")
    must("trailers", ("x-seen", "5") in [(m.key, m.value) for m in state.trailing_metadata()])
    large = bytes(range(256)) * 20000
    must("a large message", one(large, timeout=30) == large)
    try:
        channel.unary_unary(path("Fails"))(b"x", timeout=20)
        must("a failure", False)
    except grpc.RpcError as e:
        must("a failure", e.code() == grpc.StatusCode.NOT_FOUND and "that name" in e.details())
    try:
        channel.unary_unary(path("Nothing"))(b"x", timeout=20)
        must("no such method", False)
    except grpc.RpcError as e:
        must("no such method", e.code() == grpc.StatusCode.UNIMPLEMENTED)
    got = list(channel.unary_stream(path("Down"))(b"5000", timeout=30))
    must("a stream down", got == [b"%d" % i for i in range(5000)])
    sent = [b"%d" % i * 100 for i in range(3000)]
    want = b"%d %s" % (sum(map(len, sent)), hashlib.sha256(b"".join(sent)).hexdigest().encode())
    must("a stream up", channel.stream_unary(path("Up"))(iter(sent), timeout=30) == want)
    must("streams both ways", list(channel.stream_stream(path("Both"))(iter(sent), timeout=30)) == sent)
    many = [one.future(b"%d" % i, timeout=30) for i in range(1000)]
    must("1000 calls at once", [f.result() for f in many] == [b"%d" % i for i in range(1000)])
    cancelled = channel.unary_stream(path("Down"))(b"100000000", timeout=30)
    next(cancelled)
    cancelled.cancel()
    must("after one that was cancelled", one(b"still", timeout=20) == b"still")


def stream(channel, total):
    piece = b"x" * 65536
    n = total // len(piece)
    got = 0
    for message in channel.stream_stream(f"/{SERVICE}/Both")(iter([piece] * n), timeout=500):
        got += len(message)
    must(f"{got} bytes each way", got == n * len(piece))


if sys.argv[1] == "serve":
    serve(sys.argv[2])
elif sys.argv[1] == "stream":
    stream(open_channel(sys.argv[2]), int(sys.argv[3]))
else:
    call(open_channel(*sys.argv[2:]))
