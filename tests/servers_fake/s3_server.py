"""A storage that speaks as much of S3 as we need: put, get, head, delete, list, multipart.

Path-style only. `objects` is what lies there: key → (bytes, headers). `fail` counts how many of
the next puts are answered with 503, after their bytes were read; `garble` how many of the next
gets lose a byte's value; `is_down` refuses everything with 503. `python -m` runs it by itself.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, quote, unquote, urlsplit


class S3Server:
    def __init__(
        self, bucket: str = "exports", *, address: tuple[str, int] = ("127.0.0.1", 0)
    ) -> None:
        self.bucket = bucket
        self.reset()
        self.numbers = itertools.count(1)
        storage = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # else each answer's body waits 40 ms behind its head

            def do_HEAD(self) -> None:
                storage.head(self)

            def do_GET(self) -> None:
                storage.get(self)

            def do_DELETE(self) -> None:
                storage.delete(self)

            def do_PUT(self) -> None:
                storage.put(self)

            def do_POST(self) -> None:
                storage.post(self)

            def log_message(self, *arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(address, Handler)
        self.url = f"http://{address[0]}:{self._server.server_port}"

    def reset(self) -> None:
        """Forget everything, and serve well."""
        self.objects: dict[str, tuple[bytes, dict[str, str]]] = {}
        self.puts: list[str] = []
        self.gets: list[str] = []
        self.fail = self.garble = 0
        self.deny = self.is_down = False
        self.has_bucket = True
        self.uploads: dict[str, tuple[str, dict[str, str], dict[int, bytes]]] = {}

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def head(self, request: BaseHTTPRequestHandler) -> None:
        key, _ = self._place(request)
        is_there = key in self.objects or (not key and self.has_bucket)
        if self.is_down or not is_there:
            _answer(request, 503 if self.is_down else 404)
            return
        if not key:
            _answer(request, 200)
            return
        data, headers = self.objects[key]
        request.send_response(200)
        request.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            request.send_header(name, value)
        request.end_headers()

    def get(self, request: BaseHTTPRequestHandler) -> None:
        key, query = self._place(request)
        if self.is_down:
            _answer(request, 503, b"<Error><Code>SlowDown</Code></Error>")
        elif not key:
            self.list(request, query.get("prefix", ""))
        elif key not in self.objects:
            _answer(request, 404, b"<Error><Code>NoSuchKey</Code></Error>")
        else:
            data, headers = self.objects[key]
            self.gets.append(key)
            if self.garble:
                self.garble -= 1
                data = data[:-1] + bytes([data[-1] ^ 1])
            status = 200
            if found := re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("Range", "")):
                first, last = map(int, found.groups())
                total, data = len(data), data[first : last + 1]
                headers = headers | {"Content-Range": f"bytes {first}-{last}/{total}"}
                status = 206
            _answer(request, status, data, headers | {"ETag": _tag(data)})

    def list(self, request: BaseHTTPRequestHandler, prefix: str) -> None:
        entries = "".join(
            f"<Contents><Key>{quote(key)}</Key><Size>{len(data)}</Size>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for key, (data, _) in sorted(self.objects.items())
            if key.startswith(prefix)
        )
        text = (
            f"<ListBucketResult><Name>{self.bucket}</Name><IsTruncated>false</IsTruncated>"
            f"<EncodingType>url</EncodingType>{entries}</ListBucketResult>"
        )
        _answer(request, 200, text.encode(), {"Content-Type": "application/xml"})

    def delete(self, request: BaseHTTPRequestHandler) -> None:
        key, _ = self._place(request)
        self.objects.pop(key, None)
        _answer(request, 503 if self.is_down else 204)

    def put(self, request: BaseHTTPRequestHandler) -> None:
        key, query = self._place(request)
        data = _body(request)
        if self.is_down:
            _answer(request, 503, b"<Error><Code>SlowDown</Code></Error>")
            return
        if not key:
            self.has_bucket = True
            _answer(request, 200)
            return
        if (wanted := request.headers.get("Content-MD5")) and wanted != _md5(data):
            _answer(request, 400, b"<Error><Code>BadDigest</Code></Error>")
            return
        if self.deny:
            _answer(request, 403, b"<Error><Code>AccessDenied</Code></Error>")
            return
        if self.fail:
            self.fail -= 1
            _answer(request, 503, b"<Error><Code>SlowDown</Code></Error>")
            return
        if "uploadId" in query:
            self.uploads[query["uploadId"]][2][int(query["partNumber"])] = data
        else:
            self.puts.append(key)
            self.objects[key] = data, _metadata(request)
        _answer(request, 200, headers={"ETag": _tag(data)})

    def post(self, request: BaseHTTPRequestHandler) -> None:
        key, query = self._place(request)
        _body(request)
        if "uploads" in query:
            upload = str(next(self.numbers))
            self.uploads[upload] = (key, _metadata(request), {})
            text = (
                f"<InitiateMultipartUploadResult><Bucket>{self.bucket}</Bucket><Key>{key}</Key>"
                f"<UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
            )
        else:
            name, headers, parts = self.uploads.pop(query["uploadId"])
            self.puts.append(name)
            self.objects[name] = b"".join(parts[number] for number in sorted(parts)), headers
            text = (
                f"<CompleteMultipartUploadResult><Key>{name}</Key><ETag>x</ETag>"
                "</CompleteMultipartUploadResult>"
            )
        _answer(request, 200, text.encode())

    def _place(self, request: BaseHTTPRequestHandler) -> tuple[str, dict[str, str]]:
        parts = urlsplit(request.path)
        bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
        assert bucket == self.bucket
        query = parse_qs(parts.query, keep_blank_values=True)
        assert "Authorization" in request.headers or "X-Amz-Signature" in query
        return key, {name: values[0] for name, values in query.items()}


def _body(request: BaseHTTPRequestHandler) -> bytes:
    assert "aws-chunked" not in request.headers.get("Content-Encoding", "")
    return request.rfile.read(int(request.headers.get("Content-Length", 0)))


def _md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def _tag(data: bytes) -> str:
    return f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'


def _metadata(request: BaseHTTPRequestHandler) -> dict[str, str]:
    kept = ("x-amz-meta-", "content-type")
    return {name: value for name, value in request.headers.items() if name.lower().startswith(kept)}


def _answer(
    request: BaseHTTPRequestHandler,
    status: int,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
) -> None:
    request.send_response(status)
    request.send_header("Content-Length", str(len(body)))
    for name, value in (headers or {}).items():
        request.send_header(name, value)
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(body)


if __name__ == "__main__":
    bucket, host, port = sys.argv[1:]
    server = S3Server(bucket, address=(host, int(port)))
    server._server.serve_forever()
