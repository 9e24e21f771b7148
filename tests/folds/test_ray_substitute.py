"""A fold that an actor of Ray could train only with halved batches is found again by who asked for it, without Ray."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.data.images import Images
from harness.errors import TrialError
from harness.folds import worker
from harness.folds.fold import FoldTask, halved
from harness.records import Epoch, FoldRecord
from harness.store.store import Store
from tests.folds.test_processes import images, workplace_of

__all__ = ["images"]

ray_executor = pytest.importorskip("harness.folds.ray")


class RayWithinThisProcess:
    """What of Ray the executor needs: an actor is an object, a reference what it refers to."""

    class exceptions:  # noqa: N801
        RayActorError = ObjectLostError = RayTaskError = type("Lost", (Exception,), {})

    @staticmethod
    def get(report: Any) -> Any:
        return report


def test_the_store_of_the_driver_knows_what_was_trained_in_place_of_the_fold(
    images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, task = workplace_of(images, tmp_path)
    real = worker.train_fold

    def short_of_memory(attempt: FoldTask, *arguments: Any, **options: Any) -> Iterator[Any]:
        if attempt.compute.get("micro_batches", 1) == 1:
            raise TrialError("not enough memory", "memory")
        return (yield from real(attempt, *arguments, **options))

    monkeypatch.setattr(worker, "train_fold", short_of_memory)
    monkeypatch.setattr(ray_executor, "ray", RayWithinThisProcess)
    content = here.split.read_bytes()
    shared = ray_executor.Shared(images.pixels, images.labels, images.classes, images.groups, content)
    actor = ray_executor.FoldWorker(shared)
    executor = object.__new__(ray_executor.RayExecutor)
    executor._store, executor._idle = Store(here.home), []
    running = ray_executor._Running(task, actor, actor.train(task, {}))
    executor._running = [running]
    report = executor._receive(running)
    while report is ray_executor.SIGN_OF_LIFE or isinstance(report, Epoch):
        report = executor._receive(running)
    assert isinstance(report, FoldRecord) and report.key == halved(task).key()
    assert Store(here.home).find_fold(task.key()) == report
