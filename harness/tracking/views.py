"""What MLflow should show of each record: runs with parameters, points, tags and files, as plain data.

docs/mlflow.md has the names. No MLflow in here; `mlflow_tracker.py` makes its runs look like these. Everything is a
function of the records, time stamps included, so showing a record twice changes nothing.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import Path
from typing import Literal

from harness.config.sections import COSTS
from harness.records import Epoch, FoldRecord, Scalar, StudyRecord, TrialRecord, best_so_far
from harness.scoring.standard_errors import trial_mean
from harness.store.loaded_study import LoadedStudy
from harness.store.trial_scores import ERROR, HALF_WIDTH, means
from harness.tracking.experiment_view import DatasetView, dataset, searched, study_id
from harness.tracking.study_findings import StudyFindings
from harness.tracking.value_limits import allowed, cut, params

VERSION = "5"  # of the views; raised when they change, so that older runs are made anew
WHOLE = (
    "2"  # of complete trials; raised when they are shown more than before, which their runs are then given
)
WITH_PICTURES = " with pictures"  # ends the version of a trial that has some
MOST_PICTURED = 3  # of the best trials
SHOWN = "harness.shown"  # the tag with the version of what a run shows; written after all the rest
Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]
Place = tuple[int | None, int | None]  # (trial, fold) of a run; (None, None) is the study's own
STUDY: Place = (None, None)

MOST_NAME_CHARACTERS = 120  # of a run
EPOCH_CURVES = {
    "train/loss": "train_loss",
    "train/accuracy": "train_accuracy",
    "val/loss": "validation_loss",
    "val/accuracy": "validation_accuracy",
    "train/learning_rate": "learning_rate",
    "train/images_per_second": "images_per_second",
}


@dataclass(frozen=True)
class Point:
    """One value of a metric."""

    key: str
    value: float
    milliseconds: int
    step: int = 0


@dataclass(frozen=True)
class Curve:
    """The epochs so far of a fold that is being trained.   started: seconds since 1970, by the driver's clock."""

    started: float
    epochs: list[Epoch] = field(default_factory=list)


@dataclass(frozen=True)
class View:
    """One run as MLflow should show it. started, ended: milliseconds since 1970.

    version: of the run's content; a run that carries it needs nothing more.
    files: writes the run's artifacts into a folder.   dataset: its input.
    """

    place: Place
    version: str
    name: str
    started: int
    ended: int | None
    status: Status
    tags: dict[str, str]
    params: dict[str, str] = field(default_factory=dict)
    points: tuple[Point, ...] = ()
    files: Callable[[Path], None] | None = None
    dataset: DatasetView | None = None


def study_version(study: LoadedStudy, findings: StudyFindings, *, final: bool) -> str:
    state, decided = study_state(study, final=final), len(_decided(study))
    return f"{VERSION} {state} {decided}/{study.record.num_trials} {findings.version}".strip()


def study_state(study: LoadedStudy, *, final: bool) -> str:
    """running, finished, failed (every trial did) or interrupted."""
    ended = _decided(study)
    if not final:
        return "running"
    if len(ended) < study.record.num_trials:
        return "interrupted"
    return "failed" if all(trial.state == "failed" for trial in ended) else "finished"


