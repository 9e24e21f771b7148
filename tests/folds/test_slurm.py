"""Folds as jobs of a Slurm cluster: scripts play its commands, processes of this machine its jobs."""

import gc
import os
import signal
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from harness.data.images import Images
from harness.errors import DataError, HarnessError, StoreError, UsageError
from harness.folds.cluster import connect
from harness.folds.executor_options import ExecutorOptions
from harness.folds.fold import FoldTask
from harness.folds.processes import InlineExecutor
from harness.folds.worker import FoldFailure, Report, Workplace
from tests.campaigns.processes import descendants
from tests.folds.test_processes import hashes, images, workplace_of

submitit = pytest.importorskip("submitit")
slurm_executor = pytest.importorskip("harness.folds.slurm")
CPU: dict[str, Any] = {"device": "cpu", "threads": 2}
TASK = FoldTask({}, "data", "split", 2, 0, 0, {"device": "cpu"})
__all__ = ["images"]


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Slurm's commands, which write down what they are told."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, says in (("sbatch", "Submitted batch job 17"), ("srun", ""), ("sacct", ""), ("scancel", "")):
        (folder / name).write_text(
            f'#!/bin/sh\necho "$0 $@" >> {folder}/told\ncp "$1" {folder}/job.sh\necho {says}\n'
        )
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def assemble(home: Path, **options: Any) -> Any:
    cluster = connect(ExecutorOptions(executor="slurm", **options), home)
    return cluster.executor(Workplace(home / "i", home / "s", home), CPU, most_useful=6)


def test_a_job_asks_for_what_it_was_told_to(commands: Path, tmp_path: Path) -> None:
    home = tmp_path / "a störe's"
    options = ["partition=long", "time=240", "mem=8G", "comment=it is mine"]
    with assemble(home, slurm=options) as executor:
        assert executor.num_slots == 6
        executor.submit(TASK)
        script = (commands / "job.sh").read_text(encoding="utf-8")
    for line in (
        "--partition=long", "--time=240", "--mem=8G", "--comment='it is mine'", "--cpus-per-task=2",
        "--job-name=harness",
    ):  # fmt: skip
        assert f"#SBATCH {line}\n" in script
    assert "gpu" not in script.replace(str(home), "")
    assert "scancel 17" in (commands / "told").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], {"gpus-per-node": "1"}),
        (["gres=gpu:a100:1"], {"gres": "gpu:a100:1"}),
        (["gpus=1"], {"gpus": "1"}),
    ],
)
def test_a_gpu_is_asked_for_once(options: list[str], expected: dict[str, str]) -> None:
    found = slurm_executor.parameters(options, {"device": "cuda", "threads": 1})
    assert found["timeout_min"] == 120 and found["slurm_additional_parameters"] == {
        "job-name": "harness",
        **expected,
    }


@pytest.mark.parametrize("option", ["partition", "time=1:00:00", "time=", "mem="])
def test_an_option_that_cannot_be_is_refused(option: str) -> None:
    with pytest.raises(UsageError, match="--slurm must be KEY=VALUE, time in minutes"):
        slurm_executor.parameters([option], CPU)


def test_where_there_is_no_slurm_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="sbatch is not found; run it on a login node") as told:
        assemble(tmp_path)
    assert "\n" not in str(told.value)


def test_what_slurm_does_not_take_is_told_in_one_line(commands: Path, tmp_path: Path) -> None:
    (commands / "sbatch").write_text("#!/bin/sh\necho 'sbatch: error: invalid partition: lang' >&2\nexit 1\n")
    with assemble(tmp_path, slurm=["partition=lang"]) as executor:
        with pytest.raises(StoreError, match=r"Slurm takes no job: .*invalid partition: lang") as told:
            executor.submit(TASK)
        assert "\n" not in str(told.value)


@dataclass
class Jobs:
    """Stands for submitit: every job is done at once, and these are their outcomes."""

    outcomes: list[Report | Exception]
    submitted: list[Any] = field(default_factory=list)
    stderr: str = "log.err"

    def submit(self, job: Any) -> Any:
        self.submitted.append(job)
        return self

    def done(self) -> bool:
        return True

    def result(self) -> Report | HarnessError:
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, RuntimeError):
            raise outcome
        return outcome  # type: ignore[return-value]

    def cancel(self, check: bool) -> None:
        raise AssertionError("nothing is left to cancel")

    @property
    def paths(self) -> "Jobs":
        return self


def outcome_of(executor: Any, *outcomes: Report | Exception) -> tuple[Report, int]:
    jobs = executor._queue = Jobs(list(outcomes))
    with executor:
        executor.submit(TASK)
        key, report = executor.next()
    assert key == TASK.key() and not jobs.outcomes
    assert all(job == slurm_executor.FoldJob(TASK, executor.workplace) for job in jobs.submitted)
    return report, len(jobs.submitted)


def test_a_lost_job_is_submitted_again_three_times(commands: Path, tmp_path: Path) -> None:
    lost = RuntimeError("Job 17 has not produced any output\nand more")
    failed = FoldFailure("non-finite loss", "non-finite")
    assert outcome_of(assemble(tmp_path), lost, lost, lost, failed) == (failed, 4)
    report, submitted = outcome_of(assemble(tmp_path), lost, lost, lost, lost)
    assert isinstance(report, FoldFailure) and report.kind == "crash" and submitted == 4
    assert report.reason == "its job was lost too often; see log.err"


