"""The main job in a browser, by keyboard alone: from a class to a dataset in a zip.

The site is the real one; the jobs run in this process between the steps, as a worker would run
them. Any error in the console, violation of the policy or request elsewhere fails the test.
"""

from __future__ import annotations

import io
import json
import zipfile
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
    ReviewSlot,
    SlotState,
    Verdict,
)
from synthreview.review.queue import release
from synthreview.scoring import jobs as scoring_jobs
from synthreview.scoring import services as scoring
from tests.conftest import Problems
from tests.factories import make_dataset, make_image, make_review, make_score, make_user

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

    from synthreview.accounts.models import User
    from synthreview.catalog.models import Dataset
    from tests.conftest import LiveSite

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
WEIGHTS = Path(settings.BASE_DIR) / "fixtures" / "demo_clip"
IMAGES = 24


# --- Hands on the keyboard ----------------------------------------------------------


def press_enter_on(target: Locator) -> None:
    target.focus()
    target.press("Enter")


def write_into(target: Locator, text: str) -> None:
    target.focus()
    target.press("ControlOrMeta+a")
    target.page.keyboard.type(text)


def token_of(page: Page) -> str:
    return page.locator("#review-card").get_attribute("data-token") or ""


def wait_for_next(page: Page, token: str) -> None:
    changed = "token => document.getElementById('review-card').dataset.token !== token"
    page.wait_for_function(changed, arg=token)


def press_for_next(page: Page, *keys: str) -> None:
    """Press keys, the last of which brings another card."""
    before = token_of(page)
    for key in keys:
        page.keyboard.press(key)
    wait_for_next(page, before)


# --- The worker's part ----------------------------------------------------------------


def draw_everything() -> None:
    while (call := Call.objects.due().first()) is not None:
        draw(call.pk)


def score_everything() -> None:
    scoring.register()
    for planned in scoring.plan_scoring():
        scoring_jobs.score(planned.pk)


# --- The main job ------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(not WEIGHTS.exists(), reason="the embedded model is not in this checkout")
def test_the_main_job_by_keyboard(page: Page, live_site: LiveSite) -> None:
    make_user("demo", is_superuser=True)

    page.goto("/")
    write_into(page.locator("input[name=username]"), "demo")
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

    page.goto("/d/street-things/review/")
    assert page.get_by_role("heading", name="Images are being drawn").is_visible()
    draw_everything()
    assert GeneratedImage.objects.count() == IMAGES
    page.get_by_role("heading", name="Images are being scored").wait_for()
    score_everything()
    assert admit() == IMAGES
    page.locator("#review-approve").wait_for()  # the page found them by itself

    review_by_keyboard(page)
    assert Decision.objects.filter(verdict=Verdict.WITHDRAW).count() == 1
    approved = ImageReview.objects.filter(state=ImageState.APPROVED).count()
    assert approved == IMAGES - 2

    page.goto("/d/street-things/exports/")
    press_enter_on(page.get_by_role("button", name=f"Export {approved} approved images"))
    page.wait_for_url("**/exports/1/")
    freeze(Export.objects.get().pk)
    write_package(Package.objects.get().pk)
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
            press_for_next(page, "x", "3" if number else "x")
        elif number == 1:
            press_for_next(page, "a")
            press_for_next(page, "Backspace")
            assert page.get_by_text("you had approved this image").is_visible()
            assert page.locator("[data-image]").get_attribute("src") == offered[-1]
            press_for_next(page, "a")
        else:
            press_for_next(page, "a")
    page.get_by_role("heading", name="Nothing is left to review").wait_for()
    lowest_first = [
        review.image.view_url
        for review in ImageReview.objects.select_related("image", "score").order_by(
            "score__value", "image"
        )
    ]
    assert offered == lowest_first


