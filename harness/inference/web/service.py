"""What a model says about an image, in three steps: decoding, the network, and what is shown of it.

The first and the last may run in several threads at once; the network is given many images by one thread.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from harness.data.decoding import decode_apart, decode_light
from harness.data.image_files import printable
from harness.data.limited import Bounds
from harness.data.policy import Policy
from harness.inference.embedding import Embedder
from harness.inference.gradcam import GradCam
from harness.inference.model import TrialModel
from harness.inference.pictures import overlay, thumbnail
from harness.inference.sorting import UNSURE
from harness.inference.vectors import Index
from harness.inference.web.documents import Health, Prediction, SimilarImage
from harness.standalone.image_pixels import UnreadableError

MOST_SIMILAR = 12


@dataclass(frozen=True)
class Wanted:
    """What is to be said about an image.   threshold: the probability below which its label is `unsure`."""

    explain: bool = True
    similar: bool = True
    threshold: float = 0.0


@dataclass(frozen=True, eq=False)
class Asked:
    """pixels: uint8 (C, H, W)."""

    pixels: np.ndarray
    wanted: Wanted


@dataclass(frozen=True, eq=False)
class Seen:
    """What the network makes of an image.

    probabilities: float32 (classes,).   heat: float32 (h, w).   vector: float32 (D,).
    """

    probabilities: np.ndarray
    heat: np.ndarray | None = None
    vector: np.ndarray | None = None


class Service:
    """A model with what belongs to it.

    source: where the model is from, in words.   index: of the images to show similar ones of, with its embedder.
    Raises DataError for a model whose images are not made of files.
    """

    def __init__(
        self, model: TrialModel, source: str, *, index: Index | None = None, embedder: Embedder | None = None
    ):
        self._channels, self._side = model.require_files()
        self._model, self._source, self._index, self._embedder = model, source, index, embedder
        self._grad_cam = GradCam(model)

    def health(self) -> Health:
        return Health(
            status="ok",
            model=self._source,
            classes=self._model.classes,
            calibrated=self._model.temperature is not None,
            indexed=0 if self._index is None else len(self._index.names),
        )

    def decode(self, content: bytes, *, most: int) -> np.ndarray:
        """uint8 (C, H, W). most: bytes of the decoded image.

        Raises UnreadableError, and TooLargeError or SlowError for what `decode_apart` is for.
        """
        if not content:
            raise UnreadableError("empty")
        sizes = [(self._side, self._channels)]
        return decode_light(content, sizes, self._model.policy, most=most)[0][0]

    def decode_apart(self, content: bytes, bounds: Bounds) -> np.ndarray:
        """As `decode`, in a process that ends at these bounds. Raises UnreadableError."""
        return decode_apart(content, [(self._side, self._channels)], self._model.policy, bounds)[0][0]

    def look(self, images: Sequence[Asked]) -> list[Seen]:
        """What the network makes of these images, N >= 1, in one forward pass, and one for what explains them."""
        pixels = np.stack([image.pixels for image in images])
        probabilities = self._model.predict(pixels)
        heats: dict[int, np.ndarray] = {}
        if explained := [place for place, image in enumerate(images) if image.wanted.explain]:
            labels = probabilities[explained].argmax(1).tolist()
            maps = self._grad_cam(pixels[explained], labels)
            heats = {} if maps is None else dict(zip(explained, maps, strict=True))
        vectors: dict[int, np.ndarray] = {}
        similar = [place for place, image in enumerate(images) if image.wanted.similar]
        if self._embedder is not None and similar:
            vectors = dict(zip(similar, self._embedder(pixels[similar]), strict=True))
        return [Seen(row, heats.get(place), vectors.get(place)) for place, row in enumerate(probabilities)]

    def describe(self, image: Asked, seen: Seen) -> Prediction:
        """Raises ArithmeticError for a model that computes what is no number."""
        if not np.isfinite(seen.probabilities).all():  # JSON has no NaN, and null would pass for an answer
            raise ArithmeticError("the model's probabilities are not finite")
        label, classes = int(seen.probabilities.argmax()), self._model.classes
        similar = []
        if self._index is not None and seen.vector is not None:
            for number, score in self._index.nearest(seen.vector, MOST_SIMILAR):
                name, picture = (
                    printable(self._index.names[number]),
                    self._thumbnail(self._index.path(number)),
                )
                similar.append(SimilarImage(name, round(score, 6), picture))
        return Prediction(
            label=UNSURE if seen.probabilities[label] < image.wanted.threshold else classes[label],
            probabilities={
                name: round(float(value), 6) for name, value in zip(classes, seen.probabilities, strict=True)
            },
            similar=tuple(similar),
            where=None if seen.heat is None or not seen.heat.any() else overlay(image.pixels, seen.heat),
        )

    def _thumbnail(self, path: str) -> str | None:
        try:
            changed = os.stat(path).st_mtime_ns  # noqa: PTH116  a path may hold what Path refuses
        except (OSError, ValueError):
            return None
        return _kept_thumbnail(path, changed, self._model.policy)


@lru_cache(maxsize=2048)
def _kept_thumbnail(path: str, _changed: int, policy: Policy) -> str | None:
    return thumbnail(path, policy)
