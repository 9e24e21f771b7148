"""Asks Optuna for the values of each trial; the answer is a pure function of the study and the trials before.

Optuna's study lives in memory and is rebuilt from the trial records, so a resumed study is asked the same
questions and gives the same answers. Every trial has a new sampler, seeded from (study seed, trial
number): one that only keeps its first seed would repeat its start-up points after a resume.
"""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

from harness.config import search_space
from harness.config.sections import Search
from harness.config.settings import Choice
from harness.config.signatures import Between, Younger
from harness.config.space import Parameter
from harness.config.study_file import Study
from harness.records import Scalar, TrialRecord, Values, sign_of
from harness.scoring.pareto import values_of
from harness.search.expected import expected_means
from harness.seeds import seed_for

Excess = Callable[[TrialRecord], dict[str, float]]
LEAST_FOR_IMPORTANCES = 8  # trials


@dataclass(frozen=True)
class Sampler(ABC):
    """Where values come from. One sampler, one class; its fields are its options in the study file's `search:`."""

    @abstractmethod
    def ask(self, asker: "Asker", number: int) -> Values:
        """The values of trial `number`, which is after those of `search.first`; the asker then has it as running."""


class OptunaSampler(Sampler):
    """One of Optuna's samplers, a new one for every trial."""

    @abstractmethod
    def make(self, seed: int, *, conditional: bool) -> Any:
        """The sampler.   seed: 32 bits.   conditional: trials differ in which values they have."""

    def ask(self, asker: "Asker", number: int) -> Values:
        with _quiet():
            seed = seed_for(asker.study.search.seed, "sampler", number) % 2**32
            sampler = self.make(seed, conditional=asker.space.is_conditional)
            if asker.space.is_conditional or asker.excess is not None:
                return asker.pending(_ask_in_turn(asker, sampler))
            asker.optuna.sampler = sampler
            params: Values = asker.optuna.ask(fixed_distributions=asker.distributions).params
        return {path: params[path] for path in asker.distributions}


@dataclass(frozen=True)
class Tpe(OptunaSampler):
    """Models where good and bad trials lie (multivariate TPE), of what only some trials have by those.

    startup_trials: random ones, before it models anything. Default: Optuna's own.
    Source: Bergstra, Bardenet, Bengio and Kégl 2011, Algorithms for hyper-parameter optimization.
    """

    startup_trials: Annotated[int, Between(1, 1000), Younger()] = 10

    def make(self, seed: int, *, conditional: bool) -> Any:
        import optuna

        return optuna.samplers.TPESampler(
            seed=seed,
            n_startup_trials=self.startup_trials,
            multivariate=True,
            group=conditional,
            constant_liar=True,
        )


class Random(OptunaSampler):
    """Every trial independent of the others."""

    def make(self, seed: int, *, conditional: bool) -> Any:
        import optuna

        return optuna.samplers.RandomSampler(seed=seed)


@dataclass(frozen=True)
class Gp(OptunaSampler):
    """A Gaussian process, which takes noise into account.

    startup_trials: random ones, before it models anything. Default: Optuna's own.
    """

    startup_trials: Annotated[int, Between(1, 1000), Younger()] = 10

    def make(self, seed: int, *, conditional: bool) -> Any:
        import optuna

        return optuna.samplers.GPSampler(
            seed=seed, n_startup_trials=self.startup_trials, deterministic_objective=False
        )


class Grid(Sampler):
    """Every combination of the searched values, the last name changing fastest."""

    def ask(self, asker: "Asker", number: int) -> Values:
        return asker.pending(asker.rest_of_grid[number - len(asker.first)])


SAMPLERS: dict[str, type[Sampler]] = {"tpe": Tpe, "random": Random, "gp": Gp, "grid": Grid}


def sampler_of(search: Search) -> Sampler:
    """The sampler that a study asks for, with its options."""
    return search.with_options(SAMPLERS[search.sampler])


