"""Who is told what comes of a study: MLflow, nobody, or trackers of the user's own."""

import re
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import ClassVar

import pytest

from harness.cli import run
from harness.config import plugins
from harness.store.store import Store
from harness.tracking import deliver, trackers

PAGE = Path(__file__).parents[2] / "harness" / "docs" / "own_code.md"
COUNTING = """
import json

class Tracker:
    def __init__(self, home):
        self.path = home / "told.json"

    def deliver(self, study, *, final):
        told = {"final": final, "states": [trial.state for trial in study.trials]}
        self.path.write_text(json.dumps(told))
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trackers").mkdir()
    yield tmp_path
    plugins.forget()


def tune(study_file: Path, tracker: str, *, home: Path) -> int:
    words = ["tune", "--study", str(study_file), "--home", str(home), "--workers", "1", "--trials", "1"]
    return run([*words, "--set", f"tracker={tracker}"])


@pytest.mark.slow
def test_without_a_tracker_mlflow_is_not_even_imported(tmp_path, study_file):
    code = (
        "import sys; from harness.cli import run\n"
        f"code = run(['tune', '--study', {str(study_file)!r}, '--home', {str(tmp_path / 'home')!r}, '--workers', '1',"
        " '--trials', '1', '--set', 'tracker=none'])\n"
        "sys.exit(code or any(name.partition('.')[0] == 'mlflow' for name in sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert "harness report" in found.stderr and "harness ui" not in found.stderr
    assert not (tmp_path / "home" / "mlflow.db").exists() and (tmp_path / "home" / "optuna.db").exists()


@pytest.mark.slow
def test_a_study_without_a_tracker_is_shown_when_it_is_synced_by_name(tmp_path, study_file, capsys):
    home = tmp_path / "home"
    assert tune(study_file, "none", home=home) == 0
    assert run(["final", "small", "--home", str(home)]) == 0
    assert not (home / "mlflow.db").exists()
    assert run(["sync", "--home", str(home)]) == 0
    assert "its tracker is not MLflow; harness sync small" in capsys.readouterr().out
    assert not (home / "mlflow.db").exists()
    assert run(["sync", "small", "--home", str(home)]) == 0
    assert "MLflow shows all of it" in capsys.readouterr().out and (home / "mlflow.db").exists()


def test_a_tracker_of_the_user_s_own_is_told_what_there_is(project, study_file):
    (project / "trackers" / "counting.py").write_text(COUNTING)
    assert tune(study_file, "counting", home=project / "home") == 0
    assert (project / "home" / "told.json").read_text() == '{"final": true, "states": ["complete"]}'
    assert not (project / "home" / "mlflow.db").exists()


def test_what_a_tracker_raises_is_told_once_and_ends_nothing(project, study_file, caplog):
    (project / "trackers" / "broken.py").write_text(COUNTING.replace("told = {", "told = nobody = 1 / 0, {"))
    assert tune(study_file, "broken", home=project / "home") == 0
    assert caplog.text.count("tracker broken: trackers/broken.py:9: ZeroDivisionError") == 1
    assert [trial.state for trial in Store(project / "home").read_trials("small")] == ["complete"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("import nothing_such", "tracker odd: trackers/odd.py:1: ModuleNotFoundError"),
        ("class Tracker: pass", "tracker odd: trackers/odd.py:Tracker has no deliver(study, *, final)"),
        ("class Other: pass", "trackers/odd.py defines no Tracker"),
        (
            "class Tracker:\n    def __init__(self, home): raise OSError('no')",
            "trackers/odd.py:2: OSError: no",
        ),
        (None, "unknown tracker 'odd'; known: mlflow, none"),
    ],
)
def test_a_tracker_that_cannot_be_had_is_told_before_trial_0(project, study_file, capsys, content, said):
    if content:
        (project / "trackers" / "odd.py").write_text(content + "\n")
    assert tune(study_file, "odd", home=project / "home") == 2
    assert said in capsys.readouterr().err
    assert run(["check", str(study_file), "--set", "tracker=odd", "--home", str(project / "home")]) == 2
    assert said in capsys.readouterr().err
    assert Store(project / "home").studies() == []


def test_variables_that_name_an_experiment_are_told(caplog, monkeypatch):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "others")
    trackers.tell_what_is_not_followed(["counting"])
    assert not caplog.text
    trackers.tell_what_is_not_followed(["mlflow", "counting"])
    assert "MLFLOW_EXPERIMENT_NAME is not followed" in caplog.text
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    trackers.tell_what_is_not_followed(["mlflow"])
    assert "MLFLOW_EXPERIMENT_NAME and MLFLOW_RUN_ID are not followed" in caplog.text


class Mlflow:
    """Notes which epochs it was shown of folds that were being trained."""

    live: ClassVar[dict[tuple[int, int], list[int]]] = {}

    def __init__(self, uri, *, home):
        pass

    def deliver(self, study, *, final, live, importances, findings):
        for place, curve in live.items():
            assert place[1] >= len(study.trials[place[0]].folds)
            self.live[place] = [epoch.epoch for epoch in curve.epochs]

    def run_ids(self):
        return None, {}

    def watch_system(self):
        return None


def test_epochs_are_told_while_their_fold_is_trained(tmp_path, study_file, monkeypatch):
    monkeypatch.setattr(deliver, "MlflowTracker", Mlflow)
    monkeypatch.setattr(deliver, "close_abandoned", lambda store, tracking_uri: None)
    monkeypatch.setattr(deliver, "LIVE_SECONDS", 0.0)
    words = ["tune", "--study", str(study_file), "--home", str(tmp_path), "--workers", "1", "--trials", "1"]
    assert run([*words, "--set", "train.epochs=20"]) == 0
    assert Mlflow.live and (0, 0) not in Mlflow.live  # a study begins with its first fold
    for epochs in Mlflow.live.values():
        assert epochs == list(range(1, len(epochs) + 1))


def test_a_slow_server_is_told_of_and_no_training_waits_for_it(tmp_path, study_file, monkeypatch, caplog):
    class Slow(Mlflow):
        def deliver(self, study, *, final, live, importances, findings):
            time.sleep(0.4 if final else 0.0)

    monkeypatch.setattr(deliver, "MlflowTracker", Slow)
    monkeypatch.setattr(deliver, "close_abandoned", lambda store, tracking_uri: None)
    monkeypatch.setattr(deliver, "TOLD_SECONDS", 0.1)
    words = ["tune", "--study", str(study_file), "--home", str(tmp_path), "--workers", "1", "--trials", "1"]
    assert run(words) == 0
    command = f"harness sync small --home {tmp_path}"
    assert f"MLflow is still taking it (Ctrl-C leaves it to {command})" in caplog.text


@pytest.mark.slow
def test_the_use_of_the_machine_is_recorded_where_mlflow_is_told_to(tmp_path, study_file, monkeypatch):
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "true")
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.2")
    home = tmp_path / "home"
    close = deliver.Recorder.close

    def told() -> list[tuple[str, int]]:
        with closing(sqlite3.connect(home / "mlflow.db")) as database, suppress(sqlite3.OperationalError):
            return database.execute(
                "select r.name, max(m.step) from metrics m join runs r using (run_uuid)"
                " where m.key = 'system/cpu_utilization_percentage' group by r.name"
            ).fetchall()
        return []  # its tables are still being made

    def close_after_two_samples(recorder, **how):
        deadline = time.monotonic() + 60  # a short study may end before its database is made
        while time.monotonic() < deadline and not any(step >= 1 for _, step in told()):
            time.sleep(0.1)
        close(recorder, **how)

    monkeypatch.setattr(deliver.Recorder, "close", close_after_two_samples)
    assert run(["tune", "--study", str(study_file), "--home", str(home), "--workers", "1"]) == 0
    rows = told()
    with closing(sqlite3.connect(home / "mlflow.db")) as database:
        (state,) = database.execute("select status from runs where name = 'small'").fetchone()
    assert [name for name, _ in rows] == ["small"] and rows[0][1] >= 1 and state == "FINISHED"


@pytest.mark.slow
def test_tensorboard_is_told_as_the_page_has_it(project, study_file):
    code = re.search(r"```python\n(# trackers/tensorboard.py.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    (project / "trackers" / "tensorboard.py").write_text(code[1])
    assert tune(study_file, "[mlflow, tensorboard]", home=project / "home") == 0
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (trial,) = Store(project / "home").read_trials("small")
    for number, score in enumerate(trial.scores):
        events = EventAccumulator(
            str(project / "home" / "tensorboard" / "small" / f"trial 0 fold {number}")
        ).Reload()
        assert [event.value for event in events.Scalars("fold/accuracy")] == [pytest.approx(score)]
    assert (project / "home" / "mlflow.db").exists()
