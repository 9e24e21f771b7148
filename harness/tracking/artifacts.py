"""The words, tables and pictures that the runs of a study, a trial and a fold carry."""

import csv
import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from harness.charts import networks, png, trials
from harness.documents import to_json
from harness.provenance import changes_in_words
from harness.records import FoldRecord, StudyRecord, TrialRecord, mixed_words
from harness.scoring import score
from harness.scoring.calibration import calibration_curve
from harness.scoring.per_class import ClassScores, per_class
from harness.store.findings import FinalTest
from harness.store.loaded_study import LoadedStudy
from harness.store.predictions import OutOfFold
from harness.store.trial_scores import ERROR, HALF_WIDTH, choice_of_epochs, means, pooled
from harness.tracking.study_findings import StudyFindings

Writer = Callable[[Path], None]  # fills a folder
SIGNS = re.compile(r"([\\`*_\[\]<>#|~&$])")  # that Markdown would take for more than text


def note(study: LoadedStudy, findings: StudyFindings) -> str:
    """Markdown: the question, the answer so far and what it is worth, how to get it again."""
    record, best = study.record, study.best
    question = f"**Question.** {record.question or '(the study file has no comment at its top)'}"
    words = findings.words(record.objective)
    failed = findings.audit is not None and findings.audit.verdict == "failed"
    parts = [words.pop(0), question] if failed else [question]
    if best is None:
        parts.append(f"**Answer.** None yet: {len(study.ended)} of {record.num_trials} trials have ended.")
    else:
        parts.append(_answer(record, best, len(study.ended)))
    parts += words
    if mixed := mixed_words(study.mixed_fingerprints):
        parts.append(f"**Computed differently.** {mixed[0].upper()}{mixed[1:]}.")
    if told := record.provenance.get("warnings"):
        lines = [SIGNS.sub(r"\\\1", line) for line in told]
        parts.append("**Told before it began.**\n\n" + "\n".join(f"- {line}" for line in lines))
    name = f'"{study.name}"' if " " in study.name else study.name
    parts.append(f"**Again.** `harness reproduce {name}`  \n{_code_and_data(record)}")
    return "\n\n".join(parts)


def writer(
    study: LoadedStudy, importances: Mapping[str, float], findings: StudyFindings, *, with_pictures: bool
) -> Writer:
    """Writes study.yaml, environment.json, uncommitted.diff if there is one, history.png, importances.png.

    What was found out is written as audit.json and the like, with the files that belong to it.
    """

    def write(folder: Path) -> None:
        record = study.record
        (folder / "study.yaml").write_text(record.text, encoding="utf-8")
        environment = {key: value for key, value in record.provenance.items() if key != "diff"}
        _write_json(folder / "environment.json", environment)
        if record.provenance.get("diff"):
            (folder / "uncommitted.diff").write_text(record.provenance["diff"], encoding="utf-8")
        if with_pictures and study.trials:
            png.save(
                trials.history_of(study.trials, record.objective, record.direction), folder / "history.png"
            )
        for kind, finding in findings.by_kind.items():
            if finding is not None:
                _write_json(folder / f"{kind}.json", to_json(finding))
        for path in findings.files:
            shutil.copyfile(path, folder / path.name)
        if importances:
            _write_json(folder / "importances.json", dict(importances))
            png.save(networks.importances(importances), folder / "importances.png")

    return write


def trial_writer(study: LoadedStudy, trial: TrialRecord, *, with_pictures: bool) -> Writer:
    """Writes values.json; from the first fold on scores.json, and confusion.json and .csv, pooled over the folds.

    Once all folds are there, also per_class.csv of the pooled predictions.
    with_pictures: with confusion.png, learning_curves.png and calibration.png.
    """
    folds = study.folds(trial)

    def write(folder: Path) -> None:
        _write_json(folder / "values.json", trial.values)
        if not folds:
            return
        classes = study.record.data["classes"]
        matrix: np.ndarray = np.asarray([fold.confusion for fold in folds], dtype=np.int64).sum(0)
        _write_confusion(folder, matrix, classes)
        predicted = pooled(study, trial) if trial.state == "complete" else None
        _write_json(folder / "scores.json", _scores(study, trial, predicted))
        if predicted is not None:
            _write_per_class(folder / "per_class.csv", classes, per_class(*predicted.known))
        if not with_pictures:
            return
        png.save(networks.confusion(matrix, classes), folder / "confusion.png")
        curves = networks.learning_curves([fold.epochs for fold in folds])
        png.save(curves, folder / "learning_curves.png", width=400)
        if predicted is not None:
            bins = calibration_curve(*predicted.known).bins
            png.save(networks.calibration(bins), folder / "calibration.png")

    return write


