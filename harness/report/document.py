"""What a report says, as one plain document of its studies; and the images that its pages show."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import numpy as np

from harness.analysis.leaderboard import ranking, status
from harness.config.study_file import parse_study_file
from harness.errors import HarnessError
from harness.records import SCHEMA, StudyRecord, TrialRecord, best_of, best_so_far
from harness.report import answer, comparison, origin, parts
from harness.search.sampling import replay
from harness.store.store import Store, started_study

MOST_PICTURES = 60  # of each kind, however many classes there are


@dataclass(frozen=True, eq=False)
class Report:
    """document: plain data, as `--json` prints it.   pixels: by study and index uint8 (C, H, W), of images shown.

    images: of each class and kind, as was asked for.
    """

    document: dict[str, Any]
    pixels: dict[str, dict[int, np.ndarray]]
    images: int = 0


def collect(store: Store, names: Sequence[str], *, images: int = 4) -> Report:
    """Everything that is recorded of some studies.

    images: misclassified and suspicious ones of each class and kind; with 0 the data set is not looked at.
    What cannot be told, because predictions or images are gone say, is missing; `absent` then says why.
    Raises UsageError for a study that has not been started.
    """
    names = list(dict.fromkeys(names))
    for name in names:
        started_study(store, name)
    pixels: dict[str, dict[int, np.ndarray]] = {}
    studies = []
    for name in names:
        study = _study(store, name)
        if images:
            pixels[name] = _add_gallery(store, study, images)
        studies.append(study)
    document = {
        "schema": SCHEMA,
        "comparison": comparison.comparison(store, studies) if len(names) > 1 else None,
        "studies": studies,
    }
    return Report(_plain(document), pixels, images)


def _study(store: Store, name: str) -> dict[str, Any]:
    record, trials = started_study(store, name), store.read_trials(name)
    stands = status(store, name)
    best = best_of(trials, record.direction)
    findings = {kind: store.read_finding(name, kind) for kind in ("audit", "confirm", "final")}
    absent: dict[str, str] = {}
    numbers, scores = best_so_far(trials, record.direction)
    study = {
        "study": name,
        "question": record.question.split("\n")[0],
        "about": record.question.partition("\n")[2],
        **{key: stands[key] for key in ("state", "objective", "direction", "num_trials", "best", "honest")},
        "num_folds": record.num_folds,
        "data": _data(record),
        "trials": ranking(stands),
        "best_so_far": {"numbers": numbers, "scores": scores},
        "searched": _searched(record, trials),
        "importances": _importances(record, trials, absent),
        "best_trial": parts.best_trial(store, record, best, absent) if best else None,
        "racing": parts.racing(record, trials, findings["audit"]),
        "gallery": None,
        "cost": parts.cost(store, record, trials, best),
        "origin": origin.origin(store, record, best),
        **findings,
        "absent": absent,
    }
    study["defaults"] = answer.against_defaults(store, study)
    study["answer"] = answer.sentences(study)
    study["warnings"] = answer.warnings(study)
    return study


def _data(record: StudyRecord) -> dict[str, Any]:
    known = {key: record.data[key] for key in ("classes", "num_images", "image_shape")}
    return {"name": record.data["settings"]["name"], **known}


def _searched(record: StudyRecord, trials: Sequence[TrialRecord]) -> list[dict[str, Any]]:
    """The names that trials differ in, in the order of the study file: a range with its ends, or its choices."""
    searched = []
    for path in dict.fromkeys(path for trial in trials for path in trial.params):
        part, _, option = path.partition(".")
        setting = record.definition.get(part, {}).get(option)
        values = [trial.params[path] for trial in trials if path in trial.params]
        one: dict[str, Any] = {"path": path, "name": option, "low": None, "high": None, "log": False}
        if isinstance(setting, Mapping) and "low" in setting:
            one |= {"low": setting["low"], "high": setting["high"], "log": bool(setting.get("log"))}
        else:
            choices = setting if isinstance(setting, list) else []
            one["choices"] = list(dict.fromkeys(map(str, [*choices, *values])))
        searched.append(one)
    return searched


def _importances(
    record: StudyRecord, trials: Sequence[TrialRecord], absent: dict[str, str]
) -> dict[str, float]:
    overrides = record.provenance.get("overrides", [])
    ended = list(takewhile(lambda trial: trial.state != "running", trials))
    try:
        study = parse_study_file(
            record.text.encode(), overrides, name=record.name, source=f"study {record.name}"
        )
        shares = replay(study, ended).importances()
    except (HarnessError, ValueError, KeyError) as error:
        absent["importances"] = f"the study file of the record cannot be read any more: {error}"
        return {}
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def _add_gallery(store: Store, study: dict[str, Any], most: int) -> dict[int, np.ndarray]:
    """Fill the study's gallery; the pixels of its images."""
    from harness.report.gallery import choose

    if study["best"] is None:
        return {}
    num_classes = len(study["data"]["classes"])
    try:
        chosen = choose(store, study["study"], top=3, most=max(1, min(most, MOST_PICTURES // num_classes)))
    except HarnessError as error:
        study["absent"]["gallery"] = str(error)
        return {}
    shown: dict[str, dict[str, list[dict[str, Any]]]] = {kind: {} for kind in chosen.shown}
    for kind, classes in chosen.shown.items():
        left = MOST_PICTURES
        for label, rows in classes.items():
            if left > 0:
                shown[kind][label] = rows[:left]
                left -= len(rows)
    found = {kind: len(indices) for kind, indices in chosen.found.items()}
    study["gallery"] = {"trials": [trial.number for trial in chosen.trials], "found": found, "images": shown}
    indices = {row["index"] for kind in shown.values() for rows in kind.values() for row in rows}
    return {index: np.array(chosen.images.pixels[index]) for index in sorted(indices)}


def _plain(value: Any) -> Any:
    """The same with None for numbers that are not finite, which JSON does not know."""
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
