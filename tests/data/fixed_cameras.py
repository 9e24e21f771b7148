"""Made-up images of fixed cameras: one scene, in which a small part differs, with noise and shaking hands."""

from collections.abc import Callable, Iterator

import numpy as np
from scipy.ndimage import gaussian_filter

SIDE = 32
NOISE = 4.0  # grey levels
Scene = tuple[np.ndarray, np.ndarray]  # uint8 (N, 3, 32, 32), labels
DOWN, RIGHT = np.mgrid[:SIDE, :SIDE] - SIDE / 2 + 0.5
RADIUS = np.hypot(DOWN, RIGHT)


def lamp(random: np.random.Generator, count: int) -> Iterator[np.ndarray]:
    """Before a wall of noise: green and low, or red and high."""
    wall = np.repeat(120 + 25 * random.normal(size=(1, SIDE, SIDE)), 3, axis=0)
    for index in range(count):
        image = wall.copy()
        rows, colour = ((3, 12), (220, 30, 40)) if index % 2 else ((20, 29), (30, 220, 40))
        image[:, slice(*rows), 11:20] = np.array(colour)[:, None, None]
        yield image


def signal(random: np.random.Generator, count: int) -> Iterator[np.ndarray]:
    """One small light, green or red."""
    scene = _machine(random)
    for index in range(count):
        image = scene.copy()
        image[:, 12:18, 12:18] = np.array((220, 30, 40) if index % 2 else (30, 220, 40))[:, None, None]
        yield image


def defect(random: np.random.Generator, count: int) -> Iterator[np.ndarray]:
    """A part of a machine, good or with a defect of two pixels anywhere."""
    part = _machine(random)
    for index in range(count):
        image = part.copy()
        if index % 2:
            row, column = random.integers(6, SIDE - 8, 2)
            image[:, row : row + 2, column : column + 2] = 20
        yield image


def gauge(random: np.random.Generator, count: int) -> Iterator[np.ndarray]:
    """A needle on a dial, low or high."""
    scene = _machine(random).mean(0, keepdims=True).repeat(3, 0) * 0.3 + 120
    scene[:, RADIUS < SIDE * 0.42] = 220
    scene[:, (RADIUS < SIDE * 0.42) & (RADIUS > SIDE * 0.36)] = 60
    for index in range(count):
        angle = np.deg2rad(-120 + 240 * (index % 2 + random.uniform(0.1, 0.9)) / 2)
        along, across = (
            RIGHT * np.sin(angle) - DOWN * np.cos(angle),
            RIGHT * np.cos(angle) + DOWN * np.sin(angle),
        )
        image = scene.copy()
        image[:, (along > 0) & (along < SIDE * 0.33) & (np.abs(across) < 1.2)] = 20
        yield image


def shelf(random: np.random.Generator, count: int) -> Iterator[np.ndarray]:
    """Twelve things, or eleven."""
    wall = _machine(random)
    things = [(row, column, random.uniform(30, 230, 3)) for row in (3, 13, 23) for column in (2, 10, 18, 25)]
    for index in range(count):
        image, missing = wall.copy(), random.integers(len(things)) if index % 2 else -1
        for place, (row, column, colour) in enumerate(things):
            if place != missing:
                image[:, row : row + 6, column : column + 5] = colour[:, None, None]
        yield image


def face(random: np.random.Generator, count: int) -> Iterator[np.ndarray]:
    """Different people, all posed alike, without and with glasses."""
    down, right = DOWN / SIDE, RIGHT / SIDE
    for index in range(count):
        image = np.ones((3, SIDE, SIDE)) * random.uniform(60, 200, 3)[:, None, None]
        width, height = 0.28 + random.normal(0, 0.02), 0.38 + random.normal(0, 0.02)
        image[:, (right / (width + 0.06)) ** 2 + ((down + 0.06) / (height + 0.05)) ** 2 < 1] = random.uniform(
            10, 120, 3
        )[:, None]
        skin = ((right / width) ** 2 + (down / height) ** 2 < 1) & (down > -0.25 + random.normal(0, 0.02))
        image[:, skin] = random.normal((200, 160, 140), 15)[:, None]
        for side in (-1, 1):
            eye = side * (0.12 + random.normal(0, 0.01))
            image[:, np.hypot(right - eye, down + 0.05 + random.normal(0, 0.01)) < 0.04] = 20
            rim = np.hypot(right - eye, down + 0.05)
            if index % 2:
                image[:, (rim < 0.1) & (rim > 0.07)] = 10
        yield gaussian_filter(image, (0, 0.5, 0.5))


