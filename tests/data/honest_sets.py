"""Honest image sets of many kinds: nothing but what they show tells the class, however much of the border that is.

For measuring how often a probe is wrong about them.
"""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from harness.data import digits
from harness.data.images import Images
from harness.data.telling_facts import BYTES
from tests.data.fixed_cameras import SCENES, seen

SIDE = 32


@dataclass(frozen=True, eq=False)
class ImageSet:
    """name: of its kind.   facts: of its files, each (N,), by the columns of `harness.data.file_facts.Facts` and such.

    apart: whether copies are held out apart, as data.duplicates: ignore has it.
    """

    name: str
    images: Images
    facts: dict[str, np.ndarray] = field(default_factory=dict)
    apart: bool = False


def named(pixels: np.ndarray, labels: np.ndarray, random: np.random.Generator) -> Images:
    """With names like class2/004711.png, whose numbers say nothing; sorted by name, as those of a folder are."""
    numbers = random.permutation(len(labels) * 3)[: len(labels)]
    order = np.lexsort((numbers, labels))
    names = tuple(f"class{labels[i]}/{numbers[i]:06}.png" for i in order)
    classes = tuple(f"class{label}" for label in range(int(labels.max()) + 1))
    return Images(np.ascontiguousarray(pixels[order]), labels[order].astype(np.int64), classes, names)


def honest_sets(root: Path | None, *, seed: int = 0, scale: float = 1.0) -> Iterator[ImageSet]:
    """Some 200 sets.   root: folder of class folders of photographs.   scale: of the number of sets of each kind."""
    random = np.random.default_rng(seed)
    for name, make, count in KINDS:
        for _ in range(max(round(count * scale), 1)):
            own = np.random.default_rng(random.integers(2**32))
            if name == "photographs" and root is not None:
                yield photographs(root, own)
            elif name != "photographs":
                pixels, labels, what = make(own)
                images = named(pixels, labels, own)
                yield ImageSet(f"{name}: {what}", images, sizes(images))


def photographs(root: Path, random: np.random.Generator) -> ImageSet:
    """Two, three or ten classes of photographs, of 200 to 3,000, grey or in colour, 16 to 48 pixels wide."""
    pixels, labels = photographs_of(root)
    num_classes = min(int(random.choice([2, 2, 2, 3, 3, 5, 10])), int(labels.max()) + 1)
    num_images = int(random.choice([200, 300, 600, 1000, 2000, 3000]))
    classes = np.sort(random.permutation(int(labels.max()) + 1)[:num_classes])
    shares = random.choice([1.0, 1.0, 0.3], num_classes)
    chosen = [
        random.permutation(np.flatnonzero(labels == one))[: int(share * num_images / num_classes)]
        for one, share in zip(classes, shares, strict=True)
    ]
    some = np.concatenate(chosen)
    size, grey = int(random.choice([16, 32, 32, 32, 48])), bool(random.random() < 0.25)
    found = resized(pixels[some], size)
    found = found.mean(1, keepdims=True).round().astype(np.uint8) if grey else found
    what = f"photographs: {num_classes} classes, {size} pixels{', grey' if grey else ''}"
    images = named(found, np.searchsorted(classes, labels[some]), random)
    return ImageSet(what, images, sizes(images))


@cache
def photographs_of(root: Path, most: int = 1500) -> tuple[np.ndarray, np.ndarray]:
    """The first `most` images of each class folder: uint8 (n, 3, 32, 32), and labels."""
    files = [path for folder in sorted(root.iterdir()) for path in sorted(folder.iterdir())[:most]]
    pixels = np.stack([np.asarray(Image.open(path).convert("RGB")).transpose(2, 0, 1) for path in files])
    return pixels, np.unique([path.parent.name for path in files], return_inverse=True)[1]


def resized(pixels: np.ndarray, size: int) -> np.ndarray:
    if pixels.shape[-1] == size:
        return pixels
    scaled = [Image.fromarray(image.transpose(1, 2, 0)).resize((size, size)) for image in pixels]
    return np.stack([np.asarray(image).transpose(2, 0, 1) for image in scaled])


Made = tuple[np.ndarray, np.ndarray, str]


def _digits(random: np.random.Generator) -> Made:
    images = digits.load(Path(), "train", test_fraction=0.01)
    classes = np.sort(random.permutation(10)[: random.choice([2, 3, 5, 10])])
    some = random.permutation(np.flatnonzero(np.isin(images.labels, classes)))[
        : random.choice([200, 600, 1700])
    ]
    return images.pixels[some], np.searchsorted(classes, images.labels[some]), f"{len(classes)} classes"


def _large_digits(random: np.random.Generator) -> Made:
    """Of 28 pixels, as MNIST's are."""
    pixels, labels, what = _digits(random)
    pictures = [Image.fromarray(image[0]).resize((20, 20), Image.Resampling.BICUBIC) for image in pixels]
    large = np.stack([np.pad(np.asarray(picture), 4)[None] for picture in pictures])
    return large, labels, f"{what}, 28 pixels"


def _textures(random: np.random.Generator) -> Made:
    """Waves of a direction and a length by class, under noise."""
    num_classes, count = int(random.integers(2, 6)), int(random.choice([200, 500, 1000]))
    labels = np.arange(count) % num_classes
    directions, lengths = random.uniform(0, np.pi, num_classes), random.uniform(3, 12, num_classes)
    down, right = np.mgrid[:SIDE, :SIDE]
    turned = directions[labels] + random.normal(0, 0.15, count)
    along = np.cos(turned)[:, None, None] * down + np.sin(turned)[:, None, None] * right
    phase = random.uniform(0, 2 * np.pi, (count, 1, 1))
    waves = np.sin(2 * np.pi * along / lengths[labels][:, None, None] + phase)
    grey = 128 + random.uniform(15, 50, (count, 1, 1)) * waves
    tint = random.normal(0, 15, (count, 3, 1, 1))
    noise = random.normal(0, random.uniform(1, 30), (count, 3, SIDE, SIDE))
    return _bytes(grey[:, None] + tint + noise), labels, "waves"


