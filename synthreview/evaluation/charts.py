"""What a report's page draws: places in a chart's own units, made on the server."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from synthreview.evaluation.arms import UNREVIEWED
from synthreview.evaluation.models import Evaluation
from synthreview.prompting.models import Prompt
from synthreview.prompting.techniques import WRITTEN

MINUS = "\N{MINUS SIGN}"
SHADES = 10  # of a confusion matrix, as classes of the style sheet


def report_charts(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Return each learner's figures with what its charts need."""
    classes = evaluation.result["classes"]
    return [
        {
            **one,
            "alias": alias,
            "review": _with_points(one["review"]),
            "chart": accuracy_chart(one["arms"]),
            "classes": class_table(one["arms"]),
            "confusion": confusion_table(one, classes),
            "full_arm": _full_arm(one),
            "class_names": classes,
            "views": [
                {"title": arm["title"], "cells": [_percent(v["accuracy"]) for v in arm["views"]]}
                for arm in one["arms"]
            ],
            "groups": [
                row | {"percent": _percent(row["accuracy"])} for row in _full_arm(one)["groups"]
            ],
            "against": [
                {
                    "title": arm["title"],
                    "full": _points_or_none(arm["against_full"]),
                    "real": _points_or_none(arm.get("against_real")),  # older reports have none
                }
                for arm in one["arms"]
            ],
            "unseen": next(
                (
                    _points_or_none(arm.get("against_real"))
                    for arm in one["arms"]
                    if arm["name"] == UNREVIEWED
                ),
                None,
            ),
            "has_real": any(arm.get("against_real") for arm in one["arms"]),
        }
        for alias, one in evaluation.result["learners"].items()
    ]


def needs_table(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Return where more is needed, each with the address of the studio, its fields filled in.

    A class with approved captions also has that of a planned run.
    """
    keys = evaluation.result["class_keys"]
    slug = evaluation.dataset.slug
    studio, run = reverse("prompts-write", args=[slug]), reverse("run-new", args=[slug])
    approved = Prompt.objects.approved().filter(dataset=evaluation.dataset, technique__in=WRITTEN)
    drawable = set(approved.order_by().values_list("label_class", flat=True).distinct())
    return [
        need
        | {
            "url": f"{studio}?{urlencode(_wish(need, keys))}",
            "run_url": (
                f"{run}?{urlencode({'classes': keys[need['name']], 'count': need['draw']})}"
                if need["kind"] == "class" and keys[need["name"]] in drawable
                else ""
            ),
            "gain": 100 * need["gain"],
            "percent": _percent(need["wrong"]),
        }
        for need in evaluation.result["needs"]
    ]


def _wish(need: dict[str, Any], keys: dict[str, int]) -> dict[str, Any]:
    """Return the studio's fields for a need: a class in all its variety, or a value on all."""
    if need["kind"] == "class":
        return {"technique": "environment", "classes": keys[need["name"]], "count": need["draw"]}
    axis = need["kind"]
    technique = axis if axis in ("environment", "style") else "plain"
    return {"technique": technique, f"axis-{axis}": need["name"], "count": need["draw"]}


def _with_points(found: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return a difference with its three numbers in points, signed, as text."""
    if found is None:
        return None
    return found | {"points": _points(found["difference"])}


def _full_arm(one: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(arm for arm in one["arms"] if arm["name"] == one["full"])
    return found


def _percent(figure: list[float]) -> list[int]:
    return [round(100 * number) for number in figure]


def _points(figure: list[float]) -> list[str]:
    """Return points with their sign, a minus as long as the plus."""
    return [f"{100 * number:+.1f}".replace("-", MINUS) for number in figure]


def _points_or_none(figure: list[float] | None) -> list[str] | None:
    return _points(figure) if figure else None


def since_table(evaluation: Evaluation) -> dict[str, Any] | None:
    """Return what changed since the last evaluation, in points."""
    since: dict[str, Any] | None = evaluation.result["since"]
    if since is None:
        return None
    needs = [need | {"points": _points_or_none(need["difference"])} for need in since["needs"]]
    return since | {"points": _points(since["difference"]), "needs": needs}


def accuracy_chart(arms: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one row for each arm: a mark at its accuracy, a line over its interval, 0 to 100."""
    return [{"arm": arm, **_whisker(arm["accuracy"])} for arm in arms]


def _whisker(figure: list[float]) -> dict[str, float]:
    value, low, high = (round(100 * number, 2) for number in figure)
    return {"x": value, "low": low, "high": high}


def class_table(arms: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return for each class the accuracy in every arm, in the arms' order."""
    names = [row["name"] for row in arms[0]["classes"]]
    return [
        {
            "name": name,
            "images": arms[0]["classes"][number]["images"],
            "by_arm": [_percent(arm["classes"][number]["accuracy"]) for arm in arms],
        }
        for number, name in enumerate(names)
    ]


def confusion_table(one: dict[str, Any], classes: list[str]) -> list[dict[str, Any]]:
    """Return the full arm's confusion, its cells with a shade from 0 to 9."""
    full = _full_arm(one)
    return [
        {
            "name": classes[number],
            "cells": [
                {
                    "share": round(100 * share),
                    "shade": min(SHADES - 1, int(share * SHADES)),
                    "is_right": column == number,
                }
                for column, share in enumerate(row)
            ],
        }
        for number, row in enumerate(full["confusion"])
        if any(row)
    ]
