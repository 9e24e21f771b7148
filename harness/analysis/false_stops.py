"""Whether racing stopped the wrong trials: finishes a sample of those that it stopped, and looks."""

from collections.abc import Iterator

import numpy as np

from harness.folds.cluster import THIS_PROCESS
from harness.folds.executor import Cluster
from harness.folds.tasks import fold_tasks
from harness.folds.train_folds import train_tasks, workplace_of
from harness.records import Epoch, FoldRecord
from harness.scoring.intervals import share_interval
from harness.scoring.standard_errors import trial_mean
from harness.seeds import seed_for
from harness.store.findings import FalseStops
from harness.store.loaded_study import LoadedStudy
from harness.store.predictions import score_by


def false_stops(
    study: LoadedStudy, *, sample: int, cluster: Cluster = THIS_PROCESS
) -> Iterator[tuple[int, int] | FalseStops]:
    """Train the missing folds of stopped trials: yields (trial, fold) as they end, then what came of it.

    sample: how many stopped trials, drawn by the study's seed; the same ones first for a larger sample.
    The folds are kept in the store, the trials stay as they are. A stop was false if the trial's mean over all
    folds is better than the best trial's. Its rate has a 95 % interval (Clopper and Pearson 1934).
    """
    record, best = study.record, study.best
    stopped = [trial for trial in study.trials if trial.state == "stopped"]
    order = np.random.default_rng(seed_for(record.seed, "stopped")).permutation(len(stopped))
    chosen = [stopped[place] for place in order[:sample]]
    tasks = {
        (trial.number, fold): task for trial in chosen for fold, task in fold_tasks(record, trial).items()
    }
    scores: dict[int, dict[int, float]] = {trial.number: {} for trial in chosen}  # by trial and fold
    for (number, fold), report in train_tasks(workplace_of(study.store, record), tasks, cluster=cluster):
        if isinstance(report, Epoch):
            continue
        assert isinstance(report, FoldRecord)
        scores[number][fold] = score_by(report, record.objective)
        yield number, fold
    means = {
        number: trial_mean([score for _, score in sorted(found.items())]) for number, found in scores.items()
    }
    gains = (
        {number: record.sign * (mean - best.mean) for number, mean in means.items()}
        if best is not None and best.mean is not None
        else {}
    )
    false = tuple(number for number, gain in gains.items() if gain > 0)
    low, high = share_interval(len(false), len(chosen)) if chosen else (0.0, 1.0)
    yield FalseStops(
        stopped=len(stopped),
        finished=len(chosen),
        false=false,
        rate=len(false) / len(chosen) if chosen else None,
        low=low,
        high=high,
        largest_gain=max(gains.values(), default=None),
        means={str(number): mean for number, mean in means.items()},
    )
