"""Hands on the keyboard of a review page, and eyes on what it shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

CHANGED = """token => {
    const { dataset } = document.querySelector(".review-card");
    return dataset.token !== token && !("waiting" in dataset);
}"""
SENT = "() => document.getElementById('review').dataset.unsent === '0'"


def press_enter_on(target: Locator) -> None:
    target.focus()
    target.press("Enter")


def write_into(target: Locator, text: str) -> None:
    target.focus()
    target.press("ControlOrMeta+a")
    target.page.keyboard.type(text)


def open_review(page: Page, slug: str, mode: str = "") -> None:
    """Open a review page and wait until its script is at work and holds cards ahead."""
    page.goto(f"/d/{slug}/review/{mode}")
    page.wait_for_function("() => document.body.classList.contains('has-script')")
    page.wait_for_load_state("networkidle")


def token_of(page: Page) -> str:
    """Return the token of the card in sight; empty where there is no image."""
    return page.locator(".review-card").get_attribute("data-token") or ""


def wait_for_next(page: Page, token: str) -> None:
    page.wait_for_function(CHANGED, arg=token)


def press_for_next(page: Page, *keys: str) -> None:
    """Press keys, the last of which brings another card."""
    before = token_of(page)
    for key in keys:
        page.keyboard.press(key)
    wait_for_next(page, before)


def wait_until_sent(page: Page) -> None:
    """Wait until the server has all that was decided on this page."""
    page.wait_for_function(SENT)
