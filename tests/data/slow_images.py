"""Image files that nobody meant well with: small, or not large, and yet slow to decode or hungry for memory."""

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image


def comments(magic: bytes, size: int) -> bytes:
    """A plain PNM with `size` bytes of comments between its pixels."""
    maxval = b"" if magic == b"P1" else b"255\n"
    return magic + b"\n64 64\n" + maxval + b"#\n" * (size // 2) + b"1 " * 64 * 64 * 3


def header_comment(size: int) -> bytes:
    return b"P6\n# " + b"x" * size + b"\n8 8\n255\n" + bytes(192)


def plain_numbers(size: int) -> bytes:
    """An honest plain PPM, of `size` bytes."""
    side = int((size / 6) ** 0.5)
    return b"P3\n%d %d\n255\n" % (side, side) + b"7 " * side * side * 3


def odd_maxval(side: int) -> bytes:
    """A binary PPM whose brightest value is 254: Pillow computes each in Python."""
    return b"P6\n%d %d\n254\n" % (side, side) + bytes(side * side * 3)


def png(
    width: int, height: int, *, before: bytes = b"", colour: int = 2, depth: int = 8, interlace: int = 0
) -> bytes:
    """A whole black PNG; a thousandth of its pixels in size.   before: chunks before its pixels."""
    samples = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    rows = (1 + width * samples * depth // 8) * height
    packer, parts = zlib.compressobj(9), []
    for start in range(0, rows, 2**24):
        parts.append(packer.compress(bytes(min(2**24, rows - start))))
    body = b"".join([*parts, packer.flush()])
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_texts(number: int, size: int) -> bytes:
    """Texts, each of `size` bytes when unpacked."""
    return png(
        8,
        8,
        before=b"".join(chunk(b"zTXt", b"k%d\0\0" % n + zlib.compress(bytes(size))) for n in range(number)),
    )


def png_profile(size: int) -> bytes:
    return png(8, 8, before=chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(size), 9)))


def png_chunks(number: int) -> bytes:
    return png(8, 8, before=chunk(b"abCd", b"") * number)


def gif_comments(number: int) -> bytes:
    """Comment extensions before the first frame."""
    content = encoded(Image.new("P", (8, 8)), "GIF")
    place = content.index(b",", 13 + 3 * 2 ** ((content[10] & 7) + 1))
    return content[:place] + b"!\xfe\1x\0" * number + content[place:]


def gif_frames(number: int) -> bytes:
    content = encoded(Image.new("P", (8, 8)), "GIF")
    place = content.index(b",", 13 + 3 * 2 ** ((content[10] & 7) + 1))
    return content[:-1] + content[place:-1] * number + b";"


def gif_large(side: int) -> bytes:
    return encoded(Image.new("P", (side, side)), "GIF")


def tiff(
    width: int, height: int, compression: int, strips: list[bytes], rows: int, *, following: int = 0
) -> bytes:
    """Grey of 8 bits.   rows: of a strip.   following: further directories, which are the first again and again."""
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, compression), (262, 3, 1, 1)]
    body = b"".join(strips)
    count, start, offsets = len(strips), 8 + len(body), []
    at = 8
    for strip in strips:
        offsets.append(at)
        at += len(strip)
    arrays = struct.pack(f"<{count}L", *offsets) + struct.pack(f"<{count}L", *map(len, strips))
    where = (offsets[0], len(strips[0])) if count == 1 else (start, start + 4 * count)
    tags += [(273, 4, count, where[0]), (278, 4, 1, rows), (279, 4, count, where[1])]
    directory_at = start + len(arrays)
    size = 2 + 12 * len(tags) + 4
    entries = b"".join(struct.pack("<HHLL", *tag) for tag in tags)
    directories = b"".join(
        struct.pack("<H", len(tags))
        + entries
        + struct.pack("<L", directory_at + size * (n + 1) if n < following else 0)
        for n in range(following + 1)
    )
    return b"II*\0" + struct.pack("<L", directory_at) + body + arrays + directories


def tiff_bomb(side: int) -> bytes:
    """One strip of zeros, deflated."""
    return tiff(side, side, 8, [zlib.compress(bytes(side * side), 9)], side)


def tiff_strips(side: int) -> bytes:
    """A strip for each row, all of them the same bytes."""
    return tiff(side, side, 8, [zlib.compress(bytes(side), 9)] * side, 1)


def tiff_raw_strips(height: int) -> bytes:
    return tiff(1, height, 1, [b"\0"] * height, 1)


def tiff_directories(number: int) -> bytes:
    return tiff(8, 8, 1, [bytes(64)], 8, following=number)


