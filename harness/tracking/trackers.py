"""Who else is told what comes of a study: trackers of the user's own, found by name like all other code of theirs."""

import inspect
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from harness.config import plugins
from harness.config.kinds import MLFLOW
from harness.errors import UsageError
from harness.store.loaded_study import LoadedStudy

logger = logging.getLogger(__name__)
NOT_FOLLOWED = ("MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID", "MLFLOW_RUN_ID")


def tell_what_is_not_followed(trackers: Sequence[str]) -> None:
    """Warn of MLflow's variables that name an experiment or a run: a study has its own."""
    if MLFLOW in trackers and (found := [name for name in NOT_FOLLOWED if os.environ.get(name)]):
        word = "is" if len(found) == 1 else "are"
        logger.warning(
            "%s %s not followed: a study is the experiment of its own name", " and ".join(found), word
        )


class Tracker(Protocol):
    """What a study file may name as `tracker`."""

    def deliver(self, study: LoadedStudy, *, final: bool) -> None:
        """Show what the study has by now.

        It is called again and again by one thread as folds end, and once more, with `final`, when nobody works on the
        study any more; so it shows what it has not shown yet. What it raises is told, and never ends a study.
        """


def own_trackers(names: Sequence[str], home: Path) -> dict[str, Tracker]:
    """The trackers of these names but MLflow, made with `home`, the store's folder, where they take it.

    Raises UsageError that names file and line for one that cannot be imported or made, or has no `deliver`.
    """
    found: dict[str, Tracker] = {}
    for name in names:
        if name == MLFLOW:
            continue
        plugin = plugins.find("tracker", name)
        if plugin is None:
            raise UsageError(f"tracker {name}: there is none of this name in {plugins.project()}")
        try:
            tracker = plugins.call(plugins.load(plugin), {"home": home}, {})
        except UsageError:
            raise
        except Exception as error:
            raise UsageError(f"tracker {name}: {plugins.where(error, plugin.root)}") from error
        parameters = inspect.signature(tracker.deliver).parameters if hasattr(tracker, "deliver") else {}
        if "final" not in parameters:
            raise UsageError(f"tracker {name}: {plugin.place} has no deliver(study, *, final)")
        found[name] = tracker
    return found
