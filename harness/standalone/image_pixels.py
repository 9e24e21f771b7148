"""From an image that Pillow has opened to pixels of one size: the steps, in the order of `pixels_of`.

`data/decoding.py` takes these steps too, so that a model elsewhere is given the pixels that it would be given here.
"""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF")
HEIF = "HEIF"  # which photographs of telephones are; where pillow_heif is installed
ORIENTATION = 0x0112  # the EXIF tag
STRIP_HEIGHT = 64
PERCENTILES = (0.5, 99.5)


class UnreadableError(Exception):
    """Why these bytes are no image, in a few words."""


def pixels_of(
    content: bytes,
    *,
    image_size: int,
    channels: int,
    fit: str = "crop",
    depth: "str | Sequence[float]" = "full",
) -> np.ndarray:
    """The pixels of an image file: uint8 (channels, image_size, image_size).

    channels: 1 (grey) or 3 (RGB).   fit, depth: as the options of these names of the data set `folder`.
    Raises UnreadableError for what is no whole image of a known format, or one of more than 179 megapixels.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content), formats=_formats()) as image:
            image.draft(None, (2 * image_size, 2 * image_size))  # JPEG decoders halve cheaply
            image.load()
            found = upright(image)
            found = central_square(found) if fit == "crop" else found
            return resized(in_mode(found, "RGB" if channels == 3 else "L", depth), image_size, channels)
    except UnreadableError:
        raise
    except UnidentifiedImageError:
        raise UnreadableError("not an image of a known format" if content else "empty") from None
    except Exception as error:  # damaged files make Pillow raise a dozen types, and there is no common one
        raise UnreadableError(f"{type(error).__name__}: {error}".split("\n")[0][:200]) from None


def _formats() -> tuple[str, ...]:
    try:
        from pillow_heif import register_heif_opener
    except ModuleNotFoundError:
        return FORMATS
    register_heif_opener()
    return (*FORMATS, HEIF)


def orientation(image: "Image.Image") -> int:
    """1..8 as EXIF has it; 1, which is upright, where it says nothing or is damaged."""
    try:
        found = image.getexif().get(ORIENTATION)
    except Exception:  # hostile data make Pillow raise a dozen types; the pixels are fine all the same
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def resized(image: "Image.Image", image_size: int, channels: int) -> np.ndarray:
    from PIL import Image

    longer = max(image.size)
    width, height = (max(1, round(side * image_size / longer)) for side in image.size)
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    if width != height:  # black on both sides
        whole = Image.new(image.mode, (image_size, image_size))
        whole.paste(image, ((image_size - width) // 2, (image_size - height) // 2))
        image = whole
    pixels = np.asarray(image).reshape(image_size, image_size, channels)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def upright(image: "Image.Image") -> "Image.Image":
    """Turned as the camera was held."""
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    turn = turns.get(orientation(image))
    return image if turn is None else image.transpose(turn)


def central_square(image: "Image.Image") -> "Image.Image":
    """Cut before anything is enlarged: a picture of 1×60,000 pixels must not become one of 32×1,920,000."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image if image.width == image.height else image.crop((left, top, left + side, top + side))


def in_mode(image: "Image.Image", mode: str, depth: "str | Sequence[float]") -> "Image.Image":
    """As grey ("L") or "RGB", 8 bits a channel."""
    from PIL import Image

    if is_deep(image):
        return Image.fromarray(_as_bytes(np.asarray(image), depth)).convert(mode)
    if image.has_transparency_data:
        return _on_white(image, mode)
    return image if image.mode == mode else image.convert(mode)


def _as_bytes(values: np.ndarray, depth: "str | Sequence[float]") -> np.ndarray:
    """Grey of more than 8 bits, or floating-point, as 0..255: uint8 of the same shape. What is no number is black."""
    numbers = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    low, high = (numbers.min(), numbers.max()) if numbers.size else (0, 0)
    if depth == "full":
        if values.dtype.kind == "f":
            raise UnreadableError(
                f"floating-point pixels ({low:g}..{high:g}) have no fixed range; data.depth: [low, high] gives one"
            )
        if low < 0 or high > 65_535:
            raise UnreadableError(
                f"pixel values {low}..{high} are not 16-bit grey; data.depth: [low, high] says their range"
            )
        low, high = 0, 65_535
    elif depth == "percentile":
        ends = np.percentile(numbers, PERCENTILES) if numbers.size else (0, 0)
        low, high = ends if ends[0] < ends[1] else (low, high)  # of a few bright pixels on black, say
    else:
        low, high = map(float, depth)
    scale = 255 / (float(high) - float(low)) if high > low else 0.0
    result = np.empty(values.shape, np.uint8)
    for top in range(0, len(values), STRIP_HEIGHT):
        strip = values[top : top + STRIP_HEIGHT].astype(np.float64)
        levels = np.nan_to_num((strip - float(low)) * scale).clip(0, 255)
        result[top : top + STRIP_HEIGHT] = np.floor(levels + 0.5)
    return result


def is_deep(image: "Image.Image") -> bool:
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def _on_white(image: "Image.Image", mode: str) -> "Image.Image":
    """Strip by strip: of 67 megapixels at once there would be four copies, which take seconds."""
    from PIL import Image

    result = Image.new(mode, image.size)
    for top in range(0, image.height, STRIP_HEIGHT):
        strip = image.crop((0, top, image.width, min(top + STRIP_HEIGHT, image.height))).convert("RGBA")
        white = Image.new("RGBA", strip.size, "white")
        result.paste(Image.alpha_composite(white, strip).convert(mode), (0, top))
    return result
