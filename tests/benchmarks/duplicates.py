"""The search for duplicates: what it finds of planted copies, by kind, what it joins wrongly, and how long it takes.

Copies of some images are planted among all that --first and --every choose of the sorted files of --root, so that what
was tuned on some of them can be checked on others; without --root, among smooth random images. Wrong are sure pairs of
different pictures: an image and a copy of another, where no pairs, sure or likely, connect their originals. Sure pairs
of originals are counted, and --sheet shows them: whether they are right, only eyes can tell. Images of fixed cameras,
standing still and shaking, have different labels: each that is joined with another is wrongly joined.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from harness.data.grouping import components
from harness.data.image_similarity import LIKELY
from harness.data.near_duplicates import Duplicates, find
from tests.data.fixed_cameras import SCENES, seen
from tests.data.photographs import COPIES

SMALL = ("--images", "2000", "--copies", "50", "--timed", "5000", "--frames", "20")
SHAKES = (0, 2)  # pixels
Row = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root", type=Path, help="folder of class folders of 32×32 images; else random ones")
    parser.add_argument("--images", type=int, default=10_000, help="originals")
    parser.add_argument(
        "--every", type=int, default=5, help="of the sorted files every so manieth is an original"
    )
    parser.add_argument("--first", type=int, default=0, help="and this is the first")
    parser.add_argument(
        "--copies", type=int, default=500, help="of each kind, each of another original if there are enough"
    )
    parser.add_argument(
        "--frames", type=int, nargs="*", default=[10, 60, 300], help="images of a fixed camera"
    )
    parser.add_argument("--timed", type=int, default=50_000, help="images to measure the time with; 0: none")
    parser.add_argument(
        "--sheet", type=Path, help="a PNG file for the sure pairs of originals, the least sure first"
    )


def report(options: argparse.Namespace) -> list[Row]:
    images = read(options.root, options.images, options.first, options.every)
    rows = list(planted(images, options.copies, options.sheet))
    for count in options.frames:
        rows += [fixed_camera(scene, count, shake) for scene in SCENES for shake in SHAKES]
    if options.timed:
        rows.append(timed("different images", read(options.root, options.timed, 0, 1)))
        rows.append(timed("images that look alike", lookalikes(options.timed // 5)))
    return rows


def planted(originals: np.ndarray, copies: int, sheet: Path | None) -> Iterator[Row]:
    """A row for each kind of copy, and one for the originals."""
    random = np.random.default_rng(0)
    order = np.resize(random.permutation(len(originals)), len(COPIES) * copies).reshape(len(COPIES), copies)
    changed = [
        change(originals[index]) for change, of in zip(COPIES.values(), order, strict=True) for index in of
    ]
    pixels = np.concatenate([originals, np.stack(changed)])
    found = find(pixels)
    original = np.concatenate([np.arange(len(originals)), order.ravel()])  # that each image shows
    sure = found.pairs[found.sure]
    among = found.of((found.pairs < len(originals)).all(1) & (found.level >= LIKELY))
    picture = components(among.pairs, len(originals))[original]
    wrong = picture[sure[:, 0]] != picture[sure[:, 1]]
    right = set(map(tuple, np.sort(sure[~wrong], axis=1).tolist()))
    joined = components(sure, len(pixels))
    kind_of = (np.arange(len(pixels)) - len(originals)) // copies
    for place, (name, of) in enumerate(zip(COPIES, order, strict=True)):
        here = len(originals) + place * copies + np.arange(copies)
        yield {
            "of": "copies", "name": name, "images": copies,
            "found": float(np.mean([pair in right for pair in zip(of.tolist(), here.tolist(), strict=True)])),
            "joined": float((joined[here] == joined[of]).mean()),
            "wrong": int((wrong & (kind_of[sure] == place).any(1)).sum()),
        }  # fmt: skip
    if sheet is not None:
        draw(sheet, originals, among.of(among.sure))
    yield {"of": "originals", "name": "sure pairs", "images": len(originals), "found": int(among.sure.sum())}


def draw(sheet: Path, originals: np.ndarray, found: Duplicates, columns: int = 12, scale: int = 3) -> None:
    """Pairs side by side, each image so many times as large, row by row, the least similar first."""
    order = np.argsort(found.similarity, kind="stable")
    tiles = []
    for one, two in found.pairs[order]:
        pair = np.concatenate([originals[one], originals[two]], axis=2).repeat(scale, 1).repeat(scale, 2)
        tiles.append(np.pad(pair, ((0, 0), (4, 4), (4, 4)), constant_values=255))
    blank = np.full_like(tiles[0], 255) if tiles else np.full((3, 8, 8), 255, np.uint8)
    tiles += [blank] * (-len(tiles) % columns or columns * (not tiles))
    rows = [np.concatenate(tiles[start : start + columns], axis=2) for start in range(0, len(tiles), columns)]
    Image.fromarray(np.concatenate(rows, axis=1).transpose(1, 2, 0)).save(sheet)


def fixed_camera(scene: str, count: int, shake: int) -> Row:
    """How many of a camera's images are joined with others."""
    pixels, labels = seen(scene, count, shake=shake)
    sizes = np.bincount(find(pixels).groups(count, labels))
    name = f"{scene}, {'shaking' if shake else 'still'}"
    return {"of": "fixed camera", "name": name, "images": count, "wrong": int(sizes[sizes > 1].sum())}


