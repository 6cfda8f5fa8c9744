from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from synthreview.catalog.models import LabelClass
from synthreview.generation.models import Call, Run
from synthreview.spending.services import set_budget
from synthreview.work.models import WorkState
from tests.factories import make_call, make_dataset, make_image, make_prompt, make_run, tiny_png
from tests.generation.fakes import PRICE, scripted
from tests.people import People, make_people

pytestmark = pytest.mark.django_db
PAGE = "/d/traffic/runs/"
HTMX = {"HX-Request": "true"}


@pytest.fixture
def people() -> People:
    return make_people()


def order(people: People, **changes: Any) -> dict[str, Any]:
    return {
        "classes": list(people.dataset.classes.values_list("pk", flat=True)),
        "techniques": ["plain", "style"],
        "count": 5,
        "generator": "sketch",
        "size_px": 256,
        "option_fault_rate": "20",
        **changes,
    }


# --- Runs -----------------------------------------------------------------------


def test_a_run_is_started_from_the_form(people: People) -> None:
    make_prompt(people.label_class, "A red car")
    response = people.client("curator").post(f"{PAGE}new", order(people))
    assert response.url == f"{PAGE}1/"
    run = Run.objects.get()
    assert (run.image_count, run.size_px, run.options) == (5, 256, {"fault_rate": 0.2})
    assert run.created_by == people.users["curator"]


def test_without_approved_prompts_it_says_what_to_do(people: People) -> None:
    client = people.client("curator")
    message = "There is no approved prompt to draw"
    assert message in client.post(f"{PAGE}new", order(people)).content.decode()
    assert message in client.get(f"{PAGE}estimate", order(people)).content.decode()
    assert not Run.objects.exists()


def test_without_a_class_it_says_what_comes_first(people: People) -> None:
    make_dataset(name="Empty", curator=people.users["curator"])
    LabelClass.objects.filter(dataset__slug="empty").delete()
    client = people.client("curator")
    for page in ("/d/empty/runs/new", "/d/empty/derive/"):
        body = client.get(page).content.decode()
        assert "No classes yet" in body
        assert 'href="/d/empty/settings/classes/"' in body
        assert "Start the run" not in body


def test_the_estimate_tells_prompts_images_and_cost(people: People) -> None:
    make_prompt(people.label_class)
    make_prompt(people.label_class, technique="environment")
    part = people.client("curator").get(f"{PAGE}estimate", order(people), headers=HTMX)
    assert part.context["prompt_count"] == 1
    assert part.context["plan"].image_count == 5
    assert "free" in part.content.decode()
    assert "demonstration generator" in part.content.decode()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"count": 0}, "count"),
        ({"count": 10**12}, "count"),
        ({"size_px": 100}, "size_px"),
        ({"generator": "dall-e"}, "generator"),
        ({"classes": []}, "classes"),
        ({"techniques": ["x"]}, "techniques"),
        ({"option_fault_rate": "101"}, "option_fault_rate"),
        ({"option_fault_rate": "nan"}, "option_fault_rate"),
    ],
)
def test_wrong_orders_are_explained(people: People, changes: dict[str, Any], field: str) -> None:
    make_prompt(people.label_class)
    response = people.client("curator").post(f"{PAGE}new", order(people, **changes))
    assert list(response.context["form"].errors) == [field]
    assert not Run.objects.exists()


def test_the_sizes_are_those_of_the_chosen_generator(people: People, settings: Any) -> None:
    """Other fields, another estimate: the page asks for it once they are in."""
    with scripted(settings):
        settings.GENERATORS["sketch"] = {
            "BACKEND": "synthreview.generation.generators.sketch.SketchGenerator"
        }
        client = people.client("curator")
        page = client.get(f"{PAGE}new?generator=sketch&size_px=512")
        assert [px for px, _ in page.context["form"].fields["size_px"].choices][-1] == 1024
        page = client.get(f"{PAGE}new?generator=scripted&size_px=1024", headers=HTMX)
        assert [px for px, _ in page.context["form"].fields["size_px"].choices] == [256, 512]
        assert page.headers["HX-Trigger-After-Settle"] == '{"estimate": {}}'
        make_prompt(people.label_class)
        wrong = client.get(f"{PAGE}estimate", order(people, generator="scripted", size_px=1024))
        assert "Choose one of the sizes that this generator draws" in wrong.content.decode()


def test_an_estimate_above_the_budget_says_that_it_would_not_start(
    people: People, settings: Any
) -> None:
    make_prompt(people.label_class)
    with scripted(settings):
        set_budget(people.dataset, limit_micro_usd=2 * PRICE)
        client = people.client("curator")
        for count, is_short in ((2, False), (3, True)):
            form = order(people, generator="scripted", count=count)
            body = client.get(f"{PAGE}estimate", form).content.decode()
            assert ("this would not start" in body) is is_short


def test_the_progress_polls_while_calls_are_open(people: People) -> None:
    prompt = make_prompt(people.label_class)
    run = make_run(people.dataset, image_count=2)
    call = make_call(run, prompt, state=WorkState.READY)
    client = people.client("viewer")
    page = client.get(f"{PAGE}1/").content.decode()
    part = client.get(f"{PAGE}1/", headers=HTMX).content.decode()
    assert "<html" in page
    assert "<html" not in part
    assert 'hx-trigger="every 1s"' in part
    Call.objects.filter(pk=call.pk).update(state=WorkState.DONE)
    make_image(run=run, prompt=prompt)
    assert "hx-trigger" not in client.get(f"{PAGE}1/", headers=HTMX).content.decode()


