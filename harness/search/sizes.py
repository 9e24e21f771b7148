"""What is asked about a study's images and models before it begins, and the answer; without torch, for both sides."""

from dataclasses import dataclass, field
from pathlib import Path

from harness.data.class_counts import ClassCounts
from harness.documents import WHERE_SET
from harness.records import Values


@dataclass(frozen=True)
class SizesRequest:
    """study: its file.   measure: how fast it trains, too.   images: where to draw what the training sees, or None."""

    study: str
    overrides: tuple[str, ...] = ()
    measure: bool = False
    images: Path | None = None


@dataclass(frozen=True)
class Sizes:
    """What a study's images and models are like.

    without_effect: options that change nothing of these images.   warnings: of trial 0's network.
    sizes: (parameters, model options) of the smallest and the largest model.
    images_per_second: of trial 0 and of the largest model, where it was measured.
    """

    num_images: int
    balance: ClassCounts
    without_effect: tuple[str, ...]
    warnings: tuple[str, ...]
    sizes: tuple[tuple[int, Values], ...]
    images_per_second: tuple[float, ...] = field(default=(), metadata=WHERE_SET)


@dataclass(frozen=True)
class UnknownSizes:
    """error: why they are unknown."""

    error: str
