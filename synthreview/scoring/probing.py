"""Verbs of probes: write one, plan its reading, ask people about a random sample.

What comes of it over all stages is in `overview/probes.py`. Loads no torch.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, models, transaction
from django.db.models import Exists, F, Max, OuterRef
from django.db.models.functions import Now

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset, LabelClass
from synthreview.generation.models import GeneratedImage
from synthreview.scoring.models import Embedding, ScorerVersion
from synthreview.scoring.probe_models import (
    Probe,
    ProbeGroup,
    ProbeLabel,
    ProbePass,
    ProbeReading,
)
from synthreview.scoring.services import PAUSE_S, RECENT
from synthreview.trail.acts import Act
from synthreview.trail.services import record
from synthreview.work.models import OPEN_STATES, WorkState
from synthreview.work.services import enqueue_on_commit

LEAST_GROUPS, MOST_GROUPS = 2, 20  # each has a key of its own
MOST_PROBES = 50
MOST_WORDS = 10


class ProbeError(ValueError):
    """The probe cannot be as it was asked for; the message says why."""


@dataclass(frozen=True, slots=True)
class GroupWish:
    """A group as a curator writes it; without words its name is what the scorer compares with."""

    name: str
    words: tuple[str, ...] = ()
    asked_by: tuple[str, ...] = ()
    floor: float | None = None


@transaction.atomic
def save_probe(
    *,
    dataset: Dataset,
    name: str,
    groups: Sequence[GroupWish],
    classes: Iterable[LabelClass] = (),
    probe: Probe | None = None,
    created_by: User | None = None,
) -> Probe:
    """Write a new probe, or change `probe`; groups keep their labels as long as their name stays.

    Raises ProbeError.
    """
    _check(dataset, name, groups, probe)
    before = _asked(probe) if probe else None
    told = _facts(probe) if probe else {}
    if probe is None:
        probe = Probe.objects.create(dataset=dataset, name=name, created_by=created_by)
    Probe.objects.filter(pk=probe.pk).update(name=name, checked_of="")
    probe.name = name
    probe.classes.set(classes)
    probe.groups.exclude(name__in=[group.name for group in groups]).delete()
    for position, group in enumerate(groups):
        ProbeGroup.objects.update_or_create(
            probe=probe,
            name=group.name,
            defaults={
                "words": list(group.words or (group.name,)),
                "asked_by": list(group.asked_by),
                "floor": group.floor,
                "position": position,
            },
        )
    if before is not None and _asked(probe) != before:
        _read_anew(probe)
    record(Act.PROBE_SET, probe, before=told, after=_facts(probe), by=created_by)
    return probe


@transaction.atomic
def delete_probe(probe: Probe) -> None:
    """Delete a probe with its readings and labels."""
    record(Act.PROBE_DELETED, probe, before=_facts(probe))
    probe.delete()


def _facts(probe: Probe) -> dict[str, Any]:
    """Return what the trail keeps of a probe."""
    groups = ProbeGroup.objects.filter(probe=probe)
    return {
        "name": probe.name,
        "groups": list(groups.values("name", "words", "asked_by", "floor")),
        "classes": sorted(probe.classes.values_list("name", flat=True)),
    }


def _check(dataset: Dataset, name: str, groups: Sequence[GroupWish], probe: Probe | None) -> None:
    others = Probe.objects.filter(dataset=dataset)
    if probe is not None:
        others = others.exclude(pk=probe.pk)
    if not name.strip():
        raise ProbeError("Give the probe a name.")
    if others.filter(name=name).exists():
        raise ProbeError(f"There is a probe {name!r} already.")
    if probe is None and others.count() >= MOST_PROBES:
        raise ProbeError(f"A dataset has {MOST_PROBES} probes at most: delete one first.")
    if not LEAST_GROUPS <= len(groups) <= MOST_GROUPS:
        raise ProbeError(f"A probe has {LEAST_GROUPS} to {MOST_GROUPS} groups, not {len(groups)}.")
    if len({group.name.casefold() for group in groups}) < len(groups):
        raise ProbeError("Two groups have the same name.")
    for group in groups:
        if group.floor is not None and not 0 < group.floor <= 1:
            raise ProbeError(f"The floor of {group.name} is a share above 0 and at most 1.")
        if len(group.words) > MOST_WORDS:
            raise ProbeError(f"{group.name} has more than {MOST_WORDS} wordings.")
    if sum(group.floor or 0 for group in groups) > 1 + 1e-9:
        raise ProbeError("The floors add up to more than everything.")


def _asked(probe: Probe) -> tuple[list[tuple[int, list[str]]], list[int]]:
    """Return what a change of would make the readings stale."""
    groups = list(ProbeGroup.objects.filter(probe=probe).order_by("pk").values_list("pk", "words"))
    return groups, sorted(probe.classes.values_list("pk", flat=True))


def _read_anew(probe: Probe) -> None:
    """Forget what was read by older words; a worker that is at it writes nothing more."""
    ProbePass.objects.filter(probe=probe, state__in=OPEN_STATES).update(
        state=WorkState.CANCELLED,
        lease_token=None,
        lease_expires_at=None,
        settled_at=Now(),
        error="The probe was changed.",
    )
    ProbeReading.objects.filter(probe=probe).delete()
    Probe.objects.filter(pk=probe.pk).update(revision=F("revision") + 1)
    probe.refresh_from_db(fields=["revision"])


# --- Reading ----------------------------------------------------------------------------


def unread(probe: Probe, version: ScorerVersion) -> models.QuerySet[Embedding]:
    """Return the embeddings of the probe's images that were not compared with its words yet."""
    done = ProbeReading.objects.filter(probe=probe, version=version, image=OuterRef("image"))
    rows = Embedding.objects.filter(version=version, image__in=images_of(probe))
    return rows.filter(~Exists(done))


