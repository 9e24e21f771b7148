"""Publishes a study's final network: its model card, and its place in MLflow's model registry."""

from typing import Any

from harness.analysis.model_card import model_card
from harness.errors import RecordError
from harness.files import write_file
from harness.store.store import Store, started_study


def publish(store: Store, name: str, final: dict[str, Any]) -> str:
    """Write studies/NAME/model_card.md and register the network as the champion; its version in MLflow.

    final: the study's finding "final". Publishing again changes nothing.
    Raises StoreError if MLflow cannot be reached, RecordError if the network is gone.
    """
    from harness.store import trial_scores
    from harness.tracking import mlflow_registry
    from harness.tuning import Settings

    record = started_study(store, name)
    trial = store.read_trials(name)[final["trial"]]
    refit = store.read_fold(final["refit"])
    if refit is None:
        raise RecordError(f"{store.fold_folder(final['refit'])}: the final network is gone")
    card = model_card(record, trial, final, store.read_finding(name, "honest"))
    write_file(store.study_folder(name) / "model_card.md", card.encode())
    low, high = final["intervals"][final["objective"]]
    points = {f"test.{metric}": value for metric, value in final["scores"].items()}
    points |= {f"test.{final['objective']}.low": low, f"test.{final['objective']}.high": high}
    return mlflow_registry.register(
        Settings(store.home).tracking_uri,
        record,
        trial,
        refit,
        card=card,
        points=points,
        tags={"harness.looks": str(final["looks"]), "harness.audit": final["audit"]["verdict"]},
        temperature=trial_scores.temperature_of(
            [fold for key in trial.folds if (fold := store.read_fold(key))]
        ),
    )
