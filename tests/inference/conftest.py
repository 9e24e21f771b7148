"""A finished study whose models are kept."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.store.store import Store
from tests.inference.web_server import running, service
from tests.tuned_study import STUDY, tune

__all__ = ["running", "service"]
LEARNS = ("train.epochs=4", "train.batch_size=32", "model.width=8", "train.optimizer=adam", "train.lr=0.01")


@pytest.fixture(scope="session")
def _kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kept")
    (folder / "small.yaml").write_text(STUDY, encoding="utf-8")
    return tune(
        folder / "small.yaml", folder / "home", "train.keep_models=all", "compute.precision=fp32", *LEARNS
    ).home


@pytest.fixture
def kept(_kept: Path, tmp_path: Path) -> Store:
    """The store of the finished study `small`: two trials of two folds on digits, with all models."""
    return Store(Path(shutil.copytree(_kept, tmp_path / "home")))


@pytest.fixture(scope="session")
def digits() -> np.ndarray:
    """uint8 (12, 1, 8, 8)."""
    from harness.data.digits import load

    return load(Path(), "train").pixels[:12]


@pytest.fixture
def photos(digits: np.ndarray, tmp_path: Path) -> Path:
    """The digits as files 00.png, 01.png, …, the last ones in a folder of their own."""
    folder = tmp_path / "meine Fotos"
    (folder / "more").mkdir(parents=True)
    for number, pixels in enumerate(digits):
        place = folder / "more" if number >= 8 else folder
        Image.fromarray(pixels[0]).save(place / f"{number:02}.png")
    return folder
