"""Answers that no honest backend sends, by name. Each ends in a close; none may ever pass as a whole answer."""

from __future__ import annotations

import gzip

OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
LENGTH = OK + b"content-length: 2\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n"

# What aiohttp's client refuses too: the differential test asks it.
REFUSED_BY_ALL = {
    "nothing": b"",
    "garbage": b"garbage\r\n\r\n",
    "a status line cut short": b"HTTP/1.1 200",
    "a head cut short": OK,
    "a length cut short": OK + b"content-length: 10\r\n\r\n{}",
    "a chunk cut short": CHUNKED + b"\r\n5\r\n{}",
    "no last chunk": CHUNKED + b"\r\n2\r\n{}\r\n",
    "a last chunk cut short": CHUNKED + b"\r\n2\r\n{}\r\n0\r\n",
    "a chunk size that is none": CHUNKED + b"\r\nZZ\r\n{}\r\n0\r\n\r\n",
    "a negative chunk size": CHUNKED + b"\r\n-2\r\n{}\r\n0\r\n\r\n",
    "a chunk size in C": CHUNKED + b"\r\n0x2\r\n{}\r\n0\r\n\r\n",
    "a chunk longer than its size": CHUNKED + b"\r\n1\r\n{}\r\n0\r\n\r\n",
    "a chunk size beyond 64 bits": CHUNKED + b"\r\n" + b"f" * 17 + b"\r\n{}\r\n0\r\n\r\n",
    "both framings": LENGTH + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "both framings, chunks first": CHUNKED + b"content-length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "two lengths": LENGTH + b"content-length: 3\r\n\r\n{}",
    "the same length twice": LENGTH + b"content-length: 2\r\n\r\n{}",
    "a list of lengths": OK + b"content-length: 2, 2\r\n\r\n{}",
    "a signed length": OK + b"content-length: +2\r\n\r\n{}",
    "a negative length": OK + b"content-length: -2\r\n\r\n{}",
    "a length with a space in it": OK + b"content-length: 0 2\r\n\r\n{}",
    "a length beyond 64 bits": OK + b"content-length: " + b"9" * 30 + b"\r\n\r\n{}",
    "NUL in a header": LENGTH + b"x-a: \0\r\n\r\n{}",
    "a lone CR in a header": LENGTH + b"x-a: b\rc: d\r\n\r\n{}",
    "a space before the colon": LENGTH + b"x-a : b\r\n\r\n{}",
    "a line without a colon": LENGTH + b"x-a\r\n\r\n{}",
    "a name with a bracket": LENGTH + b"x(a): b\r\n\r\n{}",
    "a header of 20 kB": LENGTH + b"x-a: " + b"a" * 20_000 + b"\r\n\r\n{}",
    "a status of four digits": b"HTTP/1.1 2000 OK\r\ncontent-length: 2\r\n\r\n{}",
}

# What a lenient client lets pass.
REFUSED_BY_US = {
    "a bell in a header": LENGTH + b"x-a: \x07\r\n\r\n{}",
    "an answer to nobody's upgrade": b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    "bare line feeds": b"HTTP/1.1 200 OK\ncontent-length: 2\n\n{}",
    "a folded header": LENGTH + b"x-a: b\r\n c\r\n\r\n{}",
    "HTTP/0.9": b"HTTP/0.9 200 OK\r\ncontent-length: 2\r\n\r\n{}",
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\ncontent-length: 2\r\n\r\n{}",
    "another protocol": b"RTSP/1.0 200 OK\r\ncontent-length: 2\r\n\r\n{}",
    "empty lines before": b"\r\n\r\n" + LENGTH + b"\r\n{}",
    "chunks in HTTP/1.0": b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "another coding": OK + b"transfer-encoding: gzip\r\n\r\n{}",
    "another coding before": OK + b"transfer-encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "chunked twice": CHUNKED + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "nearly chunked": OK + b"transfer-encoding: xchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "bare line feeds in chunks": CHUNKED + b"\r\n2\n{}\n0\n\n",
    "a head of 40 kB": LENGTH + b"".join(b"x-%d: %b\r\n" % (n, b"a" * 4_000) for n in range(10)) + b"\r\n{}",
    "101 headers": LENGTH + b"".join(b"x-%d: a\r\n" % n for n in range(99)) + b"\r\n{}",
    "101 trailers": CHUNKED + b"\r\n2\r\n{}\r\n0\r\n" + b"".join(b"x-%d: a\r\n" % n for n in range(99)) + b"\r\n",
    "a redirect": b"HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 2\r\n\r\n{}",
    "not modified": b"HTTP/1.1 304 Not Modified\r\n\r\n",
    "compressed": OK + b"content-encoding: gzip\r\ncontent-length: 1038\r\n\r\n" + gzip.compress(b"0" * 10**6),
    "an interim answer that no one knows": b"HTTP/1.1 142 What\r\n\r\n" + LENGTH + b"\r\n{}",
    "an interim answer with a body": b"HTTP/1.1 100 Continue\r\ncontent-length: 2\r\n\r\n" + LENGTH + b"\r\n{}",
    "interim answers without end": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 9 + LENGTH + b"\r\n{}",
}
