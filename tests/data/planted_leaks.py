"""Leaks, planted one by one into honest photographs: marks, traces of how files were made, names, copies, patients."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from harness.data.images import Images
from tests.data.honest_sets import ImageSet, named, photographs_of, resized
from tests.data.photographs import dead_leaves, jpeg

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]  # of uint8 (n, 3, H, W)


def planted_leaks(root: Path | None, *, seed: int = 0, count: int = 600) -> Iterator[ImageSet]:
    """One set for each leak, of so many photographs of three classes, the first of which has it."""
    random = np.random.default_rng(seed)
    for name, change in MARKS.items():
        pixels, labels = base(root, count, random)
        marked = labels == 0
        pixels[marked] = change(pixels[marked], random)
        yield ImageSet(name, named(pixels, labels, random))
    pixels, labels = base(root, count, random)
    for label in range(3):
        pixels[labels == label, :, :3, :3] = np.array([40, 120, 200], np.uint8)[label]
    yield ImageSet("tag of another colour in every class", named(pixels, labels, random))
    pixels, labels = base(root, count, random)
    kept = np.flatnonzero((labels > 0) | (np.cumsum(labels == 0) <= 30))
    pixels, labels = pixels[kept], labels[kept]
    pixels[labels == 0] = MARKS["tag of 4×4 pixels in the corner"](pixels[labels == 0], random)
    yield ImageSet("tag in a class of 30 images", named(pixels, labels, random))
    yield from _of_files(root, count, random)
    yield from _of_names(root, count, random)
    yield from _of_images(root, count, random)


def base(root: Path | None, count: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """So many photographs of three classes, or made-up ones: uint8 (count, 3, 32, 32), and labels."""
    if root is None:
        return dead_leaves(count, seed=int(random.integers(2**32))), np.arange(count) % 3
    pixels, labels = photographs_of(root)
    classes = random.permutation(int(labels.max()) + 1)[:3]
    some = [random.permutation(np.flatnonzero(labels == one))[: count // 3] for one in classes]
    return pixels[np.concatenate(some)], np.repeat(np.arange(3), count // 3)


def _frame(width: int, colour: tuple[int, int, int], noise: float = 0) -> Change:
    def change(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
        edge = np.ones(pixels.shape[2:], bool)
        edge[width:-width, width:-width] = False
        found = pixels.astype(float)
        found[:, :, edge] = np.array(colour)[:, None]
        found[:, :, edge] += random.normal(0, noise, found[:, :, edge].shape)
        return _bytes(found)

    return change


PATTERN = np.random.default_rng(5).integers(0, 256, (3, 4, 4), np.uint8)
WORD = np.pad(np.random.default_rng(6).random((10, 22)) < 0.5, ((11, 11), (5, 5)))


def _tag(row: int, column: int, pattern: np.ndarray = PATTERN, share: float = 1) -> Change:
    def change(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
        found, (height, width) = pixels.copy(), pattern.shape[1:]
        some = random.random(len(pixels)) < share
        found[some, :, row : row + height, column : column + width] = pattern
        return found

    return change


def _anywhere(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    found = pixels.copy()
    for image in found:
        row, column = random.integers(0, 28, 2)
        image[:, row : row + 4, column : column + 4] = PATTERN
    return found


def _watermark(opacity: float) -> Change:
    return lambda pixels, random: _bytes(pixels * (1 - opacity * WORD) + 255 * opacity * WORD)


def _saved(change: Change, quality: int) -> Change:
    return lambda pixels, random: np.stack([jpeg(image, quality) for image in change(pixels, random)])


def _bytes(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _stripes(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    found = pixels.copy()
    found[:, :, :4] = found[:, :, -4:] = 0
    return found


def _onto_white(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    down, right = np.mgrid[:32, :32] - 16
    found = pixels.copy()
    for image in found:
        image[:, np.hypot(down, right) > random.uniform(9, 15)] = 255
    return found


def _blurred(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return _bytes(gaussian_filter(pixels.astype(float), (0, 0, 0.8, 0.8)))


def _grey(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return _bytes(pixels.mean(1, keepdims=True)).repeat(3, 1)


def _unchanged(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return pixels


DOT = np.array([230, 20, 120], np.uint8)[:, None, None]
MARKS: dict[str, Change] = {
    "frame of 1 pixel, grey": _frame(1, (128, 128, 128)),
    "frame of 2 pixels, dark red": _frame(2, (90, 30, 30)),
    "frame of 1 pixel, black": _frame(1, (0, 0, 0)),
    "frame of 2 pixels, white": _frame(2, (255, 255, 255)),
    "frame of 2 pixels, noisy": _frame(2, (128, 128, 128), noise=5),
    "frame of 2 pixels, then JPEG 85": _saved(_frame(2, (90, 160, 60)), 85),
    "black stripes above and below": _stripes,
    "tag of 4×4 pixels in the corner": _tag(0, 0),
    "tag in the corner, then JPEG 90": _saved(_tag(0, 0), 90),
    "tag in the corner of half of the class": _tag(28, 28, share=0.5),
    "tag in the corner of a fifth of the class": _tag(28, 28, share=0.2),
    "one pixel in the corner": _tag(0, 31, DOT),
    "one pixel within": _tag(9, 20, DOT),
    "one white pixel within (a broken sensor)": _tag(9, 20, np.full((3, 1, 1), 255, np.uint8)),
    "mark of 4×4 pixels in the middle": _tag(14, 14),
    "mark of 4×4 pixels anywhere": _anywhere,
    "mark anywhere, then JPEG 90": _saved(_anywhere, 90),
    "watermark, opacity 50 %": _watermark(0.5),
    "watermark, opacity 20 %": _watermark(0.2),
    "watermark, opacity 10 %": _watermark(0.1),
    "watermark, opacity 5 %": _watermark(0.05),
    "watermark of 20 %, then JPEG 85": _saved(_watermark(0.2), 85),
}


def _of_files(root: Path | None, count: int, random: np.random.Generator) -> Iterator[ImageSet]:
    """How files were made, by class, and what of that reaches the pixels."""
    made: dict[str, tuple[Change, dict[str, tuple[object, object]]]] = {
        "transparency on white": (_onto_white, {"has_alpha": (True, False), "mode": ("RGBA", "RGB")}),
        "JPEG quality 20 and 95": (_saved(_unchanged, 20), {"quality": (20, 95)}),
        "JPEG quality 75 and 95": (_saved(_unchanged, 75), {"quality": (75, 95)}),
        "file format": (_unchanged, {"format": ("PNG", "JPEG")}),
        "size in pixels, half as large": (
            lambda pixels, random: resized(resized(pixels, 16), 32), {"width": (16, 32), "height": (16, 32)}
        ),
        "size in pixels, of which nothing is seen": (_unchanged, {"width": (600, 640)}),
        "brighter by 40": (lambda pixels, random: _bytes(pixels + 40.0), {}),
        "contrast of 60 %": (lambda pixels, random: _bytes(128 + 0.6 * (pixels - 128.0)), {}),
        "blurred a little": (_blurred, {}),
        "sensor noise": (lambda pixels, random: _bytes(pixels + random.normal(0, 10, pixels.shape)), {}),
        "grey pictures": (_grey, {}),
        "EXIF in one class alone": (_unchanged, {"camera": ("Canon EOS 80D", "")}),
        "another camera": (_unchanged, {"camera": ("Canon EOS 80D", "NIKON D90")}),
        "taken in another month": (_unchanged, {"taken": (1.70e9, 1.71e9)}),
    }  # fmt: skip
    for name, (change, facts) in made.items():
        pixels, labels = base(root, count, random)
        pixels[labels == 0] = change(pixels[labels == 0], random)
        images = named(pixels, labels, random)
        columns = {key: np.where(images.labels == 0, *pair) for key, pair in facts.items()}
        if "taken" in columns:
            columns["taken"] = columns["taken"] + random.uniform(0, 1e6, len(images))
        yield ImageSet(name, images, columns)


def _of_names(root: Path | None, count: int, random: np.random.Generator) -> Iterator[ImageSet]:
    images = named(*base(root, count, random), random)
    numbers = random.permutation(10 * count)[:count]
    both = list(zip(images.labels.tolist(), numbers.tolist(), strict=True))
    kinds = {
        "name says the class": [f"x/{images.classes[label]}_{number:06}.png" for label, number in both],
        "name begins otherwise": [f"x/{'DSC' if label else 'IMG'}_{number:06}.png" for label, number in both],
        "name has other numbers": [
            f"x/{number + 10 * count * (label == 0):06}.png" for label, number in both
        ],
    }
    for name, names in kinds.items():
        order = np.argsort(names)
        yield ImageSet(name, replace(images, names=tuple(names)).take(order))
    blocks = np.argsort(
        np.repeat(random.permutation(count // 50), 50)[np.argsort(np.argsort(images.labels))], kind="stable"
    )
    names = tuple(f"x/{random.integers(2**40):010x}.png" for _ in range(count))
    yield ImageSet("order: 50 images of a class at a time", replace(images.take(blocks), names=names))


def _of_images(root: Path | None, count: int, random: np.random.Generator) -> Iterator[ImageSet]:
    """Images that show the same: patients, copies that are held out apart, two labels for a picture."""
    for name, shuffled in (("patients that were not declared", False), ("patients, names in no order", True)):
        seen = patients(*base(root, count // 5, random), random)
        yield ImageSet(name, named(seen.pixels, seen.labels, random) if shuffled else seen)
    copies: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "copies, equal": lambda image: image,
        "copies, turned by 90°": lambda image: np.rot90(image, axes=(1, 2)),
        "copies, turned by 4°": lambda image: _turned(image, 4),
        "copies, smaller and back": lambda image: resized(resized(image[None], 20), 32)[0],
        "copies, framed": lambda image: np.pad(resized(image[None], 28)[0], ((0, 0), (2, 2), (2, 2))),
    }
    for name, copied in copies.items():
        pixels, labels = base(root, count, random)
        some = random.permutation(count)[: count // 6]
        more = np.stack([copied(pixels[i]) for i in some])
        both, their = np.concatenate([pixels, more]), np.concatenate([labels, labels[some]])
        yield ImageSet(name, named(both, their, random), apart=True)
    pixels, labels = base(root, count, random)
    some = random.permutation(np.flatnonzero(labels == 0))[:20]
    both, their = np.concatenate([pixels, pixels[some]]), np.concatenate([labels, np.ones(20, int)])
    yield ImageSet("20 pictures with two labels", named(both, their, random))


def patients(pixels: np.ndarray, labels: np.ndarray, random: np.random.Generator) -> Images:
    """Each image five times, as other photographs of the same thing, one after the other."""
    of = np.lexsort((np.arange(len(labels)), labels)).repeat(5)
    names = tuple(f"class{label}/{place:06}.png" for place, label in enumerate(labels[of]))
    classes = tuple(f"class{label}" for label in range(3))
    return Images(_viewed(pixels[of], random), labels[of].astype(np.int64), classes, names)


def _viewed(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Each again, as another photograph of one thing: moved, turned, otherwise lit, with noise."""
    views = []
    for image in pixels:
        around = np.pad(image, ((0, 0), (4, 4), (4, 4)), mode="reflect")
        row, column = random.integers(0, 9, 2)
        view = _turned(around[:, row : row + 32, column : column + 32], random.uniform(-10, 10))
        views.append(
            view * random.uniform(0.7, 1.2)
            + random.normal(0, 12, (3, 1, 1))
            + random.normal(0, 6, view.shape)
        )
    return _bytes(np.stack(views))


def _turned(image: np.ndarray, degrees: float) -> np.ndarray:
    picture = Image.fromarray(np.pad(image, ((0, 0), (6, 6), (6, 6)), mode="reflect").transpose(1, 2, 0))
    found = np.asarray(picture.rotate(degrees, Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    return found[:, 6:-6, 6:-6]
