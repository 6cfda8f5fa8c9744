"""Prompts written by a language model: through the gate, paid once, stored or told why not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from synthreview.catalog.models import Dataset
from synthreview.prompting import services
from synthreview.prompting.authors.base import RefusedError
from synthreview.prompting.drafting import Brief, Drafted, author
from synthreview.prompting.models import Prompt, PromptState
from tests.factories import make_dataset, make_prompt
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
            "prices": {"*": {"input": 1, "output": 2}},
        }
        backend = "synthreview.prompting.authors.openai.OpenAIAuthor"
        settings.AUTHORS = {"model": {"BACKEND": backend, "OPTIONS": options}}
        author.cache_clear()
        yield running
    author.cache_clear()


@pytest.fixture
def dataset() -> Dataset:
    return make_dataset(classes=["dog", "cat"])


def write(dataset: Dataset, count: int = 4, **fields: Any) -> services.Written:
    brief = fields.pop("brief", Brief(open_slot=""))
    wish = make_wish(dataset, count=count, template="A [class]", **fields)
    return services.write_prompts(
        wish, author_alias="model", state=PromptState.APPROVED, brief=brief
    )


def says(*captions: str) -> fake.Reply:
    rows = [{"caption": caption, "slots": {}} for caption in captions]
    return fake.says(json.dumps({"captions": rows}))


def test_captions_are_stored_with_their_author_and_what_they_cost(
    server: FakeOpenAI, dataset: Dataset
) -> None:
    written = write(dataset, 6)
    assert Prompt.objects.filter(dataset=dataset, author="model").count() == 6
    assert {prompt.author_version for prompt in written.prompts} == {"test-model/1"}
    usage = written.usage
    assert usage.requests == 2
    assert usage.cost_usd == Decimal(usage.tokens_in + 2 * usage.tokens_out) / 1_000_000


def test_what_the_gate_drops_is_told_and_not_stored(server: FakeOpenAI, dataset: Dataset) -> None:
    server.script(
        says("A dog asleep", "A bird asleep"), says("A cat at a door", "The cat at doors")
    )
    written = write(dataset, 4)
    assert [prompt.text for prompt in written.prompts] == ["A dog asleep", "A cat at a door"]
    assert [
        (row[0].name, row[1].caption.text, row[1].reasons[0].code) for row in written.dropped
    ] == [
        ("dog", "A bird asleep", "class"),
        ("cat", "The cat at doors", "near_text"),
    ]


def test_what_the_gate_flags_is_a_draft_whatever_was_wished(
    server: FakeOpenAI, dataset: Dataset
) -> None:
    server.script(says("A dog by Claude Monet", "A dog asleep in grass"))
    written = write(dataset, 2, classes=list(dataset.classes.filter(name="dog")))
    states = {prompt.text: prompt.state for prompt in written.prompts}
    assert states == {
        "A dog by Claude Monet": PromptState.DRAFT,
        "A dog asleep in grass": PromptState.APPROVED,
    }
    (prompt,) = written.flagged
    ((code, reason),) = prompt.flags
    assert (prompt.text, code) == ("A dog by Claude Monet", "name")
    assert "Claude" in reason


def test_a_failure_at_the_second_class_keeps_what_is_paid(
    server: FakeOpenAI, dataset: Dataset
) -> None:
    server.script(fake.Reply(), fake.is_out_of_quota())
    written = write(dataset, 4)
    assert len(written.prompts) == 2
    assert written.usage.requests == 1
    assert "It stopped at cat" in written.notes[0]
    assert "out of credit" in written.notes[0]


def test_a_failure_before_anything_is_raised_and_stores_nothing(
    server: FakeOpenAI, dataset: Dataset
) -> None:
    server.script(fake.refuses())
    with pytest.raises(RefusedError) as caught:
        write(dataset)
    assert caught.value.usage.requests == 1
    assert not Prompt.objects.exists()


def test_a_caption_stored_by_somebody_meanwhile_is_left_out(
    server: FakeOpenAI, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    dog = dataset.classes.get(name="dog")
    server.script(says("A dog asleep", "A dog at sea"))
    drafted = services.draft

    def slow(*wish: Any, **options: Any) -> Drafted:
        result = drafted(*wish, **options)
        make_prompt(dog, "a dog  ASLEEP.")
        return result

    monkeypatch.setattr(services, "draft", slow)
    assert [prompt.text for prompt in write(dataset, 2, classes=[dog]).prompts] == ["A dog at sea"]


def test_the_brief_reaches_the_model_by_class(server: FakeOpenAI, dataset: Dataset) -> None:
    dog, cat = (dataset.classes.get(name=name) for name in ("dog", "cat"))
    brief = Brief(
        open_slot="",
        language="de",
        instruction="Only indoors",
        approved={dog.pk: ["A dog on a rug"]},
        rejected={cat.pk: ["cat, 8k"]},
    )
    server.script(says("Der dog schläft auf dem Sofa"), says("Die cat und der Ball"))
    written = write(dataset, 2, brief=brief)
    assert len(written.prompts) == 2, "the language that was set is no fault"
    questions = {
        name: next(q for chat in server.chats if f"names: {name}" in (q := str(chat["messages"])))
        for name in ("dog", "cat")
    }
    assert "A dog on a rug" in questions["dog"]
    assert "A dog on a rug" not in questions["cat"]
    assert "cat, 8k" in questions["cat"]
    assert all("Only indoors" in question for question in questions.values())
    assert all("in German" in question for question in questions.values())


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
