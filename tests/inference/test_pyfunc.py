"""MLflow loads a delivered model of a trial in a fresh process, by its run and by its own id."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from harness.inference.model import load_trial_model
from harness.store.model_files import write_model
from harness.store.trial_scores import temperature_of
from harness.tracking.mlflow_tracker import MlflowTracker
from tests.tracking.fake_study import FakeStudy

PROGRAM = """
import json, sys
import numpy as np
import mlflow
uri, run_id, model_id, images, answers = json.loads(sys.argv[1])
mlflow.set_tracking_uri(uri)
names = (f"runs:/{run_id}/model", f"models:/{model_id}")
found = [mlflow.pyfunc.load_model(name).predict(np.load(images)).iloc[:, 2:] for name in names]
np.save(answers, np.stack(found))
"""


@pytest.mark.slow
def test_a_fresh_process_loads_the_model_and_gets_the_same_probabilities(tmp_path, empty_database):
    home = tmp_path / "mein Büro"
    home.mkdir()
    shutil.copy(empty_database, home / "mlflow.db")
    uri = f"sqlite:///{home / 'mlflow.db'}"
    study = FakeStudy(home, num_folds=2)
    trial = study.add_trial()
    tracker = MlflowTracker(uri, home=home)
    tracker.deliver(study.loaded, final=True)
    write_model(
        tmp_path / "model",
        study.record,
        trial,
        list(study.folds.values()),
        temperature=temperature_of(study.loaded, trial),
    )
    images = np.random.default_rng(0).integers(0, 256, (5, 1, 8, 8), dtype=np.uint8)
    np.save(tmp_path / "images.npy", images)
    run_id = tracker.run_ids()[1]["0"]
    (output,) = tracker._client.get_run(run_id).outputs.model_outputs
    arguments = [uri, run_id, output.model_id, str(tmp_path / "images.npy"), str(tmp_path / "answers.npy")]
    command = [sys.executable, "-c", PROGRAM, json.dumps(arguments)]
    subprocess.run(command, check=True, cwd=tmp_path, timeout=100, capture_output=True)
    expected = load_trial_model(tmp_path / "model").predict(images)
    for found in np.load(tmp_path / "answers.npy"):
        np.testing.assert_array_equal(found, expected)
