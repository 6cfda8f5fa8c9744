"""DALL·E Mini: a tiny one through min-dalle's real code, in its process of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from synthreview.generation.generators.base import TEXT, DrawRequest, Interruptible
from synthreview.generation.generators.dalle_mini import DalleMiniGenerator, adapter
from synthreview.generation.generators.dalle_mini.talking import Talk
from synthreview.generation.generators.dalle_mini.weights import find_weights
from synthreview.lib.outcomes import PermanentError, StoppedError
from tests.generation.pictures import opened

TOKENS = 256
RUNS_CODE = b"\x80\x04cos\nsystem\n(S'touch owned'\ntR."
OWN_NAMES = [
    "dalle_bart_{size}/vocab.json",
    "dalle_bart_{size}/merges.txt",
    "dalle_bart_{size}/encoder.pt",
    "dalle_bart_{size}/decoder.pt",
    "vqgan/detoker.pt",
]
HUB_NAMES = [
    "vocab{mark}.json",
    "merges{mark}.txt",
    "encoder{mark}.pt",
    "decoder{mark}.pt",
    "detoker.pt",
]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights") / "dalle"
    subprocess.run([sys.executable, "-m", "tests.generation.tiny_dalle", folder], check=True)
    return folder


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send whatever asks the network to a port at which nobody is."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")


@pytest.fixture
def generator(weights: Path, no_network: None) -> Iterator[DalleMiniGenerator]:
    dalle = DalleMiniGenerator(root=str(weights), threads=1)
    yield dalle
    dalle.close()


def asked(**fields: Any) -> DrawRequest:
    return DrawRequest(**{"prompt": "a dog on a beach", "size_px": 256, "seed": 0, **fields})


# --- Drawing ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_it_draws_stops_within_a_token_and_draws_again(generator: DalleMiniGenerator) -> None:
    assert isinstance(generator, Interruptible)
    seen: list[tuple[int, int]] = []

    def watch(done: int, total: int) -> bool:
        seen.append((done, total))
        return True

    both = generator.draw_watched(asked(count=2), idempotency_key="k", on_step=watch)
    assert [image.seed for image in both.images] == [0, 1]
    assert opened(both.images[0].data).size == (256, 256)
    assert both.images[0].data != both.images[1].data
    assert both.images[0].facts["min_dalle_seed"] == 1  # 0 would mean "no seed" there
    assert (both.model, both.model_version) == (
        "dalle-mini",
        f"weights {both.raw['weights_sha256'][:32]}",
    )
    assert seen == [(done, 2 * TOKENS) for done in range(1, 2 * TOKENS + 1)]

    seen.clear()
    with pytest.raises(StoppedError, match="token 3 of 256"):
        generator.draw_watched(
            asked(),
            idempotency_key="k",
            on_step=lambda done, total: watch(done, total) and done < 3,
        )
    assert len(seen) == 3
    again = generator.draw(asked(seed=1), idempotency_key="k")
    assert again.images[0].data == both.images[1].data


@pytest.mark.slow
def test_what_takes_too_long_is_ended(
    weights: Path, no_network: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasty = DalleMiniGenerator(root=str(weights), timeout_s=0.05)
    started: list[Talk] = []

    class Remembered(Talk):
        def __init__(self, module: str) -> None:
            super().__init__(module)
            started.append(self)

    monkeypatch.setattr(adapter, "Talk", Remembered)
    with pytest.raises(PermanentError, match=r"not done after 0.05 s and was ended: raise its"):
        hasty.draw(asked(), idempotency_key="k")
    assert [talk.is_alive for talk in started] == [False]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("dalle_bart_mini/encoder.pt", RUNS_CODE, "Weights only load failed"),
        ("dalle_bart_mini/vocab.json", b"{", "cannot draw this"),
    ],
    ids=["runs code", "damaged"],
)
def test_weights_that_are_damaged_or_run_code_are_an_error_in_words(
    weights: Path, tmp_path: Path, no_network: None, file: str, content: bytes, words: str
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(weights, broken, copy_function=_linked)
    (broken / file).unlink()
    (broken / file).write_bytes(content)
    with pytest.raises(PermanentError) as caught:
        DalleMiniGenerator(root=str(broken)).draw(asked(), idempotency_key="k")
    assert words in str(caught.value)
    assert not Path("owned").exists()


def _linked(source: str, target: str) -> None:
    Path(target).symlink_to(source)


@pytest.mark.slow
def test_a_child_that_dies_is_reported_with_its_last_words(
    generator: DalleMiniGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(done: int, total: int) -> bool:
        assert generator._talk is not None
        generator._talk._process.kill()
        return True

    with pytest.raises(PermanentError, match="process ended: killed by signal 9"):
        generator.draw_watched(asked(), idempotency_key="k", on_step=kill)


# --- Files, packages, requests: without torch ----------------------------------------------------


def make_files(folder: Path, names: list[str], size: str) -> Path:
    for name in names:
        file = folder / name.format(size=size, mark="_mini" if size == "mini" else "")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"weights")
    return folder


@pytest.mark.parametrize("names", [OWN_NAMES, HUB_NAMES], ids=["own", "hub"])
@pytest.mark.parametrize("size", ["mini", "mega"])
def test_both_ways_of_naming_the_files_are_found(
    tmp_path: Path, names: list[str], size: str
) -> None:
    folder = make_files(tmp_path / "w", names, size)
    assert find_weights(str(folder)).size == size
    dalle = DalleMiniGenerator(root=str(folder))
    assert dalle.capabilities().able == {TEXT}
    assert dalle.capabilities().sizes_px == (256,)
    assert dalle.health().facts == (f"DALL·E {size.title()}, 256 px",)
    (folder / names[2].format(size=size, mark="_mini" if size == "mini" else "")).unlink()
    assert "encoder" in dalle.health().faults[0]
    assert dalle.capabilities().able == frozenset()


def test_the_larger_one_is_taken_unless_the_smaller_is_named(tmp_path: Path) -> None:
    folder = make_files(make_files(tmp_path / "w", HUB_NAMES, "mini"), HUB_NAMES, "mega")
    assert find_weights(str(folder)).size == "mega"
    assert find_weights(str(folder), "mini").size == "mini"
    with pytest.raises(PermanentError, match="size 'huge' is not known"):
        find_weights(str(folder), "huge")
    with pytest.raises(PermanentError, match="There is no folder"):
        find_weights(str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"size_px": 512}, "draws 256 px"),
        ({"capability": "variation", "images": (b"x",)}, "cannot do 'variation'"),
        ({"options": {"top_k": 0}}, "top_k 0: give a number from 1 to 16384"),
        ({"negative_prompt": "rain"}, "takes no negative prompt"),
    ],
)
def test_a_request_that_it_cannot_draw_starts_no_process(
    tmp_path: Path, fields: dict[str, Any], words: str
) -> None:
    dalle = DalleMiniGenerator(root=str(make_files(tmp_path / "w", OWN_NAMES, "mini")))
    with pytest.raises(PermanentError) as caught:
        dalle.draw(asked(**fields), idempotency_key="k")
    assert words in str(caught.value)
    assert dalle._talk is None


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "PACKAGE", "no_such_package")
    dalle = DalleMiniGenerator(root=str(make_files(tmp_path / "w", OWN_NAMES, "mini")))
    assert "pip install synthreview[dalle-mini]" in dalle.health().faults[0]
    with pytest.raises(PermanentError, match="dalle-mini"):
        dalle.draw(asked(), idempotency_key="k")


def test_naming_it_loads_neither_torch_nor_min_dalle(tmp_path: Path) -> None:
    code = (
        "import sys; from synthreview.generation.generators.dalle_mini import DalleMiniGenerator;"
        f"d = DalleMiniGenerator(root={str(tmp_path)!r}); d.health(); d.capabilities();"
        "print({'torch', 'min_dalle', 'requests', 'django'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
