"""Pairs of training images that are alike and held out apart, or have two labels: chosen, and as parts of a page.

Test images are never shown.
"""

from collections.abc import Mapping

import numpy as np
from markupsafe import Markup

from harness.data.duplicate_warnings import to_look_at
from harness.data.images import Images
from harness.data.near_duplicates import Duplicates
from harness.data.split import duplicates_of, where_duplicates_are
from harness.folds.train_folds import images_of
from harness.inference.pictures import shown
from harness.pages import image, joined, paragraph
from harness.report.data_document import Alike, AlikeImage, AlikePair, Suspicion
from harness.report.document import Notice
from harness.report.format import percent, shortened, times
from harness.store.loaded_study import LoadedStudy

MOST_PAIRS = 24
TITLES: Mapping[Suspicion, str] = {
    "two classes": "One picture, two classes",
    "apart": "Copies that are held out apart",
    "likely": "Likely copies",
}
ADVICE = (
    "Of a picture with two labels one is wrong. Copies that are held out apart make a score too good. data.duplicates "
    "says which copies are held out together: near (all that are sure), exact (equal ones) or ignore (none); "
    "data.groups does it for images of which only you know that they belong together."
)


def alike_in(study: LoadedStudy) -> tuple[Alike, dict[int, np.ndarray]] | None:
    """The pairs, and the pixels of those shown: uint8 (C, H, W) by index.

    None without such pairs, or where nobody has looked for duplicates. Raises HarnessError where the images are gone.
    """
    if not where_duplicates_are(study.record.data["hash"], study.store.home).exists():
        return None
    images = images_of(study.store, study.record, split=study.split)
    found = to_look_at(duplicates_of(images, study.store.home), images.labels, study.split.groups)
    if not len(found.pairs):
        return None
    chosen = chosen_of(found, images)
    indices = {image.index for pair in chosen.pairs for image in pair.images}
    return chosen, {index: np.array(images.pixels[index]) for index in sorted(indices)}


def chosen_of(found: Duplicates, images: Images, most: int = MOST_PAIRS) -> Alike:
    """Some of the pairs, with names: the first of each kind, more of one where others are few.

    found: as `to_look_at` has sorted them.
    """
    labels = images.labels[found.pairs]
    of_kind: dict[Suspicion, list[int]] = {kind: [] for kind in TITLES}
    for place, (sure, one, two) in enumerate(zip(found.sure, *labels.T, strict=True)):
        of_kind["likely" if not sure else "apart" if one == two else "two classes"].append(place)
    shares, left = dict.fromkeys(TITLES, 0), most
    while left and any(shares[kind] < len(of_kind[kind]) for kind in TITLES):
        for kind in TITLES:
            if left and shares[kind] < len(of_kind[kind]):
                shares[kind] += 1
                left -= 1
    pairs = []
    for kind, places in of_kind.items():
        for place in places[: shares[kind]]:
            one, two = (_image(images, index) for index in found.pairs[place].tolist())
            pairs.append(
                AlikePair(kind, (one, two), float(found.similarity[place]), bool(found.exact[place]))
            )
    return Alike({kind: len(places) for kind, places in of_kind.items() if places}, tuple(pairs))


def _image(images: Images, index: int) -> AlikeImage:
    return AlikeImage(
        index, images.names[index] if images.names else None, images.classes[images.labels[index]]
    )


def notices(alike: Alike) -> list[Notice]:
    """That copies are held out apart, where they are."""
    count = alike.found.get("apart", 0)
    if not count:
        return []
    are = "is" if count == 1 else "are"
    said = f"{times(count, 'pair')} of copies {are} held out apart, which makes scores too good: see the images below."
    return [Notice("note", said)]


def page_part(alike: Alike, pixels: Mapping[int, np.ndarray]) -> Markup:
    """HTML: advice, and the pairs by kind, with how many more there are."""
    parts = [paragraph(ADVICE, "hint")]
    for kind, title in TITLES.items():
        count = alike.found.get(kind, 0)
        pairs = [_figure(pair, pixels) for pair in alike.pairs if pair.kind == kind]
        if pairs:
            more = f", of which {len(pairs)} are shown" if len(pairs) < count else ""
            parts.append(Markup('<p class="sub">{} ({:,}{})</p>').format(title, count, more))
            parts.append(Markup('<div class="images pairs">{}</div>').format(joined(*pairs)))
    return joined(*parts)


def _figure(pair: AlikePair, pixels: Mapping[int, np.ndarray]) -> Markup:
    names = [one.name or f"image {one.index}" for one in pair.images]
    labels = dict.fromkeys(one.label for one in pair.images)
    said = "equal" if pair.equal else f"alike {percent(pair.similarity)}"
    (one, is_tiny), (two, _) = (shown(pixels[found.index]) for found in pair.images)
    small = Markup("<small>{}</small>")
    lines = [f"{' · '.join(shortened(label, 30) for label in labels)}, {said}"]
    alt = "; ".join(f"{name}, label {found.label}" for name, found in zip(names, pair.images, strict=True))
    return image(
        one, alt, [*lines, *(small.format(shortened(name, 40)) for name in names)], tiny=is_tiny, second=two
    )
