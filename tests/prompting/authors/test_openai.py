"""The author that asks an OpenAI-type server, against a server that checks and misbehaves."""

from __future__ import annotations

import json
import logging
import socket
import subprocess
import sys
import time
import traceback
import urllib.error
import urllib.request
from collections.abc import Iterator
from decimal import Decimal
from email.utils import formatdate
from typing import Any

import pytest

from synthreview.lib.outcomes import (
    OutcomeUnknownError,
    OutOfCreditError,
    PermanentError,
    RateLimitedError,
    RefusedError,
    ServiceError,
    TransientError,
    UnusableAnswerError,
)
from synthreview.lib.text import normalised
from synthreview.prompting.authors.answers import read_json
from synthreview.prompting.authors.asking import compose
from synthreview.prompting.authors.base import WriteRequest, used_before
from synthreview.prompting.authors.openai import CUT_OFF, IGNORED_SCHEMA, OpenAIAuthor
from tests.servers_fake import openai_server as fake
from tests.servers_fake.openai_server import FakeOpenAI

AXES = {
    "environment": [("beach", "on the beach"), ("forest", "in a forest"), ("sea", "under water")],
    "light": [("dusk", "at dusk"), ("noon", "at noon")],
    "action": [("run", "running"), ("sit", "sitting")],
}
CANARY = "sk-canary-do-not-tell-5417"


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as running:
        yield running


def author(server: FakeOpenAI, **options: Any) -> OpenAIAuthor:
    return OpenAIAuthor(
        **{"model": "test-model", "base_url": server.base_url, "timeout_s": 5, **options}
    )


def request(**fields: Any) -> WriteRequest:
    return WriteRequest(
        **{
            "class_name": "dog",
            "template": "A [class] [action] {environment} {light}",
            "axes": AXES,
            "count": 6,
            **fields,
        }
    )


WHOLE: dict[str, Any] = {"template": "A [class] {environment}", "open_slot": ""}


# --- What is asked, and what comes of it --------------------------------------------


def test_it_fills_the_open_slot_and_keeps_the_other_slots_in_its_own_hand(
    server: FakeOpenAI,
) -> None:
    written = author(server).write(request(count=12))
    assert len({normalised(caption.text) for caption in written}) == 12
    for caption in written:
        assert caption.slots["environment"] in dict(AXES["environment"]).values()
        assert caption.slots["action"] in fake.ACTIONS
        assert all(words in caption.text for words in caption.slots.values())
    places = [caption.slots["environment"] for caption in written]
    assert {places.count(place) for place in places} == {4}, "each value as often as the others"
    assert len(server.chats) == 1, "a dozen in one answer"


def test_it_writes_whole_captions_where_no_slot_is_open(server: FakeOpenAI) -> None:
    written = author(server).write(request(count=5, **WHOLE))
    assert len(written) == 5
    assert all("dog" in caption.text for caption in written)


def test_words_said_to_stand_for_an_axis_must_be_in_the_caption(server: FakeOpenAI) -> None:
    rows = [
        {"caption": "A dog asleep on the beach", "slots": {"environment": "on the beach"}},
        {"caption": "A dog in a quiet harbour", "slots": {"environment": "in a quiet harbour"}},
        {"caption": "A dog at home", "slots": {"environment": "in a forest"}},
        {"caption": "A dog in a forest of pines", "slots": {"environment": 7}},
    ]
    server.script(fake.says(json.dumps({"captions": rows})))
    written = author(server).write(request(count=4, **WHOLE))
    assert [caption.slots for caption in written] == [
        {"environment": "on the beach"},
        {"environment": "in a quiet harbour"},
        {},
        {"environment": "in a forest"},
    ]


def test_dozens_are_asked_for_in_batches_that_do_not_repeat_each_other(server: FakeOpenAI) -> None:
    written = author(server, batch=10).write(request(count=25, **WHOLE))
    assert len({normalised(caption.text) for caption in written}) == 25
    assert len(server.chats) == 3
    assert written.captions[0].text in server.chats[1]["messages"][-1]["content"]
    assert written.usage.requests == 3


