"""Publishes a study's final network: its model card, and its place in MLflow's model registry."""

from harness.config.kinds import MLFLOW, STRATIFIED
from harness.errors import RecordError
from harness.files import write_file
from harness.folds.project import kept_sources
from harness.records import StudyRecord, TrialRecord
from harness.search.selection_bias import known_score
from harness.store.findings import CorrectedScore, FinalTest
from harness.store.loaded_study import LoadedStudy
from harness.store.trial_scores import temperature_of
from harness.tracking.artifacts import final_writer
from harness.tracking.mlflow_registry import register
from harness.tracking.study_findings import final_points
from harness.tuning import Settings


def publish(study: LoadedStudy, final: FinalTest) -> str:
    """Write studies/NAME/model_card.md and register the network as the champion; its version in MLflow.

    "" where the study's trackers leave MLflow out.

    Publishing again changes nothing.
    Raises StoreError if MLflow cannot be reached, RecordError if the network is gone.
    """
    store, record, trial = study.store, study.record, study.trials[final.trial]
    refit = study.fold(final.refit)
    if refit is None:
        raise RecordError(f"{store.fold_folder(final.refit)}: the final network is gone")
    card = model_card(record, trial, final, known_score(study))
    write_file(store.study_folder(study.name) / "model_card.md", card.encode())
    if MLFLOW not in study.delivery.trackers:
        return ""
    objectives = [record.objective, *(other.name for other in record.others)]
    return register(
        Settings(store.home).tracking_uri,
        record,
        trial,
        refit,
        card=card,
        files=final_writer(record, final, card),
        points=final_points(objectives, final),
        tags={"harness.looks": str(final.looks), "harness.audit": final.audit.verdict},
        temperature=temperature_of(study, trial),
        sources=kept_sources(store, record),
    )


def model_card(
    record: StudyRecord, trial: TrialRecord, final: FinalTest, corrected: CorrectedScore | None
) -> str:
    """Markdown.

    Source: the headings are those of Mitchell et al. 2019, Model cards for model reporting, arXiv 1810.03993.
    """
    metric = record.objective
    low, high = final.intervals[metric]
    confirmed = final.confirm.of(trial.number)
    duplicates = final.duplicates
    scores = [
        ("tuned, mean over folds", f"{_scored(trial.mean, trial.standard_error)}"),
        (
            "confirmed with fresh seeds and folds",
            f"{_scored(confirmed.confirmed, confirmed.confirmed_standard_error)}",
        ),
        (
            "**test images, opened for this**",
            f"**{final.scores[metric]:.4f}** (95 % {low:.4f} to {high:.4f})",
        ),
    ]
    if corrected:
        interval = f"95 % {corrected.low:.4f} to {corrected.high:.4f}"
        scores.insert(
            1, ("corrected for the choice among all trials", f"{corrected.corrected:.4f} ({interval})")
        )
    if duplicates.score_without is not None and duplicates.num_images:
        scores.append(
            (
                f"the same without {duplicates.num_images:,} test images that resemble a training image",
                f"{duplicates.score_without:.4f}",
            )
        )
    checked = f" Accepted nevertheless: {final.checked}." if final.checked else ""
    return (
        "\n\n".join(
            [
                f"# {record.name}, trial {trial.number}",
                record.question.splitlines()[0] if record.question else "",
                f"## Evaluation\n\n{_table((metric, 'value'), scores)}",
                f"Looks at these test images so far, by any study: **{final.looks}**."
                + (f" Reason for this one: {final.reason}." if final.reason else "")
                + (
                    f" Seen before by a study that it extends: {seen:,}."
                    if (seen := final.seen_before)
                    else ""
                ),
                f"Audit {final.audit.verdict}: {final.audit.sentence}{checked}",
                f"## Training data\n\n{_data(record)}",
                f"## Training\n\n{_training(record, trial)}",
                f"## Use\n\n{_use(record)}",
            ]
        )
        + "\n"
    )


def _scored(mean: float | None, error: float | None) -> str:
    return f"{mean:.4f}" + (f" ± {error:.4f}" if error is not None else "")


def _data(record: StudyRecord) -> str:
    channels, height, width = record.data["image_shape"]
    classes = ", ".join(map(str, record.data["classes"]))
    return (
        f"{record.data['settings']['name']}: {record.data['num_images']:,} images of {height}×{width} pixels and "
        f"{channels} channel(s), SHA-256 `{record.data['hash'][:16]}`. Classes: {classes}."
    )


def _training(record: StudyRecord, trial: TrialRecord) -> str:
    commit = str(record.provenance.get("commit") or "")[:10] or "unknown"
    split = record.definition.get("cv", {}).get("split", STRATIFIED)
    folds = f"{record.num_folds}-fold cross-validation"
    folds = f"stratified {folds}" if split == STRATIFIED else f"{folds} by the split maker {split}"
    protocol = (
        f"Chosen among {record.num_trials} trials by {folds} (seed "
        f"{record.seed}, commit `{commit}`), then trained once more on all training images."
    )
    values = [(f"`{path}`", str(value)) for path, value in trial.values.items()]
    return f"{protocol}\n\n{_table(('option', 'value'), values)}"


def _use(record: StudyRecord) -> str:
    return (
        "For images like those it was tested on: of the same kind, size and classes. An image of no class gets one of "
        "them all the same. The interval says how much another sample of such images might differ; it does not cover "
        "other cameras, places or times.\n\n"
        f'`mlflow.pyfunc.load_model("models:/{record.name}@champion")` takes uint8 images (N, C, H, W) and gives '
        f"logits. `harness reproduce {record.name}` trains the trial again."
    )


def _table(head: tuple[str, str], rows: list[tuple[str, str]]) -> str:
    cells = [head, ("---", "---"), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells)