class Asker:
    """Gives each trial its values, in the order of their numbers.

    excess: how far an ended trial is over the study's constraints, where it has such, by name.
    """

    def __init__(self, study: Study, excess: Excess | None = None):
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.study = study
        self.space = study.space
        self.excess, self.exceeded = excess, dict[int, dict[str, float]]()
        self.first = search_space.first_trials(study)
        self.distributions = search_space.distributions(study)
        self.directions = [objective.direction for objective in study.objectives]
        self.optuna = optuna.create_study(directions=self.directions)
        self.sampler = sampler_of(study.search)
        self.ended = list[TrialRecord]()

    @cached_property
    def rest_of_grid(self) -> list[Values]:
        return [point for point in search_space.grid(self.study) if point not in self.first]

    def ask(self, number: int) -> Values:
        """Values for the next trial, which must have this number."""
        assert number == len(self.optuna.trials), "trials are asked for in the order of their numbers"
        if number < len(self.first):
            return self.pending(self.first[number])
        return self.sampler.ask(self, number)

    def pending(self, params: Values) -> Values:
        """Take a trial whose values are known already as asked for."""
        from optuna.trial import TrialState, create_trial

        named = search_space.named_for_optuna(self.study, params)
        distributions = {name: self.distributions[name] for name in named}
        self.optuna.add_trial(
            create_trial(state=TrialState.RUNNING, params=named, distributions=distributions)
        )
        return params

    def tell(self, trial: TrialRecord) -> None:
        """A trial has ended: its means, of a stopped one by `search.stopped_as`, or that it failed."""
        from optuna.trial import TrialState

        if self.excess is not None and trial.state != "failed":
            self.exceeded[trial.number] = self.excess(trial)
        values = None if trial.state == "failed" else self._values(trial)
        self.ended.append(trial)
        if values is None:
            self.optuna.tell(trial.number, state=TrialState.FAIL)
        else:
            self.optuna.tell(trial.number, values)

    def _values(self, trial: TrialRecord) -> tuple[float, ...] | None:
        """What the sampler is told of a trial, a value for each objective; None where it has no score."""
        others = self.study.objectives[1:]
        if trial.state == "stopped" and self.study.search.stopped_as == "expected":
            return expected_means(trial, self.ended, [objective.name for objective in others])
        values = values_of(trial, others)
        if values is None and not others and trial.rung_score is not None:
            return (trial.rung_score,)
        return values

    def importances(self) -> dict[str, float]:
        """Share of each searched name in the spread of the scores (PED-ANOVA), largest first; empty of too few trials.

        By the first objective.
        Of names that every trial has: a share among some trials could not be compared with theirs.
        """
        import optuna

        complete = [trial for trial in self.optuna.trials if trial.state.is_finished() and trial.values]
        if len(complete) < LEAST_FOR_IMPORTANCES or len({_first(trial) for trial in complete}) < 2:
            return {}
        with _quiet():
            shared = [one.name for one in self.space.parameters if not one.when]
            params = shared if self.space.is_conditional else None
            sign = sign_of(self.study.direction)
            target = (
                (lambda trial: -sign * _first(trial)) if len(self.directions) > 1 else None
            )  # lower is better
            shares = optuna.importance.get_param_importances(self.optuna, params=params, target=target)
        # Optuna orders equal ones by chance.
        return dict(sorted(shares.items(), key=lambda item: (-item[1], item[0])))


def _first(trial: Any) -> float:
    """What one of Optuna's trials has of the first objective."""
    value: float = trial.values[0]
    return value


def _ask_in_turn(asker: Asker, sampler: Any) -> Values:
    """Asks for one parameter after the other, each if it applies under the values before it.

    The copy also knows which trials are over their limits. Those that were not trained for it have the worst score
    there is: the sampler takes them as infeasible, whatever they score.

    The sampler draws for all branches at once and notes that in the running trial, which later trials see. A record has
    only what was used; so a copy of the study is asked, and a resumed study answers as if it had never been stopped.
    """
    import optuna
    from optuna.trial import create_trial

    copy = optuna.create_study(directions=asker.directions, sampler=sampler)
    told = [trial.values for trial in asker.optuna.trials if trial.values is not None]
    worst = [
        (min if direction == "maximize" else max)((values[place] for values in told), default=0.0)
        for place, direction in enumerate(asker.directions)
    ]
    for known in asker.optuna.trials:
        if (over := asker.exceeded.get(known.number)) is None:
            copy.add_trial(known)
            continue
        values = worst if known.values is None else known.values
        copy.add_trial(
            create_trial(
                params=known.params, distributions=known.distributions, values=values, constraints=over
            )
        )
    trial = copy.ask()

    def suggest(parameter: Parameter) -> Scalar:
        name, setting = parameter.name, parameter.setting
        found: Scalar
        if isinstance(setting, Choice):
            found = trial.suggest_categorical(name, setting.values)
        elif setting.kind == "int":
            step = int(setting.step or 1)
            found = trial.suggest_int(name, int(setting.low), int(setting.high), step=step, log=setting.log)
        else:
            found = trial.suggest_float(name, setting.low, setting.high, step=setting.step, log=setting.log)
        return found

    return asker.space.decide(suggest)


def replay(study: Study, trials: Sequence[TrialRecord]) -> Asker:
    """An asker that knows these finished trials."""
    asker = Asker(study)
    for trial in trials:
        asker.pending(trial.params)
        asker.tell(trial)
    return asker


class _quiet(warnings.catch_warnings):  # noqa: N801 - a context manager, used as a word
    """Without Optuna's notes that a sampler is experimental: which one is used is the study's explicit choice."""

    def __enter__(self) -> Any:
        entered = super().__enter__()
        warnings.simplefilter("ignore")
        return entered