def images_of(probe: Probe) -> models.QuerySet[GeneratedImage]:
    """Return the images that the probe is about."""
    images = GeneratedImage.objects.filter(dataset=probe.dataset_id).order_by()
    classes = [label_class.pk for label_class in probe.classes.all()]
    return images.filter(label_class__in=classes) if classes else images


def plan_probes(*, recent_only: bool = False, probe: Probe | None = None) -> list[ProbePass]:
    """Plan a pass for every probe with something to read and none planned; safe to repeat.

    `recent_only` looks at the newest embeddings alone. A scorer that does not know a probe's words
    is not asked again until the words or the scorer change.
    """
    version = ScorerVersion.objects.current()
    if version is None:
        return []
    probes = Probe.objects.prefetch_related("classes")
    if probe is not None:
        probes = probes.filter(pk=probe.pk)
    passes = ProbePass.objects.filter(version=version)
    busy = set(passes.open().values_list("probe", flat=True))
    if probe is None:
        pause = Now() - dt.timedelta(seconds=PAUSE_S)
        failed = passes.filter(state=WorkState.FAILED, settled_at__gt=pause)
        busy |= set(failed.values_list("probe", flat=True))
    deaf = passes.filter(state=WorkState.DONE).exclude(unknown_words=[])
    busy |= set(deaf.filter(revision=F("probe__revision")).values_list("probe", flat=True))
    newest = Embedding.objects.aggregate(newest=Max("pk"))["newest"] or 0
    after = max(newest - RECENT, 0) if recent_only else 0
    return [
        new
        for one in probes
        if one.pk not in busy
        and unread(one, version).filter(pk__gt=after).exists()
        and (new := _plan(one, version))
    ]


def _plan(probe: Probe, version: ScorerVersion) -> ProbePass | None:
    try:
        with transaction.atomic():
            new = ProbePass.objects.create(probe=probe, version=version, revision=probe.revision)
            enqueue_on_commit([new])
    except IntegrityError:  # another planner was faster
        return None
    return new


def newest_pass(probe: Probe, version: ScorerVersion | None) -> ProbePass | None:
    """Return the last pass of these words by this scorer."""
    rows = ProbePass.objects.filter(probe=probe, version=version, revision=probe.revision)
    return rows.order_by("-pk").first()


def showing(group: int) -> Exists:
    """Return the condition of images that the current scorer puts into this group."""
    version = ScorerVersion.objects.current()
    return Exists(ProbeReading.objects.filter(image=OuterRef("pk"), group=group, version=version))


# --- What people see ----------------------------------------------------------------------


def next_to_label(probe: Probe) -> GeneratedImage | None:
    """Return the image with the lowest lot that nobody labelled; None where all are."""
    version = ScorerVersion.objects.current()
    labelled = ProbeLabel.objects.filter(probe=probe, image=OuterRef("image"))
    rows = ProbeReading.objects.filter(~Exists(labelled), probe=probe, version=version)
    row = rows.order_by("lot", "pk").select_related("image").first()
    return row.image if row else None


def label_image(
    *, probe: Probe, image: GeneratedImage, group: ProbeGroup | None, person: User
) -> ProbeLabel:
    """Put on record what a person sees; who comes second with an image changes nothing.

    Raises ProbeError for another probe's group, or an image that this one does not ask about.
    """
    if group is not None and group.probe_id != probe.pk:
        raise ProbeError("That group belongs to another probe.")
    if not ProbeReading.objects.filter(probe=probe, image=image).exists():
        raise ProbeError("That image is not of this probe's sample.")
    label, _ = ProbeLabel.objects.get_or_create(
        probe=probe, image=image, defaults={"group": group, "labelled_by": person}
    )
    return label


def take_back_label(*, probe: Probe, person: User) -> bool:
    """Forget the last label that this person gave; False where they gave none."""
    last = ProbeLabel.objects.filter(probe=probe, labelled_by=person).order_by("-pk").first()
    if last is not None:
        last.delete()
    return last is not None
