"""What is read over all stages, over the API: coverage, probes, diversity."""

from __future__ import annotations

from typing import Annotated, Any

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Query, Router, Schema, Status
from ninja.errors import HttpError
from pydantic import Field

from synthreview.catalog.api import PROBLEMS
from synthreview.catalog.models import Dataset, LabelClass
from synthreview.catalog.pages import find_dataset, signed_in
from synthreview.catalog.permissions import Action, require
from synthreview.evaluation import diversity_services
from synthreview.evaluation.models import Diversity
from synthreview.evaluation.services import CannotStartError
from synthreview.generation.models import GeneratedImage
from synthreview.overview.coverage import FLOOR, atlas_of, report
from synthreview.overview.probes import probes_of, report_of
from synthreview.scoring import probing
from synthreview.scoring.probe_models import Probe
from synthreview.scoring.probing import (
    MOST_GROUPS,
    MOST_WORDS,
    GroupWish,
    ProbeError,
    label_image,
    save_probe,
)

router = Router()


@router.get("datasets/{slug:slug}/coverage", response={200: dict[str, Any], **PROBLEMS})
def coverage(
    request: HttpRequest,
    slug: str,
    axis: Annotated[str, Query(max_length=40)] = "",
    technique: Annotated[str, Query(max_length=20)] = "",
    floor: Annotated[int, Field(ge=1, le=100_000)] = FLOOR,
) -> Any:
    """Return what was asked, generated, approved and rejected, by class, axis value, technique."""
    dataset = find_dataset(signed_in(request), slug)
    require(signed_in(request), dataset, Action.VIEW)
    try:
        return report(atlas_of(dataset), dataset, axis=axis, technique=technique, floor=floor)
    except KeyError as error:
        raise HttpError(422, error.args[0]) from None


# --- Probes -----------------------------------------------------------------------------

Words = Annotated[str, Field(min_length=1, max_length=120)]


class GroupIn(Schema):
    """One group; without words it is looked for by its name. `floor` is a share, 0 to 1."""

    name: Annotated[str, Field(min_length=1, max_length=80)]
    words: list[Words] = Field([], max_length=MOST_WORDS)
    asked_by: list[Words] = Field([], max_length=MOST_WORDS)
    floor: float | None = None


class ProbeIn(Schema):
    """A probe; `classes` by slug or name, none for all images."""

    name: Annotated[str, Field(min_length=1, max_length=80)]
    groups: list[GroupIn] = Field(max_length=MOST_GROUPS)
    classes: list[str] = Field([], max_length=1_000)


class LabelIn(Schema):
    """What a person sees in an image; no group: none of these, or not to be told."""

    image: int = Field(ge=1, lt=2**63)
    group: str | None = Field(None, max_length=80)


class LabelOut(Schema):
    """The label on record, which is the first one that an image got."""

    image: int
    group: str | None


def _dataset(request: HttpRequest, slug: str, action: Action = Action.VIEW) -> Dataset:
    dataset = find_dataset(signed_in(request), slug)
    require(signed_in(request), dataset, action)
    return dataset


def _probe(dataset: Dataset, pk: int) -> Probe:
    rows = Probe.objects.filter(dataset=dataset).prefetch_related("groups", "classes")
    return get_object_or_404(rows.select_related("dataset"), pk=pk)


def _told(probe: Probe) -> dict[str, Any]:
    return {"id": probe.pk, **report_of(probe).as_json()}


def _save(request: HttpRequest, dataset: Dataset, wish: ProbeIn, probe: Probe | None) -> Probe:
    known = {key: row for row in dataset.classes.all() for key in (row.slug, row.name)}
    if unknown := [name for name in wish.classes if name not in known]:
        raise HttpError(422, f"{dataset.name} has no class {unknown[0]!r}.")
    classes: list[LabelClass] = [known[name] for name in wish.classes]
    groups = [
        GroupWish(one.name, tuple(one.words), tuple(one.asked_by), one.floor) for one in wish.groups
    ]
    try:
        saved = save_probe(
            dataset=dataset,
            name=wish.name,
            groups=groups,
            classes=classes,
            probe=probe,
            created_by=signed_in(request),
        )
    except ProbeError as error:
        raise HttpError(422, str(error)) from error
    return _probe(dataset, saved.pk)


