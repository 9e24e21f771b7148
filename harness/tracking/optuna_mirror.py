"""Shows a study's ended trials in an Optuna store, for optuna-dashboard and Optuna's own plots.

It is a copy to look at: harness never reads it. What it calls best is what harness calls best, for a trial that was
stopped is pruned there, with the scores it got as intermediate values.
"""

import datetime
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from harness.config import search_space
from harness.config.study_file import Study
from harness.errors import StoreError
from harness.files import digest
from harness.records import TrialRecord
from harness.redaction import redacted
from harness.scoring.pareto import values_of
from harness.store.postgres import limit_waiting
from harness.tracking.local_database import is_damaged, makes_anew, path_of

logger = logging.getLogger(__name__)

VERSION = "2"  # of what a trial looks like; raised when that changes, so that older copies are made anew
STUDY_ID, TRIAL, SHOWN = "harness.study_id", "harness.trial", "harness.shown"  # what harness's own carry


def mirror(url: str, name: str, study: Study, trials: Sequence[TrialRecord], *, study_id: str) -> None:
    """Have the store at `url` show these trials. Raises StoreError if it cannot be reached.

    name: of the study; its copy has another one where somebody else's study is called so. One of an earlier name goes.
    trials: ended ones, in the order of their numbers.   study_id: tells studies of one name apart.
    """
    with _opened(url) as storage:
        shown = _free_name(storage, name, study_id)
        _show(storage, shown, study, trials, study_id)
        for there in storage.get_all_studies():
            if there.user_attrs.get(STUDY_ID) == study_id and there.study_name != shown:
                _move(storage, there.study_name, shown)


def remove(url: str, study_id: str) -> None:
    """Delete a study's copy, so that its name is free. Raises StoreError if the store cannot be reached."""
    path = path_of(url)
    if path is not None and not path.exists():
        return
    with _opened(url) as storage:
        for there in storage.get_all_studies():
            if there.user_attrs.get(STUDY_ID) == study_id:
                storage.delete_study(storage.get_study_id_from_name(there.study_name))


@contextmanager
def _opened(url: str) -> Iterator[Any]:
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    limit_waiting(url)
    try:
        try:
            storage = optuna.storages.RDBStorage(url)
        except ValueError:  # whose words may hold a part of the password
            raise StoreError("Optuna's store cannot be opened: its address cannot be read") from None
        try:
            yield storage
        finally:
            storage.remove_session()
            storage.engine.dispose()
    except (SQLAlchemyError, optuna.exceptions.OptunaError, ImportError) as error:
        # Optuna takes every failing commit for one of invalid data; the database says why, of a full disk say.
        first, path = str(error.__cause__ or error).strip().splitlines()[0], path_of(url)
        advice = f"; {makes_anew(path)}" if path is not None and is_damaged(path) else ""
        raise StoreError(f"Optuna's store cannot be written: {redacted(first, url)}{advice}") from None


def _free_name(storage: Any, name: str, study_id: str) -> str:
    """The name of the study's copy: that of the study, unless another study of the store has it."""
    ids = {there.study_name: there.user_attrs.get(STUDY_ID) for there in storage.get_all_studies()}
    with_id = f"{name} {study_id[:8]}"
    if ids.get(name, study_id) == study_id or _is_of_earlier_release(storage, name):
        return name
    if with_id in ids:
        return with_id
    logger.warning(
        "Optuna's store has another study called %s: the copy of this one is called %s", name, with_id
    )
    return with_id


def _is_of_earlier_release(storage: Any, name: str) -> bool:
    """Whether it is a copy without ids, which is made anew."""
    study = storage.get_study_id_from_name(name)
    trials = storage.get_all_trials(study, deepcopy=False)
    return (
        STUDY_ID not in storage.get_study_user_attrs(study) and bool(trials) and all(map(_has_no_id, trials))
    )


def _has_no_id(trial: Any) -> bool:
    """Of a trial that harness has shown before its trials had ids."""
    return {*trial.user_attrs} == {"state", "reason", "standard_error"}


def _show(storage: Any, name: str, study: Study, trials: Sequence[TrialRecord], study_id: str) -> None:
    """Add the trials that are not there; make the copy anew where it has others than these."""
    import optuna

    wanted = {trial.number: _frozen(study, trial) for trial in trials}
    directions: list[Literal["maximize", "minimize"]] = [one.direction for one in study.objectives]

    def opened() -> Any:
        found = optuna.create_study(
            storage=storage, study_name=name, directions=directions, load_if_exists=True
        )
        found.set_user_attr(STUDY_ID, study_id)
        return found

    shown = opened()
    ours = {trial.user_attrs[TRIAL]: trial for trial in shown.trials if TRIAL in trial.user_attrs}
    older = any(map(_has_no_id, shown.trials))
    foreign = [trial for trial in shown.trials if TRIAL not in trial.user_attrs and not _has_no_id(trial)]
    if (
        [way.name.lower() for way in shown.directions] != directions
        or older
        or any(
            number not in wanted or wanted[number].user_attrs[SHOWN] != trial.user_attrs[SHOWN]
            for number, trial in ours.items()
        )
    ):
        optuna.delete_study(study_name=name, storage=storage)  # its trials cannot be changed
        shown, ours = opened(), {}
        for trial in foreign:
            if trial.values is None or len(trial.values) == len(directions):
                shown.add_trial(trial)
    with warnings.catch_warnings(action="ignore"):  # it calls itself experimental
        shown.set_metric_names([one.name for one in study.objectives])
    for number, trial in wanted.items():
        if number not in ours:
            shown.add_trial(trial)
    if foreign:
        logger.warning(
            "study %s in Optuna's store has %d trial%s that harness does not know: they stay, and Optuna may call one "
            "of them the best",
            name, len(foreign), "s" * (len(foreign) > 1),
        )  # fmt: skip


def _move(storage: Any, old: str, new: str) -> None:
    """Delete a copy of an earlier name, once the new one has the trials that somebody else has added."""
    import optuna

    before, after = (optuna.load_study(study_name=name, storage=storage) for name in (old, new))
    there = [(trial.datetime_start, trial.params, trial.values) for trial in after.trials]
    for trial in before.trials:
        is_foreign = TRIAL not in trial.user_attrs
        if is_foreign and (trial.datetime_start, trial.params, trial.values) not in there:
            after.add_trial(trial)
    optuna.delete_study(study_name=old, storage=storage)


def _frozen(study: Study, trial: TrialRecord) -> Any:
    """The trial as Optuna has it. Step 0 of its intermediate values is the short training, k the fold k - 1."""
    from optuna.trial import TrialState, create_trial

    params = search_space.named_for_optuna(study, trial.params)
    distributions = search_space.distributions(study)
    values = values_of(trial, study.objectives[1:]) if trial.state == "complete" else None
    state = TrialState.PRUNED if trial.state == "stopped" else TrialState.FAIL
    steps = {} if trial.rung_score is None else {0: trial.rung_score}
    attributes = {
        "state": trial.state,
        "reason": trial.reason,
        "standard_error": trial.standard_error,
        TRIAL: trial.number,
        SHOWN: digest(repr((VERSION, trial, study.objectives)).encode()),
    }
    frozen = create_trial(
        state=state if values is None else TrialState.COMPLETE,
        params=params,
        distributions={name: distributions[name] for name in params},
        values=values,
        user_attrs=attributes,
        intermediate_values=steps | dict(enumerate(trial.scores, 1)),
    )
    frozen.datetime_start = datetime.datetime.fromtimestamp(trial.started)
    frozen.datetime_complete = datetime.datetime.fromtimestamp(trial.started + trial.seconds)
    return frozen
