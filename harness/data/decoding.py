"""From the bytes of an image file, whatever they are, to pixels of one size.

What is done, in this order: the first frame; turned upright as its EXIF says; the square in the middle;
transparency laid on white; grey or RGB; resized bilinearly with antialiasing, unless it has the size already.
"""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from harness.data.file_facts import SIDEWAYS, Facts, jpeg_quality, num_frames, orientation, stored_mode

if TYPE_CHECKING:
    from PIL import Image

DECODER = 1  # raised when the same bytes would become other pixels: decoded copies are then made anew
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
SUFFIXES = frozenset((
    ".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"
))  # fmt: skip
MAX_PIXELS = 2**26  # of one image, before it is made smaller: 67 megapixels, 0.2 GB as RGB
STRIP_HEIGHT = 64


class UnreadableError(Exception):
    """Why these bytes are no image, in a few words."""


def decode(content: bytes, *, image_size: int, channels: int) -> np.ndarray:
    """The pixels of an image file: uint8 (channels, image_size, image_size).

    channels: 1 (grey) or 3 (RGB). An image of the right size, mode and orientation comes out bit for bit.
    Raises UnreadableError, and nothing else, for whatever is no whole image of a known format.
    """
    return decode_with_facts(content, sizes=[(image_size, channels)])[0][0]


def decode_with_facts(content: bytes, *, sizes: Sequence[tuple[int, int]]) -> tuple[list[np.ndarray], Facts]:
    """The pixels of an image file in several sizes, and what the file says of itself.

    sizes: (image_size, channels) of each array; each is what `decode` makes of the file.
    Raises UnreadableError, and nothing else, for whatever is no whole image of a known format.
    """
    from PIL import UnidentifiedImageError

    try:
        return _decoded(content, sizes)
    except UnreadableError:
        raise
    except UnidentifiedImageError:
        raise UnreadableError("not an image of a known format" if content else "empty") from None
    except Exception as error:  # hostile files make Pillow raise a dozen types, and there is no common one
        raise UnreadableError(f"{type(error).__name__}: {error}".split("\n")[0][:200]) from None


def _decoded(content: bytes, sizes: Sequence[tuple[int, int]]) -> tuple[list[np.ndarray], Facts]:
    first = _opened(content)
    width, height = first.size
    mode, frames = stored_mode(first), num_frames(first, content)
    squares: dict[tuple[int, int], Image.Image] = {}  # by the size that the file was decoded in
    converted: dict[tuple[tuple[int, int], int], Image.Image] = {}
    result = []
    for image_size, channels in sizes:
        image = _opened(content) if squares and first.format in ("JPEG", "MPO") else first
        image.draft(None, (2 * image_size, 2 * image_size))  # JPEG decoders halve cheaply
        key = image.size
        if key not in squares:
            image.load()
            squares[key] = _central_square(_upright(image))
        if (key, channels) not in converted:
            converted[key, channels] = _in_mode(squares[key], "RGB" if channels == 3 else "L")
        result.append(_resized(converted[key, channels], image_size, channels))
    square = next(iter(squares.values()))
    if orientation(first) in SIDEWAYS:
        width, height = height, width
    low, high = _range(square)
    kind = "JPEG" if first.format == "MPO" else str(first.format)
    has_alpha, quality = first.has_transparency_data, jpeg_quality(first)
    return result, Facts(kind, width, height, mode, has_alpha, frames, quality, low, high)


def _opened(content: bytes) -> "Image.Image":
    from PIL import Image

    image = Image.open(io.BytesIO(content), formats=FORMATS)
    if image.width * image.height > MAX_PIXELS:
        raise UnreadableError(f"{image.width}×{image.height} pixels are more than {MAX_PIXELS:,}")
    return image


def _resized(image: "Image.Image", image_size: int, channels: int) -> np.ndarray:
    from PIL import Image

    if image.size != (image_size, image_size):
        image = image.resize((image_size, image_size), Image.Resampling.BILINEAR)
    pixels = np.asarray(image).reshape(image_size, image_size, channels)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _upright(image: "Image.Image") -> "Image.Image":
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


def _central_square(image: "Image.Image") -> "Image.Image":
    """Cut before anything is enlarged: a picture of 1×60,000 pixels must not become one of 32×1,920,000."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image if image.width == image.height else image.crop((left, top, left + side, top + side))


def _in_mode(image: "Image.Image", mode: str) -> "Image.Image":
    """As grey ("L") or "RGB", 8 bits a channel."""
    from PIL import Image

    if image.mode == "F":
        raise UnreadableError("floating-point pixels have no fixed range")
    if image.mode == "I" or image.mode.startswith("I;16"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65_535:
            raise UnreadableError(f"pixel values {values.min()}..{values.max()} are not 16-bit grey")
        rounded = (values.astype(np.uint32) * 255 + 32_767) // 65_535
        return Image.fromarray(rounded.astype(np.uint8)).convert(mode)
    if image.has_transparency_data:
        return _on_white(image, mode)
    return image if image.mode == mode else image.convert(mode)


def _range(image: "Image.Image") -> tuple[float, float] | tuple[None, None]:
    """Least and greatest value of more than 8 bits; None for other images."""
    if not _is_deep(image):
        return None, None
    values = np.asarray(image)
    return values.min().item(), values.max().item()


def _is_deep(image: "Image.Image") -> bool:
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
