"""A study on a Ray cluster of this machine: the same bits, and a lost node costs the folds it was training."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from harness.config import search_space
from harness.config.study_file import load_study_file
from harness.errors import HarnessError, StoreError, UsageError
from harness.folds.executor_options import ExecutorOptions
from harness.folds.tasks import make_tasks
from harness.prepare import prepare
from harness.records import FoldRecord, TrialRecord
from harness.search.driver import EpochEnded, FoldEnded, TrialEnded
from harness.store.store import Store
from harness.tuning import Settings, StudyEnded, tune

ray = pytest.importorskip("ray")
ray_executor = pytest.importorskip("harness.folds.ray")
pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.filterwarnings("ignore::ResourceWarning")]
CHANGES = [
    "search.trials=2", "train.epochs=3", "cv.folds=3", "model.depth=1", "model.blocks=1", "model.width=4",
    "search.racing=none", "search.sampler=random",
]  # fmt: skip
HEAD = {"num_cpus": 1, "include_dashboard": False}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Two nodes of one processor each; the driver joins the first, which stays."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    found = Cluster(initialize_head=True, head_node_args=HEAD)
    found.add_node(num_cpus=1)
    found.wait_for_nodes()
    yield found
    ray.shutdown()
    found.shutdown()


def hashes(home: Path) -> list[dict[str, str]]:
    store = Store(home)
    keys = [key for trial in store.read_trials("quickstart") for key in trial.folds]
    return [fold.hashes for key in keys if (fold := store.read_fold(key))]


@pytest.fixture(scope="module")
def inline(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    home = tmp_path_factory.mktemp("inline")
    for _ in tune(load_study_file("quickstart", CHANGES), Settings(home, workers=1, offline=True)):
        pass
    return hashes(home)


def test_two_nodes_of_which_one_dies_end_with_the_bits_of_one_process(
    cluster: Any, inline: list[dict[str, str]], tmp_path: Path
) -> None:
    settings = Settings(tmp_path, offline=True, executor="ray", address=cluster.address)
    began: list[tuple[int, int]] = []
    lost = False
    for event in tune(load_study_file("quickstart", CHANGES), settings):
        if isinstance(event, EpochEnded) and not lost:
            lost = True  # in the middle of the first folds
            cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
        if isinstance(event, FoldEnded):
            began.append((event.number, event.fold))
        if isinstance(event, StudyEnded):
            assert event.state == "finished"
    assert lost and sorted(began) == [(trial, fold) for trial in range(2) for fold in range(3)]
    assert hashes(tmp_path) == inline and len(inline) == 6


@pytest.mark.timeout(120)
def test_a_lost_head_ends_the_study_in_one_line_and_the_same_study_goes_on(
    inline: list[dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setattr(ray_executor, "HEAD_SECONDS", 2.0)
    study = load_study_file("quickstart", CHANGES)
    first = Cluster(initialize_head=True, head_node_args=HEAD)
    try:
        settings = Settings(tmp_path, offline=True, executor="ray", address=first.address)
        with pytest.raises(StoreError, match=r"the head of the Ray cluster, .*, is lost; start the cluster"):
            for event in tune(study, settings):
                if isinstance(event, TrialEnded):
                    first.head_node.kill_gcs_server(check_alive=False)
    finally:
        ray.shutdown()
        first.shutdown()
    assert hashes(tmp_path) == inline[:3]
    for _ in tune(study, Settings(tmp_path, workers=1, offline=True)):
        pass
    assert hashes(tmp_path) == inline


def test_without_an_address_a_cluster_is_started_and_ended(
    inline: list[dict[str, str]], tmp_path: Path
) -> None:
    settings = Settings(tmp_path, workers=2, offline=True, executor="ray")
    for _ in tune(load_study_file("quickstart", CHANGES), settings):
        pass
    assert hashes(tmp_path) == inline
    assert not ray.is_initialized()


def test_a_fold_whose_actor_finds_no_place_is_trained_by_one_that_has_it(
    inline: list[dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after the loss of a node: two folds were begun, and there is room for one."""
    ray.init("local", num_cpus=1, include_dashboard=False, _node_ip_address="127.0.0.1", log_to_driver=False)
    study = load_study_file("quickstart", CHANGES)
    record, workplace = prepare(study, Store(tmp_path), study.name)
    make = make_tasks(
        study, data_hash=record.data["hash"], split_hash=record.split_hash, compute=record.compute
    )
    trial = TrialRecord(0, "running", {}, search_space.resolve(study, search_space.defaults(study)))
    tasks = [make(trial, fold) for fold in range(2)]
    with ray_executor.RayExecutor(workplace, workers=2) as executor:
        for task in tasks:
            executor.submit(task)
        finished = set[str]()
        while len(finished) < 2:
            key, report = executor.next()
            if isinstance(report, FoldRecord):
                finished.add(key)
    ray.shutdown()
    assert finished == {task.key() for task in tasks}


@pytest.mark.timeout(400)
def test_a_question_is_answered_by_a_node_with_what_a_fold_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The node where the command is typed trains nothing; another has a GPU, as far as Ray knows."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setattr("harness.folds.ray.NODE_SECONDS", 0.0)
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    nodes.add_node(num_cpus=1, num_gpus=1)
    nodes.wait_for_nodes()
    try:
        with ray_executor.RayCluster(ExecutorOptions(executor="ray", address=nodes.address)) as cluster:
            sees = [
                cluster.call({"device": device, "threads": 1}, os.getenv, "CUDA_VISIBLE_DEVICES")
                for device in ("auto", "cuda", "cpu")
            ]
            assert sees[:2] == ["0", "0"] != [sees[2], sees[2]]
            assert cluster.call({"device": "auto", "threads": 1}, os.getpid) != os.getpid()
            with pytest.raises(UsageError, match="--workers must be at least 1"):
                cluster.call({"device": "cpu", "threads": 1}, partial(ExecutorOptions, workers=0))
            with pytest.raises(HarnessError, match=r"what a fold takes \(CPU: 2, GPU: 1\)"):
                cluster.call({"device": "cuda", "threads": 2}, os.getpid)
        assert not ray.is_initialized()
    finally:
        ray.shutdown()
        nodes.shutdown()
