"""A picture of what training sees: images as stored, as a study's trial 0 changes them, as each option would."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from harness import models, training
from harness.config import own_code, search_space
from harness.config.study_file import Study
from harness.data.images import Images
from harness.data.near_duplicates import Duplicates
from harness.errors import UsageError

NUM_IMAGES = 10
NUM_EPOCHS = 4
MEASURED_IMAGES = 1000
MOST_PAIRS = 24
MOST_LETTERS = 36  # of a name, from its end


def draw_pictures(study: Study, images: Images, path: Path, alike: Duplicates | None = None) -> None:
    """Write the picture as a PNG file. Raises UsageError where it cannot be written.

    alike: pairs of images to look at, the most suspicious first, or None.
    """
    from harness.charts.image_rows import save_rows
    from harness.training import own  # loads torch

    values = search_space.resolve(study, search_space.defaults(study))
    settings = training.options_from(models.section(values, "train"))
    options, own_augment = settings.augment, own.augmentation(settings)
    seen = _Seen(images)
    epochs = range(1, NUM_EPOCHS + 1) if options.changes_images else (1,)
    of_study = {"as stored": seen.stored()} | {
        f"epoch {epoch}": seen.trained_on(options, epoch, own_augment) for epoch in epochs
    }
    nothing = training.options_from({"crop_padding": 0, "flip": "none"}).augment
    others = {
        f"{name}: {_spelt(value)}": seen.trained_on(replace(nothing, **{name: value}), epoch=1)
        for name, value in _examples(*images.pixels.shape[1:])
    }
    parts = [
        (f"trial 0: {_in_words(settings, *images.pixels.shape[2:])}", of_study),
        ("each kind of augmentation by itself, at a moderate strength", others),
        *(_pairs(images, alike) if alike is not None and len(alike.pairs) else ()),
    ]
    try:
        save_rows(f"What {study.name} trains on", parts, path)
    except OSError as error:
        raise UsageError(f"--images {path}: {error.strerror}") from None


def _pairs(images: Images, alike: Duplicates) -> list[tuple[str, dict[str, np.ndarray]]]:
    """The first pairs, each in a row that says which they are."""
    rows = {}
    for place, pair in enumerate(alike.pairs[:MOST_PAIRS].tolist()):
        words = "equal" if alike.exact[place] else "same" if alike.sure[place] else "likely"
        said = [
            images.names[index] if images.names else f"image {index} ({images.classes[images.labels[index]]})"
            for index in pair
        ]
        rows[f"{words}: {', '.join(name[-MOST_LETTERS:] for name in said)}"] = _coloured(
            images.pixels[pair] / 255
        )
    of_all = f" of {len(alike.pairs):,}" if len(rows) < len(alike.pairs) else ""
    few = f"{len(rows)}{of_all} pair{'s' * (len(rows) != 1 or bool(of_all))}"
    why = "that are alike and held out apart, or have two labels, the most suspicious first"
    return [(f"{few} {why}; data.duplicates and data.groups hold images out together", rows)]


class _Seen:
    """A handful of images, of as many classes as possible, on their way into a network."""

    def __init__(self, images: Images):
        from harness.training.pixels import Pixels, measure  # loads torch

        turns = np.empty(len(images), np.int64)  # 0 for the first image of each class, 1 for the second, …
        for label in range(len(images.classes)):
            turns[images.labels == label] = np.arange((images.labels == label).sum())
        self.few = images.take(np.lexsort((images.labels, turns))[:NUM_IMAGES])
        step = -(-len(images) // MEASURED_IMAGES)
        self.statistics = measure(images.pixels, np.arange(0, len(images), step))
        self.pixels = Pixels(self.few.pixels, self.statistics, training.Compute("cpu", "fp32", False, 1))

    def stored(self) -> np.ndarray:
        return _coloured(self.few.pixels / 255)

    def trained_on(self, options: Any, epoch: int, own: Any = None) -> np.ndarray:
        """What one epoch makes of the images, not normalised: (n, H, W, 3) in 0..1.

        own: the user's own augmentation, or None.
        """
        import torch

        from harness.training.augment import draw, mixer  # loads torch

        indices, (_, _, height, width) = np.arange(len(self.few)), self.few.pixels.shape
        draws = draw(options, indices, height, width, seed=0, epoch=epoch, own=own)
        # Two batches, since each is mixed in its own way.
        bounds = sorted({0, len(indices) // 2, len(indices)})
        labels = torch.from_numpy(self.few.labels)
        mix = mixer(options, len(self.few.classes))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(epoch)
            batches = self.pixels.batches(indices, draws, bounds)
            mixed = torch.cat([mix(batch, labels[: len(batch)])[0] for batch in batches])
        mean, std = (np.array(part)[:, None, None] for part in (self.statistics.mean, self.statistics.std))
        return _coloured(np.clip(mixed.numpy() * std + mean, 0, 1))


def _coloured(images: np.ndarray) -> np.ndarray:
    """(n, C, H, W) as (n, H, W, 3): colours, or the mean of the channels as grey."""
    if images.shape[1] != 3:
        images = images.mean(1, keepdims=True).repeat(3, axis=1)
    return images.transpose(0, 2, 3, 1)


def _in_words(settings: Any, height: int, width: int) -> str:
    """The options that do something, as a study file has them."""
    options = settings.augment
    values = asdict(replace(options, crop_padding=options.padding(height, width)))
    if not options.randaugment:
        del values["randaugment_magnitude"]
    if options.mix == "none":
        del values["mix_alpha"]
    if options.augment != "standard":
        values = {name: value for name, value in values.items() if name.startswith(("augment", "mix"))}
        owners = own_code.owners({"augment": options.augment})
        values |= {name: value for name, value in settings.own.items() if name in owners}
    done = [f"{name}: {_spelt(value)}" for name, value in values.items() if value not in (0, "none")]
    return ", ".join(done) or "augment: none"


def _spelt(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _examples(channels: int, height: int, width: int) -> list[tuple[str, Any]]:
    """Each option of augmentation at a moderate strength; those of colour only where there is colour."""
    colour = [("saturation", 0.4), ("hue", 0.1)] if channels == 3 else []
    return [
        ("crop_padding", max(min(height, width) // 8, 1)),
        ("flip", "random"),
        ("rotation", 15.0),
        ("brightness", 0.4),
        ("contrast", 0.4),
        *colour,
        ("randaugment", 2),
        ("cutout", 0.5),
        ("mix", "mixup"),
        ("mix", "cutmix"),
    ]
