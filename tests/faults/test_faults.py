"""The short form: every named point, every scripted answer, a flushed Redis, a full disk.

Real workers are killed with SIGKILL, a paid service of its own process lies to them, and the
oracle reads what is left. `make test-faults` runs the long form (test_long.py).
"""

from __future__ import annotations

import json
import random
import time

import pytest

from synthreview.generation.models import Call, GeneratedImage, Run
from synthreview.spending import spool
from synthreview.work.models import WorkState
from synthreview.work.services import sweep
from tests.faults.answers import ANSWERS
from tests.faults.points import POINTS
from tests.faults.site import KEYED, PLAIN, Site, flush_redis, until

pytestmark = pytest.mark.slow


def ends_of(run: Run) -> dict[str, str]:
    return dict(run.calls.order_by("pk").values_list("prompt__text", "state"))


def test_killed_at_any_point_nothing_is_lost_and_nothing_paid_twice(site: Site) -> None:
    prompts = [f"A car, {point}" for point in POINTS]
    with site.held_still():
        runs = {alias: site.order(alias, len(prompts), prompts=prompts) for alias in site.servers}
        for run in runs.values():
            calls = run.calls.order_by("pk")
            for number, (call, point) in enumerate(zip(calls, POINTS, strict=True)):
                # A worker has to be started anew, so few die with the child that did the call.
                site.plan(call, point, "worker" if number % 8 == 5 else "child")
                for delivery in range(10):
                    site.deliver(call, delivery)
    site.come_to_rest()
    site.judge()
    left = {json.loads(plan.read_text())["point"] for plan in site.plans.glob("*.json")}
    assert left == set(), "each point was reached"
    for alias, run in runs.items():
        expected = {
            text: point.ends[alias == KEYED]
            for text, point in zip(prompts, POINTS.values(), strict=True)
        }
        assert ends_of(run) == expected


def test_whatever_the_service_answers_the_books_agree(site: Site) -> None:
    prompts = [f"A car, {name}" for name in ANSWERS]
    for server in site.servers.values():
        for prompt, (steps, _, _) in zip(prompts, ANSWERS.values(), strict=True):
            server.script_for(prompt, *steps)
    runs = {alias: site.order(alias, len(prompts), prompts=prompts) for alias in site.servers}
    site.come_to_rest()
    site.judge()
    for alias, run in runs.items():
        expected = {
            prompt: ends[alias == KEYED]
            for prompt, (_, *ends) in zip(prompts, ANSWERS.values(), strict=True)
        }
        assert ends_of(run) == expected


def test_an_emptied_redis_and_workers_killed_at_random_cost_only_time(site: Site) -> None:
    chance = random.Random(2026)
    site.servers[PLAIN].always({"do": "late", "seconds": 0.1})
    run = site.order(PLAIN, 30)
    for _ in range(3):
        until(lambda: run.calls.filter(state=WorkState.RUNNING).exists())
        time.sleep(chance.uniform(0, 0.4))
        flush_redis()
        site.kill_at_random(chance)
        site.keep_up()
    site.come_to_rest()
    site.judge()
    assert run.counts()["done"] >= 27


@pytest.mark.parametrize(
    ("part", "waits"), [("/blobs/original/", False), ("/spool/", False), ("/blobs/thumb/", True)]
)
def test_a_full_disk_loses_no_answer_that_was_kept(site: Site, part: str, waits: bool) -> None:
    site.fill_disk(part)
    run = site.order(PLAIN, 2)

    def has_met_it() -> bool:
        sweep()
        return not run.calls.filter(error="").exists()

    until(has_met_it)
    assert not GeneratedImage.objects.exists()
    if waits:
        assert all(spool.exists(call.spool_key) for call in run.calls.all())
    site.make_room()
    site.come_to_rest()
    site.judge()
    state = WorkState.DONE if waits else WorkState.UNKNOWN
    assert set(run.calls.values_list("state", flat=True)) == {state}
    assert Call.objects.filter(error__contains="Errno").exists() != waits
