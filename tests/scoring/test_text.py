"""The judge of writing: it finds words on a picture, and none where there are none."""

from __future__ import annotations

import subprocess
import sys

import pytest
from PIL import Image, ImageDraw, ImageFont

from synthreview.scoring.scorers import text
from synthreview.scoring.scorers.base import ScoreRequest, ScorerError
from synthreview.scoring.scorers.text import SIDE, TextScorer


@pytest.fixture(scope="module")
def judge() -> TextScorer:
    return TextScorer()


def picture(word: str = "", size: tuple[int, int] = (640, 480)) -> Image.Image:
    """Return a sky above a street, with a word where the sky is."""
    image = Image.new("RGB", size, (150, 190, 230))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, size[1] * 2 // 3, *size), fill=(90, 90, 90))
    draw.ellipse((size[0] // 2, size[1] // 2, size[0] * 3 // 4, size[1] * 3 // 4), fill="red")
    draw.text((20, 20), word, fill="black", font=ImageFont.load_default(size[1] // 8))
    return image


def value(judge: TextScorer, image: Image.Image) -> float:
    [result] = judge.score([ScoreRequest(image, "a car", {}, ["car"], 0)])
    return result.value


def test_a_word_is_found_and_its_absence_too(judge: TextScorer) -> None:
    assert value(judge, picture("piano")) < 0.5
    assert value(judge, picture()) == 1


def test_what_was_prepared_in_a_thread_gives_the_same(judge: TextScorer) -> None:
    image = picture("taxi")
    ready = ScoreRequest(image, "", {}, [], None, prepared=judge.prepare(image))
    assert judge.score([ready])[0].value == value(judge, image)
    assert max(judge.prepare(image).shape) == SIDE


@pytest.mark.parametrize("size", [(1, 1), (3, 900), (40, 40)])
def test_odd_sizes_are_looked_at(judge: TextScorer, size: tuple[int, int]) -> None:
    assert value(judge, Image.new("RGB", size, (90, 90, 90))) == 1


def test_its_card_names_the_weights_inside_the_package(judge: TextScorer) -> None:
    card = judge.card()
    assert card == TextScorer().card()
    assert len(card.weights_sha256) == 64
    assert "det" in card.model
    assert not card.applies_to
    assert judge.health() == []


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "PACKAGE", "no_such_package")
    assert "pip install synthreview[text]" in TextScorer().health()[0]
    with pytest.raises(ScorerError, match="SYNTHREVIEW_TEXT"):
        TextScorer().card()


def test_naming_it_loads_no_package() -> None:
    code = (
        "import sys; from synthreview.scoring.scorers.text import TextScorer; TextScorer();"
        "print({'rapidocr', 'onnxruntime', 'cv2', 'django'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
