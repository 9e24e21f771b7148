"""A study in Python: its records as pandas frames, and the same engine that `harness tune` runs."""

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
from harness.errors import UsageError
from harness.records import FoldRecord, StudyRecord, TrialRecord, to_json
from harness.search.driver import TrialEnded
from harness.store.loaded_study import LoadedStudy
from harness.store.store import Store

if TYPE_CHECKING:
    import pandas as pd

Progress = Callable[[object], None] | None


@dataclass(frozen=True, repr=False)
class StudyFrames:
    """A study that has begun, as its records are now. Load it again to see what has come since.

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

    @cached_property
    def trials(self) -> "pd.DataFrame":
        """One row per trial, by number: state, mean, standard_error, num_folds, seconds, …, and each searched value."""
        import pandas as pd

        rows = [
            {
                "trial": trial.number,
                "state": trial.state,
                "mean": trial.mean,
                "standard_error": trial.standard_error,
                "num_folds": len(trial.scores),
                "seconds": trial.seconds,
                "started": pd.Timestamp(trial.started, unit="s", tz="UTC") if trial.started else pd.NaT,
                "reason": trial.reason,
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

        Columns: fold, label, predicted, correct, and a probability per class, `p(cat)` say.
        Raises UsageError for a trial that is not there or not complete.
        """
        import pandas as pd

        found = self.study.out_of_fold(self.study.complete_trial(str(trial)))
        names = pd.Index([str(name) for name in self.record.data["classes"]])
        predicted = found.probabilities.argmax(1)
        table = {
            "fold": found.fold_of,
            "label": pd.Categorical.from_codes(found.labels, categories=names),
            "predicted": pd.Categorical.from_codes(predicted, categories=names),
            "correct": predicted == found.labels,
        }
        table |= {f"p({name})": found.probabilities[:, index] for index, name in enumerate(names)}
        return pd.DataFrame(table).rename_axis("image")

    @property
    def _fold_records(self) -> list[tuple[int, FoldRecord]]:
        return [(trial.number, fold) for trial in self.trial_records for fold in self.study.folds(trial)]


def load_study(name: str, home: Path | str | None = None) -> StudyFrames:
    """A study that has begun in the store `home`: by default HARNESS_HOME, else ./mlruns.

    Raises UsageError if there is none of that name.
    """
    return StudyFrames(LoadedStudy.open(Store(_home(home)), name))


def tune(
    study: str | Path | Mapping[str, Any],
    changes: Sequence[str] = (),
    *,
    home: Path | str | None = None,
    name: str | None = None,
    trials: int | None = None,
    workers: int | None = 1,
    progress: Progress | bool = True,
) -> StudyFrames:
    """Run a study to its end, or go on where it was stopped; then load it.

    study: a name or a path as for `harness tune --study`, or the nested maps of a study file; these need `name`.
    changes: as for --set, `["train.epochs=5"]`.   trials: a total that replaces the study's.
    workers: processes, or None for as many as help.
    progress: True for a line per trial on stderr, False for none, or a function that is given every event.
    Raises StudyError for a study that cannot be run, with all its problems.
    """
    if isinstance(study, Mapping):
        if name is None:
            raise UsageError('a study given as a map needs a name: tune({...}, name="depth")')
        text = json.dumps(study, indent=1, ensure_ascii=False)
        loaded = parse_study_file(text.encode(), list(changes), name=name, source=f"study {name}")
    else:
        loaded = load_study_file(str(study), list(changes))
    settings = tuning.Settings(_home(home), workers=workers, num_trials=trials, name=name)
    tell = _print_trial if progress is True else progress or None
    for event in tuning.tune(loaded, settings):
        if tell is not None:
            tell(event)
    return load_study(name or loaded.name, settings.home)


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
