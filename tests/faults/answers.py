"""What the service does with the calls of one prompt, and how they end: without a key, with one."""

from __future__ import annotations

from typing import Any

LATE = {"do": "late", "seconds": 3}
ANSWERS: dict[str, tuple[list[dict[str, Any] | str], str, str]] = {
    "well": ([], "done", "done"),
    "hang": ([{"do": "hang", "seconds": 3}], "unknown", "done"),
    "late": ([LATE], "unknown", "done"),
    "cut": (["cut"], "unknown", "done"),
    "drop": (["drop"], "unknown", "done"),
    "reset": (["reset"], "unknown", "done"),
    "rate limit": ([{"do": "rate_limit", "retry_after": 1}], "done", "done"),
    "no credit": (["no_credit"], "done", "done"),
    "fail": (["fail"], "done", "done"),
    "fail for ever": (["fail"] * 3, "failed", "failed"),
    "late, then fail for ever": ([LATE, "fail", "fail"], "unknown", "done"),
    "reset, then fail for ever": (["reset", "fail", "fail"], "unknown", "unknown"),
    "reset for ever": (["reset"] * 3, "unknown", "unknown"),
    "reset, then refuse": (["reset", "refuse"], "unknown", "unknown"),
    "refuse": (["refuse"], "failed", "failed"),
    "junk": (["junk"], "failed", "failed"),
    "broken json": (["broken_json"], "failed", "failed"),
    "no data": (["no_data"], "failed", "failed"),
    "corrupt": (["corrupt"], "failed", "failed"),
    "truncated": (["truncated"], "failed", "failed"),
    "no base64": (["no_base64"], "failed", "failed"),
    "too few": ([{"do": "wrong_count", "by": -1}], "failed", "failed"),
    "too many": ([{"do": "wrong_count", "by": 1}], "failed", "failed"),
    "wrong size": ([{"do": "wrong_size", "size": 32}], "failed", "failed"),
}
