"""Hostile input: study files, image files and argument lists that nobody meant well with.

Each function makes n of one kind from a seed, feeds them to the real entry point, and returns what did not hold: an
exception that is no HarnessError, an undocumented exit code, or more than two seconds of processor time.
"""

import contextlib
import io
import logging
import os
import random
import re
import struct
import tempfile
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from PIL import Image

from harness.cli import app, check, run
from harness.config.study_file import parse_study_file
from harness.data.decoding import decode
from harness.errors import HarnessError
from harness.standalone.image_pixels import UnreadableError

SECONDS = 2.0  # of processor time, all threads: others may share the machine
EXIT_CODES = (0, 1, 2, 3, 4)
IMAGE_SIZE = 8
VALUE = re.compile(rb"(?<=: )(\[[^\]]*\]|\{[^{}]*\}|[^,{}\[\]\n]+)")  # of a study file

STUDIES = [
    b"data: {name: digits}\nmodel: {name: resnet}\n",
    b"data: {name: digits}\nmodel: {name: resnet, width: [4, 8], dropout: {low: 0.0, high: 0.5}}\ncv: {folds: 3}\n",
    b"# Why?\ndata: {name: folder, root: photos, groups: {regex: 'a(b)'}}\nmodel: {name: simple_cnn}\n",
    b"data:\n  name: digits\nmodel:\n  name: resnet\n  depth: {low: 1, high: 3, step: 1}\ntrain:\n"
    b"  epochs: 3\n  lr: {low: 1e-3, high: 0.5, log: true}\nsearch: {trials: 4, sampler: grid, racing: none}\n",
    b"data: {name: digits}\nmodel: {name: resnet}\nsearch: {seed: 1, rung: 0.5}\nobjective: log_loss\ncompute: auto\n",
]
SNIPPETS = [
    b"&a [*a, *a]", b"*a", b"&x", b"<<: {low: 1}", b"!!python/object/apply:os.system ['true']", b"!!binary aGk=",
    b"!<tag:yaml.org,2002:int> x", b"%YAML 9.9\n---\n", b"---\n", b"...\n", b"- ", b"? ", b": ", b"|\n", b">-\n",
    b"[" * 40, b"{" * 5000, b"- " * 300, b"[" + b"1," * 9000 + b"]", b"a: 1\n" * 3, b"{a: 1, a: 2}",
    b"1e999", b"-.inf", b".nan", b"NaN", b"1" + b"0" * 400, b"0x" + b"f" * 6000, b"9" * 5000, b"1e-999", b"0o9",
    b"2001-99-99", b"{low: 0, high: 1e308, step: 1e-308}", b"{low: 1, high: 1000000000}", b"-1", b"true", b"null",
    b"{low: .nan, high: .inf}", b"[.nan, .nan]", b"[[1], {a: 2}]", b"{1: 2}", b"{null: 1}", b"{[1]: 2}", b"''",
    b"\0", b"\xff\xfe", b"\xed\xa0\x80", b"\xc0\x80", b"\xef\xbb\xbf", b"\x1b[31m", b"\t", b"\r", b"\xe2\x80\xa8",
    b'"\\ud800"', b'"\\0"', b'"\\x1b]0;x\\a"', "名前: ﷽".encode(), "e\u0301\u202e".encode(), b"k" * 5000 + b": 1\n",
    b"~nobody/x", b"/dev/zero", b"../../etc/passwd", b"(a+)+$", b"a{99999999999}", b"(" * 3000,
]  # fmt: skip


def study_files(n: int, seed: int) -> list[str]:
    """Mutated study files, read as `harness check` reads them."""

    def read(raw: bytes) -> None:
        study = parse_study_file(raw, (), name="hostile", source="hostile.yaml")
        check.described(study, check.plan(study))
        study.definition_hash()

    parse_study_file(STUDIES[0], (), name="warm", source="warm.yaml")
    chances = (random.Random(f"study file {seed} {number}") for number in range(n))
    made = (mutated(chance.choice(STUDIES), chance, SNIPPETS) for chance in chances)
    return [said for raw in made if (said := trouble(lambda raw=raw: read(raw), HarnessError, raw))]  # type: ignore[misc]


