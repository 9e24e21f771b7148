"""What a report says, as one document of its studies: its types, in the order in which they are written as JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from math import isfinite
from typing import Any, Literal, TypeVar

import numpy as np

from harness.analysis import compare
from harness.analysis.leaderboard import BestTrial, ComparedStudy, ParetoFront, TrialStatus
from harness.documents import INLINE, WHERE_SET, WHOLE, to_json
from harness.report.data_document import Alike, BegunWith
from harness.scoring.per_class import ClassScores
from harness.scoring.threshold_curves import ThresholdCurve
from harness.store.findings import Audit, Confirmation, CorrectedScore, FalseStops, FinalTest, Verdict

Value = TypeVar("Value")


@dataclass(frozen=True)
class Data:
    name: str
    classes: tuple[str, ...]
    num_images: int
    image_shape: tuple[int, ...]


@dataclass(frozen=True)
class BestSoFar:
    """The trials that were the best when they ended, and their scores."""

    numbers: tuple[int, ...]
    scores: tuple[float, ...]


@dataclass(frozen=True)
class SearchedRange:
    """An option that trials differ in, between two ends.   path: model.dropout.   name: dropout."""

    path: str
    name: str
    low: float
    high: float
    log: bool


@dataclass(frozen=True)
class SearchedChoice:
    """An option that trials differ in, one of `choices`, as text."""

    path: str
    name: str
    low: None
    high: None
    log: bool
    choices: tuple[str, ...]


Searched = SearchedRange | SearchedChoice


@dataclass(frozen=True)
class Curve:
    """By epoch, over the folds that got as far; None where a fold's value was not finite."""

    mean: tuple[float | None, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]


@dataclass(frozen=True)
class Metric:
    """Mean over the folds, its standard error, and the half width of its 95 % interval."""

    mean: float | None
    standard_error: float | None
    half_width: float | None


@dataclass(frozen=True)
class Calibration:
    """error: expected calibration error.   The others by bin of confidence; count: images."""

    error: float
    confidence: tuple[float, ...]
    accuracy: tuple[float, ...]
    count: tuple[int, ...]


@dataclass(frozen=True)
class HeldOut:
    """What the pooled held-out predictions of a trial say.   confusion: rows are true classes.

    thresholds: by class, of those that are told worst.
    """

    confusion: tuple[tuple[int, ...], ...]
    classes: tuple[ClassScores, ...]
    calibration: Calibration
    thresholds: Mapping[str, ThresholdCurve] = field(metadata=WHOLE)


@dataclass(frozen=True)
class TrialDetails:
    """The trial that final took or takes.   curves, metrics: by name.

    held_out: None where some of its predictions are gone.
    """

    number: int
    num_parameters: int
    curves: Mapping[str, Curve]
    chosen_epochs: tuple[int, ...]
    metrics: Mapping[str, Metric]
    held_out: HeldOut | None = field(metadata=INLINE)


@dataclass(frozen=True)
class Racing:
    """Which trials were stopped after how many folds, and what that saved.

    seconds_saved: an estimate. A fold that was not trained counts as long as those that its trial trained took in the
    mean, or where it trained none, as those of all trials.   checked: the audit's sample of stopped trials.
    """

    rule: str | None
    rung: float | None
    stopped: int
    folds_trained: int
    folds_of_ended_trials: int
    folds_saved: int
    seconds_saved: float
    checked: FalseStops | None


@dataclass(frozen=True)
class ImageToLookAt:
    """What networks that had not seen an image said of it.   confidence, label_probability: mean over the trials."""

    index: int
    name: str | None
    label: str
    predicted: str
    confidence: float
    label_probability: float


ByClass = Mapping[str, tuple[ImageToLookAt, ...]]


@dataclass(frozen=True)
class Gallery:
    """found: how many there are of each kind.   images: some of them, by kind and class."""

    trials: tuple[int, ...]
    found: Mapping[str, int]
    images: Mapping[str, ByClass]


@dataclass(frozen=True)
class Cost:
    """Seconds that the folds of all trials took to train, and their short trainings; speed of the best trial."""

    seconds: float
    short_seconds: float
    short_trainings: int
    folds: int
    best_seconds: float | None
    images_per_second: float | None
    device: str | None


@dataclass(frozen=True)
class Command:
    what: str
    command: str


@dataclass(frozen=True)
class Provenance:
    """Where the figures come from; nothing that names a person or a folder but options do.

    fingerprint: what may change the bits, as the best trial's first fold has recorded it.   text: the study file.
    dirty: None where git could not tell, for the reason `git_error`.
    """

    started: str
    commit: str | None
    dirty: bool | None
    untracked: int
    harness: str | None
    definition_hash: str | None
    data_hash: str
    split_hash: str
    seed: int
    python: str | None
    packages: Mapping[str, str]
    hardware: Mapping[str, Any]
    compute: Mapping[str, Any]
    fingerprint: Mapping[str, str]
    mixed: str
    text: str
    commands: tuple[Command, ...]
    git_error: str = field(default="", metadata=WHERE_SET)


