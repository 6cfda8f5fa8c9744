from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from synthreview.catalog.services import add_class
from synthreview.prompting.models import PromptState
from synthreview.review.models import ImageState, Verdict
from synthreview.work.models import WorkState
from tests.factories import (
    make_call,
    make_dataset,
    make_decision,
    make_image,
    make_prompt,
    make_review,
    make_reviewed_image,
    make_run,
    make_score,
    make_user,
    make_version,
)
from tests.people import People, make_people

pytestmark = pytest.mark.django_db
PAGE = "/d/traffic/"
HTMX = {"HX-Request": "true"}


@pytest.fixture
def people() -> People:
    return make_people()


def pending(people: People, value: float | None = 0.5, **fields: Any) -> Any:
    image = make_image(people.dataset, **fields)
    make_score(image, value)
    make_review(image)
    return image


# --- Home -----------------------------------------------------------------------


def test_home_shows_only_what_one_may_see(people: People) -> None:
    make_dataset("Secret")
    assert "Traffic" in people.client("viewer").get("/").content.decode()
    assert "Secret" not in people.client("viewer").get("/").content.decode()
    assert "No dataset yet" in people.client("stranger").get("/").content.decode()
    boss = make_user("boss", is_superuser=True)
    people.users["boss"] = boss
    assert "Secret" in people.client("boss").get("/").content.decode()


def test_home_counts_what_became_of_the_images(people: People) -> None:
    reviewer = people.users["reviewer"]
    make_reviewed_image(people.label_class, reviewer)
    make_reviewed_image(people.label_class, reviewer, Verdict.REJECT)
    pending(people)
    make_image(people.dataset)
    (line,) = people.client("viewer").get("/").context["lines"]
    tally = line.tally
    assert (tally.images, tally.approved, tally.rejected, tally.pending) == (4, 1, 1, 1)
    assert (tally.waiting, tally.reviewed_percent, line.class_count) == (1, 50, 2)
    assert len(line.newest) == 4


def test_home_costs_the_same_for_2_and_for_20_datasets(people: People) -> None:
    client = people.client("viewer")
    client.get("/")
    counts = []
    for number in (2, 18):
        for _ in range(number):
            dataset = make_dataset(viewer=people.users["viewer"])
            make_review(make_image(dataset))
        with CaptureQueriesContext(connection) as queries:
            client.get("/")
        counts.append(len(queries))
    assert counts[0] == counts[1]


# --- A dataset ------------------------------------------------------------------


def test_the_overview_and_its_numbers_alone(people: People) -> None:
    client = people.client("viewer")
    page = client.get(PAGE).content.decode()
    part = client.get(PAGE, headers=HTMX).content.decode()
    assert "<html" in page
    assert "<html" not in part
    assert 'id="overview"' in part
    assert people.client("stranger").get(PAGE).status_code == 404
    assert client.post(PAGE).status_code == 405


def test_the_next_step_follows_the_state(people: People) -> None:
    client = people.client("curator")

    def step() -> str:
        page = client.get(PAGE, headers=HTMX).content.decode()
        return page[page.index("<h2") : page.index("</h2>")]

    assert "Write the prompts" in step()
    prompt = make_prompt(people.label_class, state=PromptState.DRAFT)
    assert "Approve the prompts" in step()
    prompt.state = PromptState.APPROVED
    prompt.save()
    assert "Have images drawn" in step()
    run = make_run(people.dataset)
    call = make_call(run, prompt, state=WorkState.READY)
    assert "Images are being drawn" in step()
    call.delete()
    image = make_image(run=run, prompt=prompt)
    assert "Images are being scored" in step()
    make_score(image)
    make_review(image)
    assert "1 image to review" in step()
    make_decision(image, people.users["reviewer"])
    assert "All images are reviewed" in step()
    people.dataset.classes.exclude(pk=people.label_class.pk).delete()


def test_a_dataset_without_classes_asks_for_them(people: People) -> None:
    make_dataset("Empty", classes=[], curator=people.users["curator"])
    page = people.client("curator").get("/d/empty/").content.decode()
    assert "Say which classes you want" in page


def test_it_polls_only_while_work_is_open(people: People) -> None:
    client = people.client("viewer")
    image = make_image(people.dataset)
    assert 'hx-trigger="every 2s"' in client.get(PAGE).content.decode()
    make_score(image)
    make_review(image)
    assert "every 2s" not in client.get(PAGE).content.decode()
    prompt = make_prompt(people.label_class)
    make_call(make_run(people.dataset), prompt, state=WorkState.READY)
    assert 'hx-trigger="every 2s"' in client.get(PAGE).content.decode()


