"""Real photographs go through the whole of it: imported, scored, reviewed, exported."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from synthreview.generation.models import GeneratedImage
from synthreview.review.models import Decision, ReviewSlot
from synthreview.scoring.models import Score
from synthreview.scoring.services import register
from tests.factories import make_dataset, make_user

PHOTOS = Path(settings.BASE_DIR) / "fixtures" / "photos"


@pytest.fixture(autouse=True)
def registered_anew() -> Iterator[None]:
    """The version that a worker registers is cached, and its row ends with the test."""
    register.cache_clear()
    yield
    register.cache_clear()


@pytest.mark.slow
@pytest.mark.django_db
def test_exported_photographs_are_the_imported_ones_to_the_byte(
    client: Client, tmp_path: Path
) -> None:
    reviewer = make_user("rita")
    dataset = make_dataset("Real", classes=["cup", "flower", "house"], reviewer=reviewer)
    call_command("import_images", dataset.slug, str(PHOTOS), "--json")
    call_command("score", dataset.slug, "--wait", "--json")  # by the real embedded CLIP
    call_command("admit", "--json")
    originals = {path.read_bytes() for path in PHOTOS.rglob("*/*")}
    assert GeneratedImage.objects.count() == len(originals) == 7

    # The embedded CLIP knows no photographs: it says so, and orders nothing.
    assert not Score.objects.filter(applies=True).exists()
    assert not Score.objects.exclude(note__contains="SYNTHREVIEW_CLIP").exists()

    client.force_login(reviewer)
    rejected = review_all(client, dataset.slug)
    target = tmp_path / "export"
    call_command("export", dataset.slug, "--out", str(target), "--json")
    exported = {path.read_bytes() for path in target.rglob("*/*/*")}
    assert exported == originals - {rejected}
    card = (target / "README.md").read_text()
    assert "6 images" in card


def review_all(client: Client, slug: str) -> bytes:
    """Reject the first card and approve the others; return the rejected image's bytes."""
    page, decide = reverse("review", args=[slug]), reverse("review-decide", args=[slug])
    for number in range(7):
        assert client.get(page).status_code == 200
        slot = ReviewSlot.objects.get(lease_token__isnull=False)
        verdict = {"verdict": "approve"} if number else {"verdict": "reject", "reasons": "other"}
        client.post(decide, {"token": slot.lease_token, "seconds": "1", **verdict})
    rejected = Decision.objects.get(verdict="reject").image
    return (PHOTOS / rejected.source_name).read_bytes()
