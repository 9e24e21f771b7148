"""Collects what is recorded of studies into a report. Nothing is computed but statistics of `scoring`."""

import shlex
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import takewhile

import numpy as np

from harness.analysis import leaderboard
from harness.analysis.compare import Contender, compare
from harness.config.earlier import as_begun
from harness.config.study_file import parse_study_file
from harness.errors import HarnessError
from harness.records import FoldRecord, StudyRecord, TrialRecord, best_so_far, mixed_words
from harness.report import answer
from harness.report.alike import alike_in, notices
from harness.report.begun_with import begun_with
from harness.report.document import (
    BestSoFar,
    Calibration,
    Command,
    ComparedReport,
    Comparison,
    Cost,
    Curve,
    Data,
    Gain,
    Gallery,
    HeldOut,
    ImageToLookAt,
    Metric,
    Provenance,
    Racing,
    Report,
    Searched,
    SearchedChoice,
    SearchedRange,
    StudyReport,
    TrialDetails,
    without_nan,
)
from harness.report.gallery import choose
from harness.scoring import METRICS, confusion_matrix
from harness.scoring.calibration import calibration_curve
from harness.scoring.per_class import per_class
from harness.scoring.threshold_curves import threshold_curve
from harness.search.sampling import replay
from harness.store.findings import Audit, Confirmation, CorrectedScore, FinalTest
from harness.store.loaded_study import LoadedStudy
from harness.store.trial_scores import means, sampling_of

MOST_IMAGES = 60  # of each kind, however many classes there are
CURVES = ("train_loss", "validation_loss", "train_accuracy", "validation_accuracy")
MOST_CURVES = 8  # over thresholds, of the classes that are told worst
PACKAGES = ("torch", "torchvision", "numpy", "optuna", "scikit-learn", "mlflow")  # that may change a figure
STUDY_FILES = (".yaml", ".yml")  # whose text is in the record, whether git knows them or not


def collect(opened: Sequence[LoadedStudy], *, images: int = 4) -> Report:
    """Everything that is recorded of some studies.

    images: misclassified and suspicious ones of each class and kind; with 0 no image is looked at.
    What cannot be told, because predictions or images are gone say, is missing; `absent` then says why.
    """
    pixels: dict[str, Mapping[int, np.ndarray]] = {}
    studies = []
    for loaded in opened:
        study = _study(loaded)
        if images and study.best is not None:
            study, pixels[loaded.name] = _with_gallery(loaded, study, images)
        if images:
            with suppress(HarnessError):  # the images are gone, which the gallery says
                if found := alike_in(loaded):
                    study = replace(study, alike=found[0], warnings=(*study.warnings, *notices(found[0])))
                    pixels[loaded.name] = {**pixels.get(loaded.name, {}), **found[1]}
        studies.append(study)
    comparison = _comparison(opened, studies) if len(opened) > 1 else None
    return Report(without_nan(comparison), tuple(map(without_nan, studies)), pixels, images)


def provenance_of(study: LoadedStudy) -> Provenance:
    """Code, data, split, environment and seeds of a study, and the commands that make its figures again."""
    record, best = study.record, study.best
    known = record.provenance
    untracked = [path for path in known.get("untracked", []) if not path.endswith(STUDY_FILES)]
    packages = {name.lower(): version for name, version in known.get("packages", {}).items()}
    first_fold = study.fold(best.folds[0]) if best and best.folds else None
    return Provenance(
        started=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(record.created)),
        commit=known.get("commit") or None,
        dirty=None
        if known.get("git_error")
        else bool(known.get("dirty") and (known.get("diff_hash") or untracked)),
        git_error=known.get("git_error", ""),
        untracked=len(untracked),
        harness=known.get("harness"),
        definition_hash=known.get("definition_hash"),
        data_hash=record.data["hash"],
        split_hash=record.split_hash,
        seed=record.seed,
        python=known.get("python"),
        packages={name: packages[name] for name in PACKAGES if name in packages},
        hardware=known.get("hardware", {}),
        compute=record.compute,
        fingerprint=dict(first_fold.fingerprint) if first_fold else {},
        mixed=mixed_words(study.mixed_fingerprints),
        text=record.text,
        commands=_commands(record, best),
    )


