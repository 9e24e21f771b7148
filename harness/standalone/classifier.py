"""What a model in MLflow is given, and what it answers: image files or pixels in, a table with a row for each out.

One image is one of
    bytes               of an image file
    str, with a dot     its path; not where MLflow serves the model, whose callers may not read the server's files
    str, otherwise      its bytes in base64, with or without `data:image/…;base64,` in front
    pathlib.Path        its path
    array, or lists     uint8 (C, H, W) pixels of the model's own size; other integers from 0 to 255 will do

Several are a list, a pandas DataFrame with a column `image` (or one column of any name), a Series, `{"image": […]}`,
a list of `{"image": …}`, or, of pixels, one array (N, C, H, W).
"""

import base64
import binascii
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .image_pixels import UnreadableError

if TYPE_CHECKING:
    import pandas as pd

IMAGE = "image"  # the column
LABEL, CONFIDENCE, PROBABILITY = "label", "confidence", "probability_"  # columns of the answer
BATCH_PIXELS = 2**19  # of one channel, given to the network at once: 512 images of 32×32
MAX_FILE_BYTES = 2**30
SERVED = {"_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "__pyfunc_model_path__"}  # set in MLflow's scoring server


def columns(classes: Sequence[str]) -> list[str]:
    """Of the answer: the likeliest class, its probability, and the probability of each class."""
    return [LABEL, CONFIDENCE, *(PROBABILITY + name for name in classes)]


@dataclass(frozen=True)
class Classifier:
    """image_shape: (C, H, W).

    decode: the bytes of an image file to uint8 (C, H, W); raises UnreadableError.
    predict_pixels: uint8 (N, C, H, W) to float32 (N, classes) probabilities.
    """

    classes: Sequence[str]
    image_shape: tuple[int, ...]
    decode: Callable[[bytes], np.ndarray]
    predict_pixels: Callable[[np.ndarray], np.ndarray]

    def predict(self, images: Any, params: dict[str, Any] | None = None) -> "pd.DataFrame":
        """The table: `label`, `confidence`, `probability_CLASS` for each class; one row an image, in their order.

        Raises ValueError that names the first image which cannot be read, or does not fit.
        """
        import pandas as pd

        step = max(1, BATCH_PIXELS // int(np.prod(self.image_shape[1:])))
        cells = _cells(images)
        parts = [
            self.predict_pixels(np.stack(list(self._pixels(cells, start, start + step))))
            for start in range(0, len(cells), step)
        ]
        found = np.concatenate(parts) if parts else np.zeros((0, len(self.classes)), np.float32)
        best = found.argmax(1)
        table = pd.DataFrame(found, columns=[PROBABILITY + name for name in self.classes])
        table.insert(0, LABEL, [str(self.classes[number]) for number in best])
        table.insert(1, CONFIDENCE, found[np.arange(len(found)), best])
        return table.set_index(images.index) if isinstance(images, pd.DataFrame | pd.Series) else table

    def _pixels(self, cells: Sequence[Any], start: int, end: int) -> Iterator[np.ndarray]:
        for number, cell in enumerate(cells[start:end], start):
            try:
                yield self._of_one(cell)
            except (UnreadableError, ValueError) as error:
                raise ValueError(f"image {number}: {error}") from None

    def _of_one(self, cell: Any) -> np.ndarray:
        if isinstance(cell, bytes | bytearray | memoryview):
            return self.decode(bytes(cell))
        if isinstance(cell, os.PathLike):
            return self.decode(_read(Path(cell)))
        if isinstance(cell, str):
            if _is_path(cell):
                return self.decode(_read(Path(cell)))
            try:
                return self.decode(_from_base64(cell))
            except UnreadableError as error:
                raise UnreadableError(f"{error} (text without a dot is read as base64)") from None
        pixels = _array(cell)
        if pixels.shape != tuple(self.image_shape):
            expected = ", ".join(map(str, self.image_shape))
            raise ValueError(f"pixels have the shape ({expected}), not {pixels.shape}")
        return _as_bytes(pixels)


def _cells(images: Any) -> Sequence[Any]:
    """What is said of each image, one by one."""
    import pandas as pd

    if isinstance(images, pd.DataFrame):
        if IMAGE not in images and images.shape[1] != 1:
            raise ValueError(f"a table of images has a column {IMAGE!r} (got {', '.join(map(str, images))})")
        images = images[IMAGE] if IMAGE in images else images.iloc[:, 0]
    if isinstance(images, dict):
        if set(images) != {IMAGE}:
            raise ValueError(f"images are the values of {IMAGE!r} (got {', '.join(map(str, images))})")
        images = images[IMAGE]
    if isinstance(images, pd.Series):
        return list(images)
    if isinstance(images, str | bytes | bytearray | memoryview | os.PathLike):
        return [images]
    if isinstance(images, list | tuple):
        return [_cells(image)[0] if isinstance(image, dict) else image for image in images]
    array = np.asarray(images)
    if array.dtype.kind == "S":
        raise ValueError(
            "bytes in an array need dtype=object, or numpy cuts zeros off their end; or give a list"
        )
    if array.dtype.kind in "OU":
        return list(array.reshape(-1) if array.ndim <= 2 else array)
    if array.ndim != 4:
        raise ValueError(f"an array of images has the shape (N, C, H, W), not {array.shape}")
    return array  # type: ignore[return-value]  # whose rows are images


def _is_path(text: str) -> bool:
    return "." in text and not text.startswith("data:")


def _read(path: Path) -> bytes:
    """The content of a regular file. Raises UnreadableError."""
    if SERVED & os.environ.keys():
        raise UnreadableError("a served model takes no paths; send the file's bytes in base64")
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with open(descriptor, "rb") as file:  # noqa: PTH123  without waiting for who might write into a pipe
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_FILE_BYTES:
                raise UnreadableError(f"{path}: not a regular file of at most {MAX_FILE_BYTES:,} bytes")
            return file.read()
    except (OSError, ValueError) as error:
        raise UnreadableError(f"{path}: {getattr(error, 'strerror', None) or error}") from None


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(re.sub(r"^data:[^,]*;base64,|\s", "", text), validate=True)
    except (binascii.Error, ValueError):
        raise UnreadableError(f"not base64: {text[:40]!r}") from None


def _array(cell: Any) -> np.ndarray:
    try:
        return np.asarray(cell)
    except ValueError:
        raise ValueError("the lists of pixels are not all of one length") from None


def _as_bytes(pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype.kind not in "iuO" or not ((pixels >= 0) & (pixels <= 255)).all():
        raise ValueError(f"pixels are integers from 0 to 255 (got {pixels.dtype})")
    return pixels.astype(np.uint8)
