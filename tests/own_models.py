"""Model files of a test's own, beside those of harness: a fixture."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import models
from harness.config import catalog

HEAD = '"""A model of a test."""\nimport torch\nfrom torch import nn\n\n\n'
SIGNATURE = "def build(in_channels, image_size, num_classes, *, width: int = 4):\n"


@pytest.fixture
def own_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], Path]]:
    """A function that writes `models/NAME.py` with that text, and gives its path."""
    package = tmp_path / "package"
    for folder in ("data", "training", "scoring", "search"):
        (package / folder).parent.mkdir(exist_ok=True)
        (package / folder).symlink_to(catalog.PACKAGE / folder)
    (package / "models").mkdir()
    for path in (catalog.PACKAGE / "models").glob("*.py"):
        (package / "models" / path.name).symlink_to(path)
    monkeypatch.setattr(catalog, "PACKAGE", package)
    monkeypatch.setattr(models, "__path__", [*models.__path__, str(package / "models")])
    written: list[str] = []

    def write(name: str, text: str) -> Path:
        path = package / "models" / f"{name}.py"
        path.write_text(text, encoding="utf-8")
        written.append(name)
        catalog.models.cache_clear()
        sys.modules.pop(f"harness.models.{name}", None)
        return path

    catalog.models.cache_clear()
    yield write
    catalog.models.cache_clear()
    for name in written:
        sys.modules.pop(f"harness.models.{name}", None)
