"""Trains again the folds of ended trials whose records are gone or damaged: the same task, so the same bits."""

import logging

from harness.errors import HarnessError
from harness.folds.cluster import THIS_PROCESS
from harness.folds.executor import Cluster
from harness.folds.fold import FoldTask, halved
from harness.folds.tasks import fold_tasks
from harness.folds.train_folds import train_tasks
from harness.folds.worker import Workplace
from harness.records import FoldRecord, StudyRecord
from harness.store.store import Store

logger = logging.getLogger(__name__)


def mend(store: Store, record: StudyRecord, workplace: Workplace, cluster: Cluster = THIS_PROCESS) -> int:
    """How many folds were trained again. The trials stay as they are, for nothing they were decided by has changed.

    A fold whose task would have another key today is left alone: it could not be the same.
    """
    tasks: dict[tuple[int, int], FoldTask] = {}
    for trial in store.read_trials(record.name):
        if trial.state in ("complete", "stopped"):
            known = fold_tasks(record, trial)
            for fold, key in enumerate(trial.folds):
                equal = [task for task in (known[fold], halved(known[fold])) if task.key() == key]
                if equal and store.read_fold(key) is None:
                    tasks[trial.number, fold] = equal[0]
    mended = 0
    try:
        for (number, fold), report in train_tasks(workplace, tasks, cluster=cluster):
            if isinstance(report, FoldRecord):
                logger.warning("trial %d: fold %d was trained again", number, fold)
                mended += 1
    except HarnessError as error:
        logger.warning("%s; what was damaged stays so", error)
    return mended