def study_view(
    study: LoadedStudy,
    findings: StudyFindings,
    *,
    final: bool,
    note: str,
    files: Callable[[Path], None] | None,
) -> View:
    record, state = study.record, study_state(study, final=final)
    status: dict[str, Status] = {"finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}
    ended = _decided(study)
    ends = {trial.number: _milliseconds(trial.started + trial.seconds) for trial in ended if trial.started}
    numbers, bests = best_so_far(ended, record.direction)
    improvements = dict(zip(numbers, bests, strict=True))
    points, best = [], None
    for trial in ended:
        best = improvements.get(trial.number, best)
        if best is not None and trial.number in ends:
            points.append(Point(f"best/{record.objective}", best, ends[trial.number], trial.number))
    latest = max(ends.values(), default=_milliseconds(record.created))
    if final:  # an earlier run's findings, shown at another time than then, would be another point
        found = findings.points(record.objective, finished=state == "finished")
        points += [Point(key, value, latest) for key, value in found.items()]
    shown, odd = _finite(points)
    return View(
        place=STUDY,
        version=study_version(study, findings, final=final),
        name=study.name,
        started=_milliseconds(record.created),
        ended=latest if final else None,
        status=status.get(state, "RUNNING"),
        tags=_tags(record, STUDY) | odd | findings.tags() | {
            "harness.state": state,
            **{f"harness.{key}": record.data[key] for key in ("snapshot", "extends") if record.data.get(key)},
            **({"harness.best_trial": str(numbers[-1])} if numbers else {}),
            "mlflow.note.content": cut(note),
        },
        params=params(searched(record)),
        points=shown,
        files=files,
        dataset=dataset(record),
    )  # fmt: skip


def pictured(study: LoadedStudy, *, final: bool, all_: bool = False) -> set[int]:
    """The trials that have pictures, which take longer to draw than all the rest of a trial to be delivered.

    They are those that are looked at, once a study has finished: the best ones, the defaults, the front, and the one
    that final takes.   all_: every complete one.
    """
    if all_:
        return {trial.number for trial in study.ranked}
    if study_state(study, final=final) != "finished":
        return set()
    looked_at = [
        *study.ranked[:MOST_PICTURED],
        *study.front,
        *study.trials[:1],
        *filter(None, [study.chosen]),
    ]
    return {trial.number for trial in looked_at if trial.state == "complete"}


def trial_version(study: LoadedStudy, trial: TrialRecord, *, final: bool, with_pictures: bool = False) -> str:
    words = [VERSION, _trial_state(trial, final=final), str(len(trial.folds))]
    whole = [WHOLE] if trial.state == "complete" else []
    version = " ".join([*words, *whole, *_front_tag(study, trial).values()])
    return version + WITH_PICTURES if with_pictures else version


def trial_view(
    study: LoadedStudy,
    trial: TrialRecord,
    *,
    final: bool,
    files: Callable[[Path], None] | None,
    with_pictures: bool = False,
) -> View:
    record, folds = study.record, study.folds(trial)
    state = _trial_state(trial, final=final)
    status: dict[str, Status] = {
        "running": "RUNNING", "interrupted": "KILLED", "stopped": "KILLED", "failed": "FAILED",
    }  # fmt: skip
    started = _milliseconds(trial.started or record.created)
    ended = _milliseconds((trial.started or record.created) + trial.seconds)  # folds added up
    points: list[Point] = []
    if state not in ("running", "interrupted"):  # all at once, in the order in which pages are to have them
        points += [Point(key, value, ended) for key, value in _scores(study, trial).items()]
        points += [
            Point(f"value/{path}", value, started)
            for path, value in trial.params.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        ]
        points += [
            Point(f"fold/{record.objective}", fold.metrics[record.objective], _fold_end(fold), fold.fold)
            for fold in folds
        ]
    shown, odd = _finite(points)
    return View(
        place=(trial.number, None),
        version=trial_version(study, trial, final=final, with_pictures=with_pictures),
        name=trial_name(trial),
        started=started,
        ended=None if state == "running" else ended,
        status=status.get(state, "FINISHED"),
        tags=_tags(record, (trial.number, None)) | odd | {
            "harness.state": state,
            **({"harness.reason": cut(trial.reason)} if trial.reason else {}),
            **_front_tag(study, trial),
        },
        params=params(trial.params),
        points=shown,
        files=files,
        dataset=dataset(record),
    )  # fmt: skip


def trial_name(trial: TrialRecord) -> str:
    """With its searched values, each under the last part of its path where that says enough."""
    last = [path.rpartition(".")[2] for path in trial.params]
    short = {
        path: name if last.count(name) == 1 else path for path, name in zip(trial.params, last, strict=True)
    }
    values = [f"{short[path]} {_in_short(value)}" for path, value in trial.params.items()]
    return cut(f"trial {trial.number}" + ": " * bool(values) + ", ".join(values), MOST_NAME_CHARACTERS)


def fold_view(
    study: StudyRecord, trial: TrialRecord, fold: FoldRecord, *, files: Callable[[Path], None] | None
) -> View:
    ended = _fold_end(fold)
    objectives = _objectives(study)
    points = [
        Point(f"{'fold' if key in objectives else 'fold_other'}/{key}", value, ended, fold.chosen_epoch)
        for key, value in fold.metrics.items()
    ]
    points += epoch_points(fold.epochs, started=fold.started, ended=ended)
    shown, odd = _finite(points)
    place = (trial.number, fold.fold)
    return View(
        place=place,
        version=f"{VERSION} {fold.key}",
        name=f"trial {trial.number} fold {fold.fold}",
        started=_milliseconds(fold.started),
        ended=ended,
        status="FINISHED",
        tags=_tags(study, place) | odd | {
            "harness.state": "complete",
            "harness.fold_key": fold.key,
            "harness.chosen_epoch": str(fold.chosen_epoch),
        },
        params=params(trial.params),
        points=shown,
        files=files,
    )  # fmt: skip


def live_view(study: StudyRecord, trial: TrialRecord, fold: int, curve: Curve) -> View:
    """A fold that is being trained, without an end and without a version."""
    place = (trial.number, fold)
    return View(
        place=place,
        version="",
        name=f"trial {trial.number} fold {fold}",
        started=_milliseconds(curve.started),
        ended=None,
        status="RUNNING",
        tags=_tags(study, place) | {"harness.state": "running"},
        params=params(trial.params),
        points=_finite(epoch_points(curve.epochs, started=curve.started))[0],
    )


def epoch_points(epochs: Sequence[Epoch], *, started: float, ended: int | None = None) -> list[Point]:
    """The curves of one training, which began at `started`, in seconds since 1970.   ended: milliseconds."""
    points, seconds = [], started
    for epoch in epochs:
        seconds += epoch.seconds
        at = _milliseconds(seconds) if ended is None else min(_milliseconds(seconds), ended)
        points += [
            Point(name, getattr(epoch, curve), at, epoch.epoch)
            for name, curve in EPOCH_CURVES.items()
            if not (
                name.startswith("val/") and math.isnan(epoch.validation_loss)
            )  # not scored after this epoch
        ]
    return points


def final_tags(study: StudyRecord) -> dict[str, str]:
    """Of the run that shows the look at the test images."""
    return {**_tags(study, STUDY), "harness.level": "final", "harness.state": "complete"}


def source_name(study: StudyRecord) -> str:
    return f"harness tune --study {study.name}"


def _tags(study: StudyRecord, place: Place) -> dict[str, str]:
    """What every run of a study carries from its creation on."""
    trial, fold = place
    tags = {
        "harness.level": "study" if trial is None else "trial" if fold is None else "fold",
        "harness.study": study.name,
        "harness.study_id": study_id(study),
        "harness.seed": str(study.seed),
        "harness.data_hash": str(study.data["hash"]),
        "harness.split_hash": study.split_hash,
        "harness.git_dirty": "unknown"
        if study.provenance.get("git_error")
        else str(bool(study.provenance.get("dirty"))).lower(),
        "mlflow.source.git.commit": str(study.provenance.get("commit") or ""),
        "mlflow.source.name": source_name(study),
        "mlflow.source.type": "LOCAL",
        "mlflow.user": str(study.provenance.get("user") or "unknown"),
    }
    if trial is not None:
        tags["harness.trial"] = str(trial)
    if fold is not None:
        tags["harness.fold"] = str(fold)
    return {key: cut(value) for key, value in tags.items() if value}


def _objectives(study: StudyRecord) -> list[str]:
    return [study.objective, *(objective.name for objective in study.others)]


def _scores(study: LoadedStudy, trial: TrialRecord) -> dict[str, float]:
    """Means over the folds, the objectives' first, and costs. Means over some folds have another name than over all."""
    folds, costs = study.folds(trial), {"time/seconds": trial.seconds}
    if trial.state == "failed" or not folds:
        return costs
    costs["size/parameters"] = float(folds[0].num_parameters)
    found = means(study, trial) | {
        name: trial_mean(values) for name, values in trial.others.items() if name in COSTS
    }
    objectives = [name for name in _objectives(study.record) if name in found]
    if trial.state != "complete":
        return {f"partial/{name}": found[name] for name in objectives} | costs
    first: dict[str, float] = {}
    for name in objectives:
        first[f"cv/{name}"] = found[name]
        if name + ERROR in found:
            first[f"cv/{name}_error"] = found[name + ERROR]
        if name + HALF_WIDTH in found:
            first[f"cv/{name}_half_width"] = found[name + HALF_WIDTH]
    others = {
        f"cv_other/{name}": value
        for name, value in found.items()
        if name not in objectives and not name.endswith((ERROR, HALF_WIDTH))
    }
    return first | costs | others


def _in_short(value: Scalar) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _trial_state(trial: TrialRecord, *, final: bool) -> str:
    return "interrupted" if final and trial.state == "running" else trial.state


def _front_tag(study: LoadedStudy, trial: TrialRecord) -> dict[str, str]:
    """Of a complete trial of a study with several objectives: whether it is on the front of the trials so far."""
    if not study.record.others or trial.state != "complete":
        return {}
    return {"harness.pareto": "front" if trial in study.front else "dominated"}


def _decided(study: LoadedStudy) -> list[TrialRecord]:
    """The trials before the first that is still running, in their order."""
    return list(takewhile(lambda trial: trial.state != "running", study.trials))


def _finite(points: Sequence[Point]) -> tuple[tuple[Point, ...], dict[str, str]]:
    """The points that MLflow can hold, and a tag with the others: it would turn inf into 1.8e308."""
    points = [replace(point, key=allowed(point.key)) for point in points]
    odd = [f"{point.key}[{point.step}]={point.value}" for point in points if not math.isfinite(point.value)]
    tag = {"harness.not_finite": cut(" ".join(odd))} if odd else {}
    return tuple(point for point in points if math.isfinite(point.value)), tag


def _fold_end(fold: FoldRecord) -> int:
    return _milliseconds(fold.started + fold.seconds)


def _milliseconds(seconds: float) -> int:
    return round(1000 * seconds)