def _fixed_cameras(random: np.random.Generator) -> Made:
    name = str(random.choice(sorted(SCENES)))
    shake, count, noise = (
        int(random.choice([0, 2])),
        int(random.choice([60, 200, 400])),
        float(random.choice([0.5, 3])),
    )
    pixels, labels = seen(name, count, shake=shake, seed=int(random.integers(2**32)), noise=noise)
    return pixels, labels, f"{name}, {'shaking' if shake else 'still'}, noise {noise}"


def _objects(random: np.random.Generator) -> Made:
    """A disc or a box in the middle, before one colour, noise or a smooth ground; its size or its form is the class."""
    count, ground = (
        int(random.choice([200, 600, 1500])),
        str(random.choice(["black", "white", "noise", "smooth"])),
    )
    by, varied = str(random.choice(["form", "size", "colour"])), float(random.choice([0, 5, 15]))
    labels, down, right = np.arange(count) % 2, *np.mgrid[:SIDE, :SIDE] - SIDE // 2
    images = np.empty((count, 3, SIDE, SIDE))
    for image, label in zip(images, labels, strict=True):
        level = {"black": 0, "white": 255}.get(ground, 128)
        image[:] = level
        if ground == "noise":
            image += random.normal(0, 50, image.shape)
        elif ground == "smooth":
            field = gaussian_filter(random.normal(size=(3, SIDE, SIDE)), (0, 5, 5), mode="wrap")
            image += random.normal(0, 50, (3, 1, 1)) + 50 * field / field.std()
        radius = random.uniform(8, 12) + (4 * label if by == "size" else 0)
        shift = random.integers(-2, 3, 2)
        far = [np.abs(down - shift[0]), np.abs(right - shift[1])]
        inside = np.maximum(*far) < 0.8 * radius if by == "form" and label else np.hypot(*far) < radius
        hue = random.uniform(40, 220, 3)
        if by == "colour":
            hue = np.array([200, 60, 60] if label else [60, 60, 200]) + random.normal(0, varied, 3)
        image[:, inside] = hue[:, None] + random.normal(
            0, random.uniform(0, 0.8 * varied + 0.1), (3, inside.sum())
        )
    return _bytes(images), labels, f"{by} before {ground}"


def _backgrounds(random: np.random.Generator) -> Made:
    """Above all the ground around an object tells the class, as sky and sea do."""
    count = int(random.choice([200, 600, 1500]))
    labels, down, right = np.arange(count) % 2, *np.mgrid[:SIDE, :SIDE] - SIDE // 2
    fields = gaussian_filter(random.normal(size=(count, 3, SIDE, SIDE)), (0, 0, 4, 4), mode="wrap")
    hues = np.array([[110, 150, 210], [60, 120, 70]])[labels] + random.normal(
        0, random.uniform(8, 30), (count, 3)
    )
    images = hues[:, :, None, None] + 15 * fields / fields.std()
    for image in images:
        inside = np.hypot(down, right) < random.uniform(5, 11)
        image[:, inside] = random.uniform(20, 230, (3, 1)) + random.normal(0, 20, (3, inside.sum()))
    return _bytes(images), labels, "sky and grass"


def _glyphs(random: np.random.Generator) -> Made:
    """Strokes on white, drawn by a program: no noise, at places that differ."""
    count, size = int(random.choice([200, 600])), 3
    labels, forms = np.arange(count) % size, random.random((size, 8, 8)) < 0.4
    images = np.full((count, 1, SIDE, SIDE), 255.0)
    for image, label in zip(images, labels, strict=True):
        form = forms[label].repeat(2, 0).repeat(2, 1)
        row, column = random.integers(4, 13, 2)
        image[0, row : row + 16, column : column + 16][form] = 0
    return _bytes(images), labels, "drawn"


def _flat_scenes(random: np.random.Generator) -> Made:
    """Smooth pictures without detail, of which one class is darker."""
    count = int(random.choice([200, 600]))
    labels = np.arange(count) % 2
    fields = gaussian_filter(random.normal(size=(count, 3, SIDE, SIDE)), (0, 0, 6, 6), mode="wrap")
    levels = (90 + 60 * labels + random.normal(0, 25, count))[:, None, None, None]
    return _bytes(levels + 25 * fields / fields.std()), labels, "smooth"


def _bytes(images: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(images), 0, 255).astype(np.uint8)


def _none(random: np.random.Generator) -> Made:
    raise AssertionError("photographs are read, not made")


KINDS: tuple[tuple[str, Callable[[np.random.Generator], Made], int], ...] = (
    ("photographs", _none, 90),
    ("digits", _digits, 20),
    ("large digits", _large_digits, 12),
    ("textures", _textures, 20),
    ("fixed cameras", _fixed_cameras, 36),
    ("objects", _objects, 36),
    ("backgrounds", _backgrounds, 12),
    ("glyphs", _glyphs, 8),
    ("smooth scenes", _flat_scenes, 8),
)


def sizes(images: Images) -> dict[str, np.ndarray]:
    """Facts of files that were all saved alike: how many bytes for each pixel."""
    lengths = [len(zlib.compress(image.tobytes(), 1)) for image in images.pixels]
    return {BYTES: np.array(lengths) / np.prod(images.pixels.shape[2:])}
