"""Every image in one form: one kind of file, no side longer than wished, no metadata but a mark.

What people train on is then alike; what a provider wrote into the original (C2PA, EXIF) is not in
it, which is why originals are the rule. The manifest keeps the original's checksum, and the
mark says that a model drew it (IPTC digital source type, in XMP).
"""

from __future__ import annotations

import hashlib
import io
import re
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from synthreview.export.writers.base import ExportEntry
from synthreview.export.writers.marks import C2paSigner
from synthreview.lib.images import decode

KINDS = {"jpeg": "image/jpeg", "png": "image/png", "webp": "image/webp"}
MIN_SIDE_PX, MAX_SIDE_PX = 16, 8192
DEFAULT_QUALITY = 90
THREADS = 4
WISH = re.compile(
    r"(?P<kind>[a-z]+)(?:-(?P<side>\d{1,6})px)?(?:-q(?P<quality>\d{1,3}))?(?P<c2pa>-c2pa)?",
    re.ASCII,
)


class EncodingError(ValueError):
    """A form that no image can have; the message says what is allowed."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """The form that every image gets: at most `side_px` on its longer side, never enlarged.

    `is_signed`: with Content Credentials (marks.py).
    """

    kind: str
    side_px: int | None = None
    quality: int | None = None
    is_signed: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise EncodingError(f"{self.kind!r}: choose {', '.join(KINDS)}, or the originals.")
        if self.side_px is not None and not MIN_SIDE_PX <= self.side_px <= MAX_SIDE_PX:
            raise EncodingError(
                f"{self.side_px} px: choose a longer side of {MIN_SIDE_PX} to {MAX_SIDE_PX} px."
            )
        if self.quality is not None and (self.kind == "png" or not 1 <= self.quality <= 100):
            raise EncodingError(
                "A quality is 1 to 100, and for jpeg and webp only: png loses nothing."
            )

    def __str__(self) -> str:
        side = f"-{self.side_px}px" if self.side_px else ""
        quality = f"-q{self.quality}" if self.quality else ""
        return f"{self.kind}{side}{quality}{'-c2pa' if self.is_signed else ''}"

    @property
    def in_words(self) -> str:
        """Return "JPEG, quality 90, at most 512 px on the longer side"."""
        words = [self.kind.upper() if self.kind != "webp" else "WebP"]
        if self.kind != "png":
            words.append(f"quality {self.quality or DEFAULT_QUALITY}")
        if self.side_px:
            words.append(f"at most {self.side_px} px on the longer side")
        if self.is_signed:
            words.append("signed (C2PA)")
        return ", ".join(words)


def parse_encoding(text: str) -> Encoding | None:
    """Return the form that "jpeg-512px-q90" names; None for "original". Raises EncodingError."""
    wish = text.strip().lower()
    if wish in ("", "original"):
        return None
    found = WISH.fullmatch(wish)
    if found is None:
        raise EncodingError(f"{text!r}: write original, png, jpeg-512px or jpeg-512px-q90.")
    side, quality = found["side"], found["quality"]
    return Encoding(
        found["kind"],
        int(side) if side else None,
        int(quality) if quality else None,
        bool(found["c2pa"]),
    )


def encode_all(
    entries: Iterable[ExportEntry],
    encoding: Encoding,
    *,
    signer: C2paSigner | None = None,
    threads: int = THREADS,
) -> Iterator[ExportEntry]:
    """Yield the entries encoded anew, in their order, a few ahead of the one that is asked for.

    Raises BadImageError for an original that cannot be decoded, MarkError, OSError.
    """
    ahead: deque[Future[ExportEntry]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="encode") as pool:
        try:
            for entry in entries:
                ahead.append(pool.submit(encoded, entry, encoding, signer))
                if len(ahead) > 2 * threads:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()


def encoded(
    entry: ExportEntry, encoding: Encoding, signer: C2paSigner | None = None
) -> ExportEntry:
    """Return the entry with its image encoded anew. Raises BadImageError, MarkError, OSError."""
    stored = entry.read()
    pixels = decode(stored).pixels
    side = encoding.side_px
    if side and max(pixels.size) > side:
        pixels.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=3.0)
    data = _file(pixels, encoding, entry.source_type)
    if signer:
        data = signer.sign(
            data,
            KINDS[encoding.kind],
            title=entry.stem,
            source_type=entry.source_type,
            original=stored,
            original_type=entry.media_type,
        )
    original = {
        "sha256": entry.sha256,
        "media_type": entry.media_type,
        "width": entry.width,
        "height": entry.height,
    }
    return replace(
        entry,
        data=data,
        sha256=hashlib.sha256(data).hexdigest(),
        byte_count=len(data),
        media_type=KINDS[encoding.kind],
        width=pixels.width,
        height=pixels.height,
        record={**entry.record, "original": original},
    )


def _file(pixels: Image.Image, encoding: Encoding, source_type: str) -> bytes:
    mark = xmp(source_type) if source_type else None
    pixels.info = {}  # Pillow would write the original's comment and profile again
    buffer = io.BytesIO()
    quality = encoding.quality or DEFAULT_QUALITY
    if encoding.kind == "png":
        info = PngInfo()
        if mark:
            info.add_itxt("XML:com.adobe.xmp", mark.decode())
        pixels.save(buffer, "PNG", pnginfo=info)
    elif encoding.kind == "jpeg":
        # Colour at half the width blurs thin coloured lines; above 90 nobody wants that.
        pixels.save(
            buffer, "JPEG", quality=quality, subsampling=0 if quality >= 90 else 2,
            **({"xmp": mark} if mark else {}),
        )  # fmt: skip
    else:
        pixels.save(buffer, "WEBP", quality=quality, method=4, **({"xmp": mark} if mark else {}))
    return buffer.getvalue()


def xmp(source_type: str) -> bytes:
    """Return the packet that tells how an image came about.

    Source: IPTC Photo Metadata Standard 2024.1, Iptc4xmpExt:DigitalSourceType, with a term of
    the vocabulary http://cv.iptc.org/newscodes/digitalsourcetype/.
    """
    term = f"http://cv.iptc.org/newscodes/digitalsourcetype/{source_type}"
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" '
        'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">'
        f"<Iptc4xmpExt:DigitalSourceType>{term}</Iptc4xmpExt:DigitalSourceType>"
        "</rdf:Description></rdf:RDF></x:xmpmeta>"
        '<?xpacket end="r"?>'
    ).encode()
