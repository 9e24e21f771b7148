"""The image formats that are read: those of Pillow that photographs come in, and HEIC where its extra is installed."""

from functools import cache
from importlib.util import find_spec

from harness.standalone.image_pixels import FORMATS, HEIF

SUFFIXES = frozenset((
    ".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm",
    ".avif",
))  # fmt: skip
HEIC_SUFFIXES = frozenset((".heic", ".heif", ".hif"))
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx")
NEEDS_EXTRA = "HEIC needs the extra: pip install 'harness-cv[heif]'"


@cache
def reads_heic() -> bool:
    return find_spec("pillow_heif") is not None


@cache
def formats() -> tuple[str, ...]:
    """The names that Pillow has for them."""
    if not reads_heic():
        return FORMATS
    from pillow_heif import register_heif_opener

    register_heif_opener()
    return (*FORMATS, HEIF)


def is_image_name(suffix: str) -> bool:
    """Whether files with this suffix, in lower case with its dot, are named like images that can be read."""
    return suffix in SUFFIXES or (suffix in HEIC_SUFFIXES and reads_heic())


def needs_extra(suffix: str) -> bool:
    """Whether files with this suffix are named like images that could be read with the extra."""
    return suffix in HEIC_SUFFIXES and not reads_heic()


def is_heic(content: bytes) -> bool:
    return content[4:8] == b"ftyp" and content[8:12] in HEIC_BRANDS
