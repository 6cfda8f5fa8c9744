"""The worker side of evaluation: freeze, look, train, measure; one trial after the other.

Each trial is a row when it is done, so that a worker that dies loses only the one it was at.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from django.db import transaction

from synthreview.catalog.models import Axis
from synthreview.evaluation.arms import Arm, arms_of, full_arm, training_part
from synthreview.evaluation.embedding import Pictures, ReadsWords, Vectors, embed, kept_vectors
from synthreview.evaluation.freezing import CannotEvaluateError, freeze
from synthreview.evaluation.frozen import Frozen
from synthreview.evaluation.learners.base import FloatArray, Learner, LearnerError, Task
from synthreview.evaluation.models import Evaluation, Phase, Trial
from synthreview.evaluation.needs import Seen, Stock, needs_of, since_of
from synthreview.evaluation.pictures import PLAIN, View, small_pixels, views_of
from synthreview.evaluation.reporting import Groups, Judged, report_of
from synthreview.evaluation.services import card_line, learner
from synthreview.evaluation.stocks import stocks_of
from synthreview.export.services import say_on_cards
from synthreview.lib.images import BadImageError
from synthreview.scoring.models import MAIN_SCORER
from synthreview.scoring.scorers.base import ScorerError
from synthreview.scoring.services import register, scorer
from synthreview.work.models import WorkState

logger = logging.getLogger(__name__)
LEASE_S = 600
CARD_HEADING = "Tried on real images"
NOTE_EVERY_S = 1.0


class LeaseLostError(Exception):
    """Somebody else has this evaluation now, or a person stopped it: stop."""


def evaluate(evaluation_pk: int) -> None:
    """Do the evaluation, or go on with it where a worker died."""
    token = Evaluation.objects.claim(evaluation_pk, lease_s=LEASE_S)
    if token is None:
        return
    work = Evaluation.objects.select_related("dataset").get(pk=evaluation_pk)
    try:
        _finish(work, token, _Worker(work, token).result())
    except LeaseLostError:
        return
    except (CannotEvaluateError, LearnerError, ScorerError) as error:  # no try ends otherwise
        Evaluation.objects.settle(evaluation_pk, token, WorkState.FAILED, error=str(error))
    except (OSError, BadImageError) as error:
        logger.exception("Evaluation %s broke off", evaluation_pk)
        said = getattr(error, "strerror", None) or str(error)
        reason = f"An image could not be read: {said}"
        Evaluation.objects.settle(evaluation_pk, token, WorkState.FAILED, error=reason)
    except Exception as error:  # a library can fail in many ways; the trials done stay
        logger.exception("Evaluation %s broke off", evaluation_pk)
        said = f"{type(error).__name__}: {error}"
        Evaluation.objects.settle(evaluation_pk, token, WorkState.FAILED, error=said)


def _finish(work: Evaluation, token: uuid.UUID, result: dict[str, Any]) -> None:
    """End it DONE, and have the dataset's next exports say on their cards what was found."""
    with transaction.atomic():
        if Evaluation.objects.settle(work.pk, token, WorkState.DONE, result=result):
            work.refresh_from_db(fields=["settled_at", "result"])
            say_on_cards(dataset=work.dataset, heading=CARD_HEADING, text=card_line(work))