@router.get("datasets/{slug:slug}/probes", response={200: list[dict[str, Any]], **PROBLEMS})
def list_probes(request: HttpRequest, slug: str) -> Any:
    """List the probes of a dataset with what each found. docs/coverage.md names the fields."""
    return [_told(probe) for probe in probes_of(_dataset(request, slug))]


@router.post("datasets/{slug:slug}/probes", response={201: dict[str, Any], **PROBLEMS})
def add_probe(request: HttpRequest, slug: str, wish: ProbeIn) -> Any:
    """Write a probe; the scoring worker reads the images."""
    dataset = _dataset(request, slug, Action.CURATE)
    return Status(201, _told(_save(request, dataset, wish, None)))


@router.get("datasets/{slug:slug}/probes/{int:pk}", response={200: dict[str, Any], **PROBLEMS})
def get_probe(request: HttpRequest, slug: str, pk: int) -> Any:
    """Return a probe: shares asked, generated and approved, confusion, drift, alarms."""
    return _told(_probe(_dataset(request, slug), pk))


@router.put("datasets/{slug:slug}/probes/{int:pk}", response={200: dict[str, Any], **PROBLEMS})
def change_probe(request: HttpRequest, slug: str, pk: int, wish: ProbeIn) -> Any:
    """Change a probe; new words have every image read again."""
    dataset = _dataset(request, slug, Action.CURATE)
    return _told(_save(request, dataset, wish, _probe(dataset, pk)))


@router.delete("datasets/{slug:slug}/probes/{int:pk}", response={200: dict[str, Any], **PROBLEMS})
def delete_probe(request: HttpRequest, slug: str, pk: int) -> Any:
    """Delete a probe with its labels."""
    found = _probe(_dataset(request, slug, Action.CURATE), pk)
    name = found.name
    probing.delete_probe(found)
    return {"deleted": name}


@router.post("datasets/{slug:slug}/probes/{int:pk}/labels", response={201: LabelOut, **PROBLEMS})
def add_label(request: HttpRequest, slug: str, pk: int, wish: LabelIn) -> Any:
    """Put on record what a person sees in an image of a probe's sample."""
    dataset = _dataset(request, slug, Action.REVIEW)
    probe = _probe(dataset, pk)
    group = next((one for one in probe.groups.all() if one.name == wish.group), None)
    if wish.group is not None and group is None:
        raise HttpError(422, f"{probe.name} has no group {wish.group!r}.")
    image = GeneratedImage.objects.filter(dataset=dataset, pk=wish.image).first()
    if image is None:
        raise HttpError(422, f"There is no image {wish.image}.")
    try:
        label = label_image(probe=probe, image=image, group=group, person=signed_in(request))
    except ProbeError as error:
        raise HttpError(422, str(error)) from error
    return Status(201, {"image": image.pk, "group": label.group and label.group.name})


# --- Diversity --------------------------------------------------------------------------


class DiversityIn(Schema):
    """From which cosine on two images count as one composition; none for the usual one."""

    threshold: float | None = None


class DiversityOut(Schema):
    """A look at a dataset's diversity; docs/coverage.md names the fields of a class."""

    dataset: str
    state: str
    error: str
    scorer: str | None
    threshold: float
    images: int
    settled_at: str | None
    classes: list[dict[str, Any]]
    proposals: list[str]


@router.get("datasets/{slug:slug}/diversity", response={200: DiversityOut | None, **PROBLEMS})
def get_diversity(request: HttpRequest, slug: str) -> Any:
    """Return the last look at a dataset's diversity that has a result; null before one."""
    look = diversity_services.newest_diversity(_dataset(request, slug))
    return look and diversity_services.report_of(look)


@router.post("datasets/{slug:slug}/diversity", response={201: DiversityOut, **PROBLEMS})
def start_diversity(request: HttpRequest, slug: str, wish: DiversityIn) -> Any:
    """Have a dataset's diversity measured; a worker does it."""
    dataset = _dataset(request, slug, Action.CURATE)
    try:
        new: Diversity = diversity_services.start_diversity(
            dataset=dataset, threshold=wish.threshold, created_by=signed_in(request)
        )
    except CannotStartError as error:
        raise HttpError(422, str(error)) from error
    return Status(201, diversity_services.report_of(new))
