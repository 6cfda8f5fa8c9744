"""The main job in a browser, by keyboard alone: from a class to a dataset in a zip.

The site is the real one; the jobs run in this process between the steps, as a worker would run
them. Any error in the console, violation of the policy or request elsewhere fails the test.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.conf import settings

from synthreview.export.jobs import freeze, write_package
from synthreview.export.models import Export, Package
from synthreview.generation.jobs import draw
from synthreview.generation.models import Call, GeneratedImage
from synthreview.review.intake import admit
from synthreview.review.models import (
    Decision,
    ImageReview,
    ImageState,
    Verdict,
)
from synthreview.scoring import jobs as scoring_jobs
from synthreview.scoring import services as scoring
from tests.browser.hands import press_enter_on, press_for_next, wait_until_sent, write_into
from tests.factories import make_user

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.conftest import LiveSite

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
WEIGHTS = Path(settings.BASE_DIR) / "fixtures" / "demo_clip"
IMAGES = 24
AHEAD = IMAGES // 8  # of what is left, so many lie on the page and wait for their turn


# --- The worker's part ----------------------------------------------------------------


def draw_everything() -> None:
    while (call := Call.objects.due().first()) is not None:
        draw(call.pk)


def score_everything() -> None:
    scoring.register()
    for planned in scoring.plan_scoring():
        scoring_jobs.score(planned.pk)
    assert admit() == IMAGES


def export_everything() -> None:
    freeze(Export.objects.get().pk)
    write_package(Package.objects.get().pk)


# --- The main job ------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(not WEIGHTS.exists(), reason="the embedded model is not in this checkout")
def test_the_main_job_by_keyboard(page: Page, live_site: LiveSite) -> None:
    make_user("demo", is_superuser=True)
    main_job(page, draw_everything, score_everything, export_everything)


def main_job(page: Page, *work: Callable[[], None]) -> None:
    """Do it; `work` draws, scores and exports when its turn comes, or else workers do."""
    draw, score, export = work or (lambda: None,) * 3
    page.goto("/")
    write_into(page.locator("input[name=login]"), "demo")
    page.keyboard.press("Tab")
    page.keyboard.type("demo")
    page.keyboard.press("Enter")

    press_enter_on(page.get_by_role("link", name="Make a dataset"))
    write_into(page.locator("input[name=name]"), "Street things")
    page.keyboard.press("Enter")
    write_into(page.locator("input[name=name]"), "car")
    page.keyboard.press("Enter")
    page.wait_for_url("**/classes/")

    page.goto("/d/street-things/prompts/")
    press_enter_on(page.get_by_role("link", name="Write prompts").first)
    write_into(page.locator("input[name=count]"), "6")
    press_enter_on(page.get_by_role("button", name="Save as approved"))
    press_enter_on(page.get_by_role("link", name="Start a run").first)
    write_into(page.locator("input[name=count]"), str(IMAGES))
    press_enter_on(page.get_by_role("button", name="Start the run"))
    page.wait_for_url("**/runs/1/")

    if work:  # else the page would take the first image that comes, not the lowest of all
        page.goto("/d/street-things/review/")
        assert page.get_by_role("heading", name="Images are being drawn").is_visible()
    draw()
    if work:
        assert GeneratedImage.objects.count() == IMAGES
        page.get_by_role("heading", name="Images are being scored").wait_for()
    score()
    while ImageReview.objects.count() < IMAGES:
        page.wait_for_timeout(200)
    if not work:  # else the page that waits finds them by itself
        page.goto("/d/street-things/review/")
    page.locator("[data-image]").wait_for()

    review_by_keyboard(page)
    assert Decision.objects.filter(verdict=Verdict.WITHDRAW).count() == 1
    approved = ImageReview.objects.filter(state=ImageState.APPROVED).count()
    assert approved == IMAGES - 2

    page.goto("/d/street-things/exports/")
    press_enter_on(page.get_by_role("button", name=f"Export {approved} approved images"))
    page.wait_for_url("**/exports/1/")
    export()
    download_link = page.get_by_role("link", name="Download as zip")
    download_link.wait_for()
    with page.expect_download() as download:
        press_enter_on(download_link)
    check_zip(Path(download.value.path()).read_bytes(), approved)


def review_by_keyboard(page: Page) -> None:
    """Decide every image, lowest score first; two are rejected, one decision is taken back."""
    offered = []
    for number in range(IMAGES):
        offered.append(page.locator("[data-image]").get_attribute("src"))
        if number in (0, 2):
            press_for_next(page, "2" if number else "x")
        elif number == 1:
            press_for_next(page, "a")
            wait_until_sent(page)
            press_for_next(page, "Backspace")
            assert page.get_by_text("you had approved this image").is_visible()
            assert page.locator("[data-image]").get_attribute("src") == offered[-1]
            press_for_next(page, "a")
        else:
            press_for_next(page, "a")
    page.get_by_role("heading", name="Nothing is left to review").wait_for()
    wait_until_sent(page)
    lowest_first = [
        review.image.view_url
        for review in ImageReview.objects.select_related("image", "score").order_by(
            "score__value", "image"
        )
    ]
    # An answer and the page's own question may each bring a card at the same moment.
    for shown in offered:
        assert shown in lowest_first[: AHEAD + 1]
        lowest_first.remove(shown)
    assert lowest_first == []  # each came once


def check_zip(data: bytes, approved: int) -> None:
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        assert opened.testzip() is None
        folder = "street-things-1-imagefolder"
        rows = opened.read(f"{folder}/manifest.jsonl").decode().splitlines()
        assert len(rows) == approved
        for row in map(json.loads, rows):
            assert row["class"] == "car"
            assert f"{folder}/{row['file_name']}" in opened.namelist()