def test_it_tells_where_the_images_come_from(people: People) -> None:
    pending(people)
    page = people.client("viewer").get(PAGE).content.decode()
    assert "Sketch is a demonstration generator" in page


def test_classes_are_counted_apart(people: People) -> None:
    make_reviewed_image(people.label_class, people.users["reviewer"])
    make_image(label_class=people.dataset.classes.last())
    overview = people.client("viewer").get(PAGE).context["overview"]
    assert [line.tally.approved for line in overview.lines] == [1, 0]
    assert [line.tally.images for line in overview.lines] == [1, 1]
    assert overview.total.target == 200


def test_the_overview_costs_the_same_for_2_and_for_20_classes(people: People) -> None:
    client = people.client("viewer")
    make_version()
    counts = []
    for number in (0, 18):
        for place in range(number):
            label_class = add_class(dataset=people.dataset, name=f"class {place}")
            make_review(make_image(label_class=label_class))
        if not number:
            make_review(make_image(people.dataset))
        with CaptureQueriesContext(connection) as queries:
            client.get(PAGE)
        counts.append(len(queries))
    assert counts[0] == counts[1]


# --- Images ---------------------------------------------------------------------


def test_the_gallery_filters(people: People) -> None:
    approved = make_reviewed_image(people.label_class, people.users["reviewer"])
    umbrella = make_image(label_class=people.dataset.classes.last())
    client = people.client("viewer")

    def shown(**query: Any) -> set[int]:
        return {image.pk for image in client.get(f"{PAGE}images/", query).context["images"]}

    both = {approved.pk, umbrella.pk}
    assert shown() == both
    assert shown(state=ImageState.APPROVED) == {approved.pk}
    assert shown(state="waiting") == {umbrella.pk}
    assert shown(label_class=people.label_class.pk) == {approved.pk}
    assert shown(run=1) == both
    assert shown(technique="style") == set()
    for nonsense in ({"run": "a\0"}, {"state": "x"}, {"label_class": "9" * 40}, {"before": "x"}):
        assert shown(**nonsense) == both
    assert shown(before=approved.pk) == set()
    assert shown(before="9" * 40) == both


def test_the_gallery_grows_at_its_end(people: People) -> None:
    run, prompt = make_run(people.dataset), make_prompt(people.label_class)
    images = [make_image(run=run, prompt=prompt) for _ in range(62)]
    client = people.client("viewer")
    first = client.get(f"{PAGE}images/").context
    assert first["older"] == images[2].pk
    more = client.get(f"{PAGE}images/", {"before": first["older"]}, headers=HTMX)
    assert [image.pk for image in more.context["images"]] == [images[1].pk, images[0].pk]
    assert 'id="sheet"' not in more.content.decode()
    assert 'id="sheet"' in client.get(f"{PAGE}images/", headers=HTMX).content.decode()


def test_the_gallery_costs_the_same_for_2_and_for_20_images(people: People) -> None:
    client = people.client("viewer")
    run, prompt = make_run(people.dataset), make_prompt(people.label_class)
    counts = []
    for number in (2, 18):
        for _ in range(number):
            make_review(make_image(run=run, prompt=prompt))
        with CaptureQueriesContext(connection) as queries:
            client.get(f"{PAGE}images/")
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_strangers_see_no_image(people: People) -> None:
    image = make_image(people.dataset)
    assert people.client("stranger").get(f"{PAGE}images/").status_code == 404
    assert people.client("stranger").get(f"/images/{image.pk}/").status_code == 404
    assert people.client("viewer").post(f"/images/{image.pk}/").status_code == 405


def test_an_image_tells_its_whole_history(people: People) -> None:
    low, image = pending(people, 0.1), pending(people, 0.4)
    image.caption = "<script>alert(1)</script>"
    image.save()
    make_decision(
        image, people.users["reviewer"], Verdict.REJECT, reasons=["wrong_object"], note="<i>"
    )
    page = people.client("viewer").get(f"/images/{image.pk}/").content.decode()
    assert "2nd lowest of 2 in its class" in page
    assert "Wrong object" in page
    assert "“&lt;i&gt;”" in page
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert f'href="/images/{low.pk}/"' in page


def test_only_curators_see_who_decided(people: People) -> None:
    image = pending(people)
    make_decision(image, people.users["reviewer"])
    url = f"/images/{image.pk}/"
    assert "</span> a reviewer <time" in people.client("viewer").get(url).content.decode()
    assert "</span> you <time" in people.client("reviewer").get(url).content.decode()
    assert "</span> reviewer <time" in people.client("curator").get(url).content.decode()


