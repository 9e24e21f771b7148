"""The databases of a store that were damaged are made anew, with all studies in them."""

import logging
from contextlib import suppress

from harness import invocation
from harness.config import kinds
from harness.config.study_file import Study, parse_study_file
from harness.errors import HarnessError
from harness.store.loaded_study import DELIVERY, LoadedStudy
from harness.store.store import Store
from harness.tracking.experiment_view import study_id
from harness.tracking.local_database import MLFLOW, OPTUNA, path_of, put_aside_if_damaged
from harness.tracking.optuna_mirror import mirror

logger = logging.getLogger(__name__)


def renew_damaged(store: Store, *, tracking_uri: str, storage_url: str) -> bool:
    """Put the store's own databases aside where they are damaged; whether one was.

    All studies count as not delivered then: `close_abandoned` shows them in the new one.
    """
    places = {MLFLOW: tracking_uri, OPTUNA: storage_url}
    own = [store.home / file for file, url in places.items() if path_of(url) == store.home / file]
    renewed = [path for path in own if put_aside_if_damaged(path)]
    for name in store.studies() if renewed else ():
        (store.study_folder(name) / DELIVERY).unlink(missing_ok=True)
        if store.home / MLFLOW in renewed and (store.study_folder(name) / "final.json").exists():
            logger.warning(
                "%s registers its model in the new database",
                invocation.command("final", name, home=store.home),
            )
    return bool(renewed)


def mirror_others(study: LoadedStudy, storage_url: str) -> None:
    """Have Optuna's store, which is new, show the other studies, too."""
    for name in study.store.studies():
        with suppress(HarnessError):  # their own next command shows them
            if name == study.name or study.store.is_driven(name):
                continue
            other = LoadedStudy.open(study.store, name)
            mirror(storage_url, name, definition_of(other), other.ended, study_id=study_id(other.record))


def definition_of(study: LoadedStudy) -> Study:
    """The study that its record has the text of, to be shown in MLflow. Raises StudyError where that is none today."""
    record = study.record
    overrides = [*record.provenance.get("overrides", []), f"tracker={kinds.MLFLOW}"]
    return parse_study_file(record.text.encode(), overrides, name=study.name, source=f"study {study.name}")
