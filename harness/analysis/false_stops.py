"""Whether racing stopped the wrong trials: finishes a sample of those that it stopped, and looks."""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from harness.folds.cluster import THIS_PROCESS
from harness.folds.executor import Cluster
from harness.folds.tasks import fold_tasks
from harness.folds.train_folds import Training, told, train_tasks, workplace_of
from harness.records import FoldRecord
from harness.scoring.intervals import share_interval
from harness.scoring.standard_errors import trial_mean
from harness.search.dominance import rival_of
from harness.search.objectives import other_objectives
from harness.search.racing import Paired
from harness.seeds import seed_for
from harness.store.findings import FalseStops
from harness.store.loaded_study import LoadedStudy
from harness.store.predictions import score_by


def false_stops(
    study: LoadedStudy, *, sample: int, cluster: Cluster = THIS_PROCESS
) -> Iterator[Training | FalseStops]:
    """Train the missing folds of stopped trials: yields how far it is, then what came of it.

    sample: how many stopped trials, drawn by the study's seed; the same ones first for a larger sample.
    The folds are kept in the store, the trials stay as they are. A stop was false if the trial's mean over all
    folds is better than the best trial's, by more than what `search.indifference` asks for; of a study with several
    objectives, than the best of those trials that are at least as good in all others. Its rate has a 95 % interval
    (Clopper and Pearson 1934).
    """
    record, others = study.record, other_objectives(study.record)
    stopped = [trial for trial in study.trials if trial.state == "stopped"]
    order = np.random.default_rng(seed_for(record.seed, "stopped")).permutation(len(stopped))
    chosen = [stopped[place] for place in order[:sample]]
    tasks = {
        (trial.number, fold): task for trial in chosen for fold, task in fold_tasks(record, trial).items()
    }
    trained: dict[int, dict[int, FoldRecord]] = {trial.number: {} for trial in chosen}  # by trial and fold
    reports = train_tasks(workplace_of(study.store, record), tasks, cluster=cluster)
    for step in told(reports, tasks, lambda place: f"stopped trial {place[0]} fold {place[1]}"):
        if isinstance(step, Training):
            yield step
        else:
            (number, fold), report = step
            trained[number][fold] = report
    means, gains, too_good = {}, {}, set()
    indifference = Paired(indifference=record.definition["search"].get("indifference", 0.0))
    for trial in chosen:
        folds = [fold for _, fold in sorted(trained[trial.number].items())]
        means[trial.number] = trial_mean([score_by(fold, record.objective) for fold in folds])
        finished = replace(trial, others=others.of(trial.values, folds) if others else {})
        rival = rival_of(finished, study.trials, record.objectives)
        if rival is not None and rival.mean is not None:
            gains[trial.number] = record.sign * (means[trial.number] - rival.mean)
            if gains[trial.number] > indifference.worth(rival.scores, record.parts):
                too_good.add(trial.number)
        elif others:  # nothing is at least as good in all others
            gains[trial.number] = math.inf
            too_good.add(trial.number)
    false = tuple(number for number in gains if number in too_good)
    low, high = share_interval(len(false), len(chosen)) if chosen else (0.0, 1.0)
    yield FalseStops(
        stopped=len(stopped),
        finished=len(chosen),
        false=false,
        rate=len(false) / len(chosen) if chosen else None,
        low=low,
        high=high,
        largest_gain=max(filter(math.isfinite, gains.values()), default=None),
        means={str(number): mean for number, mean in means.items()},
    )
