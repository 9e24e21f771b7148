"""What the network that `final` trains on all images is expected to score, before any test image is opened."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from harness.data.split import LEFT_OUT, Manifest
from harness.errors import HarnessError
from harness.folds.cluster import THIS_PROCESS
from harness.folds.executor import Cluster
from harness.folds.tasks import fold_tasks
from harness.folds.train_folds import Step, Training, told, train_tasks, workplace_of
from harness.records import FoldRecord
from harness.scoring.bbc_cv import CorrectedBest, corrected_best
from harness.scoring.find_metric import find_metric
from harness.scoring.learning_curve import NORMAL, expected_score
from harness.seeds import seed_for
from harness.store.findings import ChampionEstimate, Confirmation
from harness.store.loaded_study import LoadedStudy
from harness.store.predictions import OutOfFold, gathered, read_predictions


def estimate(
    study: LoadedStudy, confirmation: Confirmation, *, cluster: Cluster = THIS_PROCESS
) -> Iterator[Step | ChampionEstimate | None]:
    """Train the confirmed winner's folds on half of their images: yields how far it is, then what is expected.

    Without test images, of as many as there are for training. Of repeated folds, those of the first repetition are
    trained. None where a network cannot be trained on so few images or a metric of the user's own has no value for
    them. What is trained is kept.
    """
    store, record = study.store, study.record
    winner = study.trials[confirmation.winner]
    folder = store.study_folder(study.name) / "confirm"
    workplace = workplace_of(store, record)
    split = Manifest.load(folder / "split0.npz")
    smaller = half_of(split.first, seed=seed_for(record.seed, "half"))
    smaller.save(folder / "half0.npz")
    half: dict[int, FoldRecord] = {}
    tasks = fold_tasks(record, winner, split_hash=smaller.hash, seed=_seed(study))
    tasks = {fold: task for fold, task in tasks.items() if fold < smaller.num_folds}
    try:
        yield f"trial {winner.number} on half of the images, for what more of them bring"
        trained = train_tasks(replace(workplace, split=folder / "half0.npz"), tasks, cluster=cluster)
        for step in told(trained, tasks, lambda fold: f"trial {winner.number} fold {fold}"):
            if isinstance(step, Training):
                yield step
                continue
            fold, report = step
            half[fold] = report
            store.drop_weights([report.key])
        yield _expected(study, confirmation, split, smaller, half)
    except HarnessError as error:
        yield f"what the network of all images will score cannot be estimated: {error}"
        yield None


def half_of(split: Manifest, *, seed: int) -> Manifest:
    """The split without half of the groups that each fold has of each class, the odd one stays.

    Of a hold-out, without half of the images that it holds out, and half of those that it does not.
    """
    random = np.random.default_rng(seed)
    groups, first = np.unique(split.groups, return_index=True)
    left_out = []
    for fold in np.unique(split.fold_of):
        for label in np.unique(split.labels):
            of_both = groups[(split.fold_of[first] == fold) & (split.labels[first] == label)]
            left_out.append(random.permutation(of_both)[(len(of_both) + 1) // 2 :])
    fold_of = np.where(np.isin(split.groups, np.concatenate(left_out)), LEFT_OUT, split.fold_of)
    return replace(split, fold_of=fold_of)


def _expected(
    study: LoadedStudy,
    confirmation: Confirmation,
    split: Manifest,
    smaller: Manifest,
    half: Mapping[int, FoldRecord],
) -> ChampionEstimate:
    record, metric = study.record, find_metric(study.record.objective)
    numbers = [trial.number for trial in confirmation.trials]
    predicted = {number: _confirmed_predictions(study, number, split) for number in numbers}
    winner = predicted[confirmation.winner]

    scored = winner.fold_of >= 0

    def best_of(trials: Sequence[OutOfFold]) -> CorrectedBest:
        return corrected_best(
            record.objective, winner.labels[scored], [found.probabilities[scored] for found in trials],
            eligible=[True] * len(trials), groups=split.groups[winner.images[scored]],
            fold_of=winner.fold_of[scored],
        )  # fmt: skip

    chosen, alone = best_of(list(predicted.values())), best_of([winner])
    first, num_folds = winner.first, smaller.num_folds
    smaller_parts = [read_predictions(half[fold]) for fold in range(num_folds)]
    in_folds, in_halves = (
        float(np.mean([len(one.train_indices(fold)) for fold in range(num_folds)]))
        for one in (split, smaller)
    )
    num_images = int(record.data["num_images"])
    test_images = int(record.data.get("test", {}).get("num_images", 0)) or num_images
    shape = (len(numbers), -1, num_folds)  # a repetition is a split
    found = expected_score(
        np.array([trial.scores for trial in confirmation.trials]).reshape(shape),
        numbers.index(confirmation.winner),
        tuned=np.array([study.trials[number].scores for number in numbers]).reshape(shape),
        whole=np.array(
            [
                metric(first.labels[part["indices"]], first.probabilities[part["indices"]])
                for part in smaller_parts
            ]
        ),
        half=np.array([metric(part["labels"], part["probabilities"]) for part in smaller_parts]),
        half_share=in_halves / in_folds,
        optimism=chosen.naive - chosen.corrected,
        image_error=(alone.high - alone.low) / (2 * NORMAL),
        num_images=len(np.unique(winner.images[scored])),
        fold_images=int(scored.sum()) / record.num_folds,
        test_images=test_images,
        parts=record.parts,
        limits=metric.limits,
        higher_is_better=metric.higher_is_better,
    )
    return ChampionEstimate(
        trial=confirmation.winner,
        higher_is_better=metric.higher_is_better,
        expected=found.score,
        low=found.low,
        high=found.high,
        confirmed=confirmation.of(confirmation.winner).confirmed,
        optimism=chosen.naive - chosen.corrected,
        gain=found.gain,
        fold_images=round(in_folds),
        train_images=num_images,
        test_images=test_images,
    )


def _confirmed_predictions(study: LoadedStudy, number: int, split: Manifest) -> OutOfFold:
    """Of a confirmed trial's networks on the first new split. Raises RecordError where some are gone."""
    tasks = fold_tasks(study.record, study.trials[number], split_hash=split.hash, seed=_seed(study))
    folds = [study.store.find_fold(task.key()) for task in tasks.values()]
    return gathered(study.record, [fold for fold in folds if fold])


def _seed(study: LoadedStudy) -> int:
    """Of the first new split's networks."""
    return seed_for(study.record.seed, "confirm", 0, 0)
