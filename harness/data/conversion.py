"""What people have images in, as `Images`: arrays, tensors, pairs of them, data sets of PyTorch and Hugging Face."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.image_files import printable
from harness.data.images import Images
from harness.data.soft_labels import shares_of
from harness.errors import DataError

MOST_CLASSES = 10_000  # so many numbers beyond the last label would be no classes
FORMS = (
    "harness.Images; (images, labels) or (images, labels, classes) as arrays or tensors; a data set with a length "
    "whose items are (image, label); or one of Hugging Face with the columns image and label"
)


def as_images(found: Any, name: str) -> Images:
    """The images that a data set's code has given.

    Images are uint8, or floats of 0..1, in the shape (N, H, W), (N, H, W, C) or (N, C, H, W); single ones may be
    pictures of Pillow. All have one size. Labels (N, classes) are soft ones, shares of the classes or counts of votes;
    images are then scored by the likeliest class, the first of equal ones.   name: of the data set, for messages.
    Raises DataError for what they cannot be made of.
    """
    if isinstance(found, Images):
        return found
    if isinstance(found, tuple) and len(found) in (2, 3):
        pixels, labels, *rest = found
        classes = rest[0] if rest else None
        return _images(_pixels(_array(pixels), name), _array(labels), classes, name)
    if hasattr(found, "column_names") and hasattr(found, "features"):
        return _of_hugging_face(found, name)
    if hasattr(found, "__getitem__") and hasattr(found, "__len__"):
        items = [found[index] for index in range(len(found))]
        if all(isinstance(item, tuple | list) and len(item) >= 2 for item in items) and items:
            single = [_single(item[0], name) for item in items]
            labels = np.array([_array(item[1]) if np.ndim(item[1]) else int(item[1]) for item in items])
            classes = getattr(found, "classes", getattr(getattr(found, "dataset", None), "classes", None))
            images = _images(_stacked(single, name), labels, classes, name)
            return replace(images, names=_names_of_files(found))
    raise DataError(f"{name}: gives a {type(found).__name__}; a data set's code gives one of: {FORMS}")


def as_pixels(images: Any, name: str) -> np.ndarray:
    """An array or a tensor of images as uint8 (N, C, H, W). Raises DataError."""
    return _pixels(_array(images), name)


def _names_of_files(found: Any) -> tuple[str, ...]:
    """Those of torchvision's ImageFolder, relative to its root."""
    samples, root = getattr(found, "samples", None), getattr(found, "root", None)
    if not isinstance(samples, list) or not isinstance(root, str | Path) or len(samples) != len(found):
        return ()
    return tuple(printable(Path(path).relative_to(root).as_posix()) for path, _ in samples)


def _of_hugging_face(found: Any, name: str) -> Images:
    columns = list(found.column_names)
    image = next((column for column in ("image", "img", "pixels") if column in columns), None)
    label = next((column for column in ("label", "labels", "fine_label") if column in columns), None)
    if image is None or label is None:
        raise DataError(
            f"{name}: the data set has the columns {', '.join(columns)}; it needs image and label"
        )
    single = [_single(item[image], name) for item in found]
    names = getattr(found.features[label], "names", None)
    return _images(_stacked(single, name), np.array(found[label]), names, name)


def _single(image: Any, name: str) -> np.ndarray:
    """One image as uint8 (C, H, W)."""
    if hasattr(image, "getbands"):  # Pillow's
        mode = "L" if image.mode in ("1", "L", "LA") else "RGB"
        image = np.asarray(image.convert(mode))
    one: np.ndarray = _pixels(_array(image)[None], name)[0]
    return one


def _stacked(single: Sequence[np.ndarray], name: str) -> np.ndarray:
    shapes = sorted({image.shape for image in single})
    if len(shapes) > 1:
        raise DataError(
            f"{name}: images have different shapes, {shapes[0]} and {shapes[-1]}; resize them to one in its code"
        )
    return np.stack(single)


def _array(values: Any) -> np.ndarray:
    array: np.ndarray = np.asarray(values.detach().cpu().numpy() if hasattr(values, "detach") else values)
    return array


def _pixels(images: np.ndarray, name: str) -> np.ndarray:
    """uint8 (N, C, H, W)."""
    if images.ndim == 3:
        images = images[:, None]
    if images.ndim != 4:
        raise DataError(
            f"{name}: images have the shape {images.shape}, not (N, H, W), (N, H, W, C) or (N, C, H, W)"
        )
    if images.shape[1] not in (1, 3) and images.shape[3] in (1, 3):
        images = images.transpose(0, 3, 1, 2)
    if images.dtype == np.bool_:
        images = images.astype(np.uint8) * 255
    elif np.issubdtype(images.dtype, np.floating):
        if len(images) and not (images.min() >= 0 and images.max() <= 1):
            raise DataError(
                f"{name}: floating-point images must be within 0..1, not {images.min():g}..{images.max():g}; harness "
                "normalises them itself, so give them as they are before that"
            )
        images = np.rint(images * 255).astype(np.uint8)
    elif images.dtype != np.uint8:
        if len(images) and not (images.min() >= 0 and images.max() <= 255):
            raise DataError(
                f"{name}: integer images must be within 0..255, not {images.min()}..{images.max()}"
            )
        images = images.astype(np.uint8)
    return np.ascontiguousarray(images)


def _images(pixels: np.ndarray, labels: np.ndarray, classes: Any, name: str) -> Images:
    if labels.ndim == 2 and len(labels) == len(pixels) and labels.shape[1] > 1 and labels.dtype.kind in "iuf":
        shares = shares_of(labels, name)
        found = _images(pixels, shares.argmax(1), classes or [*map(str, range(labels.shape[1]))], name)
        return replace(found, soft_labels=shares)
    if labels.shape != (len(pixels),):
        raise DataError(f"{name}: {len(pixels)} images, and labels of the shape {labels.shape}")
    if labels.dtype.kind in "USO":  # names
        known = sorted({str(label) for label in labels}) if classes is None else list(classes)
        place = {label: index for index, label in enumerate(known)}
        if missing := {str(label) for label in labels} - place.keys():
            raise DataError(f"{name}: label {min(missing)!r} is none of the classes")
        return Images(pixels, np.array([place[str(label)] for label in labels], np.int64), tuple(known))
    if labels.dtype.kind not in "iub" and not (labels == np.rint(labels)).all():
        raise DataError(f"{name}: labels must be whole numbers or names, not {labels.dtype}")
    numbers = labels.astype(np.int64)
    if len(numbers) and not 0 <= numbers.min() <= numbers.max() < MOST_CLASSES:
        raise DataError(f"{name}: labels must be 0 and up, not {numbers.min()}..{numbers.max()}")
    if classes is None:
        classes = [str(number) for number in range(int(numbers.max(initial=-1)) + 1)]
    return Images(pixels, numbers, tuple(map(str, classes)))
