"""Prompts written by a language model in the background: on record, paid once, stored or told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from synthreview.catalog.models import Dataset
from synthreview.catalog.services import set_axis_values
from synthreview.prompting import jobs, ordering, services
from synthreview.prompting.briefs import Brief
from synthreview.prompting.drafting import author
from synthreview.prompting.learning import Tally
from synthreview.prompting.models import Prompt, PromptState, Writing, WritingCall
from synthreview.spending.services import OverBudgetError, budget_of, set_budget
from synthreview.work.models import WorkState
from tests.factories import make_dataset, make_prompt
from tests.people import People, make_people
from tests.prompting.wish import make_wish
from tests.servers_fake import openai_server as fake
from tests.servers_fake.openai_server import FakeOpenAI

pytestmark = pytest.mark.django_db


@pytest.fixture
def server(settings: Any) -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as running:
        options = {
            "model": "test-model",
            "base_url": running.base_url,
            "timeout_s": 1,
            "prices": {"*": {"input": 1, "output": 2}},
            "batch": 4,
        }
        backend = "synthreview.prompting.authors.openai.OpenAIAuthor"
        words = settings.AUTHORS["wordlists"]
        settings.AUTHORS = {"wordlists": words, "model": {"BACKEND": backend, "OPTIONS": options}}
        author.cache_clear()
        yield running
    author.cache_clear()


@pytest.fixture
def people() -> People:
    people = make_people()
    set_budget(people.dataset, limit_micro_usd=1_000_000)
    return people


@pytest.fixture
def dataset() -> Dataset:
    dataset = make_dataset(classes=["dog", "cat"])
    set_budget(dataset, limit_micro_usd=1_000_000)
    return dataset


def order(dataset: Dataset, count: int = 4, **fields: Any) -> Writing:
    brief = fields.pop("brief", Brief(open_slot=""))
    state = fields.pop("state", PromptState.APPROVED)
    wish = make_wish(dataset, count=count, template="A [class]", **fields)
    return ordering.order_writing(wish, author_alias="model", brief=brief, state=state)


def work_off(writing: Writing) -> Writing:
    for call in writing.calls.order_by("pk"):
        jobs.write_call(call.pk)
    writing.refresh_from_db()
    return writing


def says(*captions: str) -> fake.Reply:
    rows = [{"caption": caption, "slots": {}} for caption in captions]
    return fake.says(json.dumps({"captions": rows}))


def texts(writing: Writing) -> list[str]:
    return list(writing.prompts.order_by("pk").values_list("text", flat=True))


# --- What is asked, paid and stored ---------------------------------------------------


def test_each_answer_is_on_record_before_it_is_asked_and_is_paid_by_the_budget(
    server: FakeOpenAI, dataset: Dataset
) -> None:
    writing = order(dataset, 12)
    assert not server.chats
    calls = list(writing.calls.order_by("pk"))
    assert [(one.label_class.name, one.start, one.count, one.planned) for one in calls] == [
        ("dog", 0, 4, 6),
        ("dog", 4, 2, 6),
        ("cat", 0, 4, 6),
        ("cat", 4, 2, 6),
    ]
    reserved = budget_of(dataset).reserved_micro_usd
    assert reserved == sum(one.estimated_micro_usd for one in calls) > 0
    work_off(writing)
    assert (writing.written, writing.prompts.count()) == (12, 12)
    assert {prompt.author_version for prompt in writing.prompts.all()} == {"test-model/1"}
    progress = ordering.progress_of(writing)
    assert progress.billed_micro_usd == progress.tokens_in + 2 * progress.tokens_out > 0
    budget = budget_of(dataset)
    assert (budget.reserved_micro_usd, budget.spent_micro_usd) == (0, progress.billed_micro_usd)
    work_off(writing)
    assert len(server.chats) == 4, "ten deliveries have the effect of one"


def test_parts_of_one_order_keep_its_design(server: FakeOpenAI, dataset: Dataset) -> None:
    values = [{"name": f"place {n}"} for n in range(8)]
    set_axis_values(dataset=dataset, axis_name="environment", values=values)
    set_axis_values(dataset=dataset, axis_name="action", values=[{"name": "running"}])
    dog = list(dataset.classes.filter(name="dog"))
    wish = make_wish(dataset, count=8, template="A [class] [action] {environment}", classes=dog)
    writing = ordering.order_writing(wish, author_alias="model", brief=Brief())
    work_off(writing)
    places = [prompt.slots["environment"] for prompt in writing.prompts.all()]
    assert sorted(places) == sorted(value["name"] for value in values)


def test_what_the_gate_drops_is_told_and_not_stored(server: FakeOpenAI, dataset: Dataset) -> None:
    server.script(
        says("A dog asleep", "A bird asleep"), says("A cat at a door", "The cat at doors")
    )
    writing = work_off(order(dataset, 4))
    assert texts(writing) == ["A dog asleep", "A cat at a door"]
    assert [(one["class"], one["text"], one["reasons"][0][0]) for one in writing.dropped] == [
        ("dog", "A bird asleep", "class"),
        ("cat", "The cat at doors", "near_text"),
    ]


def test_what_the_gate_flags_is_a_draft_whatever_was_wished(
    server: FakeOpenAI, dataset: Dataset
) -> None:
    server.script(says("A dog by Claude Monet", "A dog asleep in grass"))
    writing = work_off(order(dataset, 2, classes=list(dataset.classes.filter(name="dog"))))
    states = {prompt.text: prompt.state for prompt in writing.prompts.all()}
    assert states == {
        "A dog by Claude Monet": PromptState.DRAFT,
        "A dog asleep in grass": PromptState.APPROVED,
    }
    ((code, reason),) = writing.prompts.exclude(flags=[]).get().flags
    assert code == "name"
    assert "Claude" in reason


def test_a_caption_stored_by_somebody_meanwhile_is_left_out(
    server: FakeOpenAI, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    dog = dataset.classes.get(name="dog")
    server.script(says("A dog asleep", "A dog at sea"))
    stored = services.add_to_writing

    def slow(*args: Any) -> list[Prompt]:
        make_prompt(dog, "a dog  ASLEEP.")
        return stored(*args)

    monkeypatch.setattr(jobs, "add_to_writing", slow)
    assert texts(work_off(order(dataset, 2, classes=[dog]))) == ["A dog at sea"]


def test_the_brief_reaches_the_model_by_class(server: FakeOpenAI, dataset: Dataset) -> None:
    dog, cat = (dataset.classes.get(name=name) for name in ("dog", "cat"))
    good, bad = make_prompt(dog, "A dog on a rug"), make_prompt(cat, "cat, 8k")
    services.record_outcomes({good.pk: Tally(3, 0), bad.pk: Tally(0, 2)})
    brief = Brief(open_slot="", language="de", instruction="Only indoors")
    server.script(says("Der dog schläft auf dem Sofa"), says("Die cat und der Ball"))
    writing = work_off(order(dataset, 2, brief=brief))
    assert writing.written == 2, "the language that was set is no fault"
    questions = {
        name: next(q for chat in server.chats if f"names: {name}" in (q := str(chat["messages"])))
        for name in ("dog", "cat")
    }
    assert "in their manner:\\n- A dog on a rug" in questions["dog"]
    assert "A dog on a rug" not in questions["cat"]
    assert "nothing like them:\\n- cat, 8k" in questions["cat"]
    assert all("Only indoors" in question for question in questions.values())
    assert all("in German" in question for question in questions.values())
    server.chats.clear()
    work_off(order(dataset, 2, brief=Brief(open_slot="", shares_examples=False)))
    assert "in their manner" not in str(server.chats)


def test_the_gaps_of_what_is_stored_are_asked_for_by_name(
    server: FakeOpenAI, dataset: Dataset
) -> None:
    dog = dataset.classes.get(name="dog")
    values = [{"name": "beach", "phrase": "on the beach"}, {"name": "sea", "phrase": "at sea"}]
    set_axis_values(dataset=dataset, axis_name="environment", values=values)
    make_prompt(dog, "A dog on the beach", slots={"environment": "on the beach"})
    wish = make_wish(dataset, count=1, template="A [class] {environment}", classes=[dog])
    brief = Brief(open_slot="", fills_gaps=True)
    work_off(ordering.order_writing(wish, author_alias="model", brief=brief))
    assert "write them first:\\n- environment: at sea" in str(server.chats[0]["messages"])


# --- What goes wrong ------------------------------------------------------------------


def test_a_refusal_fails_its_own_answer_and_can_be_asked_again(
    server: FakeOpenAI, dataset: Dataset
) -> None:
    server.script(fake.refuses_by_policy())
    writing = work_off(order(dataset, 4))
    assert writing.written == 2
    progress = ordering.progress_of(writing)
    assert (progress.calls[WorkState.FAILED], progress.calls[WorkState.DONE]) == (1, 1)
    ((state, error, captions),) = progress.reports
    assert (state, captions) == (WorkState.FAILED, 2)
    assert "will not write this" in error
    assert ordering.retry_writing(writing) == 1
    assert work_off(writing).written == 4


def test_a_rate_limit_puts_the_answer_off_and_leaves_the_author_alone(
    server: FakeOpenAI, dataset: Dataset
) -> None:
    server.script(fake.limits_rate(Retry_After="30"))
    writing = work_off(order(dataset, 4))
    progress = ordering.progress_of(writing)
    assert (len(server.chats), progress.calls[WorkState.READY]) == (1, 2)
    assert progress.gate is not None
    assert "no more requests" in progress.gate.reason
    assert ordering.resume_author(writing)
    assert work_off(writing).written == 4


def test_an_empty_account_waits_for_a_person(server: FakeOpenAI, dataset: Dataset) -> None:
    server.script(fake.is_out_of_quota())
    writing = work_off(order(dataset, 2))
    gate = ordering.progress_of(writing).gate
    assert gate is not None
    assert gate.needs_person
    assert ordering.resume_author(writing)
    assert not ordering.resume_author(writing)
    assert work_off(writing).written == 2


def test_silence_after_sending_is_decided_by_a_person(server: FakeOpenAI, dataset: Dataset) -> None:
    server.script(fake.breaks_off())
    writing = work_off(order(dataset, 2, classes=list(dataset.classes.filter(name="dog"))))
    assert ordering.progress_of(writing).calls[WorkState.UNKNOWN] == 1
    assert budget_of(dataset).reserved_micro_usd > 0, "it may have been charged"
    assert ordering.settle_unknown(writing, "free") == 1
    assert budget_of(dataset).reserved_micro_usd == 0
    assert ordering.retry_writing(writing) == 1
    assert work_off(writing).written == 2


def test_a_server_without_a_price_of_any_kind_is_asked_again_after_silence(
    server: FakeOpenAI, dataset: Dataset, settings: Any
) -> None:
    settings.AUTHORS["model"]["OPTIONS"]["prices"] = {"*": {"input": 0, "output": 0}}
    author.cache_clear()
    server.script(fake.breaks_off())
    writing = work_off(order(dataset, 2, classes=list(dataset.classes.filter(name="dog"))))
    call = writing.calls.get()
    assert (call.state, call.is_repeatable) == (WorkState.READY, True)


def test_junk_is_billed_and_shown(server: FakeOpenAI, dataset: Dataset) -> None:
    server.script(*[fake.says("{{ ::: }}")] * 3)
    writing = work_off(order(dataset, 2, classes=list(dataset.classes.filter(name="dog"))))
    progress = ordering.progress_of(writing)
    assert progress.calls[WorkState.FAILED] == 1
    assert progress.billed_micro_usd > 0
    assert "no caption could be read" in progress.reports[0][1]


def test_a_dataset_that_changed_fails_in_words(server: FakeOpenAI, dataset: Dataset) -> None:
    set_axis_values(dataset=dataset, axis_name="light", values=[{"name": "dusk"}])
    wish = make_wish(dataset, count=2, template="A [class] {light}")
    writing = ordering.order_writing(wish, author_alias="model")
    dataset.axes.all().delete()
    work_off(writing)
    assert "light" in ordering.progress_of(writing).reports[0][1]
    assert not server.chats


def test_what_the_budget_does_not_hold_is_not_ordered(server: FakeOpenAI, dataset: Dataset) -> None:
    set_budget(dataset, limit_micro_usd=10)
    with pytest.raises(OverBudgetError):
        order(dataset, 4)
    assert not Writing.objects.exists()
    assert not WritingCall.objects.exists()


def test_a_writing_can_be_stopped(server: FakeOpenAI, dataset: Dataset) -> None:
    writing = order(dataset, 12)
    jobs.write_call(writing.calls.order_by("pk")[0].pk)
    assert ordering.stop_writing(writing) == 3
    assert work_off(writing).written == 4
    assert budget_of(dataset).reserved_micro_usd == 0


# --- Page, API and command ------------------------------------------------------------


FORM = {
    "technique": "plain",
    "count": 4,
    "author": "model",
    "open_slot": "",
    "template": "A [class]",
}


def test_the_studio_orders_and_the_page_of_the_writing_follows_it(
    server: FakeOpenAI, people: People
) -> None:
    client = people.client("curator")
    page = client.get("/d/traffic/prompts/write").content.decode()
    assert "Language model test-model" in page
    form = {**FORM, "classes": [one.pk for one in people.dataset.classes.all()]}
    preview = client.get("/d/traffic/prompts/preview", form).content.decode()
    assert "in 2 answers" in preview
    assert "At most $" in preview
    response = client.post("/d/traffic/prompts/write", form)
    writing = Writing.objects.get()
    assert response["Location"] == f"/d/traffic/prompts/writings/{writing.pk}/"
    waiting = client.get(response["Location"], headers={"HX-Request": "true"}).content.decode()
    assert 'hx-trigger="every 1s"' in waiting
    assert "2 to be asked" in waiting
    assert "badge-running" in client.get("/d/traffic/prompts/writings/").content.decode()
    work_off(writing)
    ended = client.get(response["Location"]).content.decode()
    assert 'hx-trigger="every 1s"' not in ended
    assert '<strong class="number">4</strong> of 4 captions written' in ended
    assert "tokens in" in ended
    assert "badge-running" not in client.get("/d/traffic/prompts/writings/").content.decode()


def test_a_form_that_asks_for_too_much_money_says_so(server: FakeOpenAI, people: People) -> None:
    set_budget(people.dataset, limit_micro_usd=10)
    form = {**FORM, "classes": [people.label_class.pk]}
    response = people.client("curator").post("/d/traffic/prompts/write", form)
    assert response.status_code == 422
    assert "of the budget is left" in response.content.decode()


def buttons(client: Client, writing: Writing) -> list[str]:
    page = client.get(f"/d/traffic/prompts/writings/{writing.pk}/").content.decode()
    return [name for name in ("stop", "retry", "resume", "settle") if f'/{name}"' in page]


def test_the_page_offers_what_can_be_done(server: FakeOpenAI, people: People) -> None:
    client = people.client("curator")
    writing = order(people.dataset, 4)
    url = f"/d/traffic/prompts/writings/{writing.pk}"
    assert buttons(client, writing) == ["stop"]
    server.script(fake.refuses_by_policy(), fake.breaks_off())
    work_off(writing)
    assert buttons(client, writing) == ["retry", "settle"]
    assert client.post(f"{url}/settle", {"outcome": "again"}).status_code == 302
    assert client.post(f"{url}/retry").status_code == 302
    server.script(fake.is_out_of_quota())
    work_off(writing)
    assert buttons(client, writing) == ["stop", "resume"]
    client.post(f"{url}/resume")
    assert work_off(writing).written == 4
    assert client.post(f"{url}/stop").status_code == 302


@pytest.mark.parametrize("name", ["stop", "retry", "resume", "settle"])
def test_only_curators_change_a_writing(server: FakeOpenAI, people: People, name: str) -> None:
    url = f"/d/traffic/prompts/writings/{order(people.dataset).pk}/{name}"
    assert people.client("curator").get(url).status_code == 405
    assert people.client("viewer").post(url).status_code == 403
    assert people.client("stranger").post(url).status_code == 404


def test_the_progress_takes_the_same_queries_for_many_answers(
    server: FakeOpenAI, people: People
) -> None:
    def queries(writing: Writing) -> int:
        url = f"/d/traffic/prompts/writings/{writing.pk}/"
        client = people.client("viewer")
        with CaptureQueriesContext(connection) as captured:
            assert client.get(url).status_code == 200
        return len(captured)

    few, many = order(people.dataset, 2), order(people.dataset, 60)
    assert queries(few) == queries(many)


def test_the_api_orders_tells_and_stops(server: FakeOpenAI, people: People) -> None:
    client = people.client("curator")
    wish = {"author": "model", "count": 8, "template": "A [class]", "open_slot": ""}
    url = "/api/datasets/traffic/prompts/write"
    response = client.post(url, wish, content_type="application/json")
    assert response.status_code == 202
    told = response.json()
    assert (told["is_open"], told["asked"], told["written"]) == (True, 8, 0)
    writing = Writing.objects.get(pk=told["id"])
    jobs.write_call(writing.calls.order_by("pk")[0].pk)
    url = f"/api/datasets/traffic/writings/{writing.pk}"
    told = client.get(url).json()
    assert told["written"] == 4
    assert told["cost_micro_usd"] > 0
    assert people.client("viewer").post(f"{url}/stop").status_code == 403
    assert people.client("stranger").get(url).status_code == 404
    assert client.post(f"{url}/stop").json() == {"changed": 1}
    assert client.post(f"{url}/retry").json() == {"changed": 0}
    assert client.get(url).json()["is_open"] is False


def run(*options: str) -> dict[str, Any]:
    out = StringIO()
    call_command("write_prompts", *options, "--author", "model", "--json", stdout=out)
    return dict(json.loads(out.getvalue()))


def test_the_command_writes_along_with_or_without_workers(
    server: FakeOpenAI, dataset: Dataset
) -> None:
    options = (
        dataset.slug,
        "--template",
        "A [class]",
        "--open-slot",
        "",
        "--instruction",
        "At sea",
    )
    facts = run(*options, "--count", "6")
    assert (facts["asked"], facts["written"]) == (6, 6)
    assert "At sea" in str(server.chats[0]["messages"])
    server.is_always = fake.refuses_by_policy()
    with pytest.raises(CommandError, match=r"Nothing was written: .*will not write this"):
        run(*options, "--count", "2")


def test_captions_that_differ_only_by_design_pass_for_word_lists_too(dataset: Dataset) -> None:
    author.cache_clear()
    dog = list(dataset.classes.filter(name="dog"))
    wish = make_wish(
        dataset, count=1, classes=dog, template="Ein [class] mit dem Ball und der Leine"
    )
    written = services.write_prompts(wish)
    assert len(written.prompts) == 1, "the curator's own words may be in any language"


def test_language_models_are_authors_where_the_environment_names_them(tmp_path: Path) -> None:
    code = (
        "from synthreview.settings import AUTHORS; import json;"
        "print(json.dumps({name: entry['OPTIONS'] for name, entry in AUTHORS.items()}))"
    )
    given = {
        "SYNTHREVIEW_OPENAI_MODEL": "some-model",
        "SYNTHREVIEW_OPENAI_BASE_URL": "http://127.0.0.1:11434/v1",
        "SYNTHREVIEW_OPENAI_PRICES": '{"*": {"input": 0, "output": 0}}',
        "OPENAI_API_KEY": "sk-canary",
        "SYNTHREVIEW_LLM": "/models/tiny",
    }
    plain = {"PATH": os.environ["PATH"], "SYNTHREVIEW_DATA": str(tmp_path)}
    found = [
        json.loads(
            subprocess.run(
                [sys.executable, "-c", code], env=plain | extra, capture_output=True, check=True
            ).stdout
        )
        for extra in ({}, given)
    ]
    assert list(found[0]) == ["wordlists"]
    assert list(found[1]) == ["wordlists", "openai", "transformers"]
    assert found[1]["openai"]["prices"] == {"*": {"input": 0, "output": 0}}
    assert found[1]["transformers"]["model"] == "/models/tiny"
    assert "sk-canary" not in json.dumps(found), "the settings hold no key"


def test_the_costs_page_tells_what_each_author_cost(server: FakeOpenAI, people: People) -> None:
    def page() -> str:
        return people.client("viewer").get("/d/traffic/costs/").content.decode()

    assert "Captions by author" not in page()
    server.script(fake.Reply(), fake.breaks_off())
    work_off(order(people.dataset, 4))
    shown = page()
    assert '<th scope="row">model</th>' in shown
    assert 'data-label="Captions" class="number">2<' in shown
    assert "belongs to captions of unknown outcome" in shown
