"""The contract that every generator keeps, and the table that comes of it.

`python -m tests.generation.test_contract` writes the table into docs/generators.md.
"""

from __future__ import annotations

import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from synthreview.generation.generators.base import (
    CAPABILITIES,
    INPAINT,
    INPUTS,
    TEXT,
    Capabilities,
    DrawRequest,
    Generator,
    Health,
)
from synthreview.lib.images import decode
from synthreview.lib.outcomes import PermanentError, ServiceError
from tests.generation.contract_cases import CASES, Case, Serve, table
from tests.generation.pictures import mask_png, plain_png

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "generators.md"
BEGIN, END = "<!-- made by tests.generation.test_contract -->\n", "<!-- until here -->\n"
PROMPTS = {
    TEXT: "a red dog on the beach",
    INPAINT: "The same dog with the background replaced by a desert",
}
# Some schedulers hand torch's tensors to NumPy in a way that it is about to give up.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture
def build(images_server: Serve, models: Path) -> Iterator[Callable[[Case], Generator]]:
    """Give the generator of a case, in front of its fake server; close it if it can be."""
    with ExitStack() as stack:

        def make(case: Case) -> Generator:
            url = images_server(case.server).base_url if case.server else ""
            chosen = case.build(url, models)
            if close := getattr(chosen, "close", None):
                stack.callback(close)
            return chosen

        yield make


