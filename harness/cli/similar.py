"""What `harness similar` finds: to each query its nearest images, and the pairs of images that are alike."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.cli import tables
from harness.data.image_files import image_files, printable
from harness.data.policy import Policy
from harness.errors import DataError
from harness.files import write_file
from harness.inference import similar_page
from harness.inference.embedding import Embedder
from harness.inference.predict import decoded_batches
from harness.inference.vectors import Index
from harness.report.format import times

MOST_PAIRS_SHOWN = 500  # on a page, which holds the pictures of both


@dataclass(frozen=True)
class Image:
    """An image of the index."""

    number: int
    name: str


@dataclass(frozen=True)
class Neighbour:
    """An image of the index, and its cosine to the query."""

    number: int
    name: str
    score: float


@dataclass(frozen=True)
class Answer:
    query: str
    similar: tuple[Neighbour, ...]


@dataclass(frozen=True)
class Pair:
    first: Image
    second: Image
    score: float


@dataclass(frozen=True)
class Duplicates:
    """Pairs with a score of at least the threshold: how many there are, and the most similar of them."""

    threshold: float
    num_pairs: int
    pairs: tuple[Pair, ...]


@dataclass(frozen=True)
class SimilarImages:
    """What `--format json` prints. model: where it is from.   folder, num_images: what the index is of."""

    model: str
    folder: str
    num_images: int
    queries: tuple[Answer, ...]
    duplicates: Duplicates | None


@dataclass(frozen=True)
class Query:
    """words: as they are printed.   vector: float32 (size,).   path: of an image, None of a text."""

    words: str
    vector: np.ndarray
    path: str | None


def queries_of(embedder: Embedder, paths: Sequence[str], texts: Sequence[str]) -> list[Query]:
    """paths: of files, and of folders of them.   Raises DataError for an unreadable file."""
    found = []
    for batch in decoded_batches(embedder.model, image_files(paths)):
        for path, pixels in batch:
            if isinstance(pixels, str):
                raise DataError(f"{printable(path)}: {pixels}")
            found.append(Query(printable(path), embedder(pixels[None])[0], path))
    vectors = embedder.texts(list(texts)) if texts else ()
    return found + [Query(text, vector, None) for text, vector in zip(texts, vectors, strict=True)]


def search(
    index: Index, queries: Sequence[Query], *, model: str, top: int, threshold: float | None
) -> SimilarImages:
    """model: where it is from.   top: images for each query.   threshold: of pairs that are alike, if asked for."""

    def name(number: int) -> str:
        return printable(index.names[number])

    answers = []
    for query in queries:
        nearest = index.nearest(query.vector, top, without=query.path)
        hits = tuple(Neighbour(number, name(number), round(score, 6)) for number, score in nearest)
        answers.append(Answer(query.words, hits))
    duplicates = None
    if threshold is not None:
        num_pairs, found = index.pairs(threshold)
        pairs = tuple(
            Pair(Image(one, name(one)), Image(two, name(two)), round(score, 6)) for one, two, score in found
        )
        duplicates = Duplicates(threshold, num_pairs, pairs)
    folder = printable(str(index.folder))
    return SimilarImages(model, folder, len(index.names), tuple(answers), duplicates)


def write_page(
    target: Path, document: SimilarImages, index: Index, queries: Sequence[Query], policy: Policy
) -> None:
    """A page with the pictures, as a model with this policy sees them; how many rows it has is told on stderr."""
    rows = [
        similar_page.Row(
            answer.query,
            query.path,
            [(index.path(hit.number), hit.name, hit.score) for hit in answer.similar],
        )
        for answer, query in zip(document.queries, queries, strict=True)
    ]
    for pair in document.duplicates.pairs[:MOST_PAIRS_SHOWN] if document.duplicates else ():
        found = [(index.path(image.number), image.name, pair.score) for image in (pair.first, pair.second)]
        rows.append(similar_page.Row(f"{pair.score:.4f}", None, found))
    write_file(target, similar_page.page(f"Similar images in {document.folder}", rows, policy).encode())
    print(f"{target}: {len(rows):,} row{'s' if len(rows) != 1 else ''} of pictures", file=sys.stderr)


def rows(document: SimilarImages) -> list[dict[str, Any]]:
    """A row for each answer, and for each pair of duplicates, the first of which is then the query."""
    found = [
        {"query": answer.query, "image": hit.name, "number": hit.number, "score": hit.score}
        for answer in document.queries
        for hit in answer.similar
    ]
    for pair in document.duplicates.pairs if document.duplicates else ():
        second = {"image": pair.second.name, "number": pair.second.number}
        found.append({"query": pair.first.name, **second, "score": pair.score})
    return found


def print_tables(document: SimilarImages) -> None:
    """For people."""
    duplicates = document.duplicates
    if document.queries:
        rows = [
            (answer.query if place == 0 else "", f"{hit.score:.4f}", hit.name)
            for answer in document.queries
            for place, hit in enumerate(answer.similar)
        ]
        tables.table(("query", "score", "image"), rows, text=1)
    if duplicates is not None:
        pairs = [(f"{pair.score:.4f}", pair.first.name, pair.second.name) for pair in duplicates.pairs]
        more = "" if len(pairs) == duplicates.num_pairs else f", of which the {len(pairs):,} most similar"
        count = "1 pair" if duplicates.num_pairs == 1 else f"{duplicates.num_pairs:,} pairs"
        print(f"{count} with a score of at least {duplicates.threshold:g}{more}")
        if pairs:
            tables.table(("score", "image", "and"), pairs, text=2)
    if not document.queries and duplicates is None:
        print(f"{document.folder}: {times(document.num_images, 'image')} indexed")
