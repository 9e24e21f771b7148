"""Makes a study's split: stratified folds that no group, and no two images of the same picture, cross."""

from pathlib import Path

import numpy as np

from harness.config.study_file import Study
from harness.data import near_duplicates
from harness.data.folds import make_folds
from harness.data.grouping import merged
from harness.data.images import Images
from harness.data.near_duplicates import Duplicates
from harness.data.split import Manifest
from harness.seeds import seed_for


def make_split(study: Study, images: Images, home: Path) -> Manifest:
    """The folds of a study's images.   home: where the duplicates of a data set are kept once they have been found.

    Raises DataError if there are too few images or groups.
    """
    groups = together(images, study.cv.duplicates, home)
    seed = seed_for(study.search.seed, "split")
    fold_of = make_folds(images.labels, num_folds=study.cv.folds, seed=seed % 2**32, groups=groups)
    return Manifest.make(images, fold_of, groups, num_folds=study.cv.folds, seed=study.search.seed)


def together(images: Images, kind: str, home: Path) -> np.ndarray:
    """The images that are held out together: int64 (N,), groups numbered by first appearance.

    kind: near, exact or ignore: which duplicates are joined with the groups that the images have.
    """
    own = np.arange(len(images)) if images.groups is None else images.groups
    if kind == "ignore":
        joined = own
    else:
        found = duplicates_of(images, home)
        chosen = found.only_exact() if kind == "exact" else found
        joined = np.asarray(merged(own.tolist(), chosen.groups(len(images)).tolist()))
    _, first, codes = np.unique(joined, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[codes].astype(np.int64)


def duplicates_of(images: Images, home: Path) -> Duplicates:
    """The pairs of images that show the same picture: searched once per data set, kept in the store."""
    path = home / "duplicates" / f"{images.content_hash}.npz"
    return near_duplicates.remembered(path, lambda: near_duplicates.find(images.pixels))
