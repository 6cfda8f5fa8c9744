"""`make screenshots`: draw a small dataset, review some of it, and photograph the pages.

Runs on its own data in a temporary folder and writes docs/images/*.png.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.request import urlopen

from playwright.sync_api import Page, sync_playwright

from synthreview.lib.servers import free_port
from tests.prepare import BROWSER_ARGUMENTS, system_browser

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "images"
PASSWORD = "screenshots"
SIZE = {"width": 1280, "height": 800}
PREPARE = (
    ("migrate", "-v0"),
    ("createsuperuser", "--username", "demo", "--email", "", "--noinput"),
    ("import_dataset", "fixtures/demo.toml", "--owner", "demo"),
    ("generate", "drawn-world", "--count", "96", "--first-run", "--seed", "7", "--wait"),
    ("score", "drawn-world", "--wait"),
    ("admit",),
)


def main() -> None:
    TARGET.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        environment = {
            **os.environ,
            "SYNTHREVIEW_DATA": folder,
            "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
            "SYNTHREVIEW_LOG_LEVEL": "ERROR",
        }
        for command in PREPARE:
            subprocess.run(
                [sys.executable, "manage.py", *command], cwd=ROOT, env=environment, check=True
            )
        url = f"http://127.0.0.1:{free_port()}"
        server = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "synthreview.wsgi", "-b", url[7:], "--threads", "4"],
            cwd=ROOT,
            env=environment,
        )
        try:
            wait_for(url)
            photograph(url)
        finally:
            server.terminate()
            server.wait()


def wait_for(url: str) -> None:
    for _ in range(100):
        try:
            urlopen(url, timeout=2).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit(f"The server at {url} did not start.")


def photograph(url: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=system_browser(), args=list(BROWSER_ARGUMENTS)
        )
        page = browser.new_page(base_url=url, viewport=SIZE, color_scheme="light")
        page.goto("/account/sign-in/")
        page.get_by_label("Username").fill("demo")
        page.get_by_label("Password").fill(PASSWORD)
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="Datasets").wait_for()
        review_some(page)
        page.screenshot(path=TARGET / "review.png")
        page.goto("/d/drawn-world/")
        page.wait_for_load_state("networkidle")
        page.screenshot(path=TARGET / "dataset.png")
        browser.close()


def review_some(page: Page) -> None:
    """Decide on a few images by keyboard; the doubtful come first, so most are rejected."""
    page.goto("/d/drawn-world/review/")
    for keys in "112621x6aa":
        before = page.locator("[name=token]").first.input_value()
        for key in keys:
            page.keyboard.press(key)
        page.wait_for_function(
            "before => document.querySelector('[name=token]').value !== before", arg=before
        )
    page.wait_for_load_state("networkidle")


if __name__ == "__main__":
    main()