def check_zip(data: bytes, approved: int) -> None:
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        assert opened.testzip() is None
        folder = "street-things-1-imagefolder"
        rows = opened.read(f"{folder}/manifest.jsonl").decode().splitlines()
        assert len(rows) == approved
        for row in map(json.loads, rows):
            assert row["class"] == "car"
            assert f"{folder}/{row['file_name']}" in opened.namelist()


# --- The review page alone -----------------------------------------------------------------


@pytest.fixture
def reviewer(transactional_db: None) -> User:
    return make_user("rita")


@pytest.fixture
def dataset(reviewer: User) -> Dataset:
    dataset = make_dataset("Things", reviewer=reviewer)
    for label_class in dataset.classes.all():
        label_class.guideline = "The whole object can be recognised."
        label_class.save()
    for number in range(12):
        image = make_image(dataset)
        make_score(image, number / 100)
        make_review(image)
    return dataset


@pytest.fixture
def review(page: Page, live_site: LiveSite, reviewer: User, dataset: Dataset) -> Page:
    live_site.sign_in(page, reviewer)
    page.goto(f"/d/{dataset.slug}/review/")
    page.wait_for_function("document.body.classList.contains('has-script')")
    return page


def test_each_key_does_what_its_help_says(review: Page) -> None:
    page = review
    page.keyboard.press("?")
    assert page.get_by_role("dialog", name="Keys").is_visible()
    page.keyboard.press("Escape")
    assert not page.get_by_role("dialog", name="Keys").is_visible()

    guideline = page.get_by_text("The whole object can be recognised.")
    for key in "gh":
        page.keyboard.press(key)
        assert guideline.is_visible() == (key == "h")
    page.keyboard.press("z")
    assert page.locator(".review-stage.is-zoomed").is_visible()
    page.keyboard.press("Escape")
    assert page.locator(".review-stage.is-zoomed").count() == 0

    page.keyboard.press("x")
    page.keyboard.press("Escape")
    assert not page.get_by_text("What is wrong?").is_visible()
    assert not Decision.objects.exists()
    press_for_next(page, "x", "Enter")
    press_for_next(page, "x", "2")
    press_for_next(page, "Space")
    press_for_next(page, "a")
    said = list(Decision.objects.order_by("pk").values_list("verdict", "reasons"))
    assert said == [("reject", []), ("reject", ["wrong_place"]), ("skip", []), ("approve", [])]
    assert page.locator("[data-count=done]").inner_text() == "3"
    assert page.locator("[data-count=left]").inner_text() == "7"
    assert page.locator("#review-status").inner_text().startswith("Approved. Next: ")
    for verdict in ("approved", "skipped", "rejected"):
        press_for_next(page, "Backspace")
        assert page.get_by_text(f"you had {verdict} this image").is_visible()
    assert page.locator("[data-count=left]").inner_text() == "10"


def test_a_note_is_written_without_deciding(review: Page) -> None:
    review.keyboard.press("x")
    review.get_by_label("Note").focus()
    review.keyboard.type("axz 1?")
    assert not Decision.objects.exists()
    press_for_next(review, "Enter")
    assert (Decision.objects.get().note, Decision.objects.get().verdict) == ("axz 1?", "reject")


def test_the_mouse_does_the_same(review: Page) -> None:
    for click in (
        lambda: review.get_by_role("button", name="Approve").click(),
        lambda: review.get_by_role("button", name="Skip").click(),
    ):
        before = token_of(review)
        click()
        wait_for_next(review, before)
    review.locator("#review-reject").click()
    before = token_of(review)
    review.get_by_text("Wrong object").click()
    wait_for_next(review, before)
    press_for_next(review, "Space")  # the key belongs to the page, not to the clicked button
    said = list(Decision.objects.order_by("pk").values_list("verdict", "reasons"))
    assert said == [("approve", []), ("skip", []), ("reject", ["wrong_object"]), ("skip", [])]


