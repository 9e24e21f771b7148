"""The study file that `harness init` writes: what it has seen of the images decides sizes, ranges and objective."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.config import catalog
from harness.data.group_guess import Suggestion, suggest
from harness.errors import UsageError, did_you_mean
from harness.invocation import command

MOST_FILES = 500  # that are opened, spread evenly over the folder
LARGEST_SIDE = 64  # of images, to begin with: the time of a training grows with its square
UNEVEN = 3.0  # times as many images of the largest class as of the smallest
MOST_FOLDS, NUM_TRIALS = 5, 20
COLUMN = 46  # where comments begin
NUM_NAMED = 3  # classes that a line names


@dataclass(frozen=True)
class Seen:
    """What is known of the images.

    data: the study's `data` map.   num_images: without those known to be unreadable; 0 where they are not here yet.
    smallest, largest: a class and its number of images.   sizes: in pixels, in words.
    is_split: whether these are the training images alone; else a part of them is to be sealed.
    unreadable: files of those opened that are no whole image.   suggested: groups by the names of files, or None.
    too_small: classes, and their numbers of images, that no study can be of.
    """

    data: Mapping[str, Any]
    num_images: int
    num_classes: int
    smallest: tuple[str, int]
    largest: tuple[str, int]
    image_size: int
    is_grey: bool
    sizes: str
    is_split: bool = True
    unreadable: tuple[str, ...] = ()
    suggested: Suggestion | None = None
    too_small: tuple[tuple[str, int], ...] = ()

    @property
    def is_uneven(self) -> bool:
        return self.largest[1] >= UNEVEN * max(self.smallest[1], 1)

    def in_words(self) -> str:
        if not self.num_images:
            return f"{self.data['name']} is not on this machine yet: {command('check')} fetches it"
        counts = f"from {self.smallest[1]:,} of {_plain(self.smallest[0])} to {self.largest[1]:,} of "
        counts += _plain(self.largest[0])
        if self.smallest[1] == self.largest[1]:
            counts = f"{self.largest[1]:,} of each"
        colour = "grey" if self.is_grey else "colour"
        unread = f"; {len(self.unreadable):,} more cannot be read" if self.unreadable else ""
        return f"{self.num_images:,} {colour} images in {self.num_classes} classes, {counts}; {self.sizes}{unread}"


def look_at_folder(root: Path) -> Seen:
    """Lists all files and opens some. Raises DataError for what is no folder of classes."""
    import io

    from PIL import Image

    from harness.data.decoding import decode
    from harness.data.image_files import list_images, read
    from harness.standalone.image_pixels import UnreadableError

    path = _normalised(str(root.expanduser().absolute()))
    try:
        path.encode()
    except UnicodeEncodeError:
        raise UsageError(
            f"{root!r}: a path that is no UTF-8 cannot stand in a study file; rename it"
        ) from None
    listing = list_images(Path(path), "train")
    counts = np.bincount([file.label for file in listing.files], minlength=len(listing.classes))
    sides, unreadable, is_grey = [], [], True
    for file in listing.files[:: -(-len(listing.files) // MOST_FILES)]:
        try:
            content = read(file.path)
            pixels = decode(content, image_size=LARGEST_SIDE, channels=3)
        except UnreadableError as error:
            unreadable.append(f"{file.name} ({error})")
            counts[file.label] -= 1
            continue
        with Image.open(io.BytesIO(content)) as opened:
            sides.append(opened.size)
        is_grey = is_grey and bool((pixels == pixels[:1]).all())
    if not sides:
        raise UsageError(f"{root}: none of its images can be read: {'; '.join(unreadable[:3])}")
    small, large = int(counts.argmin()), int(counts.argmax())
    shortest = sorted(min(size) for size in sides)
    widths, heights = zip(*sides, strict=True)
    sizes = f"{min(widths)}×{min(heights)} to {max(widths)}×{max(heights)} pixels"
    if len(set(sides)) == 1:
        sizes = f"{widths[0]}×{heights[0]} pixels"
    size = min(max(shortest[len(shortest) // 2], 8), LARGEST_SIDE)
    data = {"name": "folder", "root": path, "image_size": size, "channels": 1 if is_grey else 3}
    return Seen(
        data | ({"unreadable": "skip"} if unreadable else {}),
        int(counts.sum()),
        len(listing.classes),
        (listing.classes[small], int(counts[small])),
        (listing.classes[large], int(counts[large])),
        size,
        is_grey,
        sizes,
        listing.official,
        tuple(unreadable),
        suggest([file.name for file in listing.files], [file.label for file in listing.files]),
        tuple(
            (name, count)
            for name, count in zip(listing.classes, counts.tolist(), strict=True)
            if count < _least(is_split=listing.official)
        ),
    )


def _normalised(path: str) -> str:
    """Without `..`, unless that leads elsewhere, as behind a link to a folder."""
    plain = os.path.normpath(path)
    try:
        return plain if Path(plain).samefile(path) else path
    except OSError:
        return path


def look_at_data_set(name: str) -> Seen:
    """Loads a data set that is on this machine; one that is not is not fetched."""
    from harness.data import is_here, load_training
    from harness.data.class_counts import count_classes

    entry = catalog.entry("data", name)
    if entry is None:
        raise UsageError(f"no data set {name!r}{did_you_mean(name, list(catalog.known('data')))}")
    if required := [option.name for option in entry.options if option.required]:
        advice = command("init", "FOLDER") if name == "folder" else f"a study file with data.{required[0]}"
        raise UsageError(f"--data {name}: its {', '.join(required)} is needed; use {advice}")
    if name in catalog.datasets() and not is_here(name):
        return Seen({"name": name}, 0, 0, ("", 0), ("", 0), 32, is_grey=False, sizes="")
    images = load_training({"name": name})
    _, channels, height, width = images.pixels.shape
    counted = count_classes(images)
    return Seen(
        {"name": name},
        len(images),
        counted.num_classes,
        counted.smallest,
        counted.largest,
        height,
        is_grey=channels == 1,
        sizes=f"{width}×{height} pixels",
    )


def study_text(name: str, seen: Seen, *, with_groups: bool = False) -> str:
    """A study file in which every line says what it is.   with_groups: those that names suggest; else as a comment."""
    trained_share = 1.0 if seen.is_split else 0.8
    fewest = int(seen.smallest[1] * trained_share) if seen.num_images else MOST_FOLDS
    folds = max(2, min(MOST_FOLDS, fewest))
    in_training = int(seen.num_images * trained_share * (folds - 1) / folds) or 40_000
    batch_size = int(min(max(2 ** round(np.log2(max(in_training / 16, 1))), 16), 256))
    epochs = 30 if in_training < 2_000 else 20
    data = [
        (key, json.dumps(value, ensure_ascii=False) if key == "root" else value)
        for key, value in seen.data.items()
    ]
    entry = catalog.entry("data", str(seen.data["name"]))
    said = {
        "name": _plain(entry.summary.partition(":")[0] if entry else "") or "the data set",
        "root": "where the images are",
        "image_size": "pixels a side, after cutting to a square; more show more and take longer",
        "channels": "1: grey images" if seen.is_grey else "3: colour images; 1 makes them grey",
        "unreadable": f"{len(seen.unreadable)} of the files looked at cannot be read; refuse would end the study",
    }
    lines = [
        f"# How good does a small ResNet get on {_plain(name)}, and which settings suit it best?",
        "",
        f"# {_plain(seen.in_words())}",
        f"#   harness check {_quoted(name)}           what is searched, and whether the network can be trained",
        f"#   harness tune --study {_quoted(name)}    the study; stopped, the same command goes on",
        "# A list like [16, 32] or a range like {low: 1, high: 3} is searched; a single value stays.",
        "# All that can be set: harness list models, harness list models resnet, harness list train.",
        _line("data:", "the images"),
        *[_line(f"  {key}: {_escaped(str(value))}", said[key]) for key, value in data],
    ]
    if not seen.is_split:
        lines.append(
            _line("  test_fraction: 0.2", "share of the images that is sealed until `harness final`")
        )
    if seen.suggested is not None:
        count = f"{seen.suggested.num_groups:,} groups by the names of files; none of them is split"
        why = count if with_groups else f"{count}. Remove the first # if they belong together"
        lines.append(_line(f"  {'' if with_groups else '# '}{_escaped(seen.suggested.line)}", why))
    lines += [
        _line("model:", "the network"),
        _line("  name: resnet", "a small residual network; others: harness list models"),
        _line(
            f"  depth: {{low: {1 if seen.image_size < 16 else 2}, high: 3}}",
            "stages of layers; each sees larger parts of the image",
        ),
        _line("  width: [16, 32]", "channels of the first stage: more can learn more and take longer"),
        _line(
            "  dropout: {low: 0.0, high: 0.4}",
            "share of features left out at random, against learning by heart",
        ),
        _line("train:", "how it is trained"),
        _line(f"  epochs: {epochs}", "times that all training images are gone through"),
        _line(f"  batch_size: [{batch_size // 2}, {batch_size}]", "images a step"),
        _line(
            "  lr: {low: 0.01, high: 0.3, log: true}",
            "learning rate, the most important: how large the steps are",
        ),
        _line("  optimizer: sgd", "what makes a step of a gradient; adamw with lr from 1e-4 to 1e-2"),
        _line("  schedule: one_cycle", "the learning rate rises, and falls to almost nothing at the end"),
        _line("  augment: standard", "training images are shifted at random; none: used as they are"),
        _line(
            "  flip: [random, none]",
            "whether they are mirrored, too; only none for text, digits and the like",
        ),
    ]
    if seen.is_uneven:
        lines.append(
            _line(
                "  sampling: [shuffle, balanced]", "balanced: rare classes are seen as often as frequent ones"
            )
        )
    metric = "balanced_accuracy" if seen.is_uneven else "accuracy"
    why = "share of images that are recognised"
    if seen.is_uneven:
        why = "mean over the classes, for accuracy alone hardly sees the rare ones"
    return "\n".join(
        [
            *lines,
            _line("cv:", "cross-validation: scores are of images that were not trained on"),
            _line(f"  folds: {folds}", "trainings of a trial, each with another part held out"),
            _line("  duplicates: near", "copies of an image are held out together"),
            _line("search:", "which values are tried"),
            _line(f"  trials: {NUM_TRIALS}", "how many choices of values, the first of them the defaults"),
            _line("  sampler: tpe", "learns from the trials so far where good values are"),
            _line("  racing: paired", "ends trials that can no longer win; none: all get all folds"),
            _line("  seed: 0", "another number, other random numbers"),
            _line(f"objective: {metric}", why),
            "",
        ]
    )


def few_images(seen: Seen) -> str:
    """A warning of classes that cannot be in two folds and in the test part, or ""."""
    if not seen.too_small:
        return ""
    least = _least(is_split=seen.is_split)
    named = [
        f"{_plain(name)} has {count} image{'s' * (count > 1)}" for name, count in seen.too_small[:NUM_NAMED]
    ]
    more = (
        f" and {len(seen.too_small) - NUM_NAMED:,} more have too few"
        if len(seen.too_small) > NUM_NAMED
        else ""
    )
    what = "to train on and to score" if seen.is_split else "to train on, to score and to seal"
    return (
        f"class {', '.join(named)}{more}, too few {what}: harness check and harness tune refuse the study until there "
        f"are {least} of each class, or the folder is moved away"
    )


def _least(*, is_split: bool) -> int:
    """Images of a class: one for each of two folds, and one to be sealed."""
    return 2 if is_split else 3


def _line(text: str, comment: str) -> str:
    return f"{text:<{COLUMN - 2}}  # {comment}"


def _plain(text: str) -> str:
    """On one line, whatever a folder's name has."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _escaped(text: str) -> str:
    """A value in double quotes as YAML has it, where some of JSON's characters would end the line."""
    return "".join(letter if letter.isprintable() else f"\\U{ord(letter):08x}" for letter in text)


def _quoted(name: str) -> str:
    return f"'{name}'" if " " in name else name
