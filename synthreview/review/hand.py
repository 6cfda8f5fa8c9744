"""The cards that a reviewer's page holds: the one in sight, and those that come next.

A page holds a few cards ahead, so that the next one is there at once, and so that work goes on
while the network is away. It says which it has; what it has lost sight of is given to it again.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection

from django.db.models import Exists, OuterRef
from django.db.models.functions import Now

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset
from synthreview.prompting.techniques import TECHNIQUES
from synthreview.review.claims import Claim
from synthreview.review.models import FREE, ReviewSlot
from synthreview.review.queue import Card, card_of, held_by, next_card, renew_leases

GRACE_S = 10


def deal(
    *,
    dataset: Dataset,
    reviewer: User,
    holding: Collection[uuid.UUID],
    count: int,
    skipped_until: int | None = None,
) -> list[Card]:
    """Return up to `count` single cards beyond those that the page is `holding`.

    First those that lie open and the page does not know (an answer was lost on its way), then
    new ones from the queue.
    """
    cards = _forgotten(dataset, reviewer, holding)[:count]
    while len(cards) < count:
        card = next_card(
            dataset=dataset, reviewer=reviewer, skipped_until=skipped_until, may_hold_one=False
        )
        if card is None:
            break
        cards.append(card)
    return cards


def let_go(*, dataset: Dataset, reviewer: User, tokens: Collection[uuid.UUID]) -> int:
    """End these leases soon: their page was closed. Returns how many.

    Not at once: a page that is loaded again has shown its card anew before the word of its
    predecessor's end arrives. Its first heartbeat renews what this cuts short.
    """
    soon = Now() + dt.timedelta(seconds=GRACE_S)
    held = held_by(dataset, reviewer).filter(lease_token__in=tokens, lease_expires_at__gt=soon)
    return held.update(lease_expires_at=soon)


def waiting_kinds(dataset: Dataset) -> list[tuple[str, str]]:
    """Return class and technique of whatever waits, one index look-up for each; one query."""
    free = ReviewSlot.objects.filter(label_class=OuterRef("pk"), state__in=FREE)
    waits = {key: Exists(free.filter(technique=key)) for key in TECHNIQUES}
    classes = dataset.classes.annotate(**{f"waits_{key}": test for key, test in waits.items()})
    return [
        (label.slug, key) for label in classes for key in waits if getattr(label, f"waits_{key}")
    ]


def _forgotten(dataset: Dataset, reviewer: User, holding: Collection[uuid.UUID]) -> list[Card]:
    held = held_by(dataset, reviewer).filter(batch__isnull=True, lease_expires_at__gt=Now())
    lost = held.exclude(lease_token__in=holding).order_by("handed_at", "pk")
    rows = lost.values_list("pk", "image_id", "lease_token")
    claims = {token: Claim(slot, image, token) for slot, image, token in rows if token is not None}
    kept = renew_leases(dataset=dataset, reviewer=reviewer, tokens=claims) if claims else set()
    return [card_of(claim) for token, claim in claims.items() if token in kept]