@pytest.mark.parametrize("asks", [{"reviews_per_image": 2}, {"gold_share": 0.1}])
def test_who_may_still_be_asked_of_an_image_sees_no_verdict(
    people: People, asks: dict[str, Any]
) -> None:
    for name, value in asks.items():
        setattr(people.dataset.policy, name, value)
    people.dataset.policy.save()
    image = pending(people)
    make_decision(image, people.users["curator"], Verdict.REJECT, note="a bus")
    url = f"/images/{image.pk}/"
    page = people.client("reviewer").get(url).content.decode()
    assert "Shown once you have judged the image yourself" in page
    for told in ("a bus", "badge-reject", "badge-rejected", "score-value"):
        assert told not in page
    assert "a bus" in people.client("curator").get(url).content.decode()
    gallery = f"/d/{people.dataset.slug}/images/"
    for place in (gallery, f"{gallery}?state=rejected", f"/images/{image.pk}/like"):
        page = people.client("reviewer").get(place).content.decode()
        assert "badge-rejected" not in page
        assert 'name="state"' not in page
    assert f'href="{url}"' in people.client("reviewer").get(f"{gallery}?state=approved").text
    assert "badge-rejected" in people.client("curator").get(gallery).content.decode()
    make_decision(image, people.users["reviewer"], Verdict.SKIP)
    assert "a bus" not in people.client("reviewer").get(url).content.decode()
    make_decision(image, people.users["reviewer"])
    assert "a bus" in people.client("reviewer").get(url).content.decode()
    assert "badge-approved" in people.client("reviewer").get(gallery).content.decode()


def test_scores_are_hidden_from_reviewers_until_they_have_decided(people: People) -> None:
    image = pending(people)
    url = f"/images/{image.pk}/"
    assert "Hidden until" in people.client("reviewer").get(url).content.decode()
    assert "score-value" in people.client("curator").get(url).content.decode()
    make_decision(image, people.users["reviewer"])
    assert "score-value" in people.client("reviewer").get(url).content.decode()


def test_open_scores_are_shown_where_the_policy_says_so(people: People) -> None:
    people.dataset.policy.blind_scores = False
    people.dataset.policy.save()
    page = people.client("reviewer").get(f"/images/{pending(people).pk}/").content.decode()
    assert "score-value" in page


def test_a_score_that_does_not_apply_is_said_so(people: People) -> None:
    page = people.client("curator").get(f"/images/{pending(people, None).pk}/").content.decode()
    assert "Test scorer does not apply" in page
    assert "score-value" not in page


# --- The frame of every page ------------------------------------------------------


def test_tabs_follow_the_role(people: People) -> None:
    def tabs(who: str) -> list[str]:
        return [tab["title"] for tab in people.client(who).get(PAGE).context["tabs"]]

    assert tabs("viewer") == [
        "Overview",
        "Prompts",
        "Runs",
        "Images",
        "Coverage",
        "Certificate",
        "Exports",
        "Evaluation",
    ]
    assert "Review" in tabs("reviewer")
    assert "Settings" not in tabs("reviewer")
    assert "Settings" in tabs("curator")


def test_no_page_holds_inline_script_or_style(people: People) -> None:
    image = pending(people)
    client = people.client("admin")
    pages = ["/", PAGE, f"{PAGE}prompts/", f"{PAGE}runs/", f"{PAGE}runs/new", f"{PAGE}runs/1/"]
    pages += [f"{PAGE}images/", f"/images/{image.pk}/", f"{PAGE}settings/", "/account/password/"]
    for page in pages:
        html = client.get(page).content.decode()
        assert "<style" not in html
        assert " style=" not in html
        assert " hx-on" not in html
        assert html.count("<script") == html.count("<script src=") + html.count(
            '<script type="module" src='
        )


def test_signing_in_leads_home_and_never_elsewhere(client: Any, people: People) -> None:
    data = {"login": "viewer", "password": "viewer"}
    for target in ("https://evil.example", "//evil.example", "javascript:alert(1)"):
        assert client.post("/account/sign-in/", data | {"next": target}).url == "/"
        client.logout()
    assert client.get(PAGE).url == f"/account/sign-in/?next={PAGE}"
    assert client.get("/account/sign-out/").status_code in {302, 405}


def test_missing_and_forbidden_pages_help_on(people: People) -> None:
    client = people.client("viewer")
    assert "This page does not exist" in client.get("/nowhere").content.decode()
    refused = client.get(f"{PAGE}settings/")
    assert "Your role in Traffic does not allow" in refused.content.decode()
