"""Files that take long or much memory end a process of their own, and nothing else."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from harness.data import limited
from harness.data.decoding import MAX_BYTES, decode, decode_here
from harness.data.policy import DEFAULT, Policy
from harness.standalone.image_pixels import UnreadableError
from tests.data import slow_images
from tests.data.test_decoding import encoded, pixels_of, png_bomb

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="Windows limits neither processor time nor memory")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits addresses")
SIZES = [(16, 3), (8, 1)]


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    limited._end_idle()
    yield
    limited._end_idle()


def photograph() -> np.ndarray:
    return np.kron(pixels_of((90, 60, 3)), np.ones((12, 12, 1), np.uint8))


@pytest.mark.parametrize(
    ("kind", "options"),
    [("JPEG", {"quality": 95}), ("JPEG", {"progressive": True}), ("JPEG", {"comment": b"x" * 60_000}), ("PNG", {}),
     ("GIF", {}), ("BMP", {}), ("TIFF", {}), ("PPM", {}), ("WEBP", {"lossless": True})],
)  # fmt: skip
def test_ordinary_files_are_quick(kind: str, options: dict[str, object]) -> None:
    large = kind in ("JPEG", "PNG")
    pixels = np.random.default_rng(0).integers(0, 256, (700, 900, 3) if large else (120, 200, 3), np.uint8)
    content = encoded(pixels, kind, **options)
    assert limited.is_quick(content) and (not large or len(content) > limited.SMALL_BYTES)


SLOW = {
    "comments of a plain PBM": lambda: slow_images.comments(b"P1", 2_000_000),
    "comments of a plain PPM": lambda: slow_images.comments(b"P3", 2_000_000),
    "a large plain PPM": lambda: slow_images.plain_numbers(30_000_000),
    "a long comment before a PPM": lambda: slow_images.header_comment(30_000_000),
    "a brightest value of 254": lambda: slow_images.odd_maxval(6000),
    "scans of a JPEG": lambda: slow_images.jpeg_scans(2000, 5_000),
    "scans of a large JPEG": lambda: slow_images.jpeg_scans(8000, 90),
    "segments of a JPEG": lambda: slow_images.jpeg_segments(1_000_000),
    "chunks of a PNG": lambda: slow_images.png_chunks(1_000_000),
    "comments of a GIF": lambda: slow_images.gif_comments(1_000_000),
    "strips of a TIFF": lambda: slow_images.tiff_raw_strips(300_000),
}


@pytest.mark.parametrize("name", SLOW)
def test_what_takes_long_is_not_quick(name: str) -> None:
    assert not limited.is_quick(SLOW[name]())


@pytest.mark.parametrize(
    "content", [b"", b"P", b"\xff\xd8", b"\xff\xd8\xff", b"\xff\xd8" + b"\xff" * 30, b"\x89PNG"]
)
def test_a_file_that_ends_at_once_is_quick(content: bytes) -> None:
    assert limited.is_quick(content)


@pytest.mark.parametrize("policy", [DEFAULT, Policy(depth=(0, 4095), fit="pad")])
def test_a_process_decodes_to_the_same_bits_and_facts(policy: Policy) -> None:
    files = [
        encoded(photograph(), "JPEG", quality=70), encoded(pixels_of((30, 20, 4))),
        encoded(pixels_of((20, 20))[..., 0].astype(np.uint16) * 16, "TIFF"),
    ]  # fmt: skip
    for content in files:
        expected, facts = decode_here(content, SIZES, policy, most=MAX_BYTES)
        found, told = limited.decode(content, sizes=SIZES, policy=policy)
        assert told == facts and found[0].flags.writeable
        assert all((one == other).all() for one, other in zip(found, expected, strict=True))


def test_one_process_decodes_many_files_and_says_why_it_cannot() -> None:
    limited.decode(encoded(pixels_of()), sizes=SIZES, policy=DEFAULT)
    worker = limited._idle_worker()
    assert worker is not None
    limited._idle.put(worker)
    for content in (b"text", encoded(pixels_of())[:90]):
        with pytest.raises(limited.Stopped, match=r"not an image|truncated|broken"):
            limited.decode(content, sizes=SIZES, policy=DEFAULT)
    assert limited._idle_worker() is worker
    worker.end()


@pytest.mark.slow
@POSIX
def test_a_file_that_takes_too_long_ends_its_process_and_the_next_is_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limited, "SECONDS", 1)
    with pytest.raises(UnreadableError, match="takes more than 1 seconds of processor time"):
        decode(slow_images.comments(b"P3", 2_000_000), image_size=8, channels=3)
    pixels, _ = limited.decode(encoded(pixels_of()), sizes=[(8, 3)], policy=DEFAULT)
    assert (pixels[0].transpose(1, 2, 0) == pixels_of()).all()


def test_a_busy_machine_ends_it_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limited, "DEADLINE_SECONDS", 0.2)
    start = time.monotonic()
    with pytest.raises(UnreadableError, match="takes more than 0 seconds to decode"):
        decode(slow_images.comments(b"P2", 2_000_000), image_size=8, channels=3)
    assert time.monotonic() - start < 10


@LINUX
def test_a_file_that_takes_too_much_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limited, "MEMORY_GIB", 0.4)
    with pytest.raises(UnreadableError, match="takes more memory to decode than there is for it"):
        decode(png_bomb(12_000, 12_000), image_size=8, channels=3)


@POSIX
def test_a_process_that_is_killed_is_told_and_replaced() -> None:
    content = encoded(pixels_of())
    limited.decode(content, sizes=SIZES, policy=DEFAULT)
    worker = limited._idle_worker()
    assert worker is not None
    limited._idle.put(worker)
    os.kill(worker.process.pid, signal.SIGKILL)
    worker.process.wait()
    limited.decode(content, sizes=SIZES, policy=DEFAULT)  # nobody had asked that one

    worker = limited._idle_worker()
    assert worker is not None
    limited._idle.put(worker)
    threading.Timer(0.3, worker.process.kill).start()
    with pytest.raises(UnreadableError, match=r"ended the process that decoded it \(exit code -9\)"):
        decode(slow_images.comments(b"P2", 2_000_000), image_size=8, channels=3)


def test_threads_share_a_few_processes() -> None:
    contents = [encoded(pixels_of(seed=seed)) for seed in range(12)]
    with ThreadPoolExecutor(6) as pool:
        found = list(
            pool.map(lambda content: limited.decode(content, sizes=[(8, 3)], policy=DEFAULT), contents)
        )
    for seed, (pixels, _) in enumerate(found):
        assert (pixels[0].transpose(1, 2, 0) == pixels_of(seed=seed)).all()
    assert 1 <= limited._idle.qsize() <= limited.MAX_PROCESSES


@pytest.mark.slow
@POSIX
def test_no_process_is_left_behind_when_its_parent_is_killed() -> None:
    code = (
        "import os, signal\nfrom harness.data import limited\nfrom harness.data.policy import DEFAULT\n"
        "try: limited.decode(b'x', sizes=[(8, 3)], policy=DEFAULT)\nexcept limited.Stopped: pass\n"
        "print(limited._idle.get().process.pid, flush=True)\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    pid = int(done.stdout)
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError(f"process {pid} still runs")


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_a_photograph_of_200_megapixels_is_decoded_in_bounded_memory(options: dict[str, bool]) -> None:
    content = slow_images.jpeg_bomb(14_142, **options)
    assert decode(content, image_size=32, channels=3).max() <= 2
    worker = limited._idle_worker()
    assert worker is not None
    limited._idle.put(worker)
    if sys.platform == "linux":
        with open(f"/proc/{worker.process.pid}/status") as status:  # noqa: PTH123
            peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
        assert peak < 600 * 2**10


@POSIX
@pytest.mark.slow
@pytest.mark.parametrize("name", slow_images.SLOW)
def test_every_slow_file_is_decoded_or_refused_soon(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limited, "SECONDS", 1)
    content = slow_images.SLOW[name]()
    start = time.process_time()
    try:
        assert decode(content, image_size=32, channels=3).shape == (3, 32, 32)
    except UnreadableError as error:
        assert str(error)
    assert time.process_time() - start < 4  # in this process


def test_a_large_palette_is_decoded_elsewhere_and_right() -> None:
    image = Image.new("P", (6000, 6000), 1)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.paste(0, (0, 0, 3000, 6000))
    found = decode(encoded(image), image_size=8, channels=3)
    assert (found[:, 0, 0] == [10, 20, 30]).all() and (found[:, 7, 7] == [200, 100, 50]).all()
    assert limited._idle.qsize() == 1
