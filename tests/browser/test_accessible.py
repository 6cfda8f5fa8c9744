"""Every page of the app under axe-core: names, roles, contrast, landmarks; light and dark."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest
from django.urls import reverse

from synthreview.accounts.models import User
from synthreview.export.services import Form
from synthreview.prompting.models import Tuning, Writing, WritingCall
from synthreview.review.certifying import start_certification
from synthreview.review.examples import make_example
from synthreview.review.models import ImageState, Verdict
from synthreview.work.models import WorkState
from tests.export.frozen import frozen
from tests.factories import (
    make_dataset,
    make_image,
    make_prompt,
    make_review,
    make_reviewed_image,
    make_score,
    make_user,
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from synthreview.catalog.models import Dataset
    from tests.conftest import LiveSite

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
]
AXE = (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
RUN = """async (options) => {
    const { violations } = await axe.run(document, { resultTypes: ["violations"], ...options });
    return violations.flatMap(({ id, help, nodes }) =>
        nodes.map(({ target, failureSummary }) => `${id}: ${target} ${help} ${failureSummary}`));
}"""
FILLS_ITSELF = "[hx-trigger*=load], #review"  # once it is there
TURN_DARK = """() => {
    document.documentElement.dataset.theme = "dark"; // as its button does
    return new Promise((done) => requestAnimationFrame(() => setTimeout(done, 20)));
}"""
EVERY_RULE: dict[str, Any] = {}
OF_COLOURS = {"runOnly": ["color-contrast", "link-in-text-block"]}
OWN_PAGES = [
    "home",
    "dataset-new",
    "review-keys",
    "account",
    "account_change_password",
    "account_logout",
    "account_reauthenticate",
    "mfa_index",
    "usersessions_list",
    "tokens",
    "trail-all",
]
OF_DATASET = [
    "dataset",
    "images",
    "derive",
    "dataset-settings",
    "classes",
    "class-new",
    "axes",
    "references",
    "members",
    "invitations",
    "trail",
    "prompts",
    "prompts-write",
    "prompts-coverage",
    "writings",
    "prompts-ranking",
    "tunings",
    "word-lists",
    "forbidden-pairs",
    "prompts-import",
    "prompts-export",
    "runs",
    "run-new",
    "exports",
    "export-webhooks",
    "evaluations",
    "certificate",
    "adjudicate",
    "reviewers",
    "reviewers-me",
    "coverage",
    "ranking",
    "judges",
    "replay",
    "thresholds",
    "set-aside",
    "lookalikes",
    "review",
    "review-grid",
    "review-compare",
]


def addresses() -> list[str]:
    """Return the address of every page, on a dataset that has something on each."""
    admin = make_user("admin", is_superuser=True)
    dataset = make_dataset("Traffic", admin=admin)
    car = dataset.classes.get(name="car")
    car.definition, car.guideline = "A road vehicle.", "Approve any whole car."
    car.save()
    prompt = make_prompt(car, technique="environment", slots={"environment": "at night"})
    for number in range(24):
        image = make_image(prompt=prompt)
        make_score(image, number / 100)
        make_review(image)
    for verdict in (Verdict.APPROVE, Verdict.REJECT):
        seen = make_reviewed_image(car, admin, verdict)
        make_example(image=seen, user=admin, note="seen from the side")
    make_review(make_image(prompt=prompt), ImageState.DISPUTED)
    start_certification(dataset=dataset)
    pages = [reverse(name, args=[dataset.slug]) for name in OF_DATASET]
    pages += [reverse(name) for name in OWN_PAGES]
    pages += [reverse("run", args=[dataset.slug, 1]), reverse("image", args=[seen.pk])]
    pages += [reverse("class-edit", args=[dataset.slug, car.pk])]
    pages += [written(dataset), trained(dataset)]
    pages += [reverse("prompts-preview", args=[dataset.slug]) + "?technique=plain&count=2"]
    pages += [
        reverse("repaint", args=[seen.pk]),
        reverse("image-like", args=[seen.pk]),
        reverse("prompt-edit", args=[prompt.pk]),
    ]
    for _ in range(2):
        export = frozen(dataset, forms=[Form("csv")])
    pages += [export.get_absolute_url(), reverse("export-compare", args=[dataset.slug, 2])]
    return [*pages, "/no-such-page/"]


def written(dataset: Dataset) -> str:
    """Return the page of a writing with notes, faults, unknown outcomes and what was dropped."""
    dropped = {"class": "car", "text": "A car", "reasons": [["short", "It is too short."]]}
    writing = Writing.objects.create(
        dataset=dataset,
        technique="plain",
        author="model",
        asked=9,
        written=3,
        dropped_count=1,
        dropped=[dropped],
        notes=["An answer was cut off."],
    )
    car = dataset.classes.get(name="car")
    for state in (WorkState.DONE, WorkState.FAILED, WorkState.UNKNOWN):
        WritingCall.objects.create(
            writing=writing, label_class=car, count=3, planned=9, state=state, error="No answer."
        )
    return writing.get_absolute_url()


def trained(dataset: Dataset) -> str:
    """Return the page of a training that failed at a server."""
    return Tuning.objects.create(
        dataset=dataset,
        title="Cars",
        base="model",
        where="server",
        rows=12,
        tokens=900,
        steps_done=1,
        steps_total=2,
        state=WorkState.FAILED,
        error="The file is no good.",
        events=[{"message": "Created"}],
    ).get_absolute_url()


def faults(page: Page, address: str) -> list[str]:
    """Return what axe finds on the page, in light and, where colours matter, in dark."""
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    page.goto(address)
    if page.locator(FILLS_ITSELF).count():
        page.wait_for_load_state("networkidle")
    page.evaluate(AXE)
    found: list[str] = page.evaluate(RUN, EVERY_RULE)
    page.evaluate(TURN_DARK)
    dark: list[str] = page.evaluate(RUN, OF_COLOURS)
    return [f"{address}: {fault}" for fault in (*found, *(f"dark: {fault}" for fault in dark))]


def test_axe_finds_nothing_on_any_page(browser: Browser, live_site: LiveSite) -> None:
    pages = addresses()
    context = browser.new_context(base_url=live_site.url)
    page = context.new_page()
    found = faults(page, reverse("account_login")) + faults(page, reverse("account_signup"))
    live_site.sign_in(page, User.objects.get(username="admin"))
    for address in pages:
        found += faults(page, address)
    context.close()
    assert found == []
