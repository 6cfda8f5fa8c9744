"""Measure a reviewer's key to the next image painted, in a real browser.

    python -m benchmarks.bench_painted [--images 240] [--keys 150] [--pace 0.6]
    make bench-painted

Draws a small dataset, starts the product's server on it, opens the review page in Chromium and
presses the key of a verdict at an even pace. A time runs from the key's event to the moment at
which the browser says that the next card's image was rendered (Element Timing). The page holds
cards ahead from the start: a warmed queue. Bar: 100 ms for 95 of 100 keys.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a file, too

from synthreview.lib.servers import free_port  # noqa: E402
from tests.prepare import BROWSER_ARGUMENTS, system_browser  # noqa: E402
from tests.screenshots import PASSWORD, wait_for  # noqa: E402

BAR_MS = 100
DATASET = "drawn-world"
# Each card's image is to be timed, before it is painted; each key leaves its moment.
WATCH = """
window.pressed = []; window.painted = new Map();
document.addEventListener("keydown", (event) => window.pressed.push(event.timeStamp), true);
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) window.painted.set(entry.identifier, entry.renderTime);
}).observe({ type: "element", buffered: true });
new MutationObserver(() => {
  const image = document.querySelector(".review-card[data-token] [data-image]");
  if (image && !image.hasAttribute("elementtiming")) {
    image.setAttribute("elementtiming", image.closest(".review-card").dataset.token);
  }
}).observe(document, { childList: true, subtree: true });
"""
TOKEN = "() => document.querySelector('.review-card').dataset.token"
IS_PAINTED = "(before) => { const token = (%s)(); return token !== before && painted.has(token) }"


def prepare(images: int) -> list[tuple[str, ...]]:
    return [
        ("migrate", "-v0"),
        ("createsuperuser", "--username", "demo", "--email", "", "--noinput"),
        ("import_dataset", "fixtures/demo.toml", "--owner", "demo"),
        ("generate", DATASET, "--count", str(images), "--first-run", "--seed", "7", "--wait"),
        ("score", DATASET, "--wait"),
        ("admit",),
    ]


def measure(page: Page, keys: int, pace_s: float) -> list[float]:
    """Return the milliseconds from each key to its paint."""
    page.goto("/account/sign-in/")
    page.get_by_label("Username").fill("demo")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "sign-in" not in url)
    page.goto(f"/d/{DATASET}/review/")
    page.wait_for_function("() => document.body.classList.contains('has-script')")
    page.wait_for_load_state("networkidle")
    took = []
    for number in range(keys):
        page.wait_for_timeout(1000 * pace_s)
        before = page.evaluate(TOKEN)
        page.keyboard.press("a" if number % 5 else "x")
        page.wait_for_function(IS_PAINTED % TOKEN, arg=before)
        took.append(page.evaluate(f"() => painted.get(({TOKEN})()) - pressed.at(-1)"))
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--images", type=int, default=240)
    parser.add_argument("--keys", type=int, default=150)
    parser.add_argument("--pace", type=float, default=0.6, help="seconds between two keys")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        (Path(folder) / "static").mkdir()
        environment = {
            **os.environ,
            "SYNTHREVIEW_DATA": folder,
            "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
            "SYNTHREVIEW_LOG_LEVEL": "ERROR",
        }
        for command in prepare(options.images):
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
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=system_browser(), args=list(BROWSER_ARGUMENTS)
                )
                page = browser.new_page(base_url=url, viewport={"width": 1280, "height": 800})
                page.add_init_script(WATCH)
                took = sorted(measure(page, options.keys, options.pace))
                browser.close()
        finally:
            server.terminate()
            server.wait()
    p50, p95, p99 = (
        took[min(len(took) - 1, int(share * len(took)))] for share in (0.5, 0.95, 0.99)
    )
    print(
        f"{len(took)} keys, to the next image painted: "
        f"p50 {p50:.0f}, p95 {p95:.0f}, p99 {p99:.0f} ms (load {os.getloadavg()[0]:.1f})"
    )
    sys.exit(p95 > BAR_MS)


if __name__ == "__main__":
    main()
