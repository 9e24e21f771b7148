"""Publishes a study's final network: its model card, and its place in MLflow's model registry."""

from harness.analysis.model_card import model_card
from harness.errors import RecordError
from harness.files import write_file
from harness.search.selection_bias import known_score
from harness.store.findings import FinalTest
from harness.store.loaded_study import LoadedStudy
from harness.store.trial_scores import temperature_of


def publish(study: LoadedStudy, final: FinalTest) -> str:
    """Write studies/NAME/model_card.md and register the network as the champion; its version in MLflow.

    Publishing again changes nothing.
    Raises StoreError if MLflow cannot be reached, RecordError if the network is gone.
    """
    from harness.tracking import mlflow_registry
    from harness.tuning import Settings

    store, record, trial = study.store, study.record, study.trials[final.trial]
    refit = study.fold(final.refit)
    if refit is None:
        raise RecordError(f"{store.fold_folder(final.refit)}: the final network is gone")
    card = model_card(record, trial, final, known_score(study))
    write_file(store.study_folder(study.name) / "model_card.md", card.encode())
    low, high = final.intervals[final.objective]
    points = {f"test.{metric}": value for metric, value in final.scores.items()}
    points |= {f"test.{final.objective}.low": low, f"test.{final.objective}.high": high}
    return mlflow_registry.register(
        Settings(store.home).tracking_uri,
        record,
        trial,
        refit,
        card=card,
        points=points,
        tags={"harness.looks": str(final.looks), "harness.audit": final.audit.verdict},
        temperature=temperature_of(study, trial),
    )
