"""Misleading words on existing pictures, as every generator does it: a request in, images out."""

from __future__ import annotations

import functools
import random
import re
from pathlib import Path
from typing import Any, Final

from PIL import Image, ImageFont

from synthreview.generation.generators.base import (
    TYPOGRAPHIC,
    Capabilities,
    DrawnImage,
    DrawRequest,
    DrawResult,
    Health,
    Option,
)
from synthreview.generation.generators.checking import (
    check_request,
    encode_png,
    listed,
    read_inputs,
)
from synthreview.generation.generators.typographic.placing import mean_in, place
from synthreview.generation.generators.typographic.surfaces import (
    CARDS,
    SHARP,
    SURFACES,
    Letters,
    Surface,
    surface_of,
)
from synthreview.lib.outcomes import PermanentError

# Raise this whenever a picture changes: images name it as their model's version.
VERSION: Final = "typographic-1"
MAX_SEED: Final = 2**31 - 1
LONGEST_WORD: Final = 40
_QUOTED: Final = re.compile(r"[\"“”„«»']([^\"“”„«»']{1,200})[\"“”„«»']")
AUTO: Final = "as the instruction says"


class TypographicGenerator:
    """Puts a word on a picture: on a note, a label, a sign, a sticker, painted, and so on.

    The picture keeps its size, whatever size is asked; beside the piece and its shadow not one
    pixel changes. The same request with the same seed gives the same bytes.

    Args:
        font_path: a TrueType or OpenType file; else the Latin one that Pillow brings along,
            which has the letters of English.
    """

    title = "Typographic (words on pictures)"
    notice = ""
    model = "typographic"

    def __init__(self, *, font_path: str = "") -> None:
        """Keep the font. Raises PermanentError: no such file, or no font."""
        self._font_path = font_path
        try:
            _font(font_path, 20)
        except OSError as error:
            raise PermanentError(f"{font_path} is no font that can be read: {error}") from error

    def capabilities(self) -> Capabilities:
        """Say what can be asked."""
        return Capabilities(
            able=frozenset({TYPOGRAPHIC}),
            sizes_px=(512, 256, 768, 1024),
            images_per_call=16,
            takes_seed=True,
            takes_idempotency_key=True,
            options=(
                Option(
                    "surface",
                    "What the word stands on",
                    "choice",
                    default=AUTO,
                    choices=(AUTO, *SURFACES),
                ),
            ),
        )

    def estimate_micro_usd(self, request: DrawRequest) -> int:
        """Return 0: it costs processor time only."""
        return 0

    def health(self) -> Health:
        """Say with which font it writes."""
        family, style = _font(self._font_path, 20).getname()
        return Health(facts=(f"It writes in {family} {style}.",))

    def draw(self, request: DrawRequest, *, idempotency_key: str) -> DrawResult:
        """Put the word on the picture `count` times; image i has the seed of the request plus i.

        The word is `slots["word"]`, else what stands in quotation marks in the prompt; the
        surface is the option, else what `slots["surface"]` or the prompt names, else one of
        the cards by lot.

        Raises:
            PermanentError: no word, one that is too long or that the font cannot write, or an
                input that cannot be read.
        """
        options = check_request(request, self.capabilities(), self.title)
        word = self._word(request)
        (source,) = read_inputs(request)
        named = SURFACES.get(options["surface"]) or surface_of(
            request.slots.get("surface", "") or request.prompt.replace(word, "")
        )
        first = random.SystemRandom().randrange(MAX_SEED) if request.seed is None else request.seed
        images = tuple(
            self._one(source.pixels, word, named, first + number) for number in range(request.count)
        )
        return DrawResult(images=images, model=self.model, model_version=VERSION)

    def _one(self, picture: Image.Image, word: str, named: Surface | None, seed: int) -> DrawnImage:
        rng = random.Random(f"typographic/{seed}")
        surface = named or SURFACES[rng.choice(CARDS)]
        height_px = max(24, round(min(picture.size) * surface.share[1] * 0.5)) * SHARP
        behind = mean_in(picture, surface.spot)
        letters = Letters(functools.partial(_font, self._font_path), min(height_px, 1200), behind)
        piece = surface.paint(word, letters, rng)
        placed = place(picture, piece, surface, rng)
        facts: dict[str, Any] = {
            "made": "the word pasted in with Pillow; no model drew it",
            "word": word,
            "surface": surface.name,
            # In shares of the picture, so that they hold for its renditions too.
            "corners": [
                [round(x / picture.width, 4), round(y / picture.height, 4)]
                for x, y in placed.corners
            ],
        }
        return DrawnImage(encode_png(placed.image), "image/png", seed=seed, facts=facts)

    def _word(self, request: DrawRequest) -> str:
        """Return the word to write, on one line. Raises PermanentError."""
        quoted = _QUOTED.search(request.prompt)
        given = request.slots.get("word", "") or (quoted[1] if quoted else "")
        word = " ".join(given.split())
        if not word:
            raise PermanentError(
                'There is no word to write: give the slot "word", or put it in the caption in '
                "quotation marks."
            )
        if len(word) > LONGEST_WORD:
            raise PermanentError(
                f"{word[:20]!r}… has {len(word)} characters; {LONGEST_WORD} fit on a surface"
            )
        if missing := [letter for letter in dict.fromkeys(word) if not self._has(letter)]:
            raise PermanentError(
                f"The font cannot write {listed(missing)}: name one that can in SYNTHREVIEW_FONT."
            )
        return word

    def _has(self, letter: str) -> bool:
        """Say whether the font has this letter, and does not put its empty box for it."""
        if letter == " ":
            return True
        font = _font(self._font_path, 40)
        shape, nothing = (bytes(font.getmask(text)) for text in (letter, "\U0010fffe"))
        return bool(any(shape)) and shape != nothing and letter.isprintable()


@functools.lru_cache(maxsize=64)
def _font(path: str, size_px: float) -> ImageFont.FreeTypeFont:
    """Return the font at a size. Raises OSError."""
    if path:
        if not Path(path).is_file():
            raise OSError("there is no such file")
        return ImageFont.truetype(path, size_px)
    font = ImageFont.load_default(size_px)
    assert isinstance(font, ImageFont.FreeTypeFont), "Pillow was built without FreeType"
    return font
