"""Executors with real training: equal bits wherever a fold runs, and workers that die are replaced."""

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing import spawn
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.data import load_training
from harness.data.folds import make_folds
from harness.data.images import Images
from harness.data.split import Manifest
from harness.errors import HarnessError, TrialError
from harness.folds import code, worker
from harness.folds.fold import FoldTask, halved
from harness.folds.processes import Executor, InlineExecutor, ProcessExecutor, without_main
from harness.folds.slurm import FoldJob
from harness.folds.worker import FoldFailure, Workplace
from harness.records import Epoch, FoldRecord
from harness.store.predictions import read_predictions
from harness.store.store import Store

VALUES = {"model.name": "resnet", "model.depth": 1, "model.width": 4, "train.epochs": 3, "train.lr": 0.1}
COMPUTE = {"device": "cpu", "precision": "fp32", "channels_last": True, "threads": 1}


@pytest.fixture(scope="module")
def images() -> Images:
    digits = load_training({"name": "digits", "test_fraction": 0.2})
    return digits.take(np.arange(300))


def workplace_of(images: Images, home: Path) -> tuple[Workplace, FoldTask]:
    store = Store(home)
    fold_of = make_folds(images.labels, num_folds=3, seed=0)
    split = Manifest.make(images, fold_of, np.arange(len(images)), num_folds=3, seed=0)
    split.save(home / "split.npz")
    task = FoldTask(
        VALUES, images.content_hash, split.hash, 3, 0, 0, dict(COMPUTE), code=code.identity("resnet")
    )
    return Workplace(store.keep_images(images), home / "split.npz", home), task


def train(
    executor: Executor, tasks: list[FoldTask]
) -> Iterator[tuple[str, Epoch | FoldRecord | FoldFailure]]:
    waiting, under_way = list(tasks), 0
    while waiting or under_way:
        while waiting and under_way < executor.num_slots:
            executor.submit(waiting.pop(0))
            under_way += 1
        key, report = executor.next()
        yield key, report
        under_way -= not isinstance(report, Epoch)


def hashes(executor: Executor, tasks: list[FoldTask]) -> dict[str, dict[str, str]]:
    return {key: report.hashes for key, report in train(executor, tasks) if isinstance(report, FoldRecord)}


@pytest.mark.slow
def test_folds_have_the_same_bits_inline_and_in_workers_even_if_one_is_killed(
    images: Images, tmp_path: Path
) -> None:
    here, task = workplace_of(images, tmp_path / "here")
    there, _ = workplace_of(images, tmp_path / "there")
    tasks = [replace(task, fold=fold) for fold in range(3)]
    with InlineExecutor(here) as inline:
        expected = hashes(inline, tasks)
    assert len(expected) == 3 and len({tuple(files.values()) for files in expected.values()}) == 3
    with ProcessExecutor(there, 2) as workers:
        killed, found = False, {}
        for key, report in train(workers, tasks):
            if isinstance(report, FoldRecord):
                found[key] = report.hashes
            elif not killed:
                os.kill(workers._workers[0].process.pid or 0, signal.SIGKILL)
                killed = True
    assert killed and found == expected


@pytest.mark.slow
def test_a_fold_whose_worker_dies_twice_fails_with_the_reason(images: Images, tmp_path: Path) -> None:
    there, task = workplace_of(images, tmp_path)
    with ProcessExecutor(there, 1) as workers:
        *_, (_, last) = train_killing(workers, task)
    assert isinstance(last, FoldFailure)
    assert "died twice (signal SIGKILL)" in last.reason


