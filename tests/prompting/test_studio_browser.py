"""The prompt studio in a real browser: from one class name to checked captions, by keyboard."""

from __future__ import annotations

from itertools import combinations

import pytest
from playwright.sync_api import Page, expect

from synthreview.catalog.models import Dataset
from synthreview.catalog.services import add_class, create_dataset, set_role
from synthreview.prompting.axes import add_none_of_these, add_starter_axes
from synthreview.prompting.covering import stored_coverage
from synthreview.prompting.models import Prompt, PromptState
from synthreview.prompting.techniques import WRITTEN
from tests.conftest import LiveSite
from tests.factories import make_prompt, make_user
from tests.prompting.wish import make_wish

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
PAGE = "/d/birds/prompts/"


@pytest.fixture
def dataset(page: Page, live_site: LiveSite) -> Dataset:
    user = make_user("curator")
    dataset = create_dataset(name="Birds")
    set_role(dataset=dataset, user=user, role="curator")
    live_site.sign_in(page, user)
    return dataset


def caption(dataset: Dataset, text: str) -> Prompt:
    label_class = dataset.classes.first() or add_class(dataset=dataset, name="owl")
    return make_prompt(label_class, text, state=PromptState.DRAFT)


def states(dataset: Dataset) -> dict[str, str]:
    return dict(Prompt.objects.filter(dataset=dataset).values_list("text", "state"))


def test_two_hundred_prompts_come_of_one_class_name(page: Page, dataset: Dataset) -> None:
    add_class(dataset=dataset, name="owl")
    add_none_of_these(dataset)
    add_starter_axes(dataset, WRITTEN)
    page.goto(f"{PAGE}write")
    page.get_by_label("All text techniques").check()
    page.get_by_label("Combinations").select_option("pairwise")
    page.get_by_label("How many").fill("200")
    expect(page.locator("#preview")).to_contain_text("Adversarial")
    page.get_by_role("button", name="Save as drafts").click()
    expect(page.locator("#messages")).to_contain_text("200 prompts are written.")
    prompts = Prompt.objects.filter(dataset=dataset)
    assert prompts.values("text_key").distinct().count() == prompts.count() == 200
    assert set(prompts.values_list("technique", flat=True)) == set(WRITTEN)
    covered = stored_coverage(make_wish(dataset, "style"), dataset.classes.get(name="owl"))
    assert set(covered.pairs) == set(combinations(["action", "environment", "style"], 2))
    assert covered.is_complete


def test_captions_are_checked_by_keyboard(page: Page, dataset: Dataset) -> None:
    for number in range(6):
        caption(dataset, f"Owl {number}")
    page.goto(PAGE)
    page.keyboard.press("j")
    first = page.get_by_label("Select “Owl 0”")
    expect(first).to_be_focused()
    page.keyboard.press("a")
    expect(page.get_by_label("Select “Owl 1”")).to_be_focused()
    expect(page.locator("#prompt-status")).to_have_text("approved: Owl 0")
    page.keyboard.press("x")
    expect(page.get_by_label("Select “Owl 2”")).to_be_focused()
    page.keyboard.press("e")
    field = page.get_by_label("Caption")
    expect(field).to_be_focused()
    field.fill("Owl two")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Select “Owl two”")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("Shift+ArrowDown")
    expect(page.locator("#prompt-status")).to_have_text("3 selected")
    page.keyboard.press("x")
    expect(page.locator("#messages")).to_contain_text("3 prompts are retired.")
    assert states(dataset) == {
        "Owl 0": "approved",
        "Owl 1": "retired",
        "Owl two": "draft",
        "Owl 3": "retired",
        "Owl 4": "retired",
        "Owl 5": "retired",
    }


def test_a_click_with_shift_selects_all_between(page: Page, dataset: Dataset) -> None:
    for number in range(5):
        caption(dataset, f"Owl {number}")
    page.goto(PAGE)
    page.get_by_label("Select “Owl 1”").click()
    page.get_by_label("Select “Owl 3”").click(modifiers=["Shift"])
    expect(page.locator("output")).to_have_text("3 selected")
    page.keyboard.press("Escape")
    expect(page.locator("output")).to_have_text("")


def test_an_edit_is_left_with_escape(page: Page, dataset: Dataset) -> None:
    caption(dataset, "Owl 0")
    page.goto(PAGE)
    page.keyboard.press("j")
    page.keyboard.press("e")
    page.get_by_label("Caption").fill("Something else")
    page.keyboard.press("Escape")
    expect(page.get_by_label("Select “Owl 0”")).to_be_focused()
    assert set(states(dataset)) == {"Owl 0"}


def test_the_keys_are_shown_on_demand(page: Page, dataset: Dataset) -> None:
    caption(dataset, "Owl 0")
    page.goto(PAGE)
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keys")
    expect(dialog).to_contain_text("Approve the caption")
    page.keyboard.press("a")  # means nothing while the help lies over the list
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.get_by_label("Words").focus()
    page.keyboard.type("a?x")
    expect(dialog).to_be_hidden()
    expect(page.get_by_label("Words")).to_have_value("a?x")
    assert states(dataset) == {"Owl 0": "draft"}


def test_fields_follow_the_technique(page: Page, dataset: Dataset) -> None:
    add_class(dataset=dataset, name="owl")
    page.goto(f"{PAGE}write")
    label = page.get_by_label("Label of the blends")
    expect(label).to_be_hidden()
    page.get_by_text("Words to paste").click()
    page.get_by_label("Fusion").check()
    expect(label).to_be_visible()
    page.get_by_label("All text techniques").check()
    expect(page.get_by_label("Templates", exact=True)).to_be_hidden()
