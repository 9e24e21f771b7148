"""similar: images that a model finds alike."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from harness.cli.options import (
    DEFAULT_HOME,
    Ensemble,
    Home,
    IndexOf,
    Model,
    found_model,
    print_json,
    require_folder,
)
from harness.errors import DataError, UsageError
from harness.messages import to_stderr

if TYPE_CHECKING:
    import numpy as np

    from harness.inference.embedding import Embedder
    from harness.inference.vectors import Index

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


def similar(
    model: Model,
    queries: Annotated[
        list[str] | None, typer.Argument(metavar="[QUERY]...", help="Image files to find the like of.")
    ] = None,
    index: IndexOf = None,
    text: Annotated[
        list[str] | None, typer.Option("--text", help="Find what this describes (CLIP). Repeatable.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, max=1000, help="How many for each query.")] = 10,
    duplicates: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, metavar="SCORE", help="Pairs of images that are at least so similar."),
    ] = None,
    format_: Annotated[Literal["table", "json"], typer.Option("--format", help="table or json.")] = "table",
    page: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a page with the pictures too.")
    ] = None,
    ensemble: Ensemble = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Find images that a model finds alike.

    To other images, to a text, or all near-duplicates of a folder.
    The score is the cosine of what the network makes of two images before its last layer: 1 for equal ones. The
    folder's index is kept in the store; without --index it is searched as it was. A query that lies in the folder
    is not among its own answers.
    """
    to_stderr()
    from harness.data.image_files import printable
    from harness.inference import index as indices
    from harness.inference.embedding import Embedder

    queries, texts = queries or [], text or []
    if not (queries or texts or index is not None or duplicates is not None):
        raise UsageError("nothing is asked: give QUERY files, --text, --duplicates or --index FOLDER")
    if page is not None:
        require_folder("--html", page)
    found = found_model(home, model, ensemble=ensemble)
    embedder = Embedder(found.model)
    asked = _asked(embedder, queries, texts)
    if index is None:
        searched = indices.find(home, embedder)
    else:
        searched = indices.update(home, embedder, index, model=found.origin)

    def name(number: int) -> str:
        return printable(searched.names[number])

    answers = []
    for query, vector, path in asked:
        nearest = searched.nearest(vector, top, without=path)
        answers.append(
            Answer(
                query, tuple(Neighbour(number, name(number), round(score, 6)) for number, score in nearest)
            )
        )
    alike = None
    if duplicates is not None:
        num_pairs, pairs = searched.pairs(duplicates)
        alike = Duplicates(duplicates, num_pairs, tuple(
            Pair(Image(one, name(one)), Image(two, name(two)), round(score, 6)) for one, two, score in pairs
        ))  # fmt: skip
    document = SimilarImages(
        found.source, printable(str(searched.folder)), len(searched.names), tuple(answers), alike
    )
    if page is not None:
        _write_page(page, document, searched, [path for _, _, path in asked])
    if format_ == "json":
        print_json(document)
    else:
        _print_tables(document)


def _asked(
    embedder: "Embedder", queries: list[str], texts: list[str]
) -> list[tuple[str, "np.ndarray", str | None]]:
    """Each query: its words, its vector, and its path if it has one. Raises DataError for an unreadable file."""
    from harness.data.image_files import Candidate, printable
    from harness.inference.predict import decoded_batches

    asked: list[tuple[str, np.ndarray, str | None]] = []
    files = [Candidate(path) for path in queries]
    for batch in decoded_batches(embedder.model, files):
        for path, pixels in batch:
            if isinstance(pixels, str):
                raise DataError(f"{printable(path)}: {pixels}")
            asked.append((printable(path), embedder(pixels[None])[0], path))
    words = embedder.texts(texts) if texts else ()
    return asked + [(text, vector, None) for text, vector in zip(texts, words, strict=True)]


def _write_page(target: Path, document: SimilarImages, index: "Index", paths: list[str | None]) -> None:
    from harness.files import write_file
    from harness.inference import similar_page

    rows = [
        similar_page.Row(
            answer.query, path, [(index.path(hit.number), hit.name, hit.score) for hit in answer.similar]
        )
        for answer, path in zip(document.queries, paths, strict=True)
    ]
    for pair in document.duplicates.pairs[:MOST_PAIRS_SHOWN] if document.duplicates else ():
        found = [(index.path(image.number), image.name, pair.score) for image in (pair.first, pair.second)]
        rows.append(similar_page.Row(f"{pair.score:.4f}", None, found))
    write_file(target, similar_page.page(f"Similar images in {document.folder}", rows).encode())
    print(f"{target}: {len(rows):,} row{'s' if len(rows) != 1 else ''} of pictures", file=sys.stderr)


def _print_tables(document: SimilarImages) -> None:
    from harness.cli import tables

    duplicates = document.duplicates
    if document.queries:
        rows = [
            (answer.query if place == 0 else "", f"{hit.score:.4f}", hit.name)
            for answer in document.queries
            for place, hit in enumerate(answer.similar)
        ]
        tables.plain(("query", "score", "image"), rows)
    if duplicates is not None:
        pairs = [(f"{pair.score:.4f}", pair.first.name, pair.second.name) for pair in duplicates.pairs]
        more = "" if len(pairs) == duplicates.num_pairs else f", of which the {len(pairs):,} most similar"
        count = "1 pair" if duplicates.num_pairs == 1 else f"{duplicates.num_pairs:,} pairs"
        print(f"{count} with a score of at least {duplicates.threshold:g}{more}")
        if pairs:
            tables.plain(("score", "image", "and"), pairs)
    if not document.queries and duplicates is None:
        print(f"{document.folder}: {document.num_images:,} images indexed")