@dataclass(frozen=True)
class Gain:
    """Of the best trial over trial 0 without the luck of its choice, positive for better, with its 95 % interval."""

    gain: float
    low: float
    high: float


@dataclass(frozen=True)
class Notice:
    """What a reader must know first. level: "failed" where the score cannot be believed."""

    level: Literal["failed", "note"]
    text: str


@dataclass(frozen=True)
class StudyReport:
    """Everything that is recorded of a study.

    trials: best first.   chosen: the one that final took or takes: tested, confirmed or best.
    honest: the best score, corrected for the choice.   absent: why something is missing.
    answer: plain text; the first sentence by itself says it all.
    """

    study: str
    question: str
    about: str
    state: Literal["running", "finished", "interrupted"]
    objective: str
    direction: Literal["maximize", "minimize"]
    num_trials: int
    best: BestTrial | None
    honest: CorrectedScore | None
    num_folds: int
    data: Data
    trials: tuple[TrialStatus, ...]
    best_so_far: BestSoFar
    searched: tuple[Searched, ...]
    importances: Mapping[str, float]
    best_trial: TrialDetails | None
    racing: Racing
    gallery: Gallery | None
    cost: Cost
    origin: Provenance  # its name in the document
    audit: Audit | None = field(metadata=WHOLE)
    confirm: Confirmation | None = field(metadata=WHOLE)
    final: FinalTest | None = field(metadata=WHOLE)
    absent: Mapping[str, str]
    defaults: Gain | None = None
    answer: tuple[str, ...] = ()
    warnings: tuple[Notice, ...] = ()
    pareto: ParetoFront | None = field(default=None, metadata=WHERE_SET)
    hidden: tuple[str, ...] = field(default=(), metadata=WHERE_SET)
    chosen: int | None = field(default=None, metadata=WHERE_SET)
    begun_with: BegunWith | None = field(default=None, metadata=WHERE_SET)
    alike: Alike | None = field(default=None, metadata=WHERE_SET)
    scored_by: str = field(default="", metadata=WHERE_SET)

    @property
    def num_ended(self) -> int:
        return sum(trial.has_ended for trial in self.trials)

    @property
    def corrected(self) -> CorrectedScore | None:
        """`honest`, where there was a choice."""
        return self.honest if self.honest and self.honest.num_trials > 1 else None

    @property
    def held_out(self) -> HeldOut | None:
        """Of the best trial."""
        return self.best_trial.held_out if self.best_trial else None

    def is_best(self, trial: TrialStatus) -> bool:
        return self.best is not None and self.best.number == trial.number


@dataclass(frozen=True)
class ComparedReport(ComparedStudy):
    """A study's best trial beside others, with the corrected and the test score."""

    direction: str
    honest: CorrectedScore | None
    test: float | None
    test_interval: tuple[float, float] | None
    audit: Verdict | None
    data: str
    data_hash: str


@dataclass(frozen=True)
class Comparison:
    """Studies in the order given.

    paired: the best trials of each set of studies that share data, splits and objective.
    absent: why there is none.
    """

    compared: tuple[ComparedReport, ...]
    paired: tuple[compare.Comparison, ...] = field(metadata=WHOLE)
    absent: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class ReportDocument:
    """Studies, and their comparison where there are several."""

    comparison: Comparison | None
    studies: tuple[StudyReport, ...]


@dataclass(frozen=True, eq=False)
class Report(ReportDocument):
    """pixels: by study and index uint8 (C, H, W), of images shown.   images: of each class and kind, as asked for."""

    pixels: Mapping[str, Mapping[int, np.ndarray]]
    images: int = 0

    @property
    def document(self) -> dict[str, Any]:
        """What `--json` prints."""
        document: dict[str, Any] = to_json(ReportDocument(self.comparison, self.studies))
        return document


def without_nan(value: Value) -> Value:
    """The same with None for every float that is not finite, which JSON does not know and no chart shows."""
    changed: Any = value
    if is_dataclass(value) and not isinstance(value, type):
        changed = replace(value, **{one.name: without_nan(getattr(value, one.name)) for one in fields(value)})
    elif isinstance(value, Mapping):
        changed = {key: without_nan(part) for key, part in value.items()}
    elif isinstance(value, list | tuple):
        changed = type(value)(map(without_nan, value))
    elif isinstance(value, float) and not isfinite(value):
        changed = None
    result: Value = changed
    return result
