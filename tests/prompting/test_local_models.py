"""The local author and LoRA training, on a tiny model that goes through the real loading code."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from synthreview.lib.outcomes import PermanentError, StoppedError, UnusableAnswerError
from synthreview.prompting import gate
from synthreview.prompting.authors.base import WriteRequest, used_before
from synthreview.prompting.authors.transformers import (
    TransformersAuthor,
    chat_tokens,
    load_model,
)
from synthreview.prompting.tuning import lora
from synthreview.prompting.tuning.evaluation import assess
from synthreview.prompting.tuning.file import Example, chat_rows, preference_rows
from tests.prompting.tiny_llama import make_tiny_llama

# peft asks transformers by a name that is about to go.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")

PLACES = ("on the beach", "in a forest")
CAPTIONS = [
    Example("dog", f"A dog {action} {place}", slots=(("environment", place),))
    for action, place in zip(("running", "asleep"), PLACES, strict=True)
]
SETTINGS = lora.LoraSettings(epochs=50, learning_rate=1e-2, batch=2)


def request(place: str = PLACES[0], **fields: object) -> WriteRequest:
    values = {"environment": [(place, place)]}
    return WriteRequest("dog", "", values, **{"count": 1, "open_slot": "", **fields})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_llama(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def losses() -> list[float]:
    return []


@pytest.fixture(scope="module")
def trained(
    tiny: Path, losses: list[float], tmp_path_factory: pytest.TempPathFactory
) -> lora.LoraResult:
    return lora.train(
        model=str(tiny),
        rows=chat_rows(CAPTIONS, batch=1),
        out=tmp_path_factory.mktemp("adapter") / "dogs",
        settings=SETTINGS,
        on_progress=lambda progress: losses.append(progress.loss),
    )


# --- The author -------------------------------------------------------------------------


def test_the_same_seed_writes_the_same_and_another_one_something_else(tiny: Path) -> None:
    author = TransformersAuthor(model=str(tiny), max_tokens=30)
    assert author.health() == []

    def wrote(seed: int) -> object:
        try:
            return author.write(request(seed=seed)).captions
        except UnusableAnswerError as error:
            return used_before(error)

    assert wrote(1) == wrote(1)
    tokens = author._generate([{"role": "user", "content": "Hi"}], seed=1, count=1)
    assert tokens == author._generate([{"role": "user", "content": "Hi"}], seed=1, count=1)
    assert tokens != author._generate([{"role": "user", "content": "Hi"}], seed=2, count=1)
    assert tokens[1].cost_usd == 0


def test_a_question_longer_than_the_context_is_refused_in_words(tiny: Path) -> None:
    author = TransformersAuthor(model=str(tiny))
    with pytest.raises(PermanentError, match="give fewer examples"):
        author.write(request(instruction="very " * 500, approved=("word " * 60,) * 12))


def test_an_answer_that_is_no_caption_is_a_bad_answer(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    author = TransformersAuthor(model=str(tiny), max_tokens=1, temperature=0)
    monkeypatch.setattr(author._loaded[1], "decode", lambda *_, **__: "...")
    with pytest.raises(UnusableAnswerError) as caught:
        author.write(request())
    assert used_before(caught.value).requests == 3
    assert used_before(caught.value).tokens_in > 100


@pytest.mark.parametrize(
    ("weights", "words"),
    [("pytorch_model.bin", "other formats can run code"), ("nothing", "holds no *.safetensors")],
)
def test_only_safetensors_are_loaded(tiny: Path, tmp_path: Path, weights: str, words: str) -> None:
    shutil.copytree(tiny, tmp_path / "m", ignore=shutil.ignore_patterns("*.safetensors"))
    (tmp_path / "m" / weights).write_bytes(b"\x80\x04N.")
    author = TransformersAuthor(model=str(tmp_path / "m"))
    assert words in author.health()[0]
    with pytest.raises(PermanentError, match="safetensors"):
        author.write(request())


def test_a_folder_that_is_missing_or_no_model_is_named(tiny: Path, tmp_path: Path) -> None:
    missing = str(tmp_path / "nowhere")
    assert TransformersAuthor(model=missing).health() == [f"There is no model folder {missing!r}."]
    assert "adapter folder" in TransformersAuthor(model=str(tiny), adapter=missing).health()[0]
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "model.safetensors").write_bytes(b"no")
    with pytest.raises(PermanentError, match="cannot be loaded"):
        TransformersAuthor(model=str(tmp_path / "broken")).write(request())


def test_a_model_without_a_chat_template_is_refused(tiny: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny, tmp_path / "m")
    (tmp_path / "m" / "chat_template.jinja").unlink()
    with pytest.raises(PermanentError, match="no chat template"):
        TransformersAuthor(model=str(tmp_path / "m")).write(request())


def test_a_template_without_a_system_role_gets_it_in_front_of_the_question(tiny: Path) -> None:
    _, tokenizer = load_model(str(tiny))
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    tokenizer.chat_template = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}"
        "{% endif %}" + tokenizer.chat_template
    )
    said = tokenizer.decode(chat_tokens(tokenizer, chat, is_question=True))
    assert said == "<|user|>Be brief.\n\nHi<|end|><|assistant|>"


def test_naming_the_author_loads_no_torch() -> None:
    code = (
        "import sys; from synthreview.prompting.authors.transformers import TransformersAuthor;"
        "from synthreview.prompting.authors.openai import OpenAIAuthor;"
        "TransformersAuthor(model='/nowhere').health(); OpenAIAuthor(model='m');"
        "import synthreview.prompting.tuning.lora, synthreview.prompting.tuning.remote;"
        "print({'torch', 'transformers', 'peft', 'openai', 'django'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def judged(author: TransformersAuthor, asked: WriteRequest) -> tuple[gate.Judged, ...]:
    """Return what the gate makes of the author's answer; of none where it cannot be read."""
    try:
        written = author.write(asked)
    except UnusableAnswerError:
        return ()
    return gate.check(written, gate.GateRules(names=(asked.class_name,))).judged