def jpeg_scans(side: int, number: int) -> bytes:
    """A progressive JPEG with many scans that say nothing, in runs of 32,767 blocks for two bytes each."""
    content = encoded(Image.new("L", (side, side), 99), "JPEG", progressive=True, quality=50)
    table = b"\xff\xc4" + struct.pack(">HB16B", 20, 0x11, 1, *[0] * 15) + b"\xe0"
    codes = -(-(((side + 7) // 8) ** 2) // 32_767)
    bits = ("0" + "1" * 14) * codes
    bits += "1" * (-len(bits) % 8)
    runs = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    scan = b"\xff\xda" + struct.pack(">HBBBBBB", 8, 1, 1, 0x01, 1, 63, 0) + runs
    return content[:-2] + table + scan * number + content[-2:]


def jpeg_bomb(side: int, **options: bool) -> bytes:
    return encoded(Image.new("L", (side, side)), "JPEG", quality=1, **options)


def jpeg_segments(number: int, segment: bytes = b"\xff\xfe\0\3x") -> bytes:
    content = encoded(Image.new("L", (8, 8)), "JPEG")
    return content[:2] + segment * number + content[2:]


def exif_bomb(number: int) -> bytes:
    """EXIF of `number` tags, each of which is all of the block."""
    size = 60_000
    number = min(number, (size - 14) // 12)
    tags = b"".join(struct.pack("<HHLL", 1000 + n, 7, size, 0) for n in range(number))
    block = b"II*\0\x08\0\0\0" + struct.pack("<H", number) + tags + bytes(4)
    return encoded(Image.new("L", (8, 8)), "JPEG", exif=b"Exif\0\0" + block.ljust(size, b"\0"))


def webp_frames(number: int, side: int) -> bytes:
    frames = [Image.new("RGB", (side, side), (n % 256, n // 256, 0)) for n in range(number)]
    return encoded(
        frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True, method=0, quality=0
    )


def webp_bomb(side: int) -> bytes:
    return encoded(Image.new("RGB", (side, side)), "WEBP", lossless=True, method=0, quality=0)


def bmp_runs(side: int) -> bytes:
    """Run-length encoded; the bitmap ends at once."""
    header = struct.pack("<LllHHLLllLL", 40, side, side, 1, 8, 1, 2, 0, 0, 256, 0)
    return (
        b"BM"
        + struct.pack("<LHHL", 14 + 40 + 1024 + 2, 0, 0, 14 + 40 + 1024)
        + header
        + bytes(1024)
        + b"\0\1"
    )


def bmp_few_runs(side: int) -> bytes:
    """Run-length encoded, two bytes for up to 255 pixels."""
    row = (
        b"\xff\0" * (side // 255) + (bytes([side % 255, 0]) if side % 255 else b"") + b"\0\0"
    ) * side + b"\0\1"
    return bmp_runs(side)[:-2] + row


def avif_bomb(side: int) -> bytes:
    return encoded(Image.new("RGB", (side, side)), "AVIF", speed=10, quality=1)


def encoded(image: Image.Image | np.ndarray, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, kind, **options)  # type: ignore[arg-type]
    return file.getvalue()


SLOW: dict[str, Callable[[], bytes]] = {
    "P1, 2 MB of comments": lambda: comments(b"P1", 2_000_000),
    "P2, 2 MB of comments": lambda: comments(b"P2", 2_000_000),
    "P3, 2 MB of comments": lambda: comments(b"P3", 2_000_000),
    "P3, 60 MB of numbers": lambda: plain_numbers(60_000_000),
    "P6, a comment of 60 MB in its header": lambda: header_comment(60_000_000),
    "P6, 8000×8000, brightest 254": lambda: odd_maxval(8000),
    "PNG, 8191×8191": lambda: png(8191, 8191),
    "PNG, 8191×8191, RGBA": lambda: png(8191, 8191, colour=6),
    "PNG, 8191×8191, RGBA of 16 bits": lambda: png(8191, 8191, colour=6, depth=16),
    "PNG, 8191×8191, grey of 16 bits": lambda: png(8191, 8191, colour=0, depth=16),
    "PNG, 20000×20000": lambda: png(20_000, 20_000, colour=0),
    "PNG, 1000 texts of 1 MB": lambda: png_texts(1000, 2**20),
    "PNG, profile of 500 MB": lambda: png_profile(500_000_000),
    "PNG, 5 million chunks": lambda: png_chunks(5_000_000),
    "GIF, 10 million comments": lambda: gif_comments(10_000_000),
    "GIF, 1 million frames": lambda: gif_frames(1_000_000),
    "GIF, 8191×8191": lambda: gif_large(8191),
    "TIFF, 8191×8191 deflated": lambda: tiff_bomb(8191),
    "TIFF, 8191 strips": lambda: tiff_strips(8191),
    "TIFF, 3 million strips of a byte": lambda: tiff_raw_strips(3_000_000),
    "TIFF, 500,000 directories": lambda: tiff_directories(500_000),
    "JPEG, 8000×8000 in 3000 scans": lambda: jpeg_scans(8000, 3000),
    "JPEG, 2000×2000 in 30,000 scans": lambda: jpeg_scans(2000, 30_000),
    "JPEG, 8191×8191": lambda: jpeg_bomb(8191),
    "JPEG, 8191×8191 progressive": lambda: jpeg_bomb(8191, progressive=True),
    "JPEG, 14142×14142": lambda: jpeg_bomb(14142),
    "JPEG, 14142×14142 progressive": lambda: jpeg_bomb(14142, progressive=True),
    "JPEG, 5 million comments": lambda: jpeg_segments(5_000_000),
    "JPEG, 2 million application segments": lambda: jpeg_segments(2_000_000, b"\xff\xe5\0\3x"),
    "JPEG, EXIF of 5000 overlapping tags": lambda: exif_bomb(5000),
    "WebP, 5000 frames": lambda: webp_frames(5000, 64),
    "WebP, 8191×8191": lambda: webp_bomb(8191),
    "BMP, 8000×8000, ends at once": lambda: bmp_runs(8000),
    "BMP, 8000×8000 in runs": lambda: bmp_few_runs(8000),
    "AVIF, 8191×8191": lambda: avif_bomb(8191),
}