def images(n: int, seed: int) -> list[str]:
    """Mutated image files, decoded as a folder's are."""

    def read(content: bytes, channels: int) -> None:
        pixels = decode(content, image_size=IMAGE_SIZE, channels=channels)
        assert pixels.shape == (channels, IMAGE_SIZE, IMAGE_SIZE) and pixels.dtype == np.uint8

    failures = []
    with silent():  # Pillow doubts files that it reads all the same
        for number in range(n):
            chance = random.Random(f"image {seed} {number}")
            content = mutated_image(chance)
            failures.append(trouble(lambda: read(content, chance.choice([1, 3])), UnreadableError, content))  # noqa: B023
    return [said for said in failures if said]


def arguments(n: int, seed: int) -> list[str]:
    """Command lines of known and unknown words. What would train, measure or serve is cut off where it begins."""
    failures = []
    with _elsewhere() as home:
        for number in range(n):
            chance = random.Random(f"arguments {seed} {number}")
            words = command_line(chance, home)
            failures.append(trouble(lambda: _run(words), HarnessError, words))  # noqa: B023
    return [said for said in failures if said]


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Without the warnings that hostile input rightly meets."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(before)


def trouble(action: Callable[[], Any], allowed: type[Exception], what: object) -> str:
    """What did not hold, or ""."""
    began = time.process_time()
    said = ""
    try:
        action()
    except allowed as error:
        if not str(error) or getattr(error, "exit_code", 1) not in EXIT_CODES:
            said = f"{type(error).__name__} without a word or with an unknown exit code"
    except (Exception, SystemExit) as error:
        said = f"{type(error).__name__}: {str(error)[:200]}"
    seconds = time.process_time() - began
    if not said and seconds > SECONDS:
        said = f"took {seconds:.1f} s"
    shown = repr(what)
    return said and f"{said}, over {shown if len(shown) < 400 else f'{shown[:400]}…'}"


def mutated(content: bytes, chance: random.Random, snippets: list[bytes]) -> bytes:
    """One to four changes: bits flipped, parts left out, doubled, moved or replaced, the end cut off."""
    mutable = bytearray(content)
    for _ in range(chance.choice([1, 1, 2, 4])):
        start = chance.randrange(len(mutable) + 1)
        stop = min(len(mutable), start + chance.choice([1, 4, 16]))
        match chance.choice(["flip", "leave out", "double", "splice", "value", "value", "cut"]):
            case "flip" if start < len(mutable):
                mutable[start] ^= 1 << chance.randrange(8)
            case "leave out":
                del mutable[start:stop]
            case "double":
                mutable[start:start] = mutable[start:stop] * chance.choice([1, 2, 50])
            case "splice":
                mutable[start:start] = chance.choice(snippets)
            case "value" if values := list(VALUE.finditer(mutable)):
                found = chance.choice(values)
                mutable[found.start() : found.end()] = chance.choice(snippets)
            case "cut" if chance.random() < 0.3:
                del mutable[start:]
    return bytes(mutable)


def mutated_image(chance: random.Random) -> bytes:
    content = bytearray(chance.choice(small_images()))
    for _ in range(chance.choice([0, 1, 3, 10])):
        content[chance.randrange(min(len(content), chance.choice([40, 10_000])))] = chance.randrange(256)
    match chance.randrange(8):
        case 0:
            del content[chance.randrange(len(content)) :]
        case 1 | 2:  # sizes: 0, 1, just allowed, or as large as there are
            place = chance.randrange(min(len(content), 60))
            size = chance.choice([0, 1, 8191, 8192, 65_535, 2**31 - 1, 2**32 - 1])
            content[place : place + 4] = struct.pack(chance.choice("<>") + "I", size)
        case 3:
            content[:] = mutated(
                bytes(content), chance, [b"\xff" * 8, b"\0" * 300, b"\xff\xd8", b"IDAT", b"RIFF"]
            )
    return _with_good_sums(content) if chance.random() < 0.7 else bytes(content)


def _with_good_sums(content: bytearray) -> bytes:
    """A PNG's changes are only met by the decoder where the checksums of its chunks are right."""
    place = 8
    while content.startswith(b"\x89PNG") and place + 12 <= len(content):
        end = place + 8 + int.from_bytes(content[place : place + 4], "big")
        if end + 4 > len(content):
            break
        content[end : end + 4] = struct.pack(">I", zlib.crc32(content[place + 4 : end]))
        place = end + 4
    return bytes(content)


