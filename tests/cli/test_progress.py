"""How far a command is, and how long the rest takes: with a clock of the test's own."""

import io
import json
import re
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from harness.cli import predictions, run
from harness.cli.live import StudyProgress
from harness.cli.progress import BARS, Progress, Running, TimeLeft, follow, sparkline
from harness.folds.train_folds import Training
from harness.records import Epoch, TrialRecord
from harness.search.driver import EpochEnded, FoldBegan, FoldEnded, TrialBegan, TrialEnded
from harness.store.store import Store
from harness.tuning import StudyBegan
from tests.terminal import run_in_terminal


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def epoch(number: int, seconds: float = 1.0) -> Epoch:
    return Epoch(number, 1 / number, 0.5, 1.5 / number, 0.9, 0.1, 1000.0, seconds)


def seen(progress: Progress, *, width: int = 80, height: int = 24) -> list[str]:
    out = Console(width=width, height=height, file=io.StringIO(), highlight=False)
    out.print(progress)
    return out.file.getvalue().splitlines()  # type: ignore[attr-defined]


def test_time_left_is_the_rest_at_the_speed_so_far() -> None:
    clock = Clock()
    left = TimeLeft(clock)
    assert left.seconds is None
    clock.now = 100.0  # of which ten were the first part's
    left.update(1, 9, took=10.0)
    assert left.seconds == pytest.approx(90)
    clock.now = 105.0  # nothing has come since
    assert left.seconds == pytest.approx(85)
    clock.now = 130.0
    left.update(4, 6)
    assert left.seconds == pytest.approx(60)
    clock.now = 1000.0
    assert left.seconds == 0


def test_time_left_is_known_from_the_first_epoch_on() -> None:
    clock = Clock()
    progress = Progress("x", clock=clock)
    progress.left = 5.0
    progress.running[0] = Running("fold 0", 10)
    assert progress.standing() == "0 of 5 folds"
    clock.now = 30.0  # most of which something else has taken
    progress.epoch_ended(0, epoch(1, seconds=2.0))
    assert progress.standing() == "0 of 5 folds, about 98 s left"
    progress.has_steps = True  # what comes after this one, nobody knows
    assert progress.standing() == "0 of 5 folds, about 98 s left of this step"


@pytest.fixture
def study(tuned: Store) -> tuple[StudyProgress, list[TrialRecord], Clock]:
    """A raced study of eight trials of five folds, that has begun."""
    record = tuned.read_study("small")
    definition = record.definition | {
        "search": record.definition["search"] | {"racing": "paired"},
        "cv": record.definition["cv"] | {"folds": 5},
    }
    record = replace(record, num_trials=8, num_folds=5, definition=definition, objective="macro_f1")
    (old, *_) = tuned.read_trials("small")
    values = old.values | {"train.epochs": 10}
    trials = [TrialRecord(number, "running", {"train.lr": 0.1 * number}, values) for number in range(8)]
    clock = Clock()
    following = StudyProgress("small")
    following.progress._clock = following.progress.time_left._clock = clock
    assert following.take(StudyBegan(record, 2, ())) == "small: 8 trials × 5 folds, 2 workers"
    return following, trials, clock


def train(
    following: StudyProgress, trial: TrialRecord, folds: int, clock: Clock, fold_record: object
) -> Iterator[str]:
    """The lines of a trial that gets so many folds, each of which takes ten seconds."""
    yield following.take(TrialBegan(trial))
    for fold in range(folds):
        yield following.take(FoldBegan(trial.number, fold))
        for number in range(1, 11):
            clock.now += 1.0
            yield following.take(EpochEnded(trial.number, fold, epoch(number)))
        yield following.take(FoldEnded(trial.number, fold, 0.9, fold_record))  # type: ignore[arg-type]
    ended = replace(trial, state="complete" if folds == 5 else "stopped", folds=("k",) * folds, mean=0.9)
    yield following.take(TrialEnded(ended, ended))