@pytest.mark.parametrize(("refuses", "asked"), [("", ["gpu"]), ("gpus-per-node", ["gpu", "none"])])
def test_where_the_device_is_not_named_slurm_is_asked_for_a_gpu_first(
    commands: Path, tmp_path: Path, refuses: str, asked: list[str]
) -> None:
    (commands / "sbatch").write_text(
        f'#!/bin/sh\ngrep -q gpus-per-node "$1" && gpu=gpu || gpu=none\necho $gpu >> {commands}/asked\n'
        f"if [ -n '{refuses}' ] && grep -q '{refuses}' \"$1\"; then echo 'not available' >&2; exit 1; fi\n"
        "echo Submitted batch job 17\n"
    )
    cluster = connect(ExecutorOptions(executor="slurm"), tmp_path / "home")
    job = cluster._asked({"device": "auto", "threads": 1}, os.getpid)  # type: ignore[attr-defined]
    assert job.job_id == "17" and (commands / "asked").read_text().split() == asked


@dataclass
class Answering(Jobs):
    """Stands for the job of a question. interrupted: Ctrl-C while it is waited for."""

    interrupted: bool = False
    cancelled: bool = False
    job_id: str = "17"

    def done(self) -> bool:
        if self.interrupted:
            raise KeyboardInterrupt
        return True

    def cancel(self, check: bool) -> None:
        self.cancelled = True


@pytest.mark.parametrize(
    ("job", "raised", "cancelled"),
    [
        (Answering([RuntimeError("gone")]), StoreError, False),
        (Answering([DataError("the images are gone")]), DataError, False),
        (Answering([], interrupted=True), KeyboardInterrupt, True),
    ],
)
def test_a_question_that_is_not_answered_is_an_error_and_leaves_no_job(
    commands: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    job: Answering,
    raised: type,
    cancelled: bool,
) -> None:
    monkeypatch.setattr(slurm_executor, "_submitted", lambda *_: job)
    cluster = connect(ExecutorOptions(executor="slurm"), tmp_path)
    with pytest.raises(raised):
        cluster.call({"device": "cpu", "threads": 1}, os.getpid)
    assert job.cancelled == cancelled


def test_an_error_of_the_study_reaches_the_driver(commands: Path, tmp_path: Path) -> None:
    job = slurm_executor.FoldJob(TASK, Workplace(tmp_path / "i", tmp_path / "s", tmp_path))
    error = job()
    assert type(error) is DataError
    with pytest.raises(DataError):
        outcome_of(assemble(tmp_path), error)


def test_a_job_whose_time_is_over_queues_itself_again(tmp_path: Path) -> None:
    job = slurm_executor.FoldJob(TASK, Workplace(tmp_path, tmp_path, tmp_path))
    assert job.checkpoint().function is job


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Jobs are processes of this machine, which submitit does not wait for: forgiven here, not in later tests."""
    real = slurm_executor.SlurmCluster
    monkeypatch.setattr(slurm_executor, "SlurmCluster", lambda *given: real(*given, queue="local"))
    monkeypatch.setattr(slurm_executor, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(submitit.core.core.Job, "_results_timeout_s", 1)
    yield
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        gc.collect()


def jobs() -> list[int]:
    """The processes that train: the youngest of each controller's."""
    said = {}
    for pid in descendants(os.getpid()):
        with suppress(OSError):  # it ended meanwhile
            said[pid] = Path(f"/proc/{pid}/cmdline").read_bytes()
    return [pid for pid, line in said.items() if b"submitit.core._submit" in line]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_jobs_of_which_one_is_killed_end_with_the_bits_of_one_process(
    local: None,
    images: Images,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    here, task = workplace_of(images, tmp_path / "here")
    there, _ = workplace_of(images, tmp_path / "a störe")
    values = {**task.values, "train.epochs": 30}  # long enough to be seen before it is over
    tasks = [replace(task, fold=fold, values=values) for fold in range(2)]
    with InlineExecutor(here) as executor:
        expected = hashes(executor, tasks)
    killed: list[int] = []
    sleep = time.sleep

    def kill_and_sleep(seconds: float) -> None:
        """Kill the first job as soon as its fold has a checkpoint."""
        if not killed and list(there.home.glob("folds/*.checkpoint")):
            killed.extend(jobs())
            os.kill(killed[0], signal.SIGKILL)
        sleep(seconds)

    monkeypatch.setattr(slurm_executor.time, "sleep", kill_and_sleep)
    cluster = connect(ExecutorOptions(executor="slurm", workers=1), there.home)
    with cluster.executor(there, CPU, most_useful=2) as executor:
        assert hashes(executor, tasks) == expected and len(expected) == 2
    assert len(killed) == 1 and caplog.text.count("its fold goes on from the last epoch") == 1
    assert not jobs()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_study_that_is_left_leaves_no_job(local: None, tmp_path: Path) -> None:
    deadline = time.monotonic() + 60
    with assemble(tmp_path) as executor:
        executor.submit(TASK)
        while not jobs():
            assert time.monotonic() < deadline
    while jobs():
        assert time.monotonic() < deadline
