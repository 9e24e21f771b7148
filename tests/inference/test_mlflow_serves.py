"""MLflow itself serves the champion that `final` registered, and answers with what harness computes."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.analysis.final import Request, final
from harness.analysis.model_card import publish
from harness.data import test_set
from harness.inference.find_model import find_model
from harness.store.findings import FinalTest
from harness.store.loaded_study import LoadedStudy
from harness.store.store import Store
from harness.tracking.mlflow_tracker import MlflowTracker
from tests.made_up_findings import audit

START_SECONDS = 100.0  # about 20 s on two busy cores: the program and its server each import MLflow


@pytest.fixture
def champion(kept: Store, empty_database: Path) -> Iterator[str]:
    """Where MLflow has the study `small` and its registered network."""
    (kept.home / "mlflow.db").write_bytes(empty_database.read_bytes())
    uri = f"sqlite:///{kept.home}/mlflow.db"
    best = max(kept.read_trials("small"), key=lambda trial: trial.mean or 0.0).number
    kept.write_finding("small", audit(trial=best))
    *_, found = final(LoadedStudy.open(kept, "small"), Request())
    assert isinstance(found, FinalTest)
    MlflowTracker(uri, home=kept.home).deliver(LoadedStudy.open(kept, "small").with_trials(()), final=True)
    publish(LoadedStudy.open(kept, "small"), found)
    yield uri
    test_set.opened = False


@contextmanager
def served(uri: str, log: Path) -> Iterator[str]:
    """The address of a server of the champion; it ends with all of its processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/small@champion"]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": uri}
    with log.open("w") as said:
        process = subprocess.Popen(
            command, env=environment, cwd=log.parent, stdout=said, stderr=said, start_new_session=True
        )
    try:
        address = f"http://127.0.0.1:{port}"
        _wait(process, address, log)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)  # the program starts the server as a child
        process.wait(30)


def _wait(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            urllib.request.urlopen(f"{address}/ping", timeout=5).close()
            return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"no answer: {log.read_text()}")


def answer(address: str, document: Any) -> Any:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{address}/invocations", json.dumps(document).encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.skipif(os.name != "posix", reason="ends a group of processes")
def test_mlflow_serves_the_champion_with_the_same_logits(
    champion: str, kept: Store, digits: np.ndarray, tmp_path: Path
) -> None:
    model = find_model(kept, "small", champion).model
    with served(champion, tmp_path / "serve.log") as address:
        said = answer(address, {"inputs": digits.tolist()})
        one = answer(address, {"inputs": digits[:1].tolist()})
    assert list(said) == ["predictions"]
    logits = np.array(said["predictions"], dtype=np.float32)
    np.testing.assert_array_equal(logits, model.predict_logits(digits))
    np.testing.assert_array_equal(
        np.array(one["predictions"], dtype=np.float32), model.predict_logits(digits[:1])
    )
