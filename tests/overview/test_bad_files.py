"""Every door by which a picture comes in refuses every bad file, with a reason, and goes on.

The doors: one's own images by page and by command, images that are imported, and a mask.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from django.core.management import call_command
from django.test import Client
from PIL import Image, PngImagePlugin

from synthreview.catalog.models import ReferenceImage
from synthreview.catalog.storage import blobs
from synthreview.generation.models import Call, GeneratedImage
from tests.factories import make_image, tiny_png
from tests.lib.test_images import encoded, png_that_claims
from tests.people import People, make_people

pytestmark = pytest.mark.django_db
KIND = "not a PNG, JPEG or WebP"


def noise(kind: str) -> bytes:
    pixels = np.random.default_rng(1).integers(0, 255, (120, 120, 3), dtype=np.uint8)
    return encoded(Image.fromarray(pixels), kind)


def animated(kind: str, frames: int) -> bytes:
    first, *others = [
        Image.new("RGB", (4, 4), (n * 97 % 251, n % 2 * 250, 0)) for n in range(frames)
    ]
    return encoded(first, kind, save_all=True, append_images=others)


def with_huge_text() -> bytes:
    """A PNG with a compressed comment of 100 MB."""
    info = PngImagePlugin.PngInfo()
    info.add_itxt("comment", "x", zip=True)
    small = encoded(Image.new("RGB", (8, 8)), pnginfo=info)
    text = b"comment\0\1\0\0\0" + zlib.compress(b"x" * 100_000_000, 9)
    chunk = struct.pack(">I", len(text)) + b"iTXt" + text
    chunk += struct.pack(">I", zlib.crc32(b"iTXt" + text))
    return small[:33] + chunk + small[33:]


BAD = {
    "drawing.svg.png": (b'<svg xmlns="http://www.w3.org/2000/svg"><script/></svg>', KIND),
    "page.html.png": (b"<!doctype html><img src=x onerror=alert(1)>", KIND),
    "paper.pdf.png": (b"%PDF-1.7\n", KIND),
    "print.eps.png": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", KIND),
    "layers.psd.png": (b"8BPS\0\1", KIND),
    "moving.gif.png": (encoded(Image.new("P", (4, 4)), "GIF"), KIND),
    "text.png": (b"no picture at all", KIND),
    "bomb.png": (png_that_claims(14_000, 14_000), "too many pixels"),
    "large.png": (png_that_claims(8_000, 5_001), "too many pixels"),
    "half.png": (noise("PNG")[:9000], "damaged image"),
    "half.jpg": (noise("JPEG")[:3000], "damaged image"),
    "half.webp": (noise("WEBP")[:3000], "damaged"),
    "frames.png": (animated("PNG", 3), "an animation"),
    "frames.webp": (animated("WEBP", 3), "an animation"),
    "many.png": (animated("PNG", 2000), "an animation"),
    "comment.png": (with_huge_text(), "damaged image"),
}
EVERY = pytest.mark.parametrize(
    ("name", "data", "reason"), [(name, *bad) for name, bad in BAD.items()], ids=BAD
)


@pytest.fixture
def people() -> People:
    return make_people()


def upload(name: str, data: bytes) -> io.BytesIO:
    file = io.BytesIO(data)
    file.name = name
    return file


def nothing_stored() -> Callable[[], None]:
    """Return what asserts that since now neither a row nor a file has come."""
    root = Path(blobs().root)
    before = sorted(path for path in root.rglob("*") if path.is_file())
    counts = (ReferenceImage.objects.count(), GeneratedImage.objects.count(), Call.objects.count())

    def check() -> None:
        assert counts == (
            ReferenceImage.objects.count(), GeneratedImage.objects.count(), Call.objects.count(),
        )  # fmt: skip
        assert sorted(path for path in root.rglob("*") if path.is_file()) == before

    return check


@EVERY
def test_the_page_of_ones_own_images(name: str, data: bytes, reason: str, people: People) -> None:
    client, check = people.client("curator"), nothing_stored()
    page = "/d/traffic/references/"
    form = {"label_class": people.label_class.pk, "use": "source", "pictures": [upload(name, data)]}
    body = client.post(page, form, follow=True).content.decode()
    assert f"{name}: " in body
    assert reason in body
    check()
    # A good one beside it comes in all the same.
    form["pictures"] = [upload(name, data), upload("good.png", tiny_png(7))]
    assert "1 pictures are in" in client.post(page, form, follow=True).content.decode()


@EVERY
def test_a_mask(name: str, data: bytes, reason: str, people: People, client: Client) -> None:
    image = make_image(people.dataset)
    client, check = people.client("curator"), nothing_stored()
    form = {
        "instruction": "with a hat", "label_class": image.label_class_id, "left": 0, "top": 0,
        "right": 100, "bottom": 40, "count": 1, "generator": "sketch", "mask": upload(name, data),
    }  # fmt: skip
    answer = client.post(f"/images/{image.pk}/repaint", form)
    assert answer.status_code == 200
    assert "This mask cannot be used" in answer.content.decode()
    assert reason in answer.content.decode()
    check()


def test_the_commands(people: People, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = people.label_class.name
    folder = tmp_path / "pictures" / name
    folder.mkdir(parents=True)
    for file, (data, _) in BAD.items():
        (folder / file).write_bytes(data)
    (folder / "good.png").write_bytes(tiny_png(7))
    for command, rows, options in (
        ("import_references", ReferenceImage.objects, {"use": "source"}),
        ("import_images", GeneratedImage.objects, {}),
    ):
        call_command(command, "traffic", str(tmp_path / "pictures"), **options)
        said = capsys.readouterr()
        lines = (said.out + said.err).splitlines()
        for file, (_, reason) in BAD.items():
            assert [line for line in lines if file in line and reason in line], (file, lines)
        assert rows.count() == 1