def _commands(record: StudyRecord, best: TrialRecord | None) -> tuple[Command, ...]:
    """What to type: the best trial from the records, and the whole study from its file."""
    commit, overrides = str(record.provenance.get("commit") or ""), record.provenance.get("overrides", [])
    name = shlex.quote(record.name)
    found = [Command("the code", f"git checkout {commit}")] if commit else []
    if best is not None:
        what = f"trains trial {best.number} again where the records are, and compares"
        found.append(Command(what, f"harness reproduce {name} --trial {best.number}"))
    sets = [f"--set {shlex.quote(change)}" for change in overrides if isinstance(change, str)]
    tune = [
        "harness tune --study",
        shlex.quote(f"./{record.name}.yaml"),
        *sets,
        f"--trials {record.num_trials}",
    ]
    what = f"the whole study anywhere, with the study file below as {record.name}.yaml"
    if parent := record.data.get("extends"):
        tune.append(f"--extend {shlex.quote(parent)} --as {name}")
        what = f"the whole study, beside study {parent}, with the study file below as {record.name}.yaml"
    return (*found, Command(what, " ".join(tune)))


def _study(loaded: LoadedStudy) -> StudyReport:
    record, trials, best = loaded.record, loaded.trials, loaded.best
    stands = leaderboard.status(loaded)
    absent: dict[str, str] = {}
    numbers, scores = best_so_far(trials, record.direction)
    shorts = [fold for trial in trials if trial.rung and (fold := loaded.fold(trial.rung))]
    study = without_nan(StudyReport(
        study=loaded.name,
        question=record.question.split("\n")[0],
        about=record.question.partition("\n")[2],
        state=stands.state,
        objective=stands.objective,
        direction=stands.direction,
        num_trials=stands.num_trials,
        best=stands.best,
        honest=stands.honest,
        pareto=stands.pareto,
        chosen=loaded.chosen.number if loaded.chosen else None,
        hidden=stands.hidden,
        num_folds=record.num_folds,
        scored_by=record.scored_by,
        data=Data(
            record.data["settings"]["name"],
            tuple(record.data["classes"]),
            record.data["num_images"],
            tuple(record.data["image_shape"]),
        ),
        trials=tuple(stands.ranking),
        best_so_far=BestSoFar(tuple(numbers), tuple(scores)),
        searched=_searched(record, trials),
        importances=_importances(record, trials, absent),
        best_trial=_best_trial(loaded, absent),
        racing=_racing(loaded),
        gallery=None,
        cost=Cost(
            seconds=sum(trial.seconds for trial in trials),
            short_seconds=sum(fold.seconds for fold in shorts),
            short_trainings=len(shorts),
            folds=sum(len(trial.folds) for trial in trials),
            best_seconds=best.seconds if best else None,
            images_per_second=leaderboard.images_per_second(loaded, best),
            device=record.compute.get("device"),
        ),
        origin=provenance_of(loaded),
        audit=loaded.finding(Audit),
        confirm=loaded.finding(Confirmation),
        final=loaded.finding(FinalTest),
        absent=absent,
    ))  # fmt: skip
    study = replace(study, defaults=_against_defaults(loaded, study.corrected), begun_with=begun_with(loaded))
    return replace(study, answer=tuple(answer.sentences(study)), warnings=tuple(answer.warnings(study)))


def _searched(record: StudyRecord, trials: Sequence[TrialRecord]) -> tuple[Searched, ...]:
    """The names that trials differ in, in the order of the study file: a range with its ends, or its choices."""
    searched: list[Searched] = []
    for path in dict.fromkeys(path for trial in trials for path in trial.params):
        option, settings = path.partition(".")[2], record.settings.get(path, [])
        ranges = [setting for setting in settings if isinstance(setting, Mapping) and "low" in setting]
        if ranges:
            low, high = min(one["low"] for one in ranges), max(one["high"] for one in ranges)
            is_log = all(one.get("log") for one in ranges)
            searched.append(SearchedRange(path, option, low, high, is_log))
            continue
        listed = [one.get("values", []) if isinstance(one, Mapping) else one for one in settings]
        values = [trial.params[path] for trial in trials if path in trial.params]
        known = [value for one in listed if isinstance(one, list) for value in one]
        choices = dict.fromkeys(map(str, [*known, *values]))
        searched.append(SearchedChoice(path, option, None, None, log=False, choices=tuple(choices)))
    return tuple(searched)


