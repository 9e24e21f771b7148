"""Real photographs to test with, offline: views cut from the two that come with scikit-learn, and what befalls them."""

import io
from functools import cache

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

SIDE, STEP = 128, 32
LEAST_CONTRAST = 15  # grey levels: views of a cloudless sky have too little to tell them by


def views(count: int, size: int = 32) -> np.ndarray:
    """Different views, evenly chosen from the 272 there are, scaled: uint8 (count, 3, size, size)."""
    every = _every_view()
    chosen = [every[place] for place in np.linspace(0, len(every) - 1, count).astype(int)]
    scaled = [Image.fromarray(view).resize((size, size), Image.Resampling.BILINEAR) for view in chosen]
    return np.stack([np.asarray(view).transpose(2, 0, 1) for view in scaled])


@cache
def _every_view() -> list[np.ndarray]:
    cut = [
        photo[y : y + SIDE, x : x + SIDE]
        for photo in load_sample_images().images
        for y in range(0, photo.shape[0] - SIDE + 1, STEP)
        for x in range(0, photo.shape[1] - SIDE + 1, STEP)
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
