"""similar: images that a model finds alike."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from harness.cli.options import DEFAULT_HOME, Home, print_json, require_folder
from harness.cli.predicting import Ensemble, Model, found_model
from harness.messages import to_stderr

if TYPE_CHECKING:
    import numpy as np

    from harness.inference.embedding import Embedder
    from harness.inference.vectors import Index

MOST_PAIRS_SHOWN = 500  # on a page, which holds the pictures of both
IndexOf = Annotated[
    Path | None,
    typer.Option(
        "--index", metavar="FOLDER", help="Search the images of FOLDER; what is new in it is embedded first."
    ),
]


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
    from harness.errors import UsageError
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
    document: dict[str, Any] = {
        "schema": 1,
        "model": found.source,
        "folder": printable(str(searched.folder)),
        "num_images": len(searched.names),
        "queries": [_answer(searched, query, vector, path, top) for query, vector, path in asked],
        "duplicates": None if duplicates is None else _duplicates(searched, duplicates),
    }
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
    from harness.errors import DataError
    from harness.inference.predict import decoded_batches

    asked: list[tuple[str, np.ndarray, str | None]] = []
    files = [Candidate(path) for path in queries]
    for batch in decoded_batches(embedder.model.image_shape, files):
        for path, pixels in batch:
            if isinstance(pixels, str):
                raise DataError(f"{printable(path)}: {pixels}")
            asked.append((printable(path), embedder(pixels[None])[0], path))
    words = embedder.texts(texts) if texts else ()
    return asked + [(text, vector, None) for text, vector in zip(texts, words, strict=True)]


def _answer(index: "Index", query: str, vector: "np.ndarray", path: str | None, top: int) -> dict[str, Any]:
    found = index.nearest(vector, top, without=path)
    return {"query": query, "similar": [_named(index, number, score=score) for number, score in found]}


def _named(index: "Index", number: int, **more: float) -> dict[str, Any]:
    from harness.data.image_files import printable

    rounded = {name: round(value, 6) for name, value in more.items()}
    return {"number": number, "name": printable(index.names[number]), **rounded}


def _duplicates(index: "Index", threshold: float) -> dict[str, Any]:
    count, pairs = index.pairs(threshold)
    rows = [
        {"first": _named(index, one), "second": _named(index, two), "score": round(score, 6)}
        for one, two, score in pairs
    ]
    return {"threshold": threshold, "num_pairs": count, "pairs": rows}


def _write_page(target: Path, document: dict[str, Any], index: "Index", paths: list[str | None]) -> None:
    from harness.files import write_file
    from harness.inference.similar_page import Row
    from harness.inference.similar_page import page as made

    rows = [
        Row(
            answer["query"],
            path,
            [(index.path(hit["number"]), hit["name"], hit["score"]) for hit in answer["similar"]],
        )
        for answer, path in zip(document["queries"], paths, strict=True)
    ]
    for pair in (document["duplicates"] or {"pairs": []})["pairs"][:MOST_PAIRS_SHOWN]:
        one, two = pair["first"], pair["second"]
        found = [(index.path(image["number"]), image["name"], pair["score"]) for image in (one, two)]
        rows.append(Row(f"{pair['score']:.4f}", None, found))
    write_file(target, made(f"Similar images in {document['folder']}", rows).encode())
    print(f"{target}: {len(rows):,} row{'s' if len(rows) != 1 else ''} of pictures", file=sys.stderr)


def _print_tables(document: dict[str, Any]) -> None:
    from harness.cli import render

    queries, duplicates = document["queries"], document["duplicates"]
    if queries:
        rows = [
            (answer["query"] if place == 0 else "", f"{hit['score']:.4f}", hit["name"])
            for answer in queries
            for place, hit in enumerate(answer["similar"])
        ]
        render.catalog_table(("query", "score", "image"), rows)
    if duplicates is not None:
        pairs = [
            (f"{row['score']:.4f}", row["first"]["name"], row["second"]["name"])
            for row in duplicates["pairs"]
        ]
        more = "" if len(pairs) == duplicates["num_pairs"] else f", of which the {len(pairs):,} most similar"
        count = "1 pair" if duplicates["num_pairs"] == 1 else f"{duplicates['num_pairs']:,} pairs"
        print(f"{count} with a score of at least {duplicates['threshold']:g}{more}")
        if pairs:
            render.catalog_table(("score", "image", "and"), pairs)
    if not queries and duplicates is None:
        print(f"{document['folder']}: {document['num_images']:,} images indexed")


COMMANDS: list[Callable[..., None]] = [similar]
