"""The digits, the way to a data set by its settings, and the seal around test images."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from harness.data import data_home, load_training, test_set
from harness.data.test_set import load_test
from harness.errors import DataError

SETTINGS = {"name": "digits", "test_fraction": 0.2}


def test_the_digits_are_scikit_learns() -> None:
    from sklearn.datasets import load_digits

    reference = load_digits()
    train, test = load_training(SETTINGS), load_test(SETTINGS)
    pixels = np.concatenate([train.pixels, test.pixels])[:, 0]
    labels = np.concatenate([train.labels, test.labels])
    assert pixels.dtype == np.uint8 and pixels.max() == 255
    ours = sorted((image.tobytes(), label) for image, label in zip(pixels, labels, strict=True))
    expected = np.rint(reference.images * 255 / 16).astype(np.uint8)
    theirs = sorted((image.tobytes(), label) for image, label in zip(expected, reference.target, strict=True))
    assert ours == theirs


def test_training_and_test_digits_share_no_image_and_all_classes() -> None:
    train, test = load_training(SETTINGS), load_test(SETTINGS)
    assert not {image.tobytes() for image in train.pixels} & {image.tobytes() for image in test.pixels}
    shares = np.bincount(test.labels) / (np.bincount(train.labels) + np.bincount(test.labels))
    assert len(shares) == 10 and (abs(shares - 0.2) < 0.004).all()


def test_test_pixels_come_without_labels_and_leave_the_seal_unbroken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(test_set, "opened", False)
    pixels = test_set.test_pixels(SETTINGS)
    assert not test_set.opened
    assert (load_test(SETTINGS).pixels == pixels).all() and test_set.opened


def test_loading_twice_gives_the_same_images() -> None:
    first, second = load_training(SETTINGS), load_training(SETTINGS)
    assert first.content_hash == second.content_hash
    assert first.content_hash != load_test(SETTINGS).content_hash


def test_an_unknown_data_set_is_answered_with_the_nearest_and_all_names() -> None:
    with pytest.raises(DataError, match=r"did you mean 'digits'\?.*cifar10, digits, fashion_mnist, folder"):
        load_training({"name": "digts"})


def test_data_home_is_the_variable_or_a_folder_in_the_users_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_DATA", "~/my data")
    assert data_home() == Path.home() / "my data"
    monkeypatch.delenv("HARNESS_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert data_home().parts[-2:] == ("harness", "data")
    assert data_home().is_absolute()


def test_loading_the_digits_imports_no_heavy_library() -> None:
    heavy = ["torch", "torchvision", "sklearn", "scipy", "PIL", "pandas", "mlflow"]
    program = f"""
import json, sys
import harness.data, harness.data.folds, harness.data.split
images = harness.data.load_training({SETTINGS!r})
harness.data.folds.make_folds(images.labels, num_folds=5, seed=0)
print(json.dumps([name for name in {heavy!r} if name in sys.modules]))
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(found.stdout) == []
