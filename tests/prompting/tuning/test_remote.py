"""Fine-tuning by the OpenAI protocol, against a server that checks what it gets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from synthreview.lib.outcomes import PermanentError
from synthreview.prompting.authors.base import WriteRequest
from synthreview.prompting.authors.openai import OpenAIAuthor
from synthreview.prompting.authors.openai_connection import Connection
from synthreview.prompting.tuning.file import Example, chat_rows, preference_rows, to_jsonl
from synthreview.prompting.tuning.remote import JobState, RemoteTuning
from tests.servers_fake.openai_server import FakeOpenAI

GOOD = [Example("dog", f"A dog on hill {n}") for n in range(12)]
BAD = [Example("dog", f"dog hdr {n}") for n in range(12)]


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as running:
        yield running


@pytest.fixture
def tuning(server: FakeOpenAI) -> RemoteTuning:
    return RemoteTuning(Connection(base_url=server.base_url, timeout_s=5))


@pytest.fixture
def chats(tmp_path: Path) -> Path:
    path = tmp_path / "captions.jsonl"
    path.write_text("".join(to_jsonl(chat_rows(GOOD, answers="json", batch=1))))
    return path


def test_a_file_becomes_a_model_that_is_an_author(
    server: FakeOpenAI, tuning: RemoteTuning, chats: Path
) -> None:
    file_id = tuning.upload(chats)
    assert server.files[file_id] == chats.read_bytes()
    job = tuning.create(file_id=file_id, model="test-model", epochs=2, seed=7, suffix="dogs")
    assert (job.state, job.is_open) == (JobState.WAITING, True)
    states = []
    while job.is_open:
        job = tuning.poll(job.id)
        states.append(job.state)
    assert states == [JobState.WAITING, JobState.RUNNING, JobState.SUCCEEDED]
    assert job.trained_tokens == 1234
    assert ":dogs:" in job.tuned_model
    plain = OpenAIAuthor(model="test-model", base_url=server.base_url)
    tuned = plain.tuned(title="Tuned", result=job.tuned_model)
    assert tuned.health() == []
    assert len(tuned.write(WriteRequest("cat", "", {}, 4, open_slot=""))) == 4
    assert server.chats[-1]["model"] == job.tuned_model


def test_preference_pairs_go_by_their_own_method(
    server: FakeOpenAI, tuning: RemoteTuning, tmp_path: Path
) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(to_jsonl(preference_rows(GOOD, BAD))))
    job = tuning.create(file_id=tuning.upload(path), model="test-model", is_preference=True)
    assert server.jobs[job.id]["method"]["type"] == "dpo"


def test_a_job_can_be_cancelled(tuning: RemoteTuning, chats: Path) -> None:
    job = tuning.create(file_id=tuning.upload(chats), model="test-model")
    assert tuning.cancel(job.id).state is JobState.CANCELLED
    assert tuning.poll(job.id).state is JobState.CANCELLED


def test_a_failed_job_says_why(server: FakeOpenAI, tuning: RemoteTuning, chats: Path) -> None:
    server.job_steps = ["validating_files", "failed"]
    job = tuning.create(file_id=tuning.upload(chats), model="test-model")
    job = tuning.poll(job.id)
    assert (job.state, job.error) == (JobState.FAILED, "The file is no good.")


def test_events_come_oldest_first(tuning: RemoteTuning, chats: Path) -> None:
    job = tuning.create(file_id=tuning.upload(chats), model="test-model")
    events = tuning.events(job.id)
    assert [event.message for event in events][:2] == ["Created", "Step 1/3: training loss=2.0"]
    assert len(tuning.events(job.id, limit=2)) == 2


def test_what_was_sent_can_be_found_again(
    server: FakeOpenAI, tuning: RemoteTuning, chats: Path
) -> None:
    job = tuning.create(file_id=tuning.upload(chats), model="test-model")
    assert [(one.id, one.file_id) for one in tuning.recent()] == [(job.id, job.file_id)]
    assert job.file_id in server.files


def test_what_the_server_will_not_take_is_told_in_its_words(
    server: FakeOpenAI, tuning: RemoteTuning, tmp_path: Path
) -> None:
    path = tmp_path / "few.jsonl"
    path.write_text("".join(to_jsonl(chat_rows(GOOD[:2], batch=1))))
    with pytest.raises(PermanentError, match="at least 10 examples"):
        tuning.create(file_id=tuning.upload(path), model="test-model")
    with pytest.raises(PermanentError, match="No such fine-tuning job"):
        tuning.poll("ftjob-nonesuch")
    server.needs_key = "secret"
    with pytest.raises(PermanentError, match="wants a key"):
        tuning.upload(path)
