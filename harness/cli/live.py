"""A study as it runs: what is being trained, how much is done, and how long the rest takes."""

from collections import Counter
from collections.abc import Iterator

from harness.cli.progress import Progress, Running, shown
from harness.cli.tables import number
from harness.folds.tasks import RUNG
from harness.records import StudyRecord, TrialRecord
from harness.report.format import duration, times
from harness.search.driver import EpochEnded, Event, FoldBegan, FoldEnded, TrialBegan, TrialEnded
from harness.tuning import StudyBegan, StudyEnded

AnyEvent = Event | StudyBegan | StudyEnded
RACED_SHARE = 0.5  # of its folds that a trial is thought to need before racing has said so
RACED_WEIGHT = 2  # trials that this is worth


def show(events: Iterator[AnyEvent], name: str) -> StudyEnded:
    """Show the events of a study as they come; returns the last."""
    study = StudyProgress(name)
    with shown(study.progress) as tell:
        for event in events:
            tell(study.take(event))
            if isinstance(event, StudyEnded):
                return event
    raise AssertionError("a study ends with StudyEnded")


class StudyProgress:
    """Follows the events of a study, and has a `Progress` say what they come to."""

    def __init__(self, name: str) -> None:
        self.progress = Progress(name)
        self.progress.stage = "looking at the study and its images"
        self._record: StudyRecord | None = None
        self._trials: dict[int, TrialRecord] = {}
        self._folds: Counter[int] = Counter()  # of each trial that have ended here, needed or not
        self._scores: dict[int, list[float]] = {}
        self._behind: set[int] = set()  # trials that will be stopped, as it looks

    def take(self, event: AnyEvent) -> str:
        """A line for everything worth knowing later, else ""."""
        line = ""
        match event:
            case StudyBegan():
                line = self._begin(event)
            case TrialBegan(trial):
                self._trials[trial.number] = trial
                line = f"trial {trial.number}  {in_words(trial)}"
            case FoldBegan(number, fold):
                self.progress.stage = ""
                self._add(number, fold)
            case EpochEnded(number, fold, epoch):
                if (number, fold) not in self.progress.running:
                    self._add(number, fold)
                self._estimate()
                self.progress.epoch_ended((number, fold), epoch)
            case FoldEnded():
                line = self._end_fold(event)
            case TrialEnded():
                line = self._end_trial(event)
            case StudyEnded():
                self.progress.running.clear()
        return line

    def _begin(self, event: StudyBegan) -> str:
        record, progress = event.record, self.progress
        self._record = record
        self._trials = {trial.number: trial for trial in event.trials}
        progress.title, progress.objective = record.name, record.objective
        progress.stage = f"starting {times(event.workers, 'worker')}"
        progress.is_exact = record.definition["search"].get("racing") == "none"
        self._estimate()
        done = sum(trial.state != "running" for trial in event.trials)
        so_far = f", {done} already done" if done else ""
        trials, workers = times(record.num_trials, "trial"), times(event.workers, "worker")
        return f"{record.name}: {trials} × {record.num_folds} folds{so_far}, {workers}"

    def _add(self, number: int, fold: int) -> None:
        trial, scores = self._trials[number], self._scores.get(number, [])
        epochs = 0 if fold == RUNG else int(trial.values.get("train.epochs") or 0)
        so_far = f"{sum(scores) / len(scores):.4f}" if scores else "-"
        name = f"trial {number} {'short' if fold == RUNG else f'fold {fold}'}"
        self.progress.running[number, fold] = Running(name, epochs, in_words(trial), so_far, number)

    def _end_fold(self, event: FoldEnded) -> str:
        if event.fold != RUNG:
            self._folds[event.number] += 1
            self._scores.setdefault(event.number, []).append(event.score)
        if event.in_the_race:
            self._behind.discard(event.number)
        else:
            self._behind.add(event.number)
        self._estimate()
        self.progress.fold_ended((event.number, event.fold))
        scores = self._scores.get(event.number, [])
        for fold in self.progress.running.values():
            if fold.trial == event.number and scores:
                fold.so_far = f"{sum(scores) / len(scores):.4f}"
        what = "short training" if event.fold == RUNG else f"fold {event.fold}"
        objective = self._record.objective if self._record else ""
        score = f"trial {event.number} {what}  {objective} {event.score:.4f}"
        return f"{score}  {duration(event.record.seconds)}  {self.progress.standing()}"

    def _end_trial(self, event: TrialEnded) -> str:
        trial, best = event.trial, event.best
        self._trials[trial.number] = trial
        running = self.progress.running
        for place in [place for place, fold in running.items() if fold.trial == trial.number]:
            del running[place]
        self._estimate()
        if best is not None:
            said = f"best so far: {self.progress.objective} {_score(best)}  trial {best.number}"
            self.progress.best = [said, f"  {in_words(best)}"]
        if not self.progress.left:
            self.progress.stage = "finishing what is to be shown in MLflow"
        reason = f" ({trial.reason})" if trial.reason else ""
        so_far = f"  best so far: {_score(best)} (trial {best.number})" if best else ""
        return f"trial {trial.number} {trial.state}  {_score(trial)}{reason}{so_far}"

    def _estimate(self) -> None:
        """How many folds are done, and how many more will be trained, by what racing has left of earlier trials."""
        record = self._record
        assert record is not None
        spent = {number: max(len(trial.folds), self._folds[number]) for number, trial in self._trials.items()}
        ended = [number for number, trial in self._trials.items() if trial.state != "running"]
        decided = {*ended, *self._behind}
        open_trials = self._trials.keys() - decided
        raced = [spent[number] for number in decided if number]  # trial 0 is raced against nobody
        left = sum(
            max(self._expected(raced, record, at_least=spent[number]) - spent[number], 0.0) if number
            else record.num_folds - spent[number]
            for number in open_trials
        )  # fmt: skip
        left += (record.num_trials - len(self._trials)) * self._expected(raced, record)
        self.progress.done, self.progress.left = sum(spent.values()), left
        self.progress.counts = f"{len(ended)} of {times(record.num_trials, 'trial')}"
        self.progress.update()

    def _expected(self, raced: list[int], record: StudyRecord, *, at_least: int = 0) -> float:
        """Folds that a trial comes to which has got so many."""
        if self.progress.is_exact:
            return record.num_folds
        alike = [folds for folds in raced if folds >= at_least]
        prior = at_least + RACED_SHARE * (record.num_folds - at_least)
        return (sum(alike) + RACED_WEIGHT * prior) / (len(alike) + RACED_WEIGHT)


def in_words(trial: TrialRecord) -> str:
    """What of it is searched, like depth=2  lr=0.1; names that several sections have are whole."""
    short = [name.rpartition(".")[2] for name in trial.params]
    names = [one if short.count(one) == 1 else name for one, name in zip(short, trial.params, strict=True)]
    values = trial.params.values()
    return "  ".join(f"{name}={number(value)}" for name, value in zip(names, values, strict=True)) or (
        "(nothing is searched)"
    )


def _score(trial: TrialRecord) -> str:
    if trial.mean is None:
        return "-"
    error = "" if trial.half_width is None else f" ± {trial.half_width:.4f}"
    return f"{trial.mean:.4f}{error}"
