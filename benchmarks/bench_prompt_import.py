"""Measure an import of prompts: time and memory at 1,000, 10,000 and 100,000 lines.

Run from the repository: python benchmarks/bench_prompt_import.py [lines ...]. It makes a database
of its own in a temporary folder (SQLite, unless DATABASE_URL names an empty one).
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from pathlib import Path


def main(sizes: list[int]) -> None:
    """Print one row per size; each imports into a dataset of its own."""
    from django.core.management import call_command

    from synthreview.catalog.services import add_class, create_dataset
    from synthreview.prompting.importing import check_file, export_prompts, import_prompts

    call_command("migrate", verbosity=0)
    folder = Path(os.environ["SYNTHREVIEW_DATA"])
    heads = ("prompts", "check s", "import s", "again s", "export s", "peak MB")
    print("".join(f"{head:>10}" for head in heads))
    for size in sizes:
        dataset = create_dataset(name=f"Benchmark {size}")
        add_class(dataset=dataset, name="car")
        path = folder / "prompts.csv"
        with path.open("w") as file:
            file.write("text,class,technique,slot:environment,state\n")
            for n in range(size):
                file.write(f"A car on street {n} in the rain,car,environment,in the rain,draft\n")
        seconds = []
        for verb in (check_file, import_prompts, import_prompts):
            began = time.perf_counter()
            report = verb(dataset=dataset, path=path)
            seconds.append(time.perf_counter() - began)
        assert report.already_there == size
        began = time.perf_counter()
        assert sum(1 for _ in export_prompts(dataset=dataset, kind="csv")) == size + 1
        seconds.append(time.perf_counter() - began)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{size:10,}" + "".join(f"{s:10.2f}" for s in seconds) + f"{peak:10.0f}", flush=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as data:
        os.environ["SYNTHREVIEW_DATA"] = data
        os.environ["DJANGO_SETTINGS_MODULE"] = "synthreview.settings"
        sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
        import django

        django.setup()
        main([int(size) for size in sys.argv[1:]] or [1_000, 10_000, 100_000])
