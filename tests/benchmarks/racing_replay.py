"""What each racing rule costs and loses, by replaying recorded studies thousands of times in other orders.

`random`: 159 configurations × 5 folds, all trained; racing_recording.yaml says how they are made. A simulated study
draws some of them at random. `proposed`: eight studies of 40 configurations that TPE proposed, each with all folds;
a simulated one has them in their order, its folds in another. `folds`: share of the folds trained. `missed`: how often
the study's best trial is not the best of its configurations. `worse`: by more than a third of the best one's standard
error. `regret`: by how much it is worse in the mean, in points.

    python -m tests.benchmarks racing_replay [--studies 2000] [--trials 20 40 80] [--json]
                                             [--record HOME] [--record-proposed HOME]
"""

import argparse
import gzip
import json
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.folds.tasks import fold_tasks, shortened
from harness.folds.train_folds import train_tasks, workplace_of
from harness.records import FoldRecord
from harness.scoring.standard_errors import trial_standard_error
from harness.search.racing import RULES, Field, Paired, Rule, stops_at_rung
from harness.store.loaded_study import started_study
from harness.store.store import Store

SHARES = (0.25, 0.5)  # of the epochs, of the short trainings
WILCOXON = "Optuna's WilcoxonPruner"
RECORDING = Path(__file__).parent / "racing_recording.json.gz"
PROPOSED = RECORDING.with_name("racing_proposed.json.gz")
STRICT = "paired, 95 %, no indifference"
CASES: dict[str, Rule] = {name: rule() for name, rule in RULES.items()} | {
    STRICT: Paired(confidence=0.95, indifference=0.0)
}
SMALL = ("--studies", "200")  # in a run of all benchmarks


@dataclass(frozen=True)
class Recording:
    """scores, seconds: (configurations, folds).   rungs, rung_seconds: share of the epochs -> (configurations,)."""

    scores: np.ndarray
    seconds: np.ndarray
    rungs: dict[float, np.ndarray]
    rung_seconds: dict[float, np.ndarray]


@dataclass(frozen=True)
class Outcome:
    """Of one simulated study. folds, seconds: shares of what training all would take.   regret: of the score."""

    folds: float
    seconds: float
    missed: bool
    worse: bool
    regret: float


def recording() -> Recording:
    rows = json.loads(gzip.decompress(RECORDING.read_bytes()))["configurations"]

    def column(name: str) -> np.ndarray:
        return np.array([row[name] for row in rows])

    return Recording(
        column("scores"),
        column("seconds"),
        {share: column(f"rung {share}") for share in SHARES},
        {share: column(f"rung {share} seconds") for share in SHARES},
    )


def simulate(known: Recording, order: Sequence[int], rule: Rule, rung: float | None = None) -> Outcome:
    """A study that tries these configurations, one after the other, as the driver does."""
    num_folds = known.scores.shape[1]
    earlier: list[list[float]] = []
    rungs: list[float] = []
    best: int | None = None
    spent = trained = 0.0
    for trial in order:
        scores = known.scores[trial].tolist()
        incumbent = None if best is None else known.scores[best].tolist()
        if rung is not None:
            spent += known.rung_seconds[rung][trial]
            trained += rung
            if incumbent and stops_at_rung(
                known.rungs[rung][trial], Field(num_folds, incumbent, earlier, rungs)
            ):
                continue
        done = 0
        for fold in range(num_folds):
            done = fold + 1
            spent += known.seconds[trial][fold]
            if (
                incumbent
                and done < num_folds
                and rule.stops(scores[:done], Field(num_folds, incumbent, earlier))
            ):
                break
        trained += done
        earlier.append(scores[:done])
        if rung is not None:
            rungs.append(known.rungs[rung][trial])
        if done == num_folds and (best is None or np.mean(scores) > known.scores[best].mean()):
            best = trial
    assert best is not None
    return _outcome(known, order, best, trained, spent)


