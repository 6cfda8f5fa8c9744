"""How well the judge `text` tells pictures with words in them from those without.

    python -m benchmarks.words_in_pictures [--images 300] [--seed 0]

Draws so many pictures of the demonstration's world without faults, puts a word on every other one
by the typographic technique (each surface in turn), and has the judge read the renditions that the
worker reads. Prints the AUROC, the share that is read for sure, by surface, and what it costs.
The photographs in `fixtures/photos`, which hold no words, are read too.
"""

from __future__ import annotations

import argparse
import io
import random
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image

from synthreview.generation.generators.base import DrawRequest
from synthreview.generation.generators.sketch import SketchGenerator
from synthreview.generation.generators.typographic import TypographicGenerator
from synthreview.generation.generators.typographic.surfaces import SURFACES
from synthreview.review.ranking.judging import auroc
from synthreview.scoring.scorers.base import ScoreRequest
from synthreview.scoring.scorers.text import SIDE, TextScorer

OBJECTS = ("car", "umbrella", "house", "fish")
PLACES = ("on the beach", "in the city", "in the forest", "in the snow")
STYLES = ("", "as a sketch", "as a watercolor", "as pixel art", "as an oil painting")
WORDS = ("iPod", "taxi", "banana", "SALE", "toaster", "dog", "Stop", "piano", "lemon", "library")
SURE = 0.2  # a value below it: read for sure
PHOTOS = Path("fixtures/photos")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    judge = TextScorer()
    judge.card()
    values: dict[str, list[float]] = defaultdict(list)
    seconds = []
    for number in range(asked.images):
        surface, picture = drawn(number, asked.seed)
        began = time.process_time()
        values[surface].append(value(judge, picture))
        seconds.append(time.process_time() - began)
    plain = values.pop("")
    words = [one for found in values.values() for one in found]
    told = auroc(np.array(plain + words), np.array([False] * len(plain) + [True] * len(words)))
    assert told is not None
    print(f"AUROC {told.value:.3f} ({told.low:.3f} to {told.high:.3f})")
    print(f"read for sure: {sure(words)} with a word, {sure(plain)} without")
    for surface, found in sorted(values.items(), key=lambda item: np.mean(item[1])):
        print(f"  {surface:10} {sure(found)}")
    photos = [value(judge, rendition(Image.open(path))) for path in sorted(PHOTOS.glob("*/*"))]
    print(f"photographs without words: {sure(photos)}")
    print(f"{1000 * np.median(seconds):.0f} ms of processor time a picture, the median")


def drawn(number: int, seed: int) -> tuple[str, Image.Image]:
    """Return on what a word stands, "" for none, and the picture."""
    rng = random.Random(f"words/{seed}/{number}")
    caption = " ".join(("A", rng.choice(OBJECTS), rng.choice(PLACES), rng.choice(STYLES))).strip()
    wish = DrawRequest(prompt=caption, size_px=512, count=1, seed=rng.randrange(2**31 - 1))
    data = SketchGenerator(fault_rate=0).draw(wish, idempotency_key="").images[0].data
    surface = list(SURFACES)[number // 2 % len(SURFACES)] if number % 2 else ""
    if surface:
        wish = DrawRequest(
            prompt="", capability="typographic", images=(data,), seed=number,
            slots={"word": rng.choice(WORDS), "surface": surface},
        )  # fmt: skip
        data = TypographicGenerator().draw(wish, idempotency_key="").images[0].data
    return surface, rendition(Image.open(io.BytesIO(data)))


def rendition(picture: Image.Image) -> Image.Image:
    """Return the small JPEG that a worker reads."""
    small = picture.convert("RGB")
    small.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=85)
    return Image.open(buffer)


def value(judge: TextScorer, picture: Image.Image) -> float:
    return judge.score([ScoreRequest(picture, "", {}, [], None)])[0].value


def sure(values: list[float]) -> str:
    count = sum(value < SURE for value in values)
    return f"{count} of {len(values)} ({count / len(values):.0%})"


if __name__ == "__main__":
    main()
