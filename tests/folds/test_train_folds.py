"""The scheduler: slots are kept filled, what is asked for comes back with its label, and it can be left in between."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from harness.cli import run
from harness.errors import HarnessError, UsageError
from harness.folds.cluster import LocalCluster
from harness.folds.executor import Executor
from harness.folds.fold import FoldTask
from harness.folds.train_folds import Scheduler, train_tasks, workplace_of
from harness.folds.worker import FoldFailure, Report
from harness.records import Epoch, StudyRecord
from harness.store.store import Store
from tests.search.test_driver import TableExecutor

EPOCH = Epoch(1, 0.5, 0.5, 0.5, 0.5, 0.1, 1.0, 100.0)


def task_of(fold: int) -> FoldTask:
    return FoldTask({}, "data", "split", 9, fold, 0, {"device": "cpu", "threads": 1})


@dataclass
class SlowExecutor(Executor):
    """Each fold reports an epoch, then fails; the one that has been under way longest reports next."""

    num_slots: int
    under_way: list[tuple[str, list[Report]]] = field(default_factory=list)
    most: int = 0

    def submit(self, task: FoldTask) -> None:
        self.under_way.append((task.key(), [EPOCH, FoldFailure(f"fold {task.fold}")]))
        self.most = max(self.most, len(self.under_way))
        assert len(self.under_way) <= self.num_slots

    def next(self) -> tuple[str, Report]:
        key, reports = self.under_way.pop(0)
        report = reports.pop(0)
        if reports:
            self.under_way.append((key, reports))
        return key, report

    def close(self) -> None:
        self.under_way.clear()


@pytest.mark.parametrize("slots", [1, 2, 5])
def test_every_fold_begins_reports_and_ends_once_with_its_label(slots: int) -> None:
    executor = SlowExecutor(slots)
    coming: Iterator[tuple[str, FoldTask]] = iter([(f"label {fold}", task_of(fold)) for fold in range(4)])
    found: dict[str, list[Any]] = {}
    for label, task, report in Scheduler[str](executor).train(lambda: next(coming, None)):
        found.setdefault(label, []).append((task.fold, report))
    assert found == {
        f"label {fold}": [(fold, None), (fold, EPOCH), (fold, FoldFailure(f"fold {fold}"))]
        for fold in range(4)
    }
    assert executor.most == min(slots, 4)


def test_what_is_under_way_when_a_caller_leaves_is_reported_to_the_next() -> None:
    scheduler = Scheduler[int](SlowExecutor(2))
    first, second = iter([(fold, task_of(fold)) for fold in range(2)]), iter([(2, task_of(2))])
    for label, _, report in scheduler.train(lambda: next(first, None)):
        if isinstance(report, FoldFailure):
            assert label == 0
            break
    assert [label for label, _ in scheduler.under_way.values()] == [1]
    ended = [
        label
        for label, _, report in scheduler.train(lambda: next(second, None))
        if isinstance(report, FoldFailure)
    ]
    assert ended == [1, 2] and not scheduler.under_way


@dataclass(frozen=True)
class Table(LocalCluster):
    """This machine, where folds end with what a table says."""

    made: list[TableExecutor] = field(default_factory=list)
    score: Any = None

    def executor(self, workplace: Any, compute: Any, *, most_useful: int) -> Executor:
        self.made.append(TableExecutor(Store(workplace.home), self.score, min(2, most_useful)))
        return self.made[-1]


def test_what_is_known_comes_first_and_equal_tasks_are_trained_once(tuned: Store) -> None:
    record = tuned.read_study("small")
    assert record is not None
    workplace, cluster = workplace_of(tuned, record), Table(score=lambda task: 0.1 * task.fold)
    missing = [task_of(5), task_of(3)]
    known = tuned.read_fold(tuned.read_trials("small")[0].folds[0])
    assert known is not None
    tasks = {"a": missing[0], "b": missing[1], "same as a": missing[0], "known": FoldTask(**known.task)}
    labels = [label for label, _ in train_tasks(workplace, tasks, cluster=cluster)]
    assert labels[0] == "known" and sorted(labels) == ["a", "b", "known", "same as a"]
    assert sorted(task.fold for task in cluster.made[0].trained) == [3, 5]
    assert len(list(train_tasks(workplace, tasks, cluster=cluster))) == 4 and len(cluster.made) == 1


def test_a_fold_that_cannot_be_trained_is_an_error_with_its_reason(tuned: Store) -> None:
    record = tuned.read_study("small")
    assert record is not None
    cluster = Table(score=lambda task: "not enough memory")
    with pytest.raises(HarnessError, match="fold 7 cannot be trained: not enough memory"):
        list(train_tasks(workplace_of(tuned, record), {7: task_of(7)}, cluster=cluster))


def edited_since(store: Store) -> StudyRecord:
    """The study `small`, as if `build` of its model had been edited since it began."""
    record = store.read_study("small")
    assert record is not None
    begun = json.loads(json.dumps(record.provenance))
    begun["code"]["parts"]["model"] = "f00"
    begun["code"]["functions"]["harness/models/resnet.py"]["build"] = "f00"
    edited = replace(record, provenance=begun)
    store.write_study(edited)
    return edited


@pytest.mark.parametrize("command", ["confirm", "audit", "final"])
def test_a_study_whose_code_was_edited_is_refused_by_who_trains_for_it_and_the_edits_are_named(
    tuned: Store, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    edited_since(tuned)
    assert run([command, "small", "--home", str(tuned.home), "--workers", "1"]) == 2
    told = capsys.readouterr().err
    assert "harness/models/resnet.py: function build changed" in told
    assert "put it back, or tune it as a new study with --as NAME" in told


def test_reading_such_a_study_goes_on_and_another_store_takes_its_folds(
    tuned: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    record = edited_since(tuned)
    with pytest.raises(UsageError, match="function build changed"):
        workplace_of(tuned, record)
    assert workplace_of(tuned, record, home=tmp_path / "again").home == tmp_path / "again"
    for command in (["status"], ["report", "-o", "small.html"], ["bundle", "-o", "small.zip", "--images"]):
        assert run([*command[:1], "small", "--home", str(tuned.home), *command[1:]]) == 0