def train_killing(workers: ProcessExecutor, task: FoldTask) -> Iterator[tuple[str, object]]:
    """Kill the worker at its first sign of life, every time."""
    workers.submit(replace(task, values={**task.values, "train.epochs": 400}))
    while True:
        key, report = workers.next()
        yield key, report
        if isinstance(report, FoldFailure):
            return
        os.kill(workers._workers[0].process.pid or 0, signal.SIGKILL)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"train.lr": 1e30}, "non-finite loss at epoch 1"),
        ({"model.dropout": 7.0}, "dropout"),
    ],
)
def test_a_bad_trial_fails_with_its_reason_and_the_next_one_runs(
    images: Images, tmp_path: Path, change: dict[str, object], reason: str
) -> None:
    here, task = workplace_of(images, tmp_path)
    with InlineExecutor(here) as inline:
        bad = replace(task, values={**task.values, **change})  # type: ignore[arg-type]
        *_, (_, failure) = train(inline, [bad])
        *_, (_, record) = train(inline, [task])
    assert isinstance(failure, FoldFailure) and reason in failure.reason
    assert failure.kind == ("non-finite" if "train.lr" in change else "exception")
    assert failure.traceback.startswith("Traceback") and reason in failure.traceback
    assert isinstance(record, FoldRecord)


