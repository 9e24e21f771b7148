"""What MLflow should show of each record: runs with parameters, points, tags and files, as plain data.

No MLflow in here; `mlflow_tracker.py` makes its runs look like these. Everything is a function of the
records, time stamps included, so showing a record twice changes nothing.
"""

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Literal

from harness.records import FoldRecord, StudyRecord, TrialRecord, best_so_far
from harness.store.loaded_study import LoadedStudy
from harness.store.trial_scores import summary
from harness.tracking.study_findings import StudyFindings
from harness.tracking.value_limits import cut, flattened, params

VERSION = "4"  # of the views; raised when they change, so that older runs are brought up to date
Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]
Place = tuple[int | None, int | None]  # (trial, fold) of a run; (None, None) is the study's own
STUDY: Place = (None, None)
TABLE = "trials"  # the name of the saved view that lists a study's trials, best first

EPOCH_CURVES = (
    "train_loss",
    "train_accuracy",
    "validation_loss",
    "validation_accuracy",
    "learning_rate",
    "images_per_second",
)


@dataclass(frozen=True)
class Point:
    """One value of a metric."""

    key: str
    value: float
    milliseconds: int
    step: int = 0


@dataclass(frozen=True)
class View:
    """One run as MLflow should show it. started, ended: milliseconds since 1970.

    version: of the run's content; a run that carries it needs nothing more.
    files: writes the run's artifacts into a folder.   dataset: name and digest of the images.
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
    dataset: tuple[str, str] | None = None


def study_id(study: StudyRecord) -> str:
    """Tells two studies of one name apart, e.g. of two people on one server."""
    return hashlib.sha256(f"{study.name}\n{study.created!r}\n{study.seed}".encode()).hexdigest()[:16]


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
            points.append(Point(f"best.{record.objective}", best, ends[trial.number], trial.number))
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
        params=params(flattened(record.definition) | flattened({"compute": record.compute})),
        points=shown,
        files=files,
        dataset=_dataset(record),
    )  # fmt: skip


def trial_version(study: LoadedStudy, trial: TrialRecord, *, final: bool) -> str:
    front = " ".join(_front_tag(study, trial).values())
    return f"{VERSION} {_trial_state(trial, final=final)} {len(trial.folds)} {front}".strip()


def trial_view(
    study: LoadedStudy, trial: TrialRecord, *, final: bool, files: Callable[[Path], None] | None
) -> View:
    record, folds = study.record, study.folds(trial)
    state = _trial_state(trial, final=final)
    status: dict[str, Status] = {
        "running": "RUNNING", "interrupted": "KILLED", "stopped": "KILLED", "failed": "FAILED",
    }  # fmt: skip
    started = _milliseconds(folds[0].started if folds else trial.started or record.created)
    ended = max((_fold_end(fold) for fold in folds), default=started)
    points = [
        Point(f"fold.{record.objective}", fold.metrics[record.objective], _fold_end(fold), fold.fold)
        for fold in folds
    ]
    if state in ("complete", "stopped"):
        points += [Point(key, value, ended) for key, value in summary(study, trial).items()]
    shown, odd = _finite(points)
    return View(
        place=(trial.number, None),
        version=trial_version(study, trial, final=final),
        name=f"trial {trial.number}",
        started=started,
        ended=None if state == "running" else ended,
        status=status.get(state, "FINISHED"),
        tags=_tags(record, (trial.number, None)) | odd | {
            "harness.state": state,
            **({"harness.reason": cut(trial.reason)} if trial.reason else {}),
            **_front_tag(study, trial),
        },
        params=params(trial.values),
        points=shown,
        files=files,
        dataset=_dataset(record),
    )  # fmt: skip


def fold_view(
    study: StudyRecord, trial: TrialRecord, fold: FoldRecord, *, files: Callable[[Path], None] | None
) -> View:
    ended = _fold_end(fold)
    points, seconds = [], fold.started
    for epoch in fold.epochs:
        seconds += epoch.seconds
        at = min(_milliseconds(seconds), ended)
        points += [Point(curve, getattr(epoch, curve), at, epoch.epoch) for curve in EPOCH_CURVES]
    points += [Point(key, value, ended, fold.chosen_epoch) for key, value in fold.metrics.items()]
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
        points=shown,
        files=files,
    )  # fmt: skip


def experiment_tags(study: StudyRecord) -> dict[str, str]:
    """Of the study's experiment: machine-learning pages, the question, and how the table is first shown."""
    searched = [
        path
        for path, settings in study.settings.items()
        if any(isinstance(setting, list | dict) for setting in settings)
    ]
    columns = [f"metrics.`{study.objective}`", f"metrics.`{study.objective}.standard_error`"]
    columns += [f"metrics.`{objective.name}`" for objective in study.others]
    columns += [f"params.`{path}`" for path in searched] + ["tags.`harness.state`"]
    columns += ["tags.`harness.pareto`"] if study.others else []
    table = {
        "searchFilter": "tags.`harness.level` = 'trial'",
        "orderByKey": f"metrics.`{study.objective}`",
        "orderByAsc": study.direction == "minimize",
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "selectedColumns": ["attributes.`Duration`", *columns],
    }
    return {
        "harness.study": study.name,
        "harness.study_id": study_id(study),
        "mlflow.experimentKind": "custom_model_development",
        "mlflow.experiment.primaryMetric.name": study.objective,
        "mlflow.experiment.primaryMetric.greaterIsBetter": str(study.direction == "maximize"),
        "mlflow.note.content": cut(study.question),
        f"mlflow.sharedViewState.{TABLE}": json.dumps(table),
    }


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
        "mlflow.source.name": f"harness tune --study {study.name}",
        "mlflow.source.type": "LOCAL",
        "mlflow.user": str(study.provenance.get("user") or "unknown"),
    }
    if trial is not None:
        tags["harness.trial"] = str(trial)
    if fold is not None:
        tags["harness.fold"] = str(fold)
    return {key: cut(value) for key, value in tags.items() if value}


def _dataset(study: StudyRecord) -> tuple[str, str]:
    return str(study.data["settings"]["name"]), str(study.data["hash"])[:8]


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
    odd = [f"{point.key}[{point.step}]={point.value}" for point in points if not math.isfinite(point.value)]
    tag = {"harness.not_finite": cut(" ".join(odd))} if odd else {}
    return tuple(point for point in points if math.isfinite(point.value)), tag


def _fold_end(fold: FoldRecord) -> int:
    return _milliseconds(fold.started + fold.seconds)


def _milliseconds(seconds: float) -> int:
    return round(1000 * seconds)
