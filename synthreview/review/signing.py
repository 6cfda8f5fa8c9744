"""A person signs for what may leave: a statement with their name, over exactly these images.

The export stage reads `standing_signature`: it lapses by itself as soon as another list of images,
or another decision on one of them, would leave.
"""

from __future__ import annotations

import hashlib

from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.crypto import constant_time_compare, salted_hmac

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset
from synthreview.catalog.permissions import Action, require
from synthreview.review.models import (
    FINAL_VERDICTS,
    Decision,
    ImageReview,
    Purpose,
    Signature,
)
from synthreview.trail.acts import Act
from synthreview.trail.services import facts, record

STATEMENT = (
    "I have reviewed the images of {dataset} that are approved, or answer for their review, and "
    "state that each of these {count} carries the right label by its guideline."
)


class SigningError(ValueError):
    """The signature cannot be given; the message says why, in plain words."""


def list_digest(dataset: Dataset) -> tuple[str, int]:
    """Return the SHA-256 over what may leave, and how many images; two queries.

    A line per image in order: its file's checksum, its class, the decisions that count.
    """
    looks: dict[int, list[str]] = {}
    counting = Decision.objects.filter(
        dataset=dataset,
        verdict__in=FINAL_VERDICTS,
        slot_of__isnull=False,
        round=F("image__review__round"),
    ).exclude(purpose=Purpose.GOLD)
    for image, token in counting.order_by("pk").values_list("image", "client_token"):
        looks.setdefault(image, []).append(str(token))
    rows = ImageReview.objects.approved().filter(dataset=dataset).order_by("image")
    digest, count = hashlib.sha256(), 0
    for image, sha256, name in rows.values_list(
        "image", "image__sha256", "image__label_class__name"
    ).iterator(2_000):
        digest.update(f"{sha256}\t{name}\t{','.join(looks.get(image, []))}\n".encode())
        count += 1
    return digest.hexdigest(), count


@transaction.atomic
def sign(*, dataset: Dataset, user: User, name: str) -> Signature:
    """Put a person's signature under what may leave now.

    Raises PermissionDenied where they may not adjudicate, SigningError without a name or images.
    """
    require(user, dataset, Action.ADJUDICATE)
    name = " ".join(name.split())
    if not name or len(name) > 120:
        raise SigningError("Sign with your full name, of 120 characters at most.")
    digest, count = list_digest(dataset)
    if not count:
        raise SigningError("No image is approved yet: there is nothing to sign for.")
    signature = Signature(
        dataset=dataset,
        signed_by=user,
        name=name,
        statement=STATEMENT.format(dataset=dataset.name, count=f"{count:,}"),
        image_count=count,
        digest=digest,
        signed_at=timezone.now(),
    )
    signature.seal = _seal(signature)
    signature.save()
    signed = facts(signature, "name", "statement", "image_count", "digest")
    record(Act.SIGNED, dataset, dataset=dataset.pk, after=signed, by=user)
    return signature


def standing_signature(dataset: Dataset) -> Signature | None:
    """Return the latest signature if it is whole and covers exactly what may leave now."""
    last = Signature.objects.filter(dataset=dataset).select_related("signed_by").first()
    if last is None or not is_whole(last) or last.digest != list_digest(dataset)[0]:
        return None
    return last


def is_whole(signature: Signature) -> bool:
    """Return whether nobody changed the row since it was signed."""
    return constant_time_compare(signature.seal, _seal(signature))


def _seal(signature: Signature) -> str:
    words = "\n".join(
        (
            str(signature.dataset_id),
            str(signature.signed_by_id),
            signature.name,
            signature.statement,
            str(signature.image_count),
            signature.digest,
            signature.signed_at.isoformat(),
        )
    )
    return salted_hmac("review-signature", words, algorithm="sha256").hexdigest()