def final_writer(record: StudyRecord, found: FinalTest, card: str) -> Writer:
    """Writes model_card.md, and of the test images confusion.json, .csv and .png, per_class.csv and calibration.png."""

    def write(folder: Path) -> None:
        classes = record.data["classes"]
        matrix = np.asarray(found.confusion, dtype=np.int64)
        (folder / "model_card.md").write_text(card, encoding="utf-8")
        _write_confusion(folder, matrix, classes)
        png.save(networks.confusion(matrix, classes, of="test images"), folder / "confusion.png")
        if found.per_class:
            _write_per_class(folder / "per_class.csv", classes, found.per_class)
        if found.calibration:
            png.save(networks.calibration(found.calibration), folder / "calibration.png")

    return write


def fold_writer(study: StudyRecord, fold: FoldRecord) -> Writer:
    """Writes confusion.json and .csv."""
    return lambda folder: _write_confusion(folder, np.asarray(fold.confusion), study.data["classes"])


def _scores(study: LoadedStudy, trial: TrialRecord, predicted: OutOfFold | None) -> dict[str, object]:
    """What the metrics of a trial's run leave out: every mean with its error, and the metrics of all images at once."""
    found = means(study, trial)
    of_means = {
        kind: {name.removesuffix(end): value for name, value in found.items() if name.endswith(end)}
        for kind, end in (("standard_errors", ERROR), ("half_widths", HALF_WIDTH))
    }
    document: dict[str, object] = {
        "folds": len(trial.folds),
        "means": {name: value for name, value in found.items() if not name.endswith((ERROR, HALF_WIDTH))},
        **of_means,
    }
    if study.record.scored_by:
        document["scored_by"] = study.record.scored_by
    if trial.state == "complete":
        document["choice_of_epochs"] = asdict(choice_of_epochs(study, trial))
    if predicted is not None:
        document["pooled"] = score(*predicted.known)
    return document


def _write_per_class(path: Path, classes: Sequence[str], scores: Sequence[ClassScores]) -> None:
    rows = [asdict(one) for one in scores]
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["class", *rows[0]])
        table.writerows([name, *row.values()] for name, row in zip(classes, rows, strict=True))


def _answer(study: StudyRecord, best: TrialRecord, ended: int) -> str:
    error = f" ± {best.half_width:.4f}" if best.half_width is not None else ""
    lines = [
        f"**Answer so far.** Trial {best.number}: {study.objective} **{best.mean:.4f}**{error} "
        f"(mean of {len(best.scores)} folds, ± 95 %), "
        f"the best of {ended} of {study.num_trials} trials. The best of many scores is a little too good.",
        "",
        "| option | value |",
        "|---|---|",
    ]
    return "\n".join([*lines, *(f"| {path} | {_cell(value)} |" for path, value in best.params.items())])


def _code_and_data(study: StudyRecord) -> str:
    commit = str(study.provenance.get("commit") or "")
    code = f"commit `{commit[:10]}`" if commit else "no commit"
    changes = changes_in_words(study.provenance) + " (`uncommitted.diff`)" * bool(
        study.provenance.get("diff")
    )
    name, num_images = study.data["settings"]["name"], study.data["num_images"]
    data = f"{name}, {num_images:,} images, `{study.data['hash'][:12]}`"
    if sealed := study.data.get("test", {}).get("num_images"):
        data += f", and {sealed:,} sealed"
    if snapshot := study.data.get("snapshot"):
        data += f"; snapshot `{snapshot[:12]}`"
    if parent := study.data.get("extends"):
        data += f", which extends that of study {parent}"
    return f"Code: {code}{changes}. Data: {data}."


def _cell(value: object) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|")


def _write_confusion(folder: Path, matrix: np.ndarray, classes: Sequence[str]) -> None:
    """confusion.json and .csv."""
    axes = {"classes": list(classes), "rows": "true class", "columns": "predicted class"}
    _write_json(folder / "confusion.json", {**axes, "counts": matrix.tolist()})
    with (folder / "confusion.csv").open("w", newline="", encoding="utf-8") as file:
        rows = [[name, *counts] for name, counts in zip(classes, matrix.tolist(), strict=True)]
        csv.writer(file).writerows([["true \\ predicted", *classes], *rows])


def _write_json(path: Path, document: Mapping[str, object]) -> None:
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
