"""Words on pictures: the word is there, it fits its surroundings, and nothing else changes."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from synthreview.generation.generators.base import TYPOGRAPHIC, DrawnImage, DrawRequest
from synthreview.generation.generators.checking import encode_png
from synthreview.generation.generators.sketch.render import render_scene
from synthreview.generation.generators.sketch.scene import Scene
from synthreview.generation.generators.typographic import TypographicGenerator
from synthreview.generation.generators.typographic.placing import blur_of, grain_of
from synthreview.generation.generators.typographic.surfaces import CARDS, SURFACES, surface_of
from synthreview.lib.outcomes import PermanentError
from synthreview.prompting.shipped import shipped_axis
from tests.generation.pictures import DAHLIA, ESPRESSO, PHOTOS, changed_box, opened, plain_png

PICTURES = sorted(PHOTOS.rglob("*.jpg")) + sorted(PHOTOS.rglob("*.webp"))


def draw(source: bytes, word: str = "iPod", **fields: Any) -> tuple[DrawnImage, ...]:
    request = DrawRequest(
        prompt=fields.pop("prompt", ""),
        capability=TYPOGRAPHIC,
        images=(source,),
        **{"seed": 7, "slots": {"word": word}, **fields},
    )
    return TypographicGenerator().draw(request, idempotency_key="key").images


def outline(image: DrawnImage, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """The box around the piece's corners, in pixels."""
    xs, ys = zip(*image.facts["corners"], strict=True)
    return min(xs) * size[0], min(ys) * size[1], max(xs) * size[0], max(ys) * size[1]


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("path", [ESPRESSO, DAHLIA], ids=lambda path: path.stem)
def test_a_word_is_put_on_every_surface_and_only_there(surface: str, path: Any) -> None:
    source = opened(path.read_bytes())
    (image,) = draw(path.read_bytes(), options={"surface": surface})
    result = opened(image.data)
    assert result.size == source.size
    changed = changed_box(source, result)
    assert changed is not None
    left, top, right, bottom = outline(image, source.size)
    reach = min(source.size) * 0.08  # blur and shadow
    assert changed[0] >= left - reach
    assert changed[1] >= top - reach
    assert changed[2] <= right + reach
    assert changed[3] <= bottom + reach
    assert (image.facts["word"], image.facts["surface"]) == ("iPod", surface)
    assert "no model drew it" in image.facts["made"]


@pytest.mark.parametrize("surface", SURFACES)
def test_the_word_can_be_read_out_of_the_piece(surface: str) -> None:
    """Two words of the same length on the same spot differ where their letters do."""
    source = encode_png(Image.new("RGB", (400, 400), (120, 130, 140)))
    one, other = (
        opened(draw(source, word, options={"surface": surface})[0].data)
        for word in ("llll", "MMMM")
    )
    difference = np.abs(np.asarray(one, dtype=int) - np.asarray(other, dtype=int)).max(axis=2)
    assert (difference > 20).mean() > 0.002


def test_the_same_seed_gives_the_same_bytes_and_each_image_can_be_made_alone() -> None:
    source = ESPRESSO.read_bytes()
    first, again = (draw(source, count=4, seed=40) for _ in range(2))
    assert [image.data for image in first] == [image.data for image in again]
    assert len({image.data for image in first}) == 4
    (alone,) = draw(source, seed=42)
    assert (first[2].seed, first[2].data) == (42, alone.data)


def test_without_a_seed_one_is_chosen_and_told() -> None:
    (image,) = draw(ESPRESSO.read_bytes(), seed=None)
    assert draw(ESPRESSO.read_bytes(), seed=image.seed)[0].data == image.data


# --- Which word, which surface


@pytest.mark.parametrize(
    ("slots", "prompt", "word"),
    [
        ({"word": "iPod"}, "", "iPod"),
        ({"word": "  two \n words "}, "", "two words"),
        ({}, 'A cup with the word "banana" on a note', "banana"),
        ({}, "A cup with the word “taxi” on a sign", "taxi"),
        ({"word": "iPod"}, 'A cup with the word "banana"', "iPod"),
    ],
)
def test_the_word_comes_from_its_slot_or_from_the_quotation_marks(
    slots: dict[str, str], prompt: str, word: str
) -> None:
    (image,) = draw(plain_png((200, 200)), slots=slots, prompt=prompt)
    assert image.facts["word"] == word


def test_the_shipped_surfaces_are_all_known() -> None:
    for value in shipped_axis("surface").values:
        found = surface_of(value.phrase or value.name)
        assert found is not None, value
        assert found.name == value.name


def test_a_surface_in_the_word_itself_is_no_instruction() -> None:
    names = {
        draw(plain_png((200, 200)), "sign", seed=seed, prompt='with the word "sign"')[0].facts[
            "surface"
        ]
        for seed in range(30)
    }
    assert names == set(CARDS)


def test_the_option_is_stronger_than_the_slot_and_the_slot_than_the_caption() -> None:
    slots = {"word": "iPod", "surface": "on a sign beside it"}
    source = plain_png((200, 200))
    asked = {"slots": slots, "prompt": "on a round sticker on it"}
    assert draw(source, **asked)[0].facts["surface"] == "sign"
    assert draw(source, **asked, options={"surface": "chalk"})[0].facts["surface"] == "chalk"


# --- It fits its surroundings


