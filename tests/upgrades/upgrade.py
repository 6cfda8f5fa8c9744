"""Run in a process of its own: build the previous release, migrate, say what is there then."""

from __future__ import annotations

import json

import django

django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from django.test import Client  # noqa: E402

from synthreview.accounts.models import User  # noqa: E402
from synthreview.generation.models import Call, GeneratedImage  # noqa: E402
from synthreview.review.models import Decision  # noqa: E402
from synthreview.spending.models import Budget  # noqa: E402
from tests.factories import make_image, make_score  # noqa: E402
from tests.upgrades.filled import build  # noqa: E402

build()
call_command("migrate", verbosity=0, interactive=False)
call_command("migrate", verbosity=0, interactive=False)  # a second time changes nothing
connection.check_constraints()

client = Client(headers={"host": "localhost"})
client.force_login(User.objects.get(username="cora"))
image = GeneratedImage.objects.order_by("pk").first()
assert image is not None
slug = image.dataset.slug
pages = ["/", f"/d/{slug}/", f"/d/{slug}/images/", f"/d/{slug}/runs/", f"/d/{slug}/costs/"]
pages += [f"/d/{slug}/review/", f"/d/{slug}/certificate/", f"/d/{slug}/exports/", "/operations/"]
pages += [f"/d/{slug}/exports/1/", f"/images/{image.pk}/"]
statuses = {page: client.get(page).status_code for page in pages}
budget = Budget.objects.get()
print(
    json.dumps(
        {
            "pages": statuses,
            "images": GeneratedImage.objects.count(),
            "calls": Call.objects.count(),
            "decisions": Decision.objects.count(),
            "money": [
                budget.limit_micro_usd, budget.spent_micro_usd, budget.reserved_micro_usd
            ],
            "next_image": make_score(make_image(image.dataset)).image_id > image.pk,
        }
    )
)  # fmt: skip
