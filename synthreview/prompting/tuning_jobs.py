"""The worker side of fine-tuning: trains here, or has a server do it and looks in now and then."""

from __future__ import annotations

import datetime as dt
import json
import logging
import shutil
import time
import uuid
from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from synthreview.lib.adapters import UnknownAdapterError
from synthreview.lib.money import micro_usd
from synthreview.lib.outcomes import (
    OutcomeUnknownError,
    OutOfCreditError,
    PermanentError,
    ServiceError,
    StoppedError,
    TransientError,
)
from synthreview.prompting.authors.openai import OpenAIAuthor
from synthreview.prompting.authors.transformers import TransformersAuthor
from synthreview.prompting.drafting import author
from synthreview.prompting.finetuning import MEASURED_FILE, TRAINING_FILE
from synthreview.prompting.models import Tuning
from synthreview.prompting.tuning import lora
from synthreview.prompting.tuning.remote import JobState, RemoteJob, RemoteTuning
from synthreview.spending.flushing import flushed
from synthreview.spending.models import Budget
from synthreview.work.models import WorkState

logger = logging.getLogger(__name__)
LEASE_S = 1800  # to load a model takes its time; each step renews the lease
NOTE_EVERY_S = 1.0
LOOK_EVERY_S = 15.0
EVENTS, JOBS = 100, 100
ADAPTER = "adapter"


def tune(pk: int) -> None:
    """Train, or have trained and look how it goes; ends the row or puts it off."""
    token = Tuning.objects.claim(pk, lease_s=LEASE_S)
    if token is None:
        return
    row = Tuning.objects.select_related("dataset").get(pk=pk)
    try:
        if row.where == "local":
            _train(row, token)
        else:
            _have_trained(row, token)
    except StoppedError:
        pass  # the row is cancelled: that is why it stopped
    except (TransientError, OutOfCreditError, OutcomeUnknownError) as error:
        # What was sent is found again by its file, so nothing is paid twice.
        _put_off_or_fail(row, token, str(error))
    except ServiceError as error:
        _settle(row, token, WorkState.FAILED, error=str(error))
    except Exception as error:  # whatever the libraries raise
        logger.exception("%s broke off", row)
        _put_off_or_fail(row, token, f"{type(error).__name__}: {error}")


def _put_off_or_fail(row: Tuning, token: uuid.UUID, said: str) -> None:
    sent = Tuning.objects.held(row.pk, token).values_list("sent_at", flat=True).first()
    if row.attempts < row.MAX_ATTEMPTS:
        Tuning.objects.postpone(row.pk, token, delay_s=10.0 * row.attempts, error=said)
    elif sent and row.may_cost:
        # Its job may go on, and cost: the money stays reserved until a person looks again.
        Tuning.objects.settle(row.pk, token, WorkState.UNKNOWN, error=said)
    else:
        _settle(row, token, WorkState.FAILED, error=said)


def _settle(
    row: Tuning, token: uuid.UUID, state: WorkState, *, billed_micro_usd: int = 0, **fields: Any
) -> None:
    with transaction.atomic():
        if Tuning.objects.settle(row.pk, token, state, billed_micro_usd=billed_micro_usd, **fields):
            Budget.objects.settle(
                row.dataset_id,
                estimated_micro_usd=row.estimated_micro_usd,
                billed_micro_usd=billed_micro_usd,
            )


# --- On this machine --------------------------------------------------------------------


