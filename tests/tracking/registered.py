"""A study in MLflow with a registered network, made up: for tests of what becomes of it."""

from pathlib import Path
from typing import Any

from harness.records import FoldRecord
from harness.tracking.mlflow_registry import FORMAT, REFIT, _version
from harness.tracking.mlflow_tracker import MlflowTracker
from harness.tracking.views import final_tags
from tests.tracking.fake_study import FakeStudy


def registered(home: Path) -> tuple[FakeStudy, Any]:
    """A study in MLflow with a registered final network."""
    study = FakeStudy(home, num_folds=2, num_epochs=1)
    study.add_trial()
    tracker = MlflowTracker(f"sqlite:///{home / 'mlflow.db'}", home=home)
    tracker.deliver(study.loaded, final=True)
    client: Any = tracker._client
    refit: FoldRecord = next(iter(study.folds.values()))
    tags = final_tags(study.record) | {REFIT: refit.key}
    run = client.create_run(tracker._experiment_id, tags=tags).info.run_id
    tags = {REFIT: refit.key, FORMAT: "2"}
    model = client.create_logged_model(tracker._experiment_id, name="final", source_run_id=run, tags=tags)
    (home / "champion.txt").write_text("weights")
    client.log_model_artifact(model.model_id, str(home / "champion.txt"))
    client.finalize_logged_model(model.model_id, "READY")
    assert _version(client, study.record, refit, run, model, "a card") == "1"
    return study, client
