"""Groups of a folder's images: how they are named, what is refused, and that nothing ever splits one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from harness.data import decoded_files, load_training
from harness.data.grouping import group_names, merged
from harness.data.images import Images
from harness.data.test_set import load_test
from harness.errors import DataError

NAMES = ["ill/patient7/a.png", "ill/patient10/a.png", "well/patient7/b.png", "well/clinic/patient1/a.png"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """2 classes of 24 images of 4×4 each: 4 images of each of 6 patients."""
    return photographs(tmp_path / "my photos", num_patients=6)


def photographs(root: Path, *, num_patients: int, seed: int = 0) -> Path:
    random = np.random.default_rng(seed)
    for label, name in enumerate(("ill", "well")):
        for patient in range(label * num_patients, (label + 1) * num_patients):
            (root / name / f"p{patient}").mkdir(parents=True)
            for index in range(4):
                pixels = random.integers(0, 256, (4, 4, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / name / f"p{patient}" / f"{index}.png")
    return root


def patients(images: Images) -> list[str]:
    return [name.split("/")[-2] for name in images.names]


def both_parts(root: Path, **options: Any) -> tuple[Images, Images]:
    chosen = {"name": "folder", "root": str(root), "image_size": 4, "test_fraction": 0.3, **options}
    return load_training(chosen), load_test(chosen)


def table(path: Path, *lines: str) -> dict[str, Any]:
    path.write_bytes("\n".join(lines).encode("utf-8-sig", "surrogateescape"))
    return {"csv": str(path)}


def test_the_parent_is_the_folder_below_the_class_and_the_same_in_every_class() -> None:
    found = group_names({"from": "parent"}, NAMES, "train")
    assert found == ["patient7", "patient10", "patient7", "clinic/patient1"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (r"patient(\d+)", ["7", "10", "7", "1"]),
        (r"patient\d", ["patient7", "patient1", "patient7", "patient1"]),
        (r"(?:patient)(\d)(\d?)/", ["7", "1", "7", "1"]),
    ],
)
def test_a_pattern_names_the_group_by_its_first_group_or_all_that_matches(
    pattern: str, expected: list[str]
) -> None:
    assert group_names({"regex": pattern}, NAMES, "train") == expected


def test_a_table_names_images_in_full_or_by_an_ending_that_only_one_has(tmp_path: Path) -> None:
    groups = table(
        tmp_path / "a table.csv",
        "age,group,name",
        "30, one,train/ill/patient7/a.png",
        "31,two,patient10/a.png",
        "32,one,b.png",
        "33,three,clinic/patient1/a.png",
        '34,"four, five",somewhere/else.png',
    )
    assert group_names(groups, NAMES, "train") == ["one", "two", "one", "three"]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ({"from": "parent"}, "1 of 2 images lie directly in the folder of their class, .*: well/1.png"),
        ({"regex": r"(deep)"}, r"1 of 2 images do not match data.groups.regex '\(deep\)': well/1.png"),
        ({"regex": "(1)|."}, "1 of 2 images do not match .*: ill/deep/2.png"),
        ({"regex": "(1"}, r"data.groups.regex: '\(1' is no regular expression: missing \)"),
        ({"csv": "no/such.csv"}, "such.csv: cannot be read: No such file"),
        (
            {"csv": ["title;group", "1.png;a"]},
            r"needs the columns name \(or file, .*\) and group .*; got title, group",
        ),
        ({"csv": []}, r"needs the columns name .*; got none"),
        ({"csv": ["name,group", "1.png,a"]}, "1 of 2 images have no group in .*: ill/deep/2.png"),
        (
            {"csv": ["name,group", "1.png,a", "2.png", " ,b"]},
            r"1 of 2 images have no group in .*: ill/deep/2.png; "
            r"2 rows of the table have no name or no group: row 2 \(2.png\), row 3 \(b\)",
        ),
        ({"csv": ["name,group", "1.png,a", "1.png,b"]}, "1.png is in two groups: a and b"),
        ({"csv": ["name,group", "1.png,a,b"]}, "is no table separated by commas: .* 3"),
        ({"csv": ["name,group", '"1.png,a']}, "is no table separated by commas: .*EOF inside string"),
        ({"csv": ["name,group", "\udcff"]}, "is no table in UTF-8"),
        (
            {"csv": ["file,path,group", "1,2,a"]},
            "both file and path could be the name; call the one that is meant name",
        ),
        ({"csv": ["name,Patient,Subject ID", "1,2,a"]}, "both Patient and Subject ID could be the group"),
    ],
)
def test_images_without_a_group_and_unusable_rules_are_named(
    tmp_path: Path, groups: dict[str, Any], expected: str
) -> None:
    if isinstance(groups.get("csv"), list):
        groups = table(tmp_path / "t.csv", *groups["csv"])
    with pytest.raises(DataError, match=expected):
        group_names(groups, ["ill/deep/2.png", "well/1.png"], "train")  # type: ignore[arg-type]


ROWS = [
    ("ill/patient7/a.png", "007"),
    ("patient10/a.png", "10"),
    ("b.png", "007"),
    ("clinic/patient1/a.png", "1.0"),
]


def written(separator: str, *, header: str = "name,group", form: str = "{}") -> str:
    rows = [header.replace(",", separator)]
    rows += [separator.join(form.format(value) for value in row) for row in ROWS]
    return "\r\n".join(rows) + "\r\n"


@pytest.mark.parametrize(
    "content",
    [
        *[written(separator).encode() for separator in ",;\t|"],
        written(";", header=" Name ,Group").encode("utf-8-sig"),
        written("\t").encode("utf-16"),
        written(",").encode("utf-16-le"),
        written(",").encode("utf-16-be"),
        b"sep=;\n" + written(";", header="File Name,Patient-ID").encode(),
        written(",", header="IMAGE,subject", form=" {} ").encode(),
        written(",", form='"{}"').encode(),
        written(", ", form='"{}"').encode(),
        written(";").replace("/", "\\").encode(),
        written(";", form="{}").replace("ill/", ".\\ill\\").encode(),
        (written(",") + written(",").partition("\n")[2]).encode(),
        b"\n\n" + written(",").encode() + b"\n\n",
        written(",", header="path,patient_id").replace(".png", "").encode(),
        written(",").replace("patient10/", "D:\\photos\\ill\\patient10\\").encode(),
        "age;GROUP;name;Patient;größe\n".encode("cp1252")
        + b"".join(f"3;{group};{name};x;gro\xdf\n".encode("latin-1") for name, group in ROWS),
        "".join(f"{name};{group};;\n" for name, group in [("name", "group"), *ROWS]).encode(),
        b"name;group\n" + "".join(f"{name};{group}; \r\n" for name, group in ROWS).encode(),
        "\n".join([" name ; group ", *(f" {name} ; {group} " for name, group in ROWS)]).encode(),
        written("\t").replace("\r\n", "\r").encode(),
    ],
    ids=range(23),
)
def test_tables_of_every_dialect_say_the_same(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    assert group_names({"csv": str(path)}, NAMES, "train") == ["007", "10", "007", "1.0"]


def test_a_table_of_whole_paths_never_takes_the_other_part_for_this(tmp_path: Path) -> None:
    names = ["ill/a.png", "well/a.png"]
    rows = [f"/data/{part}/{name},{part} {name}" for part in ("train", "test") for name in names]
    groups: Any = table(tmp_path / "t.csv", "path,patient", *rows)
    for part in ("train", "test"):
        assert group_names(groups, names, part) == [f"{part} {name}" for name in names]  # type: ignore[arg-type]
    groups = table(tmp_path / "t.csv", "path,patient", *rows[2:])
    with pytest.raises(DataError, match="2 of 2 images have no group"):
        group_names(groups, names, "train")


def test_a_workbook_is_told_from_a_table(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"PK\3\4" + b"\0" * 60)
    with pytest.raises(DataError, match="is a spreadsheet's own file; save it as CSV"):
        group_names({"csv": str(tmp_path / "t.csv")}, NAMES, "train")


def test_a_backslash_and_odd_bytes_in_names_are_found(tmp_path: Path) -> None:
    names = ["ill/a\\b.png", "ill/c\\xff.png"]
    groups: Any = table(tmp_path / "t.csv", "name,group", "ill/a\\b.png,1", "ill/c\\xff.png,2")
    assert group_names(groups, names, "train") == ["1", "2"]


def test_an_ending_of_two_images_is_refused(tmp_path: Path) -> None:
    groups = table(tmp_path / "t.csv", "name,group", "a.png,1", "b.png,2")
    with pytest.raises(DataError, match=r"a.png could be any of 3 images; write ill/patient7/a.png in full"):
        group_names(groups, NAMES, "train")  # type: ignore[arg-type]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 25)), min_size=1, max_size=60))
def test_groups_with_an_equal_image_are_one_like_the_components_of_a_graph(
    images: list[tuple[int, int]],
) -> None:
    groups, contents = np.array(images).T
    found = merged([f"g{group}" for group in groups], [bytes([content]) for content in contents])
    edges = coo_array((np.ones(len(groups)), (groups, 10 + contents)), shape=(36, 36))
    components = connected_components(edges, directed=False)[1][groups]
    for component in np.unique(components):
        members = np.flatnonzero(components == component)
        assert {found[index] for index in members} == {f"g{groups[members].min()}"}


@pytest.mark.parametrize("kind", ["parent", "regex", "csv"])
def test_every_kind_of_groups_keeps_patients_together(root: Path, tmp_path: Path, kind: str) -> None:
    rows = [f"{path.relative_to(root).as_posix()},{path.parent.name}" for path in root.rglob("*.png")]
    groups = {
        "parent": {"from": "parent"},
        "regex": {"regex": r"^p(\d+)/"},
        "csv": table(tmp_path / "t.csv", "name,group", *rows),
    }[kind]
    parts = both_parts(root, groups=groups)
    assert not set(patients(parts[0])) & set(patients(parts[1]))
    for part, size in zip(parts, (5, 1), strict=True):  # of the 6 patients of each class
        assert part.groups is not None and part.groups.dtype == np.int64
        assert np.bincount(part.labels).tolist() == [4 * size, 4 * size]
        assert len(set(zip(part.groups.tolist(), patients(part), strict=True))) == 2 * size
        assert len(set(part.groups.tolist())) == 2 * size


def test_without_groups_patients_are_split_and_nothing_is_grouped(root: Path) -> None:
    train, test = both_parts(root)
    assert train.groups is None and set(patients(train)) & set(patients(test))


def test_a_patient_of_two_classes_is_one_group(root: Path) -> None:
    (root / "well" / "p6").rename(root / "well" / "p0")
    parts = both_parts(root, groups={"from": "parent"})
    (both,) = (part for part in parts if "p0" in patients(part))
    assert both.groups is not None
    of_p0 = both.groups[[name == "p0" for name in patients(both)]]
    assert len(of_p0) == 8 and len(set(of_p0)) == 1


def test_patients_with_an_equal_file_count_as_one_and_that_is_told(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for patient in ("p1", "p2"):
        (root / "ill" / patient / "copy.png").write_bytes((root / "ill" / "p0" / "0.png").read_bytes())
    train, test = both_parts(root, groups={"from": "parent"})
    sides = [{"p0", "p1", "p2"} & set(patients(part)) for part in (train, test)]
    assert sorted(map(len, sides)) == [0, 3]
    assert "2 groups have an image equal to one of another group and count as one: p1 with p0" in caplog.text
    train, test = both_parts(root, groups={"from": "parent"}, test_fraction=0.7)
    assert sorted(len({"p0", "p1", "p2"} & set(patients(part))) for part in (train, test)) == [0, 3]


def test_the_decoded_copy_keeps_the_groups_and_other_groups_make_another(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = both_parts(root, groups={"from": "parent"})
    other, _ = both_parts(root, groups={"regex": r"p(\d)"})  # p1, p10 and p11 are one
    monkeypatch.setattr(decoded_files, "read_file", None)
    again, _ = both_parts(root, groups={"from": "parent"})
    assert again.path == first.path != other.path and again.groups is not None
    assert (again.groups == first.groups).all() and again.content_hash == first.content_hash


def test_a_changed_table_is_noticed(root: Path, tmp_path: Path) -> None:
    names = [path.relative_to(root).as_posix() for path in sorted(root.rglob("*.png"))]
    hashes = set()
    for size in (4, 2, 4):
        rows = [f"{name},{index // size}" for index, name in enumerate(names)]
        hashes.add(both_parts(root, groups=table(tmp_path / "t.csv", "name,group", *rows))[0].content_hash)
    assert len(hashes) == 2


def test_left_out_images_leave_their_groups_right(root: Path) -> None:
    (root / "ill" / "p0" / "0.png").write_text("no image")
    for part in both_parts(root, groups={"from": "parent"}, unreadable="skip"):
        assert part.groups is not None
        pairs = set(zip(part.groups.tolist(), patients(part), strict=True))
        assert len(pairs) == len(set(part.groups.tolist())) == len(set(patients(part)))


def test_a_patient_in_train_and_test_folders_is_refused(root: Path, tmp_path: Path) -> None:
    (tmp_path / "all").mkdir()
    root.rename(tmp_path / "all" / "train")
    root = photographs(tmp_path / "all" / "test", num_patients=1, seed=1).parent
    with pytest.raises(DataError, match=r"group p0 has images in train/ and in test/.* \(2 such groups\)"):
        both_parts(root, groups={"from": "parent"})
    for name in ("ill/p0", "well/p1"):
        (root / "test" / name).rename(root / "test" / f"{name}-later")
    train, test = both_parts(root, groups={"from": "parent"})
    assert len(train) == 48 and set(patients(test)) == {"p0-later", "p1-later"}
