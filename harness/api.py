"""A study in Python: its records as pandas frames, its model, and the same engine that `harness tune` runs."""

import contextlib
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import documents, tuning
from harness.analysis.leaderboard import status
from harness.config.settings import expanded
from harness.config.study_file import load_study_file, parse_study_file
from harness.data.conversion import as_pixels
from harness.errors import HarnessError, UsageError
from harness.files import write_file
from harness.folds import code, project
from harness.folds.executor_options import ExecutorKind
from harness.folds.train_folds import images_of
from harness.from_python import as_document
from harness.records import FoldRecord, StudyRecord, TrialRecord, to_json
from harness.scoring import confusion_matrix
from harness.scoring.standard_errors import trial_mean
from harness.search.driver import TrialEnded
from harness.store.loaded_study import LoadedStudy
from harness.store.store import Store

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from torch import nn

    from harness.inference.find_model import Found

Progress = Callable[[object], None] | None


@dataclass(frozen=True, repr=False)
class StartedStudy:
    """A study that has begun, as its records are now: frames, model, report. Load it again to see what has come since.

    study: the records themselves.
    """

    study: LoadedStudy

    def __repr__(self) -> str:
        best = self.best
        leader = "" if best is None else f", best {best.mean:.4f} (trial {best.number})"
        return f"<study {self.name}: {len(self.trial_records)} of {self.record.num_trials} trials{leader}>"

    @property
    def name(self) -> str:
        return self.study.name

    @property
    def record(self) -> StudyRecord:
        """What the study is."""
        return self.study.record

    @property
    def trial_records(self) -> tuple[TrialRecord, ...]:
        """The trials by number."""
        return self.study.trials

    @property
    def status(self) -> dict[str, Any]:
        """The document of `harness status --json`."""
        document: dict[str, Any] = documents.to_json(status(self.study))
        return document

    @property
    def best(self) -> TrialRecord | None:
        """The complete trial with the best mean over its folds, the earliest of equals."""
        return self.study.best

    @property
    def front(self) -> tuple[TrialRecord, ...]:
        """The Pareto front of a study with several objectives, best by the first one first; else empty."""
        return self.study.front

    @cached_property
    def trials(self) -> "pd.DataFrame":
        """One row per trial, by number: state, mean, standard_error, num_folds, seconds, …, and each searched value.

        half_width is of the mean's 95 % interval.
        Only complete trials have a mean; that of a stopped one, over the folds that it has, is partial_mean.
        Of a study with several objectives also the mean of each further one, under its name.
        """
        import pandas as pd

        rows = [
            {
                "trial": trial.number,
                "state": trial.state,
                "mean": trial.mean if trial.state == "complete" else None,
                "partial_mean": None if trial.state == "complete" else trial.mean,
                "standard_error": trial.standard_error,
                "half_width": trial.half_width,
                "num_folds": len(trial.scores),
                "seconds": trial.seconds,
                "started": pd.Timestamp(trial.started, unit="s", tz="UTC") if trial.started else pd.NaT,
                "reason": trial.reason,
                **{name: trial_mean(values) for name, values in trial.others.items()},
                **trial.params,
            }
            for trial in self.trial_records
        ]
        return _frame(rows, ["trial"])

    @cached_property
    def folds(self) -> "pd.DataFrame":
        """One row per trained fold, by (trial, fold): its metrics, chosen epoch, parameters, seconds and key."""
        rows = [
            {
                "trial": trial, "fold": fold.fold, **fold.metrics, "chosen_epoch": fold.chosen_epoch,
                "num_parameters": fold.num_parameters, "seconds": fold.seconds, "key": fold.key,
            }
            for trial, fold in self._fold_records
        ]  # fmt: skip
        return _frame(rows, ["trial", "fold"])

    @cached_property
    def epochs(self) -> "pd.DataFrame":
        """One row per epoch, by (trial, fold, epoch): losses, accuracies, learning rate, images per second."""
        rows = [
            {"trial": trial, "fold": fold.fold, **to_json(epoch)}
            for trial, fold in self._fold_records
            for epoch in fold.epochs
        ]
        return _frame(rows, ["trial", "fold", "epoch"])

    def predictions(self, trial: int | str = "best") -> "pd.DataFrame":
        """Out-of-fold predictions: one row per training image, by its index, from the network that had not seen it.

        With `cv.repeats` an image has a row in each repetition; of a hold-out there are the images that it holds out.
        Columns: `name`, its file's, where images have names; fold, label, predicted, correct, and a probability per
        class, `p(cat)` say.
        Raises UsageError for a trial that is not there or not complete.
        """
        import numpy as np
        import pandas as pd

        found = self.study.out_of_fold(self.study.complete_trial(str(trial)))
        names = pd.Index([str(name) for name in self.record.data["classes"]])
        rows = np.flatnonzero(found.fold_of >= 0)
        (labels, probabilities), images = found.known, found.images[rows]
        predicted = probabilities.argmax(1)
        table = {
            **({"name": [self._image_names[image] for image in images]} if self._image_names else {}),
            "fold": found.fold_of[rows],
            "label": pd.Categorical.from_codes(labels, categories=names),
            "predicted": pd.Categorical.from_codes(predicted, categories=names),
            "correct": predicted == labels,
        }
        table |= {f"p({name})": probabilities[:, index] for index, name in enumerate(names)}
        return pd.DataFrame(table, index=pd.Index(images, name="image"))

    def confusion(self, trial: int | str = "best") -> "pd.DataFrame":
        """How many training images of each class (rows) were taken for which (columns), each held out of training.

        With `cv.repeats` every image counts once in each repetition.
        """
        import pandas as pd

        found = self.study.out_of_fold(self.study.complete_trial(str(trial)))
        names = [str(name) for name in self.record.data["classes"]]
        labels, probabilities = found.known
        matrix = confusion_matrix(labels, probabilities.argmax(1), len(names))
        return pd.DataFrame(matrix, pd.Index(names, name="label"), pd.Index(names, name="predicted"))

    def model(self, trial: int | str = "best") -> "nn.Module":
        """The mean of a trial's fold networks, in evaluation mode, on the CPU: images to probabilities (N, classes).

        It takes a tensor (N, C, H, W) of uint8, or of floats in 0..1, of the size that the study was trained on;
        normalisation and calibration are inside.
        Raises UsageError for a trial whose weights are not kept.
        """
        from harness.inference.portable import OfPixels

        return OfPixels(self._found(trial).model).eval()

    def predict(self, images: Any, trial: int | str = "best", *, raw: bool = False) -> "pd.DataFrame":
        """One row per image, with the mean of a trial's fold networks: label, probability, entropy, p(class) of each.

        images: files, and folders of them, as text or Paths: each row is called by its path, and one that cannot be
        read says why in `error`. Or an array or tensor of one of the shapes (N, H, W), (N, H, W, C), (N, C, H, W), of
        uint8 or of floats in 0..1.   raw: without calibration.
        Raises UsageError for a trial whose weights are not kept, DataError for images of another size.
        """
        import pandas as pd

        from harness.data.image_files import image_files
        from harness.inference.predict import Predicted, predict_files
        from harness.inference.rows import Columns

        model = self._found(trial).model
        if hasattr(images, "ndim"):
            chances = model.predict(as_pixels(images, "predict"), raw=raw)
            found = [Predicted(str(number), row) for number, row in enumerate(chances)]
        else:
            paths = [images] if isinstance(images, str | os.PathLike) else list(images)
            found = list(predict_files(model, image_files([os.fspath(path) for path in paths]), raw=raw))
        columns = Columns(model.classes, errors=not hasattr(images, "ndim"))
        rows = [
            columns.row(one)
            | ({} if one.probabilities is None else _by_class(model.classes, one.probabilities))
            for one in found
        ]
        table = pd.DataFrame(rows, columns=[*columns.names(), *(f"p({name})" for name in model.classes)])
        if hasattr(images, "ndim"):
            return table.drop(columns="path").rename_axis("image")
        return table.set_index("path")

    def report(self, path: Path | str) -> Path:
        """Write the page of `harness report` to a file: HTML, or Markdown where the name ends with .md."""
        from harness.report import html
        from harness.report.collect import collect
        from harness.report.markdown import markdown

        target = expanded(Path(path)).absolute()
        as_text = target.suffix == ".md"
        found = collect([self.study], images=0 if as_text else 4)
        write_file(target, (markdown(found) if as_text else html.page(found)).encode())
        return target

    def source(self, trial: int | str = "best") -> dict[str, str]:
        """The user's own code that a trial was trained and scored by, as the study began with it: text by file."""
        chosen = self.study.complete_trial(str(trial))
        values = {
            **chosen.values, "objective": self.record.objective, "data": self.record.data["settings"]["name"],
        }  # fmt: skip
        return project.sources_of(self.study.store, self.record, values)

    def _found(self, trial: int | str) -> "Found":
        from harness.inference.find_model import find_model

        return find_model(self.study.store, f"{self.name}:{trial}", "")

    @cached_property
    def _image_names(self) -> tuple[str, ...]:
        """Of the training images; none where they have none, or are gone."""
        with contextlib.suppress(HarnessError):
            return images_of(self.study.store, self.record).names
        return ()

    @property
    def _fold_records(self) -> list[tuple[int, FoldRecord]]:
        return [(trial.number, fold) for trial in self.trial_records for fold in self.study.folds(trial)]


