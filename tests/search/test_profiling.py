"""The profile of a run: it adds up, is a valid trace, and changes no bits."""

import json
from pathlib import Path

import pytest

from harness import profiler
from harness.config.study_file import load_study_file
from harness.search.profiling import Profile, tabulate
from harness.store.store import Store
from harness.tuning import Settings, StudyEnded, tune

CHANGES = [
    "search.trials=2", "train.epochs=2", "cv.folds=2", "model.depth=1", "model.blocks=1", "model.width=4",
    "search.racing=none", "data.test_fraction=0.8",
]  # fmt: skip


def run(home: Path, *, profile: bool, stop_after: str = "") -> StudyEnded | None:
    events = tune(
        load_study_file("quickstart", CHANGES), Settings(home, workers=1, offline=True, profile=profile)
    )
    for event in events:
        if isinstance(event, StudyEnded):
            return event
        if type(event).__name__ == stop_after:
            events.close()
    return None


@pytest.fixture(scope="module")
def profiled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Profile]:
    home = tmp_path_factory.mktemp("profiled")
    ended = run(home, profile=True)
    assert ended is not None and ended.profile is not None
    return home, ended.profile


@pytest.mark.slow
def test_the_phases_add_up_to_the_time_of_the_workers(profiled: tuple[Path, Profile]) -> None:
    _, table = profiled
    assert sum(row.share for row in table.phases) == pytest.approx(1)
    assert sum(row.seconds for row in table.phases) == pytest.approx(table.wall_seconds)
    seconds = {row.phase: row.seconds for row in table.phases}
    assert {"start-up", "data", "forward", "backward", "optimiser", "evaluation", "writing"} <= set(seconds)
    assert all(value > 0 for name, value in seconds.items() if name != "waiting")
    assert table.bookkeeping_seconds > 0


def test_the_trace_is_one_that_browsers_open(profiled: tuple[Path, Profile]) -> None:
    home, table = profiled
    document = json.loads(table.trace.read_text())
    complete = [event for event in document["traceEvents"] if event["ph"] == "X"]
    assert {"forward", "bookkeeping"} <= {event["name"] for event in complete}
    assert all(event["dur"] >= 0 and {"ts", "pid", "tid"} <= set(event) for event in complete)
    named = {
        (event["pid"], event["tid"]) for event in document["traceEvents"] if event["name"] == "thread_name"
    }
    assert {(event["pid"], event["tid"]) for event in complete} <= named
    assert not (home / "studies" / "quickstart" / "profile").exists()


@pytest.mark.slow
def test_timing_changes_no_bits(profiled: tuple[Path, Profile], tmp_path: Path) -> None:
    home, _ = profiled
    run(tmp_path, profile=False)
    stores = Store(home), Store(tmp_path)
    keys = [[key for trial in store.read_trials("quickstart") for key in trial.folds] for store in stores]
    assert keys[0] == keys[1]
    hashes = [
        [fold.hashes for key in keys[0] if (fold := store.read_fold(key))] for store in stores
    ]  # weights and predictions
    assert hashes[0] == hashes[1] and len(hashes[0]) == 4


@pytest.mark.slow
def test_a_run_that_is_stopped_leaves_its_profile(tmp_path: Path) -> None:
    run(tmp_path, profile=True, stop_after="FoldEnded")
    assert (tmp_path / "studies" / "quickstart" / "profile.json").exists()
    assert profiler.current() is None


def test_a_finished_study_has_nothing_to_profile(profiled: tuple[Path, Profile]) -> None:
    ended = run(profiled[0], profile=True)
    assert ended is not None and ended.profile is None


def test_a_phase_within_another_interrupts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([0.0, 2.0, 5.0, 6.0])
    monkeypatch.setattr(profiler, "monotonic", lambda: next(ticks))
    running = profiler.start(tmp_path)
    with profiler.phase("outer"), profiler.phase("inner"):
        pass
    monkeypatch.setattr(profiler, "monotonic", lambda: 7.0)
    profiler.stop()
    assert list(running.threads.values()) == [{"inner": 3.0, "outer": 3.0}]


def test_workers_that_wait_are_said_to_wait() -> None:
    """Two workers for ten seconds: one begins after a second, trains for four and waits."""
    worker = profiler.ProcessTimes(
        pid=2, until=6.0, threads={"MainThread": {"waiting": 1.0, "forward": 4.0}},
        events=[("MainThread", "waiting", 1.0, 1.0), ("MainThread", "forward", 2.0, 4.0)],
    )  # fmt: skip
    table = tabulate([worker], began=0.0, wall=10.0, num_workers=2)
    assert table is not None
    found = {row.phase: row.seconds for row in table.phases}
    assert found == {"start-up": 1.0, "forward": 4.0, "waiting": 5.0, "other": 10.0}


def test_without_a_profiler_phases_cost_nothing_and_say_nothing() -> None:
    assert profiler.phase("a") is profiler.phase("b")
    assert list(profiler.timed("data", [1, 2])) == [1, 2]
