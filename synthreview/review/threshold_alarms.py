"""What shifted since thresholds were set: another model, a changed guideline, other scores."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

import numpy as np

from synthreview.catalog.models import LabelClass
from synthreview.prompting.techniques import TECHNIQUES
from synthreview.review.threshold_models import Thresholds
from synthreview.review.thresholds import has_shifted
from synthreview.scoring.models import Score, ScorerVersion

NEWEST = 2_000  # images on either side that are compared


def alarms_of(thresholds: Thresholds) -> list[tuple[str, str]]:
    """Return what shifted since the thresholds were set: a key, and a sentence for people."""
    return [*_of_model(thresholds), *_of_guidelines(thresholds), *_of_scores(thresholds)]


def _of_model(thresholds: Thresholds) -> Iterator[tuple[str, str]]:
    current = ScorerVersion.objects.current()
    if current and current.pk != thresholds.version_id:
        said = (
            f"Images are scored by {current} now; the thresholds rest on {thresholds.version}. "
            "The new scores count from the next certificate on."
        )
        yield f"model {current.pk}", said


def _of_guidelines(thresholds: Thresholds) -> Iterator[tuple[str, str]]:
    rules = thresholds.rules.filter(ended_at__isnull=True).select_related("label_class")
    changed = {
        rule.label_class
        for rule in rules
        if rule.label_class.guideline_version != rule.guideline_version
    }
    for one in sorted(changed, key=lambda label_class: label_class.name):
        yield (
            f"guideline {one.pk} {one.guideline_version}",
            f"The guideline of {one.name} changed after its threshold was chosen.",
        )


def _of_scores(thresholds: Thresholds) -> Iterator[tuple[str, str]]:
    """Yield each generator whose new images score otherwise than the population does."""
    rows = Score.objects.filter(version=thresholds.version_id, applies=True)
    cohorts = list(thresholds.certification.cohorts.values_list("pk", flat=True))
    dataset = thresholds.certification.dataset_id
    fields = ("image__label_class", "image__technique", "image__generator", "image__model", "value")
    outside = (
        rows.filter(image__dataset=dataset, created_at__gte=thresholds.certification.started_at)
        .exclude(image__review__cohort__in=cohorts)
        .order_by("-image")
    )
    new: dict[tuple[int, str, str, str], list[float]] = defaultdict(list)
    for label_class, technique, generator, model, value in outside.values_list(*fields)[:NEWEST]:
        new[label_class, technique, generator, model].append(value)
    for (label_class, technique, generator, model), values in new.items():
        known = rows.filter(
            image__review__cohort__in=cohorts,
            image__label_class=label_class,
            image__technique=technique,
        ).order_by("image")[:NEWEST]
        if has_shifted(_array(known.values_list("value", flat=True)), _array(values)):
            name = LabelClass.objects.get(pk=label_class).name
            drawn_by = f"{generator} ({model})" if model else generator
            said = (
                f"New images of {name} ({TECHNIQUES[technique].title}) by {drawn_by} score "
                "otherwise than those on which the threshold rests."
            )
            yield f"scores {label_class} {technique} {generator} {model}", said


def _array(values: Iterable[float | None]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([value for value in values if value is not None], dtype=np.float64)
