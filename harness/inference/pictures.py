"""Pictures inside of pages: thumbnails of image files, and what a network looked at as a coloured layer."""

import base64
import io
from typing import TYPE_CHECKING, Literal

import numpy as np

from harness.data.decoding import decode
from harness.data.image_files import read
from harness.data.policy import Policy
from harness.standalone.image_pixels import UnreadableError

if TYPE_CHECKING:
    from PIL.Image import Image

SIDE = 112  # pixels of a thumbnail
EXACT = 48  # pixels; up to there an image is shown bit for bit
SHOWN = 192  # larger ones are made so small
OVERLAY_SIDE = 224
OPACITY = 0.6
STOPS = (0.0, 0.25, 0.5, 0.75, 1.0)
COLOURS = ((0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164))  # matplotlib's inferno


def thumbnail(path: str, policy: Policy) -> str | None:
    """An image file, as a model with this policy sees it, as a data URL; None where it cannot be read (any more)."""
    try:
        pixels = decode(read(path), image_size=SIDE, channels=3, policy=policy)
    except UnreadableError:
        return None
    return data_url(as_picture(pixels), "JPEG")


def shown(pixels: np.ndarray) -> tuple[str, bool]:
    """An image as a data URL, a large one made smaller; and whether it is so small that its pixels are to be seen.

    pixels: uint8 (C, H, W).
    """
    picture = as_picture(pixels)
    is_tiny = max(picture.size) <= EXACT
    if not is_tiny:
        picture.thumbnail((SHOWN, SHOWN))
    return data_url(picture, "PNG" if is_tiny else "JPEG"), is_tiny


def overlay(pixels: np.ndarray, heat: np.ndarray) -> str:
    """An image with a map laid over it, as a data URL.

    pixels: uint8 (C, H, W).   heat: float32 (h, w) in 0..1, stretched over the image.
    """
    from PIL import Image

    size = (max(OVERLAY_SIDE, pixels.shape[2]), max(OVERLAY_SIDE, pixels.shape[1]))
    image = np.asarray(as_picture(pixels).convert("RGB").resize(size, Image.Resampling.NEAREST), np.float32)
    grey = Image.fromarray(heat.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
    levels = np.asarray(grey).clip(0, 1)
    colours = np.stack([np.interp(levels, STOPS, channel) for channel in zip(*COLOURS, strict=True)], axis=-1)
    mixed = (1 - OPACITY) * image + OPACITY * colours
    return data_url(Image.fromarray(mixed.round().astype(np.uint8)), "PNG")


def data_url(image: "Image", kind: Literal["JPEG", "PNG"]) -> str:
    """An image as a page can hold it inside."""
    content = io.BytesIO()
    # Level 1 takes a quarter of the time of level 6, for a quarter more bytes.
    image.save(content, format=kind, **({"quality": 82} if kind == "JPEG" else {"compress_level": 1}))
    return f"data:image/{kind.lower()};base64,{base64.b64encode(content.getvalue()).decode()}"


def as_picture(pixels: np.ndarray) -> "Image":
    """uint8 (C, H, W) as an image of PIL; of more than three channels the first three."""
    from PIL import Image

    planes = pixels[0] if len(pixels) == 1 else pixels[:3].transpose(1, 2, 0)
    return Image.fromarray(np.ascontiguousarray(planes))
