"""Every generator with the backend that it is tested against: a new adapter adds one case here.

The table in docs/generators.md is made of what these say that they can do, and
`test_contract` asks each of them for all of it.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthreview.generation.generators.base import Generator
from synthreview.generation.generators.http import HttpGenerator
from synthreview.generation.generators.openai import OpenAIGenerator
from synthreview.generation.generators.openai.profiles import PROFILES
from synthreview.generation.generators.sketch import SketchGenerator
from synthreview.generation.generators.typographic import TypographicGenerator
from synthreview.prompting.techniques import TECHNIQUES
from tests.servers_fake.images_client import ImagesServer
from tests.servers_fake.images_server import PRICES

Serve = Callable[..., ImagesServer]


@dataclass(frozen=True)
class Case:
    """A generator of the table. `build` gets the fake servers and a folder for tiny models.

    `server` names the fake server that it needs, "" is none. `options` are what makes it fast.
    """

    name: str
    build: Callable[[str, Path], Generator]
    server: str = ""
    size_px: int = 512
    options: tuple[tuple[str, Any], ...] = ()
    is_slow: bool = False


def _openai(profile: str) -> Callable[[str, Path], Generator]:
    prices = {"*": {"image": 0.04} if profile == "dall-e-2" else PRICES}
    return lambda url, _: OpenAIGenerator(
        model="test-model", profile=profile, base_url=url, prices=prices, timeout_s=20
    )


_tiny: dict[Path, tuple[Path, Path]] = {}  # the tiny model and IP-Adapter made in a folder


def _diffusers(_: str, folder: Path) -> Generator:
    from synthreview.generation.generators.diffusers import DiffusersGenerator
    from tests.generation import tiny_diffusion

    if folder not in _tiny:
        model = tiny_diffusion.make_stable_diffusion(folder / "sd")
        _tiny[folder] = (model, tiny_diffusion.make_ip_adapter(folder / "ip", model))
    model, adapter = _tiny[folder]
    return DiffusersGenerator(model=str(model), ip_adapter=str(adapter), batch=2)


def _dalle_mini(_: str, folder: Path) -> Generator:
    from synthreview.generation.generators.dalle_mini import DalleMiniGenerator

    weights = folder / "dalle"
    if not weights.exists():
        # In a process of its own: importing min-dalle changes torch for the whole process.
        command = [sys.executable, "-m", "tests.generation.tiny_dalle", str(weights)]
        subprocess.run(command, check=True)
    return DalleMiniGenerator(root=str(weights), threads=1)


def _http(url: str, _: Path) -> Generator:
    able = ("text", "variation", "fusion", "inpaint", "typographic")
    return HttpGenerator(
        url=url, able=able, sizes_px=[512], images_per_call=4, takes_seed=True,
        takes_negative_prompt=True, takes_idempotency_key=True, price_usd_per_image=0.04,
    )  # fmt: skip


CASES = (
    Case("sketch", lambda *_: SketchGenerator()),
    Case("typographic", lambda *_: TypographicGenerator()),
    Case("diffusers", _diffusers, size_px=64, options=(("steps", 2),), is_slow=True),
    Case("dalle_mini", _dalle_mini, size_px=256, is_slow=True),
    *(
        Case(f"openai: {name}", _openai(name), name, 1024 if 512 not in profile.sizes_px else 512)
        for name, profile in PROFILES.items()
    ),
    Case("http", _http, "http"),
)

# The text techniques are one capability, shown as one row.
ROWS = {
    "text: plain, environment, style, adversarial": "text",
    **{key: key for key, technique in TECHNIQUES.items() if not technique.is_text},
}


def table(cases: dict[str, Generator]) -> str:
    """Return the technique × generator table as Markdown."""
    lines = ["| generator | " + " | ".join(ROWS) + " |", "|---|" + "---|" * len(ROWS)]
    for name, generator in cases.items():
        can = generator.capabilities()
        cells = []
        for capability in ROWS.values():
            done = "emulated" if capability in can.emulated else "yes"
            cells.append(done if capability in can.able else "no")
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