def load_study(name: str, home: Path | str | None = None) -> StartedStudy:
    """A study that has begun in the store `home`: by default HARNESS_HOME, else ./mlruns.

    Raises UsageError if there is none of that name.
    """
    return StartedStudy(LoadedStudy.open(Store(_home(home)), name))


def tune(
    study: str | Path | Mapping[str, Any],
    changes: Sequence[str] = (),
    *,
    model: Any = None,
    data: Any = None,
    metric: Any = None,
    home: Path | str | None = None,
    name: str | None = None,
    trials: int | None = None,
    workers: int | None = 1,
    executor: ExecutorKind = "process",
    gpus: float = 0.0,
    address: str = "",
    slurm: Sequence[str] = (),
    timeout_minutes: float | None = None,
    extends: str | None = None,
    offline: bool = False,
    progress: Progress | bool = True,
) -> StartedStudy:
    """Run a study to its end, or go on where it was stopped; then load it.

    study: a name or a path as for `harness tune --study`, or the nested maps of a study file; these need `name`, and
    may leave out what model, data and metric say. Where it names code, as in `train.loss`, the maps may have the class
    or function itself.   changes: as for --set, `["train.epochs=5"]`.
    model: a class, or a function that returns a network. It is given those that it takes of in_channels, image_size,
    num_classes and classes; its other arguments are options, which `study["model"]` may set or give ranges.
    metric: a function of labels and predictions or probabilities; its `higher_is_better` is True unless it says so. Or
    a list of such and of names, [worst_class, "parameters"]: several objectives, the first a metric.
    data: images as harness.Images, (images, labels) or (images, labels, classes), a data set of PyTorch or Hugging
    Face; a function that returns such; or the Path of a folder of images. A fifth of images that are in memory is
    sealed as the test part, and both parts are kept in the store.
    trials: a total that replaces the study's.   workers: processes, or None for as many as help.
    executor, gpus, address, slurm: who trains, as the options of `harness tune`.   timeout_minutes: begin no trial
    after it.   extends: a study on less data, whose images keep their fold and part in this new one.
    offline: use the stores in `home`, whatever the environment names.
    progress: True for a line per trial on stderr, False for none, or a function that is given every event.
    Raises StudyError for a study that cannot be run, with all its problems, and UsageError for a model, a metric or
    data that cannot be used.
    """
    settings = tuning.Settings(
        _home(home), workers=workers, num_trials=trials, name=name, executor=executor, gpus=gpus, address=address,
        slurm=slurm, timeout_minutes=timeout_minutes, offline=offline, extends=extends,
    )  # fmt: skip
    given = {"model": model, "data": data, "metric": metric}
    given = {argument: value for argument, value in given.items() if value is not None}
    code.use_current_folder()
    if isinstance(study, Mapping):
        if name is None:
            raise UsageError('a study given as a map needs a name: tune({...}, name="depth")')
        document, objects = as_document(study, Store(settings.home), **given)
        code.use_current_folder(objects)
        text = json.dumps(document, indent=1, ensure_ascii=False)
        loaded = parse_study_file(text.encode(), list(changes), name=name, source=f"study {name}")
    elif given:
        raise UsageError(f"{next(iter(given))}=… goes with a study that is a map; a study file names its own")
    else:
        loaded = load_study_file(str(study), list(changes))
    code.import_anew(project.names_in(loaded.definition()))
    tell = _print_trial if progress is True else progress or None
    for event in tuning.tune(loaded, settings):
        if tell is not None:
            tell(event)
    return load_study(name or loaded.name, settings.home)


def _by_class(classes: Sequence[str], probabilities: "np.ndarray") -> dict[str, float]:
    return {f"p({name})": float(chance) for name, chance in zip(classes, probabilities, strict=True)}


def _print_trial(event: object) -> None:
    if isinstance(event, TrialEnded):
        trial = event.trial
        score = "" if trial.mean is None else f" {trial.mean:.4f}"
        best = "" if event.best is None else f"   best: trial {event.best.number}, {event.best.mean:.4f}"
        print(f"trial {trial.number}: {trial.state}{score}{best}", file=sys.stderr, flush=True)


def _home(home: Path | str | None) -> Path:
    return expanded(Path(home if home is not None else os.environ.get("HARNESS_HOME") or "mlruns")).absolute()


def _frame(rows: list[dict[str, Any]], index: list[str]) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(rows, columns=None if rows else index).set_index(index)
