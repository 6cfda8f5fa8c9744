"""Measure an import of prompts: time, memory, and how long others wait, up to 100,000 lines.

Run from the repository: python benchmarks/bench_prompt_import.py [lines ...]. It makes a database
of its own in a temporary folder (SQLite, unless DATABASE_URL names an empty one). Meanwhile another
process writes a row every 10 ms, as reviewers do; "waits s" is the longest that one of these took.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WRITER = "--writer"


def main(sizes: list[int]) -> None:
    """Print one row per size; each imports into a dataset of its own."""
    from django.core.management import call_command

    from synthreview.catalog.services import add_class, create_dataset
    from synthreview.prompting.importing import check_file, export_prompts, import_prompts

    call_command("migrate", verbosity=0)
    folder = Path(os.environ["SYNTHREVIEW_DATA"])
    heads = ("prompts", "check s", "import s", "waits s", "again s", "export s", "peak MB")
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
        began = time.perf_counter()
        check_file(dataset=dataset, path=path)
        seconds.append(time.perf_counter() - began)
        with another_writer() as waits:
            began = time.perf_counter()
            assert import_prompts(dataset=dataset, path=path).stored == size
            seconds.append(time.perf_counter() - began)
        seconds += waits
        began = time.perf_counter()
        assert import_prompts(dataset=dataset, path=path).already_there == size
        seconds.append(time.perf_counter() - began)
        began = time.perf_counter()
        assert sum(1 for _ in export_prompts(dataset=dataset, kind="csv")) == size + 1
        seconds.append(time.perf_counter() - began)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{size:10,}" + "".join(f"{s:10.2f}" for s in seconds) + f"{peak:10.0f}", flush=True)


@contextmanager
def another_writer() -> Iterator[list[float]]:
    """Write from another process meanwhile; the list then holds the longest wait in seconds."""
    waits = list[float]()
    command = [sys.executable, __file__, WRITER]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdin
        assert writer.stdout
        writer.stdout.readline()  # it has begun
        try:
            yield waits
        finally:
            writer.stdin.close()
            waits.append(float(writer.stdout.readline()))


def write_on() -> None:
    """Write a row every 10 ms until the input ends; print when it begins, and the longest wait."""
    from synthreview.accounts.models import User

    user, _ = User.objects.get_or_create(username="writer")
    is_over = threading.Event()

    def wait_for_the_end() -> None:
        sys.stdin.read()
        is_over.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    print("writing", flush=True)
    longest = 0.0
    while not is_over.wait(0.01):
        began = time.perf_counter()
        User.objects.filter(pk=user.pk).update(first_name=str(began)[:20])
        longest = max(longest, time.perf_counter() - began)
    print(longest, flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    import django

    os.environ["DJANGO_SETTINGS_MODULE"] = "synthreview.settings"
    if sys.argv[1:] == [WRITER]:
        django.setup()
        write_on()
    else:
        with tempfile.TemporaryDirectory() as data:
            os.environ["SYNTHREVIEW_DATA"] = data
            django.setup()
            main([int(size) for size in sys.argv[1:]] or [1_000, 10_000, 100_000])
