"""One paid call after the other: every kind of answer, every kind of fault, killed anywhere."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Any

import django_rq
import pytest
from django.db.models.functions import Now
from django.utils import timezone

from synthreview.catalog import storage
from synthreview.generation import jobs
from synthreview.generation.generators.base import DrawnImage, DrawRequest
from synthreview.generation.generators.sketch import SketchGenerator
from synthreview.generation.jobs import draw, draw_call
from synthreview.generation.models import Call, GeneratedImage, ImageTruth, Run
from synthreview.generation.services import orders_of, retry_run, start_run
from synthreview.lib.images import RENDITIONS_PX, THUMB, DecodedImage, decode, rendition
from synthreview.lib.outcomes import (
    OutcomeUnknownError,
    PermanentError,
    RateLimitedError,
    RefusedError,
    ServiceError,
    TransientError,
)
from synthreview.spending import performing, spool
from synthreview.spending.models import Budget
from synthreview.work.models import WorkState
from synthreview.work.services import job_id, take_back_overdue
from tests.factories import make_dataset, make_prompt, tiny_png
from tests.generation.fakes import PRICE, AfterCharge, ScriptedGenerator, scripted

pytestmark = pytest.mark.django_db


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours catches it."""


@pytest.fixture
def fake(settings: Any) -> Iterator[type[ScriptedGenerator]]:
    with scripted(settings) as generator:
        yield generator


@pytest.fixture
def repeatable(settings: Any) -> Iterator[type[ScriptedGenerator]]:
    with scripted(settings, is_repeatable=True) as generator:
        yield generator


def make_ready(count: int = 2, prompts: int = 1) -> Run:
    dataset = make_dataset()
    Budget.objects.create(dataset=dataset, limit_micro_usd=10_000_000)
    car = dataset.classes.get(name="car")
    return start_run(
        dataset=dataset,
        orders=orders_of(make_prompt(car) for _ in range(prompts)),
        count=count,
        generator_alias="scripted",
        seed=100,
    )


def only_call(run: Run) -> Call:
    return run.calls.get()


def money(run: Run) -> tuple[int, int]:
    budget = Budget.objects.get(dataset=run.dataset)
    return budget.reserved_micro_usd, budget.spent_micro_usd


def make_due(run: Run) -> None:
    run.calls.filter(state=WorkState.READY).update(due_at=Now())


# --- The happy path ------------------------------------------------------------------


def test_a_call_becomes_images_with_their_history(fake: type[ScriptedGenerator]) -> None:
    run = make_ready(count=3)
    draw_call(only_call(run).pk)
    call = only_call(run)
    assert (call.state, call.lease_token) == (WorkState.DONE, None)
    assert call.billed_micro_usd == 3 * PRICE
    assert call.sent_at
    images = GeneratedImage.objects.filter(run=run).order_by("position")
    assert [(image.position, image.seed) for image in images] == [(0, 100), (1, 101), (2, 102)]
    for image in images:
        assert (image.model, image.model_version, image.generator) == ("scripted", "7", "scripted")
        assert (image.width, image.height, image.media_type) == (16, 16, "image/png")
        assert image.caption == call.prompt.text
        assert storage.blobs().read(image.sha256) == tiny_png(image.seed or 0)
        assert storage.blobs().exists(image.sha256, "thumb")
        assert ImageTruth.objects.get(image=image).facts == {"drawn": image.seed}
    assert len({image.family for image in images}) == 3
    assert money(run) == (0, 3 * PRICE)
    assert spool.read(call.spool_key) is None


@pytest.mark.parametrize("capability", ["text", "variation"])
def test_pixels_at_hand_are_what_the_file_decodes_to(capability: str) -> None:
    sketch = SketchGenerator()
    request = DrawRequest(prompt="A red car on the beach", size_px=256, seed=1)
    (image,) = sketch.draw(request, idempotency_key="").images
    if capability == "variation":
        again = DrawRequest("", size_px=256, seed=2, capability=capability, images=(image.data,))
        (image,) = sketch.draw(again, idempotency_key="").images
    assert image.pixels is not None
    decoded = decode(image.data)
    assert image.pixels.mode == decoded.pixels.mode
    assert image.pixels.tobytes() == decoded.pixels.tobytes()