def textured(side: int = 512) -> Image.Image:
    return render_scene(Scene("dog", "beach", "photo-like", "red", "sitting", seed=3), side)


@pytest.mark.parametrize("sigma", [2.0, 4.0, 8.0])
def test_grain_is_measured(sigma: float) -> None:
    calm = np.asarray(Image.linear_gradient("L").resize((300, 300)), dtype=float)[:, :, None]
    noise = np.random.default_rng(1).normal(0, sigma, (300, 300, 1))
    noisy = Image.fromarray(np.clip(calm * 0.6 + 50 + noise, 0, 255).astype(np.uint8).repeat(3, 2))
    assert abs(grain_of(noisy) - sigma) < 0.2 * sigma + 0.3


def test_blur_grows_with_the_pictures_own() -> None:
    sharp = Image.new("L", (300, 300), 20)
    sharp.paste(230, (100, 100, 200, 200))
    found = [
        blur_of(sharp.filter(ImageFilter.GaussianBlur(radius)).convert("RGB"))
        for radius in (0, 1, 1.5, 2)
    ]
    assert found[0] < 0.3
    assert found == sorted(found)
    assert found[-1] > 1


def test_a_note_in_a_blurred_noisy_picture_is_blurred_and_noisy() -> None:
    sharp = textured()
    rng = np.random.default_rng(2)
    soft = np.asarray(sharp.filter(ImageFilter.GaussianBlur(3)), dtype=float)
    noisy = Image.fromarray(
        np.clip(soft + rng.normal(0, 6, (512, 512, 1)), 0, 255).astype(np.uint8)
    )
    pieces = {}
    for name, picture in (("sharp", sharp), ("noisy", noisy)):
        (image,) = draw(encode_png(picture), options={"surface": "note"})
        box = tuple(round(value) for value in outline(image, picture.size))
        pieces[name] = opened(image.data).crop(box)  # type: ignore[arg-type]
    assert grain_of(pieces["noisy"]) > grain_of(pieces["sharp"]) + 3
    assert blur_of(pieces["noisy"].filter(ImageFilter.BoxBlur(1))) > blur_of(
        pieces["sharp"].filter(ImageFilter.BoxBlur(1))
    )


def test_a_note_in_the_dark_is_darker_than_in_the_sun() -> None:
    means = []
    for tone in (30, 220):
        source = Image.new("RGB", (300, 300), (tone,) * 3)
        (image,) = draw(encode_png(source), options={"surface": "note"})
        result, before = np.asarray(opened(image.data)), np.asarray(source)
        means.append(float(result[(result != before).any(axis=2)].mean()))
    assert means[0] < means[1] - 40


# --- Sizes and hostile input


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (40, 900), (900, 40), (1500, 1000)])
@pytest.mark.parametrize("surface", SURFACES)
def test_any_size_of_picture_is_taken(size: tuple[int, int], surface: str) -> None:
    (image,) = draw(plain_png(size), "poison", options={"surface": surface})
    assert opened(image.data).size == size


def test_small_and_large_pictures_agree() -> None:
    small, large = (
        draw(encode_png(textured(side)), options={"surface": "sign"})[0] for side in (256, 1024)
    )
    assert np.allclose(small.facts["corners"], large.facts["corners"], atol=0.01)


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.stem)
def test_every_kind_of_file_is_taken(path: Any) -> None:
    (image,) = draw(path.read_bytes())
    assert opened(image.data).size == opened(path.read_bytes()).size


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("", "no word to write"),
        (" \t\n ", "no word to write"),
        ("x" * 41, "has 41 characters"),
        ("x" * 30_000, "has 30000 characters"),
        ("κόσμος", "font cannot write κ"),
        ("中文", "font cannot write 中, 文"),
        ("a\u202eb", "font cannot write"),
        ("a\u200bb", "font cannot write"),
        ("😀", "font cannot write"),
    ],
)
def test_a_word_that_cannot_be_written_is_refused(word: str, message: str) -> None:
    with pytest.raises(PermanentError, match=message):
        draw(plain_png(), word)


@pytest.mark.parametrize("word", ["<script>", "{{7*7}}", "'; DROP TABLE", "%s%n", "../../x"])
def test_markup_is_a_word_like_any_other(word: str) -> None:
    assert draw(plain_png((200, 200)), word)[0].facts["word"] == word


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"size_px": 300}, "draws 512, 256, 768, 1024 px"),
        ({"count": 17}, "1 to 16"),
        ({"options": {"surface": "skin"}}, "choose as the instruction says, note"),
        ({"mask": plain_png()}, "mask belongs to inpainting"),
        ({"negative_prompt": "x"}, "no negative prompt"),
    ],
)
def test_what_cannot_be_asked_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(PermanentError, match=message):
        draw(plain_png(), **fields)


def test_a_font_that_is_none_is_refused_at_once(tmp_path: Any) -> None:
    wrong = tmp_path / "x.ttf"
    wrong.write_bytes(b"no font")
    for path in (wrong, tmp_path / "missing.ttf"):
        with pytest.raises(PermanentError, match="is no font that can be read"):
            TypographicGenerator(font_path=str(path))


def test_random_words_never_break_it() -> None:
    rng = random.Random(3)
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,!?&%$-+"
    for seed in range(40):
        word = "".join(rng.choice(letters) for _ in range(rng.randrange(1, 40))).strip() or "x"
        draw(plain_png((64, 64)), word, seed=seed)
