"""predict, export, similar, serve: the commands that use a finished study's model."""

import contextlib
import os
import sys
import warnings
import webbrowser
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Literal

import typer

from harness.cli.layout import size_in_words
from harness.cli.options import (
    DEFAULT_HOME,
    AsJson,
    Document,
    Ensemble,
    Form,
    Home,
    IndexOf,
    Model,
    found_model,
    listens,
    print_csv,
    print_json,
    printed,
    require_folder,
)
from harness.errors import DataError, MissingData, UsageError
from harness.inference.sorting import UNSURE, How, Sorter
from harness.messages import to_stderr

if TYPE_CHECKING:
    from harness.data.image_files import Candidate

Raw = Annotated[bool, typer.Option("--raw", help="The network's own probabilities, without calibration.")]


def predict(
    model: Model,
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH", help="Image files, and folders of them; -: a list of these on stdin."),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Instead of stdout.")
    ] = None,
    format_: Annotated[
        Literal["csv", "jsonl", "json"],
        typer.Option("--format", help="Rows of CSV, a JSON object on each line, or one JSON document."),
    ] = "csv",
    top: Annotated[int, typer.Option(min=1, help="How many of the likeliest classes.")] = 1,
    threshold: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Label images below this probability as unsure.")
    ] = 0.0,
    errors: Annotated[
        bool, typer.Option("--errors", help="Rows for unreadable files too, with a column error.")
    ] = False,
    move: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Move the files to DIR/CLASS; see --yes.")
    ] = None,
    link: Annotated[Path | None, typer.Option(metavar="DIR", help="Link them there instead.")] = None,
    copy: Annotated[Path | None, typer.Option(metavar="DIR", help="Copy them there instead.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without it, it is only said.")] = False,
    null: Annotated[
        bool, typer.Option("--null", "-0", help="Paths on stdin end with NUL, as of find -print0.")
    ] = False,
    raw: Raw = False,
    ensemble: Ensemble = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Predict the classes of image files with a study's model.

    Files become images as the study's training images did. Rows of path, label, probability and entropy go to
    stdout; files that cannot be read are told on stderr. With --move, --link or --copy the files are put into
    one folder per class, and stdout says which goes where; the same command goes on after an interruption, and
    leaves what has its place.
    """
    to_stderr()
    from harness.cli.predictions import run
    from harness.inference.predict import predict_files
    from harness.inference.rows import Columns

    if output is not None:
        require_folder("--output", output)
    root = _one_of(move, link, copy, paths)
    if paths.count("-") > 1:
        raise UsageError("- stands for the paths on stdin, and can be given once; ./- is a file of that name")
    if null and "-" not in paths:
        raise UsageError("--null is about paths on stdin: give - among the paths")
    found = found_model(home, model, ensemble=ensemble)
    if "-" not in paths:
        _require_any(paths, most_missing=len(paths) - 1)
    if found.model.temperature is None and not raw:
        print(f"{model}: no temperature is known, so probabilities are not calibrated", file=sys.stderr)
    columns = Columns(found.model.classes, top=top, threshold=threshold, errors=errors)
    files = _files(paths, root and root[1], end=b"\0" if null else b"\n")

    def count() -> int:
        return sum(1 for _ in _files(paths, root and root[1], end=b""))

    sorter = None
    if root is not None:
        how, folder = root
        folders = [*found.model.classes, *([] if UNSURE in found.model.classes else [UNSURE])]
        sorter = Sorter(folder, how, folders, dry_run=not yes)
    with contextlib.closing(predict_files(found.model, files, raw=raw)) as stream:
        run(stream, columns, format_, output, sorter, None if "-" in paths else count)


def export(
    model: Model,
    format_: Annotated[
        Literal["onnx", "pt2", "safetensors", "state_dict", "timm"],
        typer.Option("--format", help="Of the file."),
    ] = "onnx",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="By default STUDY.onnx, .pt2 or .safetensors, or a folder."
        ),
    ] = None,
    fold: Annotated[
        int | None, typer.Option(min=0, help="Only this one of several networks, from 0 on.")
    ] = None,
    raw: Raw = False,
    ensemble: Ensemble = False,
    as_json: AsJson = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Write a study's model into a file that other programs run.

    onnx and pt2: uint8 images (N, C, H, W) in, probabilities out; normalisation, the mean over fold models and
    calibration are inside. safetensors: a folder that harness itself reads. state_dict: the tensors of one network,
    for your own copy of its class; FILE.pt is for torch.load(weights_only=True), any other is safetensors.
    timm: a folder that timm.create_model("local-dir:FOLDER", pretrained=True) loads, of a model of timm.
    Class names and preprocessing are in each, or beside it. What is written is run and compared with the network
    before it is kept.
    """
    to_stderr()
    from harness.inference.export import export as exporting
    from harness.inference.export_state_dict import export_state_dict
    from harness.inference.export_timm import export_timm

    if output is not None:
        require_folder("--output", output)
    found = found_model(home, model, ensemble=ensemble)
    chosen = replace(found.model, temperature=None) if raw else found.model
    if fold is not None:
        if fold >= len(chosen.folds):
            raise UsageError(
                f"--fold {fold}: the model has {len(chosen.folds)} network(s), numbered from 0 on"
            )
        chosen = replace(chosen, folds=(chosen.folds[fold],))
    endings = {"safetensors": "-model", "timm": "-timm", "state_dict": ".safetensors"}
    target = output or Path(f"{found.study}{endings.get(format_, f'.{format_}')}")
    study, trial = found.study, found.trial
    if format_ == "state_dict":
        document = export_state_dict(chosen, target, study=study, trial=trial)
    elif format_ == "timm":
        document = export_timm(chosen, target, study=study, trial=trial)
    else:
        document = exporting(chosen, target, format_, study=study, trial=trial)
    said = (
        f"{document['path']}: {size_in_words(document['bytes'])}; {document['num_images']} images agree to "
    )
    said += f"{document['difference']:.1e}"
    if "predict_precision" in document:
        precision, off = document["predict_precision"], document["predict_difference"]
        said += f"; harness predict computes in {precision}, and differs by up to {off:.1e}"
    print_json(document) if as_json else print(said)


