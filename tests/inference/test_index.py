"""The index of a folder: exact, brought up to date by what has changed, and whole whatever happens to it."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.errors import DataError, RecordError, UsageError
from harness.files import read_json
from harness.inference.embedding import Embedder, unit
from harness.inference.index import find, update
from harness.inference.vectors import Index, rounding
from tests.inference.made_up_models import made, noise, save


class Counting(Embedder):
    """Says how many images it was given."""

    num_images = 0

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        self.num_images += len(pixels)
        return super().__call__(pixels)


@pytest.fixture
def embedder() -> Counting:
    return Counting(made("resnet"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "meine Fotos"
    for number, pixels in enumerate(noise(6)):
        save(pixels, folder / f"{number}.png")
    save(noise(6)[1], folder / "more" / "again.png")
    (folder / "broken.jpg").write_bytes(b"no image")
    (folder / "notes.txt").write_text("no image either")
    return folder


def index_of(vectors: np.ndarray) -> Index:
    names = tuple(f"{number}.png" for number in range(len(vectors)))
    return Index(Path("/nowhere"), names, ("",) * len(names), unit(vectors), {})


def random_index(count: int, size: int = 8) -> Index:
    return index_of(np.random.default_rng(0).standard_normal((count, size)))


def exact_index(count: int) -> Index:
    """Of vectors with four components of ±1/2: every scalar product is exact, in whatever order it is summed."""
    random = np.random.default_rng(0)
    signs = random.choice((-1.0, 1.0), (count, 8))
    return index_of(random.permuted(signs * (np.arange(8) < 4), axis=1))


def test_the_nearest_are_those_of_all_scores() -> None:
    index = random_index(500)
    for query in index.vectors[:5]:
        found = index.nearest(query, 20)
        scores = index.vectors.astype(float) @ query
        assert [number for number, _ in found] == np.argsort(-scores)[:20].tolist()
        assert [score for _, score in found] == pytest.approx(np.sort(scores)[::-1][:20].tolist(), abs=1e-6)
    assert len(index.nearest(query, 1000)) == 500


@pytest.mark.parametrize("threshold", [-1.0, 0.25, 0.7, 1.0])
def test_pairs_are_those_of_all_products(threshold: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.inference.vectors.ROWS", 7)
    monkeypatch.setattr("harness.inference.vectors.COLUMNS", 30)
    index = exact_index(100)
    index.vectors[90] = index.vectors[3]
    count, found = index.pairs(threshold, most=5000)
    scores = np.einsum("ik,jk->ij", index.vectors, index.vectors)
    pairs = [(one, two, scores[one, two]) for one, two in zip(*np.triu_indices(100, 1), strict=True)]
    expected = [pair for pair in pairs if pair[2] >= threshold]
    assert found == sorted(expected, key=lambda pair: (-pair[2], *pair[:2])) and count == len(expected)
    assert (3, 90, 1.0) in found and len({score for *_, score in pairs}) >= 4
    for most in (2, 40):
        assert index.pairs(threshold, most=most) == (count, found[:most])


@pytest.mark.parametrize("size", [3, 300, 5000])
def test_equal_vectors_are_pairs_whatever_the_rounding(size: int) -> None:
    vectors = np.random.default_rng(0).standard_normal((50, size))
    index = index_of(np.concatenate([vectors, vectors]))
    count, found = index.pairs(1.0)
    assert count == 50 and {two - one for one, two, _ in found} == {50}
    assert {score for *_, score in found} == {1.0}
    assert index.nearest(index.vectors[7], 2) == [(7, 1.0), (57, 1.0)]


@pytest.mark.parametrize("size", [1, 8, 100, 2048, 20_000])
def test_a_sum_in_the_worst_order_is_not_further_off_than_is_allowed_for(size: int) -> None:
    vectors = unit(np.random.default_rng(0).standard_normal((100, size)))
    one_by_one = np.cumsum(np.square(vectors), axis=1, dtype=np.float32)[:, -1]
    assert np.abs(one_by_one - 1).max() < rounding(size) < 2e-5


def test_a_vector_of_zeros_is_like_nothing() -> None:
    index = index_of(np.array([[3.0, 4.0], [0.0, 0.0], [0.0, 0.0]]))
    assert index.pairs(0.1) == (0, []) and index.nearest(np.zeros(2), 2) == [(0, 0.0), (1, 0.0)]


def test_a_file_that_is_gone_is_found_no_more(tmp_path: Path, photos: Path, embedder: Counting) -> None:
    update(tmp_path, embedder, photos)
    (photos / "0.png").unlink()
    assert "0.png" not in update(tmp_path, embedder, photos).names and embedder.num_images == 7
    (photos / "broken.jpg").unlink()
    assert not update(tmp_path, embedder, photos).unreadable


def test_only_what_is_new_is_embedded(tmp_path: Path, photos: Path, embedder: Counting) -> None:
    index = update(tmp_path, embedder, photos)
    assert sorted(index.names) == [*(f"{number}.png" for number in range(6)), "more/again.png"]
    assert list(index.unreadable) == ["broken.jpg"] and embedder.num_images == 7
    update(tmp_path, embedder, photos)
    assert embedder.num_images == 7
    save(noise(1, seed=9)[0], photos / "2.png")
    save(noise(1, seed=8)[0], photos / "new.png")
    (photos / "0.png").unlink()
    index = update(tmp_path, embedder, photos)
    assert embedder.num_images == 9
    assert sorted(index.names) == ["1.png", "2.png", "3.png", "4.png", "5.png", "more/again.png", "new.png"]
    fresh = update(tmp_path / "elsewhere", embedder, photos)
    np.testing.assert_allclose(index.vectors, fresh.vectors, atol=1e-5)
    assert find(tmp_path, embedder).names == index.names
    (place,) = (tmp_path / "similar").glob("*-*/")
    assert len(list(place.glob("*.f32"))) == 1


def test_a_query_finds_its_copy_and_not_itself(tmp_path: Path, photos: Path, embedder: Counting) -> None:
    index = update(tmp_path, embedder, photos)
    query = embedder(noise(6)[1:2])[0]
    names = [index.names[number] for number, score in index.nearest(query, 7) if score > 0.9999]
    assert sorted(names) == ["1.png", "more/again.png"]
    best, score = index.nearest(query, 1, without=str(photos / "more" / ".." / "1.png"))[0]
    assert (index.names[best], round(score, 4)) == ("more/again.png", 1)
    assert index.pairs(0.9999)[0] == 1


def test_a_killed_run_goes_on(
    tmp_path: Path, photos: Path, embedder: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.inference.predict.BATCH_PIXELS", 2 * 16 * 16)
    monkeypatch.setattr("harness.inference.index.SAVE_SECONDS", -1.0)
    given = Embedder.__call__

    def dying(self: Embedder, pixels: np.ndarray) -> np.ndarray:
        if embedder.num_images > 4:
            raise KeyboardInterrupt
        return given(self, pixels)

    monkeypatch.setattr(Embedder, "__call__", dying)
    with pytest.raises(KeyboardInterrupt):
        update(tmp_path, embedder, photos)
    monkeypatch.setattr(Embedder, "__call__", given)
    before = len(find(tmp_path, embedder).names)
    embedder.num_images = 0
    assert before == 4 and len(update(tmp_path, embedder, photos).names) == 7
    assert embedder.num_images == 3


@pytest.mark.parametrize("which", ["index.json", "*.f32"])
def test_a_damaged_index_is_noticed_and_made_anew(
    tmp_path: Path, photos: Path, embedder: Counting, which: str
) -> None:
    update(tmp_path, embedder, photos)
    (path,) = (tmp_path / "similar").rglob(which)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(RecordError, match="damaged"):
        find(tmp_path, embedder)
    assert len(update(tmp_path, embedder, photos).names) == 7 and embedder.num_images == 14
    assert len(find(tmp_path, embedder).names) == 7


@pytest.mark.skipif(os.name != "posix", reason="names of bytes")
def test_a_name_that_is_no_text_is_found_again(tmp_path: Path, embedder: Counting) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    save(noise(1)[0], tmp_path / "photos" / "plain.png").rename(tmp_path / "photos" / name)
    assert update(tmp_path, embedder, tmp_path / "photos").names == (name,)
    index = find(tmp_path, embedder)
    assert index.names == (name,) and Path(index.path(0)).is_file()


def test_which_index_is_meant_must_be_clear(tmp_path: Path, photos: Path, embedder: Counting) -> None:
    with pytest.raises(UsageError, match="no index of this model"):
        find(tmp_path, embedder)
    update(tmp_path, embedder, photos)
    update(tmp_path, embedder, photos / "more")
    with pytest.raises(UsageError, match=r"several folders are indexed \(.*meine Fotos"):
        find(tmp_path, embedder)
    with pytest.raises(UsageError, match="no index of this model"):
        find(tmp_path, Embedder(made("resnet", width=2)))


def test_a_folder_without_images_is_told(tmp_path: Path, embedder: Counting) -> None:
    with pytest.raises(UsageError, match="there is no such folder"):
        update(tmp_path, embedder, tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no image in it that can be read"):
        update(tmp_path, embedder, tmp_path / "empty")


def test_another_schema_is_not_guessed_at(tmp_path: Path, photos: Path, embedder: Counting) -> None:
    from harness.files import write_json

    update(tmp_path, embedder, photos)
    (path,) = (tmp_path / "similar").rglob("index.json")
    document: dict[str, Any] = read_json(path)
    write_json(path, document | {"schema": 2})
    with pytest.raises(RecordError, match="schema 2"):
        find(tmp_path, embedder)
