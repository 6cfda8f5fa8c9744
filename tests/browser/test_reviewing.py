"""The review pages in a browser: keys, hands of cards, grids, undo, phones, lost networks.

The site is the real one. Any error in the console, violation of the policy or request elsewhere
fails the test.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from synthreview.accounts.models import Preferences
from synthreview.review.hand import GRACE_S
from synthreview.review.models import (
    Decision,
    ImageReview,
    ImageState,
    ReviewSlot,
    SlotState,
    Surface,
    Verdict,
)
from synthreview.review.queue import release
from tests.browser.hands import (
    open_review,
    press_for_next,
    token_of,
    wait_for_next,
    wait_until_sent,
)
from tests.conftest import Problems
from tests.factories import (
    make_dataset,
    make_image,
    make_prompt,
    make_review,
    make_score,
    make_user,
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

    from synthreview.accounts.models import User
    from synthreview.catalog.models import Dataset
    from tests.conftest import LiveSite

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
IMAGES = 16
NO_NETWORK = "Failed to load resource|net::ERR|Failed to fetch"


@pytest.fixture
def reviewer(transactional_db: None) -> User:
    return make_user("rita")


@pytest.fixture
def other(transactional_db: None) -> User:
    return make_user("olga")


@pytest.fixture
def dataset(reviewer: User, other: User) -> Dataset:
    """A queue of IMAGES cars, four of one prompt, lowest score first."""
    dataset = make_dataset("Things", reviewer=[reviewer, other])
    car = dataset.classes.get(name="car")
    car.guideline = "The whole object can be recognised."
    car.save()
    slots = {"colour": "red", "environment": "on the beach"}
    prompts = [make_prompt(car, technique="environment", slots=slots) for _ in range(IMAGES // 4)]
    for number in range(IMAGES):
        image = make_image(prompt=prompts[number % len(prompts)])
        make_score(image, number / 100)
        make_review(image)
    return dataset


@pytest.fixture
def review(page: Page, live_site: LiveSite, reviewer: User, dataset: Dataset) -> Page:
    live_site.sign_in(page, reviewer)
    open_review(page, dataset.slug)
    return page


def said() -> list[tuple[str, list[str]]]:
    return list(Decision.objects.order_by("pk").values_list("verdict", "reasons"))


def leases(dataset: Dataset) -> int:
    return ReviewSlot.objects.filter(dataset=dataset, state=SlotState.LEASED).count()


# --- One by one -----------------------------------------------------------------------


def test_each_key_does_what_its_help_says(review: Page) -> None:
    page = review
    page.keyboard.press("?")
    assert page.get_by_role("dialog", name="Keys").is_visible()
    page.keyboard.press("Escape")
    assert not page.get_by_role("dialog", name="Keys").is_visible()

    guideline = page.get_by_text("The whole object can be recognised.")
    for is_shown in (False, True):
        page.keyboard.press("h")
        assert guideline.is_visible() == is_shown
    page.keyboard.press("z")
    stage = page.locator(".review-stage")
    assert page.locator(".review-stage.is-zoomed").is_visible()
    before = stage.evaluate("stage => stage.scrollLeft")
    page.keyboard.press("ArrowRight")
    assert stage.evaluate("stage => stage.scrollLeft") > before
    page.keyboard.press("Escape")
    assert page.locator(".review-stage.is-zoomed").count() == 0

    page.keyboard.press("n")
    page.keyboard.type("axz 1?")
    page.keyboard.press("Escape")
    page.keyboard.press("w")
    page.keyboard.press("Shift+Digit6")
    assert not Decision.objects.exists()
    press_for_next(page, "2")
    press_for_next(page, "x")
    press_for_next(page, "Space")
    press_for_next(page, "f")
    press_for_next(page, "a")
    wait_until_sent(page)
    assert said() == [
        ("reject", ["wrong_attribute", "artefact"]),
        ("reject", []),
        ("skip", []),
        ("unsure", []),
        ("approve", []),
    ]
    first = Decision.objects.earliest("pk")
    assert (first.note, first.wrong_slots, first.surface) == ("axz 1?", ["environment"], "focus")
    assert page.locator("[data-count=done]").inner_text() == "3"
    assert page.locator("[data-count=left]").inner_text() == str(IMAGES - 5)


def test_the_culling_keys_and_ones_own(review: Page, reviewer: User, dataset: Dataset) -> None:
    Preferences.objects.create(
        user=reviewer, key_preset="culling", key_changes={"approve": ["j"], "unsure": []}
    )
    open_review(review, dataset.slug)
    for key in ("j", "x", "ArrowRight"):
        press_for_next(review, key)
    token = token_of(review)
    for key in ("a", "p", "u"):
        review.keyboard.press(key)
    assert token_of(review) == token, "keys that are switched off or belong to nobody do nothing"
    wait_until_sent(review)
    press_for_next(review, "ArrowLeft")
    assert [verdict for verdict, _ in said()] == ["approve", "reject", "skip", "withdraw"]
    assert review.locator("[data-action=approve] kbd").inner_text() == "j"


def test_the_mouse_does_the_same(review: Page) -> None:
    for name in ("Approve", "Skip", "Unsure"):
        before = token_of(review)
        review.get_by_role("button", name=name, exact=False).last.click()
        wait_for_next(review, before)
    before = token_of(review)
    review.get_by_role("checkbox", name="Wrong object").click()
    wait_for_next(review, before)
    press_for_next(review, "Space")  # the key belongs to the page, not to the clicked button
    wait_until_sent(review)
    assert said() == [
        ("approve", []),
        ("skip", []),
        ("unsure", []),
        ("reject", ["wrong_object"]),
        ("skip", []),
    ]


def test_a_held_key_decides_one_image(review: Page) -> None:
    before = token_of(review)
    review.keyboard.down("a")
    for _ in range(5):
        review.keyboard.down("a")  # Playwright marks these as repeats, as a held key does
    review.keyboard.up("a")
    wait_for_next(review, before)
    wait_until_sent(review)
    assert Decision.objects.count() == 1


def test_the_next_images_are_there_before_they_are_needed(review: Page) -> None:
    asked: list[str] = []
    review.on("request", lambda request: asked.append(request.url))
    for _ in range(2):
        press_for_next(review, "a")
    shown = review.locator("[data-image]").get_attribute("src") or ""
    assert not any(url.endswith(shown) for url in asked), "it was loaded ahead"
    assert review.evaluate("document.querySelector('[data-image]').naturalWidth") > 0


def test_the_last_decisions_can_be_changed_by_one_click(review: Page, dataset: Dataset) -> None:
    press_for_next(review, "a")
    press_for_next(review, "x")
    wait_until_sent(review)
    strip = review.locator("#review-strip li")
    assert [item.get_attribute("class") for item in strip.all()] == ["is-reject", "is-approve"]
    strip.first.get_by_role("button", name="Rejected. Change to approved.").click()
    wait_until_sent(review)
    assert strip.first.get_attribute("class") == "is-approve"
    assert ImageReview.objects.filter(state=ImageState.APPROVED).count() == 2
    review.reload()
    strip.first.get_by_role("button", name="Approved. Change to rejected.").click()
    wait_until_sent(review)
    assert ImageReview.objects.filter(state=ImageState.APPROVED).count() == 1
    assert Decision.objects.filter(surface=Surface.STRIP).count() == 2


def test_undo_goes_back_across_pages_and_modes(review: Page, dataset: Dataset) -> None:
    """Decisions in single view, after a reload, and in a grid: one key takes back each of them."""
    press_for_next(review, "a")
    wait_until_sent(review)
    open_review(review, dataset.slug)
    press_for_next(review, "x")
    wait_until_sent(review)
    open_review(review, dataset.slug, "grid/?size=6")
    press_for_next(review, "Enter")
    wait_until_sent(review)
    assert ImageReview.objects.exclude(state=ImageState.PENDING).count() == 8
    review.keyboard.press("Backspace")
    review.wait_for_url("**/review/")
    review.wait_for_function("() => document.body.classList.contains('has-script')")
    for _ in range(7):
        press_for_next(review, "Backspace")
    assert ImageReview.objects.exclude(state=ImageState.PENDING).count() == 0
    assert Decision.objects.filter(verdict=Verdict.WITHDRAW).count() == 8
    review.keyboard.press("Backspace")
    review.get_by_text("There is nothing left to undo.").wait_for()


# --- Several people -------------------------------------------------------------------


def test_two_people_clear_one_queue_at_once(
    review: Page, live_site: LiveSite, browser: Browser, other: User, dataset: Dataset
) -> None:
    context = browser.new_context(base_url=live_site.url)
    second = context.new_page()
    live_site.sign_in(second, other)
    open_review(second, dataset.slug)
    seen: dict[Page, list[str]] = {review: [], second: []}
    for _ in range(4 * IMAGES):
        for page in seen:
            image = page.locator("[data-image]")
            if image.count():
                seen[page].append(image.get_attribute("src") or "")
                page.keyboard.press("a")
        if ImageReview.objects.filter(state=ImageState.PENDING).count() == 0:
            break
    for page in seen:
        page.get_by_role("heading", name="Nothing is left to review").wait_for()
        wait_until_sent(page)
    assert Decision.objects.count() == IMAGES
    assert len({decision.image_id for decision in Decision.objects.all()}) == IMAGES
    assert not set(seen[review]) & set(seen[second]), "nobody saw what another held"
    assert min(map(len, seen.values())) > 1, "both had their part"
    context.close()


def test_leaving_the_page_gives_the_images_back(review: Page, dataset: Dataset) -> None:
    held = leases(dataset)
    assert held > 1, "the page holds cards ahead"
    review.goto("about:blank")
    soon = timezone.now() + dt.timedelta(seconds=GRACE_S + 2)
    ending = ReviewSlot.objects.filter(state=SlotState.LEASED, lease_expires_at__lt=soon)
    for _ in range(50):
        if ending.count() == held:
            break
        review.wait_for_timeout(50)
    assert ending.count() == held


def test_a_card_that_ran_out_says_so(review: Page, dataset: Dataset, reviewer: User) -> None:
    release(dataset=dataset, reviewer=reviewer)
    before = token_of(review)
    review.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    review.get_by_text("went back to the queue").wait_for()
    wait_for_next(review, before)
    press_for_next(review, "a")


# --- The network ------------------------------------------------------------------------


def test_a_minute_without_network_loses_nothing_and_sends_once(
    page: Page, live_site: LiveSite, reviewer: User, dataset: Dataset, page_problems: Problems
) -> None:
    page_problems.allow(NO_NETWORK)
    page.clock.install()
    live_site.sign_in(page, reviewer)
    open_review(page, dataset.slug)
    press_for_next(page, "a")
    wait_until_sent(page)
    held = leases(dataset)
    page.context.set_offline(True)
    for _ in range(held):
        page.keyboard.press("x")
    state = page.locator("#review-state")
    state.get_by_text(f"{held} answers are kept on this device").wait_for()
    assert page.get_by_role("heading", name="Time for a short break").is_visible()
    page.clock.fast_forward(60_000)
    assert Decision.objects.count() == 1
    page.context.set_offline(False)
    wait_until_sent(page)
    assert Decision.objects.filter(verdict=Verdict.REJECT).count() == held
    wait_for_next(page, "")
    press_for_next(page, "a")  # work goes on by itself


def test_what_was_kept_is_sent_by_the_next_page(
    review: Page, dataset: Dataset, page_problems: Problems
) -> None:
    page_problems.allow(NO_NETWORK)
    context = review.context
    context.set_offline(True)
    token = token_of(review)
    for _ in range(2):
        press_for_next(review, "a")
    review.get_by_text("2 answers are kept on this device").wait_for()
    assert not Decision.objects.exists()
    review.close(run_before_unload=False)
    context.set_offline(False)
    page = context.new_page()
    open_review(page, dataset.slug)
    wait_until_sent(page)
    assert Decision.objects.count() == 2
    assert token_of(page) != token


def test_no_card_is_asked_for_before_the_answer_to_the_last_one_is_off(
    page: Page, live_site: LiveSite, reviewer: User, dataset: Dataset, page_problems: Problems
) -> None:
    """Else the server would deal the card again that was just answered."""
    live_site.sign_in(page, reviewer)
    page_problems.allow(NO_NETWORK)
    page.route("**/review/more", lambda route: route.abort())
    open_review(page, dataset.slug)  # nothing lies ahead
    page.unroute("**/review/more")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.rsplit("/", 1)[-1]))
    image = page.locator("[data-image]").get_attribute("src")
    press_for_next(page, "a")
    assert next(name for name in asked if name in {"decide", "more"}) == "decide"
    assert page.locator("[data-image]").get_attribute("src") != image


def test_an_answer_that_was_lost_on_its_way_back_counts_once(
    review: Page, page_problems: Problems
) -> None:
    """The server records, and the connection dies before the page hears of it."""
    page_problems.allow(NO_NETWORK)
    lost: list[str] = []

    def lose_first(route: object) -> None:
        if not lost:
            lost.append(route.fetch().text())  # type: ignore[attr-defined]
            route.abort()  # type: ignore[attr-defined]
        else:
            route.continue_()  # type: ignore[attr-defined]

    review.route("**/review/decide", lose_first)
    press_for_next(review, "a")
    wait_until_sent(review)
    assert lost
    assert Decision.objects.count() == 1


def test_undo_of_what_was_not_sent_yet_needs_no_network(
    review: Page, page_problems: Problems
) -> None:
    page_problems.allow(NO_NETWORK)
    review.context.set_offline(True)
    tokens = [token_of(review)]
    for _ in range(2):
        press_for_next(review, "a")
        tokens.append(token_of(review))
    review.keyboard.press("Backspace")
    assert token_of(review) == tokens[1]
    review.keyboard.press("x")
    review.context.set_offline(False)
    wait_until_sent(review)
    assert [verdict for verdict, _ in said()] == ["approve", "reject"]


# --- Grid and compare -----------------------------------------------------------------------


def test_a_grid_by_keyboard(review: Page, dataset: Dataset) -> None:
    open_review(review, dataset.slug, "grid/?size=6")
    page = review
    page.keyboard.press("ArrowRight")  # the first image gets the frame
    for key in ("ArrowRight", "Space", "ArrowRight", "6", "ArrowDown", "f"):
        page.keyboard.press(key)
    assert page.locator("[data-tally]").inner_text() == "2 of 6 marked as wrong, 1 unsure"
    page.keyboard.press("z")
    assert page.get_by_role("dialog", name="A closer look").is_visible()
    page.keyboard.press("Escape")
    press_for_next(page, "Enter")
    wait_until_sent(page)
    verdicts = sorted(said())
    assert verdicts == [
        ("approve", []),
        ("approve", []),
        ("approve", []),
        ("reject", []),
        ("reject", ["artefact"]),
        ("unsure", []),
    ]
    assert set(Decision.objects.values_list("surface", flat=True)) == {Surface.GRID}
    assert len(set(Decision.objects.values_list("batch", flat=True))) == 1


def test_a_grid_by_mouse_turned_round(review: Page, dataset: Dataset) -> None:
    open_review(review, dataset.slug, "grid/?size=6&marks=good")
    assert review.get_by_text("mark the right ones").is_visible()
    tiles = review.locator("[data-tile] [data-mark]")
    tiles.nth(0).click()
    tiles.nth(3).click(modifiers=["Shift"])
    assert review.locator("[data-mark]:checked").count() == 4
    before = token_of(review)
    review.get_by_role("button", name="Record and go on").click()
    wait_for_next(review, before)
    wait_until_sent(review)
    assert Decision.objects.filter(verdict=Verdict.APPROVE).count() == 4
    assert Decision.objects.filter(verdict=Verdict.REJECT).count() == 2


def test_siblings_are_compared(review: Page, dataset: Dataset) -> None:
    open_review(review, dataset.slug, "compare/")
    siblings = review.locator("[data-tile]").count()
    best = review.locator("[data-tile]").nth(1).get_attribute("data-token")
    press_for_next(review, "2")
    wait_until_sent(review)
    kept = Decision.objects.get(verdict=Verdict.APPROVE)
    assert str(kept.client_token) == best
    rest = Decision.objects.filter(verdict=Verdict.REJECT)
    assert rest.count() == siblings - 1
    assert {tuple(decision.reasons) for decision in rest} == {("not_the_best",)}
    press_for_next(review, "x")
    wait_until_sent(review)
    assert Decision.objects.filter(verdict=Verdict.APPROVE).count() == 1
    assert set(Decision.objects.values_list("surface", flat=True)) == {Surface.COMPARE}


# --- Without script, without mouse, without sight, on a phone ----------------------------------


def test_an_adjudicator_settles_by_keyboard(
    page: Page, live_site: LiveSite, reviewer: User, dataset: Dataset
) -> None:
    dataset.memberships.filter(user=reviewer).update(may_adjudicate=True)
    for review in ImageReview.objects.all()[:2]:
        review.state = ImageState.DISPUTED
        review.save()
    live_site.sign_in(page, reviewer)
    page.goto(f"/d/{dataset.slug}/adjudicate/")
    page.get_by_role("button", name="Keys").wait_for()
    page.keyboard.press("q")
    with page.expect_navigation():
        page.keyboard.press("2")
    page.get_by_role("button", name="Keys").wait_for()
    with page.expect_navigation():
        page.keyboard.press("a")
    page.get_by_role("heading", name="Nothing waits for you").wait_for()
    page.get_by_role("button", name="Keys").wait_for()
    with page.expect_navigation():
        page.keyboard.press("Backspace")
    page.get_by_role("heading", name="Your word").wait_for()
    assert said() == [("reject", ["wrong_attribute"]), ("approve", []), ("withdraw", [])]
    assert Decision.objects.earliest("pk").wrong_slots == ["colour"]


def test_without_scripts_the_buttons_still_decide(
    browser: Browser, live_site: LiveSite, reviewer: User, dataset: Dataset
) -> None:
    context = browser.new_context(java_script_enabled=False, base_url=live_site.url)
    page = context.new_page()
    live_site.sign_in(page, reviewer)
    page.goto(f"/d/{dataset.slug}/review/")
    page.get_by_role("checkbox", name="Wrong object").check()
    page.get_by_role("button", name="Reject").click()
    page.get_by_role("button", name="Approve").last.click()
    page.get_by_role("button", name="Undo").click()
    assert said() == [("reject", ["wrong_object"]), ("approve", []), ("withdraw", [])]
    page.get_by_role("button", name="Change to approved").click()
    page.goto(f"/d/{dataset.slug}/review/compare/")
    page.locator("[data-mark]").first.check()
    page.get_by_role("button", name="Keep the chosen").click()
    assert Decision.objects.filter(surface=Surface.COMPARE, verdict=Verdict.APPROVE).count() == 1
    page.goto(f"/d/{dataset.slug}/review/grid/?size=6")
    page.locator("[data-mark]").first.check()
    page.get_by_role("button", name="Record and go on").click()
    assert Decision.objects.filter(surface=Surface.GRID).count() == 6
    context.close()


def test_all_can_be_reached_by_tab_alone(review: Page) -> None:
    """Whoever switched the single keys off still has every control, in a sensible order."""
    names = []
    for _ in range(60):
        review.keyboard.press("Tab")
        names.append(
            review.evaluate(
                "(({activeElement: e}) => e.getAttribute('aria-label') || e.labels?.[0]?.innerText"
                " || e.innerText || e.tagName)(document)"
            )
        )
    text = "\n".join(names)
    for control in ("One by one", "Zoom", "environment", "Wrong object", "Note", "Guideline"):
        assert control in text
    order = [text.index(control) for control in ("Zoom", "Wrong object", "Undo", "Approve")]
    assert order == sorted(order)
    review.get_by_role("button", name="Approve").last.focus()
    press_for_next(review, "Enter")
    assert review.evaluate("document.activeElement.dataset.action") == "approve", "focus stays"


def test_what_a_screen_reader_is_told(review: Page) -> None:
    question = review.get_by_role("region", name="Is this a car, and right for the caption?")
    assert question.is_visible()
    assert review.get_by_role("img", name="The image to judge. Its caption:").is_visible()
    assert review.get_by_role("group", name="Tick what is wrong").is_visible()
    assert review.get_by_role("checkbox", name="colour red").count() == 1
    assert review.get_by_role("list", name="Your last decisions").count() == 1
    live = review.locator("#review-status")
    assert live.get_attribute("aria-live") == "polite"
    press_for_next(review, "a")
    assert live.inner_text() == "Approved. Next: car."
    press_for_next(review, "f")
    assert live.inner_text() == "Left for a second look. Next: car."
    press_for_next(review, "Backspace")
    assert live.inner_text() == "Taken back. Again: car."


@pytest.fixture
def phone(
    browser: Browser, live_site: LiveSite, reviewer: User, dataset: Dataset
) -> BrowserContext:
    context = browser.new_context(
        base_url=live_site.url,
        viewport={"width": 390, "height": 844},
        has_touch=True,
        is_mobile=True,
    )
    live_site.sign_in(context.new_page(), reviewer)
    return context


def test_on_a_phone_a_swipe_decides(phone: BrowserContext, dataset: Dataset) -> None:
    (page,) = phone.pages
    open_review(page, dataset.slug)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for name in ("Approve", "Reject"):
        box = page.get_by_role("button", name=name).last.bounding_box()
        assert box
        assert (box["width"] > 150, box["height"] >= 48) == (True, True), "large enough a thumb"
        assert box["y"] + box["height"] <= 844, "in sight without scrolling"
    touch = phone.new_cdp_session(page)
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
    wait_until_sent(page)
    assert [verdict for verdict, _ in said()] == ["approve", "reject"]
    phone.close()


def test_on_a_phone_a_tap_marks(phone: BrowserContext, dataset: Dataset) -> None:
    (page,) = phone.pages
    for mode, button in (("compare/", "Keep the chosen"), ("grid/?size=6", "Record and go on")):
        open_review(page, dataset.slug, mode)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.locator("[data-mark]").first.tap()
        before = token_of(page)
        page.get_by_role("button", name=button).tap()
        wait_for_next(page, before)
        wait_until_sent(page)
    assert Decision.objects.filter(surface=Surface.COMPARE, verdict=Verdict.APPROVE).count() == 1
    assert Decision.objects.filter(surface=Surface.GRID, verdict=Verdict.REJECT).count() == 1
    phone.close()
