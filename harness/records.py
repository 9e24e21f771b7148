"""What harness writes down: the records of a study, its trials, folds and epochs, as plain data.

They are the truth; MLflow's runs and Optuna's trials are views made from them. Reading and writing them is
`store/store.py`'s job.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from harness.errors import NewerRecord, RecordError

SCHEMA = 1

Scalar = bool | int | float | str | None
Map = dict[str, Scalar]  # what an option like data.groups is set to
Values = dict[str, Scalar]  # dotted name -> value, e.g. {"model.dropout": 0.2}
TrialState = Literal["running", "complete", "stopped", "failed"]


@dataclass(frozen=True)
class Epoch:
    """One pass over a fold's training part. Losses are mean cross-entropy in nats, accuracies fractions 0..1.

    epoch: 1-based.   learning_rate: at the epoch's last step.   seconds: training and validation together.
    validation_loss, validation_accuracy: of the held-out images; NaN where they were not scored after this epoch.
    images_per_second: training only.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float
    learning_rate: float
    images_per_second: float
    seconds: float


@dataclass(frozen=True)
class FoldRecord:
    """One trained fold. Its folder also holds `oof.npz` and, where models are kept, `weights.safetensors`.

    key: hash of `task`.   task: every input of the training (values, data, split, fold, seed, compute).
    chosen_epoch: the epoch the score is of: the last one, or with early stopping the inner split's choice.
    confusion: rows are true classes, columns predicted ones.   hashes: SHA-256 of the files beside it.
    started: seconds since 1970.   fingerprint: what may change the bits (torch build, instruction set, …).
    """

    key: str
    fold: int
    task: dict[str, Any]
    epochs: tuple[Epoch, ...]
    chosen_epoch: int
    metrics: dict[str, float]
    confusion: tuple[tuple[int, ...], ...]
    num_parameters: int
    seconds: float
    started: float
    fingerprint: dict[str, str]
    hashes: dict[str, str]
    folder: Path = field(default=Path(), compare=False)
    schema: int = SCHEMA


@dataclass(frozen=True)
class Objective:
    """What trials are judged by: a metric, or a cost, which is minimised."""

    name: str
    direction: Literal["maximize", "minimize"]


@dataclass(frozen=True)
class TrialRecord:
    """One trial: the values Optuna was asked for, and what became of them.

    params: the searched values only.   values: every value used, defaults included.
    folds: keys of the fold records, in fold order, as far as the trial got.   scores: the objective per fold.
    standard_error: corrected for the overlap of the folds, and no less than the held-out images being a sample makes it
    (`scoring.standard_errors.mean_error`). In a study with a single fold, of its images being a sample.
    half_width: of the 95 % interval that goes with it. A trial of an earlier release has its former error.
    rung, rung_score: key and score of a short training on fold 0, where the study has such.
    others: of each further objective of the study its values, one per fold in the order of `folds`; of a network's
    size, which is known before, a single one.
    failure: which of errors.FAILURES a failed trial met; `reason` says more.
    traceback: of the error that the trial failed with, without secrets, or "".
    """

    number: int
    state: TrialState
    params: Values
    values: Values
    folds: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()
    mean: float | None = None
    standard_error: float | None = None
    reason: str = ""
    seconds: float = 0.0
    started: float = 0.0
    rung: str = ""
    rung_score: float | None = None
    others: dict[str, tuple[float, ...]] = field(default_factory=dict)
    failure: str = ""
    traceback: str = ""
    half_width: float | None = None
    schema: int = SCHEMA


