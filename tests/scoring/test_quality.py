"""The quality judge: each kind of fault lowers its own part, and a good picture has none."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from synthreview.scoring.scorers.base import ScoreRequest
from synthreview.scoring.scorers.quality import PARTS, QualityScorer, is_blank, measure


def scene(size: int = 512) -> Image.Image:
    """Return a picture with edges, shades and no frame."""
    rng = np.random.default_rng(0)
    shade = np.linspace(40, 210, size)[None, :] + rng.normal(0, 6, (size, size))
    image = Image.fromarray(np.clip(shade, 0, 255).astype(np.uint8)).convert("RGB")
    draw = ImageDraw.Draw(image)
    for at in range(5):
        left, top = (int(v) for v in rng.integers(0, size - 120, 2))
        draw.rectangle((left, top, left + 100, top + 60), fill=(40 * at, 90, 200 - 30 * at))
    return image


def framed(image: Image.Image, width: int) -> Image.Image:
    frame = Image.new("RGB", image.size, (250, 250, 250))
    inner = (image.width - 2 * width, image.height - 2 * width)
    frame.paste(image.resize(inner), (width, width))
    return frame


def test_a_good_picture_has_nothing_to_object_to() -> None:
    assert min(measure(scene()).values()) > 0.9


@pytest.mark.parametrize(
    ("part", "image"),
    [
        ("sharpness", scene().filter(ImageFilter.GaussianBlur(14))),
        ("exposure", Image.eval(scene(), lambda v: 0 if v < 180 else v // 40)),
        ("exposure", Image.eval(scene(), lambda v: 255 if v > 50 else 250)),
        ("contrast", Image.eval(scene(), lambda v: 120 + v // 60)),
        ("borders", framed(scene(), 110)),
    ],
    ids=["blurred", "dark", "burnt out", "grey", "framed"],
)
def test_a_fault_lowers_its_own_part(part: str, image: Image.Image) -> None:
    good, bad = measure(scene()), measure(image)
    assert bad[part] < 0.35
    assert bad[part] < good[part] - 0.5


def test_more_blur_is_never_sharper() -> None:
    values = [
        measure(scene().filter(ImageFilter.GaussianBlur(radius)))["sharpness"]
        for radius in (0, 2, 4, 8, 16)
    ]
    assert values == sorted(values, reverse=True)


def test_a_sky_above_a_street_is_no_frame() -> None:
    image = scene()
    ImageDraw.Draw(image).rectangle((0, 0, 512, 200), fill=(150, 190, 240))
    assert measure(image)["borders"] > 0.95


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (3, 3), (4_000, 10)])
def test_odd_sizes_are_measured(size: tuple[int, int]) -> None:
    for value in measure(Image.new("RGB", size, (90, 90, 90))).values():
        assert 0 <= value <= 1


def test_blank_means_nothing_to_see() -> None:
    rng = np.random.default_rng(1)
    noise = rng.normal(128, 1, (300, 300)).clip(0, 255).astype(np.uint8)
    assert is_blank(Image.new("RGB", (64, 64), (10, 200, 90)))
    assert is_blank(Image.fromarray(noise).convert("RGB"))
    assert not is_blank(scene())
    assert measure(Image.new("RGB", (64, 64), "white"))["contrast"] == 0


def test_it_keeps_the_contract_of_all_judges() -> None:
    judge = QualityScorer()
    assert judge.health() == []
    assert judge.card() == QualityScorer().card()
    assert judge.card().parts == frozenset(PARTS)
    request = ScoreRequest(scene(), "a car", {"object": "a car"}, ["car"], 0)
    [first, second] = judge.score([request, request])
    assert first.value == min(first.parts.values()) == second.value
    assert first.embedding is None
    assert first.similarity is None
