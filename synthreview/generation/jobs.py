"""The worker side of generation: one call after the other, by the rules of docs/work.md."""

from __future__ import annotations

import datetime as dt
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.db.models.functions import Now

from synthreview.catalog import storage
from synthreview.generation import masks
from synthreview.generation.generators.base import (
    TEXT,
    DrawnImage,
    DrawRequest,
    DrawResult,
    Interruptible,
    OnStep,
)
from synthreview.generation.models import Call, GeneratedImage, ImageTruth
from synthreview.generation.services import (
    capability_of,
    drawn_px,
    generator,
    segmenter,
    source_size,
)
from synthreview.lib.images import BadImageError, DecodedImage, decode
from synthreview.lib.outcomes import PermanentError, UnusableAnswerError
from synthreview.spending.performing import perform
from synthreview.work.services import withdraw

# What was just drawn, by its checksum: nothing is read back that is still in memory.
AtHand = dict[str, DrawnImage]

LEASE_S = 300
# Loading a large model, or one step of it on a CPU, takes its time; a step renews the lease.
WATCHED_LEASE_S = 900
NOTE_EVERY_S = 0.5
# One message draws for this long: a job per image would spend its time on forks.
SHIFT_S = 10.0


def draw(call_pk: int) -> None:
    """Do the call, then further due calls of its run until the shift is over."""
    ends_at = time.monotonic() + SHIFT_S
    draw_call(call_pk)
    run_id = Call.objects.values_list("run_id", flat=True).filter(pk=call_pk).first()
    while time.monotonic() < ends_at:
        due = Call.objects.due().filter(run_id=run_id).order_by("pk").only("pk", "attempts")
        upcoming = due.first()
        if upcoming is None:
            return
        withdraw(upcoming)
        draw_call(upcoming.pk)


def draw_call(call_pk: int) -> None:
    """Claim one call and bring it to an end, or give it back for later."""
    calls = Call.objects.select_related("run", "prompt__label_class")
    at_hand: AtHand = {}
    perform(
        calls,
        call_pk,
        lease_s=LEASE_S,
        prepare=partial(_prepare, at_hand=at_hand),
        keep=partial(_keep, at_hand=at_hand),
    )


def request_of(call: Call) -> DrawRequest:
    """Return what a generator is asked for by this call, its inputs' bytes read."""
    capability = capability_of(call.prompt.technique)
    rows = call.inputs.select_related("image", "reference") if capability != TEXT else ()
    sources = [row.source for row in rows]
    size = source_size(sources[0]) if sources else None
    able = generator(call.run.generator).capabilities()
    mask = storage.blobs().read(call.mask_sha256) if call.mask_sha256 else None
    return DrawRequest(
        prompt=call.prompt.text,
        count=call.count,
        size_px=drawn_px(able, capability, call.run.size_px, size),
        seed=call.seed,
        capability=capability,
        images=tuple(storage.blobs().read(source.sha256) for source in sources),
        mask=mask,
        negative_prompt=call.run.negative_prompt,
        slots=call.prompt.slots,
        options=call.run.options,
        source_size=size,
    )


def _prepare(call: Call, *, at_hand: AtHand) -> Callable[[], dict[str, Any]]:
    if call.batch_id:
        raise PermanentError("It belongs to a batch, which brought no answer for it.")
    if call.subject and not call.mask_sha256:
        _make_mask(call)
    request, chosen = request_of(call), generator(call.run.generator)
    if isinstance(chosen, Interruptible):
        on_step = _watch(call)
        return lambda: as_spooled(
            chosen.draw_watched(request, idempotency_key=call.spool_key, on_step=on_step), at_hand
        )
    return lambda: as_spooled(chosen.draw(request, idempotency_key=call.spool_key), at_hand)


def _make_mask(call: Call) -> None:
    """Have the subject found in the call's source and keep the mask. Raises PermanentError."""
    finder = segmenter()
    if finder is None:
        raise PermanentError("No segmenter is configured any more: see SYNTHREVIEW_SEGMENTER.")
    source = call.inputs.select_related("image", "reference")[0].source
    try:
        picture = decode(storage.blobs().read(source.sha256)).pixels
        mask = masks.around(finder.find(picture, call.subject))
    except BadImageError as error:
        raise PermanentError(f"No mask of {call.subject!r}: {error}.") from error
    call.mask_sha256 = storage.blobs().put(mask)
    Call.objects.filter(pk=call.pk).update(mask_sha256=call.mask_sha256)


