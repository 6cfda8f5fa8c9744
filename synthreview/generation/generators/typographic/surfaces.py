"""What a word can stand on: one table of papers, boards and paints, and how each is drawn flat.

A flat piece is RGBA, seen straight on; `placing` puts it into a picture. Sizes are in shares of
the piece's height or of the picture's short side, so that small and large pictures agree.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from PIL import Image, ImageDraw, ImageFilter, ImageFont

RGB = tuple[int, int, int]
# Drawn this much larger, then reduced: the anti-aliasing.
SHARP: Final = 2


@dataclass(frozen=True, slots=True)
class Surface:
    """One thing that carries a word.

    `words` name it in an instruction ("on a paper note stuck to it"). `paint` draws the flat
    piece. `share` is its width in the picture, least and most; `spot` where its middle may
    lie: left, top, right, bottom. `tilt` is the most degrees that it hangs askew, `depth` how
    strongly its perspective may be turned. `shadow` is how far it stands off what is behind.
    `see_through`: how much of what is behind shows through paint, 0 to 1.
    """

    name: str
    words: tuple[str, ...]
    paint: Callable[[str, Letters, random.Random], Image.Image]
    share: tuple[float, float]
    spot: tuple[float, float, float, float]
    tilt: float = 8
    depth: float = 0.1
    shadow: float = 0.0
    see_through: float = 0.0


@dataclass(frozen=True, slots=True)
class Letters:
    """The font, and the height in pixels at which pieces are drawn."""

    font: Callable[[float], ImageFont.FreeTypeFont]
    height_px: int
    behind: RGB  # the mean colour of the picture where the word will stand

    def written(self, word: str, ink: RGB, height: float, *, bold: float = 0) -> Image.Image:
        """Return the word alone on nothing, so high in shares of the piece's height."""
        font = self.font(self.height_px * height * 1.25)
        stroke = round(self.height_px * height * bold)
        left, top, right, bottom = font.getbbox(word, stroke_width=stroke)
        image = Image.new(
            "RGBA", (max(1, round(right - left)), max(1, round(bottom - top))), (*ink, 0)
        )
        ImageDraw.Draw(image).text(
            (-left, -top), word, font=font, fill=(*ink, 255), stroke_width=stroke
        )
        return image


PAPERS: Final[tuple[RGB, ...]] = (
    (252, 232, 120), (250, 244, 214), (190, 226, 240), (250, 196, 206), (206, 236, 190),
)  # fmt: skip
BOARDS: Final[tuple[RGB, ...]] = ((24, 92, 60), (28, 66, 130), (170, 34, 36), (236, 234, 224))
BRIGHT: Final[tuple[RGB, ...]] = (
    (222, 44, 44), (246, 196, 30), (34, 120, 210), (44, 160, 84), (250, 250, 246),
)  # fmt: skip


def _ink_on(paper: RGB, rng: random.Random) -> RGB:
    """Return a pen's colour that can be read on the paper."""
    if sum(paper) < 380:
        return rng.choice(((250, 248, 240), (252, 226, 90)))
    return rng.choice(((24, 24, 34), (26, 44, 120), (150, 22, 28)))


def _showing(behind: RGB, colours: tuple[RGB, ...], rng: random.Random) -> RGB:
    """Return one of the two colours that show best against what is behind."""

    def distance(colour: RGB) -> int:
        return sum((p - q) ** 2 for p, q in zip(colour, behind, strict=True))

    best = sorted(colours, key=distance)[-2 if len(colours) > 3 else -1 :]
    return rng.choice(best)


def _card(
    word: Image.Image, paper: RGB, margin: tuple[float, float], radius: float = 0
) -> Image.Image:
    """Return a rectangle of paper with the word in its middle."""
    pad_x, pad_y = (round(word.height * share) for share in margin)
    wide, high = word.width + 2 * pad_x, word.height + 2 * pad_y
    image = Image.new("RGBA", (wide, high), (*paper, 0))
    box = (0, 0, wide - 1, high - 1)
    ImageDraw.Draw(image).rounded_rectangle(box, radius * high, fill=(*paper, 255))
    image.alpha_composite(word, (pad_x, pad_y))
    return image


