"""Fine-tuning from the approved captions to an author that writes: by a server, and here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from synthreview.lib.outcomes import OutcomeUnknownError
from synthreview.prompting import finetuning, jobs, ordering, services
from synthreview.prompting.drafting import author, authors_of
from synthreview.prompting.learning import Tally
from synthreview.prompting.models import Comparison, Prompt, PromptState, Tuning
from synthreview.prompting.tuning.remote import RemoteTuning
from synthreview.prompting.tuning_jobs import tune
from synthreview.spending.services import OverBudgetError, budget_of, set_budget
from synthreview.work.models import WorkState
from tests.factories import make_dataset, make_prompt
from tests.people import People, make_people
from tests.prompting.tiny_llama import make_tiny_llama
from tests.prompting.wish import make_wish
from tests.servers_fake.openai_server import FakeOpenAI

pytestmark = [
    pytest.mark.django_db,
    # peft asks transformers by a name that is about to go.
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning"),
]
PAGE = "/d/traffic/prompts/tuning/"


@pytest.fixture
def people() -> People:
    """A dataset with 120 approved and a few retired captions of cars, none of umbrellas."""
    people = make_people()
    set_budget(people.dataset, limit_micro_usd=5_000_000)
    for number in range(120):
        make_prompt(people.label_class, f"A car on street {number}")
    for number in range(3):
        make_prompt(people.label_class, f"car hdr {number}", state=PromptState.RETIRED)
    return people


@pytest.fixture
def server(settings: Any) -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as running:
        prices = {"*": {"input": 1, "output": 2, "training": 3}}
        options = {"model": "test-model", "base_url": running.base_url, "prices": prices}
        backend = "synthreview.prompting.authors.openai.OpenAIAuthor"
        words = settings.AUTHORS["wordlists"]
        settings.AUTHORS = {"wordlists": words, "model": {"BACKEND": backend, "OPTIONS": options}}
        author.cache_clear()
        yield running
    author.cache_clear()


def order(people: People, **fields: Any) -> Tuning:
    held_out = list(people.dataset.classes.filter(name="umbrella"))
    order = {"base": "model", "title": "Tuned", "held_out": held_out, **fields}
    return finetuning.order_tuning(dataset=people.dataset, **order)


def look(tuning: Tuning, times: int = 1) -> Tuning:
    """Let the worker look in, as if its pause were over."""
    for _ in range(times):
        Tuning.objects.filter(pk=tuning.pk).update(due_at=Now())
        tune(tuning.pk)
    tuning.refresh_from_db()
    return tuning


# --- What is learnt from --------------------------------------------------------------


def test_people_decide_by_images_and_else_by_the_caption(people: People) -> None:
    car = people.label_class
    liked = make_prompt(car, "A liked car", state=PromptState.DRAFT)
    thrown = make_prompt(car, "A thrown car")
    make_prompt(car, "A waiting car", state=PromptState.DRAFT)
    flags = [["near_meaning", "Nearly the same"]]
    make_prompt(car, "A repeated car", state=PromptState.RETIRED, flags=flags)
    services.record_outcomes({liked.pk: Tally(3, 1), thrown.pk: Tally(1, 3)})
    good, bad = finetuning.examples_of(people.dataset)
    assert len(good) == 121
    assert "A liked car" in {one.text for one in good}
    assert {one.text for one in bad} == {"A thrown car", *(f"car hdr {n}" for n in range(3))}


def test_too_little_to_learn_from_is_said(server: FakeOpenAI) -> None:
    people = make_people()
    with pytest.raises(finetuning.TuningError, match="at least 10 are needed"):
        order(people)
    with pytest.raises(finetuning.TuningError, match="no model of its own"):
        order(people, base="wordlists")
    assert not Tuning.objects.exists()


# --- By a server ----------------------------------------------------------------------


def test_a_server_trains_and_the_result_is_an_author_at_once(
    server: FakeOpenAI, people: People
) -> None:
    tuning = order(people)
    reserved = budget_of(people.dataset).reserved_micro_usd
    assert reserved == tuning.tokens * 3 * 3  # three rounds at 3 dollars a million
    assert (tuning.folder / "training.jsonl").read_text().count("\n") == tuning.rows
    look(tuning)
    assert (tuning.state, bool(tuning.server_job)) == (WorkState.READY, True)
    assert "umbrella" not in server.files[tuning.server_file].decode(), "it is held out"
    assert tuning.events[0]["message"] == "Created"
    look(tuning, 3)
    assert tuning.state == WorkState.DONE
    assert tuning.result.startswith("ft:test-model")
    budget = budget_of(people.dataset)
    assert (budget.reserved_micro_usd, budget.spent_micro_usd) == (0, 1234 * 3)
    assert tuning.alias in dict(authors_of(people.dataset))
    assert tuning.alias not in dict(authors_of(make_dataset("Other")))
    client = people.client("curator")
    told = client.get("/api/datasets/traffic/authors").json()
    assert tuning.alias in {one["alias"] for one in told}
    studio = client.get(f"/d/traffic/prompts/write?author={tuning.alias}").content.decode()
    assert f'value="{tuning.alias}" selected' in studio
    wish = make_wish(people.dataset, count=2, classes=[people.label_class])
    writing = ordering.order_writing(wish, author_alias=tuning.alias)
    jobs.write_call(writing.calls.get().pk)
    assert server.chats[-1]["model"] == tuning.result
    assert writing.prompts.count() == 2


def test_a_tuned_author_writes_for_its_own_dataset_only(server: FakeOpenAI, people: People) -> None:
    tuning = look(order(people), 4)
    other = make_dataset("Other", classes=["owl"], curator=people.users["curator"])
    body = json.dumps({"author": tuning.alias, "count": 1})
    response = people.client("curator").post(
        f"/api/datasets/{other.slug}/prompts/write", body, content_type="application/json"
    )
    assert response.status_code == 422
    assert "No author is called" in response.json()["detail"]


def test_a_job_whose_answer_was_lost_is_found_again_and_not_paid_twice(
    server: FakeOpenAI, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = RemoteTuning.create

    def lost(self: RemoteTuning, **fields: Any) -> Any:
        create(self, **fields)
        raise OutcomeUnknownError("The connection broke off.")

    tuning = order(people)
    monkeypatch.setattr(RemoteTuning, "create", lost)
    look(tuning)
    assert (tuning.state, tuning.server_job) == (WorkState.READY, "")
    monkeypatch.setattr(RemoteTuning, "create", create)
    look(tuning, 4)
    assert tuning.state == WorkState.DONE
    assert len(server.jobs) == 1


def test_a_server_that_stays_silent_is_looked_for_again_by_a_person(
    server: FakeOpenAI, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = RemoteTuning.create

    def silent(self: RemoteTuning, **fields: Any) -> Any:
        raise OutcomeUnknownError("It did not answer.")

    tuning = order(people)
    monkeypatch.setattr(RemoteTuning, "create", silent)
    look(tuning, 3)
    assert tuning.state == WorkState.UNKNOWN
    assert budget_of(people.dataset).reserved_micro_usd == tuning.estimated_micro_usd
    client, url = people.client("curator"), f"{PAGE}{tuning.pk}/"
    assert "Look again" in client.get(url).content.decode()
    monkeypatch.setattr(RemoteTuning, "create", create)
    assert client.post(f"{url}settle", {"outcome": "look-up"}).status_code == 302
    assert look(tuning, 4).state == WorkState.DONE
    assert budget_of(people.dataset).reserved_micro_usd == 0


def test_a_failed_job_says_why_frees_the_money_and_begins_anew(
    server: FakeOpenAI, people: People
) -> None:
    steps, server.job_steps = server.job_steps, ["queued", "failed"]
    tuning = look(order(people), 2)
    assert (tuning.state, tuning.error) == (WorkState.FAILED, "The file is no good.")
    assert budget_of(people.dataset).reserved_micro_usd == 0
    server.job_steps = steps
    assert finetuning.retry_tuning(tuning)
    assert look(tuning, 4).state == WorkState.DONE
    assert len(server.jobs) == 2


def test_a_training_can_be_stopped_before_and_while_a_server_trains(
    server: FakeOpenAI, people: People
) -> None:
    waiting = order(people)
    assert finetuning.stop_tuning(waiting)
    assert look(waiting).state == WorkState.CANCELLED
    assert not server.jobs
    running = look(order(people))
    assert finetuning.stop_tuning(running)
    assert look(running).state == WorkState.CANCELLED
    assert [job["status"] for job in server.jobs.values()] == ["cancelled"]
    assert budget_of(people.dataset).reserved_micro_usd == 0
    assert not finetuning.stop_tuning(running)


def test_money_and_faults_of_a_server_are_handled(server: FakeOpenAI, people: People) -> None:
    set_budget(people.dataset, limit_micro_usd=1)
    with pytest.raises(OverBudgetError):
        order(people)
    set_budget(people.dataset, limit_micro_usd=5_000_000)
    server.needs_key = "secret"
    tuning = look(order(people))
    assert tuning.state == WorkState.FAILED
    assert "wants a key" in tuning.error


def test_pairs_go_to_a_server_by_their_own_method(server: FakeOpenAI, people: People) -> None:
    for number in range(3, 12):
        make_prompt(people.label_class, f"car hdr {number}", state=PromptState.RETIRED)
    look(order(people, is_preference=True))
    (job,) = server.jobs.values()
    assert job["method"]["type"] == "dpo"


def test_only_a_finished_training_has_a_result(server: FakeOpenAI, people: People) -> None:
    tuning = order(people)
    with pytest.raises(IntegrityError), transaction.atomic():
        Tuning.objects.filter(pk=tuning.pk).update(result="ft:x")
    with pytest.raises(IntegrityError), transaction.atomic():
        Tuning.objects.filter(pk=tuning.pk).update(where="elsewhere")


# --- On this machine ------------------------------------------------------------------


@pytest.mark.slow
def test_a_local_model_is_trained_and_its_adapter_is_an_author(
    people: People, settings: Any, tmp_path: Path
) -> None:
    model = make_tiny_llama(tmp_path / "tiny")
    options = {"model": str(model), "batch": 2, "max_tokens": 60}
    backend = "synthreview.prompting.authors.transformers.TransformersAuthor"
    settings.AUTHORS = {"local": {"BACKEND": backend, "OPTIONS": options}}
    author.cache_clear()
    with pytest.raises(finetuning.TuningError, match="pairs go to a server"):
        order(people, base="local", is_preference=True)
    tuning = order(people, base="local", options={"epochs": 2, "learning_rate": 1e-2})
    look(tuning)
    assert tuning.state == WorkState.DONE, tuning.error
    assert tuning.steps_done == tuning.steps_total > 0
    assert tuning.report["loss_after"] < tuning.report["loss_before"]
    tuned = dict(authors_of(people.dataset))[tuning.alias]
    assert tuned.health() == []
    assert budget_of(people.dataset).spent_micro_usd == 0
    again = look(order(people, base="local"), 0)
    assert finetuning.stop_tuning(again)
    assert look(again).state == WorkState.CANCELLED
    author.cache_clear()


# --- Side by side ---------------------------------------------------------------------


def work_off(comparison: Comparison) -> None:
    for writing in (comparison.plain, comparison.tuned):
        for call in writing.calls.all():
            jobs.write_call(call.pk)


def test_both_authors_write_the_same_and_are_set_side_by_side(
    server: FakeOpenAI, people: People
) -> None:
    tuning = look(order(people), 4)
    comparison = finetuning.order_comparison(tuning, count=6)
    work_off(comparison)
    plain, tuned = finetuning.sides_of(comparison)
    assert (plain.numbers.asked, plain.numbers.written) == (6, 6)
    assert tuned.numbers == plain.numbers, "the fake server answers both alike"
    assert plain.numbers.gate_pass_rate == 1
    assert 0 < plain.numbers.distinct_2 <= 1
    stored = Prompt.objects.filter(writing__is_trial=True)
    assert stored.count() == 6, "a caption that both wrote is stored once"
    assert {prompt.label_class.name for prompt in stored} == {"umbrella"}
    services.record_outcomes({prompt.pk: Tally(1, 0) for prompt in stored[:4]})
    plain, tuned = finetuning.sides_of(comparison)
    assert plain.tally == tuned.tally == Tally(4, 0)
    page = people.client("curator").get(f"{PAGE}{tuning.pk}/").content.decode()
    assert "100 % of 4" in page
    assert "hx-trigger" not in page.split("tuning-progress")[1].split(">")[0]


def test_without_a_held_out_class_nothing_is_compared(server: FakeOpenAI, people: People) -> None:
    tuning = look(order(people, held_out=[]), 4)
    with pytest.raises(finetuning.TuningError, match="No class was held out"):
        finetuning.order_comparison(tuning, count=6)


# --- Pages and command ----------------------------------------------------------------


def test_the_page_shows_the_file_before_anything_is_paid(
    server: FakeOpenAI, people: People
) -> None:
    client = people.client("curator")
    page = client.get(PAGE).content.decode()
    assert "Language model test-model" in page
    held_out = people.dataset.classes.get(name="umbrella").pk
    form = {"base": "model", "kind": "chat", "epochs": 3, "held_out": [held_out]}
    preview = client.get(f"{PAGE}preview", form).content.decode()
    assert "120 approved and 3 rejected captions" in preview
    assert "of the budget is left" in preview
    assert not Tuning.objects.exists()
    response = client.post(PAGE, form)
    tuning = Tuning.objects.get()
    assert response["Location"] == f"{PAGE}{tuning.pk}/"
    shown = client.get(response["Location"]).content.decode()
    assert 'hx-trigger="every 2s"' in shown
    assert client.post(f"{response['Location']}stop").status_code == 302
    assert look(tuning).state == WorkState.CANCELLED
    assert client.post(PAGE, {**form, "base": "wordlists"}).status_code == 422


def test_the_file_goes_to_any_other_trainer(people: People) -> None:
    client = people.client("curator")
    assert "No language model is set up" in client.get(PAGE).content.decode()
    response = client.get(f"{PAGE}file", {"kind": "chat", "answers": "json"})
    lines = b"".join(response.streaming_content).decode().splitlines()  # type: ignore[attr-defined]
    assert "traffic-chat.jsonl" in response["Content-Disposition"]
    captions = [
        caption["caption"]
        for line in lines
        for caption in json.loads(json.loads(line)["messages"][-1]["content"])["captions"]
    ]
    assert len(captions) == 120
    assert client.get(f"{PAGE}file", {"kind": "x"}).status_code == 400


@pytest.mark.parametrize("who", ["viewer", "stranger"])
def test_fine_tuning_is_for_curators(server: FakeOpenAI, people: People, who: str) -> None:
    tuning = order(people)
    client, refused = people.client(who), 403 if who == "viewer" else 404
    for path in ("", "preview", "file", f"{tuning.pk}/"):
        assert client.get(f"{PAGE}{path}").status_code == refused
    for name in ("stop", "retry", "compare", "settle"):
        assert client.post(f"{PAGE}{tuning.pk}/{name}").status_code == refused
        assert people.client("curator").get(f"{PAGE}{tuning.pk}/{name}").status_code == 405


def run(*options: str) -> dict[str, Any]:
    out = StringIO()
    call_command("tune_author", "traffic", *options, "--json", stdout=out)
    return dict(json.loads(out.getvalue()))


def test_the_command_checks_exports_trains_and_compares(
    server: FakeOpenAI, people: People, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = run("--check")
    assert (checked["approved"], checked["faults"]) == (120, [])
    assert checked["cost_usd"] > 0
    path = tmp_path / "out.jsonl"
    assert run("--export", str(path))["rows"] == len(path.read_text().splitlines())
    assert not Tuning.objects.exists()
    monkeypatch.setattr("synthreview.prompting.tuning_jobs.LOOK_EVERY_S", 0.0)
    facts = run("--hold-out", "umbrella", "--title", "Cars", "--compare", "4")
    assert (facts["state"], facts["title"]) == ("done", "Cars")
    assert facts["comparison"]["tuned"]["gate_pass_rate"] == 1
    server.job_steps = ["failed", "failed"]
    with pytest.raises(CommandError, match="The file is no good"):
        run("--hold-out", "umbrella")
    with pytest.raises(CommandError, match="no class 'zebra'"):
        run("--hold-out", "zebra")