def _watch(call: Call) -> OnStep:
    """Return what notes a call's steps and keeps its lease.

    It asks for a stop once the call was taken away: by a person who stops the run, or by
    the sweeper, and then another worker has it.
    """
    token = call.lease_token
    assert token is not None, "the call was just claimed"
    held = Call.objects.held(call.pk, token)
    lease = dt.timedelta(seconds=WATCHED_LEASE_S)
    held.update(steps_done=0, steps_total=0, lease_expires_at=Now() + lease)
    noted_at = time.monotonic()

    def on_step(done: int, total: int) -> bool:
        nonlocal noted_at
        if time.monotonic() - noted_at < NOTE_EVERY_S:
            return held.exists()
        noted_at = time.monotonic()
        return bool(held.update(steps_done=done, steps_total=total, lease_expires_at=Now() + lease))

    return on_step


def as_spooled(result: DrawResult, at_hand: AtHand) -> dict[str, Any]:
    """Return what of an answer goes to the spool, its pictures put into the store.

    `at_hand` gets them too, by their checksums, for whoever makes rows of them at once.
    """
    names = storage.blobs().hold([image.data for image in result.images])
    at_hand.update(zip(names, result.images, strict=True))
    return {
        "model": result.model,
        "model_version": result.model_version,
        "cost_micro_usd": result.cost_micro_usd,
        "usage": dict(result.usage),
        "raw": dict(result.raw),
        "images": [
            {
                "sha256": sha256,
                "seed": image.seed,
                "revised_prompt": image.revised_prompt or "",
                "facts": dict(image.facts),
                "private": dict(image.private),
            }
            for sha256, image in zip(names, result.images, strict=True)
        ],
    }


def _keep(call: Call, answer: dict[str, Any], *, at_hand: AtHand) -> Callable[[], None]:
    """Check the images and make their renditions; return what writes their rows."""
    if fault := answer.get("fault"):
        raise UnusableAnswerError(fault)
    if len(answer["images"]) != call.count:
        raise UnusableAnswerError(
            f"{len(answer['images'])} images came, {call.count} were asked: none can be used."
        )
    family = _family_of(call)
    try:
        pictures = _pictures([entry["sha256"] for entry in answer["images"]], at_hand)
    except BadImageError as error:
        raise UnusableAnswerError(f"The generator's image could not be used: {error}.") from error

    images = [
        _image_of(call, position, answer, entry, pictures[entry["sha256"]], family)
        for position, entry in enumerate(answer["images"])
    ]

    def write_rows() -> None:
        GeneratedImage.objects.bulk_create(images)
        ImageTruth.objects.bulk_create(
            ImageTruth(image=image, facts=entry["private"])
            for image, entry in zip(images, answer["images"], strict=True)
            if entry["private"]
        )

    return write_rows


@dataclass(frozen=True, slots=True)
class Picture:
    """What an image's row says of its file."""

    media_type: str
    byte_count: int
    width: int
    height: int


def _pictures(names: list[str], at_hand: AtHand) -> dict[str, Picture]:
    """Make the renditions of spooled images, by checksum. Raises BadImageError, OSError."""
    store = storage.blobs()
    originals, renditions, pictures = {}, [], {}
    for sha256 in dict.fromkeys(names):
        drawn = at_hand.get(sha256)
        data = originals[sha256] = drawn.data if drawn else store.read(sha256)
        decoded = (_decoded(drawn) if drawn else None) or decode(data)
        renditions += storage.renditions_of(sha256, decoded)
        pictures[sha256] = Picture(decoded.media_type, len(data), decoded.width, decoded.height)
    store.give(originals)
    store.put_variants(renditions)
    return pictures


def _decoded(drawn: DrawnImage) -> DecodedImage | None:
    """Return the picture as its adapter has it; None where it must be decoded."""
    pixels = drawn.pixels
    if pixels is None or pixels.mode != "RGB":
        return None
    return DecodedImage(pixels, drawn.media_type, pixels.width, pixels.height)


def _family_of(call: Call) -> uuid.UUID | None:
    """Return the family of the call's first input; None where nothing went in.

    What was made of an image stays with it in every split; a fusion's second parent is
    joined to them by the ancestry itself.
    """
    if capability_of(call.prompt.technique) == TEXT:
        return None
    first = call.inputs.select_related("image", "reference").first()
    return first.source.family if first else None


def _image_of(
    call: Call,
    position: int,
    answer: dict[str, Any],
    entry: dict[str, Any],
    picture: Picture,
    family: uuid.UUID | None,
) -> GeneratedImage:
    return GeneratedImage(
        dataset_id=call.run.dataset_id,
        run=call.run,
        call=call,
        position=position,
        label_class=call.prompt.label_class,
        prompt=call.prompt,
        technique=call.prompt.technique,
        caption=call.prompt.text,
        generator=call.run.generator,
        model=answer["model"],
        model_version=answer["model_version"],
        seed=entry["seed"],
        revised_prompt=entry["revised_prompt"],
        facts=entry["facts"],
        sha256=entry["sha256"],
        media_type=picture.media_type,
        byte_count=picture.byte_count,
        width=picture.width,
        height=picture.height,
        family=family or uuid.uuid4(),
    )
