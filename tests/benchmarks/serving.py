"""`harness serve`: images a second and how long one waits, with 1, 8 and 32 clients; memory under bombs; slow clients.

A made-up ResNet-8 on 32×32 images. Clients are coroutines of one process, each of which sends the next image when the
last is answered; so they take processor time from the server, on the same machine. Bombs are PNG files of one colour,
that many at once; memory is that of the server and the processes that it starts, together (proportional set size).
"""

import argparse
import asyncio
import os
import re
import signal
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from harness.inference.export import save_model
from tests.inference.made_up_models import made, noise
from tests.inference.web_server import png

SMALL = ("--seconds", "1", "--clients", "8", "--bombs", "2", "--side", "4000")
NUM_IMAGES, NUM_SLOW, SAMPLE_SECONDS = 64, 40, 0.05
COLOURS = {"RGBA": 6, "RGB": 2, "grey": 0}
Row = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=6.0, help="of each number of clients")
    parser.add_argument("--clients", type=int, nargs="*", default=[1, 8, 32])
    parser.add_argument("--batch", type=int, default=256, help="images of a request to the batch endpoint")
    parser.add_argument("--bombs", type=int, default=16, help="at once; 0: neither bombs nor slow clients")
    parser.add_argument(
        "--side", type=int, nargs="*", default=[16_000, 11_500, 5_700], help="of bombs, in pixels"
    )


def report(options: argparse.Namespace) -> list[Row]:
    rows = []
    images = [png(pixels) for pixels in noise(NUM_IMAGES, 32)]
    for _ in range(options.runs):
        for explain in ("false", "true"):
            for clients in options.clients:
                with served() as (port, process):
                    rows.append(
                        asyncio.run(throughput(port, process, images, clients, options.seconds, explain))
                    )
        with served() as (port, process):
            rows.append(asyncio.run(batches(port, process, images, options.batch, options.seconds)))
    for kind, side in product(COLOURS, options.side if options.bombs else ()):
        with served() as (port, process):
            rows.append(asyncio.run(bombed(port, process, kind, side, options.bombs)))
    if options.bombs:
        with served() as (port, process):
            rows.append(asyncio.run(beside_slow(port, images[0])))
    return rows


@contextmanager
def served() -> Iterator[tuple[int, int]]:
    """The port of a server, and its process."""
    with tempfile.TemporaryDirectory() as folder:
        save_model(Path(folder) / "model", made("resnet", size=32, depth=3, width=16), study="small", trial=0)
        command = [sys.executable, "-m", "harness", "serve", "model", "--port", "0", "--home", "home"]
        with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            try:
                line = next(line for line in process.stderr if line.startswith("http://127"))
                yield int(line.rsplit(":", 1)[1]), process.pid
            finally:
                process.send_signal(signal.SIGTERM)
                process.stderr.read()


class Client:
    """A connection that is kept, where the server keeps it."""

    def __init__(self, port: int):
        self.port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, path: str, body: bytes, kind: str = "image/png") -> tuple[int, bytes]:
        reader, writer = self._streams or await asyncio.open_connection("127.0.0.1", self.port)
        named = [
            f"Host: 127.0.0.1:{self.port}",
            f"Content-Type: {kind}",
            f"Content-Length: {len(body)}",
            "\r\n",
        ]
        writer.write("\r\n".join([f"POST {path} HTTP/1.1", *named]).encode() + body)
        answered = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = re.search(rb"content-length: (\d+)", answered)
        content = await reader.readexactly(int(length[1])) if length else await reader.read()
        self._streams = (reader, writer)
        if b"connection: close" in answered:
            self.close()
        return int(answered.split(b" ", 2)[1]), content

    def close(self) -> None:
        if self._streams:
            self._streams[1].close()
            self._streams = None


async def throughput(
    port: int, process: int, images: Sequence[bytes], clients: int, seconds: float, explain: str
) -> Row:
    path = f"/predict?explain={explain}"
    await Client(port).post(path, images[0])  # what is loaded at the first image
    waits: list[float] = []
    statuses: list[int] = []
    end = time.monotonic() + seconds

    async def ask() -> None:
        client = Client(port)
        while (began := time.monotonic()) < end:
            status, _ = await client.post(path, images[len(statuses) % len(images)])
            statuses.append(status)
            if status == 200:
                waits.append(time.monotonic() - began)
        client.close()

    used = processor_seconds(process)
    await asyncio.gather(*(ask() for _ in range(clients)))
    used = processor_seconds(process) - used
    return {
        "of": "one image a request", "name": "explained" if explain == "true" else "not explained",
        "clients": clients, "rate": len(waits) / seconds, "median_ms": 1000 * float(np.median(waits)),
        "p95_ms": 1000 * float(np.quantile(waits, 0.95)), "refused": len(statuses) - len(waits),
        "processor_ms": 1000 * used / max(1, len(waits)),
    }  # fmt: skip


