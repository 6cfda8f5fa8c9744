"""Pages that draw, in a real browser: prices that follow the form, a painted mask, axe-core."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import expect

from synthreview.accounts.models import User
from synthreview.catalog.storage import blobs
from synthreview.generation.models import Call, CallBatch, CallInput, GeneratedImage
from synthreview.scoring.models import Misreading
from synthreview.spending.models import Budget, ServiceGate
from synthreview.work.models import WorkState
from tests.browser.test_accessible import faults
from tests.factories import (
    make_call,
    make_image,
    make_prompt,
    make_review,
    make_run,
    make_score,
    make_version,
)
from tests.generation.pictures import opened
from tests.people import People, make_people

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from tests.conftest import LiveSite

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def people(live_site: LiveSite, page: Page) -> People:
    people = make_people()
    live_site.sign_in(page, people.users["curator"])
    return people


def test_the_count_and_the_cost_follow_the_form(page: Page, people: People) -> None:
    for _ in range(3):
        make_review(make_image(people.dataset), "approved")
    page.goto("/d/traffic/derive/?technique=variation")
    estimate = page.locator("#estimate")
    expect(estimate).to_contain_text(re.compile(r"Images\s*3\b"))
    page.get_by_label("Images of each").fill("4")
    expect(estimate).to_contain_text(re.compile(r"Images\s*12\b"))
    expect(estimate).to_contain_text("free")
    page.get_by_role("link", name="Inpainting").click()
    expect(page.get_by_text("as large as the one it is made of")).to_be_visible()
    expect(estimate).to_contain_text(re.compile(r"Images\s*3\b"))
    page.get_by_text("Who can do this, and how").click()
    expect(page.get_by_text("cannot; it does typographic")).to_be_visible()
    page.get_by_role("button", name="Start the run").click()
    page.wait_for_url("**/runs/*/")
    assert Call.objects.filter(state=WorkState.READY).count() == 3


def test_a_mask_is_painted_with_the_mouse(page: Page, people: People) -> None:
    image = make_image(people.dataset)
    page.goto(reverse("repaint", args=[image.pk]))
    expect(page.locator("#estimate")).to_contain_text(re.compile(r"Images\s*1\b"))
    canvas = page.locator("#canvas canvas")
    expect(canvas).to_be_visible()
    box = canvas.bounding_box()
    assert box
    # A stroke over the upper left quarter.
    page.mouse.move(box["x"] + box["width"] * 0.1, box["y"] + box["height"] * 0.1)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.3, steps=5)
    page.mouse.up()
    expect(page.locator("#painted")).not_to_be_empty()
    page.get_by_label("Instruction").fill("with a red box added")
    page.get_by_role("button", name="Repaint").click()
    page.wait_for_url("**/runs/*/")
    call = Call.objects.get(state=WorkState.READY)
    mask = opened(blobs().read(call.mask_sha256)).convert("L")
    assert mask.size == (image.width, image.height)
    assert mask.getpixel((image.width // 5, image.height // 5)) == 255
    assert mask.getpixel((image.width - 1, image.height - 1)) == 0


def test_a_mask_is_set_without_a_mouse(page: Page, people: People) -> None:
    image = make_image(people.dataset)
    page.goto(reverse("repaint", args=[image.pk]))
    page.get_by_label("Instruction").fill("with a red box added")
    for side, share in (("Left", 50), ("Top", 0), ("Right", 100), ("Bottom", 100)):
        page.get_by_label(f"{side} (%)").fill(str(share))
    page.get_by_label("Instruction").press("Enter")
    page.wait_for_url("**/runs/*/")
    mask = opened(blobs().read(Call.objects.get(state=WorkState.READY).mask_sha256)).convert("L")
    assert mask.getpixel((0, 0)) == 0
    assert mask.getpixel((mask.width - 1, 0)) == 255


def fill(people: People) -> list[str]:
    """Give every page of this kind something to show; return their addresses."""
    dataset = people.dataset
    Budget.objects.create(dataset=dataset, limit_micro_usd=5_000_000)
    parents = [make_image(dataset) for _ in range(2)]
    for parent in parents:
        make_review(parent, "approved")
    prompt = make_prompt(people.label_class, technique="fusion")
    run = make_run(dataset, is_batched=True, image_count=3)
    batch = CallBatch.objects.create(
        run=run, remote_name="b", remote_state="in_progress", sent_at=timezone.now(),
        looked_at=timezone.now(), ends_at=timezone.now(),
    )  # fmt: skip
    call = make_call(run, prompt, billed_micro_usd=20_000, batch=batch)
    for position, parent in enumerate(parents):
        CallInput.objects.create(call=call, image=parent, position=position, role="subject")
    child = make_image(prompt=prompt, run=run, call=call, facts={"word": "iPod"})
    make_score(child, 0.5)
    Misreading.objects.create(
        image=child, version=make_version(), word="iPod", class_before="car", chance_before=0.9,
        class_after="iPod", chance_after=0.7, is_fooled=True,
    )  # fmt: skip
    make_call(run, prompt, state=WorkState.UNKNOWN, estimated_micro_usd=40_000, error="Silence.")
    make_call(run, prompt, state=WorkState.READY)
    ServiceGate.objects.create(service="generator:sketch", needs_person=True, reason="Empty.")
    derive = reverse("derive", args=[dataset.slug])
    return [
        run.get_absolute_url(),
        f"{run.get_absolute_url()}unknown",
        reverse("costs", args=[dataset.slug]),
        child.get_absolute_url(),
        parents[0].get_absolute_url(),
        reverse("repaint", args=[child.pk]),
        reverse("run-new", args=[dataset.slug]),
        f"{reverse('images', args=[dataset.slug])}?word=fooled",
        *(f"{derive}?technique={key}&generator=typographic"
          for key in ("typographic", "variation", "fusion", "inpaint")),
    ]  # fmt: skip


def test_axe_finds_nothing_and_nothing_is_wider_than_a_phone(
    browser: Browser, live_site: LiveSite
) -> None:
    people = make_people()
    pages = fill(people)
    context = browser.new_context(base_url=live_site.url, viewport={"width": 390, "height": 800})
    page = context.new_page()
    live_site.sign_in(page, User.objects.get(username="curator"))
    found = []
    for address in pages:
        found += faults(page, address)
        width = page.evaluate("document.documentElement.scrollWidth")
        found += [f"{address} is {width} px wide"] if width > 390 else []
    context.close()
    assert found == []
    assert GeneratedImage.objects.count() == 3