def _train(row: Tuning, token: uuid.UUID) -> None:
    base = _base(row, TransformersAuthor)
    out = row.folder / ADAPTER
    if not (out / lora.RECORD).is_file():  # else it was trained, and never put on record
        shutil.rmtree(out, ignore_errors=True)
        held = Tuning.objects.held(row.pk, token)
        noted_at = 0.0

        def on_progress(progress: lora.Progress) -> None:
            nonlocal noted_at
            is_last = progress.step == progress.steps
            if time.monotonic() - noted_at >= NOTE_EVERY_S or is_last:
                noted_at = time.monotonic()
                held.update(
                    steps_done=progress.step,
                    steps_total=progress.steps,
                    loss=progress.loss,
                    lease_expires_at=Now() + dt.timedelta(seconds=LEASE_S),
                )

        lora.train(
            model=base.model,
            rows=_rows(row, TRAINING_FILE),
            measured=_rows(row, MEASURED_FILE),
            out=out,
            settings=lora.LoraSettings(**{**row.options, "device": base.device}),
            on_progress=on_progress,
            should_stop=lambda: not held.exists(),
        )
    told = json.loads((out / lora.RECORD).read_text())["result"]
    names = ("rows", "left_out", "steps", "tokens", "loss_before", "loss_after", "seconds")
    report = {**row.report, **{name: told[name] for name in names}}
    _settle(row, token, WorkState.DONE, result=str(out), report=report)


def _rows(row: Tuning, name: str) -> list[dict[str, Any]]:
    with (row.folder / name).open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


# --- By a server ------------------------------------------------------------------------


def _have_trained(row: Tuning, token: uuid.UUID) -> None:
    base = _base(row, OpenAIAuthor)
    remote = RemoteTuning(base.connection)
    held = Tuning.objects.held(row.pk, token)
    job = remote.poll(row.server_job) if row.server_job else _send(row, token, remote, base.model)
    row.stop_asked = held.values_list("stop_asked", flat=True).first() or False
    if row.stop_asked and job.is_open:
        job = remote.cancel(job.id)
    events = [
        {"at_s": event.at_s, "level": event.level, "message": event.message}
        for event in remote.events(job.id, limit=EVENTS)
    ]
    # A look that succeeded is no failed attempt.
    held.update(server_job=job.id, events=events, attempts=0)
    row.attempts = 0
    if job.is_open:
        Tuning.objects.postpone(row.pk, token, delay_s=LOOK_EVERY_S, error="")
        return
    cost = base.training_usd(job.trained_tokens or 0)
    report = {**row.report, "tokens": job.trained_tokens}
    billed = micro_usd(cost or 0)
    if job.state is JobState.SUCCEEDED:
        end: dict[str, Any] = {"result": job.tuned_model}
        state = WorkState.DONE
    elif job.state is JobState.CANCELLED:
        end, state = {}, WorkState.CANCELLED
    else:
        end, state = {"error": job.error or "The server says that it failed."}, WorkState.FAILED
    _settle(row, token, state, billed_micro_usd=billed, report=report, **end)


def _send(row: Tuning, token: uuid.UUID, remote: RemoteTuning, model: str) -> RemoteJob:
    """Create the job, or find it again where it was sent and the answer lost."""
    held = Tuning.objects.held(row.pk, token)
    if row.server_file and row.sent_at:
        sent = [job for job in remote.recent(limit=JOBS) if job.file_id == row.server_file]
        if sent:
            return sent[0]
    if not row.server_file:
        row.server_file = remote.upload(row.folder / TRAINING_FILE)
        held.update(server_file=row.server_file)
    with flushed(if_paid=row.may_cost):
        is_held = held.update(sent_at=Now())
    if not is_held:
        raise StoppedError("It was stopped before it was sent.")
    return remote.create(
        file_id=row.server_file,
        model=model,
        is_preference=row.is_preference,
        epochs=row.options.get("epochs"),
        seed=row.options.get("seed"),
        suffix=f"{row.dataset.slug}-{row.pk}"[-18:],
    )


def _base(row: Tuning, kind: type[Any]) -> Any:
    """Return the plain author. Raises PermanentError where it is another one by now."""
    try:
        base = author(row.base)
    except UnknownAdapterError as error:
        raise PermanentError(str(error)) from error
    if not isinstance(base, kind):
        raise PermanentError(f"The author {row.base!r} is another one now: order it anew.")
    return base
