"""Images encoded anew: alike, marked, and none of what their originals carried but the picture."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

from synthreview.export.writers.encoding import (
    Encoding,
    EncodingError,
    encode_all,
    encoded,
    parse_encoding,
)
from synthreview.lib.images import BadImageError
from tests.export.entries import entry

SOURCE_TYPE = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
VOCABULARY = "http://cv.iptc.org/newscodes/digitalsourcetype/"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("original", None),
        ("", None),
        ("png", Encoding("png")),
        ("JPEG-512px", Encoding("jpeg", 512)),
        (" jpeg-512px-q90 ", Encoding("jpeg", 512, 90)),
        ("webp-q80", Encoding("webp", None, 80)),
    ],
)
def test_a_form_is_read_and_written_alike(text: str, encoding: Encoding | None) -> None:
    assert parse_encoding(text) == encoding
    assert parse_encoding(str(encoding or "original")) == encoding


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("gif", "choose jpeg, png, webp, or the originals"),
        ("jpg", "choose jpeg, png, webp"),
        ("jpeg-0px", "16 to 8192 px"),
        ("jpeg-9000px", "16 to 8192 px"),
        ("png-q90", "png loses nothing"),
        ("jpeg-q0", "1 to 100"),
        ("jpeg-q101", "1 to 100"),
        ("jpeg/../x", "write original, png"),
        ("jpeg 512", "write original, png"),
        ("jpeg-\u0665px", "write original, png"),
    ],
)
def test_a_form_that_cannot_be_says_what_can(text: str, words: str) -> None:
    with pytest.raises(EncodingError, match=words):
        parse_encoding(text)


@pytest.mark.parametrize(("kind", "name"), [("png", "PNG"), ("jpeg", "JPEG"), ("webp", "WEBP")])
def test_an_image_gets_form_mark_and_new_checksum(tmp_path: Path, kind: str, name: str) -> None:
    made = encoded(entry(tmp_path, 1), Encoding(kind))
    assert made.data is not None
    assert made.sha256 == hashlib.sha256(made.data).hexdigest()
    assert made.byte_count == len(made.read())
    assert made.record["original"]["sha256"] == entry(tmp_path, 1).sha256
    with Image.open(io.BytesIO(made.data)) as image:
        assert (image.format, image.size, image.mode) == (name, (16, 12), "RGB")
        (told,) = ElementTree.fromstring(image.info["xmp"]).iter(SOURCE_TYPE)
        assert told.text == f"{VOCABULARY}trainedAlgorithmicMedia"


def test_what_may_be_a_photograph_gets_no_mark(tmp_path: Path) -> None:
    for kind in ("png", "jpeg", "webp"):
        made = encoded(entry(tmp_path, 1, source_type=""), Encoding(kind))
        assert b"digitalsourcetype" not in made.read()


def test_nothing_of_the_originals_metadata_goes_along(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x9C9D] = "Rita".encode("utf-16-le")
    exif[0x010E] = "taken at home"
    path = tmp_path / "original"
    Image.new("RGB", (32, 16)).save(path, "JPEG", exif=exif, comment=b"by Rita")
    data = path.read_bytes()
    made = encoded(
        entry(tmp_path, 1, source=path, byte_count=len(data), media_type="image/jpeg"),
        Encoding("jpeg"),
    )
    for secret in (b"Rita", b"taken at home", b"Exif"):
        assert secret not in made.read()


@pytest.mark.parametrize(
    ("size", "side", "expected"),
    [((400, 100), 64, (64, 16)), ((100, 400), 64, (16, 64)), ((20, 10), 64, (20, 10))],
)
def test_no_side_is_longer_than_wished_and_nothing_is_enlarged(
    tmp_path: Path, size: tuple[int, int], side: int, expected: tuple[int, int]
) -> None:
    path = tmp_path / "original"
    Image.new("RGB", size, "red").save(path, "PNG")
    wide = entry(tmp_path, 1, source=path, byte_count=path.stat().st_size)
    made = encoded(wide, Encoding("png", side))
    assert (made.width, made.height) == expected


def test_entries_keep_their_order_and_only_a_few_are_ahead(tmp_path: Path) -> None:
    asked: list[int] = []

    def entries():  # type: ignore[no-untyped-def]
        for number in range(60):
            asked.append(number)
            yield entry(tmp_path, number)

    stems = []
    for made in encode_all(entries(), Encoding("jpeg", 16), threads=2):
        stems.append(made.stem)
        assert len(asked) - len(stems) <= 2 * 2
    assert stems == [f"{number:08d}" for number in range(60)]


def test_an_original_that_is_no_image_breaks_the_writing_off(tmp_path: Path) -> None:
    path = tmp_path / "blob"
    path.write_bytes(b"<svg/>")
    with pytest.raises(BadImageError):
        list(encode_all([entry(tmp_path, 1, source=path, byte_count=6)], Encoding("png")))