def timed(name: str, images: np.ndarray) -> Row:
    started, used = time.perf_counter(), time.process_time()
    found = find(images)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - used
    return {
        "of": "time", "name": name, "images": len(images), "seconds": seconds, "cpu_seconds": cpu_seconds,
        "found": int(found.sure.sum()),
    }  # fmt: skip


def lookalikes(count: int) -> np.ndarray:
    """One picture under so much noise that no two images are duplicates, though all are candidates: the worst case."""
    random = np.random.default_rng(0)
    noise = random.normal(0, 40, (count, 3, 32, 32)).astype(np.float32)
    return np.clip(smooth_images(1, random)[0] + noise, 0, 255).astype(np.uint8)


def read(root: Path | None, count: int, first: int, every: int) -> np.ndarray:
    """Every so manieth of the sorted files of a folder of class folders, RGB; or random images if it is None."""
    if root is None:
        return smooth_images(count, np.random.default_rng(first))
    files = sorted(path for path in root.glob("*/*") if path.is_file())[first::every][:count]
    return np.stack([np.asarray(Image.open(path).convert("RGB")).transpose(2, 0, 1) for path in files])


def smooth_images(count: int, random: np.random.Generator) -> np.ndarray:
    """Noise whose amplitude falls with the frequency, as that of photographs does: uint8 (count, 3, 32, 32)."""
    frequencies = np.hypot(np.fft.fftfreq(32)[:, None], np.fft.rfftfreq(32)) + 1 / 32
    parts = []
    for start in range(0, count, 1000):
        shape = (min(1000, count - start), 3, *frequencies.shape)
        spectrum = (random.normal(size=shape) + 1j * random.normal(size=shape)) / frequencies
        spectrum[:, 1:] = 0.9 * spectrum[:, :1] + 0.3 * spectrum[:, 1:]  # channels resemble each other
        field = np.fft.irfft2(spectrum, s=(32, 32))
        parts.append(np.clip(127 + 50 * field / field.std((1, 2, 3), keepdims=True), 0, 255).astype(np.uint8))
    return np.concatenate(parts)


def table(rows: Sequence[Row]) -> str:
    lines = ["| copies | n | found | wrong pairs |", "|---|---|---|---|"]
    for row in (row for row in rows if row["of"] == "copies"):
        others = f", with others {row['joined']:.1%}" if row["joined"] > row["found"] else ""
        lines.append(f"| {row['name']} | {row['images']} | {row['found']:.1%}{others} | {row['wrong']} |")
    for row in (row for row in rows if row["of"] == "originals"):
        lines += ["", f"{row['images']:,} originals: {row['found']} sure pairs."]
    cameras = [row for row in rows if row["of"] == "fixed camera"]
    counts = sorted({row["images"] for row in cameras})
    heads = [f"of {count}" for count in counts]
    lines += ["", f"| fixed camera, wrongly joined | {' | '.join(heads)} |", "|---" * (len(counts) + 1) + "|"]
    for name in dict.fromkeys(row["name"] for row in cameras):
        wrong = {row["images"]: str(row["wrong"]) for row in cameras if row["name"] == name}
        lines.append(f"| {name} | {' | '.join(wrong[count] for count in counts)} |")
    lines += ["", "| time | images | seconds | of the processor | sure pairs |", "|---|---|---|---|---|"]
    for row in (row for row in rows if row["of"] == "time"):
        seconds = f"{row['seconds']:.1f} | {row['cpu_seconds']:.1f}"
        lines.append(f"| {row['name']} | {row['images']:,} | {seconds} | {row['found']:,} |")
    return "\n".join(lines)
