"""What is said of a study's images before it begins: what may be meant, and makes its scores worth less."""

import logging
from pathlib import Path

from harness.config.study_file import Study
from harness.data import data_warnings, duplicate_warnings, near_duplicates
from harness.data.data_set import DataSet
from harness.data.group_guess import suggest
from harness.data.images import Images
from harness.data.near_duplicates import Duplicates
from harness.data.odd_images import odd_images
from harness.data.snapshot import TRAIN
from harness.data.split import Manifest, duplicates_of, kind_of_duplicates

logger = logging.getLogger(__name__)


def without_effect(study: Study, images: Images) -> list[str]:
    """The options that the study sets or searches, and that change nothing of images without three channels."""
    augment = study.train["augment"]
    if images.pixels.shape[1] == 3 or (isinstance(augment, str) and augment != "standard"):
        return []
    return [f"train.{name}" for name in ("saturation", "hue") if study.train.get(name, 0) != 0]


def warn_of_images(study: Study, data: DataSet) -> None:
    """Tell what is known of the images without a look for duplicates."""
    images = data.train
    if ignored := without_effect(study, images):
        logger.warning("without effect, for it takes images of three channels: %s", ", ".join(ignored))
    for line in data_warnings.warnings_of(
        images.labels, images.classes, names=images.names, hashes=images.image_hashes, groups=images.groups,
        facts=data.snapshot.columns(TRAIN), objective=study.objective,
    ):  # fmt: skip
        logger.warning("%s", line)
    for line in odd_images(images.pixels, images.names, data.snapshot.columns(TRAIN)) if images.names else ():
        logger.warning("%s", line)
    if images.groups is None and images.names:
        suggestion = suggest(images.names, images.labels.tolist(), folds=max(study.cv.folds, 2))
        if suggestion is not None:
            logger.warning("%s", suggestion.in_words())


def warn_of_duplicates(study: Study, data: DataSet, split: Manifest, home: Path) -> Duplicates:
    """Tell what is alike and apart; the pairs to look at.

    Of the sealed part only a number is told, and where its images are not a published set's, of which that is known.
    Where near copies may be apart, and to look for them would take long, equal ones alone are looked for.
    """
    images, kind = data.train, kind_of_duplicates(study)
    minutes = near_duplicates.minutes(len(images))
    is_short = kind == "near" or not minutes
    if not is_short:
        logger.warning(
            "near copies among %s images were not looked for, which would take some %.0f minutes of processor time; "
            "audit does",
            f"{len(images):,}",
            minutes,
        )
    found = duplicates_of(images, home) if is_short else near_duplicates.find_equal(images.pixels)
    section = "data" if study.data.get("duplicates", "near") == kind else "cv"
    option = "" if kind == "near" else f"{section}.duplicates: {kind}"
    lines = duplicate_warnings.warnings_of(
        found, images.labels, images.classes, images.names, groups=split.groups, option=option
    )
    if data.may_change and is_short:
        lines += duplicate_warnings.of_border(
            data.num_copies(found, home), data.test.num_images,
            has_test_folder=data.snapshot.has_test_folder, option=option if section == "data" else "",
        )  # fmt: skip
    for line in lines:
        logger.warning("%s", line)
    return duplicate_warnings.to_look_at(found, images.labels, split.groups)
