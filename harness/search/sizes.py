"""What `harness check` asks a process of its own, and the answer; without torch, for both sides."""

from dataclasses import dataclass, field
from pathlib import Path

from harness.data.class_counts import ClassCounts
from harness.documents import WHERE_SET
from harness.errors import Problem
from harness.folds.executor_options import ExecutorKind
from harness.records import Values


@dataclass(frozen=True)
class SizesRequest:
    """study: its file.   home: the store.   executor: who is to train.

    measure: how fast it trains, too.   images: where to draw what the training sees, or None.
    """

    study: str
    overrides: tuple[str, ...] = ()
    home: Path = Path("mlruns")
    executor: ExecutorKind = "process"
    measure: bool = False
    images: Path | None = None


@dataclass(frozen=True)
class Sizes:
    """What a study's images and models are like.

    without_effect: options that change nothing of these images.
    sizes: (parameters, model options) of the smallest and the largest model.
    num_sealed: test images, which none of this is of.
    images_per_second: of trial 0 and of the largest model, where it was measured.
    """

    num_images: int
    balance: ClassCounts
    without_effect: tuple[str, ...]
    sizes: tuple[tuple[int, Values], ...]
    images_per_second: tuple[float, ...] = field(default=(), metadata=WHERE_SET)
    num_sealed: int = 0


@dataclass(frozen=True)
class Checked:
    """What a check has found.

    problems: for which tune would refuse the study.   warnings: what may be meant; they were told on stderr, too.
    sizes: None where there are no images.
    """

    problems: tuple[Problem, ...]
    warnings: tuple[str, ...]
    sizes: Sizes | None = None
