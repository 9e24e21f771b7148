"""Images that a study was given in Python as arrays or as a data set, kept in its store.

Source: yours
"""

import re
from pathlib import Path
from typing import Annotated, Literal

from harness.config.signatures import Younger
from harness.data.images import Images
from harness.errors import DataError


def load(
    home: Path,
    part: Literal["train", "test"],
    *,
    root: str,
    images: str,
    duplicates: Annotated[Literal["near", "exact", "ignore"], Younger()] = "near",
) -> Images:
    """The images that `harness.tune(data=…)` has kept: one part of them, as it was divided then.

    root: the folder `data` of the store.   images: the hash that they were kept under.
    duplicates: which are held out together, in folds and in the test part, which was divided when they were kept.
    Raises DataError where they are gone, or are not what was kept.
    """
    found = folder(Path(root), images, part)
    try:
        if found is not None:
            return Images.open(found).verified()
        why = f"{root}: the images {images[:12]} are not there"
    except DataError as error:
        why = str(error)
    raise DataError(
        f"{why}; the study was given them in Python: call harness.tune with the same data again, which keeps them again"
    )


def folder(root: Path, images: str, part: Literal["train", "test"]) -> Path | None:
    """Where a part lies: the training images under their own hash, and the test images beside them."""
    if not re.fullmatch("[0-9a-f]{64}", images):
        raise DataError(f"{images[:80]!r} is no hash of images that were kept")
    tests = sorted(root.glob(f"*.{images}"))
    for test in tests:
        train = root / test.name.partition(".")[0]
        if train.is_dir():
            return test if part == "test" else train
    return None
