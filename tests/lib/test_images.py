"""Images from outside: what is taken, what is refused before it costs anything."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from synthreview.lib.images import BadImageError, decode, rendition


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def plain(kind: str = "PNG", **options: Any) -> bytes:
    return encoded(Image.new("RGB", (40, 20), (200, 10, 10)), kind, **options)


def png_that_claims(width: int, height: int) -> bytes:
    """Return a small PNG whose header claims a size that its data does not have."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 100)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("kind", "media_type"), [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("WEBP", "image/webp")]
)
def test_it_takes_three_kinds(kind: str, media_type: str) -> None:
    decoded = decode(plain(kind))
    assert (decoded.media_type, decoded.width, decoded.height) == (media_type, 40, 20)
    assert decoded.pixels.mode == "RGB"


@pytest.mark.parametrize("size", [(14_000, 14_000), (8_000, 5_001), (2**31 - 1, 2**31 - 1)])
def test_a_bomb_is_refused_before_it_is_decoded(size: tuple[int, int]) -> None:
    data = png_that_claims(*size)
    assert len(data) <= 250
    tracemalloc.start()
    with pytest.raises(BadImageError, match=r"too many pixels|damaged"):
        decode(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


@pytest.mark.parametrize(
    "data",
    [
        b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
        b"<!doctype html><img src=x onerror=alert(1)>",
        b"%PDF-1.7\n",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"8BPS\0\1",
        b"",
        encoded(Image.new("P", (4, 4)), "GIF"),
        encoded(Image.new("RGB", (4, 4)), "BMP"),
        encoded(Image.new("RGB", (4, 4)), "TIFF"),
    ],
    ids=["svg", "html", "pdf", "eps", "psd", "nothing", "gif", "bmp", "tiff"],
)
def test_another_kind_is_refused_whatever_its_name(data: bytes) -> None:
    with pytest.raises(BadImageError, match="not a PNG, JPEG or WebP"):
        decode(data)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_truncated_file_is_refused(kind: str) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), kind)
    with pytest.raises(BadImageError):
        decode(data[: len(data) // 2])


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_an_animation_is_refused(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), (n * 90, 0, 0)) for n in range(3)]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    with pytest.raises(BadImageError, match="an animation"):
        decode(data)


def test_a_file_of_too_many_bytes_is_refused() -> None:
    with pytest.raises(BadImageError, match="larger than 50 MB"):
        decode(plain() + bytes(50_000_000))


def test_pixels_are_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side
    decoded = decode(plain("JPEG", exif=exif))
    assert (decoded.width, decoded.height) == decoded.pixels.size == (20, 40)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_see_through_lies_on_white(mode: str) -> None:
    image = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    image.putpixel((0, 0), (0, 0, 255, 255))
    pixels = decode(encoded(image.convert(mode) if mode != "P" else image.quantize())).pixels
    assert pixels.getpixel((3, 3)) == (255, 255, 255)
    assert pixels.getpixel((0, 0)) != (255, 255, 255)


def test_sixteen_bits_become_eight_and_not_white() -> None:
    ramp = np.array([[0, 32_768, 65_535]], dtype=np.uint16)
    pixels = decode(encoded(Image.fromarray(ramp))).pixels
    assert [pixels.getpixel((x, 0)) for x in range(3)] == [(0,) * 3, (128,) * 3, (255,) * 3]


@pytest.mark.parametrize("mode", ["L", "1", "CMYK"])
def test_other_modes_become_rgb(mode: str) -> None:
    kind = "JPEG" if mode == "CMYK" else "PNG"
    assert decode(encoded(Image.new(mode, (4, 4)), kind)).pixels.mode == "RGB"


def test_a_huge_text_chunk_is_refused_or_ignored_in_little_memory() -> None:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_itxt("x", "a" * 60_000_000, zip=True)
    with pytest.raises(BadImageError):
        decode(plain(pnginfo=info))


def test_a_rendition_is_small_and_carries_nothing() -> None:
    exif = Image.Exif()
    exif[0x010E] = "secret"
    big = Image.new("RGB", (3000, 1000), (1, 2, 3))
    data = rendition(decode(encoded(big, "JPEG", exif=exif)).pixels, 320)
    with Image.open(io.BytesIO(data)) as small:
        assert small.size == (320, 107)
        assert small.format == "JPEG"
        assert not small.getexif()
    assert b"secret" not in data


def test_a_rendition_never_enlarges() -> None:
    with Image.open(io.BytesIO(rendition(Image.new("RGB", (10, 5)), 320))) as image:
        assert image.size == (10, 5)


def test_a_script_tail_does_not_reach_the_rendition() -> None:
    data = plain("JPEG") + b"<script>alert(1)</script>"
    assert b"<script" not in rendition(decode(data).pixels, 320)
