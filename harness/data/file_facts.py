"""What an image file says of itself beside its pixels: format, size, transparency, quality, the range of its values."""

import io
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from PIL import Image

STANDARD_LUMINANCE_SUM = 3688  # of the 64 numbers of Table K.1, ITU-T T.81: JPEG's example for quality 50
SIDEWAYS = (5, 6, 7, 8)  # its values for images whose width is stored as their height


class Facts(NamedTuple):
    """What is known of an image file once it is decoded.

    format: as Pillow names it; JPEG also where the file has further pictures (MPO).
    width, height: in pixels, upright as EXIF says.
    mode: as Pillow names it, like L, RGB, P, CMYK, I;16; of 16 bits a channel in colour, of which Pillow reads the
    upper 8, with ";16" behind it.
    has_alpha: whether the file has transparency, of whatever pixels.
    frames: 1, or 2 where there are more than one: they are not counted. Further pictures of a JPEG or HEIC are none.
    quality: about the 1..100 that a JPEG was saved with, by its table for brightness; None for other formats.
    low, high: least and greatest value of an image of one channel of more than 8 bits, in what is used of it.
    """

    format: str
    width: int
    height: int
    mode: str
    has_alpha: bool
    frames: int
    quality: int | None
    low: float | None
    high: float | None


def stored_mode(image: "Image.Image") -> str:
    """Of an image that is not loaded yet, see Facts."""
    rawmodes = [tile.args[0] if isinstance(tile.args, tuple) else tile.args for tile in image.tile]  # type: ignore[attr-defined]
    is_cut = image.mode in ("LA", "RGB", "RGBA") and any(";16" in str(rawmode) for rawmode in rawmodes)
    return f"{image.mode};16" if is_cut else image.mode


def num_frames(image: "Image.Image", content: bytes) -> int:
    """1, or 2 where there are more: to count those of a hostile file takes minutes."""
    from PIL import Image

    if image.format != "GIF":
        return 1 + (image.format not in ("MPO", "HEIF") and bool(getattr(image, "is_animated", False)))
    try:
        with Image.open(
            io.BytesIO(content), formats=("GIF",)
        ) as again:  # to look ahead damages what is loaded
            return 1 + bool(again.is_animated)  # type: ignore[attr-defined]
    except Exception:  # as above: the first frame may be whole
        return 1


def jpeg_quality(image: "Image.Image") -> int | None:
    """About the 1..100 that an image was saved with, as the IJG's library scales its tables; None if it is no JPEG.

    Near 1 tables are cut off at 255, and different qualities are the same.
    """
    tables: dict[int, list[int]] | None = getattr(image, "quantization", None)
    if image.format not in ("JPEG", "MPO") or not tables:
        return None
    scale = 100 * sum(tables[min(tables)]) / STANDARD_LUMINANCE_SUM
    quality = (200 - scale) / 2 if scale <= 100 else 5000 / scale
    return min(max(round(quality), 1), 100)
