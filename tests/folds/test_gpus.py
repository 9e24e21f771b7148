"""Workers and GPUs: who sees which, by arithmetic and in real worker processes, without any GPU."""

import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UsageError
from harness.folds import cluster, worker
from harness.folds.cluster import LocalCluster
from harness.folds.executor import Executor
from harness.folds.executor_options import ExecutorOptions
from harness.folds.gpus import alike, gpu_of, num_places
from harness.folds.processes import InlineExecutor, ProcessExecutor, worker_context
from harness.folds.worker import FoldFailure, Workplace, work

UUIDS = ("GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", "GPU-0fa4cd2e-1d4a-4a4c-9d2f-9b0c1f7a3d11")
HERE = Workplace(Path("images"), Path("split"), Path("home"))
CUDA = {"device": "cuda", "threads": 1}


@pytest.mark.parametrize(
    ("visible", "models", "expected"),
    [
        (None, [], ()),
        ("", [], ()),
        (None, ["H100"] * 3, ("0", "1", "2")),
        ("2,0", ["H100"] * 2, ("2", "0")),
        (" 2, 0 ", ["H100"] * 2, ("2", "0")),
        (",".join(UUIDS), ["H100"] * 2, UUIDS),
        ("1,-1,0", ["H100"], ("1",)),  # CUDA hides what comes after a name that it does not know
        ("0,1,7", ["H100"] * 2, ("0", "1")),
        ("MIG-a,MIG-b", ["H100 MIG 1g"], ("MIG-a", "MIG-b")),  # a process finds only the first of them
        (None, ["A", "A", "B", "A"], ("0", "1", "3")),  # the bits of B would be others
        ("3,1", ["B", "A"], ("3",)),
    ],
)
def test_gpus_are_named_as_they_were_and_are_of_one_model(
    visible: str | None, models: list[str], expected: tuple[str, ...]
) -> None:
    assert alike(visible, models) == expected


def test_workers_take_gpus_in_turn() -> None:
    assert [gpu_of(number, UUIDS) for number in range(5)] == [*UUIDS, *UUIDS, UUIDS[0]]
    assert gpu_of(3, ()) is None


@pytest.mark.parametrize(
    ("num_gpus", "share", "expected"),
    [(0, 0.0, 0), (1, 0.0, 1), (4, 0.0, 4), (4, 1.0, 4), (2, 0.5, 4), (2, 0.3, 6), (1, 0.1, 10), (3, 0.7, 3)],
)
def test_a_share_of_a_gpu_says_how_many_workers_there_is_room_for(
    num_gpus: int, share: float, expected: int
) -> None:
    assert num_places(num_gpus, share) == expected


def executor_of(compute: dict[str, Any], *, most_useful: int = 20, **options: Any) -> Executor:
    here = LocalCluster(ExecutorOptions(**options))
    return here.executor(HERE, compute, most_useful=most_useful)


