from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from synthreview.prompting.models import Prompt, PromptState
from tests.conftest import LiveSite
from tests.factories import make_decision, make_image, make_prompt, make_review, make_score
from tests.people import People, make_people

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def people(page: Page, live_site: LiveSite) -> People:
    people = make_people()
    live_site.sign_in(page, people.users["admin"])
    return people


def test_signing_in_and_out(page: Page) -> None:
    make_people()
    page.goto("/")
    page.get_by_label("Username").fill("viewer")
    page.get_by_label("Password").fill("viewer")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Datasets")).to_be_visible()
    page.locator("details.menu summary").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


@pytest.mark.slow
@pytest.mark.parametrize("width", [360, 1600])
def test_no_page_is_wider_than_the_screen(page: Page, people: People, width: int) -> None:
    people.dataset.name = "A dataset with-averyveryveryveryveryveryveryverylongname" * 2
    people.dataset.save()
    image = make_image(people.dataset, caption="Averylongcaption" * 20)
    make_score(image)
    make_review(image)
    make_decision(image, people.users["reviewer"])
    page.set_viewport_size({"width": width, "height": 800})
    settings = "/d/traffic/settings/"
    addresses = ["/", "/d/traffic/", "/d/traffic/prompts/", "/d/traffic/runs/"]
    addresses += ["/d/traffic/prompts/write", "/d/traffic/prompts/writings/"]
    addresses += ["/d/traffic/prompts/words/", "/d/traffic/prompts/forbidden/"]
    addresses += ["/d/traffic/runs/new", "/d/traffic/runs/1/", "/d/traffic/images/"]
    addresses += [f"/images/{image.pk}/", settings, f"{settings}classes/", f"{settings}axes/"]
    addresses += [f"{settings}members/", "/datasets/new", "/account/password/"]
    for address in addresses:
        page.goto(address)
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, f"{address} is {wide} px too wide"


def test_a_caption_is_edited_in_place(page: Page, people: People) -> None:
    prompt = make_prompt(people.label_class, "A car")
    page.goto("/d/traffic/prompts/")
    row = page.locator(f"#prompt-{prompt.pk}")
    row.get_by_role("link", name="Edit").click()
    row.get_by_label("Caption").fill("A small car")
    row.get_by_role("button", name="Save").click()
    expect(row).to_contain_text("A small car")
    expect(row.get_by_role("button", name="Save")).to_have_count(0)


def test_the_preview_follows_the_form(page: Page, people: People) -> None:
    page.goto("/d/traffic/prompts/write")
    preview = page.locator("#preview")
    expect(preview).to_contain_text("A car")
    page.get_by_label("Templates", exact=True).fill("One [class] alone")
    expect(preview).to_contain_text("One car alone")
    page.get_by_label("Templates", exact=True).fill("nothing")
    expect(preview).to_contain_text("must contain [class]")
    assert not Prompt.objects.exists()


def test_all_prompts_of_the_page_are_ticked_at_once(page: Page, people: People) -> None:
    for _ in range(3):
        make_prompt(people.label_class, state=PromptState.DRAFT)
    page.goto("/d/traffic/prompts/")
    page.get_by_label("State").select_option("draft")
    page.wait_for_url("**/prompts/?*state=draft*")
    page.get_by_label("Select all on this page").check()
    expect(page.locator("output")).to_have_text("3 selected")
    page.get_by_role("button", name="Approve", exact=True).click()
    expect(page.locator("#messages")).to_contain_text("3 prompts are approved.")
    page.go_back()


def test_the_chosen_colours_stay(page: Page, people: People) -> None:
    page.goto("/")
    page.locator("details.menu summary").click()
    page.get_by_role("button", name="Dark").click()
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.locator("details.menu summary").click()
    expect(page.get_by_role("button", name="Dark")).to_have_attribute("aria-pressed", "true")
