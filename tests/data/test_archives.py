"""CIFAR-10 and Fashion-MNIST from tiny archives in the same format; no network anywhere."""

import gzip
import hashlib
import io
import pickle
import socket
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest
from torchvision.datasets import CIFAR10, FashionMNIST

from harness.data import cifar10, fashion_mnist, load_training
from harness.data.test_set import load_test
from harness.errors import DataError

PER_BATCH = 20


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home for data, and nobody to download from."""

    def nobody(*_: object, **__: object) -> None:
        raise OSError("no network in tests")

    monkeypatch.setattr(socket, "create_connection", nobody)
    monkeypatch.setattr(socket.socket, "connect", nobody)
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "home"))
    return tmp_path / "home"


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


@pytest.fixture
def cifar_archive(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """An archive as the official one, of 6 × 20 images, whose check sums torchvision is made to expect."""
    random = np.random.default_rng(0)
    files = {}
    for name in [f"data_batch_{number}" for number in range(1, 6)] + ["test_batch"]:
        data = random.integers(0, 256, (PER_BATCH, 3072), dtype=np.uint8)
        files[name] = pickle.dumps({"data": data, "labels": [index % 10 for index in range(PER_BATCH)]})
    files["batches.meta"] = pickle.dumps({"label_names": [f"class {number}" for number in range(10)]})
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, body in files.items():
            member = tarfile.TarInfo(f"{CIFAR10.base_folder}/{name}")
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
    names = [name for name in files if name.startswith("data")]
    monkeypatch.setattr(CIFAR10, "train_list", [[name, md5(files[name])] for name in names])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", md5(files["test_batch"])]])
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": md5(files["batches.meta"])})
    monkeypatch.setattr(CIFAR10, "tgz_md5", md5(content.getvalue()))
    return content.getvalue()


def put(folder: Path, name: str, content: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)


def test_cifar10_is_read_from_its_archive_then_from_its_copy(
    home: Path, cifar_archive: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(home, cifar10.ARCHIVE, cifar_archive)
    train, test = load_training({"name": "cifar10"}), load_test({"name": "cifar10", "root": None})
    assert train.pixels.shape == (100, 3, 32, 32) and test.pixels.shape == (20, 3, 32, 32)
    reference = CIFAR10(home, train=True)
    assert all(
        (np.asarray(image) == pixels.transpose(1, 2, 0)).all() and label == int(ours)
        for (image, label), pixels, ours in zip(reference, train.pixels, train.labels, strict=True)
    )
    assert train.classes[3] == "class 3"
    monkeypatch.setattr(cifar10, "_decode", None)
    assert load_training({"name": "cifar10"}).content_hash == train.content_hash


@pytest.mark.parametrize("inside", [False, True])
def test_cifar10_is_found_where_torchvision_unpacked_it(
    tmp_path: Path, cifar_archive: bytes, inside: bool
) -> None:
    put(tmp_path / "my data", cifar10.ARCHIVE, cifar_archive)
    with tarfile.open(tmp_path / "my data" / cifar10.ARCHIVE) as archive:
        archive.extractall(tmp_path / "my data", filter="data")
    (tmp_path / "my data" / cifar10.ARCHIVE).unlink()
    root = tmp_path / "my data" / (CIFAR10.base_folder if inside else "")
    assert len(load_training({"name": "cifar10", "root": str(root)})) == 100


def test_a_damaged_batch_is_never_used(home: Path, cifar_archive: bytes) -> None:
    put(home, cifar10.ARCHIVE, cifar_archive)
    load_test({"name": "cifar10"})
    batch = home / CIFAR10.base_folder / "data_batch_3"
    batch.write_bytes(batch.read_bytes()[:-1] + b"!")
    (home / cifar10.ARCHIVE).unlink()
    with pytest.raises(DataError, match=f"no intact {cifar10.ARCHIVE}"):
        load_training({"name": "cifar10"})
    put(home, cifar10.ARCHIVE, cifar_archive)
    assert len(load_training({"name": "cifar10"})) == 100


@pytest.fixture
def fashion_files(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    random = np.random.default_rng(1)
    files = {}
    for prefix, count in (("train", 60), ("t10k", 20)):
        pixels = random.integers(0, 256, (count, 28, 28), dtype=np.uint8).tobytes()
        labels = bytes(index % 10 for index in range(count))
        images = struct.pack(">IIII", 2051, count, 28, 28) + pixels
        files[f"{prefix}-images-idx3-ubyte.gz"] = gzip.compress(images)
        files[f"{prefix}-labels-idx1-ubyte.gz"] = gzip.compress(struct.pack(">II", 2049, count) + labels)
    monkeypatch.setattr(FashionMNIST, "resources", [(name, md5(body)) for name, body in files.items()])
    return files


@pytest.mark.parametrize("place", ["FashionMNIST/raw", "raw", ""])
def test_fashion_mnist_is_found_in_the_usual_places(
    tmp_path: Path, fashion_files: dict[str, bytes], place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, content in fashion_files.items():
        put(tmp_path / "my data" / place, name, content)
    settings = {"name": "fashion_mnist", "root": str(tmp_path / "my data")}
    train, test = load_training(settings), load_test(settings)
    assert train.pixels.shape == (60, 1, 28, 28) and test.pixels.shape == (20, 1, 28, 28)
    assert train.classes[9] == "Ankle boot"
    if place == "FashionMNIST/raw":
        reference = FashionMNIST(tmp_path / "my data", train=True, download=True)
        assert (reference.data.numpy() == train.pixels[:, 0]).all()
        assert (reference.targets.numpy() == train.labels).all()
    monkeypatch.setattr(fashion_mnist, "_decode", None)
    assert load_training(settings).content_hash == train.content_hash


def test_a_damaged_packed_file_is_never_used(home: Path, fashion_files: dict[str, bytes]) -> None:
    for name, content in fashion_files.items():
        put(home, name, content)
    put(home, "train-labels-idx1-ubyte.gz", b"damaged")
    with pytest.raises(DataError, match=r"no intact train-labels-idx1-ubyte\.gz"):
        load_training({"name": "fashion_mnist"})


@pytest.mark.parametrize(
    ("name", "file"), [("cifar10", cifar10.ARCHIVE), ("fashion_mnist", "train-images-idx3-ubyte.gz")]
)
def test_without_a_network_one_line_says_which_file_to_put_where(
    home: Path, name: str, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(DataError) as caught:
        load_training({"name": name})
    message = str(caught.value)
    assert file in message and str(home) in message and "no network in tests" in message
    assert "\n" not in message and "http" in message
    assert capsys.readouterr().out == "" and socket.getdefaulttimeout() is None