def similar(
    model: Model,
    queries: Annotated[
        list[str] | None,
        typer.Argument(metavar="[QUERY]...", help="Image files, or folders of them, to find the like of."),
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
    page: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write a page with the pictures too."),
    ] = None,
    form: Form = "text",
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
    from harness.cli import similar as similarity
    from harness.inference import index as indices
    from harness.inference.embedding import Embedder

    if not (queries or text or index is not None or duplicates is not None):
        raise UsageError("nothing is asked: give QUERY files, --text, --duplicates or --index FOLDER")
    if page is not None:
        require_folder("--output", page)
    found = found_model(home, model, ensemble=ensemble)
    _require_any(queries or (), most_missing=0)
    embedder = Embedder(found.model)
    asked = similarity.queries_of(embedder, queries or (), text or ())
    if index is None:
        searched = indices.find(home, embedder)
    else:
        searched = indices.update(home, embedder, index, model=found.origin)
    document = similarity.search(searched, asked, model=found.source, top=top, threshold=duplicates)
    if page is not None:
        similarity.write_page(page, document, searched, asked, found.model.policy)
    if form == "csv":
        print_csv(similarity.rows(document))
    elif not printed(document, form):
        similarity.print_tables(document)


def serve(
    model: Model,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Where it listens; beyond this machine only with a token.")
    ] = "127.0.0.1",
    token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Holds the token that requests must bring.")
    ] = None,
    index: IndexOf = None,
    browser: Annotated[bool, typer.Option(help="Open a browser.")] = False,
    ensemble: Ensemble = False,
    form: Document = "text",
    home: Home = DEFAULT_HOME,
) -> None:
    """Try a model in a browser.

    Drop images, and see their classes, where the model looked, and with --index similar images.

    POST /predict takes an image file and answers with JSON, POST /predict/batch takes many; GET /openapi.json lists
    all there is. Only this machine is answered. With --host and --token-file others are, too: unencrypted, so behind
    a proxy that has TLS.
    """
    to_stderr()
    from harness.inference import index as indices
    from harness.inference.embedding import Embedder
    from harness.inference.web.server import Server, listen
    from harness.inference.web.service import Service

    listening = listen(port, host=host, token="" if token_file is None else _token(token_file))
    warnings.filterwarnings("ignore", module="PIL")  # it doubts files that it reads all the same
    found = found_model(home, model, ensemble=ensemble)
    embedder = None if index is None else Embedder(found.model)
    searched = None
    if index is not None and embedder is not None:
        searched = indices.update(home, embedder, index, model=found.origin)
    service = Service(found.model, found.source, index=searched, embedder=embedder)
    server = Server(service, listening)
    listens(listening.url, form)
    if browser:
        webbrowser.open(listening.url)
    server.serve()