def test_gaps_examples_and_the_curators_wish_are_in_the_request(server: FakeOpenAI) -> None:
    wish = request(
        count=3,
        gaps=({"environment": "sea"}, {"environment": "forest", "light": "dusk"}),
        approved=("A dog catching a ball",),
        rejected=("A dog, artstation",),
        instruction="Only puppies,\nplease",
        language="de",
        technique="environment",
        synonyms=("hound",),
        **WHOLE,
    )
    author(server).write(wish)
    question = server.chats[0]["messages"][-1]["content"]
    for part in (
        "- environment: under water",
        "- environment: in a forest, light: at dusk",
        "People liked these; write more in their manner:\n- A dog catching a ball",
        "People rejected these; write nothing like them:\n- A dog, artstation",
        "The curator asks: Only puppies, please",
        "in German",
        "(or: hound)",
        "Technique: Environments",
    ):
        assert part in question


def test_gaps_are_filled_first_where_a_slot_is_open(server: FakeOpenAI) -> None:
    gap = {"environment": "sea", "light": "dusk"}
    first = next(iter(author(server).write(request(gaps=(gap,)))))
    assert (first.slots["environment"], first.slots["light"]) == ("under water", "at dusk")


def test_forbidden_pairs_never_meet_and_templates_and_names_take_turns(server: FakeOpenAI) -> None:
    forbidden = ((("environment", "sea"), ("light", "noon")),)
    wish = request(
        count=24,
        forbidden=forbidden,
        synonyms=("hound",),
        more_templates=("At {light}, a [class] [action]", "A [class] {environment}"),
    )
    captions = [caption.text for caption in author(server, batch=7).write(wish)]
    assert len(captions) == 24
    assert not [text for text in captions if "under water" in text and "at noon" in text]
    assert {text.split()[0] for text in captions} == {"A", "At"}
    assert 0 < sum("hound" in text for text in captions) < 24
    author(server).write(request(forbidden=forbidden, count=2, **WHOLE))
    assert "Never together: under water with at noon" in str(server.chats[-1]["messages"])


def test_captions_that_are_there_already_do_not_come_again(server: FakeOpenAI) -> None:
    first = author(server).write(request(count=4, **WHOLE))
    known = frozenset(normalised(caption.text) for caption in first)
    second = author(server).write(request(count=4, avoid=known, **WHOLE))
    assert len(second) == 4
    assert not known & {normalised(caption.text) for caption in second}


def test_it_gives_up_when_a_batch_brings_nothing_new(server: FakeOpenAI) -> None:
    server.is_always = fake.says('{"captions": [{"caption": "A dog", "slots": {}}]}')
    assert len(author(server).write(request(count=50, **WHOLE))) == 1
    assert len(server.chats) == 2


def test_extra_fields_go_along(server: FakeOpenAI) -> None:
    author(server, extra={"temperature": 0.7, "top_k": 5}, sends_seed=False).write(request(seed=3))
    assert "seed" not in server.chats[0]
    assert (server.chats[0]["temperature"], server.headers[0]["authorization"]) == (
        0.7,
        "Bearer none",
    )


# --- Tokens and money ----------------------------------------------------------------


def test_tokens_become_money_by_the_price_table(server: FakeOpenAI) -> None:
    prices = {"test-model": {"input": 0.5, "output": "2"}}
    usage = author(server, prices=prices).write(request()).usage
    assert usage.tokens_in > 100
    assert usage.tokens_out > 20
    expected = (usage.tokens_in * Decimal("0.5") + usage.tokens_out * 2) / 1_000_000
    assert usage.cost_usd == expected


@pytest.mark.parametrize(
    ("prices", "without_usage", "cost"),
    [
        ({}, False, None),
        ({"other": {"input": 1, "output": 1}}, False, None),
        ({"*": {"input": 0, "output": 0}}, True, Decimal(0)),
        ({"*": {"input": 1, "output": 1}}, True, None),
    ],
)
def test_an_unknown_cost_is_unknown_and_not_nought(
    server: FakeOpenAI, prices: Any, without_usage: bool, cost: Decimal | None
) -> None:
    server.script(fake.Reply(without_usage=without_usage))
    assert author(server, prices=prices).write(request()).usage.cost_usd == cost


