"""A storage that speaks as much of S3 as uploads need: put, head, multipart. Path-style only.

`objects` is what lies there: key → (bytes, headers). `fail` counts how many of the next puts are
answered with 503, after their bytes were read.
"""

from __future__ import annotations

import hashlib
import itertools
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit


class S3Server:
    def __init__(self, bucket: str = "exports") -> None:
        self.bucket = bucket
        self.objects: dict[str, tuple[bytes, dict[str, str]]] = {}
        self.puts: list[str] = []
        self.fail = 0
        self.deny = False
        self.uploads: dict[str, tuple[str, dict[str, str], dict[int, bytes]]] = {}
        self.numbers = itertools.count(1)
        storage = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                storage.head(self)

            def do_PUT(self) -> None:
                storage.put(self)

            def do_POST(self) -> None:
                storage.post(self)

            def log_message(self, *arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

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
        if key not in self.objects:
            _answer(request, 404)
            return
        data, headers = self.objects[key]
        request.send_response(200)
        request.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            request.send_header(name, value)
        request.end_headers()

    def put(self, request: BaseHTTPRequestHandler) -> None:
        key, query = self._place(request)
        data = _body(request)
        if self.deny:
            _answer(request, 403, b"<Error><Code>AccessDenied</Code></Error>")
            return
        if self.fail:
            self.fail -= 1
            _answer(request, 503, b"<Error><Code>SlowDown</Code></Error>")
            return
        tag = f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'
        if "uploadId" in query:
            self.uploads[query["uploadId"]][2][int(query["partNumber"])] = data
        else:
            self.puts.append(key)
            self.objects[key] = data, _metadata(request)
        _answer(request, 200, headers={"ETag": tag})

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
        assert "Authorization" in request.headers
        query = parse_qs(parts.query, keep_blank_values=True)
        return key, {name: values[0] for name, values in query.items()}


def _body(request: BaseHTTPRequestHandler) -> bytes:
    assert "aws-chunked" not in request.headers.get("Content-Encoding", "")
    return request.rfile.read(int(request.headers.get("Content-Length", 0)))


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
