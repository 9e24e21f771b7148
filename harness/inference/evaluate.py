"""Scores a model on a folder of labelled images of its user's own: no study's test part, and no look in its ledger.

Images that the model was trained on, or that resemble one, are told, with the score without them. Those of the sealed
test part of its study are left out: only `harness final` opens it.
"""

import logging
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from harness import scoring
from harness.data.grouping import Groups, by_appearance, group_names
from harness.data.image_files import Candidate, image_files, printable
from harness.documents import INLINE, WHERE_SET
from harness.errors import DataError
from harness.inference.find_model import Found
from harness.inference.known_images import known_images, study_of
from harness.inference.labelled_folders import folders_of_classes, labelled_files, unknown_classes
from harness.inference.predict import decoded_batches
from harness.scoring.calibration import calibration_curve
from harness.scoring.intervals import score_interval
from harness.scoring.metrics import METRICS
from harness.scoring.per_class import ClassScores, per_class
from harness.store.loaded_study import LoadedStudy
from harness.store.store import Store

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EvaluatedClass:
    """How well a class is found; precision and the like as in `ClassScores`."""

    name: str
    scores: ClassScores = field(metadata=INLINE)


@dataclass(frozen=True)
class Bin:
    """Of a calibration curve: mean confidence, accuracy, and number of images."""

    confidence: float
    accuracy: float
    num_images: int


@dataclass(frozen=True)
class Known:
    """Images of the folder that the model has seen, or that resemble one.

    unchecked: why nobody could look, or "".   equal, alike: to a training image, in its pixels or as a near duplicate.
    sealed: of the study's test part, left out of all scores.
    num_without, accuracy_without, interval_without: of the images that are neither equal nor alike, where some are.
    """

    unchecked: str = ""
    equal: int = 0
    alike: int = 0
    sealed: int = 0
    num_without: int = 0
    accuracy_without: float | None = None
    interval_without: tuple[float, float] | None = None


@dataclass(frozen=True)
class Evaluation:
    """A model's scores on labelled images.

    model: in words.   missing: classes of the model without an image here.   unreadable: why, by path.
    groups: how images belong together, which are then the units of the intervals, or None.   num_groups: 0 without.
    scores: every metric, and the Brier score.   intervals: 95 %, by metric.   confusion: rows are true classes.
    calibrated: whether probabilities are.   calibration: bins of confidence that have images.
    left_out: how many files folders have that are no classes of the model, by name.
    """

    model: str
    study: str
    trial: int
    folder: str
    num_images: int
    unreadable: Mapping[str, str]
    missing: tuple[str, ...]
    groups: Groups | None
    num_groups: int
    scores: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    classes: tuple[EvaluatedClass, ...]
    confusion: tuple[tuple[int, ...], ...]
    calibrated: bool
    calibration: tuple[Bin, ...]
    known: Known
    left_out: Mapping[str, int] = field(default_factory=dict, metadata=WHERE_SET)


@dataclass(frozen=True, eq=False)
class _Scored:
    """The images that could be read: paths and names class/…/file, labels (n,), probabilities (n, classes)."""

    paths: list[str]
    names: list[str]
    labels: np.ndarray
    probabilities: np.ndarray

    def only(self, kept: np.ndarray) -> "_Scored":
        """kept: bool (n,)."""
        chosen = np.flatnonzero(kept).tolist()
        paths, names = ([column[place] for place in chosen] for column in (self.paths, self.names))
        return _Scored(paths, names, self.labels[kept], self.probabilities[kept])


def evaluate(
    store: Store,
    found: Found,
    folder: Path,
    *,
    groups: Groups | Literal["study"] | None,
    raw: bool = False,
    skip_unknown: bool = False,
) -> Evaluation:
    """Score a model on a folder that has a folder of images for each class, by the model's names of classes.

    groups: images that belong together, as `data.groups` has them; study: as its study has it, if that fits here.
    raw: without the temperature.   skip_unknown: whether folders that are no class of the model are left out.
    Raises DataError for another folder, for classes that the model does not know, and where no image can be scored.
    """
    folders = folders_of_classes(folder, found.model.classes)
    left_out = {name: place for name, place in folders.items() if name not in found.model.classes}
    if left_out and not skip_unknown:
        raise unknown_classes(folder, left_out, len(folders), found.model.classes)
    files = list(
        labelled_files({name: folders[name] for name in folders if name not in left_out}, found.model.classes)
    )
    if not files:
        raise DataError(f"{folder}: no file in its class folders is named like an image")
    study = study_of(store, found)
    with tempfile.TemporaryFile() as kept:
        scored, unreadable = _predicted(found, folder, files, kept, raw=raw)
        pixels = np.memmap(kept, np.uint8, "r", shape=(len(scored.paths), *found.model.image_shape))
        seen = known_images(study, scored.paths, pixels)
    if seen.sealed.all():
        raise DataError(
            f"{folder}: all its images are of the sealed test part of study {found.study}, which only harness final "
            "opens"
        )
    scored = scored.only(~seen.sealed)
    equal, alike = seen.equal[~seen.sealed], seen.alike[~seen.sealed]
    unchecked = f"{found.study}: {seen.unchecked}" if seen.unchecked else ""
    groups, of_group = _groups(groups, study, scored.names)
    known = Known(unchecked, int(equal.sum()), int(alike.sum()), int(seen.sealed.sum()))
    if known.equal or known.alike:
        known = _without(known, scored, ~(equal | alike), of_group)
    document = _evaluation(found, folder, scored, unreadable, groups, of_group, known, _objective(study), raw)
    counts = {name: len(list(image_files([str(place)]))) for name, place in left_out.items()}
    return replace(document, left_out=counts)