def microscope(random: np.random.Generator, count: int) -> Iterator[np.ndarray]:
    """A bright field with small cells, or with large ones."""
    field = np.where(RADIUS < SIDE * 0.45, 200.0, 10.0)
    for index in range(count):
        image = field * np.array((0.9, 0.8, 1.0))[:, None, None]
        for _ in range(random.integers(2, 5)):
            angle, distance = random.uniform(0, 2 * np.pi), SIDE * 0.36 * np.sqrt(random.uniform())
            size = random.uniform(1.2, 2.2) * (1.6 if index % 2 else 1)
            cell = np.hypot(DOWN - distance * np.sin(angle), RIGHT - distance * np.cos(angle)) < size
            image[:, cell] = np.array((120, 40, 140))[:, None]
        yield gaussian_filter(image, (0, 0.4, 0.4))


def belt(random: np.random.Generator, count: int) -> Iterator[np.ndarray]:
    """The same part on a belt that moves, scratched or not."""
    part, inside = _machine(random) + 60, RADIUS < SIDE * 0.33
    for index in range(count):
        image = np.repeat(60 + 6 * _smooth(random, 1)[None], 3, axis=0)
        image[:, inside] = part[:, inside]
        if index % 2:
            row, column = random.integers(SIDE // 2 - 6, SIDE // 2 + 5, 2)
            image[:, row, column : column + 5] = 240
        yield image


def webcam(random: np.random.Generator, count: int) -> Iterator[np.ndarray]:
    """A street from dusk till dawn, empty or with a car."""
    street = _machine(random)
    for index in range(count):
        image = street * random.uniform(0.6, 1.2)
        if index % 2:
            row, column = random.integers(4, SIDE - 10, 2)
            image[:, row : row + 5, column : column + 5] = random.uniform(0, 60)
        yield image


def parking(random: np.random.Generator, count: int) -> Iterator[np.ndarray]:
    """Three places with a camera each, where cars come and go: few in even images, many in odd ones."""
    grounds = [_machine(random) * 0.4 + random.uniform(40, 90) for _ in range(3)]
    corners = [[(row + down, column) for row in (6, 17) for column in (6, 11, 16, 21)] for down in range(3)]
    for ground, slots in zip(grounds, corners, strict=True):
        for row, column in slots:
            ground[:, row : row + 8, column - 1] = 210
    for index in range(count):
        place = index // 2 % 3
        image = grounds[place] * random.uniform(0.8, 1.2)
        for slot in random.choice(
            8, random.integers(5, 8) if index % 2 else random.integers(1, 4), replace=False
        ):
            row, column = corners[place][slot]
            image[:, row : row + 7, column : column + 4] = random.uniform(20, 230, (3, 1, 1))
        yield image


SCENES: dict[str, Callable[[np.random.Generator, int], Iterator[np.ndarray]]] = {
    scene.__name__: scene
    for scene in (lamp, signal, defect, gauge, shelf, face, microscope, belt, webcam, parking)
}


def seen(name: str, count: int, *, shake: int = 0, seed: int = 0, noise: float = NOISE) -> Scene:
    """So many images of a scene and their labels, 0, 1, 0, 1, ….   shake: pixels that the camera moves at most."""
    random = np.random.default_rng(seed)
    images = []
    for image in SCENES[name](random, count):
        down, right = random.integers(-shake, shake + 1, 2)
        around = np.pad(image, ((0, 0), (4, 4), (4, 4)), mode="edge")
        view = around[:, 4 + down : 4 + down + SIDE, 4 + right : 4 + right + SIDE]
        exposed = view * (1 + random.normal(0, 0.01)) + random.normal(0, noise, view.shape)
        images.append(np.clip(np.rint(exposed), 0, 255).astype(np.uint8))
    return np.stack(images), np.arange(count) % 2


def _machine(random: np.random.Generator) -> np.ndarray:
    """Something with texture and edges: float (3, 32, 32)."""
    ground = 120 + 30 * _smooth(random, 3) + 8 * _smooth(random, 1)
    image = np.stack([ground * (1 + 0.1 * channel * random.normal()) for channel in range(3)])
    for _ in range(4):
        row, column = random.integers(0, SIDE - 8, 2)
        height, width = random.integers(4, SIDE // 2, 2)
        image[:, row : row + height, column : column + width] += random.normal(0, 30, (3, 1, 1))
    return image


def _smooth(random: np.random.Generator, width: float) -> np.ndarray:
    field: np.ndarray = gaussian_filter(random.normal(size=(SIDE, SIDE)), width, mode="wrap")
    return field / field.std()
