"""Whether racing stopped the wrong trials: finishes a sample of those that it stopped, and looks."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from harness.folds.cluster import THIS_PROCESS
from harness.folds.executor import Cluster
from harness.folds.tasks import fold_tasks
from harness.folds.train_folds import train_tasks, workplace_of
from harness.records import Epoch, FoldRecord, StudyRecord, TrialRecord, best_of
from harness.scoring.intervals import share_interval
from harness.seeds import seed_for
from harness.store.store import Store


def false_stops(
    store: Store,
    record: StudyRecord,
    trials: Sequence[TrialRecord],
    *,
    sample: int,
    cluster: Cluster = THIS_PROCESS,
) -> Iterator[tuple[int, int] | dict[str, Any]]:
    """Train the missing folds of stopped trials: yields (trial, fold) as they end, then what came of it.

    sample: how many stopped trials, drawn by the study's seed; the same ones first for a larger sample.
    The folds are kept in the store, the trials stay as they are. A stop was false if the trial's mean over all
    folds is better than the best trial's. Its rate has a 95 % interval (Clopper and Pearson 1934).
    """
    stopped = [trial for trial in trials if trial.state == "stopped"]
    best = best_of(trials, record.direction)
    order = np.random.default_rng(seed_for(record.seed, "stopped")).permutation(len(stopped))
    chosen = [stopped[place] for place in order[:sample]]
    tasks = {
        (trial.number, fold): task for trial in chosen for fold, task in fold_tasks(record, trial).items()
    }
    scores: dict[int, list[float]] = {trial.number: [] for trial in chosen}
    for (number, fold), report in train_tasks(workplace_of(store, record), tasks, cluster=cluster):
        if isinstance(report, Epoch):
            continue
        assert isinstance(report, FoldRecord)
        scores[number].append(report.metrics[record.objective])
        yield number, fold
    sign = 1 if record.direction == "maximize" else -1
    means = {number: float(np.mean(found)) for number, found in scores.items()}
    gains = (
        {number: sign * (mean - best.mean) for number, mean in means.items()} if best and best.mean else {}
    )
    false = [number for number, gain in gains.items() if gain > 0]
    low, high = share_interval(len(false), len(chosen)) if chosen else (0.0, 1.0)
    yield {
        "stopped": len(stopped),
        "finished": len(chosen),
        "false": false,
        "rate": len(false) / len(chosen) if chosen else None,
        "low": low,
        "high": high,
        "largest_gain": max(gains.values(), default=None),
        "means": {str(number): mean for number, mean in means.items()},
    }
