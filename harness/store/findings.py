"""What was found out about a study as a whole: its findings, each a file in the study's folder.

`CorrectedScore` is made when a study ends, the others by the commands audit, confirm and final.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal, TypeVar

from harness.data.class_counts import ClassCounts
from harness.documents import WHERE_SET
from harness.records import Scalar
from harness.scoring.per_class import ClassScores
from harness.scoring.variance import Variance

Verdict = Literal["passed", "noted", "failed"]
Kind = Literal["honest", "audit", "confirm", "final"]


@dataclass(frozen=True)
class Epochs:
    """Mean accuracy over the folds of a trial at the last, the chosen and each fold's best epoch.

    inflation: what the best epochs, a claim that nobody should make, add to the chosen ones.
    None of an epoch that no fold was scored after, and of the best one where that is so of any.
    """

    final: float | None
    chosen: float | None
    oracle: float | None
    inflation: float | None


@dataclass(frozen=True)
class CorrectedScore:
    """The best trial's pooled score, corrected for its having been chosen among `num_trials` (BBC-CV).

    of: hash of the trials and folds that it is of.   naive: before.   low, high: a 95 % interval of `corrected`.
    """

    kind: ClassVar[Kind] = "honest"  # the name of its file and artifact
    of: str
    trial: int
    naive: float
    corrected: float
    low: float
    high: float
    num_trials: int
    epochs: Epochs


@dataclass(frozen=True)
class Check:
    """What one check of an audit says. verdict: noted is worth a look, failed means the score cannot be believed.

    figure: what was measured.   bound: what an honest study stays below, or None.   sentence: for a newcomer.
    """

    probe: str
    verdict: Verdict
    figure: float | None
    bound: float | None
    sentence: str


@dataclass(frozen=True)
class FalseStops:
    """A sample of the trials that racing stopped, finished: which are better than the best trial after all.

    With several objectives: than the best one that is at least as good in all others.
    false: their numbers.   rate: of the sample, low to high its 95 % interval.   means: by number, over all folds.
    """

    stopped: int
    finished: int
    false: tuple[int, ...]
    rate: float | None
    low: float
    high: float
    largest_gain: float | None
    means: Mapping[str, float]


@dataclass(frozen=True)
class TestBorder:
    """Test images that show a picture of the training images, of how many."""

    images: int
    of: int


@dataclass(frozen=True)
class LeakySplit:
    """What plain folds would have scored on held-out images whose duplicate is trained on.

    images: these, of how many in the fold.   leaky, honest: accuracy on them in that fold and in the study.
    inflation: what that adds to the accuracy of the whole fold.
    """

    images: int
    of: int
    leaky: float
    honest: float
    inflation: float


@dataclass(frozen=True)
class DuplicatePairs:
    """Images of one picture among the training images, and across the borders that they should not cross.

    groups, images: of them.   labels_differ: pairs of different labels.   pairs_crossing_plain_folds: what folds
    without regard to them would have.   test_border: None without test images.   picture: where some are drawn.
    """

    groups: int
    images: int
    exact_pairs: int
    near_pairs: int
    labels_differ: int
    pairs_crossing_folds: int
    pairs_crossing_plain_folds: int
    test_border: TestBorder | None
    picture: str | None
    leaky_split: LeakySplit | None


@dataclass(frozen=True)
class Audit:
    """Whether the score of a trial can be believed: its checks, and the sentence of the first that failed.

    options: of probes, by the probe's name, where they were not the defaults.
    """

    kind: ClassVar[Kind] = "audit"
    study: str
    trial: int
    verdict: Verdict
    sentence: str
    findings: tuple[Check, ...] = ()
    data: ClassCounts | None = None
    duplicates: DuplicatePairs | None = None
    stopped: FalseStops | None = None
    options: Mapping[str, Mapping[str, Scalar]] = field(default_factory=dict, metadata=WHERE_SET)


@dataclass(frozen=True)
class ConfirmedTrial:
    """A trial's mean when it was tuned and with fresh seeds and new folds.

    shrinkage: what it lost, positive for a worse score.   scores: (splits, folds).
    tuned_half_width, confirmed_half_width: of the 95 % intervals; None in what an earlier release has found.
    """

    number: int
    tuned: float | None
    tuned_standard_error: float | None
    confirmed: float
    confirmed_standard_error: float
    shrinkage: float
    scores: tuple[tuple[float, ...], ...]
    tuned_half_width: float | None = field(default=None, metadata=WHERE_SET)
    confirmed_half_width: float | None = field(default=None, metadata=WHERE_SET)


@dataclass(frozen=True)
class ChampionEstimate:
    """What the confirmed winner's network, trained on all images, is expected to score, before a test image is opened.

    low, high: where 95 of 100 scores on `test_images` new images lie.   confirmed: the mean score of its fold networks,
    each trained on `fold_images`.   optimism: what the choice among the confirmed trials adds to that.   gain: what all
    `train_images` add.   expected: confirmed - optimism + gain.
    """

    trial: int
    higher_is_better: bool
    expected: float
    low: float
    high: float
    confirmed: float
    optimism: float
    gain: float
    fold_images: int
    train_images: int
    test_images: int


@dataclass(frozen=True)
class Confirmation:
    """The best trials, trained again. variance: where the spread comes from, with two repeats or more.

    has_same_folds: whether every new split is the study's own, as where its split maker draws nothing.
    champion: what the winner's network will score once it is trained on all images; None where that is not known.
    """

    kind: ClassVar[Kind] = "confirm"
    objective: str
    repeats: int
    trials: tuple[ConfirmedTrial, ...]
    tuned_order: tuple[int, ...]
    confirmed_order: tuple[int, ...]
    winner: int
    winner_held: bool
    variance: Variance | None = None
    has_same_folds: bool = field(default=False, metadata=WHERE_SET)
    champion: ChampionEstimate | None = field(default=None, metadata=WHERE_SET)

    def of(self, number: int) -> ConfirmedTrial:
        """Raises StopIteration for a trial that was not confirmed."""
        return next(trial for trial in self.trials if trial.number == number)


@dataclass(frozen=True)
class LedgerPlace:
    number: int
    hash: str


@dataclass(frozen=True)
class AuditVerdict:
    verdict: Verdict
    sentence: str


@dataclass(frozen=True)
class TestDuplicates:
    """Test images that resemble a training image, and the objective without them."""

    num_images: int
    score_without: float | None


@dataclass(frozen=True)
class EarlierLook:
    """A look at the same test images that came before.   score, low, high: of the objective, with its 95 % interval.

    They are None where that look was for another objective, or came to no result.
    """

    time: str
    study: str
    trial: int
    reason: str
    score: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class FinalTest:
    """The look at the sealed test images: scores of the confirmed winner, trained on all training images.

    refit: key of that training.   look, looks: its number, and how many there are of these images.
    intervals: 95 %, by metric.   reason, checked: why it was opened once more, and despite a failed audit.
    seen_before: how many of these images a study that this one extends has looked at.
    per_class: in the classes' order.   calibration: mean confidence, accuracy and images of each bin that has any. Both
    are empty for a look of an earlier release.   earlier: looks at these images before it, by whatever study.
    """

    kind: ClassVar[Kind] = "final"
    study: str
    trial: int
    objective: str
    refit: str
    look: int
    looks: int
    test_hash: str
    reason: str
    ledger: LedgerPlace
    scores: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    num_images: int
    confusion: tuple[tuple[int, ...], ...]
    duplicates: TestDuplicates
    confirm: Confirmation
    audit: AuditVerdict
    checked: str = ""
    seen_before: int = field(default=0, metadata=WHERE_SET)
    per_class: tuple[ClassScores, ...] = field(default=(), metadata=WHERE_SET)
    calibration: tuple[tuple[float, float, int], ...] = field(default=(), metadata=WHERE_SET)
    earlier: tuple[EarlierLook, ...] = field(default=(), metadata=WHERE_SET)

    @property
    def worth(self) -> str:
        """What the score is worth: whether it is the one to report, in a sentence."""
        if self.looks > 1:
            said = f"These test images have been looked at {self.looks} times, so this score may be too good"
            first = self.earlier[0] if self.earlier else None
            if first is None or first.score is None or first.low is None or first.high is None:
                return f"{said}: report the first look."
            return (
                f"{said}; the first look, at trial {first.trial} of study {first.study}, came to {first.score:.4f} "
                f"(95 % {first.low:.4f} to {first.high:.4f}), and is the number to report."
            )
        if self.contradiction or self.checked:
            return ""
        expected = self.confirm.champion
        as_expected = expected is not None and expected.trial == self.trial
        return (
            "As expected: this is the number to report." if as_expected else "This is the number to report."
        )

    @property
    def this_look(self) -> str:
        """What `before` may be said of: other looks may have come before this one."""
        return "the test images were opened" if self.looks == 1 else "this look at the test images"

    @property
    def contradiction(self) -> str:
        """That the test score is not what was expected, with the likely causes; "" where it is, or nothing was."""
        expected, score = self.confirm.champion, self.scores[self.objective]
        if expected is None or expected.trial != self.trial or expected.low <= score <= expected.high:
            return ""
        said = (
            f"The test score {score:.4f} contradicts what was expected before {self.this_look}: "
            f"{expected.expected:.4f} (95 % {expected.low:.4f} to {expected.high:.4f})."
        )
        if (score < expected.low) == expected.higher_is_better:
            causes = (
                "The folds have promised too much: images of one object may lie in several folds (data.groups), copies "
                "may have gone unnoticed (check --images draws what is alike), or the test images are of another kind."
            )
        else:
            causes = (
                "The test images are easier than the training images, or resemble them: look for copies (audit), and "
                "at how the test part was chosen."
            )
        return f"{said} {causes}"


Finding = CorrectedScore | Audit | Confirmation | FinalTest
AnyFinding = TypeVar("AnyFinding", bound=Finding)
