"""What is compared of images: their luminance at two sizes, and its detail.

Detail, what is left of an image without its coarse forms, tells pictures apart: two skies or two horses resemble one
another in form, and not in detail. Brightness, contrast and JPEG change little of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SIDE = 32  # pixels: images are compared at this size
MARGIN = 6  # pixels at the edges that are not compared: there may be a frame, or nothing to compare with
INNER = SIDE - 2 * MARGIN
PARTS = 4  # along each axis
LEVEL = 1 / 16  # of an image's deviation: within this is one brightness
FAINT = 1.5  # grey levels: a part whose detail deviates less has none


@dataclass(frozen=True, eq=False)
class Looks:
    """What is compared of images: their luminance, smoothed, at two sizes, and its detail.

    smooth: (n, 32, 32).   coarse: (n, 16, 16).   detail: (n, 20, 20), without edges, each part of mean 0 and length 1,
    or 0 where it has none. As kept they are float16.   flat: bool (n,), whether half of an image has one brightness.
    """

    smooth: np.ndarray
    coarse: np.ndarray
    detail: np.ndarray
    flat: np.ndarray

    @classmethod
    def at(cls, scaled: np.ndarray) -> "Looks":
        """Of images as `resized` makes them."""
        grey = luminance(scaled)
        smooth = blurred(grey)
        parts = cut(detail_of(smooth)[:, MARGIN:-MARGIN, MARGIN:-MARGIN])
        parts = parts - parts.mean((2, 4), keepdims=True)
        length = np.sqrt(np.square(parts).sum((2, 4), keepdims=True))
        has_detail = length >= FAINT * (INNER // PARTS)
        detail = np.where(has_detail, parts / np.maximum(length, 1e-6), 0).reshape(-1, INNER, INNER)
        coarse = smooth.reshape(-1, SIDE // 2, 2, SIDE // 2, 2).mean((2, 4))
        levels = np.sort(np.rint(grey).astype(np.uint8).reshape(len(grey), SIDE**2), axis=1)
        half = SIDE**2 // 2
        flat = (levels[:, half:] - levels[:, :-half]).min(1, initial=255) <= LEVEL * grey.std((1, 2))
        return cls(smooth.astype(np.float16), coarse.astype(np.float16), detail.astype(np.float16), flat)

    @classmethod
    def together(cls, several: Sequence["Looks"]) -> "Looks":
        return cls(
            *(np.concatenate(parts) for parts in zip(*(one._arrays() for one in several), strict=True))
        )

    def _arrays(self) -> tuple[np.ndarray, ...]:
        return self.smooth, self.coarse, self.detail, self.flat


def turned(images: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """Images (n, …, H, W), each mirrored where its turn is odd, and then turned by turn // 2 quarters of a circle."""
    lying = images.copy()
    for turn in set(turns.tolist()) - {0}:
        chosen = turns == turn
        some = images[chosen]
        lying[chosen] = np.rot90(some[..., ::-1] if turn % 2 else some, turn // 2, axes=(-2, -1))
    return lying


def detail_of(images: np.ndarray) -> np.ndarray:
    detail: np.ndarray = images - blurred(blurred(images))
    return detail


def blurred(images: np.ndarray) -> np.ndarray:
    """By the binomial filter of five pixels, along both axes of (n, H, W)."""
    height, width = images.shape[1:]
    padded = np.pad(images, ((0, 0), (2, 2), (0, 0)), mode="edge")
    images = _binomial([padded[:, shift : shift + height] for shift in range(5)])
    padded = np.pad(images, ((0, 0), (0, 0), (2, 2)), mode="edge")
    return _binomial([padded[..., shift : shift + width] for shift in range(5)])


def _binomial(shifts: Sequence[np.ndarray]) -> np.ndarray:
    mean: np.ndarray = (shifts[0] + shifts[4] + 4 * (shifts[1] + shifts[3]) + 6 * shifts[2]) / np.float32(16)
    return mean


def resized(pixels: np.ndarray) -> np.ndarray:
    """uint8 (n, C, H, W) as float32 (n, C, 32, 32): averaged where they are larger, interpolated where smaller."""
    down, right = (_resampling(size) for size in pixels.shape[2:])
    scaled: np.ndarray = down @ pixels.astype(np.float32) @ right.T
    return scaled


def _resampling(size: int) -> np.ndarray:
    """(32, size): the weights of a triangle filter, as Pillow's bilinear one has them."""
    width = max(size / SIDE, 1)
    centres = (np.arange(SIDE)[:, None] + 0.5) * size / SIDE
    weights = np.maximum(1 - np.abs(np.arange(size) + 0.5 - centres) / width, 0)
    scaled: np.ndarray = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    return scaled


def luminance(pixels: np.ndarray) -> np.ndarray:
    """(n, C, H, W) as float32 (n, H, W)."""
    channels = pixels.shape[1]
    weights = np.array((0.299, 0.587, 0.114) if channels == 3 else (1 / channels,) * channels, np.float32)
    grey: np.ndarray = np.einsum("nchw,c->nhw", pixels, weights, dtype=np.float32, casting="unsafe")
    return grey


def cut(values: np.ndarray) -> np.ndarray:
    """(n, …) without edges as parts (n, PARTS, y, PARTS, x)."""
    parts: np.ndarray = values.reshape(-1, PARTS, INNER // PARTS, PARTS, INNER // PARTS)
    return parts
