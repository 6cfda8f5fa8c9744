"""The long form, by `make test-faults`: one fault at a time, the oracle after each.

Its figures become docs/reliability.md (figures.py).
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from synthreview.generation.models import Call, GeneratedImage
from synthreview.spending import spool
from synthreview.work.models import WorkState
from synthreview.work.services import sweep
from tests.faults.answers import ANSWERS
from tests.faults.figures import Figures
from tests.faults.points import POINTS, VICTIMS
from tests.faults.site import KEYED, PLAIN, Site, flush_redis, until

pytestmark = pytest.mark.slow
KILLS = 60
# Beside the kills: slow answers, and a little of everything else.
TROUBLE = {
    "do": "chance",
    "steps": [
        [0.45, {"do": "late", "seconds": 0.15}],
        [0.05, {"do": "late", "seconds": 3}],
        [0.05, {"do": "fail"}],
        [0.05, {"do": "rate_limit", "retry_after": 1}],
        [0.03, {"do": "cut"}],
        [0.03, {"do": "drop"}],
        [0.03, {"do": "truncated"}],
        [0.01, {"do": "no_credit"}],
    ],
}


@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.parametrize("point", list(POINTS))
def test_killed_at_a_point(site: Site, figures: Figures, point: str, victim: str) -> None:
    figures.lease_s = site.lease_s
    with site.held_still():
        runs = {alias: site.order(alias, 2) for alias in site.servers}
        for run in runs.values():
            site.plan(run.calls.order_by("pk")[0], point, victim)
    rest_s = site.come_to_rest()
    figures.add("point", f"{point}, {victim}", rest_s, site.judge(), kills=len(runs))
    assert list(site.plans.glob("*.json")) == [], "the point was reached"
    for alias, run in runs.items():
        states = list(run.calls.order_by("pk").values_list("state", flat=True))
        assert states == [POINTS[point].ends[alias == KEYED], WorkState.DONE]


@pytest.mark.parametrize("number", range(KILLS))
def test_killed_at_a_random_moment(site: Site, figures: Figures, number: int) -> None:
    chance = random.Random(number)
    site.start_sweeper()
    for server in site.servers.values():
        server.always({**TROUBLE, "seed": number})
    runs = [site.order(alias, 12) for alias in site.servers]
    calls = [run.calls for run in runs]
    until(lambda: any(some.exclude(attempts=0).exists() for some in calls))
    time.sleep(chance.uniform(0, 1.2))
    victim = site.kill_at_random(chance)
    rest_s = site.come_to_rest()
    site.stop_sweeper()
    figures.add("random", victim, rest_s, site.judge(), kills=1)


@pytest.mark.parametrize("answer", list(ANSWERS))
def test_the_service_answers(site: Site, figures: Figures, answer: str) -> None:
    steps, *ends = ANSWERS[answer]
    prompt = f"A car, {answer}"
    for server in site.servers.values():
        server.script_for(prompt, *steps)
    runs = {alias: site.order(alias, 1, prompts=[prompt]) for alias in site.servers}
    rest_s = site.come_to_rest()
    figures.add("answer", answer, rest_s, site.judge())
    assert [run.calls.get().state for run in runs.values()] == ends


@pytest.mark.parametrize("number", range(3))
def test_every_key_is_delivered_ten_times(site: Site, figures: Figures, number: int) -> None:
    with site.held_still():
        runs = [site.order(alias, 20) for alias in site.servers]
        for call in Call.objects.filter(run__in=runs):
            for delivery in range(10):
                site.deliver(call, delivery)
    rest_s = site.come_to_rest()
    found = site.judge()
    figures.add("delivery", "ten times", rest_s, found)
    assert found.charges == found.calls[WorkState.DONE] == 40


@pytest.mark.parametrize("number", range(6))
def test_redis_is_emptied_under_way(site: Site, figures: Figures, number: int) -> None:
    chance = random.Random(number)
    for server in site.servers.values():
        server.always({"do": "late", "seconds": 0.1})
    runs = [site.order(alias, 15) for alias in site.servers]
    until(lambda: any(run.calls.exclude(attempts=0).exists() for run in runs))
    for _ in range(2):
        time.sleep(chance.uniform(0, 0.5))
        flush_redis()
    rest_s = site.come_to_rest()
    found = site.judge()
    figures.add("redis", "emptied twice", rest_s, found)
    assert found.calls == {WorkState.DONE: 30}


@pytest.mark.parametrize("part", ["/blobs/original/", "/spool/", "/blobs/thumb/", "/blobs/view/"])
def test_no_room_for_a_kind_of_file(site: Site, figures: Figures, part: str) -> None:
    site.fill_disk(part)
    runs = [site.order(alias, 3) for alias in site.servers]

    def has_met_it() -> bool:
        sweep()
        return not any(run.calls.filter(error="").exists() for run in runs)

    until(has_met_it)
    assert not GeneratedImage.objects.exists()
    site.make_room()
    rest_s = site.come_to_rest()
    figures.add("disk", f"refused: {part}", rest_s, site.judge())
    is_kept = part in ("/blobs/thumb/", "/blobs/view/")
    plain, keyed = ({*run.calls.values_list("state", flat=True)} for run in runs)
    assert plain == {WorkState.DONE if is_kept else WorkState.UNKNOWN}
    assert keyed == {WorkState.DONE}


@pytest.fixture
def small_disk(site: Site) -> Iterator[Path]:
    """Let the blobs lie on a file system of 8 MB of their own."""
    folder = site.folder / "blobs"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("to mount a small file system takes root")
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield folder
    site.stop()
    subprocess.run(["umount", str(folder)], check=True)


def test_a_file_system_without_room(site: Site, small_disk: Path, figures: Figures) -> None:
    """ENOSPC by the kernel, on a file system that is full and later is not."""
    ballast = small_disk / "ballast"
    run = site.order(PLAIN, 40)

    def fills_up() -> bool:
        sweep()
        if not ballast.exists() and GeneratedImage.objects.exists():
            with ballast.open("wb", buffering=0) as file:
                try:
                    while file.write(b"x" * 4096):
                        pass
                except OSError:
                    pass
        return run.calls.filter(error__contains="No space left").exists()

    until(fills_up)
    ballast.unlink()
    rest_s = site.come_to_rest()
    found = site.judge()
    figures.add("disk", "ENOSPC", rest_s, found)
    assert found.calls[WorkState.DONE] + found.calls[WorkState.UNKNOWN] == 40
    assert not spool.all_keys()