def test_a_held_key_decides_one_image(review: Page) -> None:
    before = token_of(review)
    review.keyboard.down("a")
    for _ in range(5):
        review.keyboard.down("a")  # Playwright marks these as repeats, as a held key does
    review.keyboard.up("a")
    wait_for_next(review, before)
    assert Decision.objects.count() == 1


def test_the_next_images_are_there_before_they_are_needed(review: Page) -> None:
    review.wait_for_load_state("networkidle")
    asked: list[str] = []
    review.on("request", lambda request: asked.append(request.url))
    for _ in range(3):
        press_for_next(review, "a")
    shown = review.locator("[data-image]").get_attribute("src") or ""
    assert not any(url.endswith(shown) for url in asked), "it was loaded ahead"
    assert review.evaluate("document.querySelector('[data-image]').naturalWidth") > 0


def test_without_network_the_card_stays_and_can_be_sent_again(
    review: Page, page_problems: Problems
) -> None:
    page_problems.allow("Failed to load resource|net::ERR|htmx")
    token = token_of(review)
    review.context.set_offline(True)
    review.keyboard.press("a")
    again = review.get_by_role("button", name="Try again")
    again.wait_for()
    assert token_of(review) == token
    review.context.set_offline(False)
    again.click()
    wait_for_next(review, token)
    assert Decision.objects.get().verdict == Verdict.APPROVE


def test_leaving_the_page_gives_the_image_back(review: Page, dataset: Dataset) -> None:
    review.goto("about:blank")
    for _ in range(50):
        if not dataset_leases(dataset):
            break
        review.wait_for_timeout(50)
    assert not dataset_leases(dataset)


def dataset_leases(dataset: Dataset) -> bool:
    return ReviewSlot.objects.filter(dataset=dataset, state=SlotState.LEASED).exists()


def test_a_card_that_ran_out_says_so(review: Page, dataset: Dataset, reviewer: User) -> None:
    release(dataset=dataset, reviewer=reviewer)
    review.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    review.locator(".notice", has_text="went back to the queue").wait_for()


def test_without_scripts_the_buttons_still_decide(
    browser: Browser, live_site: LiveSite, reviewer: User, dataset: Dataset
) -> None:
    context = browser.new_context(java_script_enabled=False, base_url=live_site.url)
    page = context.new_page()
    live_site.sign_in(page, reviewer)
    page.goto(f"/d/{dataset.slug}/review/")
    page.locator("#review-reject").click()
    page.get_by_text("Wrong object").click()
    page.get_by_role("button", name="Reject").last.click()
    page.get_by_role("button", name="Approve").click()
    page.get_by_role("button", name="Undo").click()
    said = list(Decision.objects.order_by("pk").values_list("verdict", "reasons"))
    assert said == [("reject", ["wrong_object"]), ("approve", []), ("withdraw", [])]
    context.close()


def test_on_a_phone_a_swipe_decides(
    browser: Browser, live_site: LiveSite, reviewer: User, dataset: Dataset
) -> None:
    context = browser.new_context(
        base_url=live_site.url,
        viewport={"width": 390, "height": 844},
        has_touch=True,
        is_mobile=True,
    )
    page = context.new_page()
    live_site.sign_in(page, reviewer)
    page.goto(f"/d/{dataset.slug}/review/")
    page.wait_for_function("document.body.classList.contains('has-script')")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    touch = context.new_cdp_session(page)
    for x, expected in ((220, "approve"), (-220, "reject")):
        before = token_of(page)
        start = 195 - x / 2
        touch.send(
            "Input.dispatchTouchEvent",
            {"type": "touchStart", "touchPoints": [{"x": start, "y": 250}]},
        )
        for step in range(1, 6):
            point = {"x": start + x * step / 5, "y": 252}
            touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [point]})
        assert page.locator("[data-stage]").get_attribute("data-swipe") == expected
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        wait_for_next(page, before)
        assert Decision.objects.order_by("-pk").first().verdict == expected  # type: ignore[union-attr]
    context.close()