def test_time_left_of_a_study_learns_how_many_folds_a_raced_trial_gets(
    study: tuple[StudyProgress, list[TrialRecord], Clock], tuned: Store
) -> None:
    following, trials, clock = study
    fold = tuned.read_fold_record(tuned.read_trials("small")[0].folds[0])
    lines = list(train(following, trials[0], 5, clock, fold))
    before = following.progress.left
    assert "5 of about 23 folds, about 2.9 min left" in lines[-2]  # half of 7 × 5, of 10 s each
    for trial in trials[1:5]:
        lines += train(following, trial, 1, clock, fold)
    assert before == pytest.approx(17.5)
    assert following.progress.left == pytest.approx(
        3 * (4 * 1 + 2 * 2.5) / 6
    )  # the trials' and the prior's mean
    assert following.progress.standing() == "9 of about 14 folds, about 45 s left"
    assert lines[-1] == "trial 4 stopped  0.9000  best so far: 0.9000 (trial 4)"


def test_a_trial_that_will_be_stopped_is_not_waited_for(
    study: tuple[StudyProgress, list[TrialRecord], Clock], tuned: Store
) -> None:
    following, trials, clock = study
    fold = tuned.read_fold_record(tuned.read_trials("small")[0].folds[0])
    assert fold is not None
    list(train(following, trials[0], 5, clock, fold))
    following.take(TrialBegan(trials[1]))
    left = following.progress.left
    for in_the_race, expected in ((True, left - 0.5), (False, 6 * (1 + 2 * 2.5) / 3), (True, left - 0.5)):
        following.take(FoldBegan(1, 0))
        following.take(FoldEnded(1, 0, 0.5, fold, in_the_race))
        following._folds[1] = 1
        following._estimate()
        assert following.progress.left == pytest.approx(expected)


def test_the_panel_shows_what_is_trained_at_every_width(
    study: tuple[StudyProgress, list[TrialRecord], Clock],
) -> None:
    following, trials, clock = study
    for trial in trials[:3]:
        following.take(TrialBegan(trial))
        following.take(FoldBegan(trial.number, 0))
        clock.now += 1.0
        following.take(EpochEnded(trial.number, 0, epoch(4)))
    for width in (40, 80, 120, 200):
        lines = seen(following.progress, width=width)
        text = "\n".join(lines)
        assert max(map(len, lines)) <= width and len(lines) <= 24
        assert "0 of 8 trials" in text and "left" in text
        assert "macro_f1 so far" in text and "accuracy" not in text
        for trial in trials[:3]:
            assert re.search(rf"^trial {trial.number} fold 0 +4/10", text, re.MULTILINE)
            assert f"lr={0.1 * trial.number:.4g}" in text
        assert text.count("0.250") >= 3 and text.count("0.3750") >= 3


def test_the_panel_is_never_higher_than_the_terminal() -> None:
    progress = Progress("x", objective="accuracy")
    for number in range(40):
        progress.running[number] = Running(f"trial {number} fold 0", 10, f"lr={number}")
    lines = seen(progress, height=20)
    assert len(lines) <= 20 and any(re.fullmatch(r"… and \d+ folds more", line) for line in lines)


def test_a_study_that_waits_for_mlflow_says_so_at_its_end_and_not_before(
    study: tuple[StudyProgress, list[TrialRecord], Clock], tuned: Store
) -> None:
    following, trials, clock = study
    assert following.progress.stage == "starting 2 workers"
    fold = tuned.read_fold_record(tuned.read_trials("small")[0].folds[0])
    for trial in trials:
        for _ in train(following, trial, 1 if trial.number else 5, clock, fold):
            assert "MLflow" not in following.progress.stage or trial.number == 7
    assert "MLflow" in following.progress.stage


def steps() -> Iterator[str | Training | int]:
    yield "probe: noise"
    yield Training("its fold", epoch(1), 2, 0, 1)
    yield Training("its fold", epoch(2), 2, 0, 1)
    yield Training("its fold", None, 2, 1, 1, "accuracy 0.1000")
    yield "looking at names"
    yield 7


def test_a_piped_command_says_every_step_and_fold_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert follow(steps(), "audit x") == 7
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "probe: noise",
        "its fold  accuracy 0.1000  1 of 1 fold",
        "looking at names",
    ]


