"""MLflow itself serves the champion that `final` registered, and answers with what harness computes."""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.analysis.final import final
from harness.analysis.model_card import publish
from harness.analysis.readiness import Request
from harness.data import test_set
from harness.inference.find_model import find_model
from harness.store.findings import FinalTest
from harness.store.loaded_study import LoadedStudy
from harness.store.store import Store
from harness.tracking.mlflow_tracker import MlflowTracker
from harness.version import __version__
from tests.made_up_findings import audit

START_SECONDS = 100.0  # about 20 s on two busy cores: the program and its server each import MLflow


def registered(kept: Store, empty_database: Path) -> str:
    """Where MLflow has the study `small` and its registered network."""
    (kept.home / "mlflow.db").write_bytes(empty_database.read_bytes())
    uri = f"sqlite:///{kept.home}/mlflow.db"
    best = max(kept.read_trials("small"), key=lambda trial: trial.mean or 0.0).number
    kept.write_finding("small", audit(trial=best))
    *_, found = final(LoadedStudy.open(kept, "small"), Request())
    assert isinstance(found, FinalTest)
    MlflowTracker(uri, home=kept.home).deliver(LoadedStudy.open(kept, "small").with_trials(()), final=True)
    publish(LoadedStudy.open(kept, "small"), found)
    test_set.opened = False
    return uri


@pytest.fixture
def champion(kept: Store, empty_database: Path) -> str:
    return registered(kept, empty_database)


@contextmanager
def served(uri: str, log: Path) -> Iterator[str]:
    """The address of a server of the champion; it ends with all of its processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/small@champion"]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])  # for uvicorn
    environment = {**os.environ, "MLFLOW_TRACKING_URI": uri, "PATH": path}
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
def test_mlflow_serves_the_champion_with_the_same_probabilities(
    champion: str, kept: Store, digits: np.ndarray, photos: Path, tmp_path: Path
) -> None:
    model = find_model(kept, "small", champion).model
    texts = [base64.b64encode(path.read_bytes()).decode() for path in sorted(photos.glob("*.png"))]
    with served(champion, tmp_path / "serve.log") as address:
        said = answer(address, {"inputs": digits.tolist()})
        of_files = answer(address, {"inputs": [{"image": text} for text in texts]})
        with pytest.raises(urllib.error.HTTPError) as refused:
            answer(address, {"inputs": [str(photos / "00.png")]})
    assert list(said) == ["predictions"]
    assert refused.value.code == 400 and "a served model takes no paths" in refused.value.read().decode()
    expected = model.predict(digits)
    names = [f"probability_{name}" for name in model.classes]
    found = np.array([[row[name] for name in names] for row in said["predictions"]])
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert [row["label"] for row in said["predictions"]] == [
        model.classes[best] for best in expected.argmax(1)
    ]
    again = np.array([[row[name] for name in names] for row in of_files["predictions"]])
    np.testing.assert_allclose(again, found[: len(texts)], atol=1e-6)  # a batch's size changes last bits


WITHOUT_HARNESS = """
import json, pathlib, sys


class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "harness":
            raise ModuleNotFoundError(f"No module named {name}")


