# SPDX-License-Identifier: Apache-2.0
"""A client of HTTP/2 that sends what it is told to, right or wrong, and keeps what comes back.

Frames are bytes: frame() and its friends make them, Connection sends them as they are.  What
comes is a list of Frame, in order; the head of a message is decoded, whatever came of it.
Needs python3-h2's hpack.  Over TLS with CA and NAME, by ALPN h2.
"""
import collections
import socket
import ssl
import struct
import time

import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
(DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE,
 CONTINUATION) = range(10)
NAMES = ("DATA HEADERS PRIORITY RST_STREAM SETTINGS PUSH_PROMISE PING GOAWAY WINDOW_UPDATE "
         "CONTINUATION").split()
ACK = END_STREAM = 1
END_HEADERS, PADDED, WITH_PRIORITY = 4, 8, 32
(NO_ERROR, PROTOCOL, INTERNAL, FLOW_CONTROL, SETTINGS_TIMEOUT, STREAM_CLOSED, FRAME_SIZE, REFUSED,
 CANCEL, COMPRESSION, CONNECT, CALM) = range(12)

# payload: bytes; of HEADERS the fields, of RST_STREAM the code, of GOAWAY (last stream, code)
Frame = collections.namedtuple("Frame", "type flags stream payload")


def frame(kind, flags=0, stream=0, payload=b"", length=None):
    n = len(payload) if length is None else length
    return struct.pack(">I", n)[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def settings(*pairs):
    return frame(SETTINGS, payload=b"".join(struct.pack(">HI", k, v) for k, v in pairs))


def window_update(stream, n):
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", n))


def rst_stream(stream, code=CANCEL):
    return frame(RST_STREAM, 0, stream, struct.pack(">I", code))


def priority(stream, on=0, weight=15):
    return frame(PRIORITY, 0, stream, struct.pack(">IB", on, weight))


def goaway(last=0, code=NO_ERROR, debug=b"", stream=0):
    return frame(GOAWAY, 0, stream, struct.pack(">II", last, code) + debug)


def word(f):
    """A frame in a word or two, for who reads a failure."""
    kind = NAMES[f.type] if f.type < len(NAMES) else str(f.type)
    last = "*" if f.type in (DATA, HEADERS) and f.flags & END_STREAM else ""
    if f.type == HEADERS:
        what = dict(f.payload).get(":status", "trailers") if isinstance(f.payload, list) else f.payload
    elif f.type == DATA:
        what = len(f.payload)
    elif f.type in (RST_STREAM, GOAWAY):
        what = f.payload
    else:
        what = "ack" if f.type in (SETTINGS, PING) and f.flags & ACK else ""
    return f"{kind}[{f.stream}]{last}{'=' if what != '' else ''}{what}"


def split_address(text):
    address, port = text.rsplit(":", 1)
    return address.strip("[]"), int(port)


class Connection:
    """tls: (CA, NAME) or None; preface=False: not a byte is sent."""

    def __init__(self, address, tls=None, with_settings=(), preface=True, ack=True, authority=None,
                 receive_buffer=None):
        self.sock = socket.socket()
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(10)
        self.sock.connect(split_address(address))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.scheme, self.authority = "http", authority or "a"
        if tls:
            context = ssl.create_default_context(cafile=tls[0])
            context.set_alpn_protocols(["h2"])
            self.sock = context.wrap_socket(self.sock, server_hostname=tls[1])
            assert self.sock.selected_alpn_protocol() == "h2"
            self.scheme, self.authority = "https", authority or tls[1]
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.decoder.max_header_list_size = 1 << 20
        self.buf, self.head = b"", None
        self.frames = []  # all that came
        self.end = None   # how it ended: "FIN", or the error's name
        if preface:
            self.send(PREFACE + settings(*with_settings) + (frame(SETTINGS, ACK) if ack else b""))

    def send(self, data):
        """False if the connection has ended; what it said before can be read still."""
        try:
            self.sock.settimeout(10)
            self.sock.sendall(data)
            return True
        except OSError:
            return False

    def close(self):
        self.sock.close()

    def fields(self, path="/bytes/3", method="GET", extra=()):
        return [(":method", method), (":scheme", self.scheme), (":path", path),
                (":authority", self.authority), *extra]

    def block(self, fields):
        """Encoded as it is, with incremental indexing; fields must be sent in this order."""
        return self.encoder.encode(fields, huffman=False)

    def head_of(self, stream, path="/bytes/3", end=True, **more):
        """A frame of a whole head."""
        block = self.block(more["fields"] if "fields" in more else self.fields(path, **more))
        return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block)

    def request(self, stream, path="/bytes/3", end=True, **more):
        return self.send(self.head_of(stream, path, end, **more))

    def _take(self):
        """A frame of what has been read, or None."""
        n = int.from_bytes(self.buf[:3], "big")
        if len(self.buf) < 9 + n:
            return None
        kind, flags = self.buf[3], self.buf[4]
        stream = int.from_bytes(self.buf[5:9], "big") & 0x7fffffff
        payload, self.buf = self.buf[9:9 + n], self.buf[9 + n:]
        if kind in (HEADERS, CONTINUATION):
            self.head = (self.head or (flags, b""))[0], (self.head or (flags, b""))[1] + payload
            if not flags & END_HEADERS:
                return self._take()
            (flags, block), self.head, kind = self.head, None, HEADERS
            payload = self.decoder.decode(block)
        elif kind == RST_STREAM:
            payload = int.from_bytes(payload, "big")
        elif kind == GOAWAY:
            payload = struct.unpack(">II", payload[:8])
        return Frame(kind, flags, stream, payload)

    def next(self, seconds=10.0):
        """The next frame, or None: the connection has ended, or nothing came."""
        deadline = time.monotonic() + seconds
        while True:
            got = self._take()
            if got:
                self.frames.append(got)
                return got
            left = deadline - time.monotonic()
            if left <= 0 or self.end:
                return None
            self.sock.settimeout(left)
            try:
                data = self.sock.recv(65536)
                if not data:
                    self.end = "FIN"
                self.buf += data
            except socket.timeout:
                return None
            except OSError as e:
                self.end = type(e).__name__

    def until(self, what, seconds=10.0):
        """The first frame, of those that come now, of which what(frame); or None."""
        deadline = time.monotonic() + seconds
        while True:
            f = self.next(max(0.0, deadline - time.monotonic()))
            if f is None or what(f):
                return f

    def quiet(self, seconds=0.3):
        """All that comes in that time."""
        n = len(self.frames)
        self.until(lambda f: False, seconds)
        return self.frames[n:]

    def ended(self, seconds=10.0):
        self.until(lambda f: False, seconds)
        return self.end

    def pong(self, seconds=10.0, payload=b"are you?"):
        """Does it still answer?"""
        self.send(frame(PING, payload=payload))
        return self.until(lambda f: f.type == PING and f.flags & ACK and f.payload == payload, seconds)

    def status(self, stream):
        for f in self.frames:
            if f.type == HEADERS and f.stream == stream and ":status" in dict(f.payload):
                if dict(f.payload)[":status"] >= "200":
                    return dict(f.payload)[":status"]
        return None

    def body(self, stream):
        return b"".join(f.payload for f in self.frames if f.type == DATA and f.stream == stream)

    def answer(self, stream, seconds=10.0):
        """Its status when it has ended; or None."""
        def is_last(f):
            return f.stream == stream and (f.type == RST_STREAM or (
                f.type in (HEADERS, DATA) and f.flags & END_STREAM)) or f.type == GOAWAY
        if not any(map(is_last, self.frames)):
            self.until(is_last, seconds)
        return self.status(stream)

    def words(self):
        return " ".join(map(word, self.frames[-12:])) + (f" {self.end}" if self.end else "")