@pytest.mark.slow
def test_a_traceback_comes_from_a_worker_process_and_from_a_job_without_the_name_of_the_users_folder(
    images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, task = workplace_of(images, tmp_path)
    bad = replace(task, values={**task.values, "train.lr": 1e30})
    with ProcessExecutor(here, 1) as workers:
        *_, (_, failure) = train(workers, [bad])
    monkeypatch.setattr(Path, "home", lambda: Path(worker.__file__).parent)
    job = pickle.loads(pickle.dumps(FoldJob(bad, here)()))
    for report in (failure, job):
        assert isinstance(report, FoldFailure) and "loop.py" in report.traceback
        assert report.traceback.rstrip().endswith(report.reason)
    assert 'File "~/fold.py"' in job.traceback


def test_a_fold_without_enough_memory_is_trained_with_its_batches_in_two_parts(
    images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, task = workplace_of(images, tmp_path)
    real = worker.train_fold

    def short_of_memory(attempt: FoldTask, *arguments: Any, **options: Any) -> Any:
        if attempt.compute.get("micro_batches", 1) == 1:
            raise TrialError("not enough memory", "memory")
        return (yield from real(attempt, *arguments, **options))

    monkeypatch.setattr(worker, "train_fold", short_of_memory)
    with InlineExecutor(here) as inline:
        *_, (key, record) = train(inline, [task])
    assert isinstance(record, FoldRecord) and key == task.key() != record.key == halved(task).key()
    assert record.task["compute"]["micro_batches"] == 2 and record.fingerprint["micro_batches"] == "2"
    store = Store(here.home)
    assert store.read_fold(task.key()) is None and store.find_fold(task.key()) == record
    assert not list((here.home / "folds").glob("*.checkpoint"))


def test_who_goes_on_does_not_run_out_of_memory_once_more(
    images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, task = workplace_of(images, tmp_path)
    real, attempts = worker.train_fold, []

    def short_of_memory(attempt: FoldTask, *arguments: Any, **options: Any) -> Any:
        attempts.append(attempt.compute.get("micro_batches", 1))
        if attempts == [1]:
            raise TrialError("not enough memory", "memory")
        steps = real(attempt, *arguments, **options)
        yield next(steps)
        if len(attempts) == 2:
            raise HarnessError("stopped after an epoch")
        return (yield from steps)

    monkeypatch.setattr(worker, "train_fold", short_of_memory)
    with InlineExecutor(here) as inline, pytest.raises(HarnessError, match="stopped"):
        list(train(inline, [task]))
    assert Store(here.home).checkpoint(halved(task).key()).exists()
    with InlineExecutor(here) as inline:
        *_, (_, record) = train(inline, [task])
    assert isinstance(record, FoldRecord) and record.key == halved(task).key() and attempts == [1, 2, 2]
    with InlineExecutor(here) as inline:
        assert list(train(inline, [task])) == [(task.key(), record)] and attempts == [1, 2, 2]


def test_memory_that_does_not_even_suffice_for_parts_fails_the_trial(
    images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, task = workplace_of(images, tmp_path)
    attempts = []

    def short_of_memory(attempt: FoldTask, *_: Any, **__: Any) -> Any:
        attempts.append(attempt.compute.get("micro_batches", 1))
        raise TrialError("not enough memory", "memory")
        yield

    monkeypatch.setattr(worker, "train_fold", short_of_memory)
    with InlineExecutor(here) as inline:
        (_, failure), *more = train(inline, [task])
    assert failure == FoldFailure("not enough memory", "memory") and not more and attempts == [1, 2]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="stops a process to have it hang")
def test_a_worker_that_hangs_twice_fails_its_fold_and_the_next_fold_is_trained(
    images: Images, tmp_path: Path
) -> None:
    there, task = workplace_of(images, tmp_path)
    with ProcessExecutor(there, 1, patience=12.0) as workers:
        workers.submit(replace(task, values={**task.values, "train.epochs": 400}))
        stopped: set[int] = set()
        while True:
            _, report = workers.next()
            if not isinstance(report, Epoch):
                break
            pid = workers._workers[0].process.pid or 0
            if pid not in stopped:
                os.kill(pid, signal.SIGSTOP)
                stopped.add(pid)
        assert isinstance(report, FoldFailure) and report.kind == "hang" and len(stopped) == 2
        assert "hung twice (no step for 12 s" in report.reason
        *_, (_, record) = train(workers, [task])
    assert isinstance(record, FoldRecord)


def test_a_fold_given_up_in_the_middle_goes_on_to_the_same_bits(images: Images, tmp_path: Path) -> None:
    here, task = workplace_of(images, tmp_path / "here")
    there, _ = workplace_of(images, tmp_path / "there")
    with InlineExecutor(here) as inline:
        expected = hashes(inline, [task])
    with InlineExecutor(there) as inline:
        inline.submit(task)
        assert isinstance(inline.next()[1], Epoch)
    assert Store(there.home).checkpoint(task.key()).exists()
    with InlineExecutor(there) as inline:
        assert hashes(inline, [task]) == expected
    assert not Store(there.home).checkpoint(task.key()).exists()


def test_held_out_predictions_are_of_the_held_out_images(images: Images, tmp_path: Path) -> None:
    here, task = workplace_of(images, tmp_path)
    with InlineExecutor(here) as inline:
        *_, (_, record) = train(inline, [task])
    assert isinstance(record, FoldRecord)
    predictions = read_predictions(record)
    split = Manifest.load(here.split)
    assert (predictions["indices"] == split.held_out(0)).all()
    assert (predictions["labels"] == images.labels[split.held_out(0)]).all()
    np.testing.assert_allclose(predictions["probabilities"].sum(axis=1), 1, atol=1e-5)
    right = (predictions["probabilities"].argmax(axis=1) == predictions["labels"]).mean()
    assert record.metrics["accuracy"] == pytest.approx(right)
    assert sum(map(sum, record.confusion)) == len(predictions["labels"])


@pytest.mark.slow
def test_what_workers_train_with_is_imported_before_they_are_forked() -> None:
    says = "import sys, harness.folds.preload; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", says], capture_output=True, text=True, check=True)
    assert {"torch", "harness.training.loop", "harness.training.features"} <= set(ran.stdout.split())


def test_a_process_that_starts_does_not_run_the_script_again() -> None:
    main = sys.modules["__main__"]
    with without_main():
        told = spawn.get_preparation_data("harness-worker")
    assert sys.modules["__main__"] is main
    assert not any(name.startswith("init_main") for name in told)


@pytest.mark.slow
def test_a_script_without_a_main_guard_may_have_workers(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(
        "# Does it run?\ndata: {name: digits, test_fraction: 0.8}\nmodel: {name: resnet, depth: 1, width: 4}\n"
        "train: {epochs: 1, augment: none}\ncv: {folds: 2}\nsearch: {trials: 1, racing: none}\n"
    )
    script = tmp_path / "script.py"
    script.write_text("import harness\nprint('once')\nharness.tune('s.yaml', home='home', workers=2)\n")
    ran = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ran.stdout == "once\n" and "trial 0: complete" in ran.stderr and "lost" not in ran.stderr