def wilcoxon_pruner(known: Recording, order: Sequence[int]) -> Outcome:
    """The same study by Optuna and its WilcoxonPruner, used as its documentation shows: one report a fold."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings(action="ignore"):  # it calls itself experimental
        pruner = optuna.pruners.WilcoxonPruner(p_threshold=0.1)
    study = optuna.create_study(direction="maximize", pruner=pruner)
    spent = trained = 0.0
    for configuration in order:
        trial, scores = study.ask(), known.scores[configuration].tolist()
        for fold, score in enumerate(scores):
            trained += 1
            spent += known.seconds[configuration][fold]
            trial.report(score, fold)
            if fold + 1 < len(scores) and trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            study.tell(trial, float(np.mean(scores)))
    return _outcome(known, order, order[study.best_trial.number], trained, spent)


def _outcome(known: Recording, order: Sequence[int], best: int, trained: float, spent: float) -> Outcome:
    tried = list(order)
    winner = tried[int(known.scores[tried].mean(1).argmax())]
    regret = float(known.scores[winner].mean() - known.scores[best].mean())
    error = trial_standard_error(known.scores[winner].tolist(), num_folds=known.scores.shape[1]) or 0.0
    seconds = float(spent / known.seconds[tried].sum())
    return Outcome(trained / known.scores[tried].size, seconds, regret > 0, regret > error / 3, regret)


def replayed(known: Recording, *, rule: str, rung: float | None, trials: int, studies: int) -> dict[str, Any]:
    """Many simulated studies. The first trial, the defaults, is a configuration of the middle third."""
    random = np.random.default_rng(0)  # the same studies for every rule
    ranked = np.argsort(known.scores.mean(1))
    middle = ranked[len(ranked) // 3 : 2 * len(ranked) // 3]
    found = []
    for _ in range(studies):
        first = int(random.choice(middle))
        rest = random.permutation(np.setdiff1d(np.arange(len(ranked)), [first]))[: trials - 1]
        order = [first, *rest.tolist()]
        found.append(
            wilcoxon_pruner(known, order) if rule == WILCOXON else simulate(known, order, CASES[rule], rung)
        )
    return _row(found, recording="random", rule=rule, rung=rung, trials=trials)


def replayed_proposals(*, rule: str) -> dict[str, Any]:
    """Every recorded study in its order, with its folds in every order that begins another way."""
    found = []
    for known in proposals():
        for turn in range(known.scores.shape[1]):
            turned = replace(
                known, scores=np.roll(known.scores, turn, 1), seconds=np.roll(known.seconds, turn, 1)
            )
            order = list(range(len(known.scores)))
            found.append(
                wilcoxon_pruner(turned, order) if rule == WILCOXON else simulate(turned, order, CASES[rule])
            )
    return _row(found, recording="proposed", rule=rule, rung=None, trials=len(known.scores))


def _row(found: Sequence[Outcome], **case: Any) -> dict[str, Any]:
    missed = float(np.mean([study.missed for study in found]))
    return {
        **case,
        "studies": len(found),
        "folds": float(np.mean([study.folds for study in found])),
        "seconds": float(np.mean([study.seconds for study in found])),
        "missed": missed,
        "missed_error": float(np.sqrt(missed * (1 - missed) / len(found))),
        "worse": float(np.mean([study.worse for study in found])),
        "regret": float(np.mean([study.regret for study in found])),
        "worst_regret": float(np.max([study.regret for study in found])),
    }


def rows(studies: int, trials: Sequence[int]) -> Iterator[dict[str, Any]]:
    known = recording()
    cases = [(rule, None) for rule in CASES]
    cases += [("forgiving", 0.25), ("paired", 0.25), ("paired", 0.5), (WILCOXON, None)]
    for number in trials:
        for rule, rung in cases:
            few = max(studies // 10, 1)  # of the pruner, which takes a hundred times as long
            yield replayed(
                known, rule=rule, rung=rung, trials=number, studies=few if rule == WILCOXON else studies
            )
    for rule in (*CASES, WILCOXON):
        yield replayed_proposals(rule=rule)


def record(home: Path) -> None:
    """Make the recording from the finished study in `home`, after its short trainings."""
    store = Store(home)
    study = started_study(store, "racing_recording")
    complete = [trial for trial in store.read_trials(study.name) if trial.state == "complete"]
    tasks = {
        (trial.number, share): replace(task, values=shortened(task.values, share))
        for trial in complete
        for share in SHARES
        for task in [fold_tasks(study, trial)[0]]
    }
    short = {
        label: report
        for label, report in train_tasks(workplace_of(store, study), tasks)
        if isinstance(report, FoldRecord)
    }
    rows = []
    for trial in complete:
        folds = [fold for key in trial.folds if (fold := store.read_fold(key))]
        row: dict[str, Any] = {"params": trial.params, "scores": trial.scores}
        row["seconds"] = [round(fold.seconds, 2) for fold in folds]
        for share in SHARES:
            row[f"rung {share}"] = short[trial.number, share].metrics[study.objective]
            row[f"rung {share} seconds"] = round(short[trial.number, share].seconds, 2)
        rows.append(row)
    RECORDING.write_bytes(gzip.compress(json.dumps({"configurations": rows}).encode(), mtime=0))


def record_proposed(home: Path) -> None:
    """Make the recording of proposals from the finished studies in `home`, all of one size."""
    store = Store(home)
    studies = []
    for name in store.studies():
        complete = [trial for trial in store.read_trials(name) if trial.state == "complete"]
        folds = [[store.read_fold(key) for key in trial.folds] for trial in complete]
        studies.append(
            [
                {
                    "params": trial.params,
                    "scores": trial.scores,
                    "seconds": [round(fold.seconds, 2) for fold in of_trial if fold],
                }
                for trial, of_trial in zip(complete, folds, strict=True)
            ]
        )
    PROPOSED.write_bytes(gzip.compress(json.dumps({"studies": studies}).encode(), mtime=0))


def proposals() -> list[Recording]:
    """The recorded studies of proposed configurations, without short trainings."""
    studies = json.loads(gzip.decompress(PROPOSED.read_bytes()))["studies"]
    return [
        Recording(
            np.array([row["scores"] for row in study]), np.array([row["seconds"] for row in study]), {}, {}
        )
        for study in studies
    ]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--record", type=Path, metavar="HOME", help="first make the recording anew")
    parser.add_argument(
        "--record-proposed", type=Path, metavar="HOME", help="the same of studies of proposals"
    )
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--trials", type=int, nargs="+", default=[20, 40, 80])


def report(options: argparse.Namespace) -> list[dict[str, Any]]:
    if options.record:
        record(options.record)
    if options.record_proposed:
        record_proposed(options.record_proposed)
    return list(rows(options.studies, options.trials))


def table(found: Sequence[dict[str, Any]]) -> str:
    columns = ["configurations", "rule", "rung", "trials", "folds trained", "time", "winner missed", "worse"]
    columns += ["regret, points", "worst"]
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for row in found:
        missed = f"{row['missed']:.1%} ± {row['missed_error']:.1%}"
        cells = [row["recording"], row["rule"], row["rung"] or "–", row["trials"], f"{row['folds']:.0%}"]
        cells += [f"{row['seconds']:.0%}", missed, f"{row['worse']:.1%}"]
        cells += [f"{100 * row['regret']:.2f}", f"{100 * row['worst_regret']:.2f}"]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)