async def batches(port: int, process: int, images: Sequence[bytes], count: int, seconds: float) -> Row:
    body = b"".join(
        b'--x\r\nContent-Disposition: form-data; name="image"; filename="%d.png"\r\n\r\n%s\r\n'
        % (number, image)
        for number, image in enumerate((list(images) * count)[:count])
    )
    send = partial(
        Client(port).post, "/predict/batch", body + b"--x--\r\n", "multipart/form-data; boundary=x"
    )
    status, answer = await send()
    row: Row = {"of": "batch", "name": f"{count} images a request", "clients": 1}
    if status != 200:
        return row | {"refused": status, "note": answer.decode()[:60]}
    began, used, waits = time.monotonic(), processor_seconds(process), []
    while time.monotonic() < began + seconds:
        asked = time.monotonic()
        assert (await send())[0] == 200
        waits.append(time.monotonic() - asked)
    row |= {"rate": count * len(waits) / sum(waits), "median_ms": 1000 * float(np.median(waits))}
    row |= {"p95_ms": 1000 * float(np.quantile(waits, 0.95))}
    return row | {"processor_ms": 1000 * (processor_seconds(process) - used) / (count * len(waits))}


async def bombed(port: int, process: int, kind: str, side: int, count: int) -> Row:
    content = bomb(kind, side)
    before, peak, done = memory(process), 0.0, asyncio.Event()

    async def watch() -> None:
        nonlocal peak
        while not done.is_set():
            peak = max(peak, memory(process))
            await asyncio.sleep(SAMPLE_SECONDS)

    watching = asyncio.create_task(watch())
    began = time.monotonic()
    statuses = [
        found[0]
        for found in await asyncio.gather(*(Client(port).post("/predict", content) for _ in range(count)))
    ]
    seconds = time.monotonic() - began
    done.set()
    await watching
    answered = ", ".join(f"{statuses.count(status)} × {status}" for status in sorted(set(statuses)))
    return {
        "of": "bombs", "name": f"{count} of {side:,}×{side:,} {kind}", "mb_before": before, "mb_peak": peak,
        "seconds": seconds, "note": answered,
    }  # fmt: skip


async def beside_slow(port: int, image: bytes) -> Row:
    """How long a normal request takes beside requests that have sent a half of what they announce."""
    slow = [await asyncio.open_connection("127.0.0.1", port) for _ in range(NUM_SLOW)]
    head = f"POST /predict HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 1000\r\n\r\n".encode()
    for number, (_, writer) in enumerate(slow):
        writer.write(head + b"x" * 500 if number % 2 else head[:30])
        await writer.drain()
    await asyncio.sleep(0.5)
    began = time.monotonic()
    status, _ = await Client(port).post("/predict?explain=false", image)
    seconds = time.monotonic() - began
    ends = await asyncio.gather(*(asyncio.wait_for(reader.read(), 60) for reader, _ in slow))
    ended = time.monotonic() - began
    note = f"answered {status}; the slow ones ended after {ended:.0f} s, {sum(map(bool, ends))} told why"
    return {
        "of": "slow clients",
        "name": f"one image beside {NUM_SLOW}",
        "median_ms": 1000 * seconds,
        "note": note,
    }


def bomb(kind: str, side: int) -> bytes:
    """A PNG file of one colour."""
    channels = {"RGBA": 4, "RGB": 3, "grey": 1}[kind]
    packing, row = zlib.compressobj(9), b"\0" + b"\x80" * (side * channels)
    pixels = b"".join([*(packing.compress(row) for _ in range(side)), packing.flush()])

    def chunk(name: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    header = struct.pack(">IIBBBBB", side, side, 8, COLOURS[kind], 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def family(process: int) -> list[int]:
    """A process and those that it has started."""
    try:
        threads = list(Path(f"/proc/{process}/task").iterdir())
        children = [int(child) for thread in threads for child in (thread / "children").read_text().split()]
    except OSError:
        return [process]
    return [process, *(one for child in children for one in family(child))]


def memory(process: int) -> float:
    """Of a process and its children, in MB."""
    found = 0
    for one in family(process):
        try:
            found += int(re.search(r"Pss:\s+(\d+)", Path(f"/proc/{one}/smaps_rollup").read_text())[1])  # type: ignore[index]
        except OSError:
            continue
    return found / 1024


def processor_seconds(process: int) -> float:
    ticks = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def table(rows: Sequence[Row]) -> str:
    lines = [
        "| of | | clients | images/s | median ms | p95 ms | processor ms | refused | MB before | MB at most | s | |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    names = (
        "clients",
        "rate",
        "median_ms",
        "p95_ms",
        "processor_ms",
        "refused",
        "mb_before",
        "mb_peak",
        "seconds",
    )
    for row in rows:
        figures = [f"{row[name]:,.4g}" if name in row else "" for name in names]
        lines.append(" | ".join(["", row["of"], row["name"], *figures, row.get("note", ""), ""]).strip())
    return "\n".join(lines)