@dataclass(frozen=True)
class StudyRecord:
    """What a study is, fixed when it starts.

    objective, direction: that its statistics are of.   others: further ones.
    definition: the resolved study, without its budget; a changed one is another study.
    data: settings, hash, classes, num_images, image_shape.   compute: resolved device, precision, threads, ….
    provenance: commit, dirty, packages, hardware, …: what identifies the run, not what defines it.
    names: that it had before, the oldest first.
    """

    name: str
    question: str
    text: str
    definition: dict[str, Any]
    objective: str
    direction: Literal["maximize", "minimize"]
    num_folds: int
    num_trials: int
    seed: int
    data: dict[str, Any]
    split_hash: str
    compute: dict[str, Any]
    provenance: dict[str, Any]
    created: float
    others: tuple[Objective, ...] = ()
    names: tuple[str, ...] = ()
    schema: int = SCHEMA

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """The first, then the others."""
        return (Objective(self.objective, self.direction), *self.others)

    @property
    def all_names(self) -> tuple[str, ...]:
        """That it had and has, the oldest first."""
        return (*self.names, self.name)

    @property
    def repeats(self) -> int:
        """How many times its folds were dealt."""
        return int(self.definition.get("cv", {}).get("repeats", 1))

    @property
    def parts(self) -> float:
        """How many parts as large as the one that a fold holds out make up the images: 5 of 5 folds, or repeated."""
        folds = self.num_folds // self.repeats
        return folds if folds > 1 else 1 / float(self.definition.get("cv", {}).get("fraction", 0.2))

    @property
    def is_hold_out(self) -> bool:
        """Whether a share of the images is held out, and the others never are."""
        return self.num_folds == self.repeats

    @property
    def validation(self) -> str:
        """How its trials are scored, in words: 3 times repeated 5-fold cross-validation."""
        if self.is_hold_out:
            times = f"{self.repeats} hold-outs" if self.repeats > 1 else "a hold-out"
            return f"{times} of {1 / self.parts:.0%} of the images"
        often = f"{self.repeats} times repeated " if self.repeats > 1 else ""
        return f"{often}{self.num_folds // self.repeats}-fold cross-validation"

    @property
    def scored_by(self) -> str:
        """What must be known of scores that are not of folds that were dealt once; "" for those."""
        if self.num_folds == 1:
            return (
                f"scored by {self.validation}: ± is of these images being a sample; how much another division "
                "of the images would change is not in it (cv.repeats shows that)"
            )
        if self.is_hold_out:
            return f"scored by {self.validation}: what is pooled counts an image as often as it was held out"
        if self.repeats > 1:
            return f"scored by {self.validation}: what is pooled counts every image {self.repeats} times"
        return ""

    @property
    def sign(self) -> int:
        """That of its objective."""
        return sign_of(self.direction)

    @property
    def scored_on(self) -> tuple[str, str]:
        """Hashes of the images and of the split that it is scored on, whatever soft labels it trains on."""
        scored = self.data.get("scored_on")
        return (scored["data"], scored["split"]) if scored else (self.data["hash"], self.split_hash)

    @property
    def models(self) -> tuple[str, ...]:
        """The names of its models, trial 0's first."""
        name = self.definition.get("model", {}).get("name")
        return tuple(map(str, name)) if isinstance(name, list) else (str(name),)

    @property
    def settings(self) -> dict[str, list[Any]]:
        """What its definition says of each name of its trials, by dotted name: one setting, or one for each model."""
        found: dict[str, list[Any]] = {}
        for part in ("model", "train"):
            options: dict[str, Any] = self.definition.get(part, {})
            maps = [options]
            if part == "model" and len(self.models) > 1:
                maps = [{"name": options["name"]}, *(options[name] for name in self.models)]
            for name, setting in (pair for one in maps for pair in one.items()):
                found.setdefault(f"{part}.{name}", []).append(setting)
        return found


def sign_of(direction: str) -> int:
    """1 where a higher score is better, -1 where a lower one is: `sign * score` is better when higher."""
    return 1 if direction == "maximize" else -1


def ranked(trials: Iterable[TrialRecord], direction: str) -> list[TrialRecord]:
    """The trials that have all their folds by their mean, best first, the earlier of equals first."""
    return sorted(filter(_is_complete, trials), key=_rank(direction))


