"""A small study, tuned for real and without MLflow, for tests of what is done with a finished one: fixtures."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.prepare import prepare
from harness.store.store import Store

STUDY = """\
# Does it work?
data: {name: digits, test_fraction: 0.8}
model: {name: resnet, depth: 1, width: 4, dropout: [0.0, 0.3]}
train: {epochs: 1, batch_size: 128, lr: 0.1, augment: none, keep_models: none}
cv: {folds: 2}
search: {trials: 2, sampler: grid, racing: none}
"""


def tune(path: Path, home: Path, *overrides: str) -> Store:
    """Run a study to its end; MLflow sees nothing of it."""
    from harness.config.study_file import load_study_file
    from harness.folds.processes import InlineExecutor
    from harness.folds.tasks import make_tasks
    from harness.search.driver import Driver
    from harness.search.objectives import other_objectives

    study = load_study_file(str(path), overrides)
    store = Store(home)
    record, workplace = prepare(study, store, study.name)
    store.write_study(record)
    tasks = make_tasks(
        study, data_hash=record.data["hash"], split_hash=record.split_hash, compute=record.compute
    )
    with InlineExecutor(workplace) as executor:
        others = other_objectives(record)
        groups = store.read_split(record).groups
        driver = Driver(
            study, store, study.name, executor, tasks, record.num_trials, others=others, groups=groups
        )
        list(driver.run())
    return store


@pytest.fixture(scope="session")
def _tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tuned")
    (folder / "small.yaml").write_text(STUDY, encoding="utf-8")
    return tune(folder / "small.yaml", folder / "home").home


@pytest.fixture
def tuned(_tuned: Path, tmp_path: Path) -> Store:
    """The store of the finished study `small`: two trials of two folds on digits. Every test has its own copy."""
    return Store(Path(shutil.copytree(_tuned, tmp_path / "home")))


@pytest.fixture
def tuning_of() -> Callable[..., Store]:
    return tune
