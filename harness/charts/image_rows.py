"""Images side by side in labelled rows, as one picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

CELL = 96  # pixels of the picture for the larger side of an image, at most
INK, SOFT = "#222222", "#555555"
MARGIN, HEADING, GAP = 16, 40, 5


def image_rows(title: str, parts: Sequence[tuple[str, Mapping[str, np.ndarray]]]) -> "Image":
    """For each part its heading, and by label float (n, height, width, 3) images in 0..1.

    Small images are enlarged by a whole number, so that every pixel of theirs can be seen.
    """
    from PIL import Image, ImageDraw, ImageFont

    font, large = ImageFont.load_default(13), ImageFont.load_default(18)
    rows = [(label, row) for _, part in parts for label, row in part.items()]
    _, height, width, _ = rows[0][1].shape
    scale = max(CELL // max(height, width), 1) if max(height, width) <= CELL else CELL / max(height, width)
    tall, wide = round(height * scale), round(width * scale)
    left = 2 * MARGIN + round(max(font.getlength(label) for label, _ in rows))
    right = left + max(len(row) for _, row in rows) * (wide + GAP)
    right = (
        max(right, round(large.getlength(title)), *(round(font.getlength(words)) for words, _ in parts))
        + MARGIN
    )
    bottom = 3 * MARGIN + len(parts) * HEADING + len(rows) * (tall + GAP)
    picture = Image.new("RGB", (right, bottom), "white")
    draw = ImageDraw.Draw(picture)
    draw.text((MARGIN, MARGIN), title, INK, font=large)
    smoothing = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.LANCZOS
    top = 2 * MARGIN + 8
    for words, part in parts:
        draw.text((MARGIN, top + HEADING - 8), words, SOFT, font=font, anchor="ls")
        top += HEADING
        for label, row in part.items():
            draw.text((left - MARGIN, top + tall / 2), label, INK, font=font, anchor="rm")
            for place, pixels in enumerate(row):
                image = Image.fromarray((255 * pixels).round().astype(np.uint8)).resize(
                    (wide, tall), smoothing
                )
                picture.paste(image, (left + place * (wide + GAP), top))
            top += tall + GAP
    return picture


def save_rows(title: str, parts: Sequence[tuple[str, Mapping[str, np.ndarray]]], path: Path) -> None:
    """As a PNG file."""
    image_rows(title, parts).save(path, format="PNG")
