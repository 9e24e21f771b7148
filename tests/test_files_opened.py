"""Files that commands which show studies open: each record of the store at most once."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from harness.store.store import Store
from tests.analysis.made_up import Shape, made_up

TRIALS, FOLDS = 20, 5
COUNTING = """\
import json, os, sys
opened, home, said = [], os.path.join(sys.argv[1], ""), sys.argv[2]
def hook(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        path = os.path.abspath(os.fsdecode(arguments[0]))
        if path.startswith(home):
            opened.append(path[len(home):])
sys.addaudithook(hook)
from harness.cli import run
code = run(sys.argv[3:])
counted = list(opened)
open(said, "w").write(json.dumps(counted))
sys.exit(code)
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The studies `one` and `two`, each of 20 complete trials of 5 folds; nobody has corrected their scores yet."""
    store = Store(tmp_path_factory.mktemp("opened") / "home")
    for seed, name in enumerate(("one", "two")):
        made_up(store, name, Shape(TRIALS, FOLDS, 2, stopped=0.0, failed=0.0), seed=seed)
    return store.home


def opened(home: Path, folder: Path, *arguments: str) -> Counter[str]:
    """How often a command opens each file below the store, by its path there."""
    script, said = folder / "counting.py", folder / "opened.json"
    script.write_text(COUNTING, encoding="utf-8")
    command = [sys.executable, str(script), str(home), str(said), *arguments, "--home", str(home)]
    subprocess.run(
        command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "HARNESS_HOME": str(home)}
    )
    return Counter(json.loads(said.read_text(encoding="utf-8")))


def records(counted: Counter[str], kind: str) -> int:
    return sum(Path(path).name == kind for path in counted)


@pytest.mark.parametrize(
    ("arguments", "studies"),
    [
        (["status", "one"], 1),
        pytest.param(["report", "one", "-o"], 1, marks=pytest.mark.slow),
        (["report", "one", "two", "-o"], 2),
    ],
    ids=lambda value: " ".join(value[:-1]) if isinstance(value, list) else "",
)
def test_every_record_is_opened_at_most_once(
    home: Path, tmp_path: Path, arguments: list[str], studies: int
) -> None:
    place = [str(tmp_path / "page.html")] if arguments[-1] == "-o" else []
    counted = opened(home, tmp_path, *arguments, *place)
    again = [path for path, times in counted.items() if times > 1 and not path.startswith("data/")]
    assert again == []  # images are no records
    assert records(counted, "study.json") == studies
    assert sum("/trials/" in path for path in counted) == studies * TRIALS
    assert records(counted, "oof.npz") == studies * TRIALS * FOLDS  # to correct the best score
    assert records(counted, "result.json") == studies * TRIALS * FOLDS


@pytest.mark.slow
def test_a_report_that_mlflow_is_shown_too_opens_no_record_again(
    home: Path, tmp_path: Path, empty_database: Path
) -> None:
    """Nothing has been delivered yet, so every trial is shown and its predictions are drawn."""
    shutil.copy(empty_database, home / "mlflow.db")
    counted = opened(home, tmp_path, "report", "one")
    assert (home / "studies" / "one" / "mlflow.json").exists()
    read = {
        path: times for path, times in counted.items() if path.startswith(("folds/", "studies/one/trials"))
    }
    assert {path: times for path, times in read.items() if times > 1} == {}
    assert records(counted, "oof.npz") == records(counted, "result.json") == TRIALS * FOLDS
    assert counted["studies/one/study.json"] == counted["studies/one/split.npz"] == 1