def test_what_a_failure_used_up_is_on_it(server: FakeOpenAI) -> None:
    server.script(*[fake.says("{]")] * 3)
    with pytest.raises(UnusableAnswerError) as caught:
        author(server, prices={"*": {"input": 1, "output": 1}}).write(request())
    assert used_before(caught.value).requests == 3
    assert used_before(caught.value).cost_usd


def test_a_failure_after_the_first_batch_keeps_what_is_paid(server: FakeOpenAI) -> None:
    server.script(fake.Reply(), fake.limits_rate(Retry_After="30"))
    written = author(server, batch=5).write(request(count=10, **WHOLE))
    assert len(written) == 5
    assert written.usage.requests == 1
    assert "stopped after 5 captions" in written.notes[0]
    assert "30 s" in written.notes[0]


def test_a_server_that_is_a_process_of_its_own_is_asked() -> None:
    command = [sys.executable, "-m", "tests.servers_fake.openai_server", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            url = process.stdout.readline().strip()
            writer = OpenAIAuthor(model="test-model", base_url=url)
            assert writer.health() == []
            assert len(writer.write(request())) == 6
        finally:
            process.terminate()


# --- Servers of other kinds ------------------------------------------------------------


def test_a_server_that_ignores_the_schema_is_read_by_lines_and_remembered(
    server: FakeOpenAI,
) -> None:
    server.script(fake.ignores_format(), fake.ignores_format())
    writer = author(server)
    written = writer.write(request(count=6, **WHOLE))
    assert len(written) == 6
    assert written.notes == (IGNORED_SCHEMA,)
    assert ["response_format" in chat for chat in server.chats] == [True, True, False]
    writer.write(request(count=6, seed=1, **WHOLE))
    assert len(server.chats) == 4, "it asks for lines straight away now"


def test_a_server_that_refuses_the_schema_is_asked_without_it(server: FakeOpenAI) -> None:
    server.script(fake.rejects_format())
    written = author(server).write(request())
    assert len(written) == 6
    assert ["response_format" in chat for chat in server.chats] == [True, False]


@pytest.mark.parametrize(
    "text",
    [
        '```json\n{"captions": [{"number": 1, "words": "swimming"}]}\n```',
        'Sure! {"captions": [{"number": 1, "words": "swimming"}]} Enjoy.',
        '[{"number": 1, "words": "swimming."}]',
        '<think>Maybe {"captions": []}?</think>{"captions": [{"number": 1, "words": "swimming"}]}',
        '{"number": 1, "words": "“swimming”"}',
        '{"captions": [{"number": 1, "words": "A dog swimming on the beach"}]}',
        '{"captions": [{"number": 99, "words": "x"}, 3, null, {"number": 1, "words": "swimming"}]}',
    ],
)
def test_answers_that_are_nearly_right_are_read(server: FakeOpenAI, text: str) -> None:
    server.is_always = fake.says(text)
    (caption,) = author(server).write(request(count=1))
    assert "swimming" in caption.text
    assert caption.text.startswith("A dog")


def test_a_truncated_answer_gives_what_is_whole_of_it(server: FakeOpenAI) -> None:
    cut = '{"captions": [{"number": 1, "words": "asleep"}, {"number": 2, "words": "awa'
    server.script(fake.truncates(cut))
    written = author(server).write(request(count=2))
    assert len(written) == 2, "the rest is asked for again"
    assert CUT_OFF in written.notes


# --- Faults ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (fake.refuses(), RefusedError, "cannot help"),
        (fake.refuses_by_policy(), RefusedError, "safety system"),
        (fake.says("", finish="content_filter"), RefusedError, "will not write"),
        (fake.is_out_of_quota(), OutOfCreditError, "out of credit"),
        (fake.error(402, "Pay first", None), OutOfCreditError, "Pay first"),
        (fake.limits_rate(), RateLimitedError, "no more requests"),
        (fake.fails(), TransientError, "HTTP 500"),
        (fake.fails(503), TransientError, "HTTP 503"),
        (fake.error(401, "Bad key", "invalid_api_key"), PermanentError, "wants a key"),
        (fake.error(400, "Too long", "context_length_exceeded"), PermanentError, "Too long"),
        (fake.Reply(422, {"detail": "no such field"}), PermanentError, "no such field"),
        (fake.Reply(302, {}, {"location": "http://127.0.0.1:1/"}), PermanentError, "HTTP 302"),
        (fake.answers_junk(), UnusableAnswerError, "no chat answer"),
        (fake.answers_broken_json(), UnusableAnswerError, "no JSON"),
        (fake.Reply(body={"choices": []}), UnusableAnswerError, "no chat answer"),
        (fake.Reply(body={"choices": [{"message": None}]}), UnusableAnswerError, "no chat answer"),
        (fake.Reply(body=[1]), UnusableAnswerError, "no chat answer"),
        (fake.breaks_off(), OutcomeUnknownError, ""),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else None,
)
def test_each_fault_is_one_clear_error_after_one_request(
    server: FakeOpenAI, reply: fake.Reply, kind: type[ServiceError], words: str
) -> None:
    server.script(reply)
    with pytest.raises(ServiceError) as caught:
        author(server).write(request())
    assert type(caught.value) is kind
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600
    assert len(server.chats) == 1, "the SDK retries nothing"