@pytest.mark.parametrize("share", [2.0, -1.0, float("nan")])
def test_a_share_that_cannot_be_is_refused(share: float) -> None:
    with pytest.raises(UsageError, match="--gpus must be from 0 to 1"):
        ExecutorOptions(gpus=share)


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        ({"address": "head:6379"}, "--address is for --executor ray: add that"),
        ({"address": "head:6379", "executor": "slurm"}, "--address is for --executor ray: add that"),
        ({"slurm": ["partition=gpu"]}, "--slurm is for --executor slurm: add that"),
        ({"slurm": ["partition=gpu"], "executor": "ray"}, "--slurm is for --executor slurm: add that"),
        ({"gpus": 0.5, "executor": "slurm"}, "--slurm gpus-per-node=1"),
        ({"workers": 0}, "--workers must be at least 1"),
    ],
)
def test_an_option_of_an_executor_that_is_not_chosen_is_refused(options: Any, advice: str) -> None:
    with pytest.raises(UsageError, match=advice) as told:
        ExecutorOptions(**options)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("found", "options", "expected"),
    [
        (("0", "1"), {}, (2, ("0", "1"))),
        (("0", "1"), {"gpus": 0.5}, (4, ("0", "1"))),
        (("0", "1"), {"gpus": 0.5, "workers": 3}, (3, ("0", "1"))),
        (("0", "1"), {"gpus": 0.25, "most_useful": 5}, (5, ("0", "1"))),
    ],
)
def test_workers_of_a_study_on_gpus(
    found: tuple[str, ...], options: dict[str, Any], expected: tuple[int, tuple[str, ...]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(cluster, "gpus_here", lambda: found)
    made = executor_of(CUDA, **options)
    assert isinstance(made, ProcessExecutor)
    assert (made.num_slots, made.gpus) == expected


@pytest.mark.parametrize(("found", "workers"), [(("0",), None), ((), None), (("0", "1"), 1)])
def test_one_worker_is_this_process(
    found: tuple[str, ...], workers: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "gpus_here", lambda: found)
    monkeypatch.setattr(Workplace, "open", lambda self: (None, None, None))
    made = executor_of(CUDA, workers=workers)
    assert isinstance(made, InlineExecutor)


def test_a_study_on_the_processor_asks_nobody_for_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "gpus_here", lambda: 1 / 0)
    compute = {"device": "cpu", "threads": 1}
    made = executor_of(compute, workers=3)
    assert isinstance(made, ProcessExecutor) and made.gpus == ()
    with pytest.raises(UsageError, match=r"--gpus 0.5: the study computes on cpu.*leave --gpus out"):
        executor_of(compute, workers=3, gpus=0.5)


def test_parts_of_gpus_that_are_not_there_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "gpus_here", lambda: ())
    with pytest.raises(UsageError, match=r"--gpus 0.5: this machine has no GPU"):
        executor_of(CUDA, gpus=0.5)


@pytest.mark.parametrize(
    ("computes", "found", "expected"),
    [
        (CUDA, ("0", "1"), 2),
        (CUDA, (), 1),
        ({"device": "cpu", "threads": 4}, ("0", "1"), 3),
        ({"device": "cpu", "threads": 1}, ("0", "1"), 12),
        ({"device": "cpu", "threads": 16}, (), 1),
        ({"device": "mps", "threads": 1}, (), 1),
    ],
)
def test_a_machine_trains_as_many_folds_as_it_has_room_for(
    computes: dict[str, Any], found: tuple[str, ...], expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "gpus_here", lambda: found)
    monkeypatch.setattr(cluster, "num_processors", lambda: 12)
    monkeypatch.setattr(Workplace, "open", lambda self: (None, None, None))
    assert executor_of(computes).num_slots == expected
    assert executor_of(computes, workers=5).num_slots == 5
    assert executor_of(computes, most_useful=1).num_slots == 1


@dataclass(frozen=True)
class Asked:
    """Stands for a fold's task."""

    name: str

    def key(self) -> str:
        return self.name


def what_it_sees(task: Any, *_: Any, **__: Any) -> Iterator[Any]:
    """Stands for `run_fold`: what the process sees. Where the name is that of a file to be, it dies the first time."""
    if "/" in task.name and not Path(task.name).exists():
        Path(task.name).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    started = "torch" in sys.modules and sys.modules["torch"].cuda.is_initialized()
    yield FoldFailure(f"{os.environ.get('CUDA_VISIBLE_DEVICES')}, CUDA started: {started}")


def work_and_say(pipe: Any, workplace: Workplace, gpu: str | None) -> None:
    """Stands for `work`, in the child: the real one, with other folds to train."""
    Workplace.open = lambda self: (None, None, None)  # type: ignore[method-assign,assignment,return-value]
    worker.run_fold = what_it_sees
    work(pipe, workplace, gpu)


@pytest.mark.slow
@pytest.mark.skipif(worker_context().get_start_method() != "forkserver", reason="as on Linux")
def test_real_workers_see_their_gpu_and_who_replaces_one_sees_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("harness.folds.processes.work", work_and_say)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")  # what the driver itself sees
    names = ["first", str(tmp_path / "died"), "third"]
    with ProcessExecutor(HERE, 3, gpus=UUIDS) as executor:
        for name in names:
            executor.submit(Asked(name))  # type: ignore[arg-type]
        seen = dict(executor.next() for _ in names)
    assert Path(names[1]).exists()
    expected = dict(zip(names, [UUIDS[0], UUIDS[1], UUIDS[0]], strict=True))
    assert seen == {name: FoldFailure(f"{gpu}, CUDA started: False") for name, gpu in expected.items()}
