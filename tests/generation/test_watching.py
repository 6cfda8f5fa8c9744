"""Drawing that can be watched and stopped: steps noted, leases kept, a stop within a step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse

from synthreview.accounts.models import User
from synthreview.generation import jobs
from synthreview.generation.generators.base import DrawRequest, DrawResult, OnStep, go_on
from synthreview.generation.jobs import draw_call
from synthreview.generation.models import Call, GeneratedImage, Run
from synthreview.generation.services import generator, orders_of, start_run, stop_run
from synthreview.lib.outcomes import StoppedError
from synthreview.spending.models import ServiceGate
from synthreview.work.models import WorkState
from tests.factories import make_dataset, make_prompt, make_user
from tests.generation.fakes import ScriptedGenerator
from tests.generation.tiny_diffusion import make_stable_diffusion

pytestmark = pytest.mark.django_db
STEPS = 5


class Stepping(ScriptedGenerator):
    """Draws in five steps; `between` is called before each is told."""

    price = 0
    is_repeatable = True
    between: Callable[[int], None]
    drawn_steps: list[int]

    def draw(self, request: DrawRequest, *, idempotency_key: str) -> DrawResult:
        return self.draw_watched(request, idempotency_key=idempotency_key, on_step=go_on)

    def draw_watched(
        self, request: DrawRequest, *, idempotency_key: str, on_step: OnStep
    ) -> DrawResult:
        for done in range(1, STEPS + 1):
            self.drawn_steps.append(done)
            self.between(done)
            if not on_step(done, STEPS):
                raise StoppedError("stopped")
        return super().draw(request, idempotency_key=idempotency_key)


only = Stepping()


def build() -> Stepping:
    """What the setting names."""
    return only


@pytest.fixture
def stepping(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stepping]:
    settings.GENERATORS = {"stepping": {"BACKEND": f"{__name__}.build"}}
    monkeypatch.setattr(jobs, "NOTE_EVERY_S", 0)
    only.between, only.drawn_steps = lambda done: None, []
    generator.cache_clear()
    yield only
    generator.cache_clear()


def start(alias: str = "stepping", prompts: int = 1, **fields: Any) -> Run:
    dataset = make_dataset(curator=make_user("curator"))
    car = dataset.classes.get(name="car")
    return start_run(
        dataset=dataset,
        orders=orders_of(make_prompt(car) for _ in range(prompts)),
        count=prompts,
        generator_alias=alias,
        seed=7,
        **fields,
    )


def test_steps_are_noted_and_keep_the_lease(stepping: Stepping) -> None:
    run = start()
    call = run.calls.get()
    seen = []

    def look(done: int) -> None:
        call.refresh_from_db()
        seen.append((call.steps_done, call.steps_total))
        Call.objects.filter(pk=call.pk).update(lease_expires_at=Now())

    stepping.between = look
    draw_call(call.pk)
    call.refresh_from_db()
    assert seen == [(0, 0), (1, STEPS), (2, STEPS), (3, STEPS), (4, STEPS)]
    assert (call.state, call.steps_done) == (WorkState.DONE, STEPS)
    assert GeneratedImage.objects.filter(run=run).count() == 1


def test_a_lease_lasts_from_step_to_step(stepping: Stepping) -> None:
    run = start()
    overdue = []

    def look(done: int) -> None:
        overdue.append(Call.objects.overdue().exists())
        Call.objects.filter(run=run).update(lease_expires_at=Now())

    stepping.between = look
    draw_call(run.calls.get().pk)
    assert overdue == [False] * STEPS


def test_stopping_the_run_stops_the_image_that_is_being_drawn(stepping: Stepping) -> None:
    run = start(prompts=2)
    stopped = []
    stepping.between = lambda done: stopped.append(stop_run(run)) if done == 2 else None
    draw_call(run.calls.order_by("pk")[0].pk)
    assert (stopped, stepping.drawn_steps) == ([2], [1, 2])
    assert run.counts()["cancelled"] == 2
    assert not GeneratedImage.objects.exists()
    assert not ServiceGate.objects.filter(failures_in_a_row__gt=0).exists()  # no failure of its
    assert stop_run(run) == 0


def test_a_worker_whose_call_another_one_has_stops_and_changes_nothing(stepping: Stepping) -> None:
    run = start()
    call = run.calls.get()
    tokens = []

    def take_over(done: int) -> None:
        if done == 3:
            held = Call.objects.filter(pk=call.pk)
            held.update(state=WorkState.READY, lease_token=None, lease_expires_at=None)
            tokens.append(Call.objects.claim(call.pk, lease_s=60))

    stepping.between = take_over
    draw_call(call.pk)
    call.refresh_from_db()
    assert stepping.drawn_steps == [1, 2, 3]
    assert (call.state, call.lease_token) == (WorkState.RUNNING, tokens[0])
    assert call.steps_done == 2


def test_the_page_tells_the_step_and_stops_what_runs(client: Client, stepping: Stepping) -> None:
    run = start()
    client.force_login(User.objects.get(username="curator"))
    pages = []

    def look(done: int) -> None:
        if done == 3:
            pages.append(client.get(run.get_absolute_url()).content.decode())
            stop = reverse("run-stop", args=[run.dataset.slug, run.number])
            answer = client.post(stop, follow=True)
            pages.append(answer.content.decode())

    stepping.between = look
    draw_call(run.calls.get().pk)
    assert "(step 2 of 5)" in pages[0]
    assert 'id="stop"' in pages[0]
    assert "its worker ends after the step it is at" in pages[1]
    assert 'id="stop"' not in pages[1]
    assert stepping.drawn_steps == [1, 2, 3]


def test_a_run_of_a_generator_that_is_gone_can_be_stopped(
    stepping: Stepping, settings: Any
) -> None:
    run = start(prompts=2)
    Call.objects.claim(run.calls.order_by("pk")[0].pk, lease_s=60)
    settings.GENERATORS = {}
    generator.cache_clear()
    assert stop_run(run) == 1  # what runs may be paid for, as far as anybody knows


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_local_model_draws_a_run_to_its_end(
    tmp_path: Path, stepping: Stepping, settings: Any
) -> None:
    model = make_stable_diffusion(tmp_path / "tiny")
    (model / "README.md").write_text("---\nlicense: openrail\n---\n")
    settings.GENERATORS["local"] = {
        "BACKEND": "synthreview.generation.generators.diffusers.DiffusersGenerator",
        "OPTIONS": {"model": str(model)},
    }
    run = start("local", size_px=32, options={"steps": 2}, negative_prompt="rain")
    call = run.calls.get()
    draw_call(call.pk)
    call.refresh_from_db()
    assert (call.state, call.error) == (WorkState.DONE, "")
    assert (call.steps_done, call.steps_total) == (2, 2)
    image = GeneratedImage.objects.get(run=run)
    assert (image.model, image.seed, image.width) == ("tiny", 7, 32)
    assert image.model_version.startswith("weights ")
    assert image.facts["by"] == "text to image"