def test_junk_is_asked_again_twice_and_then_given_up(server: FakeOpenAI) -> None:
    server.is_always = fake.says("{{{{ ::: }}}}")
    with pytest.raises(UnusableAnswerError, match="no caption could be read"):
        author(server).write(request())
    assert len(server.chats) == 3


def test_a_server_that_hangs_is_left_after_the_time_out(server: FakeOpenAI) -> None:
    server.script(fake.hangs(3))
    began = time.monotonic()
    with pytest.raises(OutcomeUnknownError, match=r"did not answer within 0\.3 s"):
        author(server, timeout_s=0.3).write(request())
    assert time.monotonic() - began < 2


def test_a_server_that_is_not_there_is_said_to_be_so() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        with pytest.raises(TransientError, match="is the server running"):
            OpenAIAuthor(model="test-model", base_url=url).write(request())


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ({"Retry_After": "7"}, 7, 7),
        ({"retry_after_ms": "1500"}, 1.5, 1.5),
        # A date is read against the clock, and hours may pass until a test has its turn.
        ({"Retry_After": formatdate(time.time() + 80_000, usegmt=True)}, 60_000, 80_001),
        ({"Retry_After": "999999999"}, 86400, 86400),
        ({"Retry_After": "-5"}, 0, 0),
    ],
)
def test_the_wait_that_a_server_asks_for_is_kept(
    server: FakeOpenAI, headers: dict[str, str], least: float, most: float
) -> None:
    server.script(fake.limits_rate(**headers))
    with pytest.raises(RateLimitedError) as caught:
        author(server).write(request())
    assert caught.value.retry_after_s is not None
    assert least <= caught.value.retry_after_s <= most


@pytest.mark.parametrize("header", ["soon", "nan", ""])
def test_a_wait_that_nobody_understands_is_unknown(server: FakeOpenAI, header: str) -> None:
    server.script(fake.limits_rate(Retry_After=header))
    with pytest.raises(RateLimitedError) as caught:
        author(server).write(request())
    assert caught.value.retry_after_s is None


def test_an_unknown_model_is_named(server: FakeOpenAI) -> None:
    with pytest.raises(ServiceError, match="does not exist"):
        author(server, model="nonesuch").write(request())


@pytest.mark.parametrize("text", ["{" * 400_000, '{"a":' * 80_000, "[" * 400_000, '{"a' * 130_000])
def test_an_answer_made_to_be_slow_is_given_up_soon(text: str) -> None:
    ask = compose(request(), 3)
    began = time.monotonic()
    with pytest.raises(UnusableAnswerError):
        read_json(text, ask)
    assert time.monotonic() - began < 3


# --- Key and health ----------------------------------------------------------------------


