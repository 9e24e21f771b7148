"""Digits as hands draw them, simple pictures that resemble each other: slanted, stretched and trembling strokes."""

import numpy as np

SIDE = 28
RING = [(np.sin(angle), -np.cos(angle)) for angle in np.linspace(0, 2 * np.pi, 13)]
STROKES = {  # points that a pen joins, right and down, -1..1
    0: [[(0.6 * x, y) for x, y in RING]],
    1: [[(-0.3, -0.6), (0, -1), (0, 1)]],
    2: [[(-0.6, -0.5), (-0.2, -1), (0.4, -0.9), (0.5, -0.4), (-0.6, 1), (0.6, 1)]],
    3: [[(-0.5, -0.9), (0.3, -1), (0.5, -0.5), (0, 0), (0.5, 0.4), (0.3, 0.9), (-0.5, 1)]],
    4: [[(0.3, 1), (0.3, -1), (-0.6, 0.4), (0.6, 0.4)]],
    5: [[(0.5, -1), (-0.4, -1), (-0.5, -0.1), (0.2, -0.2), (0.5, 0.3), (0.2, 0.9), (-0.5, 1)]],
    6: [[(0.4, -1), (-0.4, 0), (-0.5, 0.6), (0, 1), (0.5, 0.6), (0, 0.1), (-0.5, 0.5)]],
    7: [[(-0.6, -1), (0.6, -1), (-0.1, 1)]],
    8: [[(0.4 * x, 0.45 * y - 0.5) for x, y in RING], [(0.5 * x, 0.5 * y + 0.5) for x, y in RING]],
    9: [[(0.4 * x + 0.05, 0.45 * y - 0.5) for x, y in RING], [(0.45, -0.5), (0.3, 1)]],
}


def drawn_digits(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """White on black: uint8 (count, 1, 28, 28), and which digits they are, int (count,)."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 10
    return np.stack([_drawn(STROKES[label], random)[None] for label in labels.tolist()]), labels


def _drawn(strokes: list[list[tuple[float, float]]], random: np.random.Generator) -> np.ndarray:
    angle, slant, size = random.normal(0, 0.12), random.normal(0.1, 0.15), random.uniform(8, 10)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shape = size * turn @ np.array([[random.uniform(0.8, 1.1), -slant], [0, 1]])
    middle = SIDE / 2 - 0.5 + random.normal(0, 0.5, 2)
    down, right = np.mgrid[:SIDE, :SIDE]
    distance = np.full((SIDE, SIDE), np.inf)
    for stroke in strokes:
        points = (np.array(stroke) + random.normal(0, 0.07, (len(stroke), 2))) @ shape.T + middle
        for (x, y), (dx, dy) in zip(points[:-1], np.diff(points, axis=0), strict=True):
            along = np.clip(((right - x) * dx + (down - y) * dy) / (dx**2 + dy**2), 0, 1)
            distance = np.minimum(distance, np.hypot(right - x - along * dx, down - y - along * dy))
    pen = random.uniform(0.9, 1.6)
    drawn: np.ndarray = np.rint(255 * np.clip(1 + pen - distance, 0, 1)).astype(np.uint8)
    return drawn
