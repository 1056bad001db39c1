# SPDX-License-Identifier: Apache-2.0
"""Reading of a socket by lines and by bytes, for the ends of tests that are not under test."""


class Gone(Exception):
    """The other side has ended; or this side is to."""


class Reader:
    def __init__(self, sock):
        self.sock, self.buf = sock, b""

    def more(self):
        got = self.sock.recv(65536)
        if not got:
            raise Gone
        self.buf += got

    def line(self):
        """Without its CRLF, as Latin-1."""
        while b"\r\n" not in self.buf:
            self.more()
        line, self.buf = self.buf.split(b"\r\n", 1)
        return line.decode("latin-1")

    def exactly(self, n):
        while len(self.buf) < n:
            self.more()
        got, self.buf = self.buf[:n], self.buf[n:]
        return got