def _note(word: str, letters: Letters, rng: random.Random) -> Image.Image:
    """A sheet from a pad: a lighter band where it sticks, the word handwritten askew."""
    paper = rng.choice(PAPERS)
    text = letters.written(word, _ink_on(paper, rng), 0.36)
    text = text.rotate(rng.uniform(-4, 4), Image.Resampling.BICUBIC, expand=True)
    card = _card(text, paper, (0.35, rng.uniform(0.7, 1.1)), 0.01)
    band = Image.new("RGBA", (card.width, card.height // 6), (255, 255, 255, 70))
    card.alpha_composite(band, (0, 0))
    return card


def _label(word: str, letters: Letters, rng: random.Random) -> Image.Image:
    """A price tag: a hole on its cut-off end, with a bit of string."""
    paper = rng.choice(((246, 240, 224), (224, 190, 138), (250, 250, 248)))
    card = _card(letters.written(word, _ink_on(paper, rng), 0.34), paper, (0.5, 0.4))
    nose = round(card.height * 0.62)
    tag = Image.new("RGBA", (card.width + nose, card.height), (*paper, 0))
    ink = ImageDraw.Draw(tag)
    cut = card.height // 4
    outline = [(nose, 0), (tag.width - 1, 0), (tag.width - 1, tag.height - 1),
               (nose, tag.height - 1), (0, tag.height - cut), (0, cut)]  # fmt: skip
    ink.polygon(outline, fill=(*paper, 255))
    tag.alpha_composite(card, (nose, 0))
    hole, middle = card.height * 0.09, (nose * 0.5, card.height / 2)
    ink.ellipse((middle[0] - hole * 1.7, middle[1] - hole * 1.7, middle[0] + hole * 1.7,
                 middle[1] + hole * 1.7), fill=(150, 110, 70, 255))  # fmt: skip
    ink.ellipse((middle[0] - hole, middle[1] - hole, middle[0] + hole, middle[1] + hole),
                fill=(*paper, 0))  # fmt: skip
    string = [(middle[0] * 0.9, middle[1]), (0, middle[1] * 0.7)]
    ink.line(string, fill=(120, 92, 64, 255), width=max(2, card.height // 30))
    return tag


def _sign(word: str, letters: Letters, rng: random.Random) -> Image.Image:
    """A board with a frame on a post that stands on the ground."""
    board = rng.choice(BOARDS)
    ink_colour = _ink_on(board, rng)
    card = _card(letters.written(word, ink_colour, 0.4), board, (0.45, 0.45), 0.08)
    edge = max(2, card.height // 22)
    box = (edge, edge, card.width - edge - 1, card.height - edge - 1)
    ImageDraw.Draw(card).rounded_rectangle(
        box, card.height * 0.06, outline=(*ink_colour, 255), width=edge
    )
    post = round(card.height * 0.16)
    whole = Image.new("RGBA", (card.width, round(card.height * 1.9)), (*board, 0))
    middle = card.width // 2
    ImageDraw.Draw(whole).rectangle(
        (middle - post // 2, card.height // 2, middle + post // 2, whole.height),
        fill=(112, 96, 84, 255),
    )
    whole.alpha_composite(card, (0, 0))
    return whole


def _sticker(word: str, letters: Letters, rng: random.Random) -> Image.Image:
    """A round sticker with a white rim."""
    colour = rng.choice(BRIGHT)
    text = letters.written(word, _ink_on(colour, rng), 0.34)
    side = round(max(text.width, text.height) * 1.35)
    image = Image.new("RGBA", (side, side), (255, 255, 255, 0))
    ink, rim = ImageDraw.Draw(image), round(side * 0.04)
    ink.ellipse((0, 0, side - 1, side - 1), fill=(252, 252, 250, 255))
    ink.ellipse((rim, rim, side - 1 - rim, side - 1 - rim), fill=(*colour, 255))
    image.alpha_composite(text, ((side - text.width) // 2, (side - text.height) // 2))
    return image


def _banner(word: str, letters: Letters, rng: random.Random) -> Image.Image:
    """A long cloth with the word on it."""
    cloth = rng.choice(BRIGHT)
    return _card(letters.written(word, _ink_on(cloth, rng), 0.5), cloth, (1.4, 0.35))


def _caption(word: str, letters: Letters, rng: random.Random) -> Image.Image:
    """A strip as under a printed picture."""
    paper = rng.choice(((250, 250, 248), (18, 18, 22)))
    return _card(letters.written(word, _ink_on(paper, rng), 0.5), paper, (2.0, 0.5))


def _paint(word: str, letters: Letters, rng: random.Random) -> Image.Image:
    """Letters painted on what is there, in a colour that shows against it."""
    return letters.written(word, _showing(letters.behind, BRIGHT, rng), 0.9, bold=0.05)


def _chalk(word: str, letters: Letters, rng: random.Random) -> Image.Image:
    """Letters with the gaps that chalk leaves on a rough wall."""
    chalks: tuple[RGB, ...] = ((244, 242, 234), (250, 226, 120), (46, 44, 52))
    text = letters.written(word, _showing(letters.behind, chalks, rng), 0.9, bold=0.03)
    return _roughened(text, rng, gaps=0.35)


def _graffiti(word: str, letters: Letters, rng: random.Random) -> Image.Image:
    """Fat sprayed letters with a dark outline."""
    text = letters.written(word.upper(), rng.choice(BRIGHT[:4]), 0.9, bold=0.05)
    reach = max(1, text.height // 16)
    padded = Image.new("RGBA", (text.width + 6 * reach, text.height + 6 * reach))
    padded.alpha_composite(text, (3 * reach, 3 * reach))
    grown = padded.getchannel("A").filter(ImageFilter.GaussianBlur(reach))
    outline = Image.new("RGBA", padded.size, (20, 18, 30, 0))
    outline.putalpha(grown.point([min(255, value * 4) for value in range(256)]))
    outline.alpha_composite(padded)
    return outline


def _watermark(word: str, letters: Letters, rng: random.Random) -> Image.Image:
    """Pale letters over the whole picture."""
    tones: tuple[RGB, ...] = ((250, 250, 250), (30, 30, 34))
    return letters.written(word, _showing(letters.behind, tones, rng), 0.9, bold=0.02)


def _roughened(text: Image.Image, rng: random.Random, gaps: float) -> Image.Image:
    grain = Image.frombytes("L", (text.width, text.height), rng.randbytes(text.width * text.height))
    grain = grain.filter(ImageFilter.GaussianBlur(max(0.6, text.height / 90)))
    low, high = grain.getextrema()
    cut = low + (high - low) * gaps  # type: ignore[operator]
    holes = grain.point([0 if value < cut else 255 for value in range(256)])
    alpha = Image.composite(text.getchannel("A"), Image.new("L", text.size), holes)
    rough = text.copy()
    rough.putalpha(alpha)
    return rough


_MIDDLE: Final = (0.36, 0.42, 0.64, 0.68)
_GROUND: Final = (0.2, 0.62, 0.8, 0.74)
_WALL: Final = (0.3, 0.14, 0.7, 0.28)
_TABLE: Final = (
    Surface("note", ("note", "paper"), _note, (0.3, 0.44), _MIDDLE, 9, 0.12, shadow=0.012),
    Surface("label", ("label", "price", "tag"), _label, (0.34, 0.48), _MIDDLE, 16, 0.14, 0.016),
    Surface("sign", ("sign", "board"), _sign, (0.32, 0.46), _GROUND, 3, 0.08, shadow=0.01),
    Surface("sticker", ("sticker", "badge"), _sticker, (0.26, 0.36), _MIDDLE, 20, 0.1, 0.004),
    Surface("painted", ("painted", "written"), _paint, (0.45, 0.7), _MIDDLE, 6, 0.16,
            see_through=0.15),
    Surface("caption", ("caption", "subtitle"), _caption, (0.7, 0.95), (0.5, 0.9, 0.5, 0.92),
            tilt=0, depth=0),
    Surface("watermark", ("watermark",), _watermark, (0.7, 0.9), (0.5, 0.5, 0.5, 0.5),
            tilt=32, depth=0, see_through=0.6),
    Surface("chalk", ("chalk",), _chalk, (0.4, 0.6), _WALL, 4, see_through=0.2),
    Surface("banner", ("banner", "flag"), _banner, (0.5, 0.7), (0.42, 0.12, 0.58, 0.2), 3, 0.08,
            shadow=0.01),
    Surface("graffiti", ("graffiti", "sprayed"), _graffiti, (0.42, 0.62), _WALL, 6, 0.12,
            see_through=0.12),
)  # fmt: skip
SURFACES: Final[dict[str, Surface]] = {surface.name: surface for surface in _TABLE}
# What is taken by lot where nothing is named.
CARDS: Final = ("note", "label", "sign", "sticker")


def surface_of(text: str) -> Surface | None:
    """Return the surface that an instruction names, or None. The first word of it counts."""
    found = (
        (match.start(), surface)
        for surface in SURFACES.values()
        for word in surface.words
        if (match := re.search(rf"\b{re.escape(word)}s?\b", text.lower()))
    )
    return min(found, key=lambda each: each[0], default=(0, None))[1]