def test_the_key_is_sent_and_told_to_nobody(
    server: FakeOpenAI, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("TEST_KEY", CANARY)
    server.needs_key = CANARY
    good = author(server, api_key_env="TEST_KEY")
    assert len(good.write(request())) == 6
    server.needs_key = "another"  # now the server repeats our key in its complaint
    told = [repr(good), repr(good.connection), *good.health()]
    with pytest.raises(ServiceError, match=r"\[key\]") as caught:
        good.write(request())
    told += traceback.format_exception(caught.value)
    told += [str(caught.value.__cause__), caplog.text]
    assert server.headers[0]["authorization"] == f"Bearer {CANARY}"
    assert CANARY not in "".join(told)


def test_health_is_silent_when_all_is_well(server: FakeOpenAI) -> None:
    assert author(server).health() == []
    server.models["llama3:latest"] = None
    assert author(server, model="llama3").health() == []


def test_health_names_the_day_on_which_a_model_ends(server: FakeOpenAI) -> None:
    server.models["test-model"] = "2026-12-01"
    assert author(server).health() == ["The model 'test-model' is shut down on 2026-12-01."]
    assert author(server).models()[0].shutdown_date == "2026-12-01"


def test_health_says_what_is_missing(server: FakeOpenAI) -> None:
    assert "it lists: test-model" in author(server, model="nonesuch").health()[0]
    assert "No model is named" in author(server, model="").health()[0]
    server.needs_key = "x"
    assert "wants a key" in author(server).health()[0]


# --- The server of these tests ---------------------------------------------------------


GOOD_CHAT: dict[str, Any] = {"model": "test-model", "messages": [{"role": "user", "content": "x"}]}
GOOD_JOB = {"model": "test-model", "training_file": "file-1"}


@pytest.mark.parametrize(
    ("request_of", "wrong", "words"),
    [
        ("chat/completions", GOOD_CHAT | {"top": 1}, "top: Extra inputs"),
        ("chat/completions", GOOD_CHAT | {"messages": []}, "messages: 0 is not between"),
        ("chat/completions", {"model": "test-model"}, "messages: Field required"),
        (
            "chat/completions",
            GOOD_CHAT | {"messages": [{"role": "user", "content": "x", "style": "y"}]},
            "style: Extra inputs",
        ),
        (
            "chat/completions",
            GOOD_CHAT
            | {"messages": [{"role": "user", "content": [{"type": "text", "words": "x"}]}]},
            "words: Extra inputs",
        ),
        ("chat/completions", GOOD_CHAT | {"seed": "7"}, "seed: Input should be a valid integer"),
        (
            "chat/completions",
            GOOD_CHAT
            | {"response_format": {"type": "json_schema", "json_schema": {"name": "my captions"}}},
            "more than letters",
        ),
        ("fine_tuning/jobs", {"model": "test-model"}, "training_file: Field required"),
        ("fine_tuning/jobs", GOOD_JOB | {"epochs": 3}, "epochs: Extra inputs"),
        ("fine_tuning/jobs", GOOD_JOB | {"seed": 2**31}, "seed: 2147483648 is not between"),
        (
            "fine_tuning/jobs",
            GOOD_JOB | {"method": {"type": "dpo", "dpo": {"hyperparameters": {"n_epoch": 3}}}},
            "method.dpo.hyperparameters.n_epoch: Extra inputs",
        ),
    ],
)
def test_the_server_refuses_what_openais_contract_does(
    server: FakeOpenAI, request_of: str, wrong: Any, words: str
) -> None:
    """What is sent is only as well checked as this server checks it."""
    sent = urllib.request.Request(f"{server.base_url}/{request_of}", json.dumps(wrong).encode())
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(sent)
    told = json.load(caught.value)["error"]
    assert (caught.value.code, told["code"]) == (400, "invalid_request_error")
    assert words in told["message"]


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"purpose": "fine-tune"}, "file: Field required"),
        ({"purpose": "tuning", "file": "x"}, "purpose: Input should be"),
        ({"purpose": "fine-tune", "file": "x", "name": "y"}, "name: Extra inputs"),
    ],
)
def test_the_server_refuses_uploads_that_openais_contract_does(
    server: FakeOpenAI, parts: dict[str, str], words: str
) -> None:
    body = "".join(
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'
        for name, text in parts.items()
    )
    answer = server.upload(f"{body}--b--\r\n".encode(), "multipart/form-data; boundary=b")
    assert (answer.status, words in answer.body["error"]["message"]) == (400, True)
