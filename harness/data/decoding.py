"""From the bytes of an image file, whatever they are, to pixels of one size.

What is done, in this order: the first frame; turned upright as its EXIF says; the square in the middle;
transparency laid on white; grey or RGB; resized bilinearly with antialiasing, unless it has the size already.
"""

import io
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

DECODER = 1  # raised when the same bytes would become other pixels: decoded copies are then made anew
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
SUFFIXES = frozenset((
    ".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"
))  # fmt: skip
MAX_PIXELS = 2**26  # of one image, before it is made smaller: 67 megapixels, 0.2 GB as RGB
STRIP_HEIGHT = 64
ORIENTATION = 0x0112  # the EXIF tag


class UnreadableError(Exception):
    """Why these bytes are no image, in a few words."""


def decode(content: bytes, *, image_size: int, channels: int) -> np.ndarray:
    """The pixels of an image file: uint8 (channels, image_size, image_size).

    channels: 1 (grey) or 3 (RGB). An image of the right size, mode and orientation comes out bit for bit.
    Raises UnreadableError, and nothing else, for whatever is no whole image of a known format.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise UnreadableError(f"{opened.width}×{opened.height} pixels are more than {MAX_PIXELS:,}")
            opened.draft(None, (2 * image_size, 2 * image_size))  # JPEG decoders halve cheaply
            opened.load()
            image = _in_mode(_central_square(_upright(opened)), "RGB" if channels == 3 else "L")
            if image.size != (image_size, image_size):
                image = image.resize((image_size, image_size), Image.Resampling.BILINEAR)
            pixels = np.asarray(image).reshape(image_size, image_size, channels)
    except UnreadableError:
        raise
    except UnidentifiedImageError:
        raise UnreadableError("not an image of a known format" if content else "empty") from None
    except Exception as error:  # hostile files make Pillow raise a dozen types, and there is no common one
        raise UnreadableError(f"{type(error).__name__}: {error}".split("\n")[0][:200]) from None
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _upright(image: "Image.Image") -> "Image.Image":
    """Turned as the camera was held; damaged EXIF data say nothing."""
    from PIL.Image import Transpose

    try:
        orientation = image.getexif().get(ORIENTATION)
    except Exception:  # as above; the pixels are fine all the same
        return image
    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return image.transpose(turns[orientation]) if orientation in turns else image


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


def _on_white(image: "Image.Image", mode: str) -> "Image.Image":
    """Strip by strip: of 67 megapixels at once there would be four copies, which take seconds."""
    from PIL import Image

    result = Image.new(mode, image.size)
    for top in range(0, image.height, STRIP_HEIGHT):
        strip = image.crop((0, top, image.width, min(top + STRIP_HEIGHT, image.height))).convert("RGBA")
        white = Image.new("RGBA", strip.size, "white")
        result.paste(Image.alpha_composite(white, strip).convert(mode), (0, top))
    return result
