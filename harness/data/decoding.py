"""From the bytes of an image file, whatever they are, to pixels of one size.

What is done, in this order: the first frame; turned upright as its EXIF says; the square in the middle, or all of it;
transparency laid on white; grey or RGB of 8 bits; resized bilinearly with antialiasing, unless it has the size already.
`policy.py` has what a study may choose of it. What may take long or much memory is done by `limited.py`.
"""

import io
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from harness.data import formats, limited
from harness.data.file_facts import SIDEWAYS, Facts, jpeg_quality, num_frames, stored_mode
from harness.data.policy import DEFAULT, Policy
from harness.standalone.image_pixels import (
    UnreadableError,
    central_square,
    in_mode,
    is_deep,
    orientation,
    resized,
    upright,
)

if TYPE_CHECKING:
    from PIL import Image

DECODER = 1  # raised when the same bytes would become other pixels: decoded copies are then made anew
MAX_BYTES = 2**30  # of one image as RGB, after JPEG's shrinking: 268 megapixels
BYTES_HERE = 2**27  # of one that is decoded in this process, as several are at once


class TooLargeError(UnreadableError):
    """More bytes than are allowed in this process."""


class SlowError(Exception):
    """The file may take long to decode, which should be done by a process that can be ended."""


def decode(content: bytes, *, image_size: int, channels: int, policy: Policy = DEFAULT) -> np.ndarray:
    """The pixels of an image file: uint8 (channels, image_size, image_size).

    channels: 1 (grey) or 3 (RGB). By default an image of the right size, mode and orientation comes out bit for bit.
    Raises UnreadableError, and nothing else, for whatever is no whole image of a known format.
    """
    return decode_with_facts(content, sizes=[(image_size, channels)], policy=policy)[0][0]


def decode_with_facts(
    content: bytes, *, sizes: Sequence[tuple[int, int]], policy: Policy = DEFAULT
) -> tuple[list[np.ndarray], Facts]:
    """The pixels of an image file in several sizes, and what the file says of itself.

    sizes: (image_size, channels) of each array; each is what `decode` makes of the file.
    Raises UnreadableError, and nothing else, for whatever is no whole image of a known format.
    """
    with suppress(SlowError, TooLargeError):
        return decode_light(content, sizes, policy, most=BYTES_HERE)
    return decode_apart(content, sizes, policy)


def decode_light(
    content: bytes, sizes: Sequence[tuple[int, int]], policy: Policy, *, most: int
) -> tuple[list[np.ndarray], Facts]:
    """As `decode_with_facts`, in this process, what takes little time and memory.

    most: bytes of the decoded image.
    Raises SlowError or TooLargeError for what `decode_apart` is for, and UnreadableError.
    """
    if formats.is_heic(content) and not formats.reads_heic():
        raise UnreadableError(formats.NEEDS_EXTRA)
    if not limited.is_quick(content):
        raise SlowError
    return decode_here(content, sizes, policy, most=most)


def decode_apart(
    content: bytes, sizes: Sequence[tuple[int, int]], policy: Policy, bounds: limited.Bounds | None = None
) -> tuple[list[np.ndarray], Facts]:
    """As `decode_with_facts`, in a process of its own. bounds: of time and memory; None: the ordinary ones."""
    try:
        return limited.decode(content, sizes=sizes, policy=policy, bounds=bounds)
    except limited.Stopped as error:
        raise UnreadableError(str(error)) from None


def decode_here(
    content: bytes, sizes: Sequence[tuple[int, int]], policy: Policy, *, most: int
) -> tuple[list[np.ndarray], Facts]:
    """As `decode_with_facts`, in this process and however long it takes.

    most: bytes of the decoded image. Raises UnreadableError also for more of them.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        return _decoded(content, sizes, policy, most)
    except UnreadableError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooLargeError(str(error)) from None
    except MemoryError:
        raise UnreadableError("takes more memory to decode than there is for it") from None
    except UnidentifiedImageError:
        raise UnreadableError("not an image of a known format" if content else "empty") from None
    except Exception as error:  # hostile files make Pillow raise a dozen types, and there is no common one
        raise UnreadableError(f"{type(error).__name__}: {error}".split("\n")[0][:200]) from None


def _decoded(
    content: bytes, sizes: Sequence[tuple[int, int]], policy: Policy, most: int
) -> tuple[list[np.ndarray], Facts]:
    first = _opened(content)
    width, height = first.size
    mode, frames = stored_mode(first), num_frames(first, content)
    used: dict[tuple[int, int], Image.Image] = {}  # by the size that the file was decoded in
    converted: dict[tuple[tuple[int, int], int], Image.Image] = {}
    result = []
    for image_size, channels in sizes:
        image = _opened(content) if used and first.format in ("JPEG", "MPO") else first
        image.draft(None, (2 * image_size, 2 * image_size))  # JPEG decoders halve cheaply
        _require_memory(image, most)
        key = image.size
        if key not in used:
            image.load()
            turned = upright(image)
            used[key] = central_square(turned) if policy.fit == "crop" else turned
        if (key, channels) not in converted:
            converted[key, channels] = in_mode(used[key], "RGB" if channels == 3 else "L", policy.depth)
        result.append(resized(converted[key, channels], image_size, channels))
    if orientation(first) in SIDEWAYS:
        width, height = height, width
    low, high = _range(next(iter(used.values())))
    kind = "JPEG" if first.format == "MPO" else str(first.format)
    has_alpha, quality = first.has_transparency_data, jpeg_quality(first)
    return result, Facts(kind, width, height, mode, has_alpha, frames, quality, low, high)


def _opened(content: bytes) -> "Image.Image":
    from PIL import Image

    return Image.open(io.BytesIO(content), formats=formats.formats())


def _require_memory(image: "Image.Image", most: int) -> None:
    """Raises UnreadableError for an image, not loaded yet, that is too large: for this process, or for any."""
    width, height = image.size
    size = 4 * width * height  # as Pillow has RGB, which most images are made into
    if size > MAX_BYTES:
        raise UnreadableError(
            f"{width}×{height} pixels take {size:,} bytes when decoded; {MAX_BYTES:,} are allowed"
        )
    if size > most:
        raise TooLargeError


def _range(image: "Image.Image") -> tuple[float, float] | tuple[None, None]:
    """Least and greatest value of more than 8 bits, or floating-point; None for other images."""
    values = np.asarray(image) if is_deep(image) else np.empty(0)
    if values.dtype.kind == "f":
        values = values[np.isfinite(values)]
    return (values.min().item(), values.max().item()) if values.size else (None, None)
