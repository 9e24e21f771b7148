"""Photographs to test with, offline: views of two real ones, made-up ones, and what befalls them."""

import io
from collections.abc import Callable
from functools import cache

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter
from sklearn.datasets import load_sample_images

SIDE, STEP = 128, 32
PIECE = 64
LEAST_CONTRAST = 15  # grey levels: views of a cloudless sky have too little to tell them by


def views(count: int, size: int = 32) -> np.ndarray:
    """Different views, evenly chosen from the 272 there are, scaled: uint8 (count, 3, size, size)."""
    every = _every_view()
    chosen = [every[place] for place in np.linspace(0, len(every) - 1, count).astype(int)]
    scaled = [Image.fromarray(view).resize((size, size), Image.Resampling.BILINEAR) for view in chosen]
    return np.stack([np.asarray(view).transpose(2, 0, 1) for view in scaled])


def pieces(count: int, size: int = 32) -> np.ndarray:
    """The sharpest of the views that do not overlap: there are some 80."""
    cut = _every_view(PIECE, PIECE)
    sharpest = np.argsort([-np.abs(np.diff(view.mean(2))).mean() for view in cut], kind="stable")[:count]
    chosen = [cut[place] for place in np.sort(sharpest)]
    scaled = [Image.fromarray(view).resize((size, size), Image.Resampling.BILINEAR) for view in chosen]
    return np.stack([np.asarray(view).transpose(2, 0, 1) for view in scaled])


def dead_leaves(count: int, seed: int = 0, leaves: int = 30) -> np.ndarray:
    """Made-up photographs: things of all sizes before one another, as edges of real ones are: uint8 (count, 3, 32, 32).

    Source: Lee, Mumford and Huang 2001, Occlusion models for natural images.
    """
    random, side = np.random.default_rng(seed), 64
    down, right = np.mgrid[:side, :side]
    images = []
    for _ in range(count):
        image, warmth = np.zeros((3, side, side)), random.normal(0, 15) * np.array([1, 0, -1])
        for leaf in range(leaves):
            radius = random.uniform(40**-2, 7**-2) ** -0.5 if leaf else 10 * side
            angle, (middle, centre) = random.uniform(0, np.pi), random.uniform(0, side, 2)
            along = (right - centre) * np.cos(angle) + (down - middle) * np.sin(angle)
            across = (down - middle) * np.cos(angle) - (right - centre) * np.sin(angle)
            inside = np.hypot(along, across / random.uniform(0.4, 1)) < radius
            colour = 128 + random.normal(0, 45) + warmth + random.normal(0, 14, 3)
            shade = random.normal(0, 25) * along + random.normal(0, 25) * across
            image[:, inside] = colour[:, None] + shade[inside] / min(radius, side)
        texture = gaussian_filter(random.normal(size=(side, side)), 1.4)
        image = gaussian_filter(np.clip(image + 12 * texture / texture.std(), 0, 255), (0, 0.8, 0.8))
        images.append(np.rint(image.reshape(3, 32, 2, 32, 2).mean((2, 4))).astype(np.uint8))
    return np.stack(images)


@cache
def _every_view(side: int = SIDE, step: int = STEP) -> list[np.ndarray]:
    cut = [
        photo[y : y + side, x : x + side]
        for photo in load_sample_images().images
        for y in range(0, photo.shape[0] - side + 1, step)
        for x in range(0, photo.shape[1] - side + 1, step)
    ]
    return [view for view in cut if view.mean(2).std() >= LEAST_CONTRAST]


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """Written as a JPEG file and read again."""
    file = io.BytesIO()
    Image.fromarray(image.transpose(1, 2, 0)).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file)).transpose(2, 0, 1)


def brighter(image: np.ndarray, factor: float) -> np.ndarray:
    return np.clip(np.rint(image * factor), 0, 255).astype(np.uint8)


def more_contrast(image: np.ndarray, factor: float) -> np.ndarray:
    mean = image.mean()
    return np.clip(np.rint((image - mean) * factor + mean), 0, 255).astype(np.uint8)


