"""What a report says, as one plain document of its studies; and the images that its pages show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import numpy as np

from harness.analysis.leaderboard import status
from harness.config.study_file import parse_study_file
from harness.documents import plain_json, to_json
from harness.errors import HarnessError
from harness.records import SCHEMA, StudyRecord, TrialRecord, best_so_far
from harness.report import answer, comparison, origin, parts
from harness.search.sampling import replay
from harness.store.findings import Audit, Confirmation, FinalTest
from harness.store.loaded_study import LoadedStudy

MOST_PICTURES = 60  # of each kind, however many classes there are


@dataclass(frozen=True, eq=False)
class Report:
    """document: plain data, as `--json` prints it.   pixels: by study and index uint8 (C, H, W), of images shown.

    images: of each class and kind, as was asked for.
    """

    document: dict[str, Any]
    pixels: dict[str, dict[int, np.ndarray]]
    images: int = 0


def collect(opened: Sequence[LoadedStudy], *, images: int = 4) -> Report:
    """Everything that is recorded of some studies.

    images: misclassified and suspicious ones of each class and kind; with 0 the data set is not looked at.
    What cannot be told, because predictions or images are gone say, is missing; `absent` then says why.
    """
    pixels: dict[str, dict[int, np.ndarray]] = {}
    studies = []
    for loaded in opened:
        study = _study(loaded)
        if images:
            pixels[loaded.name] = _add_gallery(loaded, study, images)
        studies.append(study)
    document = {
        "schema": SCHEMA,
        "comparison": comparison.comparison(opened, studies) if len(opened) > 1 else None,
        "studies": studies,
    }
    return Report(plain_json(document), pixels, images)


def _study(loaded: LoadedStudy) -> dict[str, Any]:
    record, trials = loaded.record, loaded.trials
    found = status(loaded)
    stands = to_json(found)
    absent: dict[str, str] = {}
    numbers, scores = best_so_far(trials, record.direction)
    study = {
        "study": loaded.name,
        "question": record.question.split("\n")[0],
        "about": record.question.partition("\n")[2],
        **{key: stands[key] for key in ("state", "objective", "direction", "num_trials", "best", "honest")},
        "num_folds": record.num_folds,
        "data": _data(record),
        "trials": plain_json(found.ranking),
        "best_so_far": {"numbers": numbers, "scores": scores},
        "searched": _searched(record, trials),
        "importances": _importances(record, trials, absent),
        "best_trial": parts.best_trial(loaded, absent),
        "racing": parts.racing(loaded),
        "gallery": None,
        "cost": parts.cost(loaded),
        "origin": origin.origin(loaded),
        "audit": _finding(loaded, Audit),
        "confirm": _finding(loaded, Confirmation),
        "final": _finding(loaded, FinalTest),
        "absent": absent,
    }
    study["defaults"] = answer.against_defaults(loaded)
    study["answer"] = answer.sentences(study)
    study["warnings"] = answer.warnings(study)
    return study


def _finding(study: LoadedStudy, kind: type[Audit] | type[Confirmation] | type[FinalTest]) -> Any:
    found = study.finding(kind)
    return found and to_json(found)


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


def _add_gallery(loaded: LoadedStudy, study: dict[str, Any], most: int) -> dict[int, np.ndarray]:
    """Fill the study's gallery; the pixels of its images."""
    from harness.report.gallery import choose

    if study["best"] is None:
        return {}
    num_classes = len(study["data"]["classes"])
    try:
        chosen = choose(loaded, top=3, most=max(1, min(most, MOST_PICTURES // num_classes)))
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
