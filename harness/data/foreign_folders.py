"""What people keep beside class folders and is no class: folders of texts, and images that are in no folder."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path

from harness.data.formats import is_image_name

logger = logging.getLogger(__name__)

# Of files that are about images. A folder of files with any other ending may be a class whose format nobody can read.
TEXTS = (
    ".txt", ".md", ".rst", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".toml", ".ini", ".html",
    ".pdf", ".log", ".py", ".ipynb", ".sh", ".doc", ".docx", ".xls", ".xlsx",
)  # fmt: skip


def told_texts(folders: Mapping[str, Path]) -> list[str]:
    """The names of folders that hold texts and nothing else, each of which is told; an empty one is none of them."""
    texts = [name for name, folder in folders.items() if _holds_texts(folder)]
    for name in texts:
        logger.warning("%s: passed over, for it holds texts and no image", folders[name])
    return texts


def without_texts(folders: dict[str, Path]) -> dict[str, Path]:
    """Without folders of texts, which are told, as long as there are classes beside them."""
    if sum(not _holds_texts(folder) for folder in folders.values()) < 2:
        return folders
    texts = told_texts(folders)
    return {name: folder for name, folder in folders.items() if name not in texts}


def stray_images(folder: Path) -> list[str]:
    """The names of the image files that lie in a folder of class folders, sorted."""
    with os.scandir(folder) as entries:
        return sorted(
            entry.name
            for entry in entries
            if not entry.name.startswith(".")
            and is_image_name(Path(entry.name).suffix.lower())
            and entry.is_file()
        )


def _holds_texts(folder: Path) -> bool:
    found = False
    for _, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith((".", "__pycache__"))]
        for name in files:
            if name.startswith("."):
                continue
            if Path(name).suffix.lower() not in TEXTS:
                return False
            found = True
    return found