def test_a_curve_is_drawn_between_its_ends() -> None:
    assert sparkline([0.0, 1.0, float("nan"), 0.5]) == BARS[0] + BARS[-1] + BARS[4]
    assert sparkline([float("nan")]) == "" and len(sparkline([*map(float, range(50))])) == 8


@pytest.mark.slow
def test_a_terminal_sees_trial_fold_epoch_and_time_left_and_at_the_end_the_result(tmp_path: Path) -> None:
    path = tmp_path / "seen.yaml"
    path.write_text(
        "data: {name: digits, test_fraction: 0.8}\n"
        "model: {name: resnet, depth: 1, width: 4, dropout: {low: 0.0, high: 0.3}}\n"
        "train: {epochs: 6, batch_size: 16, lr: {low: 0.01, high: 0.1}, augment: none}\n"
        "cv: {folds: 2}\nsearch: {trials: 3, racing: none}\n"
    )
    screens: list[str] = []
    command = [
        sys.executable,
        "-m",
        "harness",
        "tune",
        "--study",
        str(path),
        "--home",
        str(tmp_path / "home"),
    ]
    code, lines = run_in_terminal(
        [*command, "--workers", "1"], columns=80, look=lambda seen: screens.append("\n".join(seen))
    )
    assert code == 0
    text = "\n".join(lines)
    assert any(re.search(r"trial \d fold \d +[1-6]/6 +\d\.\d{3}", screen) for screen in screens)
    assert any(re.search(r"\d of 6 folds, about \d+ s left", screen) for screen in screens)
    assert not re.search(r"\bleft\b", text) and re.search(r"^trial +accuracy", text, re.MULTILINE)
    assert max(map(len, lines)) <= 80


def test_progress_leaves_the_document_alone(tuned: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["reproduce", "small", "--trial", "0", "--json", "--home", str(tuned.home)]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["verdict"] == "BITWISE"
    assert "trial 0 fold 1" in said.err and "2 of 2 folds" in said.err


@pytest.mark.slow
@pytest.mark.parametrize("rows", [12, 24, 60])
def test_the_result_fits_the_screen_as_far_as_it_can(rows: int, tuned: Store) -> None:
    program = (
        "import sys; from pathlib import Path; from harness.analysis import leaderboard; "
        "from harness.cli import tables; from harness.store.loaded_study import LoadedStudy; "
        "from harness.store.store import Store; from dataclasses import replace; home = Path(sys.argv[1]); "
        "status = leaderboard.status(LoadedStudy.open(Store(home), 'small')); "
        "more = [replace(status.trials[0], number=number) for number in range(2, 12)]; "
        "tables.leaderboard(replace(status, trials=(*status.trials, *more)), home, whole=False)"
    )
    short = {"HARNESS_HOME": str(tuned.home)}  # so that the commands that are advised need no --home
    command = [sys.executable, "-c", program, str(tuned.home)]
    code, lines = run_in_terminal(command, columns=80, rows=rows, environment=short)
    assert code == 0
    trials = sum(bool(re.match(r"\d+ (\*)? +0\.\d{4}", line)) for line in lines)
    assert trials == {12: 3, 24: 5, 60: 12}[rows]  # what is said below takes fourteen lines
    assert any("more (harness status small" in line for line in lines) == (trials < 12)
    assert rows == 12 or len(lines) < rows


def test_predictions_say_how_many_files_are_left(capsys: pytest.CaptureFixture[str]) -> None:
    counted = threading.Event()

    def count() -> int:
        counted.wait(10)
        return 10

    progress = predictions._Progress(count)
    progress.count(2, 1)
    assert progress._line().startswith("2 predicted, 1 unreadable") and "left" not in progress._line()
    counted.set()
    for thread in threading.enumerate():
        if thread.daemon and thread is not threading.current_thread() and "_ask" in thread.name:
            thread.join(10)
    progress.count(4, 1)
    assert re.match(r"4 of 10 predicted, 1 unreadable  [\d,]+ images/s  about \d+ s left$", progress._line())
    assert capsys.readouterr().err == ""
