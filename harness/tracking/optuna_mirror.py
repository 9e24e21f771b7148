"""Shows a study's finished trials in an Optuna store, for optuna-dashboard and Optuna's own plots."""

import datetime
from collections.abc import Sequence
from typing import Any, Literal

from harness.config import search_space
from harness.config.study_file import Study
from harness.errors import StoreError
from harness.records import TrialRecord
from harness.redaction import redacted
from harness.scoring.pareto import values_of


def mirror(url: str, name: str, study: Study, trials: Sequence[TrialRecord]) -> None:
    """Add the trials that the store at `url` does not have yet. Raises StoreError if it cannot be reached.

    trials: finished ones, in the order of their numbers, from 0 on. It is a copy to look at: harness never reads it.
    """
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    try:
        try:
            storage = optuna.storages.RDBStorage(url)
        except ValueError:  # whose words may hold a part of the password
            raise StoreError("Optuna's store cannot be opened: its address cannot be read") from None
        try:
            shown = _shown(storage, name, study)
            if [way.name.lower() for way in shown.directions] != _directions(study) or any(
                there.params != search_space.named_for_optuna(study, trial.params)
                for there, trial in zip(shown.trials, trials, strict=False)
            ):
                optuna.delete_study(study_name=name, storage=storage)  # of before the study was corrected
                shown = _shown(storage, name, study)
            for trial in trials[len(shown.trials) :]:
                shown.add_trial(_frozen(study, trial))
        finally:
            storage.remove_session()
            storage.engine.dispose()
    except (SQLAlchemyError, optuna.exceptions.OptunaError, ImportError) as error:
        first = str(error).strip().splitlines()[0]
        raise StoreError(f"Optuna's store cannot be written: {redacted(first, url)}") from None


def _shown(storage: Any, name: str, study: Study) -> Any:
    import optuna

    return optuna.create_study(
        storage=storage, study_name=name, directions=_directions(study), load_if_exists=True
    )


def _directions(study: Study) -> list[Literal["maximize", "minimize"]]:
    return [objective.direction for objective in study.objectives]


def _frozen(study: Study, trial: TrialRecord) -> Any:
    from optuna.trial import TrialState, create_trial

    values = values_of(trial, study.objectives[1:])
    failed = values is None or trial.state == "failed"
    state = TrialState.FAIL if failed else TrialState.COMPLETE
    if study.others and trial.state == "stopped" and not failed:
        state = TrialState.PRUNED  # or Optuna would draw its front through what was not trained to its end
    params, distributions = (
        search_space.named_for_optuna(study, trial.params),
        search_space.distributions(study),
    )
    frozen = create_trial(
        state=state,
        params=params,
        distributions={name: distributions[name] for name in params},
        values=None if failed else values,
        user_attrs={"state": trial.state, "reason": trial.reason, "standard_error": trial.standard_error},
        intermediate_values=dict(enumerate(trial.scores)),
    )
    frozen.datetime_start = datetime.datetime.fromtimestamp(trial.started)
    frozen.datetime_complete = datetime.datetime.fromtimestamp(trial.started + trial.seconds)
    return frozen
