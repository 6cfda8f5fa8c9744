"""The Hugging Face Hub's endpoints for an upload: make a repository, LFS, commit.

`files` is what lies in each repository after its last commit: name → bytes. As on the Hub a commit
holds small files themselves and names large ones, which were put to LFS before and must match
their sha256. A request without `token` is refused.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit

LFS_ENDINGS = (".png", ".jpg", ".webp", ".tar", ".parquet")


class HubServer:
    def __init__(self, token: str = "hf_test") -> None:
        self.token = token
        self.files: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.commits: list[str] = []
        self.lfs: dict[str, bytes] = {}
        self.status = 0  # answer commits with this
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                hub.answer(self)

            def do_POST(self) -> None:
                hub.answer(self)

            def do_PUT(self) -> None:
                hub.answer(self)

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

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        body = _body(request)
        path = urlsplit(request.path).path
        if path.startswith("/lfs/"):
            assert hashlib.sha256(body).hexdigest() == path.removeprefix("/lfs/")
            self.lfs[path.removeprefix("/lfs/")] = body
            _send(request, 200, {})
        elif request.headers.get("Authorization") != f"Bearer {self.token}":
            _send(request, 401, {"error": "Invalid credentials"})
        else:
            _send(request, *self._answer(path, body))

    def _answer(self, path: str, body: bytes) -> tuple[int, Any]:
        if path == "/api/repos/create":
            wish = json.loads(body)
            name = f"{wish['organization']}/{wish['name']}"
            if name in self.files:
                return 409, {
                    "error": "You already created this dataset repo",
                    "url": self._url(name),
                }
            is_private = wish.get("private", wish.get("visibility") == "private")
            self.files[name], self.private[name] = {}, bool(is_private)
            return 200, {"url": self._url(name), "name": name, "id": name}
        if path == "/api/validate-yaml":
            assert json.loads(body)["content"].startswith("---\n")
            return 200, {"errors": [], "warnings": []}
        if path.endswith(".git/info/lfs/objects/batch"):
            objects = json.loads(body)["objects"]
            return 200, {"transfer": "basic", "objects": [self._lfs(one) for one in objects]}
        _, _, _, owner, short, what, *_ = [*path.split("/"), "", "", ""]
        name = f"{owner}/{short}"
        if what == "preupload":
            return 200, {"files": [_mode(one) for one in json.loads(body)["files"]]}
        if what == "commit":
            return self._commit(name, [json.loads(line) for line in body.splitlines()])
        if what in ("tree", "revision", ""):
            tree = [_entry(file, data) for file, data in self.files[name].items()]
            if what == "tree":
                return 200, tree
            siblings = [{"rfilename": file} for file in self.files[name]]
            return 200, {"id": name, "sha": "0" * 40, "siblings": siblings, "private": True}
        return 404, {"error": f"no such endpoint: {path}"}

    def _url(self, name: str) -> str:
        return f"{self.url}/datasets/{name}"

    def _lfs(self, wish: dict[str, Any]) -> dict[str, Any]:
        known = {"oid": wish["oid"], "size": wish["size"]}
        if wish["oid"] in self.lfs:
            return known
        return known | {"actions": {"upload": {"href": f"{self.url}/lfs/{wish['oid']}"}}}

    def _commit(self, name: str, lines: list[dict[str, Any]]) -> tuple[int, Any]:
        if self.status:
            return self.status, {"error": "not now"}
        files = dict(self.files[name])
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.lfs[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
            elif line["key"] == "header":
                self.commits.append(value["summary"])
        self.files[name] = files
        return 200, {"commitUrl": f"{self._url(name)}/commit/{'1' * 40}", "commitOid": "1" * 40}


def _body(request: BaseHTTPRequestHandler) -> bytes:
    if request.headers.get("Transfer-Encoding", "").lower() != "chunked":
        return request.rfile.read(int(request.headers.get("Content-Length", 0)))
    parts = []
    while size := int(request.rfile.readline(), 16):
        parts.append(request.rfile.read(size))
        request.rfile.readline()
    request.rfile.readline()
    return b"".join(parts)


def _mode(file: dict[str, Any]) -> dict[str, Any]:
    mode = "lfs" if file["path"].endswith(LFS_ENDINGS) else "regular"
    return {"path": file["path"], "uploadMode": mode, "shouldIgnore": False}


def _entry(file: str, data: bytes) -> dict[str, Any]:
    return {"type": "file", "path": file, "size": len(data), "oid": "0" * 40}


def _send(request: BaseHTTPRequestHandler, status: int, answer: Any) -> None:
    data = json.dumps(answer).encode()
    request.send_response(status)
    request.send_header("Content-Type", "application/json")
    request.send_header("Content-Length", str(len(data)))
    request.end_headers()
    request.wfile.write(data)
