"""From the bytes of an image to what the model says about it."""

import os
import threading
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from harness.data.decoding import decode
from harness.data.image_files import printable
from harness.data.policy import Policy
from harness.inference.embedding import Embedder
from harness.inference.gradcam import GradCam
from harness.inference.model import TrialModel
from harness.inference.pictures import overlay, thumbnail
from harness.inference.vectors import Index
from harness.standalone.image_pixels import UnreadableError

MOST_SIMILAR = 12


@dataclass(frozen=True)
class Health:
    """calibrated: whether probabilities are.   indexed: images that similar ones are looked for among."""

    status: str
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
    """similar: most similar first.   where: what the label rests on, as a data URL, or None where it cannot be told."""

    label: str
    probabilities: dict[str, float]
    similar: tuple[SimilarImage, ...]
    where: str | None


class Service:
    """A model with what belongs to it, for several threads at once; the network itself works on one image at a time.

    source: where the model is from, in words.   index: of the images to show similar ones of, with its embedder.
    Raises DataError for a model whose images are not made of files.
    """

    def __init__(
        self, model: TrialModel, source: str, *, index: Index | None = None, embedder: Embedder | None = None
    ):
        self._channels, self._side = model.require_files()
        self._model, self._source, self._index, self._embedder = model, source, index, embedder
        self._grad_cam = GradCam(model)
        self._lock = threading.Lock()

    def health(self) -> Health:
        return Health(
            status="ok",
            model=self._source,
            classes=self._model.classes,
            calibrated=self._model.temperature is not None,
            indexed=0 if self._index is None else len(self._index.names),
        )

    def predict(self, content: bytes) -> Prediction:
        """What is answered about an image file. Raises UnreadableError for what is none."""
        if not content:
            raise UnreadableError("empty")
        pixels = decode(content, image_size=self._side, channels=self._channels, policy=self._model.policy)
        with self._lock:
            probabilities = self._model.predict(pixels[None])[0]
            if not np.isfinite(probabilities).all():  # JSON has no NaN, and null would pass for an answer
                raise ArithmeticError("the model's probabilities are not finite")
            label = int(probabilities.argmax())
            heat = self._grad_cam(pixels, label)
            vector = None if self._embedder is None else self._embedder(pixels[None])[0]
        similar = []
        if self._index is not None and vector is not None:
            for number, score in self._index.nearest(vector, MOST_SIMILAR):
                name, image = printable(self._index.names[number]), self._thumbnail(self._index.path(number))
                similar.append(SimilarImage(name, round(score, 6), image))
        return Prediction(
            label=self._model.classes[label],
            probabilities={
                name: round(float(value), 6)
                for name, value in zip(self._model.classes, probabilities, strict=True)
            },
            similar=tuple(similar),
            where=None if heat is None or not heat.any() else overlay(pixels, heat),
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