@cache
def small_images() -> list[bytes]:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 12, 4), dtype=np.uint8)
    rgba, rgb, grey = (
        Image.fromarray(pixels),
        Image.fromarray(pixels[..., :3]),
        Image.fromarray(pixels[..., 0]),
    )
    kinds: list[tuple[Image.Image, str, dict[str, Any]]] = [
        (rgb, "PNG", {}), (rgba, "PNG", {}), (grey, "PNG", {"bits": 4}), (grey, "BMP", {}),
        (rgb, "JPEG", {}), (rgb, "JPEG", {"progressive": True}), (grey, "JPEG", {}), (rgb, "BMP", {}),
        (rgb.quantize(8), "PNG", {"transparency": 3}),
        (rgb, "GIF", {}), (rgb, "GIF", {"save_all": True, "append_images": [grey]}), (rgb, "WEBP", {}),
        (rgba, "WEBP", {"lossless": True}), (rgb, "TIFF", {"compression": "tiff_lzw"}), (rgb, "PPM", {}),
    ]  # fmt: skip
    made = []
    for image, kind, options in kinds:
        file = io.BytesIO()
        image.save(file, kind, **options)
        made.append(file.getvalue())
    return made


def command_line(chance: random.Random, home: Path) -> list[str]:
    """A command, rightly or wrongly spelt, and some of its options with values that fit or do not."""
    import typer

    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    name = chance.choice(
        sorted(set(commands) - {"smoke", "doctor"})
    )  # these train, and look at the whole machine
    options = [text for option in commands[name].params for text in option.opts if text.startswith("-")] or [
        "--help"
    ]
    values = [
        "", "x", "-", "--", "smoke", "smok", "quickstart:3", "a:b:c", "*", "0", "-1", "1e999", "nan", "0x10",
        "9" * 5000, "auto", "../x", "/", "a" * 300 + "/b.yaml", "~nobody/a.yaml", "\udcff.yaml", "~nobody",
        "\udcff", "a\nb", "\x1b[0m",
        "model.width=[4", "model.width=0x" + "f" * 6000, "train.lr=1e999", "=", "data.root=\udcff", "model.width=*a",
        "search={sampler: grid, trials: 9}", "train.epochs={low: 1, high: 1000000000}", "data.root=~nobody", "ﷺ", "💥",
        "compute.threads=" + "9" * 400, "compute.threads=", "data={name: folder, root: x}", "/dev/null",
        str(home / "file"),
    ]  # fmt: skip
    words = [name if chance.random() < 0.9 else chance.choice([name[:-1], "", "-h", "--version", *values])]
    for _ in range(chance.choice([0, 1, 2, 3, 6])):
        word = chance.choice(options) if chance.random() < 0.6 else chance.choice(values)
        if word in ("--home", "--yes"):  # a store that is not this test's is left alone
            words += ["--home", chance.choice(["~nobody", str(home / "file"), "\udcff", "a" * 300])]
        else:
            words += [word] if chance.random() < 0.4 else [word, chance.choice(values)]
    return words


def _run(words: list[str]) -> None:
    """As the program is run: stdout takes Unicode only, stderr everything."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace")
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(words)
    out.flush()
    err.flush()
    said = err.buffer.getvalue().decode()  # type: ignore[attr-defined]
    assert code in EXIT_CODES, f"exit code {code}"
    assert "Traceback" not in said, said[-200:]
    assert said or code == 0, f"exit code {code} without a word"


@contextlib.contextmanager
def _elsewhere() -> Iterator[Path]:
    """An empty folder to run commands in, which start nothing."""

    def refuse(*_: object, **__: object) -> Any:
        raise HarnessError("here it would begin")

    before = Path.cwd()
    with (
        tempfile.TemporaryDirectory(prefix="harness-hostile-") as scratch,
        patch.dict(os.environ, HARNESS_HOME=f"{scratch}/store", HARNESS_DATA=f"{scratch}/data"),
        patch("harness.tuning.tune", refuse),
        patch("logging.basicConfig"),
        silent(),
        patch("harness.cli.check.ask_sizes", refuse),
        patch("harness.tracking.ui.serve", refuse),
    ):
        (Path(scratch) / "file").write_bytes(b"PK\x03\x04")
        os.chdir(scratch)
        try:
            yield Path(scratch)
        finally:
            os.chdir(before)
