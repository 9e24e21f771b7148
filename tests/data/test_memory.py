"""Large images stay on the disk: from the files to the worker, memory is bounded whatever their number."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

CHUNK = 2**20
PROGRAM = """
import json, sys, tracemalloc
from pathlib import Path

import numpy as np

from harness.data import decoded_files, folder, images, load_training
from harness.store.store import Store

root, store = Path(sys.argv[1]), Path(sys.argv[2])
decoded_files.CHUNK_BYTES = folder.CHUNK_BYTES = images.CHUNK_BYTES = {chunk}
settings = {{"name": "folder", "root": str(root), "image_size": 4, "groups": {{"from": "parent"}}}}
load_training(settings)  # imports what there is to import
settings["image_size"] = 224
tracemalloc.start()
decoded = load_training(settings)
again = load_training(settings)
mapped = images.Images.open(Store(store).keep_images(again))  # as workers do
assert decoded.content_hash == again.content_hash == mapped.content_hash
assert all(isinstance(found.pixels, np.memmap) for found in (decoded, again, mapped))
print(json.dumps([decoded.pixels.nbytes, tracemalloc.get_traced_memory()[1]]))
"""


def test_no_more_than_a_few_chunks_of_pixels_are_ever_in_memory(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for index in range(150):
        path = tmp_path / "root" / f"{index % 2}" / f"object{index // 3}" / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (6, 6, 3), dtype=np.uint8)).save(path)
    done = subprocess.run(  # a process of its own: what else tests leave behind would be counted too
        [sys.executable, "-c", PROGRAM.format(chunk=CHUNK), str(tmp_path / "root"), str(tmp_path / "store")],
        capture_output=True, text=True, check=False, env={**os.environ, "HARNESS_DATA": str(tmp_path / "home")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    size, peak = json.loads(done.stdout)
    assert size > 15 * CHUNK and peak < 5 * CHUNK
