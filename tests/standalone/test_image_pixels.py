"""A model that has left makes the same pixels of a file as harness does."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from harness.data.decoding import decode
from harness.data.policy import Policy
from harness.standalone.image_pixels import UnreadableError, pixels_of

NOISE = np.random.default_rng(0).integers(0, 256, (50, 83, 4), dtype=np.uint8)
RGB = Image.fromarray(NOISE[..., :3])
DEEP = Image.fromarray((NOISE[..., 0].astype(np.uint16) << 7) + 300)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(RGB, "JPEG", exif=exif)


FILES: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: saved(RGB, "JPEG"),
    "large jpeg": lambda: saved(RGB.resize((700, 400)), "JPEG"),
    "cmyk jpeg": lambda: saved(RGB.convert("CMYK"), "JPEG"),
    "turned": turned,
    "png": lambda: saved(RGB, "PNG"),
    "transparent": lambda: saved(Image.fromarray(NOISE), "PNG"),
    "palette": lambda: saved(RGB.convert("P"), "GIF"),
    "frames": lambda: saved(RGB, "GIF", save_all=True, append_images=[RGB.rotate(90)]),
    "16 bits": lambda: saved(DEEP, "PNG"),
    "bilevel": lambda: saved(RGB.convert("1"), "TIFF"),
    "webp": lambda: saved(RGB, "WEBP", lossless=True),
    "small": lambda: saved(RGB.resize((9, 5)), "BMP"),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "policy", [Policy(), Policy("percentile", "pad"), Policy((100.0, 20_000.0))], ids=str
)
def test_every_kind_of_file_becomes_the_same_pixels(name: str, policy: Policy) -> None:
    content = FILES[name]()
    for channels in (1, 3):
        expected = decode(content, image_size=24, channels=channels, policy=policy)
        found = pixels_of(content, image_size=24, channels=channels, **policy.changed())
        assert found.dtype == np.uint8 and found.shape == (channels, 24, 24)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"", "empty"), (b"abc", "not an image"), (FILES["png"]()[:900], "."), (b"%PDF-1.4", "not an image")],
)
def test_what_is_no_image_is_told(content: bytes, why: str) -> None:
    with pytest.raises(UnreadableError, match=why):
        pixels_of(content, image_size=8, channels=3)
