"""Images that deserve a look: wrong with confidence, with a label that is likely wrong, or alike. A page of them.

Everything is from out-of-fold predictions: no network had seen the image it speaks of. Test images are never shown.
"""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.data.images import Images
from harness.files import write_file
from harness.folds.train_folds import images_of
from harness.inference.pictures import as_picture, data_url
from harness.records import StudyRecord, TrialRecord
from harness.report.alike import alike_in, page_part
from harness.report.document import ByClass, ImageToLookAt
from harness.scoring.label_errors import label_issues
from harness.store.loaded_study import LoadedStudy

VIEWPORT = '<meta name="viewport" content="width=device-width, initial-scale=1">'
SIDE = 96  # pixels of the page for an image
STYLE = """
:root { color-scheme: light dark; --edge: #8886; }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 1180px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .2rem; }
h3 { font-size: .95rem; margin: 1rem 0 .3rem; }
p { margin: .2rem 0 .6rem; max-width: 70ch; } .row { display: flex; flex-wrap: wrap; gap: 12px; }
figure { margin: 0; width: 120px; font-size: 12px; } figcaption { overflow-wrap: anywhere; }
.images { display: flex; flex-wrap: wrap; gap: 12px; }
figure.pair { width: 200px; } .pair img + img { margin-left: 4px; }
h4 { font-size: .95rem; margin: 1rem 0 .3rem; }
img { width: 96px; height: 96px; image-rendering: pixelated; border: 1px solid var(--edge); border-radius: 4px; }
small { opacity: .65; }
"""
WORDS = {
    "wrong": "Called something else by all of the best trials, and with confidence. The surest come first.",
    "suspicious": "Labels that confident learning doubts, by the mean prediction; a weak model doubts many right ones.",
}


@dataclass(frozen=True, eq=False)
class Chosen:
    """Images worth a look. trials: the complete ones that were asked.   found: indices of images by kind, all of them.

    shown: what is said of some of them, by kind and class.
    """

    record: StudyRecord
    trials: Sequence[TrialRecord]
    images: Images
    found: dict[str, np.ndarray]
    shown: dict[str, ByClass]


@dataclass(frozen=True)
class GalleryPage:
    """What is on a page that was written. found: how many of each kind there are.   images: those shown."""

    study: str
    trials: tuple[int, ...]
    page: str
    found: Mapping[str, int]
    images: Mapping[str, ByClass]


def choose(study: LoadedStudy, *, top: int, most: int) -> Chosen:
    """The images of a study that its best trials get wrong, and those whose label is likely wrong.

    top: complete trials that must agree, the best ones.   most: images per class and kind.
    Raises UsageError if no trial is complete.
    """
    trials = study.top(top)[:top]
    predicted = [study.out_of_fold(trial).of_images() for trial in trials]
    places, labels, _ = predicted[0]
    mean = np.mean([probabilities for _, _, probabilities in predicted], axis=0)
    calls = np.array([probabilities.argmax(1) for _, _, probabilities in predicted])
    agreed = (calls == calls[0]).all(0) & (calls[0] != labels)
    wrong = np.flatnonzero(agreed)
    rows = {
        "wrong": wrong[np.argsort(-mean[wrong, calls[0][wrong]], kind="stable")],
        "suspicious": np.asarray(label_issues(labels, mean), dtype=np.int64),
    }
    images = images_of(study.store, study.record, split=study.split)
    everything = np.full((len(images), mean.shape[1]), np.nan)
    everything[places] = mean
    kinds = {kind: places[chosen] for kind, chosen in rows.items()}
    shown = {
        kind: _by_class(images, indices, images.labels, everything, most) for kind, indices in kinds.items()
    }
    return Chosen(study.record, trials, images, kinds, shown)


def gallery(study: LoadedStudy, *, top: int = 3, most: int = 24, output: Path | None = None) -> GalleryPage:
    """Write studies/NAME/gallery.html, or `output` in its place.

    top, most, errors: as in `choose`.
    """
    chosen, alike = choose(study, top=top, most=most), alike_in(study)
    path = output or study.store.study_folder(study.name) / "gallery.html"
    write_file(path, _page(chosen, page_part(*alike) if alike else "").encode())
    numbers = tuple(trial.number for trial in chosen.trials)
    found = {kind: len(indices) for kind, indices in chosen.found.items()}
    return GalleryPage(study.name, numbers, str(path), found, chosen.shown)


def _by_class(
    images: Images, indices: np.ndarray, labels: np.ndarray, mean: np.ndarray, most: int
) -> ByClass:
    """The first images of each class, in the order given."""
    found: dict[str, list[ImageToLookAt]] = {name: [] for name in images.classes}
    for index in indices.tolist():
        row = found[images.classes[labels[index]]]
        if len(row) < most:
            called = int(mean[index].argmax())
            row.append(
                ImageToLookAt(
                    index=index,
                    name=images.names[index] if images.names else None,
                    label=images.classes[labels[index]],
                    predicted=images.classes[called],
                    confidence=float(mean[index, called]),
                    label_probability=float(mean[index, labels[index]]),
                )
            )
    return {name: tuple(row) for name, row in found.items() if row}


def _page(chosen: Chosen, alike: str) -> str:
    """alike: of images that are alike, as HTML, or empty."""
    record, images = chosen.record, chosen.images
    names = ", ".join(str(trial.number) for trial in chosen.trials)
    title = f"{html.escape(record.name)}: images to look at"
    parts = [
        f"<h1>{title}</h1>",
        f"<p>Trials {names}; {record.data['num_images']:,} training images, each predicted by a network that had not "
        "seen it.</p>",
    ]
    for kind, classes in chosen.shown.items():
        parts.append(f"<h2>{kind.capitalize()} ({len(chosen.found[kind]):,})</h2><p>{WORDS[kind]}</p>")
        for label, rows in classes.items():
            figures = "".join(_figure(row, images.pixels[row.index]) for row in rows)
            parts.append(f"<h3>{html.escape(label)}</h3><div class=row>{figures}</div>")
    if alike:
        parts.append(f"<h2>Alike</h2>{alike}")
    head = f'<!doctype html><meta charset="utf-8">{VIEWPORT}<title>{title}</title><style>{STYLE}</style>'
    return head + "\n".join(parts) + "\n"


def _figure(image: ImageToLookAt, pixels: np.ndarray) -> str:
    name = html.escape(image.name or f"image {image.index}")
    words = f"{html.escape(image.predicted)} {image.confidence:.0%}<br>label {image.label_probability:.1%}"
    picture = as_picture(pixels)
    picture.thumbnail((2 * SIDE, 2 * SIDE))
    caption = f"<figcaption>{words}<br><small>{name}</small></figcaption>"
    return f'<figure><img src="{data_url(picture, "PNG")}" alt="{name}">{caption}</figure>'
