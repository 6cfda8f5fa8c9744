"""The worker side of a replay that somebody asked for on the page."""

from __future__ import annotations

import logging
from typing import Any

from synthreview.review.ranking.replaying import Outcome
from synthreview.review.ranking_models import Replay
from synthreview.review.replays import ReplayError, read_past, replay_past
from synthreview.work.models import WorkState

logger = logging.getLogger(__name__)
LEASE_S = 600


class LeaseLostError(Exception):
    """Somebody else has this replay now: stop."""


def replay_dataset(replay_pk: int) -> None:
    """Replay the dataset's decided images, and keep the figures."""
    token = Replay.objects.claim(replay_pk, lease_s=LEASE_S)
    if token is None:
        return
    work = Replay.objects.select_related("dataset").get(pk=replay_pk)

    def stay() -> None:
        if not Replay.objects.renew(replay_pk, token, lease_s=LEASE_S):
            raise LeaseLostError

    try:
        past = read_past(work.dataset, on_page=stay)
        outcomes = replay_past(past, seeds=work.seeds, on_review=stay)
        Replay.objects.settle(
            replay_pk,
            token,
            WorkState.DONE,
            images=len(past.table),
            bad=int(past.is_bad.sum()),
            result=[facts_of(outcome) for outcome in outcomes],
        )
    except LeaseLostError:
        return
    except ReplayError as error:  # the next try would end the same way
        Replay.objects.settle(replay_pk, token, WorkState.FAILED, error=str(error))
    except Exception as error:
        logger.exception("Replay %s broke off", replay_pk)
        said = f"{type(error).__name__}: {error}"
        Replay.objects.settle(replay_pk, token, WorkState.FAILED, error=said)


def facts_of(outcome: Outcome) -> dict[str, Any]:
    """Return what the page shows of a policy, as plain values."""

    def means(found: dict[float, Any]) -> list[list[float]]:
        return [
            [key, round(m.mean, 4), round(m.low, 4), round(m.high, 4)] for key, m in found.items()
        ]

    return {
        "policy": outcome.policy,
        "share_to_find": means(outcome.share_to_find),
        "found_after": means(outcome.found_after),
        "reviews_to_certify": means(outcome.reviews_to_certify),
        "curve": [round(share, 4) for share in outcome.curve],
    }