def _importances(
    record: StudyRecord, trials: Sequence[TrialRecord], absent: dict[str, str]
) -> dict[str, float]:
    overrides = [*record.provenance.get("overrides", []), "tracker=none"]  # of the user's own it may be gone
    ended = list(takewhile(lambda trial: trial.state != "running", trials))
    try:
        study = parse_study_file(
            record.text.encode(), overrides, name=record.name, source=f"study {record.name}"
        )
        study, _ = as_begun(study, record.definition)
        shares = replay(study, ended).importances()
    except (HarnessError, ValueError, KeyError) as error:
        absent["importances"] = f"the study file of the record cannot be read any more: {error}"
        return {}
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def _metric(study: LoadedStudy, trial: TrialRecord, name: str, mean: float) -> Metric:
    scores = [fold.metrics[name] for fold in study.folds(trial)]
    error = study.error(scores, sampling_of(study, trial, name)) if np.isfinite(scores).all() else None
    return Metric(mean, error.standard_error if error else None, error.half_width if error else None)


def _best_trial(study: LoadedStudy, absent: dict[str, str]) -> TrialDetails | None:
    """Learning curves, metrics and, of the pooled held-out predictions, confusion, classes and calibration."""
    trial = study.chosen
    if trial is None:
        return None
    folds = study.folds(trial)
    if not folds or len(folds) < len(trial.folds):
        absent["best_trial"] = "records of its folds are gone or damaged; harness tune makes them anew"
        return None
    known = means(study, trial)
    trivial = {"top3_accuracy"} if len(study.record.data["classes"]) <= 3 else set()  # which is 1
    metrics = {
        name: _metric(study, trial, name, known[name])
        for name in METRICS
        if name in known and name not in trivial
    }
    chosen_epochs = tuple(fold.chosen_epoch for fold in folds)
    try:
        labels, probabilities = study.out_of_fold(trial).known
    except HarnessError:
        absent["predictions"] = "its held-out predictions are gone or damaged; harness tune makes them anew"
        held_out = None
    else:
        confusion = confusion_matrix(labels, probabilities.argmax(1), probabilities.shape[1])
        error, curve = (
            METRICS["calibration_error"](labels, probabilities),
            calibration_curve(labels, probabilities),
        )
        classes = per_class(labels, probabilities)
        worst = sorted(range(len(classes)), key=lambda place: classes[place].f1)[:MOST_CURVES]
        thresholds = {
            study.record.data["classes"][place]: found
            for place in worst
            if (found := threshold_curve(labels == place, probabilities[:, place]))
        }
        bins = (tuple(found.tolist()) for found in (curve.confidence, curve.accuracy, curve.count))
        held_out = HeldOut(
            tuple(map(tuple, confusion.tolist())), tuple(classes), Calibration(error, *bins), thresholds
        )
    return TrialDetails(
        trial.number, folds[0].num_parameters, _curves(folds), chosen_epochs, metrics, held_out
    )


def _curves(folds: Sequence[FoldRecord]) -> dict[str, Curve]:
    """By curve and epoch the mean, lowest and highest of the folds that got as far."""
    length = max(len(fold.epochs) for fold in folds)
    found = {}
    for name in CURVES:
        epochs = [
            [getattr(fold.epochs[epoch], name) for fold in folds if epoch < len(fold.epochs)]
            for epoch in range(length)
        ]
        found[name] = Curve(
            tuple(float(np.mean(values)) for values in epochs),
            tuple(map(min, epochs)),
            tuple(map(max, epochs)),
        )
    return found


