"""Asks whether any pinned package has a known vulnerability. Without a network it says so and ends.

`make lint` runs it, and must pass on a machine that reaches nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

PINS = Path(__file__).resolve().parent.parent / "constraints.txt"
PATIENCE_S = 120


def vulnerabilities() -> list[str] | None:
    """Return a line for each known vulnerability; None where nobody could be asked."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(PINS)]
    command += ["--disable-pip", "--no-deps", "--format", "json", "--progress-spinner", "off"]
    try:
        done = subprocess.run(
            [*command, "--timeout", "10"],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        found = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, json.JSONDecodeError, KeyError):
        return None
    if all("skip_reason" in row for row in found):  # a mirror that knows files alone
        return None
    return [
        f"{row['name']} {row['version']}: {fault['id']}"
        f" (mended in {', '.join(fault['fix_versions']) or 'no release yet'})"
        for row in found
        for fault in row.get("vulns", ())
    ]


def main() -> int:
    found = vulnerabilities()
    if found is None:
        print("No service that knows vulnerabilities can be reached: the pins were not audited.")
        return 0
    for line in found:
        print(line, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