def test_errors_are_grouped_and_escaped(people: People) -> None:
    prompt = make_prompt(people.label_class)
    run = make_run(people.dataset, image_count=4)
    for _ in range(2):
        make_call(run, prompt, state=WorkState.FAILED, count=2, error="<b>No such object</b>")
    part = people.client("viewer").get(f"{PAGE}1/").content.decode()
    assert "4 images not drawn: &lt;b&gt;No such object&lt;/b&gt;" in part


def test_a_run_that_nobody_takes_up_says_so(people: People) -> None:
    import datetime as dt

    from django.utils import timezone

    run = make_run(people.dataset)
    long_ago = timezone.now() - dt.timedelta(minutes=5)
    make_call(run, make_prompt(people.label_class), state=WorkState.READY, due_at=long_ago)
    assert "no worker takes it up" in people.client("viewer").get(f"{PAGE}1/").content.decode()


def test_curators_stop_and_retry(people: People) -> None:
    prompt = make_prompt(people.label_class)
    run = make_run(people.dataset, image_count=2)
    make_call(run, prompt, state=WorkState.READY)
    make_call(run, prompt, state=WorkState.FAILED, error="Broken")
    client = people.client("curator")
    client.post(f"{PAGE}1/stop")
    assert set(run.calls.values_list("state", flat=True)) == {"cancelled", "failed"}
    client.post(f"{PAGE}1/retry")
    assert set(run.calls.values_list("state", flat=True)) == {"cancelled", "ready"}


def test_who_may_do_what(people: People) -> None:
    make_run(people.dataset)
    for who, view, curate in (("stranger", 404, 404), ("viewer", 200, 403)):
        client = people.client(who)
        assert client.get(PAGE).status_code == view
        assert client.get(f"{PAGE}1/").status_code == view
        assert client.get(f"{PAGE}new").status_code == curate
        assert client.get(f"{PAGE}estimate").status_code == curate
        for verb in ("stop", "retry"):
            assert client.post(f"{PAGE}1/{verb}").status_code == curate
    curator = people.client("curator")
    for verb in ("stop", "retry"):
        assert curator.get(f"{PAGE}1/{verb}").status_code == 405
    assert curator.post(PAGE).status_code == 405
    assert curator.get(f"{PAGE}2/").status_code == 404


def test_lists_cost_the_same_for_2_and_for_20_rows(people: People) -> None:
    client = people.client("viewer")
    client.get(PAGE)
    prompt = make_prompt(people.label_class)
    first = make_run(people.dataset)
    counts = []
    for number in (2, 18):
        for _ in range(number):
            make_call(make_run(people.dataset), prompt)
            make_image(run=first, prompt=prompt)
        with CaptureQueriesContext(connection) as queries:
            client.get(PAGE)
            client.get(f"{PAGE}1/")
        counts.append(len(queries))
    assert counts[0] == counts[1]


# --- Bytes ----------------------------------------------------------------------


def test_renditions_are_jpeg_and_kept_for_ever_by_the_browser(people: People) -> None:
    image = make_image(people.dataset)
    response = people.client("viewer").get(image.thumb_url)
    assert response["Content-Type"] == "image/jpeg"
    assert response["Cache-Control"] == "private, max-age=31536000, immutable"
    assert b"".join(response.streaming_content)[:3] == b"\xff\xd8\xff"


def test_a_rendition_costs_one_query_beyond_the_session(people: People) -> None:
    image = make_image(people.dataset)
    client = people.client("viewer")
    with CaptureQueriesContext(connection) as queries:
        client.get(image.view_url).close()
    assert len(queries) == 3  # session, user, image


def test_originals_are_sandboxed_attachments(people: People) -> None:
    image = make_image(people.dataset)
    response = people.client("viewer").get(f"/images/{image.pk}/original")
    data = b"".join(response.streaming_content)
    assert data.startswith(tiny_png()[:8])
    assert len(data) == image.byte_count
    assert response["Content-Type"] == "application/octet-stream"
    assert response["Content-Disposition"] == f'attachment; filename="{image.pk:08d}.png"'
    assert response["Content-Security-Policy"] == "sandbox"
    assert response["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("name", ["thumb.jpg", "view.jpg", "original"])
def test_strangers_get_no_bytes(people: People, client: Any, name: str) -> None:
    image = make_image(people.dataset)
    url = f"/images/{image.pk}/{name}"
    assert people.client("stranger").get(url).status_code == 404
    assert client.get(url).status_code == 302
    assert people.client("viewer").post(url).status_code == 405


def test_unknown_renditions_and_lost_files_are_404(people: People, own_data_folder: Any) -> None:
    image = make_image(people.dataset, sha256="0" * 64)
    client = people.client("viewer")
    for name in ("huge.jpg", "original.jpg", "thumb.jpg", "original"):
        assert client.get(f"/images/{image.pk}/{name}").status_code == 404
    assert client.get(f"/images/{'9' * 30}/thumb.jpg").status_code == 404
