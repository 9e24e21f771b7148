"""Images that deserve a look: wrong with confidence, with a label that is likely wrong, or alike. A page of them.

Everything is from out-of-fold predictions: no network had seen the image it speaks of. Test images are never shown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markupsafe import Markup

from harness.data.images import Images
from harness.files import write_file
from harness.folds.train_folds import images_of
from harness.inference.pictures import shown
from harness.pages import image, joined, kept, page, paragraph
from harness.records import StudyRecord, TrialRecord
from harness.report.alike import alike_in, page_part
from harness.report.document import ByClass, ImageToLookAt
from harness.report.format import percent, shortened
from harness.scoring.label_errors import label_issues
from harness.store.loaded_study import LoadedStudy

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


def by_kind(
    found: Mapping[str, int], images: Mapping[str, ByClass], pixels: Mapping[int, np.ndarray]
) -> Markup:
    """HTML: each kind with its images by class.

    found: how many there are of each.   pixels: uint8 (C, H, W) by index.
    """
    parts = []
    for kind, classes in images.items():
        if not classes:
            parts.append(paragraph(f"{kind.capitalize()}: none found."))
            continue
        parts.append(
            paragraph(
                Markup("<b>{} ({:,}).</b> {}").format(kind.capitalize(), found[kind], WORDS[kind]), "lead"
            )
        )
        groups = [
            Markup('<div><p class="sub">{}</p><div class="images">{}</div></div>').format(
                label, joined(*(_figure(row, pixels[row.index]) for row in rows))
            )
            for label, rows in classes.items()
        ]
        parts.append(Markup('<div class="by-class">{}</div>').format(joined(*groups)))
    return joined(*parts)


def _page(chosen: Chosen, alike: str) -> str:
    """alike: of images that are alike, as HTML, or empty."""
    record, images = chosen.record, chosen.images
    names = ", ".join(str(trial.number) for trial in chosen.trials)
    number = record.data["num_images"]
    said = f"Trials {names}; {number:,} training images, each predicted by a network that had not seen it."
    found = {kind: len(indices) for kind, indices in chosen.found.items()}
    rows = [row for classes in chosen.shown.values() for shown in classes.values() for row in shown]
    inner = by_kind(found, chosen.shown, {row.index: images.pixels[row.index] for row in rows})
    title = f"{record.name}: images to look at"
    return page("report/gallery.html", title=title, said=said, images=inner, alike=alike)


def _figure(row: ImageToLookAt, pixels: np.ndarray) -> Markup:
    name = row.name or f"image {row.index}"
    source, is_tiny = shown(pixels)
    small = Markup("<small>{}</small>")
    lines = [
        f"{row.predicted} {percent(row.confidence)}",
        small.format(kept(f"label {percent(row.label_probability)}")),
        *([small.format(shortened(name, 40))] if row.name else []),
    ]
    return image(source, f"{name}, label {row.label}, called {row.predicted}", lines, tiny=is_tiny)
