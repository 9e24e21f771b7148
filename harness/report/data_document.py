"""What a report says of a study's images: those it began with, and pairs that somebody should look at."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Suspicion = Literal["two classes", "apart", "likely"]  # the most suspicious first


@dataclass(frozen=True)
class BegunWith:
    """The data that a study began with.

    source: a folder, or the name of a data set.   snapshot: its hash.   extends: the study that it goes on from, or "".
    train, test, left_out: images.   groups: of training images that are held out together.
    since: what has become of the folder when the report was made, or "" where nobody looked.
    warnings: what was said before the study began.
    """

    source: str
    snapshot: str
    extends: str
    train: int
    test: int
    left_out: int
    groups: int
    since: str
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class AlikeImage:
    index: int
    name: str | None
    label: str


@dataclass(frozen=True)
class AlikePair:
    """Two training images that show one picture, or are likely to.   similarity: 0..1.   equal: pixel by pixel."""

    kind: Suspicion
    images: tuple[AlikeImage, AlikeImage]
    similarity: float
    equal: bool


@dataclass(frozen=True)
class Alike:
    """found: how many pairs there are of each kind.   pairs: some of them, the most suspicious first."""

    found: Mapping[str, int]
    pairs: tuple[AlikePair, ...]
