"""Decoding: bit for bit where nothing has to change, the right pixels elsewhere, never a stray error."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from harness.data.decoding import decode
from harness.standalone.image_pixels import UnreadableError

SIZE = 8


def pixels_of(shape: tuple[int, ...] = (SIZE, SIZE, 3), *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def encoded(image: Image.Image | np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, kind, **options)
    return file.getvalue()


def decoded(content: bytes, channels: int = 3, image_size: int = SIZE) -> np.ndarray:
    """(H, W, C), as Pillow has it."""
    return decode(content, image_size=image_size, channels=channels).transpose(1, 2, 0)


@pytest.mark.parametrize(
    ("kind", "options"),
    [("PNG", {}), ("BMP", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("PPM", {}),
     ("WEBP", {"lossless": True})],
)  # fmt: skip
def test_an_image_of_the_right_size_comes_out_bit_for_bit(kind: str, options: dict[str, Any]) -> None:
    pixels = pixels_of()
    assert (decoded(encoded(pixels, kind, **options)) == pixels).all()


def test_a_jpeg_of_the_right_size_is_what_pillow_makes_of_it() -> None:
    content = encoded(pixels_of(), "JPEG", quality=80)
    assert (decoded(content) == np.asarray(Image.open(io.BytesIO(content)))).all()


def test_the_array_is_contiguous_uint8_with_channels_first() -> None:
    for channels in (1, 3):
        pixels = decode(encoded(pixels_of((20, 11, 3))), image_size=5, channels=channels)
        assert pixels.shape == (channels, 5, 5) and pixels.dtype == np.uint8 and pixels.flags.c_contiguous


@pytest.mark.parametrize("shape", [(SIZE, 13), (13, SIZE)])
def test_the_square_in_the_middle_is_kept(shape: tuple[int, int]) -> None:
    pixels = pixels_of((*shape, 3))
    top, left = (shape[0] - SIZE) // 2, (shape[1] - SIZE) // 2
    assert (decoded(encoded(pixels)) == pixels[top : top + SIZE, left : left + SIZE]).all()


def test_other_sizes_are_resized_with_antialiasing() -> None:
    pixels = pixels_of((64, 64, 3))
    expected = Image.fromarray(pixels).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    assert (decoded(encoded(pixels)) == np.asarray(expected)).all()
    means = pixels.reshape(SIZE, 8, SIZE, 8, 3).mean((1, 3))
    assert abs(decoded(encoded(pixels)) - means).mean() < 15  # subsampling would be off by about 60


def test_a_very_long_image_does_not_explode() -> None:
    line = np.zeros((1, 60_000, 3), np.uint8)
    assert decoded(encoded(line)).shape == (SIZE, SIZE, 3)


def test_large_jpegs_are_shrunk_while_they_are_decoded_to_about_the_same_pixels() -> None:
    y, x = np.mgrid[0:200, 0:320]
    smooth = np.stack([x * 255 // 319, y * 255 // 199, (x + y) * 255 // 518], -1).astype(np.uint8)
    exact = Image.fromarray(smooth[:, 60:260]).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    difference = decoded(encoded(smooth, "JPEG", quality=95)).astype(int) - np.asarray(exact)
    assert abs(difference).max() <= 6


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_stays_grey(channels: int) -> None:
    grey = pixels_of((SIZE, SIZE))
    assert (decoded(encoded(grey), channels) == grey[..., None]).all()


def test_colour_becomes_grey_by_luma() -> None:
    pixels = pixels_of()
    luma = pixels @ np.array([0.299, 0.587, 0.114])
    assert abs(decoded(encoded(pixels), 1)[..., 0] - luma).max() <= 1


def test_palettes_and_bitmaps_are_looked_up() -> None:
    image = Image.fromarray(pixels_of()).quantize(16)
    assert (decoded(encoded(image)) == np.asarray(image.convert("RGB"))).all()
    bits = pixels_of((SIZE, SIZE)) > 127
    assert (decoded(encoded(bits), 1)[..., 0] == bits * 255).all()


def test_cmyk_becomes_rgb() -> None:
    image = Image.new("CMYK", (SIZE, SIZE), (255, 0, 0, 0))
    for kind in ("JPEG", "TIFF"):
        assert abs(decoded(encoded(image, kind))[3, 3].astype(int) - [0, 255, 255]).max() <= 2


def test_transparency_is_laid_on_white() -> None:
    colour = pixels_of((SIZE, SIZE, 4))
    alpha = colour[..., 3:] / 255
    expected = colour[..., :3] * alpha + 255 * (1 - alpha)
    for kind, options in (("PNG", {}), ("TIFF", {})):
        assert abs(decoded(encoded(colour, kind, **options)) - expected).max() <= 1

    grey = Image.merge("LA", [Image.new("L", (SIZE, SIZE), 40), Image.new("L", (SIZE, SIZE), 0)])
    assert (decoded(encoded(grey), 1) == 255).all()


def test_full_opacity_changes_no_pixel() -> None:
    colour = pixels_of((SIZE, SIZE, 4))
    colour[..., 3] = 255
    assert (decoded(encoded(colour)) == colour[..., :3]).all()


def test_a_transparent_palette_colour_is_white() -> None:
    image = Image.new("P", (SIZE, SIZE), 1)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.paste(0, (0, 0, 4, SIZE))
    for kind, transparency in (("PNG", 0), ("PNG", bytes([0, 255])), ("GIF", 0)):
        found = decoded(encoded(image, kind, transparency=transparency))
        assert (found[:, :4] == 255).all() and (found[:, 4:] == [200, 100, 50]).all()


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_of_grey_become_eight(kind: str) -> None:
    values = np.array([0, 1, 128, 129, 257, 32_768, 65_406, 65_535] * SIZE, np.uint16).reshape(SIZE, SIZE)
    expected = np.rint(values / 257).astype(np.uint8)
    assert (decoded(encoded(values, kind), 1)[..., 0] == expected).all()
    assert (decoded(encoded(values, kind), 3) == expected[..., None]).all()


def test_pixels_without_a_fixed_range_are_refused() -> None:
    with pytest.raises(UnreadableError, match="floating-point"):
        decoded(encoded(np.ones((SIZE, SIZE), np.float32), "TIFF"))
    with pytest.raises(UnreadableError, match=r"-5\.\.70000"):
        values = np.full((SIZE, SIZE), -5, np.int32)
        values[0, 0] = 70_000
        decoded(encoded(values, "TIFF"))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_image_is_turned_as_its_exif_says(kind: str, orientation: int) -> None:
    upright = np.zeros((SIZE, SIZE, 3), np.uint8)
    upright[:4, :4] = [255, 0, 0]
    upright[:4, 4:] = [0, 255, 0]
    upright[4:, :4] = [0, 0, 255]
    stored = {  # what a camera stores that wants it turned back
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.transpose(1, 0, 2), 6: np.rot90(upright, 1), 7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    quality = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}.get(kind, {})
    found = decoded(encoded(np.ascontiguousarray(stored), kind, exif=exif, **quality))
    assert abs(found.astype(int) - upright).max() <= 3


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")  # Pillow's; the pixels are fine
def test_damaged_exif_says_nothing() -> None:
    content = encoded(pixels_of(), "JPEG", quality=80)
    damaged = encoded(pixels_of(), "JPEG", quality=80, exif=b"Exif\0\0MM\0*\xff\xff\xff\xff\x01\x02")
    assert (decoded(damaged) == decoded(content)).all()


def test_of_an_animation_the_first_frame_counts() -> None:
    frames = [Image.new("RGB", (SIZE, SIZE), colour) for colour in ("red", "lime", "blue")]
    for kind, options in (("GIF", {}), ("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})):
        content = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        assert (decoded(content) == [255, 0, 0]).all(), kind


def png_bomb(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.filterwarnings("default::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"just a text, renamed to .jpg", "not an image"),
        (b"\xff\xd8\xff\xe0", "."),
        (encoded(pixels_of((64, 64, 3)), "JPEG")[:900], "truncated"),
        (encoded(pixels_of((64, 64, 3)), "PNG")[:9000], "truncated"),
        (encoded(pixels_of(), "GIF")[:40], "."),
        (encoded(pixels_of(), "ICO"), "not an image of a known format"),
        (png_bomb(9_000, 9_000), "truncated|broken"),
        (png_bomb(60_000, 60_000), "60000×60000 pixels"),
    ],
    ids=["zero bytes", "text", "marker", "cut JPEG", "cut PNG", "cut GIF", "ICO", "large", "bomb"],
)
def test_what_is_no_whole_image_is_unreadable_with_a_reason(content: bytes, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        decoded(content)


@pytest.mark.filterwarnings("ignore")
def test_300_mutated_images_are_decoded_or_unreadable_and_nothing_else() -> None:
    random = np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x0112] = 6
    rgba = pixels_of((24, 24, 4))
    rgb, grey, few = rgba[..., :3], rgba[..., 0], Image.fromarray(rgba[..., :3]).quantize(8)
    seeds = [
        encoded(rgb, "JPEG", exif=exif), encoded(rgba, "PNG"), encoded(grey, "PNG", exif=exif),
        encoded(rgba, "WEBP"), encoded(rgb, "GIF"), encoded(rgb, "BMP"), encoded(rgb, "PPM"),
        encoded(rgba, "TIFF", compression="tiff_lzw"), encoded(grey.astype(np.uint16) * 200, "TIFF"),
        encoded(few, "PNG", transparency=3),
    ]  # fmt: skip
    outcomes = {"decoded": 0, "unreadable": 0}
    for number in range(300):
        content = bytearray(seeds[number % len(seeds)])
        for _ in range(random.integers(1, 12)):
            content[random.integers(min(len(content), 300))] = random.integers(256)
        if random.random() < 0.2:
            del content[random.integers(len(content)) :]
        try:
            assert decoded(bytes(content)).shape == (SIZE, SIZE, 3)
            outcomes["decoded"] += 1
        except UnreadableError as error:
            assert str(error)
            outcomes["unreadable"] += 1
    assert min(outcomes.values()) > 30, outcomes