def _without(known: Known, scored: _Scored, others: np.ndarray, of_group: np.ndarray | None) -> Known:
    """With the score of the images that are not known."""
    if not others.any():
        return known
    labels, probabilities = scored.labels[others], scored.probabilities[others]
    part = None if of_group is None else by_appearance(of_group[others])
    return replace(
        known,
        num_without=int(others.sum()),
        accuracy_without=METRICS["accuracy"](labels, probabilities),
        interval_without=score_interval("accuracy", labels, probabilities, groups=part),
    )


def _groups(
    wanted: Groups | Literal["study"] | None, study: LoadedStudy | None, names: Sequence[str]
) -> tuple[Groups | None, np.ndarray | None]:
    """How images are grouped, and the group of each: int64 (n,), or None."""
    if wanted is None:
        return None, None
    if wanted != "study":
        return wanted, by_appearance(np.array(group_names(wanted, names, "test")))
    own = None if study is None else study.record.data["settings"].get("groups")
    if own is None:
        return None, None
    try:
        return own, by_appearance(np.array(group_names(own, names, "test")))
    except DataError as error:
        logger.warning("the groups of study %s do not fit here: %s", study and study.name, error)
        return None, None


def _evaluation(
    found: Found,
    folder: Path,
    scored: _Scored,
    unreadable: Mapping[str, str],
    groups: Groups | None,
    of_group: np.ndarray | None,
    known: Known,
    objective: str,
    raw: bool,
) -> Evaluation:
    labels, probabilities, classes = scored.labels, scored.probabilities, found.model.classes
    curve = calibration_curve(labels, probabilities)
    confusion = scoring.confusion_matrix(labels, probabilities.argmax(1), len(classes))
    counts = np.bincount(labels, minlength=len(classes))
    return Evaluation(
        model=found.source,
        study=found.study,
        trial=found.trial,
        folder=str(folder),
        num_images=len(labels),
        unreadable=unreadable,
        missing=tuple(classes[label] for label in np.flatnonzero(counts == 0)),
        groups=groups,
        num_groups=0 if of_group is None else len(np.unique(of_group)),
        scores=scoring.score(labels, probabilities),
        intervals={
            metric: score_interval(metric, labels, probabilities, groups=of_group)
            for metric in dict.fromkeys(["accuracy", objective])
        },
        classes=tuple(
            EvaluatedClass(name, scores)
            for name, scores in zip(classes, per_class(labels, probabilities), strict=True)
        ),
        confusion=tuple(map(tuple, confusion.tolist())),
        calibrated=found.model.temperature is not None and not raw,
        calibration=tuple(
            Bin(float(confidence), float(accuracy), int(count))
            for confidence, accuracy, count in zip(curve.confidence, curve.accuracy, curve.count, strict=True)
            if count
        ),
        known=known,
    )


def _predicted(
    found: Found, folder: Path, files: Sequence[tuple[Candidate, int]], kept: Any, *, raw: bool
) -> tuple[_Scored, dict[str, str]]:
    """The images that can be read, and why the others cannot.   kept: a file that their pixels are written to."""
    model = found.model
    labels = iter([label for _, label in files])
    paths, chosen, parts = [], [], []
    unreadable = {}
    for batch in decoded_batches(model, [candidate for candidate, _ in files]):
        good = []
        for path, pixels in batch:
            label = next(labels)
            if isinstance(pixels, str):
                unreadable[path] = pixels
                continue
            paths.append(path)
            chosen.append(label)
            good.append(pixels)
        if good:
            stacked = np.stack(good)
            kept.write(stacked.data)
            parts.append(model.predict(stacked, raw=raw))
    if not paths:
        raise DataError(f"{folder}: none of its {len(unreadable):,} image files can be read")
    kept.flush()
    names = [printable(os.path.relpath(path, folder).replace(os.sep, "/")) for path in paths]
    return _Scored(paths, names, np.array(chosen, np.int64), np.concatenate(parts)), unreadable


def _objective(study: LoadedStudy | None) -> str:
    """The study's, where it is a metric of harness's own."""
    return study.record.objective if study is not None and study.record.objective in METRICS else "accuracy"
