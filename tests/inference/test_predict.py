"""A file is predicted as its pixels are, in order, and however many there are only a few are in memory."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.data.image_files import Candidate, image_files
from harness.errors import DataError
from harness.inference import predict
from harness.inference.find_model import find_model
from harness.inference.model import TrialModel
from harness.inference.predict import predict_files
from harness.store.store import Store


@pytest.fixture
def model(kept: Store) -> TrialModel:
    return find_model(kept, "small", "").model


@pytest.mark.parametrize("chunk", [1, 5, 64])
def test_files_are_predicted_as_their_pixels_are(
    model: TrialModel, photos: Path, digits: np.ndarray, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(predict, "CHUNK_IMAGES", chunk)
    monkeypatch.setattr(predict, "BATCH_PIXELS", 7 * 64)
    found = list(predict_files(model, image_files([str(photos)])))
    assert [Path(one.path).name for one in found] == [f"{number:02}.png" for number in range(12)]
    rows = np.stack([one.probabilities for one in found if one.probabilities is not None])
    np.testing.assert_allclose(rows, model.predict(digits), atol=1e-6)
    raw = [one.probabilities for one in predict_files(model, image_files([str(photos)]), raw=True)]
    np.testing.assert_allclose(np.stack(raw), model.predict(digits, raw=True), atol=1e-6)
    assert np.abs(np.stack(raw) - rows).max() > 0.01


def test_unreadable_files_keep_their_place(model: TrialModel, photos: Path) -> None:
    (photos / "03.png").write_bytes(b"no image")
    (photos / "05.png").write_bytes((photos / "05.png").read_bytes()[:40])
    files = [*image_files([str(photos)]), Candidate("away.png"), Candidate("folder", "Permission denied")]
    found = list(predict_files(model, files))
    assert [number for number, one in enumerate(found) if one.probabilities is None] == [3, 5, 12, 13]
    problems = [one.problem for one in found if one.problem]
    assert problems[0] == "not an image of a known format" and problems[2:] == [
        "No such file or directory",
        "Permission denied",
    ]


def test_a_batch_of_nothing_but_unreadable_files_is_no_end(model: TrialModel, photos: Path) -> None:
    files = [*(Candidate("away.png") for _ in range(3)), Candidate(str(photos / "00.png"))]
    limit = pytest.MonkeyPatch()
    with limit.context() as patch:
        patch.setattr(predict, "BATCH_PIXELS", 64)
        found = list(predict_files(model, files))
    assert [one.probabilities is None for one in found] == [True, True, True, False]


def test_only_a_few_files_are_asked_for_ahead(
    model: TrialModel, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict, "CHUNK_IMAGES", 4)
    monkeypatch.setattr(predict, "BATCH_PIXELS", 8 * 64)
    asked = 0

    def endless() -> Iterator[Candidate]:
        nonlocal asked
        while True:
            asked += 1
            yield Candidate(str(photos / "00.png"))

    stream = predict_files(model, endless())
    assert len(list(itertools.islice(stream, 100))) == 100
    stream.close()
    assert 100 <= asked < 200


@pytest.mark.parametrize("shape", [(1, 8, 6), (4, 8, 8)])
def test_images_that_no_file_becomes_are_refused(model: TrialModel, shape: tuple[int, int, int]) -> None:
    with pytest.raises(DataError, match="which no file is made into"):
        next(predict_files(replace(model, image_shape=shape), []))
