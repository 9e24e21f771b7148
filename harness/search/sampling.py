"""Asks Optuna for the values of each trial; the answer is a pure function of the study and the trials before.

Optuna's study lives in memory and is rebuilt from the trial records, so a resumed study is asked the same
questions and gives the same answers. The sampler is made anew for every trial, seeded from (study seed, trial
number): one that only keeps its first seed would repeat its start-up points after a resume.
"""

import warnings
from collections.abc import Sequence
from typing import Any

from harness.config import search_space
from harness.config.study_file import Study
from harness.records import TrialRecord, Values
from harness.seeds import seed_for

STARTUP_TRIALS = 10  # TPE's own default: that many random trials before it models anything
LEAST_FOR_IMPORTANCES = 8  # trials


class Asker:
    """Gives each trial its values, in the order of their numbers."""

    def __init__(self, study: Study):
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study = study
        self._distributions = search_space.distributions(study)
        self._grid = _grid_after_defaults(study) if study.search.sampler == "grid" else []
        with _quiet():
            self._optuna = optuna.create_study(direction=study.direction, sampler=_sampler(study, 0))

    def ask(self, number: int) -> Values:
        """Values for the next trial, which must have this number."""
        assert number == len(self._optuna.trials), "trials are asked for in the order of their numbers"
        if number == 0:
            return self.pending(search_space.defaults(self._study))
        if self._grid:
            return self.pending(self._grid[number - 1])
        with _quiet():
            self._optuna.sampler = _sampler(self._study, number)
            params: Values = self._optuna.ask(fixed_distributions=self._distributions).params
        return {path: params[path] for path in self._distributions}

    def pending(self, params: Values) -> Values:
        """Take a trial whose values are known already as asked for."""
        from optuna.trial import TrialState, create_trial

        self._optuna.add_trial(
            create_trial(state=TrialState.RUNNING, params=params, distributions=self._distributions)
        )
        return params

    def tell(self, trial: TrialRecord) -> None:
        """A trial has ended: its mean, also of a stopped one's folds or short training, or that it failed."""
        from optuna.trial import TrialState

        score = trial.mean if trial.mean is not None else trial.rung_score
        if trial.state == "failed" or score is None:
            self._optuna.tell(trial.number, state=TrialState.FAIL)
        else:
            self._optuna.tell(trial.number, score)

    def importances(self) -> dict[str, float]:
        """Share of each searched name in the spread of the scores (PED-ANOVA); empty while too few are known."""
        import optuna

        complete = [trial for trial in self._optuna.trials if trial.state.is_finished() and trial.values]
        if len(complete) < LEAST_FOR_IMPORTANCES or len({trial.value for trial in complete}) < 2:
            return {}
        with _quiet():
            return dict(optuna.importance.get_param_importances(self._optuna))


def replay(study: Study, trials: Sequence[TrialRecord]) -> Asker:
    """An asker that knows these finished trials."""
    asker = Asker(study)
    for trial in trials:
        asker.pending(trial.params)
        asker.tell(trial)
    return asker


def _grid_after_defaults(study: Study) -> list[Values]:
    first = search_space.defaults(study)
    return [point for point in search_space.grid(study) if point != first]


def _sampler(study: Study, number: int) -> Any:
    import optuna

    seed = seed_for(study.search.seed, "sampler", number) % 2**32
    if study.search.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    if study.search.sampler == "gp":
        return optuna.samplers.GPSampler(
            seed=seed, n_startup_trials=STARTUP_TRIALS, deterministic_objective=False
        )
    return optuna.samplers.TPESampler(
        seed=seed, n_startup_trials=STARTUP_TRIALS, multivariate=True, constant_liar=True
    )


class _quiet(warnings.catch_warnings):  # noqa: N801 - a context manager, used as a word
    """Without Optuna's notes that a sampler is experimental: which one is used is the study's explicit choice."""

    def __enter__(self) -> Any:
        entered = super().__enter__()
        warnings.simplefilter("ignore")
        return entered
