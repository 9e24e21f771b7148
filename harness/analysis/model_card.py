"""Publishes a study's final network: its model card, and its place in MLflow's model registry."""

import tempfile
from pathlib import Path

from harness.config.kinds import MLFLOW, STRATIFIED, is_table
from harness.errors import RecordError
from harness.files import write_file
from harness.folds.project import kept_sources
from harness.inference.program import write_program
from harness.records import StudyRecord, TrialRecord
from harness.search.selection_bias import known_score
from harness.store.findings import CorrectedScore, FinalTest
from harness.store.loaded_study import LoadedStudy
from harness.store.model_files import write_model
from harness.store.trial_scores import temperature_of
from harness.tracking.artifacts import final_writer
from harness.tracking.mlflow_model import PROGRAMS
from harness.tracking.mlflow_registry import known_problem, register
from harness.tracking.study_findings import final_points
from harness.tuning import Settings
from harness.version import __version__


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
    corrected, place = known_score(study), store.study_folder(study.name) / "model_card.md"
    write_file(place, model_card(record, trial, final, corrected).encode())  # also where MLflow is away
    if MLFLOW not in study.delivery.trackers:
        return ""
    uri = Settings(store.home).tracking_uri
    problem = known_problem(uri, record, refit)
    with tempfile.TemporaryDirectory(prefix="harness-") as temporary:
        folder = Path(temporary) / "model"
        if problem is None:
            temperature, sources = temperature_of(study, trial), kept_sources(store, record)
            write_model(folder / "data", record, trial, [refit], temperature=temperature, sources=sources)
            problem = write_program(folder / "data", folder / PROGRAMS, study=record.name, trial=trial.number)
        card = model_card(record, trial, final, corrected, problem=problem)
        write_file(place, card.encode())
        objectives = [record.objective, *(other.name for other in record.others)]
        return register(
            uri,
            record,
            trial,
            refit,
            home=store.home,
            folder=folder,
            problem=problem,
            card=card,
            files=final_writer(record, final, card),
            points=final_points(objectives, final),
            tags={"harness.looks": str(final.looks), "harness.audit": final.audit.verdict},
        )


def model_card(
    record: StudyRecord,
    trial: TrialRecord,
    final: FinalTest,
    corrected: CorrectedScore | None,
    *,
    problem: str | None = None,
) -> str:
    """Markdown.   problem: why the model in MLflow needs harness, or "" if it does not; None where it is not there.

    Source: the headings are those of Mitchell et al. 2019, Model cards for model reporting, arXiv 1810.03993.
    """
    metric = record.objective
    low, high = final.intervals[metric]
    confirmed = final.confirm.of(trial.number)
    duplicates = final.duplicates
    expected = final.confirm.champion
    of = f"networks of {expected.fold_images:,} images" if expected else "fold networks"
    scores = [
        (f"fold score: tuned, {of}", f"{_scored(trial.mean, trial.half_width)}"),
        (
            f"confirmed with fresh seeds and folds: {of}",
            f"{_scored(confirmed.confirmed, confirmed.confirmed_half_width)}",
        ),
        *(
            [
                (
                    f"expected of this network, trained on all {expected.train_images:,}, before the test",
                    f"{expected.expected:.4f} (95 % {expected.low:.4f} to {expected.high:.4f})",
                )
            ]
            if expected
            else []
        ),
        (
            "**test images, opened for this**",
            f"**{final.scores[metric]:.4f}** (95 % {low:.4f} to {high:.4f})",
        ),
    ]
    if corrected and corrected.trial == trial.number:
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
    looks = f"Looks at these test images so far, by any study: **{final.looks}**."
    looks += f" Reason for this one: {final.reason}." if final.reason else ""
    if final.seen_before:
        looks += f" Seen before by a study that it extends: {final.seen_before:,}."
    parts = [
        f"# {record.name}, trial {trial.number}",
        f"**{final.contradiction}**" if final.contradiction else "",
        record.question.splitlines()[0] if record.question else "",
        f"## Evaluation\n\n{_table((metric, 'value'), scores)}",
        looks,
        f"Audit {final.audit.verdict}: {final.audit.sentence}{checked}",
        f"## Training data\n\n{_data(record)}",
        f"## Training\n\n{_training(record, trial)}",
        f"## Use\n\n{_use(record, problem)}",
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


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
    folds = record.validation
    if split != STRATIFIED:
        folds = f"{folds} by the {'table' if is_table(split) else 'split maker'} {split}"
    elif not record.is_hold_out and record.repeats == 1:
        folds = f"stratified {folds}"
    protocol = (
        f"Chosen among {record.num_trials} trials by {folds} (seed "
        f"{record.seed}, commit `{commit}`), then trained once more on all training images."
    )
    values = [(f"`{path}`", str(value)) for path, value in trial.values.items()]
    return f"{protocol}\n\n{_table(('option', 'value'), values)}"


def _use(record: StudyRecord, problem: str | None) -> str:
    name = f"models:/{record.name}@champion"
    loading = (
        f'`mlflow.pyfunc.load_model("{name}")` takes image files (bytes, base64, paths) or uint8 pixels (N, C, H, W), '
        "and gives a table of `label`, `confidence` and the calibrated probability of each class. "
    )
    if problem is None:
        loading = f"`harness predict {record.name} FILE` uses it."
    elif problem:
        loading += f"It needs `harness-cv=={__version__}`: {problem}."
    else:
        loading += (
            "It needs no harness, but mlflow, torch, numpy and pillow, and computes in fp32. "
            f'`mlflow.pytorch.load_model("{name}")` gives a torch module from uint8 pixels to probabilities.'
        )
    return (
        "For images like those it was tested on: of the same kind, size and classes. An image of no class gets one of "
        "them all the same. The interval says how much another sample of such images might differ; it does not cover "
        f"other cameras, places or times.\n\n{loading} `harness reproduce {record.name}` trains the trial again."
    )


def _table(head: tuple[str, str], rows: list[tuple[str, str]]) -> str:
    cells = [head, ("---", "---"), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells)
