"""Images to look at: misclassified with confidence, and with a label that is likely wrong."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from harness.inference.pictures import as_picture, data_url
from harness.report.format import percent
from harness.report.gallery import WORDS
from harness.report.svg import escaped
from harness.report.tables import paragraph

EXACT = 48  # pixels; up to there an image is shown bit for bit
SIDE = 128  # larger ones are made so small


def gallery(study: Mapping[str, Any], pixels: Mapping[int, np.ndarray]) -> str:
    found = study["gallery"]
    if found is None:
        why = study["absent"].get("gallery")
        return paragraph(f"Not shown: {why}", "hint") if why else ""
    trials = ", ".join(map(str, found["trials"]))
    said = f"By trial{'s' if len(found['trials']) > 1 else ''} {trials}"
    parts = [paragraph(f"{said}; each image was predicted by networks that had not seen it.", "hint")]
    for kind, classes in found["images"].items():
        if not classes:
            parts.append(paragraph(f"{kind.capitalize()}: none found."))
            continue
        groups = "".join(_class(label, rows, pixels) for label, rows in classes.items())
        head = f"<b>{kind.capitalize()} ({found['found'][kind]:,}).</b> {escaped(WORDS[kind])}"
        parts.append(f'<p>{head}</p><div class="classes">{groups}</div>')
    return "".join(parts)


def _class(label: str, rows: list[dict[str, Any]], pixels: Mapping[int, np.ndarray]) -> str:
    figures = "".join(_figure(row, pixels[row["index"]]) for row in rows)
    return f'<div><h4>{escaped(label)}</h4><div class="images">{figures}</div></div>'


def _figure(row: Mapping[str, Any], pixels: np.ndarray) -> str:
    name = row["name"] or f"image {row['index']}"
    said = f"{row['predicted']} {percent(row['confidence'])}".replace(" %", "\u00a0%")
    words = f"{escaped(said)}<br><small>label {percent(row['label_probability'])}</small>"
    kind = ' class="tiny"' if max(pixels.shape[1:]) <= EXACT else ""
    hint = escaped(f"{name}\nlabel {row['label']}\ncalled {said}")
    alt = escaped(f"{name}, label {row['label']}, called {row['predicted']}")
    return (
        f'<figure><img{kind} src="{data_uri(pixels)}" alt="{alt}" data-tip="{hint}">'
        f"<figcaption>{words}</figcaption></figure>"
    )


def data_uri(pixels: np.ndarray) -> str:
    """uint8 (C, H, W) as PNG, or where it is larger than a thumbnail as a small JPEG."""
    image = as_picture(pixels)
    if max(image.size) <= EXACT:
        return data_url(image, "PNG")
    image.thumbnail((SIDE, SIDE))
    return data_url(image, "JPEG")
