"""What pages say of each technique and generator: able, in another way, or not and who else is.

And the size of what is made of an image: its own, in the plan, in the price and in the request.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils.html import escape

from synthreview.generation import services
from synthreview.generation.generators.base import (
    INPAINT,
    KEEPS_SIZE,
    TEXT,
    TYPOGRAPHIC,
    Capabilities,
    DrawRequest,
)
from synthreview.generation.generators.openai import OpenAIGenerator
from synthreview.generation.jobs import request_of
from synthreview.generation.models import Call
from synthreview.generation.options import offers_of
from synthreview.generation.services import Order, capability_of, generator, plan_run, start_run
from synthreview.prompting.techniques import TECHNIQUES
from synthreview.spending.models import Budget, ServiceGate
from tests.factories import make_image, make_prompt
from tests.generation.contract_cases import CASES, Case
from tests.people import People, make_people

pytestmark = pytest.mark.django_db
NOWHERE = "http://127.0.0.1:9/v1"
PRICES = {"*": {"output": 30, "most_output_tokens": 1000, "most_input_tokens": 0}}


@pytest.fixture
def people() -> People:
    return make_people()


@pytest.fixture(autouse=True)
def _fresh_generators() -> Iterator[None]:
    generator.cache_clear()
    yield
    generator.cache_clear()


_models: dict[str, Path] = {}


def build(name: str) -> Any:
    """What the setting names: the generator of a case of the contract."""
    case = next(case for case in CASES if case.name == name)
    return case.build(NOWHERE, _models["folder"])


@pytest.fixture(scope="module", autouse=True)
def _folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    _models["folder"] = tmp_path_factory.mktemp("models")


def only(settings: Any, *names: str) -> None:
    here = "tests.generation.test_offers.build"
    settings.GENERATORS = {name: {"BACKEND": here, "OPTIONS": {"name": name}} for name in names}
    generator.cache_clear()


EVERY = [
    pytest.param(case, technique, id=f"{case.name}-{technique}",
                 marks=[pytest.mark.slow] if case.is_slow else [])
    for case in CASES
    for technique in TECHNIQUES
]  # fmt: skip


@pytest.mark.parametrize(("case", "technique"), EVERY)
def test_the_page_says_of_each_technique_and_generator_what_it_can(
    case: Case, technique: str, people: People, settings: Any
) -> None:
    only(settings, "sketch", *({case.name} - {"sketch"}))
    chosen = generator(case.name)
    can, capability = chosen.capabilities(), capability_of(technique)
    client = people.client("curator")
    page = "/d/traffic/runs/new" if capability == TEXT else "/d/traffic/derive/"
    given = {"generator": case.name, "technique": technique}
    body = client.get(page, given).content.decode()
    assert escape(chosen.title) in body
    if capability not in can.able:
        assert escape(f"{chosen.title} cannot do ") in body
        assert f'<option value="{case.name}"' not in body
    elif how := can.emulated.get(capability):
        assert f"How this generator does it: {escape(how)}" in body
    else:
        assert "How this generator does it" not in body
    # Whoever else does it is offered by name, with the way in which it is done.
    for offer in offers_of(capability):
        assert escape(offer.title) in body
        assert escape(offer.emulation) in body


def test_where_nobody_can_the_page_says_so_and_starts_nothing(
    people: People, settings: Any
) -> None:
    only(settings, "typographic")
    client = people.client("curator")
    form = {"classes": [people.label_class.pk], "techniques": ["plain"], "count": 1}
    for body in (
        client.get("/d/traffic/runs/new").content.decode(),
        client.post("/d/traffic/runs/new", form).content.decode(),
        client.get("/d/traffic/derive/?technique=fusion").content.decode(),
    ):
        assert "cannot; it does typographic" in body
    assert not Call.objects.exists()


def test_a_forged_choice_of_an_unable_generator_is_explained(people: People, settings: Any) -> None:
    only(settings, "sketch", "typographic")
    make_prompt(people.label_class)
    form = {
        "classes": [people.label_class.pk], "techniques": ["plain"], "count": 1,
        "generator": "typographic", "size_px": 256,
    }  # fmt: skip
    body = people.client("curator").post("/d/traffic/runs/new", form).content.decode()
    assert "Typographic (words on pictures) cannot do images from captions" in body
    assert not Call.objects.exists()


# --- Without JavaScript ----------------------------------------------------------------


def test_without_javascript_the_cost_is_worked_out_before_anything_starts(
    people: People, client: Client
) -> None:
    image = make_image(people.dataset)
    make_prompt(people.label_class)
    client = people.client("curator")
    forms: dict[str, dict[str, Any]] = {
        "/d/traffic/runs/new": {
            "classes": [people.label_class.pk], "techniques": ["plain"], "count": 3,
            "generator": "sketch", "size_px": 256,
        },
        "/d/traffic/derive/": {
            "technique": "variation", "origin": "chosen", "image_ids": str(image.pk), "each": 3,
            "classes": [image.label_class_id], "generator": "sketch", "size_px": 256,
        },
        f"/images/{image.pk}/repaint": {
            "instruction": "with a red box added", "label_class": image.label_class_id,
            "left": 0, "top": 0, "right": 50, "bottom": 50, "count": 3, "generator": "sketch",
        },
    }  # fmt: skip
    before = Call.objects.count()
    for page, form in forms.items():
        body = client.post(page, {**form, "ask": "estimate"}).content.decode()
        assert "<dt>Cost at most</dt><dd>free</dd>" in body, page
        assert "<dt>Images</dt><dd>3</dd>" in body
    assert Call.objects.count() == before
    for page, form in forms.items():
        assert client.post(page, form).status_code == 302
    assert Call.objects.count() > before


# --- As large as its source -------------------------------------------------------------


@pytest.mark.parametrize("technique", sorted(KEEPS_SIZE))
def test_what_keeps_its_size_is_asked_for_none(
    technique: str, people: People, settings: Any
) -> None:
    only(settings, "sketch" if technique == INPAINT else TYPOGRAPHIC)
    page = f"/d/traffic/derive/?technique={technique}"
    body = people.client("curator").get(page).content.decode()
    assert "as large as the one it is made of" in body
    assert 'name="size_px"' not in body


@pytest.mark.parametrize(
    ("source", "asked_px"),
    [((100, 80), 256), ((256, 256), 256), ((700, 300), 768), ((3000,) * 2, 1024)],
)
def test_a_call_asks_for_the_size_that_holds_its_source(
    source: tuple[int, int], asked_px: int, people: People, settings: Any
) -> None:
    only(settings, "sketch")
    image = make_image(people.dataset, width=source[0], height=source[1])
    prompt = make_prompt(people.label_class, technique="inpaint")
    run = start_run(
        dataset=people.dataset, orders=[Order(prompt, (image,))], count=1,
        generator_alias="sketch", size_px=99,
    )  # fmt: skip
    request = request_of(run.calls.get())
    assert (request.size_px, request.source_size) == (asked_px, source)
    assert run.size_px == 0
    assert (
        "px"
        not in people.client("curator")
        .get(run.get_absolute_url())
        .content.decode()
        .split("started")[0]
        .split("<h1>")[1]
    )


def openai() -> OpenAIGenerator:
    return OpenAIGenerator(model="m", base_url=NOWHERE, prices=PRICES)


@pytest.mark.parametrize(
    ("source", "images_worth"),
    [
        ((1024, 1024), 1),
        ((1024, 1536), 2),  # more than a megapixel counts as two
        ((2048, 2048), 4),
        ((640, 480), 1),
        ((1000, 1000), 1),  # no step of 16: scaled to 1024
        ((1000, 600), 1),  # refused when it is drawn, before anything is sent
    ],
)
def test_an_inpainting_is_priced_by_the_size_of_its_source(
    source: tuple[int, int], images_worth: int, people: People, settings: Any
) -> None:
    settings.GENERATORS = {"openai": {"BACKEND": "tests.generation.test_offers.openai"}}
    image = make_image(people.dataset, width=source[0], height=source[1])
    prompt = make_prompt(people.label_class, "with a hat", technique="inpaint")
    plan = plan_run(orders=[Order(prompt, (image,))], count=1, generator_alias="openai")
    assert plan.estimated_micro_usd == images_worth * 30_000
    # A page that forgot the size of its run changes nothing.
    again = plan_run(
        orders=[Order(prompt, (image,))], count=1, generator_alias="openai", size_px=256
    )
    assert again.estimated_micro_usd == plan.estimated_micro_usd


def test_a_run_whose_sources_are_too_dear_does_not_start(people: People, settings: Any) -> None:
    settings.GENERATORS = {"openai": {"BACKEND": "tests.generation.test_offers.openai"}}
    Budget.objects.create(dataset=people.dataset, limit_micro_usd=100_000)
    prompt = make_prompt(people.label_class, "with a hat", technique="inpaint")
    images = [make_image(people.dataset, width=2048, height=2048) for _ in range(2)]
    with pytest.raises(services.RunError, match=r"0\.10 of the budget is left"):
        start_run(
            dataset=people.dataset, orders=[Order(prompt, (image,)) for image in images], count=2,
            generator_alias="openai",
        )  # fmt: skip
    assert not Call.objects.filter(state="ready").exists()


def test_sizes_fit_their_source() -> None:
    can = Capabilities(frozenset({TEXT}), sizes_px=(1024, 256, 512))
    assert [can.size_for((side, 1)) for side in (1, 256, 257, 600, 5000)] == [
        256, 256, 512, 1024, 1024,
    ]  # fmt: skip


def test_a_request_without_a_source_is_priced_by_its_own_size() -> None:
    small, large = (
        openai().estimate_micro_usd(DrawRequest(prompt="a hat", size_px=size))
        for size in (1024, 1536)
    )
    assert large == 3 * small


# --- Limits and the breaker ----------------------------------------------------------------


def test_limits_and_a_shut_gate_are_shown_before_and_during_a_run(
    people: People, settings: Any
) -> None:
    only(settings, "sketch")
    settings.GENERATORS["sketch"]["LIMITS"] = {"at_once": 4, "per_minute": 60}
    make_prompt(people.label_class)
    image = make_image(people.dataset)
    client = people.client("curator")
    orders = services.orders_of(services.approved_prompts(people.dataset))
    run = start_run(
        dataset=people.dataset, orders=orders, count=1, generator_alias="sketch", size_px=256
    )
    page = run.get_absolute_url()
    told = "is asked at most 4 at once and at most 60 times a minute, by all workers together"
    assert told in client.get(page).content.decode()
    forms = ["/d/traffic/runs/new", "/d/traffic/derive/", f"/images/{image.pk}/repaint"]
    assert not any("is paused" in client.get(form).content.decode() for form in forms)
    ServiceGate.objects.create(
        service="generator:sketch", needs_person=True, reason="The account is empty."
    )
    for body in (client.get(form).content.decode() for form in [*forms, page]):
        assert "is paused" in body
        assert "The account is empty." in body