def request(case: Case, wanted: str, **fields: Any) -> DrawRequest:
    """A request that a generator of this capability must be able to do."""
    side = (case.size_px, case.size_px)
    sources = (plain_png(side, "teal"), plain_png(side, "orange"))
    usual = {
        "prompt": PROMPTS.get(wanted, "A dog like this one"),
        "size_px": case.size_px,
        "seed": 7,
        "capability": wanted,
        "images": sources[: INPUTS[wanted]],
        "mask": mask_png(side, (0, 0, side[0] // 2, side[1])) if wanted == INPAINT else None,
        "slots": {"word": "iPod"} if wanted == "typographic" else {},
        "options": dict(case.options),
    }
    return DrawRequest(**{**usual, **fields})


def marks(case: Case) -> tuple[pytest.MarkDecorator, ...]:
    return (pytest.mark.slow,) if case.is_slow else ()


EVERY = [pytest.param(case, id=case.name, marks=marks(case)) for case in CASES]


def pairs() -> list[Any]:
    return [
        pytest.param(case, capability, id=f"{case.name}-{capability}", marks=marks(case))
        for case in CASES
        for capability in CAPABILITIES
    ]


@pytest.mark.parametrize("case", EVERY)
def test_a_generator_describes_itself(case: Case, build: Callable[[Case], Generator]) -> None:
    chosen = build(case)
    can = chosen.capabilities()
    assert isinstance(can, Capabilities)
    assert can.able
    assert can.able <= set(CAPABILITIES)
    assert set(can.emulated) <= can.able
    assert all(can.emulated.values())
    assert case.size_px in can.sizes_px
    assert can.images_per_call >= 1
    assert chosen.title
    assert isinstance(chosen.notice, str)
    assert isinstance(chosen.health(), Health)
    for option in can.options:
        assert option.kind in ("number", "text", "choice")
        assert option.kind != "choice" or option.default in (None, *option.choices)


@pytest.mark.parametrize(("case", "capability"), pairs())
def test_what_is_claimed_is_done_and_what_is_not_is_refused(
    case: Case, capability: str, build: Callable[[Case], Generator]
) -> None:
    chosen = build(case)
    can = chosen.capabilities()
    if capability not in can.able:
        with pytest.raises(PermanentError):
            chosen.draw(request(case, capability), idempotency_key="key")
        return
    count = min(2, can.images_per_call)
    asked = request(case, capability, count=count)
    estimate = chosen.estimate_micro_usd(asked)
    result = chosen.draw(asked, idempotency_key="one")
    assert len(result.images) == count
    for image in result.images:
        decoded = decode(image.data)
        assert (decoded.width, decoded.height) == (case.size_px, case.size_px)
        assert decoded.media_type == image.media_type
        assert (image.seed is not None) <= can.takes_seed
    assert 0 <= result.cost_micro_usd <= estimate
    assert result.model
    if capability in can.emulated:
        assert result.images[0].facts, "what is emulated must be told with the image"


@pytest.mark.parametrize("case", EVERY)
def test_a_seed_is_honoured_where_it_is_claimed(
    case: Case, build: Callable[[Case], Generator]
) -> None:
    """An image that tells a seed can be drawn again by it; whoever takes none tells none."""
    chosen = build(case)
    can = chosen.capabilities()
    told = set()
    for capability in sorted(can.able):
        first, again, other = (
            chosen.draw(
                request(case, capability, seed=seed), idempotency_key=f"{capability}-{number}"
            ).images[0]
            for number, seed in enumerate((7, 7, 8))
        )
        if first.seed is None:
            continue
        told.add(capability)
        assert first.data == again.data, capability
        assert (first.seed, other.seed) == (7, 8)
        assert first.data != other.data, capability
    assert bool(told) == can.takes_seed
    assert TEXT in told or TEXT not in can.able or not can.takes_seed


def bomb() -> bytes:
    """A PNG of a few bytes that claims 14,000 × 14,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", 14_000, 14_000, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


HOSTILE_FIELDS: list[dict[str, Any]] = [
    {"count": 0},
    {"count": -1},
    {"count": 10_000},
    {"seed": -1},
    {"seed": 2**80},
    {"size_px": 0},
    {"size_px": 100_000},
    {"capability": "sculpture"},
    {"prompt": "x" * 1_000_000},
    {"prompt": "a\0b"},
    {"options": {"__class__": "x"}},
    {"images": (plain_png(), plain_png(), plain_png())},
    {"mask": plain_png()},
]


@pytest.mark.parametrize("case", EVERY)
def test_hostile_requests_end_in_an_error_of_ours(
    case: Case, build: Callable[[Case], Generator]
) -> None:
    chosen = build(case)
    capability = sorted(chosen.capabilities().able)[0]
    for fields in HOSTILE_FIELDS:
        if "mask" in fields and capability == INPAINT:
            fields = {"mask": None}
        hostile = request(case, capability, **{"capability": capability, **fields})
        assert isinstance(chosen.estimate_micro_usd(hostile), int)
        with pytest.raises(ServiceError) as caught:
            chosen.draw(hostile, idempotency_key="key")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("case", EVERY)
def test_hostile_inputs_end_in_an_error_of_ours(
    case: Case, build: Callable[[Case], Generator]
) -> None:
    chosen = build(case)
    taking = sorted(chosen.capabilities().able - {TEXT})
    bad = [b"", b"<svg/>", b"GIF89a" + b"\0" * 100, plain_png()[:-40], bomb(), b"%PDF-1.4 \x00"]
    for capability in taking:
        good = request(case, capability)
        for data in bad:
            for at in range(INPUTS[capability]):
                images = tuple(
                    data if number == at else source for number, source in enumerate(good.images)
                )
                with pytest.raises(PermanentError):
                    chosen.draw(request(case, capability, images=images), idempotency_key="key")
        if capability == INPAINT:
            wrong_masks = [b"", b"no mask", plain_png((8, 8), "white"), bomb(),
                           plain_png((case.size_px,) * 2, "black")]  # fmt: skip
            for mask in wrong_masks:
                with pytest.raises(PermanentError):
                    chosen.draw(request(case, capability, mask=mask), idempotency_key="key")


# --- Nothing written, no Django, the table ------------------------------------------------

_watched: list[str] = []
_is_watching = False
_has_hook = False


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _is_watching:
        return
    if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        path = str(arguments[0])
        if not path.startswith(("/dev/", "/proc/")):
            _watched.append(path)
    elif event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree"):
        _watched.append(f"{event} {arguments[0]}")


@pytest.fixture
def writings() -> Iterator[Callable[[], list[str]]]:
    """Watch what is written while drawing; begins when the function is called first."""
    global _is_watching, _has_hook
    if not _has_hook:
        sys.addaudithook(_hook)
        _has_hook = True
    _watched.clear()

    def begin_or_read() -> list[str]:
        global _is_watching
        _is_watching = True
        return list(_watched)

    yield begin_or_read
    _is_watching = False


@pytest.mark.parametrize("case", EVERY)
def test_drawing_writes_nothing(
    case: Case, build: Callable[[Case], Generator], writings: Callable[[], list[str]]
) -> None:
    chosen = build(case)
    asked = [request(case, each) for each in sorted(chosen.capabilities().able)]
    for each in asked:  # what is imported on first use writes its bytecode
        chosen.draw(each, idempotency_key="first")
    writings()
    for each in asked:
        chosen.draw(each, idempotency_key="second")
    assert writings() == []


def test_generators_work_without_django_and_its_settings() -> None:
    code = (
        "import sys;"
        "from synthreview.generation.generators.sketch import SketchGenerator as S;"
        "from synthreview.generation.generators.openai import OpenAIGenerator;"
        "from synthreview.generation.generators.http import HttpGenerator;"
        "from synthreview.generation.generators.typographic import TypographicGenerator;"
        "from synthreview.generation.generators.base import DrawRequest;"
        "S().draw(DrawRequest(prompt='a dog', size_px=256), idempotency_key='k');"
        "print(sorted({m.split('.')[0] for m in sys.modules} & {'django', 'torch', 'openai'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def all_generators(models: Path) -> dict[str, Generator]:
    return {case.name: case.build("http://127.0.0.1:9/v1", models) for case in CASES}


def page_with(made: str) -> str:
    """The page with this table between its marks."""
    head, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}{made}{END}{tail}"


def test_the_table_in_the_docs_is_what_the_generators_can_do(models: Path) -> None:
    assert page_with(table(all_generators(models))) == PAGE.read_text(), (
        "stale: python -m tests.generation.test_contract"
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        PAGE.write_text(page_with(table(all_generators(Path(folder)))))