def _racing(study: LoadedStudy) -> Racing:
    record, trials, audit = study.record, study.trials, study.finding(Audit)
    stopped = [trial for trial in trials if trial.state == "stopped"]
    trained = sum(len(trial.folds) for trial in trials)
    mean = sum(trial.seconds for trial in trials) / trained if trained else 0.0
    missing = {trial.number: record.num_folds - len(trial.folds) for trial in stopped}
    search = record.definition.get("search", {})
    return Racing(
        rule=search.get("racing"),
        rung=search.get("rung"),
        stopped=len(stopped),
        folds_trained=trained,
        folds_of_ended_trials=record.num_folds * len(study.ended),
        folds_saved=sum(missing.values()),
        seconds_saved=sum(
            missing[trial.number] * (trial.seconds / len(trial.folds) if trial.folds else mean)
            for trial in stopped
        ),
        checked=audit.stopped if audit else None,
    )


def _against_defaults(study: LoadedStudy, corrected: CorrectedScore | None) -> Gain | None:
    """The best trial's gain over trial 0, without the luck of having been chosen; None without either."""
    best = study.best
    if best is None or best.number == 0 or study.trials[0].state != "complete":
        return None
    try:
        found = compare([Contender(study, best), Contender(study, study.trials[0])])
    except HarnessError:
        return None
    defaults = found.trials[1].against_best
    assert defaults is not None
    luck = study.record.sign * (corrected.naive - corrected.corrected) if corrected else 0.0
    return Gain(-defaults.difference - luck, -defaults.high - luck, -defaults.low - luck)


def _with_gallery(
    loaded: LoadedStudy, study: StudyReport, most: int
) -> tuple[StudyReport, dict[int, np.ndarray]]:
    """The study with a gallery, if it can have one; the pixels of its images."""
    try:
        chosen = choose(loaded, top=3, most=max(1, min(most, MOST_IMAGES // len(study.data.classes))))
    except HarnessError as error:
        return replace(study, absent={**study.absent, "gallery": str(error)}), {}
    shown: dict[str, dict[str, tuple[ImageToLookAt, ...]]] = {}
    for kind, classes in chosen.shown.items():
        left, shown[kind] = MOST_IMAGES, {}
        for label, rows in classes.items():
            if left > 0:
                shown[kind][label] = rows[:left]
                left -= len(rows)
    found = {kind: len(indices) for kind, indices in chosen.found.items()}
    gallery = Gallery(tuple(trial.number for trial in chosen.trials), found, shown)
    indices = {row.index for kind in shown.values() for rows in kind.values() for row in rows}
    pixels = {index: np.array(chosen.images.pixels[index]) for index in sorted(indices)}
    return replace(study, gallery=gallery), pixels


def _comparison(opened: Sequence[LoadedStudy], studies: Sequence[StudyReport]) -> Comparison:
    """The best trials of studies in the order given, and paired statistics of those that can be compared."""
    rows = []
    for row, study, loaded in zip(leaderboard.compare(opened).compared, studies, opened, strict=True):
        final = study.final
        rows.append(
            ComparedReport(
                **vars(row),
                direction=study.direction,
                honest=study.honest,
                test=final.scores[study.objective] if final else None,
                test_interval=final.intervals[study.objective] if final else None,
                audit=study.audit.verdict if study.audit else None,
                data=study.data.name,
                data_hash=loaded.record.scored_on[0],
            )
        )
    groups: dict[tuple[str, str, str], list[Contender]] = {}
    for loaded in opened:
        record = loaded.record
        if loaded.best is not None:
            group = groups.setdefault((*record.scored_on, record.objective), [])
            group.append(Contender(loaded, loaded.best))
    paired, absent = [], []
    for group in groups.values():
        if len(group) > 1:
            try:
                paired.append(compare(group))
            except HarnessError:
                names = ", ".join(one.study.name for one in group)
                absent.append(f"{names}: held-out predictions are gone; harness tune makes them anew")
    return Comparison(tuple(rows), tuple(paired), tuple(absent))
