"""Measure the studio's live preview over a grid of more than 100,000 combinations, in the server.

Run from the repository: python benchmarks/bench_prompt_preview.py [repeats]. It makes a database
of its own in a temporary folder (SQLite, unless DATABASE_URL names an empty one). Each strategy is
asked for 200 prompts of 18 x 17 x 16 x 22 = 107,712 combinations, less forbidden pairs.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

SIZES = {"environment": 18, "style": 17, "light": 16, "viewpoint": 22}
FORBIDDEN = 20


def main(repeats: int) -> None:
    """Print, for each strategy, the median and the worst time of a preview, and its queries."""
    from django.core.management import call_command
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    from synthreview.accounts.models import User
    from synthreview.catalog.models import AxisValue, ForbiddenPair
    from synthreview.catalog.services import add_class, create_dataset, set_axis_values

    call_command("migrate", verbosity=0)
    dataset = create_dataset(name="Benchmark")
    label_class = add_class(dataset=dataset, name="car")
    for axis, size in SIZES.items():
        values = [{"name": f"{axis} {n}"} for n in range(size)]
        set_axis_values(dataset=dataset, axis_name=axis, values=values)
    by_axis = [list(AxisValue.objects.filter(axis__name=axis)) for axis in ("environment", "light")]
    for first, second in list(zip(*by_axis, strict=False))[:FORBIDDEN]:
        ForbiddenPair.objects.create(dataset=dataset, first=first, second=second)
    client = Client(headers={"hx-request": "true"})
    client.force_login(User.objects.create_superuser("bench", password="bench"))
    template = "A [class] {environment} {style} {light} {viewpoint}"
    print(f"{'strategy':>10}{'median ms':>12}{'worst ms':>10}{'queries':>9}")
    for strategy in ("balanced", "pairwise", "grid"):
        form = {
            "technique": "plain",
            "classes": [label_class.pk],
            "template": template,
            "strategy": strategy,
            "count": 200,
            "author": "wordlists",
        }
        url, seconds = f"/d/{dataset.slug}/prompts/preview", list[float]()
        for seed in range(repeats + 1):
            began = time.perf_counter()
            with CaptureQueriesContext(connection) as queries:
                answer = client.get(url, form | {"seed": seed})
            seconds.append(time.perf_counter() - began)
            assert "combinations" in answer.content.decode(), answer.content.decode()[:500]
        seconds.pop(0)  # the first loads templates
        middle, worst = statistics.median(seconds), max(seconds)
        print(
            f"{strategy:>10}{middle * 1000:12.1f}{worst * 1000:10.1f}{len(queries):9}", flush=True
        )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as data:
        os.environ["SYNTHREVIEW_DATA"] = data
        os.environ["DJANGO_SETTINGS_MODULE"] = "synthreview.settings"
        sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
        import django

        django.setup()
        from django.conf import settings

        settings.ALLOWED_HOSTS = ["*"]
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
