"""Typed here, trained elsewhere: a Ray cluster in one machine, and jobs that are processes of it.

This process plays a login node: what it would say of its processor is wrong, and training anything in it is an error.
"""

import gc
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from harness import tuning
from harness.analysis.audit import audit
from harness.analysis.confirm import confirm
from harness.analysis.final import final
from harness.analysis.readiness import Request
from harness.analysis.reproduce import Reproduction, reproduce
from harness.config.study_file import load_study_file
from harness.errors import HarnessError
from harness.folds import worker
from harness.folds.cluster import THIS_PROCESS
from harness.folds.executor import Cluster
from harness.folds.executor_options import ExecutorOptions
from harness.search import autotune
from harness.store.findings import Audit, Confirmation, FinalTest
from harness.store.loaded_study import LoadedStudy
from harness.store.store import Store
from harness.training import ComputeOptions, compute, recorded, resolve
from harness.tuning import Settings, StudyEnded

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
CHANGES = ["search.trials=1", "train.epochs=1", "cv.folds=2"]
Where = dict[str, Any]  # what Settings and ExecutorOptions are given
ELSEWHERE = [pytest.param("ray", marks=pytest.mark.ray), "slurm"]


@pytest.fixture(scope="module")
def ray_address() -> Iterator[str]:
    """Of a cluster in this machine, which takes longer to start than what the tests do on it."""
    pytest.importorskip("ray")
    import ray
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        found = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
        yield found.address
        ray.shutdown()
        found.shutdown()


@pytest.fixture(params=ELSEWHERE)
def elsewhere(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Where]:
    """What says where to train. Jobs of Slurm are processes of this machine."""
    if request.param == "ray":
        yield {"executor": "ray", "workers": 1, "address": request.getfixturevalue("ray_address")}
        return
    submitit = pytest.importorskip("submitit")
    from harness.folds import slurm

    monkeypatch.setattr(slurm, "SlurmCluster", partial(slurm.SlurmCluster, queue="local"))
    monkeypatch.setattr(slurm, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(submitit.core.core.Job, "_results_timeout_s", 1)
    yield {"executor": "slurm", "workers": 2}
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        gc.collect()


@pytest.fixture
def login_node(monkeypatch: pytest.MonkeyPatch) -> None:
    """No training in this process, and another precision than this machine's."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("trained or measured on the login node")

    has = compute._has_bf16("cpu")
    monkeypatch.setattr(compute, "_has_bf16", lambda device: not has)
    monkeypatch.setattr(worker, "train_fold", refuse)
    monkeypatch.setattr(autotune, "_measure", refuse)
    monkeypatch.setattr(autotune, "agrees", refuse)


def cluster_of(where: Where, store: Store) -> Cluster:
    from harness.folds.cluster import connect

    return connect(ExecutorOptions(**where), store.home)


def tune(path: Path, home: Path, where: Where, *changes: str) -> StudyEnded:
    settings = Settings(home, offline=True, **where)
    *_, ended = tuning.tune(load_study_file(str(path), [*CHANGES, *changes]), settings)
    assert isinstance(ended, StudyEnded) and ended.state == "finished"
    return ended


def test_what_a_study_computes_on_is_the_answer_of_what_trains_it(
    elsewhere: Where, study_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = recorded(resolve(ComputeOptions()))
    has = expected["precision"] == "bf16"
    monkeypatch.setattr(compute, "_has_bf16", lambda device: not has)
    assert THIS_PROCESS.call({}, autotune.resolved, {})[0].precision != expected["precision"]
    monkeypatch.setattr(worker, "train_fold", None)  # none is trained here
    record = tune(study_file, tmp_path / "home", elsewhere).record
    assert record.compute == expected == Store(tmp_path / "home").read_study("small").compute  # type: ignore[union-attr]


def test_a_measurement_is_made_where_folds_are_trained_and_kept_here(
    elsewhere: Where, login_node: None, study_file: Path, tmp_path: Path
) -> None:
    record = tune(study_file, tmp_path / "home", elsewhere, "compute=auto").record
    measured = record.provenance["compute_measured"]
    assert len(measured) >= 2 and min(measured.values()) > 0
    assert len(list((tmp_path / "home" / "probes").iterdir())) == 1


def test_a_device_that_is_not_there_is_told_by_what_trains(
    elsewhere: Where, study_file: Path, tmp_path: Path
) -> None:
    with pytest.raises(HarnessError, match="device mps is not available") as told:
        tune(study_file, tmp_path / "home", elsewhere, "compute.device=mps")
    assert "\n" not in str(told.value)
    assert Store(tmp_path / "home").read_study("small") is None


def test_a_damaged_fold_is_trained_again_where_the_study_is(
    elsewhere: Where, login_node: None, study_file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store, (trial,) = Store(tmp_path / "home"), tune(study_file, tmp_path / "home", elsewhere).trials
    before = store.read_fold(trial.folds[0])
    (store.fold_folder(trial.folds[0]) / "result.json").unlink()
    assert tune(study_file, store.home, elsewhere).trials == (trial,)
    after = store.read_fold(trial.folds[0])
    assert before is not None and after is not None and after.hashes == before.hashes
    assert "trial 0: fold 0 was trained again" in caplog.text


def test_a_finished_study_is_judged_where_the_cluster_is(
    elsewhere: Where, login_node: None, tuned: Store
) -> None:
    study = LoadedStudy.open(tuned, "small")
    with cluster_of(elsewhere, tuned) as cluster:
        *_, confirmed = confirm(study, top=1, cluster=cluster)
        *_, audited = audit(study, cluster=cluster)
        *_, reproduced = reproduce(LoadedStudy.open(tuned, "small"), cluster=cluster)
        *_, finished = final(study, Request(top=1, cluster=cluster))
    assert (
        isinstance(confirmed, Confirmation) and isinstance(audited, Audit) and isinstance(finished, FinalTest)
    )
    assert isinstance(reproduced, Reproduction) and reproduced.verdict == "BITWISE"
    assert audited.verdict == "passed" and finished.trial == confirmed.winner
    assert not list(tuned.home.glob(".reproduce-*"))
