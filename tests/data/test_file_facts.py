"""What a file says of itself comes with its pixels, in one pass, and changes none of them."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from harness.data.decoding import decode, decode_with_facts
from harness.data.file_facts import Facts
from harness.standalone.image_pixels import UnreadableError
from tests.data.test_decoding import encoded, pixels_of


def facts_of(content: bytes) -> Facts:
    return decode_with_facts(content, sizes=[(8, 3)])[1]


def exif(orientation: int) -> Image.Exif:
    found = Image.Exif()
    found[0x0112] = orientation
    return found


def files() -> dict[str, bytes]:
    colour = pixels_of((90, 130, 4))
    return {
        "JPEG": encoded(colour[..., :3], "JPEG", quality=85),
        "JPEG on its side": encoded(colour[..., :3], "JPEG", exif=exif(6)),
        "large JPEG": encoded(np.tile(colour[..., :3], (6, 5, 1)), "JPEG"),
        "PNG": encoded(colour),
        "palette": encoded(Image.fromarray(colour[..., :3]).quantize(9), "GIF"),
        "16 bits": encoded(colour[..., 0].astype(np.uint16) * 250, "TIFF"),
        "bits": encoded(colour[..., 0] > 99),
    }


@pytest.mark.parametrize("name", files())
def test_each_size_is_what_decoding_it_alone_gives(name: str) -> None:
    content = files()[name]
    sizes = [(16, 3), (48, 1), (8, 1), (16, 1), (32, 3)]
    found, _ = decode_with_facts(content, sizes=sizes)
    for pixels, (image_size, channels) in zip(found, sizes, strict=True):
        expected = decode(content, image_size=image_size, channels=channels)
        assert pixels.shape == (channels, image_size, image_size)
        assert (pixels == expected).all(), (image_size, channels)


def test_format_size_and_mode_are_those_of_the_file() -> None:
    expected = {
        "JPEG": ("JPEG", 130, 90, "RGB"), "JPEG on its side": ("JPEG", 90, 130, "RGB"),
        "large JPEG": ("JPEG", 650, 540, "RGB"), "PNG": ("PNG", 130, 90, "RGBA"),
        "palette": ("GIF", 130, 90, "P"), "16 bits": ("TIFF", 130, 90, "I;16"), "bits": ("PNG", 130, 90, "1"),
    }  # fmt: skip
    assert {name: facts_of(content)[:4] for name, content in files().items()} == expected


def test_colour_of_sixteen_bits_is_marked_for_half_of_them_is_not_read() -> None:
    header, body = b"\x89PNG\r\n\x1a\n", pixels_of((4, 4, 6)).tobytes()
    rows = b"".join(b"\0" + body[row * 24 : row * 24 + 24] for row in range(4))
    content = header + b"".join(_chunks((4, 4, 16, 2), rows))
    assert facts_of(content).mode == "RGB;16"


def _chunks(header: tuple[int, int, int, int], rows: bytes) -> list[bytes]:
    import struct
    import zlib

    bodies = {b"IHDR": struct.pack(">IIBBBBB", *header, 0, 0, 0), b"IDAT": zlib.compress(rows), b"IEND": b""}
    return [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in bodies.items()
    ]


def test_transparency_is_seen_in_channels_and_in_palettes() -> None:
    palette = Image.fromarray(pixels_of()).quantize(9)
    assert facts_of(encoded(pixels_of((8, 8, 4)))).has_alpha
    assert facts_of(encoded(palette, "GIF", transparency=0)).has_alpha
    assert not facts_of(encoded(palette, "GIF")).has_alpha
    assert not facts_of(encoded(pixels_of())).has_alpha


@pytest.mark.parametrize("quality", [25, 50, 75, 90, 95])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_a_jpegs_quality_is_known_to_within_one(quality: int, options: dict[str, Any]) -> None:
    for pixels in (pixels_of((16, 16, 3)), pixels_of((16, 16))):
        found = facts_of(encoded(pixels, "JPEG", quality=quality, **options)).quality
        assert found is not None and abs(found - quality) <= 1
    assert facts_of(encoded(pixels_of())).quality is None


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_several_frames_are_two_and_one_is_one(kind: str) -> None:
    first, *others = (Image.fromarray(pixels_of(seed=seed)) for seed in range(4))
    assert facts_of(encoded(first, kind)).frames == 1
    assert facts_of(encoded(first, kind, save_all=True, append_images=others)).frames == 2


def test_further_pictures_of_a_jpeg_are_no_frames() -> None:
    first, second = (Image.fromarray(pixels_of(seed=seed)) for seed in range(2))
    content = encoded(first, "MPO", save_all=True, append_images=[second])
    assert Image.open(io.BytesIO(content)).format == "MPO"
    assert (facts_of(content).format, facts_of(content).frames) == ("JPEG", 1)


def test_the_range_of_deep_images_is_that_of_the_square_that_is_used() -> None:
    values = np.full((8, 12), 60_000, np.uint16)
    values[:, 2:10] = np.arange(900, 964).reshape(8, 8)
    assert facts_of(encoded(values))[-2:] == (900, 963)
    assert facts_of(encoded(pixels_of()))[-2:] == (None, None)


def test_a_file_that_is_no_image_has_no_facts() -> None:
    with pytest.raises(UnreadableError, match="not an image"):
        facts_of(b"text")
