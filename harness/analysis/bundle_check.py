"""What a bundle says of itself must fit together before anything uses it: counts, shapes and indices in its records.

Hashes and seals are no proof: whoever makes a bundle makes them, too.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from harness.data.snapshot import TRAIN
from harness.data.split import Manifest
from harness.errors import CheckFailed, RecordError
from harness.files import entries
from harness.records import FoldRecord, StudyRecord, TrialRecord
from harness.store.findings import Audit, Confirmation, CorrectedScore, FinalTest
from harness.store.loaded_study import LoadedStudy
from harness.store.predictions import read_predictions
from harness.store.store import Store

MOST_IMAGES, MOST_CLASSES, MOST_FOLDS, MOST_TRIALS, MOST_SIDE = 10**8, 10**6, 10**4, 10**6, 10**5
FINDINGS = (Audit, Confirmation, CorrectedScore, FinalTest)


def require_fitting(store: Store, record: StudyRecord) -> None:
    """Raise RecordError or DataError for a study whose records do not fit together; `store` has nothing else."""
    _require_plain(record)
    split = store.read_split(record)
    try:
        split.verify()
    except CheckFailed as error:
        raise RecordError(f"its split is none: {error}") from None
    snapshot = store.read_snapshot(record.name)
    if snapshot is not None and len(snapshot.rows(TRAIN)) != len(split.fold_of):
        raise RecordError("its list of files is not that of its images")
    study = LoadedStudy(store, record, tuple(store.read_trials(record.name)))
    files = [path for path in entries(store.study_folder(record.name) / "trials") if path.match("[!.]*.json")]
    if len(study.trials) < len(files):
        raise RecordError(f"the record of trial {len(study.trials)} is damaged")
    if len(study.trials) > record.num_trials:
        raise RecordError(f"it has {len(study.trials)} trials, and says that there are {record.num_trials}")
    for trial in study.trials:
        _require_trial(trial, record)
        for place, key in enumerate(trial.folds):
            fold = store.read_fold(key)
            if fold is not None:
                _require_fold(fold, record, split, place)
            elif store.fold_folder(key).exists():
                raise RecordError(f"fold {key[:12]} of trial {trial.number} is damaged")
    for kind in FINDINGS:
        found = study.finding(kind)
        trials = (
            []
            if found is None
            else [getattr(found, name) for name in ("trial", "winner") if hasattr(found, name)]
        )
        if any(not 0 <= number < len(study.trials) for number in trials):
            raise RecordError(f"{kind.kind}.json is about a trial that there is not")


def _require_plain(record: StudyRecord) -> None:
    """Raise RecordError unless the study says what images it has, in numbers that can be."""
    data, num_images, shape = record.data, record.data.get("num_images"), record.data.get("image_shape")
    classes, settings = data.get("classes"), data.get("settings")
    problems = {
        "data.num_images": not _is_count(num_images, MOST_IMAGES),
        "data.classes": not _is_list(classes, str) or not 0 < len(classes or ()) <= MOST_CLASSES,
        "data.image_shape": not _is_list(shape, int)
        or len(shape or ()) != 3
        or not all(_is_count(side, MOST_SIDE) for side in shape or ()),
        "data.settings": not isinstance(settings, Mapping) or not isinstance(settings.get("name"), str),
        "data.test": not _is_test(data.get("test")),
        "data.snapshot": not isinstance(data.get("snapshot", ""), str),
        "data.extends": not isinstance(data.get("extends") or "", str),
        "num_folds": not 1 <= record.num_folds <= MOST_FOLDS,
        "cv": not _is_cv(record.definition.get("cv", {}), record.num_folds),
        "num_trials": not _is_count(record.num_trials, MOST_TRIALS),
    }
    for name, is_wrong in problems.items():
        if is_wrong:
            raise RecordError(f"its record has no sensible {name}")


def _is_count(value: object, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= most


def _is_cv(value: object, num_folds: int) -> bool:
    """Whether a record's number of folds is that of a whole number of repetitions."""
    if not isinstance(value, Mapping):
        return False
    repeats, fraction = value.get("repeats", 1), value.get("fraction", 0.2)
    is_share = isinstance(fraction, float) and 0 < fraction < 1
    return _is_count(repeats, num_folds) and num_folds % repeats == 0 and is_share


def _is_list(value: object, kind: type) -> bool:
    return (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and all(isinstance(one, kind) for one in value)
    )


def _is_test(value: object) -> bool:
    return value is None or (isinstance(value, Mapping) and isinstance(value.get("hash"), str))


def _require_trial(trial: TrialRecord, record: StudyRecord) -> None:
    num_folds, scores = len(trial.folds), [trial.scores, *trial.others.values()]
    if num_folds > record.num_folds or any(len(one) > max(num_folds, 1) for one in scores):
        raise RecordError(f"trial {trial.number} has more folds or scores than there are")
    if trial.state == "complete" and (
        num_folds != record.num_folds or len(trial.scores) != num_folds or trial.mean is None
    ):
        raise RecordError(f"trial {trial.number} is complete without all of its folds and scores")


def _require_fold(fold: FoldRecord, record: StudyRecord, split: Manifest, place: int) -> None:
    """Raise RecordError unless a fold has predicted just the images that the split holds out then."""
    num_classes = len(record.data["classes"])
    if fold.fold != place:
        raise RecordError(f"fold {fold.key[:12]} is fold {fold.fold}, and its trial has it as {place}")
    found = read_predictions(fold)
    if not np.array_equal(np.sort(found["indices"]), split.held_out(place)):
        raise RecordError(f"fold {fold.key[:12]} predicts other images than the split holds out")
    if not np.array_equal(found["labels"], split.labels[found["indices"]]):
        raise RecordError(f"fold {fold.key[:12]} has other labels than the split")
    if found["probabilities"].shape[1] != num_classes:
        raise RecordError(
            f"fold {fold.key[:12]} predicts {found['probabilities'].shape[1]} classes, and there are {num_classes}"
        )
    if not np.isfinite(found["probabilities"]).all():
        raise RecordError(f"fold {fold.key[:12]} has probabilities that are no numbers")
