"""`python -m tests.prepare`: see to it that the tests find a browser and a PostgreSQL.

Takes what the machine has; else Playwright's own browser and the wheel's PostgreSQL; else,
where it may, the distribution's packages. Says in one line each what it took.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import sync_playwright

from synthreview.lib.servers import ServerError, postgres_bin

BROWSER_NAMES = ("chromium", "google-chrome", "google-chrome-stable", "chromium-browser")
MAC_BROWSERS = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
DOWNLOAD_S = 300
BROWSER_ARGUMENTS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",  # containers give it 64 MB
    "--no-first-run",
    # Chromium's sandbox refuses root; the tests open no page but ours.
    *(("--no-sandbox",) if os.geteuid() == 0 else ()),
)


def system_browser() -> str | None:
    """Return the Chromium or Chrome that the machine has and that starts; else None."""
    named = [os.environ.get("TEST_BROWSER"), *map(shutil.which, BROWSER_NAMES), *MAC_BROWSERS]
    for path in filter(None, named):
        # Ubuntu's chromium-browser may be a stub that only tells to install a snap.
        if Path(path).exists() and _succeeds([path, "--version"], timeout_s=30, quiet=True):
            return path
    return None


def own_browser_starts() -> bool:
    """Say whether the browser that Playwright brings is there and starts."""
    try:
        with sync_playwright() as playwright:
            playwright.chromium.launch(args=list(BROWSER_ARGUMENTS)).close()
    except PlaywrightError:
        return False
    return True


def prepare_browser() -> str:
    """Return which browser the tests will use.

    Raises:
        SystemExit: there is none and none can be installed.
    """
    if found := system_browser():
        return found
    if own_browser_starts():
        return "Playwright's own"
    print("No browser yet: installing Playwright's Chromium …", flush=True)
    install = [sys.executable, "-m", "playwright", "install", "--only-shell", "chromium"]
    if _succeeds(install, timeout_s=DOWNLOAD_S) and own_browser_starts():
        return "Playwright's own"
    if install_package("chromium") and (found := system_browser()):
        return found
    raise SystemExit("No browser: install Chromium or Chrome, or name one in TEST_BROWSER.")


def prepare_postgres() -> str:
    """Return which PostgreSQL the tests will use.

    Raises:
        SystemExit: there is none and none can be installed.
    """
    if os.environ.get("TEST_DATABASE_URL"):
        return "TEST_DATABASE_URL"
    try:
        return str(postgres_bin())
    except ServerError as error:
        if install_package("postgresql"):
            return str(postgres_bin())
        raise SystemExit(str(error)) from error


def install_package(name: str) -> bool:
    """Install a package of the distribution, where it is Debian's kind and we may."""
    apt = shutil.which("apt-get")
    if apt is None:
        return False
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if sudo and shutil.which("sudo") is None:
        return False
    print(f"Installing the package {name} …", flush=True)
    environment = ["env", "DEBIAN_FRONTEND=noninteractive"]
    _succeeds([*sudo, apt, "update", "-q"], timeout_s=DOWNLOAD_S, quiet=True)
    return _succeeds(
        [*sudo, *environment, apt, "install", "-y", "-q", "--no-install-recommends", name],
        timeout_s=2 * DOWNLOAD_S,
        quiet=True,
    )


def _succeeds(command: list[str], *, timeout_s: float, quiet: bool = False) -> bool:
    try:
        done = subprocess.run(
            command, check=False, timeout=timeout_s, stdin=subprocess.DEVNULL, capture_output=quiet
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


if __name__ == "__main__":
    print(f"browser: {prepare_browser()}", flush=True)
    print(f"postgresql: {prepare_postgres()}", flush=True)