def flipped(image: np.ndarray) -> np.ndarray:
    return image[..., ::-1]


def shifted(image: np.ndarray) -> np.ndarray:
    """By one pixel; the edge is repeated."""
    return np.concatenate([image[..., :1], image[..., :-1]], axis=-1)


def rotated(image: np.ndarray, degrees: float) -> np.ndarray:
    """About the middle; what comes in at the corners is black, as most programs leave it."""
    return _changed(image, lambda photo: photo.rotate(degrees, resample=Image.Resampling.BICUBIC))


def moved(image: np.ndarray, right: int, down: int = 0) -> np.ndarray:
    """By some pixels; the edge is repeated."""
    around = np.pad(image, ((0, 0), (8, 8), (8, 8)), mode="edge")
    height, width = image.shape[1:]
    return around[:, 8 - down : 8 - down + height, 8 - right : 8 - right + width]


def zoomed(image: np.ndarray, pixels: int) -> np.ndarray:
    """Without so many pixels at each edge, and at the old size."""
    size = image.shape[1]
    inside = (pixels, pixels, size - pixels, size - pixels)
    return _changed(image, lambda photo: photo.crop(inside).resize((size, size), Image.Resampling.BILINEAR))


def scaled_down_and_up(image: np.ndarray, size: int = 16) -> np.ndarray:
    return _changed(
        image, lambda photo: photo.resize((size, size), Image.Resampling.BILINEAR).resize(photo.size)
    )


def watermarked(image: np.ndarray) -> np.ndarray:
    """A pale band with a line across the lower half."""
    marked = image.astype(float)
    size = image.shape[1]
    across = slice(size // 8, size * 7 // 8)
    band = marked[:, size * 5 // 8 : size * 7 // 8, across]
    band += (255 - band) * 0.43
    marked[:, size * 3 // 4 : size * 3 // 4 + 2, across] *= 0.37
    return marked.astype(np.uint8)


def framed(image: np.ndarray, width: int = 3, level: int = 0) -> np.ndarray:
    """The edge is hidden by a frame."""
    inside = np.s_[:, width : image.shape[1] - width, width : image.shape[2] - width]
    inner = np.full_like(image, level)
    inner[inside] = image[inside]
    return inner


def set_into_frame(image: np.ndarray, width: int = 3, level: int = 255) -> np.ndarray:
    """All of it is there, a little smaller, within a frame."""
    size = image.shape[1] - 2 * width
    small = _changed(image, lambda photo: photo.resize((size, size), Image.Resampling.BICUBIC))
    return np.pad(small, ((0, 0), (width, width), (width, width)), constant_values=level)


def turned(image: np.ndarray, quarters: int) -> np.ndarray:
    return np.rot90(image, quarters, axes=(1, 2))


def _changed(image: np.ndarray, change: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    return np.asarray(change(Image.fromarray(image.transpose(1, 2, 0)))).transpose(2, 0, 1)


COPIES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "rotated by 5°": lambda image: rotated(image, 5),
    "rotated by -6°": lambda image: rotated(image, -6),
    "moved by 2 px": lambda image: moved(image, 2),
    "moved by 2 px both ways": lambda image: moved(image, 2, 2),
    "zoomed by 2 px": lambda image: zoomed(image, 2),
    "scaled to 16 px and back": scaled_down_and_up,
    "watermarked": watermarked,
    "framed": framed,
    "set into a frame": set_into_frame,
    "JPEG 10": lambda image: jpeg(image, 10),
    "JPEG 60": lambda image: jpeg(image, 60),
    "turned by 90°": lambda image: turned(image, 1),
    "turned by 180°": lambda image: turned(image, 2),
    "mirrored": flipped,
    "mirrored, rotated by 5°, JPEG 40": lambda image: jpeg(rotated(flipped(image), 5), 40),
    "brighter by 1.2": lambda image: brighter(image, 1.2),
    "less contrast by 0.75": lambda image: more_contrast(image, 0.75),
}