class _Worker:
    """One worker's hold on one evaluation: its lease, its progress, and the pictures it has read.

    Every method raises LeaseLostError once the evaluation is another's.
    """

    def __init__(self, work: Evaluation, token: uuid.UUID) -> None:
        self.work = work
        self.token = token
        self._noted_at = 0.0
        self._vectors: Vectors = {}
        self._pixels: dict[tuple[str, str], Any] = {}

    def result(self) -> dict[str, Any]:
        began = time.monotonic()
        frozen = self.frozen()
        views = views_of(frozen.test, [name for _, name in frozen.classes])
        arms = arms_of(frozen, with_unreviewed=self.work.with_unreviewed)
        learners = {alias: learner(alias) for alias in self.work.learners}
        words = {alias: one.describe() for alias, one in learners.items()}
        groups = self.look(frozen, views, learners)
        self.train(frozen, views, arms, learners)
        self.enter(Phase.MEASURING, 0)
        reports, seen = {}, None
        for alias, one in learners.items():
            judged = list(self.judged(self.work, alias, arms, len(frozen.classes)))
            reports[alias] = report_of(frozen, judged, groups, title=one.title, words=words[alias])
            seen = seen or seen_of(frozen, judged, groups)  # of the first learner
            self.stay()
        assert seen is not None, "a constraint of the service: at least one learner"
        names = [name for _, name in frozen.classes]
        stocks = stocks_of(self.work.dataset)
        return {
            "learners": reports,
            "classes": names,
            "class_keys": {name: pk for pk, name in frozen.classes},
            "axes": sorted(groups),
            "needs": needs_of(seen, names, stocks),
            "since": self.since(seen, names, stocks),
            "seconds": round(time.monotonic() - began, 1),
        }

    def since(
        self, seen: Seen, names: list[str], stocks: dict[tuple[str, str], Stock]
    ) -> dict[str, Any] | None:
        """Return what changed since the evaluation before this one; None without one."""
        before = (
            Evaluation.objects.filter(
                dataset=self.work.dataset, state=WorkState.DONE, number__lt=self.work.number
            )
            .order_by("-number")
            .first()
        )
        alias = self.work.learners[0]
        if before is None or alias not in before.learners:
            return None
        frozen = Frozen.from_json(before.inputs)
        arms = arms_of(frozen, with_unreviewed=before.with_unreviewed)
        judged = list(self.judged(before, alias, arms, len(frozen.classes)))
        earlier = seen_of(frozen, judged, {})
        found = since_of(earlier, seen, before.result["needs"], names, stocks)
        return found and {"number": before.number, **found}

    # --- The lease and the progress ---------------------------------------------------

    def stay(self) -> None:
        """Keep the lease, about once a second; called often."""
        if time.monotonic() - self._noted_at < NOTE_EVERY_S:
            return
        self._noted_at = time.monotonic()
        if not Evaluation.objects.renew(self.work.pk, self.token, lease_s=LEASE_S):
            raise LeaseLostError

    def write(self, **fields: Any) -> None:
        if not Evaluation.objects.held(self.work.pk, self.token).update(**fields):
            raise LeaseLostError

    def enter(self, phase: Phase, total: int, done: int = 0) -> None:
        self.write(phase=phase, done_count=done, total_count=total)

    # --- What takes part --------------------------------------------------------------

    def frozen(self) -> Frozen:
        """Return what takes part; written down the first time, and then read for ever."""
        if self.work.inputs:
            return Frozen.from_json(self.work.inputs)
        found = freeze(self.work.dataset, self.stay)
        self.write(inputs=found.as_json(), counts=found.counts())
        return found

    # --- Looking at it ------------------------------------------------------------------

    def look(
        self, frozen: Frozen, views: dict[str, list[View]], learners: dict[str, Learner]
    ) -> Groups:
        """Read every picture as the learners need it; return what the test images show by axis."""
        if not any(one.reads == "embeddings" for one in learners.values()):
            return {}
        version = register(MAIN_SCORER)
        self.write(version=version)
        used: Pictures = [
            *((sha256, View()) for sha256 in frozen.real.sha256),
            *((sha256, View()) for sha256 in _ours(frozen, self.work.with_unreviewed)),
            *(
                (sha256, view)
                for of_kind in views.values()
                for sha256, view in zip(frozen.test.sha256, of_kind, strict=True)
            ),
        ]
        self._vectors = kept_vectors(used, self.work.dataset, version, self.stay)
        missing = {
            (sha256, view.key): (sha256, view)
            for sha256, view in used
            if (sha256, view.key) not in self._vectors
        }
        self.enter(Phase.LOOKING, len(missing))
        done = 0

        def seen(count: int) -> None:
            nonlocal done
            done += count
            self.write(done_count=done)
            self.stay()

        self._vectors |= embed(list(missing.values()), scorer(MAIN_SCORER), version, seen)
        return self.groups(frozen)

    def groups(self, frozen: Frozen) -> Groups:
        """Return for each axis the value that each test image is nearest to, for the scorer."""
        model = scorer(MAIN_SCORER)
        if not isinstance(model, ReadsWords):
            return {}
        images = np.stack([self._vectors[sha256, PLAIN] for sha256 in frozen.test.sha256])
        found = {}
        axes = Axis.objects.filter(dataset=self.work.dataset).prefetch_related("values")
        for axis in axes:
            names = {value.phrase or value.name: value.name for value in axis.values.all()}
            if len(names) > 1:
                vectors = model.embed_texts(list(names))
                cosines = images @ np.stack([vectors[words] for words in names]).T
                order = list(names.values())
                found[axis.name] = [order[at] for at in cosines.argmax(axis=1)]
        return found

    # --- Training -----------------------------------------------------------------------

    def train(
        self,
        frozen: Frozen,
        views: dict[str, list[View]],
        arms: list[Arm],
        learners: dict[str, Learner],
    ) -> None:
        """Do every trial that is not on record yet."""
        done = set(self.work.trials.values_list("learner", "arm", "seed"))
        wanted = [
            (alias, arm, seed) for alias in learners for seed in self.work.seeds for arm in arms
        ]
        left = [trial for trial in wanted if (trial[0], trial[1].name, trial[2]) not in done]
        self.enter(Phase.LEARNING, len(wanted), len(wanted) - len(left))
        for number, (alias, arm, seed) in enumerate(left, len(wanted) - len(left) + 1):
            self.try_once(frozen, views, alias, learners[alias], arm, seed)
            self.write(done_count=number)

    def try_once(
        self,
        frozen: Frozen,
        views: dict[str, list[View]],
        alias: str,
        model: Learner,
        arm: Arm,
        seed: int,
    ) -> None:
        began = time.monotonic()
        part = training_part(frozen, arm, seed)
        read = self.reader(model)
        task = Task(
            train=read([(sha256, View()) for sha256 in part.sha256]),
            labels=np.array(part.labels, dtype=np.int64),
            tests={
                kind: read(list(zip(frozen.test.sha256, of_kind, strict=True)))
                for kind, of_kind in views.items()
            },
            class_count=len(frozen.classes),
            seed=seed,
        )
        chances = model.learn(task, self.stay)
        self.stay()
        Trial.objects.get_or_create(
            evaluation=self.work,
            learner=alias,
            arm=arm.name,
            seed=seed,
            defaults={
                "views": list(chances),
                "chances": np.stack(list(chances.values())).astype("<f2").tobytes(),
                "train_count": len(part),
                "seconds": time.monotonic() - began,
            },
        )

    def reader(self, model: Learner) -> Callable[[Pictures], Any]:
        """Return what turns pictures into the learner's kind of input."""
        if model.reads == "embeddings":
            return lambda some: np.stack([self._vectors[sha256, view.key] for sha256, view in some])

        def pixels(some: Pictures) -> Any:
            for sha256, view in some:
                if (sha256, view.key) not in self._pixels:
                    self._pixels[sha256, view.key] = small_pixels(sha256, view, model.side_px)
                    self.stay()
            return np.stack([self._pixels[sha256, view.key] for sha256, view in some])

        return pixels

    def judged(
        self, work: Evaluation, alias: str, arms: list[Arm], class_count: int
    ) -> Iterator[Judged]:
        """Yield what the trials of a learner said, arm by arm, in the order of the seeds."""
        for arm in arms:
            trials = list(work.trials.filter(learner=alias, arm=arm.name).order_by("seed"))
            said = [_chances(trial, class_count) for trial in trials]
            yield Judged(
                arm=arm,
                chances={
                    view: np.stack([one[at] for one in said])
                    for at, view in enumerate(trials[0].views)
                },
                train_count=round(float(np.mean([trial.train_count for trial in trials]))),
                seconds=float(np.mean([trial.seconds for trial in trials])),
            )


def seen_of(frozen: Frozen, judged: list[Judged], groups: Groups) -> Seen:
    """Return how the arm with everything approved saw the real images."""
    full = full_arm([one.arm for one in judged])
    chances = next(one for one in judged if one.arm == full).chances[PLAIN]
    said = chances.argmax(axis=2)
    return Seen(
        ids=frozen.test.ids,
        labels=frozen.test.labels,
        is_validation=np.array(frozen.is_validation),
        right=(said == np.array(frozen.test.labels)).astype(np.float64),
        said=said,
        groups=groups,
    )


def _chances(trial: Trial, class_count: int) -> FloatArray:
    """Return (V, N, C) as float32."""
    numbers = np.frombuffer(bytes(trial.chances), dtype="<f2").astype(np.float32)
    return numbers.reshape(len(trial.views), -1, class_count)


def _ours(frozen: Frozen, with_unreviewed: bool) -> list[str]:
    """Return the checksums of our images that some arm trains on."""
    return list(frozen.drawn.sha256 if with_unreviewed else frozen.approved.sha256)