sys.meta_path.insert(0, Absent())
import numpy as np
import mlflow, torch
uri, images, photos, answers = sys.argv[1:]
mlflow.set_tracking_uri(uri)
pixels = np.load(images)
model = mlflow.pyfunc.load_model("models:/small@champion")
network = mlflow.pytorch.load_model("models:/small@champion")
assert isinstance(network, torch.nn.Module) and model.metadata.metadata["needs_harness"] is False
names = sorted(pathlib.Path(photos).glob("*.png"))
tables = [model.predict(pixels), model.predict([name.read_bytes() for name in names]), model.predict(names)]
assert len(model.predict(model.input_example)) == 1
found = [table.iloc[:, 2:].to_numpy() for table in tables]
np.savez(answers, *found, network(torch.from_numpy(pixels)).numpy(), tables[0]["label"].to_numpy(dtype=str))
"""


@pytest.mark.slow
@pytest.mark.parametrize("pickle", ["true", "false"])
def test_the_champion_is_loaded_where_harness_is_not_installed(
    champion: str, kept: Store, digits: np.ndarray, photos: Path, tmp_path: Path, pickle: str
) -> None:
    """And where MLflow may not read pickle, of which there is none in it."""
    np.save(tmp_path / "images.npy", digits)
    arguments = [champion, tmp_path / "images.npy", photos, tmp_path / "answers.npz"]
    environment = {**os.environ, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": pickle}
    command = [sys.executable, "-c", WITHOUT_HARNESS, *map(str, arguments)]
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, timeout=100, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    model = find_model(kept, "models:/small@champion", champion).model
    expected = model.predict(digits)
    *probabilities, labels = np.load(tmp_path / "answers.npz").values()
    assert [len(found) for found in probabilities] == [12, 8, 8, 12]
    for found in probabilities:
        np.testing.assert_allclose(found, expected[: len(found)], atol=1e-6)
    assert labels.tolist() == [model.classes[best] for best in expected.argmax(1)]


@pytest.mark.slow
def test_the_champion_says_what_it_is(champion: str, kept: Store) -> None:
    import mlflow
    import yaml

    client = mlflow.MlflowClient(champion)
    experiment = client.get_experiment_by_name("small")
    (logged,) = client.search_logged_models([experiment.experiment_id], "name = 'final'")
    assert logged.model_type == "classifier" and logged.params["model.name"] == "resnet"
    folder = Path(urllib.request.url2pathname(logged.artifact_location.removeprefix("file://")))
    document = yaml.safe_load((folder / "MLmodel").read_text(encoding="utf-8"))
    assert sorted(document["flavors"]) == ["python_function", "pytorch"]
    about = document["metadata"]
    assert about["classes"] == [str(number) for number in range(10)] and about["image_shape"] == [1, 8, 8]
    assert about["preprocessing"]["mode"] == "L" and len(about["preprocessing"]["mean"]) == 1
    inputs, outputs = (json.loads(document["signature"][side]) for side in ("inputs", "outputs"))
    assert [column["name"] for column in inputs] == ["image"]
    assert [column["name"] for column in outputs][:3] == ["label", "confidence", "probability_0"]
    needed = (folder / "requirements.txt").read_text(encoding="utf-8").split()
    assert [line.partition("==")[0] for line in needed] == ["mlflow", "numpy", "pillow", "torch"]
    assert all("+" not in line and "==" in line for line in needed)
    conda = yaml.safe_load((folder / "conda.yaml").read_text(encoding="utf-8"))
    assert conda["dependencies"][-1]["pip"] == needed


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*type hint is inferred as AnyType")
def test_a_network_that_torch_cannot_export_is_loaded_by_harness(
    kept: Store, empty_database: Path, digits: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    def fails(model: object) -> None:
        raise NotImplementedError("data-dependent control flow")

    monkeypatch.setattr("harness.inference.export._program", fails)
    uri = registered(kept, empty_database)
    mlflow.set_tracking_uri(uri)
    version = mlflow.MlflowClient(uri).get_model_version_by_alias("small", "champion")
    why = "resnet cannot be exported to pt2: NotImplementedError: data-dependent control flow"
    assert f"It needs `harness-cv=={__version__}`: {why}." in version.description
    model = mlflow.pyfunc.load_model("models:/small@champion")
    assert sorted(model.metadata.flavors) == ["python_function"]
    table = model.predict(digits)
    expected = find_model(kept, "small", uri).model.predict(digits)
    np.testing.assert_array_equal(table.iloc[:, 2:].to_numpy(), expected)
    assert (kept.home / "studies" / "small" / "model_card.md").read_text("utf-8") == version.description
