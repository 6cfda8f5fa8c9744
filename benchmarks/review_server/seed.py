"""Fill a database for bench_review.py: python -m benchmarks.review_server.seed IMAGES PEOPLE.

One row of each kind is made by the models; the database multiplies it, so that a million take
minutes. No image has a file: the card shows its address. Prints the sessions' keys, as JSON.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.review_server.settings")
django.setup()

from django.conf import settings  # noqa: E402
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY  # noqa: E402
from django.contrib.sessions.backends.db import SessionStore  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection, models  # noqa: E402
from django.utils import timezone  # noqa: E402

from benchmarks.review_server import SLUG  # noqa: E402
from benchmarks.review_server.bare import INDEX, TABLE  # noqa: E402
from synthreview.accounts.models import User  # noqa: E402
from synthreview.catalog.models import Dataset, LabelClass, Membership, QualityPolicy  # noqa: E402
from synthreview.catalog.permissions import Role  # noqa: E402
from synthreview.generation.models import GeneratedImage, Run  # noqa: E402
from synthreview.prompting.models import Prompt  # noqa: E402
from synthreview.review.models import ImageReview, ReviewSlot  # noqa: E402
from synthreview.scoring.models import Score, ScorerVersion  # noqa: E402

CLASSES = 5
IMAGES_PER_PROMPT = 25
SERIES = {
    "postgresql": "generate_series(1, {count}) AS series (n)",
    "sqlite": "(WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {count})"
    " SELECT n FROM s) AS series",
}
CHANCE = {"postgresql": "random()", "sqlite": "(abs(random()) / 9223372036854775808.0)"}
FAMILY = {"postgresql": "gen_random_uuid()", "sqlite": "lower(hex(randomblob(16)))"}


def multiply(row: models.Model, count: int, **changes: str) -> None:
    """Write `count` copies of the row, whose numbers follow its own; `changes` name columns."""
    names = [field.column for field in row._meta.concrete_fields]
    changes.setdefault("id", f"{row.pk} + n")
    values = ", ".join(changes.get(name, f"original.{name}") for name in names)
    series = SERIES[connection.vendor].format(count=count)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {row._meta.db_table} ({', '.join(names)}) "
            f"SELECT {values} FROM {row._meta.db_table} AS original, {series} "
            f"WHERE original.id = {row.pk}"
        )


def fill(count: int, people: int) -> list[str]:
    """Make a dataset of `count` images that wait, and `people` who are signed in."""
    if connection.vendor == "postgresql":
        connection.cursor().execute("SET session_replication_role = replica")  # no look at keys
    dataset = Dataset.objects.create(name="Bench", slug=SLUG)
    QualityPolicy.objects.create(dataset=dataset)
    classes = LabelClass.objects.bulk_create(
        LabelClass(
            dataset=dataset,
            name=f"class {number}",
            slug=f"class-{number}",
            definition="What it is, in a sentence of usual length for such a thing.",
            guideline="What counts and what does not.\n\nA second paragraph with a hard case.",
        )
        for number in range(CLASSES)
    )
    first = classes[0].pk
    prompt = Prompt.objects.create(
        dataset=dataset,
        label_class=classes[0],
        text="A class on the beach chasing a bird",
        text_key="original",
        slots={"environment": "on the beach", "action": "chasing a bird"},
        technique="environment",
    )
    prompts = max(1, count // IMAGES_PER_PROMPT)
    multiply(prompt, prompts, text_key="'key ' || n", label_class_id=f"{first} + n % {CLASSES}")
    run = Run.objects.create(dataset=dataset, number=1, generator="sketch", image_count=count)
    image = GeneratedImage.objects.create(
        dataset=dataset,
        run=run,
        label_class=classes[0],
        prompt=prompt,
        technique="environment",
        caption=prompt.text,
        generator="sketch",
        sha256="0" * 64,
        media_type="image/png",
        byte_count=1,
        width=512,
        height=512,
    )
    of_prompt = f"(1 + n % {prompts})"
    multiply(
        image,
        count,
        sha256="'image ' || n",
        family=FAMILY[connection.vendor],
        prompt_id=f"{prompt.pk} + {of_prompt}",
        label_class_id=f"{first} + {of_prompt} % {CLASSES}",
    )
    version = ScorerVersion.objects.create(
        alias="clip",
        name="Bench",
        model="bench",
        tag="1",
        weights_sha256="0" * 64,
        preprocessing="none",
        registered_at=timezone.now(),
    )
    score = Score.objects.create(
        image=image,
        version=version,
        value=0.5,
        similarity=0.5,
        parts={"object": 0.5, "environment": 0.4},
    )
    multiply(score, count, image_id=f"{image.pk} + n", value=CHANCE[connection.vendor])
    review = ImageReview.objects.create(image=image, dataset=dataset, score=score)
    multiply(review, count, image_id=f"{image.pk} + n", score_id=f"{score.pk} + n")
    slot = ReviewSlot.of(image, priority=2)
    slot.save()
    multiply(
        slot,
        count,
        image_id=f"{image.pk} + n",
        priority=CHANCE[connection.vendor],
        prompt_id=f"{prompt.pk} + {of_prompt}",
        label_class_id=f"{first} + {of_prompt} % {CLASSES}",
    )
    with connection.cursor() as cursor:
        cursor.execute(TABLE)
        cursor.execute(
            "INSERT INTO bare_task (id, priority, state) "
            f"SELECT n, {CHANCE[connection.vendor]}, 'waiting' "
            f"FROM {SERIES[connection.vendor].format(count=count)}"
        )
        cursor.execute(INDEX)
        cursor.execute("VACUUM ANALYZE" if connection.vendor == "postgresql" else "ANALYZE")
    return [signed_in(dataset, number) for number in range(people)]


def signed_in(dataset: Dataset, number: int) -> str:
    """Return the session key of a new reviewer."""
    user = User.objects.create_user(f"reviewer-{number}")
    Membership.objects.create(dataset=dataset, user=user, role=Role.REVIEWER)
    session: Any = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    return str(session.session_key)


def main(count: int, people: int) -> None:
    settings.STATIC_ROOT.mkdir(exist_ok=True)
    call_command("migrate", verbosity=0)
    json.dump(fill(count, people), sys.stdout)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
