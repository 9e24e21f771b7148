"""What the server answers, as typed documents; `openapi.py` describes them to others."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Alive:
    """What who has no token is told."""

    status: str


@dataclass(frozen=True)
class Health(Alive):
    """calibrated: whether probabilities are.   indexed: images that similar ones are looked for among."""

    model: str
    classes: tuple[str, ...]
    calibrated: bool
    indexed: int


@dataclass(frozen=True)
class SimilarImage:
    """score: cosine of the angle between the embeddings.   image: a small one as a data URL; None if it is gone."""

    name: str
    score: float
    image: str | None


@dataclass(frozen=True)
class Prediction:
    """label: the likeliest class, or `unsure` where it is below the threshold.   similar: most similar first.

    where: what the likeliest class rests on, as a data URL, or None where it was not asked for or cannot be told.
    """

    label: str
    probabilities: dict[str, float]
    similar: tuple[SimilarImage, ...]
    where: str | None


@dataclass(frozen=True)
class BatchRow:
    """One image of a batch: what the model says, or the error that there is instead.   name: of its file."""

    name: str
    prediction: Prediction | None
    error: str | None


@dataclass(frozen=True)
class Batch:
    """images: in the order in which they came."""

    images: tuple[BatchRow, ...]


@dataclass(frozen=True)
class Failure:
    """What a request that is not answered gets.   error: why, in a few words."""

    error: str
