"""`manage.py replay FILE.csv`: say what the queue would cost on images whose truth is known.

`manage.py replay --dataset SLUG` takes what people decided for the truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from synthreview.catalog.management.base import ScriptCommand, find_dataset
from synthreview.review.ranking.judging import auroc
from synthreview.review.ranking.orders import Policy
from synthreview.review.ranking.replay_file import (
    KnownImages,
    ReplayFileError,
    read_known_images,
)
from synthreview.review.ranking.replaying import Mean, Outcome, outcome_of, perfect, replay
from synthreview.review.ranking.table import MAIN_SCORE, IntArray
from synthreview.review.ranking_models import AS_IT_WAS
from synthreview.review.replays import ReplayError, read_past

MOST_SEEDS = 1_000


class Command(ScriptCommand):
    help = (
        "Run the queue's own ranking and certificate over images whose truth is known, and say "
        "how many must be looked at. Nothing is stored."
    )
    expected = (ReplayFileError, ReplayError)

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "file", type=Path, nargs="?", metavar="FILE.csv", help="see docs/ranking.md"
        )
        parser.add_argument(
            "--dataset",
            metavar="SLUG",
            help="instead of a file: what people decided in this dataset",
        )
        parser.add_argument(
            "--embeddings", type=Path, metavar="FILE.npy", help="one vector for each line"
        )
        parser.add_argument(
            "--policy",
            action="append",
            choices=[policy.value for policy in Policy],
            help="how the next image is chosen; repeatable, all of them where none is named",
        )
        parser.add_argument(
            "--leave-out",
            action="append",
            default=[],
            metavar="SCORE",
            help="a score that the ranking must do without, to see what it is worth; repeatable",
        )
        parser.add_argument("--seeds", type=int, default=20, help="reviews of each policy")
        parser.add_argument(
            "--no-certificate",
            action="store_true",
            help="leave out what the certificate needs: about twice as fast",
        )

    def answer_to(
        self,
        *,
        file: Path | None,
        dataset: str | None,
        embeddings: Path | None,
        policy: list[str] | None,
        leave_out: list[str],
        seeds: int,
        no_certificate: bool,
        **options: Any,
    ) -> None:
        if not 1 <= seeds <= MOST_SEEDS:
            raise ReplayFileError(f"--seeds {seeds}: choose 1 to {MOST_SEEDS:,}")
        if (file is None) == (dataset is None):
            raise ReplayFileError("name a file, or a dataset with --dataset: one of both")
        known, order = _known_of(file, embeddings, dataset)
        known = without_scores(known, leave_out)
        policies = [Policy(name) for name in dict.fromkeys(policy or list(Policy))]
        with self.bar(total=seeds * len(policies), unit="reviews") as bar:
            outcomes = replay(
                known.table,
                known.is_bad,
                policies=policies,
                seeds=seeds,
                **({"certify": ()} if no_certificate else {}),
                on_review=bar.update,
            )
        if order is not None:
            outcomes.append(outcome_of(AS_IT_WAS, [order], known.is_bad))
        outcomes.append(perfect(known.is_bad))
        facts = facts_of(known, outcomes, seeds)
        source = {"file": file.name} if file else {"dataset": dataset}
        self.answer({**source, **facts}, in_words(facts, outcomes), options)


def _known_of(
    file: Path | None, embeddings: Path | None, dataset: str | None
) -> tuple[KnownImages, IntArray | None]:
    """Return the images with their truth, and the order in which people decided, if they did."""
    if file is not None:
        return read_known_images(file, embeddings), None
    if embeddings is not None:
        raise ReplayFileError("--embeddings goes with a file; a dataset has its own")
    assert dataset is not None
    past = read_past(find_dataset(dataset))
    return KnownImages([], past.table, past.is_bad), past.order


def without_scores(known: KnownImages, names: Sequence[str]) -> KnownImages:
    """Return the images without some scores. Raises ReplayFileError, naming those there are."""
    there = [name for name in known.table.scores if name != MAIN_SCORE]
    if unknown := [name for name in names if name not in there]:
        raise ReplayFileError(
            f"--leave-out {unknown[0]}: beside the main score there are: "
            f"{', '.join(there) or 'none'}"
        )
    scores = {name: score for name, score in known.table.scores.items() if name not in names}
    return replace(known, table=replace(known.table, scores=scores))


def facts_of(known: KnownImages, outcomes: Sequence[Outcome], seeds: int) -> dict[str, Any]:
    """Return everything that a replay found, as plain values."""
    return {
        "images": len(known.table),
        "bad": int(known.is_bad.sum()),
        "seeds": seeds,
        "policies": {outcome.policy: _facts_of_one(outcome) for outcome in outcomes},
        "auroc": {
            name: _rounded({"value": found.value, "low": found.low, "high": found.high})
            for name, score in known.table.scores.items()
            if (found := auroc(score, known.is_bad))
        },
    }


def _facts_of_one(outcome: Outcome) -> dict[str, Any]:
    def plain(means: dict[float, Mean]) -> dict[str, dict[str, float]]:
        return {
            f"{key:g}": _rounded({"mean": m.mean, "low": m.low, "high": m.high})
            for key, m in means.items()
        }

    return {
        "share_to_find": plain(outcome.share_to_find),
        "found_after": plain(outcome.found_after),
        "reviews_to_certify": plain(outcome.reviews_to_certify),
    }


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    return {name: round(figure, 6) for name, figure in figures.items()}


def in_words(facts: dict[str, Any], outcomes: Sequence[Outcome]) -> str:
    """Return the same as a table for a terminal."""
    share = facts["bad"] / facts["images"]
    first = outcomes[0]
    head = (
        f"{facts['images']:,} images, {facts['bad']:,} of them bad ({share:.1%}); "
        f"mean of {facts['seeds']} review(s) of each policy."
    )
    lines = [
        head,
        "",
        "share looked at until so many of the bad are found",
        _row("", [f"{q:.0%}" for q in first.share_to_find]),
        *(_row(o.policy, [f"{m.mean:.3f}" for m in o.share_to_find.values()]) for o in outcomes),
        "",
        "share of the bad found after so many looks",
        _row("", [f"{q:.0%}" for q in first.found_after]),
        *(_row(o.policy, [f"{m.mean:.3f}" for m in o.found_after.values()]) for o in outcomes),
    ]
    if first.reviews_to_certify:
        certified = [outcome for outcome in outcomes if outcome.reviews_to_certify]
        lines += [
            "",
            "reviews, one in five an audit, until at most so many are certified wrong",
            _row("", [f"{e:.0%}" for e in first.reviews_to_certify]),
            *(
                _row(o.policy, [f"{m.mean:,.0f}" for m in o.reviews_to_certify.values()])
                for o in certified
            ),
        ]
    lines += ["", "how well a low score tells the bad (AUROC, 95 % interval)"]
    lines += [
        f"{name:<24} {one['value']:.3f} ({one['low']:.3f} to {one['high']:.3f})"
        for name, one in facts["auroc"].items()
    ]
    return "\n".join(lines)


def _row(name: str, cells: Sequence[str]) -> str:
    return f"{name:<10}" + "".join(f"{cell:>9}" for cell in cells)