def best_of(trials: Iterable[TrialRecord], direction: str) -> TrialRecord | None:
    """The first of `ranked`; None where no trial has all its folds."""
    return min(filter(_is_complete, trials), key=_rank(direction), default=None)


def best_so_far(trials: Sequence[TrialRecord], direction: str) -> tuple[list[int], list[float]]:
    """Numbers of the trials that were better than all complete ones before them, and their scores."""
    sign = sign_of(direction)
    numbers: list[int] = []
    bests: list[float] = []
    for trial in trials:
        mean = trial.mean if trial.state == "complete" else None
        if mean is not None and (not bests or sign * mean > sign * bests[-1]):
            numbers.append(trial.number)
            bests.append(mean)
    return numbers, bests


def _is_complete(trial: TrialRecord) -> bool:
    return trial.state == "complete" and trial.mean is not None


def _rank(direction: str) -> Callable[[TrialRecord], tuple[float, int]]:
    sign = sign_of(direction)
    return lambda trial: (-sign * (trial.mean or 0.0), trial.number)


def mixed_fingerprints(folds: Iterable[FoldRecord]) -> dict[str, tuple[str, ...]]:
    """In what folds were computed differently: all values of each entry of their fingerprints that has several.

    What the records of an earlier release do not say counts for nothing.
    """
    found: dict[str, set[str]] = {}
    for fold in folds:
        for what, value in fold.fingerprint.items():
            found.setdefault(what, set()).add(value)
    return {what: tuple(sorted(values)) for what, values in sorted(found.items()) if len(values) > 1}


def mixed_words(mixed: Mapping[str, Sequence[str]]) -> str:
    """That a study's folds were not all computed alike, as a sentence; "" where they were."""
    if not mixed:
        return ""
    ways = "; ".join(f"{what} {' and '.join(values)}" for what, values in mixed.items())
    return f"not all folds were computed alike ({ways}): part of what tells them apart may be that"


def to_json(record: Epoch | FoldRecord | TrialRecord | StudyRecord) -> dict[str, Any]:
    """A record as the dictionary that is written to disk."""
    document = asdict(record)
    document.pop("folder", None)
    for younger in (
        "traceback",
        "others",
        "names",
    ):  # so that earlier releases, which do not know them, can read most records
        if younger in document and not document[younger]:
            del document[younger]
    return document


def fold_from_json(document: dict[str, Any], *, folder: Path) -> FoldRecord:
    """Raises RecordError, as these three do, for a document of another shape: a seal is no proof of it."""
    record: FoldRecord = _from_json(FoldRecord, document)
    return replace(record, folder=folder)


def trial_from_json(document: dict[str, Any]) -> TrialRecord:
    record: TrialRecord = _from_json(TrialRecord, document)
    return record


def study_from_json(document: dict[str, Any]) -> StudyRecord:
    record: StudyRecord = _from_json(StudyRecord, document)
    if not isinstance(record.data.get("hash"), str):
        raise RecordError("not a StudyRecord: data.hash is missing")
    return record


def require_known(document: dict[str, Any]) -> None:
    """Raises NewerRecord for what a newer release has written; a record without a schema is of the first."""
    schema = document.get("schema")
    if isinstance(schema, int) and schema > SCHEMA:
        raise NewerRecord(f"written by a newer harness (schema {schema}); please upgrade")


def _from_json(kind: type, document: dict[str, Any]) -> Any:
    """The record whose fields have the types that are written above."""
    require_known(document)
    unknown = document.keys() - {field.name for field in fields(kind)}
    try:
        if unknown:
            raise ValueError(f"unknown field {min(unknown)}")
        return _readers()[kind.__name__].validate_python(document)
    except (ValueError, RecursionError) as error:
        why = " ".join(str(error).split())[:200]
        raise RecordError(f"not a {kind.__name__}: {why}") from None


@cache
def _readers() -> dict[str, Any]:
    from pydantic import TypeAdapter

    return {kind.__name__: TypeAdapter(kind) for kind in (FoldRecord, TrialRecord, StudyRecord)}