def test_a_drawn_image_is_decoded_once_at_most(
    fake: type[ScriptedGenerator], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The renditions are those of the file, whether its pixels were at hand or not."""
    run = make_ready(count=2)
    pixels = decode(tiny_png(7)).pixels
    fake.script[:] = [
        (
            DrawnImage(tiny_png(7), "image/png", pixels=pixels),
            DrawnImage(tiny_png(8), "image/png", pixels=pixels.convert("L")),
        )
    ]
    decoded: list[bytes] = []

    def counted(data: bytes) -> DecodedImage:
        decoded.append(data)
        return decode(data)

    monkeypatch.setattr(jobs, "decode", counted)
    draw_call(only_call(run).pk)
    assert decoded == [tiny_png(8)]
    for image, number in zip(run.calls.get().images.order_by("position"), (7, 8), strict=True):
        thumb = rendition(decode(tiny_png(number)).pixels, RENDITIONS_PX[THUMB])
        assert storage.blobs().read(image.sha256, THUMB) == thumb


def test_what_a_shift_does_leaves_no_message_behind(
    fake: type[ScriptedGenerator], redis: Any, django_capture_on_commit_callbacks: Any
) -> None:
    """Each stale message would cost a worker a fork."""
    with django_capture_on_commit_callbacks(execute=True):
        run = make_ready(count=6, prompts=6)
    queue = django_rq.get_queue("generation")
    assert len(queue.get_job_ids()) == 6
    first = run.calls.order_by("pk").first()
    assert first
    draw(first.pk)
    assert run.counts()["done"] == 6
    assert queue.get_job_ids() == [job_id(Call(pk=first.pk))]
    assert len(redis.keys("rq:job:*")) == 1


def test_a_second_delivery_does_nothing(fake: type[ScriptedGenerator]) -> None:
    run = make_ready()
    for _ in range(10):
        draw_call(only_call(run).pk)
    assert len(fake.charges) == 1
    assert GeneratedImage.objects.count() == 2


def test_one_message_draws_the_run_while_its_shift_lasts(fake: type[ScriptedGenerator]) -> None:
    run = make_ready(count=6, prompts=6)
    draw(run.calls.order_by("pk").values_list("pk", flat=True)[0])
    assert run.counts()["done"] == 6


def test_a_message_of_a_row_that_is_gone_does_nothing(fake: type[ScriptedGenerator]) -> None:
    draw(987_654)
    assert fake.charges == []


# --- Errors, kind by kind ----------------------------------------------------------------


def test_a_transient_fault_is_tried_again_and_costs_nothing(
    fake: type[ScriptedGenerator],
) -> None:
    run = make_ready()
    fake.script[:] = [TransientError("busy")]
    draw_call(only_call(run).pk)
    call = only_call(run)
    assert (call.state, call.error, call.sent_at) == (WorkState.READY, "busy", None)
    assert call.due_at > timezone.now()
    make_due(run)
    draw_call(call.pk)
    assert only_call(run).state == WorkState.DONE
    assert len(fake.charges) == 1
    assert money(run) == (0, 2 * PRICE)


def test_a_rate_limit_is_waited_for_as_long_as_it_says(fake: type[ScriptedGenerator]) -> None:
    run = make_ready()
    fake.script[:] = [RateLimitedError("slow down", retry_after_s=77)]
    draw_call(only_call(run).pk)
    wait_s = (only_call(run).due_at - timezone.now()).total_seconds()
    assert 70 < wait_s <= 78


def test_a_fault_that_does_not_pass_is_set_aside(fake: type[ScriptedGenerator]) -> None:
    run = make_ready()
    fake.script[:] = [TransientError("busy")] * 9
    for _ in range(9):
        draw_call(only_call(run).pk)
        make_due(run)
    call = only_call(run)
    assert (call.state, call.attempts, call.error) == (WorkState.FAILED, 3, "busy")
    assert money(run) == (0, 0)


@pytest.mark.parametrize(
    "error",
    [
        RefusedError("policy"),
        PermanentError("wrong size"),
        ServiceError("broken"),
    ],
)
def test_a_lasting_fault_ends_the_call_with_its_words(
    fake: type[ScriptedGenerator], error: ServiceError
) -> None:
    run = make_ready()
    fake.script[:] = [error]
    draw_call(only_call(run).pk)
    call = only_call(run)
    assert (call.state, call.error) == (WorkState.FAILED, str(error))
    assert money(run) == (0, 0)
    assert not GeneratedImage.objects.exists()


@pytest.mark.parametrize(
    "error", [OutcomeUnknownError("time-out"), ValueError("a bug"), OSError("reset")]
)
def test_without_proof_of_its_outcome_a_call_is_never_sent_again(
    fake: type[ScriptedGenerator], error: Exception
) -> None:
    run = make_ready()
    fake.script[:] = [AfterCharge(error)]
    for _ in range(3):
        draw_call(only_call(run).pk)
        make_due(run)
        take_back_overdue()
    assert only_call(run).state == WorkState.UNKNOWN
    assert len(fake.charges) == 1
    assert money(run) == (2 * PRICE, 0)  # it may have been charged: it stays reserved


def test_with_an_idempotency_key_it_is_sent_again_and_charged_once(
    repeatable: type[ScriptedGenerator],
) -> None:
    run = make_ready()
    repeatable.script[:] = [AfterCharge(OutcomeUnknownError("time-out"))]
    draw_call(only_call(run).pk)
    assert only_call(run).state == WorkState.READY
    make_due(run)
    draw_call(only_call(run).pk)
    assert only_call(run).state == WorkState.DONE
    assert len(repeatable.charges) == 1
    assert GeneratedImage.objects.count() == 2


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_wrong_number_of_images_fails_the_call(fake: type[ScriptedGenerator], count: int) -> None:
    run = make_ready(count=2)
    fake.script[:] = [tuple(DrawnImage(tiny_png(n), "image/png") for n in range(count))]
    draw_call(only_call(run).pk)
    call = only_call(run)
    assert call.state == WorkState.FAILED
    assert f"{count} images came, 2 were asked" in call.error
    assert not GeneratedImage.objects.exists()
    assert money(run) == (0, 2 * PRICE)  # useless, and charged all the same
    retry_run(run)
    draw_call(call.pk)
    assert only_call(run).state == WorkState.DONE
    assert len(fake.charges) == 2


@pytest.mark.parametrize("data", [b"", b"<svg/>", tiny_png(5)[:50]])
def test_bytes_that_are_no_image_fail_the_call(fake: type[ScriptedGenerator], data: bytes) -> None:
    run = make_ready(count=2)
    fake.script[:] = [(DrawnImage(tiny_png(1), "image/png"), DrawnImage(data, "image/png"))]
    draw_call(only_call(run).pk)
    call = only_call(run)
    assert call.state == WorkState.FAILED
    assert "could not be used" in call.error
    assert not GeneratedImage.objects.exists()


# --- Killed at each named point --------------------------------------------------------


def kill_at(monkeypatch: pytest.MonkeyPatch, point: str, *, after: bool = False) -> None:
    """Let the first arrival at `point` end the worker, before or after it does its work."""
    module, name = {
        "spool": (spool, "write"),
        "blobs": (jobs, "as_spooled"),
        "rows": (performing, "_keep"),
        "image": (jobs, "_image_of"),
        "settle": (performing, "_settle"),
        "clear": (spool, "clear"),
    }[point]
    whole = getattr(module, name)

    def killed(*args: Any, **kwargs: Any) -> None:
        monkeypatch.setattr(module, name, whole)
        if after:
            whole(*args, **kwargs)
        raise Killed

    monkeypatch.setattr(module, name, killed)


def let_lease_run_out(run: Run) -> None:
    past = timezone.now() - timezone.timedelta(seconds=1)
    run.calls.filter(state=WorkState.RUNNING).update(lease_expires_at=past)
    take_back_overdue()


@pytest.mark.parametrize(
    ("point", "after"),
    [("spool", True), ("rows", False), ("image", False), ("image", True), ("settle", False)],
)
def test_killed_once_the_answer_is_spooled_it_goes_on_and_pays_once(
    fake: type[ScriptedGenerator], monkeypatch: pytest.MonkeyPatch, point: str, after: bool
) -> None:
    run = make_ready(count=3)
    kill_at(monkeypatch, point, after=after)
    with pytest.raises(Killed):
        draw_call(only_call(run).pk)
    assert not GeneratedImage.objects.exists()
    let_lease_run_out(run)
    assert only_call(run).state == WorkState.READY
    draw_call(only_call(run).pk)
    assert only_call(run).state == WorkState.DONE
    assert len(fake.charges) == len(fake.requests) == 1
    assert sorted(image.seed or 0 for image in GeneratedImage.objects.all()) == [100, 101, 102]
    assert money(run) == (0, 3 * PRICE)
    assert spool.read(only_call(run).spool_key) is None


def test_killed_after_its_rows_nothing_is_left_to_do(
    fake: type[ScriptedGenerator], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_ready()
    kill_at(monkeypatch, "clear")
    with pytest.raises(Killed):
        draw_call(only_call(run).pk)
    let_lease_run_out(run)
    draw_call(only_call(run).pk)
    assert only_call(run).state == WorkState.DONE
    assert GeneratedImage.objects.count() == 2


@pytest.mark.parametrize("point", ["blobs", "spool"])
def test_killed_between_sent_and_spooled_it_is_unknown_and_not_sent_again(
    fake: type[ScriptedGenerator], monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    run = make_ready()
    kill_at(monkeypatch, point)
    with pytest.raises(Killed):
        draw_call(only_call(run).pk)
    let_lease_run_out(run)
    assert only_call(run).state == WorkState.UNKNOWN
    draw_call(only_call(run).pk)
    assert len(fake.charges) == 1


@pytest.mark.parametrize("point", ["blobs", "spool"])
def test_killed_there_a_repeatable_call_gives_the_same_images(
    repeatable: type[ScriptedGenerator], monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    run = make_ready()
    kill_at(monkeypatch, point)
    with pytest.raises(Killed):
        draw_call(only_call(run).pk)
    let_lease_run_out(run)
    draw_call(only_call(run).pk)
    assert only_call(run).state == WorkState.DONE
    assert len(repeatable.charges) == 1
    assert sorted(image.seed or 0 for image in GeneratedImage.objects.all()) == [100, 101]


def test_the_rows_of_a_worker_that_lost_its_lease_do_not_count(
    fake: type[ScriptedGenerator], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_ready()
    whole = performing._keep

    def overtaken(call: Call, *args: Any) -> None:
        monkeypatch.setattr(performing, "_keep", whole)
        let_lease_run_out(run)  # while this worker hangs, another one takes the call
        draw_call(call.pk)
        whole(call, *args)

    monkeypatch.setattr(performing, "_keep", overtaken)
    draw_call(only_call(run).pk)
    assert GeneratedImage.objects.count() == 2
    assert money(run) == (0, 2 * PRICE)


def test_a_full_disk_loses_no_paid_answer(
    fake: type[ScriptedGenerator], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paid and not spooled: that is no proof, so it becomes unknown and is shown."""
    run = make_ready()

    def full(key: str, answer: dict[str, Any]) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(spool, "write", full)
    draw_call(only_call(run).pk)
    call = only_call(run)
    assert call.state == WorkState.UNKNOWN
    assert "No space" in call.error


def test_a_full_disk_after_the_spool_is_tried_again(
    fake: type[ScriptedGenerator], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer lies in the spool, so drawing goes on from there once there is room."""
    run = make_ready()
    whole = storage.renditions_of

    def full(*_: object) -> None:
        monkeypatch.setattr(storage, "renditions_of", whole)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(storage, "renditions_of", full)
    draw_call(only_call(run).pk)
    make_due(run)
    draw_call(only_call(run).pk)
    assert only_call(run).state == WorkState.DONE
    assert len(fake.charges) == 1