def _require_any(paths: Sequence[str], *, most_missing: int) -> None:
    """Raises MissingData where more of them are not there."""
    missing = [path for path in paths if not os.path.lexists(path)]
    if len(missing) > most_missing:
        raise MissingData(f"{missing[0]}: there is no such file or folder")


def _token(file: Path) -> str:
    """The first line of a file. Raises UsageError for one that cannot be read, or is empty."""
    try:
        token = file.read_text(encoding="ascii").partition("\n")[0].strip()
    except (OSError, UnicodeError) as error:
        raise UsageError(f"--token-file {file}: {getattr(error, 'strerror', None) or 'is no text'}") from None
    if not token:
        raise UsageError(f"--token-file {file}: is empty")
    return token


def _files(paths: list[str], without: Path | None, *, end: bytes) -> "Iterator[Candidate]":
    """The files that are meant; those listed on stdin as they come, each path followed by `end`.

    without: a folder that is not looked into.   Raises DataError for a list without any path.
    """
    from harness.data.image_files import Candidate, image_files

    for path in paths:
        if path != "-":
            yield from image_files([path], without=without)
            continue
        if sys.stdin.isatty():
            print("reading paths, one a line, until Ctrl-D", file=sys.stderr)
        listed = 0
        for listed, name in enumerate(_listed(sys.stdin.buffer, end), start=1):  # noqa: B007
            if "\0" in name:
                yield Candidate(name, "holds a NUL; --null reads the lists of find -print0")
            elif without is not None and Path(name).resolve().is_relative_to(without.resolve()):
                yield Candidate(name, f"is in {without} already")
            else:
                yield from image_files([name], without=without)
        if not listed:
            raise DataError("no path has come on stdin")


def _listed(file: BinaryIO, end: bytes) -> Iterator[str]:
    """The lines that are not empty, as paths, before the file has ended."""
    rest = b""
    while chunk := file.read1(2**16):  # type: ignore[attr-defined]
        *whole, rest = (rest + chunk).split(end)
        yield from map(os.fsdecode, filter(None, (name.removesuffix(b"\r") for name in whole)))
    if rest:
        yield os.fsdecode(rest)


def _one_of(
    move: Path | None, link: Path | None, copy: Path | None, paths: list[str]
) -> tuple[How, Path] | None:
    """What is to be done to the files, and the folder. Raises UsageError for several, or a folder of the files."""
    wanted: list[tuple[How, Path | None]] = [("move", move), ("link", link), ("copy", copy)]
    chosen = [(how, folder) for how, folder in wanted if folder is not None]
    if len(chosen) > 1:
        raise UsageError("--move, --link and --copy exclude each other")
    if not chosen:
        return None
    how, folder = chosen[0]
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--{how} {folder}: is not a folder")
    inside = [path for path in paths if path != "-" and Path(path).resolve().is_relative_to(folder.resolve())]
    if inside:
        raise UsageError(f"--{how} {folder}: {inside[0]} is in it already")
    return how, folder
