"""What a study may choose of how files become pixels: which values are black and white, and all of an image."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.config.study_file import Study, load_study_file
from harness.data import load_training
from harness.data.decoding import decode, decode_with_facts
from harness.data.policy import DEFAULT, Policy, of_changes, of_settings
from harness.errors import UsageError
from harness.standalone.image_pixels import UnreadableError
from tests.data.test_decoding import SIZE, encoded, pixels_of


def grey(values: np.ndarray, policy: Policy, kind: str = "TIFF") -> np.ndarray:
    return decode(encoded(values, kind), image_size=len(values), channels=1, policy=policy)[0]


def twelve_bits() -> np.ndarray:
    return np.random.default_rng(0).integers(900, 1151, (SIZE, SIZE)).astype(np.uint16)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_the_full_range_is_what_is_done_by_default_and_0_to_65535(kind: str) -> None:
    values = np.random.default_rng(0).integers(0, 65_536, (SIZE, SIZE)).astype(np.uint16)
    by_default = grey(values, DEFAULT, kind)
    assert (by_default == np.rint(values / 257)).all()
    assert (grey(values, Policy(depth=(0, 65_535)), kind) == by_default).all()


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_values_of_a_narrow_range_stay_apart_where_the_range_is_given(kind: str) -> None:
    values = twelve_bits()
    assert len(np.unique(grey(values, DEFAULT, kind))) == 1
    found = grey(values, Policy(depth=(900, 1150)), kind)
    assert (found == np.floor((values - 900.0) * 255 / 250 + 0.5)).all() and len(np.unique(found)) > 50


def test_values_outside_of_the_range_are_black_and_white() -> None:
    values = np.array([[-2000, -1024], [3071, 9000]], np.int32)
    assert grey(values, Policy(depth=(-1024, 3071))).tolist() == [[0, 0], [255, 255]]


def test_floating_point_values_are_read_where_their_range_is_given_and_what_is_no_number_is_black() -> None:
    values = np.array([[0.0, 0.25], [1.0, np.nan]], np.float32)
    assert grey(values, Policy(depth=(0.0, 1.0))).tolist() == [[0, 64], [255, 0]]
    _, facts = decode_with_facts(encoded(values, "TIFF"), sizes=[(2, 1)], policy=Policy(depth=(0, 1)))
    assert (facts.mode, facts.low, facts.high) == ("F", 0.0, 1.0)
    with pytest.raises(UnreadableError, match=r"\(0\.\.1\) have no fixed range; data\.depth"):
        grey(values, DEFAULT)


def test_signed_values_are_refused_with_their_range_and_what_to_do() -> None:
    with pytest.raises(
        UnreadableError, match=r"-1024\.\.3071 are not 16-bit grey; data\.depth: \[low, high\]"
    ):
        grey(np.array([[-1024, 0], [3, 3071]], np.int32), DEFAULT)


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
def test_percentiles_are_of_each_image_and_never_swap_two_values(kind: type) -> None:
    values = np.random.default_rng(1).normal(1000, 200, (64, 64)).astype(kind)
    found = grey(values, Policy(depth="percentile"))
    low, high = np.percentile(values, [0.5, 99.5])
    assert (found[values <= low] == 0).all() and (found[values >= high] == 255).all()
    assert 0.004 < (found == 0).mean() < 0.02 and 0.004 < (found == 255).mean() < 0.02
    assert (np.diff(found.ravel()[np.argsort(values, axis=None)].astype(int)) >= 0).all()
    assert (grey((values * 3 + 50).astype(kind), Policy(depth="percentile")) == found).mean() > 0.98


def test_percentiles_that_are_equal_give_way_to_the_ends_and_a_flat_image_is_black() -> None:
    values = np.zeros((64, 64), np.uint16)
    assert (grey(values, Policy(depth="percentile")) == 0).all()
    values[:2, :2] = 4095
    assert (grey(values, Policy(depth="percentile"))[:2, :2] == 255).all()


@pytest.mark.parametrize("depth", ["percentile", (0, 4095)])
def test_images_of_eight_bits_are_as_they_are(depth: str | tuple[int, int]) -> None:
    content = encoded(pixels_of())
    by_default = decode(content, image_size=SIZE, channels=3)
    assert (decode(content, image_size=SIZE, channels=3, policy=Policy(depth=depth)) == by_default).all()


@pytest.mark.parametrize(
    ("width", "height", "box"), [(16, 8, (0, 2, 8, 6)), (8, 16, (2, 0, 6, 8)), (9, 9, (0, 0, 8, 8))]
)
def test_all_of_an_image_is_used_between_black_bars(width: int, height: int, box: tuple[int, ...]) -> None:
    pixels = pixels_of((height, width, 3)) // 2 + 100
    found = decode(encoded(pixels), image_size=8, channels=3, policy=Policy(fit="pad")).transpose(1, 2, 0)
    left, top, right, bottom = box
    expected = Image.fromarray(pixels).resize((right - left, bottom - top), Image.Resampling.BILINEAR)
    assert (found[top:bottom, left:right] == np.asarray(expected)).all()
    found[top:bottom, left:right] = 0
    assert not found.any()


def test_a_line_of_60_000_pixels_stays_a_line() -> None:
    content = encoded(np.full((1, 60_000, 3), 200, np.uint8))
    found = decode(content, image_size=8, channels=3, policy=Policy(fit="pad"))
    assert (found == 200).any((0, 2)).sum() == 1


def test_square_images_are_the_same_whether_cut_or_padded() -> None:
    content = encoded(pixels_of((20, 20, 3)), "JPEG")
    cut, padded = (
        decode(content, image_size=8, channels=3, policy=Policy(fit=fit)) for fit in ("crop", "pad")
    )
    assert (cut == padded).all()


def test_a_policy_is_told_by_what_is_not_as_by_default() -> None:
    assert DEFAULT.changed() == {}
    for policy in (Policy(depth="percentile"), Policy(depth=(-5.0, 5.0), fit="pad")):
        assert of_changes(json.loads(json.dumps(policy.changed()))) == policy
    assert of_settings({"name": "folder", "depth": [0, 9], "root": "x"}) == Policy(depth=(0, 9))
    assert of_settings({"name": "theirs", "depth": 3}) == DEFAULT
    for damaged in ({"depth": "deep"}, {"depth": [3, 1]}, {"fit": "stretch"}, {"depth": ["a", "b"]}):
        with pytest.raises(ValueError):
            of_changes(damaged)


def study_of(folder: Path, *overrides: str) -> Study:
    file = folder / "deep.yaml"
    file.write_text(f"data: {{name: folder, root: {folder / 'images'}}}\nmodel: {{name: simple_cnn}}\n")
    return load_study_file(str(file), [*overrides])


def test_a_study_says_its_range_as_a_pair(tmp_path: Path) -> None:
    study = study_of(tmp_path, "data.depth=[-1024, 3071]")
    assert study.data["depth"] == [-1024, 3071] and study.definition()["data"]["depth"] == [-1024, 3071]
    assert "depth" not in study_of(tmp_path).definition()["data"]
    assert study.definition_hash() != study_of(tmp_path).definition_hash()


@pytest.mark.parametrize(
    "pair", ["[1]", "[1, 2, 3]", "[2, 1]", "[1, 1]", "[a, b]", "[0, .inf]", "[true, 2]", "[]"]
)
def test_a_pair_that_is_none_is_refused_in_a_line(tmp_path: Path, pair: str) -> None:
    with pytest.raises(UsageError, match=r"data\.depth +must be \[low, high\]"):
        study_of(tmp_path, f"data.depth={pair}")


def test_folders_with_other_policies_are_decoded_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "home"))
    root = tmp_path / "images"
    for number in range(12):
        place = root / ("train", "test")[number > 8] / "ab"[number % 2] / f"{number}.tif"
        place.parent.mkdir(parents=True, exist_ok=True)
        values = np.random.default_rng(number).integers(900, 1151, (12, 8)).astype(np.uint16)
        place.write_bytes(encoded(values, "TIFF"))
    settings = {"name": "folder", "root": str(root), "image_size": 8, "channels": 1}
    flat = load_training(settings)
    assert (flat.pixels == 4).all()
    found = load_training({**settings, "depth": [900, 1150], "fit": "pad"})
    for name, pixels in zip(found.names, found.pixels, strict=True):
        content = (root / "train" / name).read_bytes()
        policy = Policy(depth=(900, 1150), fit="pad")
        assert (pixels == decode(content, image_size=8, channels=1, policy=policy)).all()
    assert load_training(settings).content_hash == flat.content_hash != found.content_hash
