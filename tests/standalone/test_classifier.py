"""Everything that a model in MLflow takes means the same images; what it does not take is told."""

import base64
import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from harness.standalone import classifier
from harness.standalone.classifier import Classifier
from harness.standalone.image_pixels import pixels_of

CLASSES = ("cat", "label", "red apple")
PIXELS = np.random.default_rng(0).integers(0, 256, (5, 3, 8, 8), dtype=np.uint8)


def brightness(pixels: np.ndarray) -> np.ndarray:
    """Probabilities that tell images apart."""
    assert pixels.dtype == np.uint8
    means = pixels.mean((2, 3)).astype(np.float32)
    found: np.ndarray = means / means.sum(1, keepdims=True)
    return found


MODEL = Classifier(CLASSES, (3, 8, 8), partial(pixels_of, image_size=8, channels=3), brightness)


def png(pixels: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels.transpose(1, 2, 0)).save(content, "PNG")
    return content.getvalue()


BYTES = [png(pixels) for pixels in PIXELS]
BASE64 = [base64.b64encode(content).decode() for content in BYTES]
WAYS: dict[str, Callable[[], Any]] = {
    "array": lambda: PIXELS,
    "whole numbers": lambda: PIXELS.astype(np.int64),
    "tensor": lambda: torch.from_numpy(PIXELS),
    "nested lists": lambda: PIXELS.tolist(),
    "list of arrays": lambda: list(PIXELS),
    "bytes": lambda: BYTES,
    "bytearrays": lambda: [bytearray(content) for content in BYTES],
    "base64": lambda: BASE64,
    "wrapped base64": lambda: [f"{text[:60]}\n{text[60:]}" for text in BASE64],
    "data URLs": lambda: [f"data:image/png;base64,{text}" for text in BASE64],
    "array of objects": lambda: np.array(BYTES, dtype=object),
    "array of texts": lambda: np.array(BASE64)[:, None],
    "series": lambda: pd.Series(BYTES),
    "table": lambda: pd.DataFrame({"id": range(5), "image": BYTES}),
    "table of arrays": lambda: pd.DataFrame({"image": list(PIXELS)}),
    "table of one column": lambda: pd.DataFrame({"photo": BASE64}),
    "column": lambda: {"image": BYTES},
    "column of pixels": lambda: {"image": PIXELS},
    "records": lambda: [{"image": text} for text in BASE64],
}


@pytest.mark.parametrize("way", WAYS)
def test_images_are_the_same_however_they_are_given(way: str) -> None:
    table = MODEL.predict(WAYS[way]())
    expected = brightness(PIXELS)
    assert list(table) == [
        "label",
        "confidence",
        "probability_cat",
        "probability_label",
        "probability_red apple",
    ]
    np.testing.assert_array_equal(table.iloc[:, 2:].to_numpy(), expected)
    np.testing.assert_array_equal(table["confidence"], expected.max(1))
    assert list(table["label"]) == [CLASSES[number] for number in expected.argmax(1)]


def test_files_are_read_by_their_paths(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(BYTES[0])
    (tmp_path / "b").write_bytes(BYTES[1])
    table = MODEL.predict([str(tmp_path / "a.png"), tmp_path / "b"])
    pd.testing.assert_frame_equal(table, MODEL.predict(PIXELS[:2]))


@pytest.mark.parametrize("name", sorted(classifier.SERVED))
def test_who_calls_a_server_reads_none_of_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "a.png").write_bytes(BYTES[0])
    monkeypatch.setenv(name, "true")
    with pytest.raises(ValueError, match="image 0: a served model takes no paths"):
        MODEL.predict([str(tmp_path / "a.png")])
    assert len(MODEL.predict(BASE64)) == 5


def test_one_image_is_one_row_and_none_are_none() -> None:
    pd.testing.assert_frame_equal(MODEL.predict(BYTES[0]), MODEL.predict(PIXELS[:1]))
    assert MODEL.predict([]).shape == (0, 5) and MODEL.predict(PIXELS[:0]).shape == (0, 5)


def test_rows_keep_the_index_of_their_table() -> None:
    table = pd.DataFrame({"image": BYTES}, index=list("vwxyz"))
    assert list(MODEL.predict(table[2:]).index) == ["x", "y", "z"]


def test_many_images_are_given_to_the_network_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "BATCH_PIXELS", 2 * 64)
    sizes: list[int] = []

    def predict(pixels: np.ndarray) -> np.ndarray:
        sizes.append(len(pixels))
        return brightness(pixels)

    table = Classifier(CLASSES, (3, 8, 8), MODEL.decode, predict).predict(PIXELS)
    assert sizes == [2, 2, 1]
    pd.testing.assert_frame_equal(table, MODEL.predict(PIXELS))


@pytest.mark.parametrize(
    ("images", "why"),
    [
        (PIXELS / 255, "image 0: pixels are integers from 0 to 255 .got float64"),
        (PIXELS.astype(int) - 1, "pixels are integers from 0 to 255"),
        (PIXELS[0], r"shape \(N, C, H, W\), not \(3, 8, 8\)"),
        (PIXELS[:, :, :4], r"image 0: pixels have the shape \(3, 8, 8\), not \(3, 4, 8\)"),
        ([*BYTES, b"x"], "image 5: not an image of a known format"),
        (["nowhere.png"], "image 0: nowhere.png: No such file"),
        (["photos/cat"], r"not base64: 'photos/cat' \(text without a dot is read as base64\)"),
        (["abcd"], r"not an image of a known format \(text without a dot"),
        ([[[1, 2], [3]]], "not all of one length"),
        ([None], "shape"),
        (np.array(BYTES), "dtype=object"),
        (pd.DataFrame({"a": [1], "b": [2]}), "a column 'image' .got a, b"),
        ({"pixels": PIXELS}, "values of 'image' .got pixels"),
        ([Path("/dev/null")], "not a regular file"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_what_is_no_image_is_told_with_its_place(images: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        MODEL.predict(images)