# --- Training -----------------------------------------------------------------------------


def test_the_loss_falls_and_progress_is_told(trained: lora.LoraResult, losses: list[float]) -> None:
    assert trained.loss_after < trained.loss_before / 5
    assert len(losses) == trained.steps == 50
    assert losses[-1] < losses[0] / 5
    assert trained.rows == 2


def test_the_adapter_is_safetensors_with_a_record_and_nothing_half_written(
    trained: lora.LoraResult,
) -> None:
    folder = Path(trained.folder)
    names = {path.name for path in folder.iterdir()}
    assert {"adapter_model.safetensors", "adapter_config.json", "training.json"} <= names
    assert not any(name.endswith((".bin", ".pt", ".pkl")) for name in names)
    record = json.loads((folder / "training.json").read_text())
    assert record["result"]["loss_after"] == trained.loss_after
    assert record["settings"]["epochs"] == 50
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_the_adapter_is_an_author_that_writes_what_was_approved(
    tiny: Path, trained: lora.LoraResult
) -> None:
    options = {"model": str(tiny), "temperature": 0, "max_tokens": 60}
    plain = TransformersAuthor(**options)  # type: ignore[arg-type]
    tuned = plain.tuned(title="Tuned", result=trained.folder)
    assert tuned.health() == []
    assert tuned.version != plain.version
    answers = [(request(place), 1, judged(tuned, request(place))) for place in PLACES]
    result = assess(answers)
    assert result.gate_pass_rate == result.coverage == 1
    answers = [(request(place), 1, judged(plain, request(place))) for place in PLACES]
    assert assess(answers).gate_pass_rate == 0
    (caption,) = tuned.write(request()).captions
    assert caption.text == "A dog running on the beach"
    assert caption.slots == {"environment": "on the beach"}


def test_training_can_be_stopped_and_leaves_nothing(tiny: Path, tmp_path: Path) -> None:
    steps: list[int] = []
    with pytest.raises(StoppedError, match="after 2 of"):
        lora.train(
            model=str(tiny),
            rows=chat_rows(CAPTIONS, batch=1),
            out=tmp_path / "stopped",
            on_progress=lambda progress: steps.append(progress.step),
            should_stop=lambda: len(steps) == 2,
        )
    assert list(tmp_path.iterdir()) == []


def test_an_adapter_is_never_written_over(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(FileExistsError):
        lora.train(model=str(tiny), rows=chat_rows(CAPTIONS), out=tmp_path)


def test_rows_that_cannot_be_learnt_are_named(tiny: Path, tmp_path: Path) -> None:
    pairs = preference_rows(CAPTIONS[:1], CAPTIONS[1:])
    with pytest.raises(PermanentError, match="preference pairs go to a server"):
        lora.train(model=str(tiny), rows=pairs, out=tmp_path / "a")
    short = lora.LoraSettings(max_tokens=10)
    with pytest.raises(PermanentError, match="nothing to learn from"):
        lora.train(model=str(tiny), rows=chat_rows(CAPTIONS), out=tmp_path / "a", settings=short)
