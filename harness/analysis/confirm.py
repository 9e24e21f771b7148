"""Trains the best trials again with fresh seeds and new folds: does the order hold, and how much was luck?"""

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import zip_longest

import numpy as np

from harness.analysis.champion import estimate
from harness.config.kinds import STRATIFIED, is_table
from harness.data.grouping import by_appearance
from harness.data.images import Images
from harness.data.split import Manifest
from harness.data.split_makers import deal
from harness.errors import HarnessError
from harness.folds.cluster import THIS_PROCESS
from harness.folds.executor import Cluster
from harness.folds.fold import FoldTask
from harness.folds.tasks import fold_tasks
from harness.folds.train_folds import Step, Training, told, train_tasks, workplace_of
from harness.records import StudyRecord, TrialRecord
from harness.scoring.standard_errors import MeanError
from harness.scoring.variance import variance_of
from harness.seeds import seed_for
from harness.store.findings import Confirmation, ConfirmedTrial
from harness.store.loaded_study import LoadedStudy, in_use
from harness.store.predictions import sampling_variance, score_by

Place = tuple[int, int, int, int]  # trial, split, seed, fold


@in_use
def confirm(
    study: LoadedStudy, *, top: int = 3, repeats: int = 1, cluster: Cluster = THIS_PROCESS
) -> Iterator[Step | Confirmation]:
    """Train the `top` complete trials on `repeats` new splits: yields how far it is, then what came of it.

    Trial 0, the defaults, is always among them where it is complete. From two repeats on, every trial is also
    trained with as many seeds on the first new split, so that the spread can be told apart by its causes.
    What is trained is kept, so an interrupted confirmation goes on. What came of it is kept as a finding.
    Raises UsageError if no trial is complete, or if the study's own split maker is gone.
    """
    store, record, chosen = study.store, study.record, study.top(top)
    workplace = workplace_of(store, record, to_split=True)
    images, split, _ = workplace.open()
    has_same_folds = True
    sampling: list[list[float]] = [[] for _ in chosen]
    total = len(chosen) * record.num_folds * (2 * repeats - 1)
    yield f"trial {', '.join(str(trial.number) for trial in chosen)} again, with fresh seeds and new folds"
    scores = np.full((len(chosen), repeats, repeats, record.num_folds), np.nan)
    for repeat in range(repeats):
        new = _new_split(record, images, split, repeat)
        path = store.study_folder(study.name) / "confirm" / f"split{repeat}.npz"
        new.save(path)
        has_same_folds &= np.array_equal(
            by_appearance(new.fold_of.ravel()), by_appearance(split.fold_of.ravel())
        )
        tasks = _tasks(record, chosen, new, repeat, range(repeats if repeat == 0 else 1))
        steps = told(
            train_tasks(replace(workplace, split=path), tasks, cluster=cluster),
            tasks,
            lambda place: f"trial {chosen[place[0]].number} split {place[1]} seed {place[2]} fold {place[3]}",
            score=lambda record_: f"{record.objective} {score_by(record_, record.objective):.4f}",
            before=int(np.isfinite(scores).sum()),
            total=total,
        )
        for step in steps:
            if isinstance(step, Training):
                yield step
                continue
            (trial, _, seed, fold), report = step
            score = score_by(report, record.objective)
            scores[trial, repeat, seed, fold] = score
            with suppress(HarnessError):  # of a metric of the user's own that has no value for fewer images
                sampling[trial].append(sampling_variance(report, record.objective, split.groups))
            store.drop_weights([report.key])
    yield from with_estimate(
        study, _confirmation(study, chosen, scores, sampling, has_same_folds=has_same_folds), cluster=cluster
    )


def with_estimate(
    study: LoadedStudy, confirmation: Confirmation, *, cluster: Cluster = THIS_PROCESS
) -> Iterator[Step | Confirmation]:
    """Yields how far it is, then the confirmation with what the winner's network is expected to score; kept."""
    for step in estimate(study, confirmation, cluster=cluster):
        if isinstance(step, Step):
            yield step
        else:
            confirmation = replace(confirmation, champion=step)
    study.store.write_finding(study.name, confirmation)
    yield confirmation


def _new_split(record: StudyRecord, images: Images, split: Manifest, repeat: int) -> Manifest:
    """The same images and groups in new folds; where a table says the folds, in these."""
    seed, cv = seed_for(record.seed, "confirm", repeat), record.definition["cv"]
    is_said = is_table(cv.get("split", STRATIFIED))
    fold_of = split.fold_of if is_said else deal(cv, images, split.groups, seed=seed)
    new = replace(split, seed=seed, fold_of=fold_of)
    new.verify()
    return new


def _tasks(
    record: StudyRecord, trials: Sequence[TrialRecord], split: Manifest, repeat: int, seeds: range
) -> dict[Place, FoldTask]:
    return {
        (place, repeat, seed, fold): task
        for place, trial in enumerate(trials)
        for seed in seeds
        for fold, task in fold_tasks(
            record, trial, split_hash=split.hash, seed=seed_for(record.seed, "confirm", repeat, seed)
        ).items()
    }


def _confirmation(
    study: LoadedStudy,
    trials: Sequence[TrialRecord],
    scores: np.ndarray,
    sampling: Sequence[Sequence[float]] = (),
    *,
    has_same_folds: bool = False,
) -> Confirmation:
    """trials: best first.   scores: (trials, splits, seeds, folds), NaN where nothing was trained.

    sampling: of each trial the variances of its folds' scores for their images being a sample.
    has_same_folds: all splits are the study's, so that of each fold there are as many scores as splits.
    """
    record, sign = study.record, study.record.sign
    fresh = scores[:, :, 0]  # every split with a seed of its own: the trials' second chance
    means = fresh.mean((1, 2))
    errors = [
        study.error(
            (again.mean(0) if has_same_folds else again.ravel()).tolist(),
            float(np.mean(known)) if known else None,
        )
        or MeanError(0.0, math.inf)  # of one score by a metric whose sampling error is not known
        for again, known in zip_longest(fresh, sampling)
    ]
    rows = [
        ConfirmedTrial(
            number=trial.number,
            tuned=trial.mean,
            tuned_standard_error=trial.standard_error,
            confirmed=float(mean),
            tuned_half_width=trial.half_width,
            confirmed_standard_error=errors[place].standard_error,
            confirmed_half_width=errors[place].half_width if errors[place].standard_error else None,
            shrinkage=sign * ((trial.mean or 0.0) - float(mean)),
            scores=tuple(map(tuple, again.tolist())),
        )
        for place, (trial, mean, again) in enumerate(zip(trials, means, fresh, strict=True))
    ]
    order = [trials[place].number for place in np.argsort(-sign * means, kind="stable")]
    return Confirmation(
        objective=record.objective,
        repeats=scores.shape[1],
        trials=tuple(rows),
        tuned_order=tuple(trial.number for trial in trials),
        confirmed_order=tuple(order),
        winner=order[0],
        winner_held=order[0] == trials[0].number,
        variance=variance_of(scores, has_same_folds=has_same_folds) if scores.shape[1] > 1 else None,
        has_same_folds=has_same_folds,
    )
