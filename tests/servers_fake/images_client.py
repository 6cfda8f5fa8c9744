"""Starts the fake images server as a process of its own, and drives it from a test."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

ROOT = Path(__file__).parents[2]


class ImagesServer:
    """`with ImagesServer("openai") as server: … server.base_url, server.script(…)`.

    Args:
        kind: which server it plays, see images_rules.RULES.
        models: names it knows, as "name" or "name=2026-12-01" with the day it ends; none: any.
        ledger: a file that also gets the ledger, one JSON line per charged call.
    """

    def __init__(
        self,
        kind: str = "openai",
        *,
        models: tuple[str, ...] = (),
        port: int = 0,
        ledger: Path | None = None,
        price_usd: float = 0.04,
        needs_key: str = "",
        idempotency_header: str = "",
    ) -> None:
        self._command = [
            sys.executable, "-m", "tests.servers_fake.images_server",
            "--kind", kind, "--port", str(port), "--price-usd", str(price_usd),
            "--needs-key", needs_key, "--idempotency-header", idempotency_header,
            "--ledger", str(ledger or ""),
            *(part for name in models for part in ("--model", name)),
        ]  # fmt: skip
        self.kind = kind
        self.base_url = ""

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(self._command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.base_url = self.process.stdout.readline().strip()
        assert self.base_url, "the fake server did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    @property
    def origin(self) -> str:
        parts = urlsplit(self.base_url)
        return f"{parts.scheme}://{parts.netloc}"

    def script(self, *steps: dict[str, Any] | str) -> None:
        """Let the next paid calls go so: {"do": "late", "seconds": 2}, or a bare name."""
        self._ask("script", [{"do": step} if isinstance(step, str) else step for step in steps])

    def script_for(self, prompt: str, *steps: dict[str, Any] | str) -> None:
        """Let the next paid calls for this prompt go so, whatever the script says."""
        told = [{"do": step} if isinstance(step, str) else step for step in steps]
        self._ask("script_for", {prompt: told})

    def always(self, step: dict[str, Any] | str | None) -> None:
        """Let every call that no script is left for go so; None makes it answer well again."""
        self._ask("always", {"do": step} if isinstance(step, str) else step or {})

    def batches(self, *plans: dict[str, Any]) -> None:
        """Let the next batches go so, see `images_batches`."""
        self._ask("batches", list(plans))

    def reset(self) -> None:
        self._ask("reset", {})

    @property
    def ledger(self) -> list[dict[str, Any]]:
        """Every call that the server took money or pains for."""
        rows: list[dict[str, Any]] = self._ask("ledger")
        return rows

    @property
    def charged_micro_usd(self) -> int:
        return sum(row["charged_micro_usd"] for row in self.ledger)

    @property
    def requests(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self._ask("requests")
        return rows

    def _ask(self, what: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.origin}/_fake/{what}", data)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)
