"""Groups that names suggest: found where there are some, and never where files are merely numbered."""

import hashlib
import random
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import pytest

from harness.config.yaml import parse_value
from harness.data.group_guess import Suggestion, suggest
from harness.data.grouping import group_names

Named = Iterator[tuple[str, str]]  # a name and its true group, "" where there are none
CLASSES = ("cat", "dog", "owl")
START = datetime(2024, 1, 3, 8)


def of(named: Named) -> tuple[list[str], list[int], list[str]]:
    """Names sorted as a folder lists them, labels and true groups."""
    pairs = sorted(set(named))
    names = [name for name, _ in pairs]
    return names, [CLASSES.index(name.partition("/")[0]) for name in names], [group for _, group in pairs]


def within(form: Callable[[int, int], str], *, num_groups: int = 12, images: int = 5) -> Named:
    """Each group in one class: form(group, image) is the name below the class."""
    for group in range(num_groups):
        for image in range(images + group % 3):
            yield f"{CLASSES[group % 3]}/{form(group, image)}", str(group)


def across(form: Callable[[int, int], str]) -> Named:
    """Each group in all classes, with one image of each, or two."""
    for group in range(8):
        for label, name in enumerate(CLASSES):
            for image in range(1 + (group + label) % 2):
                yield f"{name}/{form(group, 3 * label + image)}", str(group)


def bursts(form: str) -> Named:
    """Thirty times three or four photographs in two seconds, hours apart."""
    for burst in range(30):
        for image in range(3 + burst % 2):
            taken = START + timedelta(hours=5 * burst, minutes=(7 * burst) % 50, seconds=image // 2)
            yield f"{CLASSES[burst % 3]}/{taken.strftime(form)}_{image}.jpg", str(burst)


def counted(form: Callable[[int], str], num: int = 120) -> Named:
    """One image after the other, of random classes."""
    chosen = random.Random(0)
    for number in range(num):
        yield f"{chosen.choice(CLASSES)}/{form(number)}", ""


def per_class(form: Callable[[str, int], str], num: int = 40) -> Named:
    """Counted in each class."""
    for name in CLASSES:
        for number in range(num):
            yield f"{name}/{form(name, number)}", ""


def hashed(number: int, length: int = 32) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()[:length]


def moment(number: int, form: str) -> str:
    return (START + timedelta(minutes=random.Random(number).randrange(10**6))).strftime(form)


GROUPED: dict[str, Named] = {
    "patient7_img3": within(lambda group, image: f"patient{group}_img{image}.png"),
    "IMG_patient-007 (left).jpg": across(lambda group, image: f"IMG_patient-{group:03} ({image}).jpg"),
    "subject-12/…": across(lambda group, image: f"subject-{group}/{image:04}.png"),
    "study1/patient00012/view1.png": within(lambda group, image: f"study{image % 2}/patient{group:05}/v{image}.png"),
    "person07_walking_d3": within(lambda group, image: f"person{group:02}_walking_d{image}.png"),
    "scan12_slice034": within(lambda group, image: f"scan{group}_slice{image:03}.png"),
    "video3_frame0012": within(lambda group, image: f"video{group}_frame{40 * image:04}.png"),
    "s1_video3_frame12": within(lambda group, image: f"s{group // 2}_video{group % 2}_frame{image}.png"),
    "slide12_x1024_y512": within(lambda group, image: f"slide{group}_x{512 * image}_y{64 * group}.tif"),
    "Video 3/frame 12": within(lambda group, image: f"Video {group}/frame {image}.jpg"),
    "00012/0003.png": within(lambda group, image: f"{group:05}/{image:04}.png"),
    "A12-left/x.png": within(lambda group, image: f"A{group}-left/{hashed(100 * group + image)}.png"),
    "00000013_005": within(lambda group, image: f"{group:08}_{image:03}.png"),
    "C33P1thinF_IMG_…_cell_12": within(
        lambda group, image: f"C{group}P1thinF_IMG_{20150619 + group}_{image}a_cell_{7 * image + group}.png"
    ),
    "SOB_B_A-14-22549AB-40-001": within(
        lambda group, image: f"SOB_B_A-{14 + group % 2}-2254{group}AB-40-{image:03}.png"
    ),
    "IMG_0012_crop1": within(lambda group, image: f"IMG_{1000 + 37 * group}_crop{image}.jpg"),
    "IMG_20240103_101530_0 in bursts": bursts("IMG_%Y%m%d_%H%M%S"),
    "2024-01-03 10.15.30_0 in bursts": bursts("%Y-%m-%d %H.%M.%S"),
    "sub-01/ses-1/slice3": within(lambda group, image: f"sub-{group:02}/ses-1/slice{image}.png"),
    "Mouse 3 day 5": across(lambda group, image: f"Mouse {group} day {image}.png"),
    "hash_0": within(lambda group, image: f"{hashed(group, 8)}_{image}.png"),
    "plate2/A03_s1": within(lambda group, image: f"plate{group // 6}/A0{group % 6}_s{image}.tif"),
    "site03_20240105_101530": within(lambda group, image: f"site{group:02}_2024010{image + 1}_1{image}1530.jpg"),
    "img3_rot90": within(lambda group, image: f"img{group}_rot{90 * image}.png"),
    "WIN_20240103_10_15_30_Pro_0 in bursts": bursts("WIN_%Y%m%d_%H_%M_%S_Pro"),
    "persons' names as folders": (
        (f"{CLASSES[number % 3]}/name{chr(97 + number)}son/{image}.jpg", f"{number}")
        for number in range(26)
        for image in range(4)
    ),
}  # fmt: skip

UNGROUPED: dict[str, Named] = {
    "0001.png": counted(lambda number: f"{number:04}.png"),
    "0001.png in each class": per_class(lambda _, number: f"{number:04}.png"),
    "cat.123.jpg": per_class(lambda name, number: f"{name}.{number}.jpg"),
    "cat_0001.jpg": per_class(lambda name, number: f"{name}_{number:04}.jpg"),
    "hashes": counted(lambda number: f"{hashed(number)}.jpg"),
    "uuid4": counted(lambda number: f"{uuid.UUID(hashed(number))}.jpg"),
    "IMG_1234": counted(lambda number: f"IMG_{1000 + number}.JPG"),
    "DSC01234": counted(lambda number: f"DSC{1000 + number:05}.JPG"),
    "100_1234 of several cards": counted(lambda number: f"{100 + number // 10}_{1000 + number}.JPG"),
    "101CANON/IMG_1234": counted(lambda number: f"{100 + number // 10}CANON/IMG_{1000 + number}.JPG"),
    "image (12)": per_class(lambda _, number: f"image ({number}).jpg"),
    "IMG_20240103_101530 at any time": counted(lambda number: f"IMG_{moment(number, '%Y%m%d_%H%M%S')}.jpg"),
    "Image 2024-01-03 at 10.15.30": counted(
        lambda number: f"Image {moment(number, '%Y-%m-%d at %H.%M.%S')}.jpeg"
    ),
    "26_0_1_20170116184024662": counted(
        lambda number: f"{number % 60}_{number % 2}_1_{moment(number, '%Y%m%d%H%M%S')}662.jpg"
    ),
    "n01440764_10026": per_class(lambda name, number: f"n0144{CLASSES.index(name)}_{71 * number}.JPEG"),
    "2007_000027": counted(lambda number: f"{2000 + number // 9}_{number:06}.jpg"),
    "COCO_train2014_000000291797": counted(lambda number: f"COCO_train2014_{911 * number:012}.jpg"),
    "Abyssinian_12": (
        (f"{CLASSES[breed % 3]}/Breed{chr(97 + breed)}_{number}.jpg", "")
        for breed in range(25)
        for number in range(10)
    ),
    "breeds as folders": (
        (f"{CLASSES[breed % 3]}/breed{chr(97 + breed)}/{number}.jpg", "") for breed in range(12) for number in range(30)
    ),
    "012.house_sparrow/…": (
        (f"{CLASSES[breed % 3]}/{breed:03}.sparrow{chr(97 + breed)}/{hashed(number, 8)}.jpg", "")
        for breed in range(15)
        for number in range(30)
    ),
    "angle30/…": counted(lambda number: f"angle{30 * (number % 12)}/{number}.png", 240),
    "512px/…": counted(lambda number: f"{2 ** (4 + number % 7)}px/{number}.png", 240),
    "IMG-20240103-WA0012": counted(lambda number: f"IMG-{moment(number // 4, '%Y%m%d')}-WA{number % 50:04}.jpg", 300),
    "eleven letters of base 64": counted(lambda number: f"{uuid.UUID(hashed(number)).urn[9:20]}.jpg", 1000),
    "img_3_256x256": counted(lambda number: f"img_{number}_256x256.png"),
    "0123_cat": per_class(lambda name, number: f"{number:04}_{name}.jpg"),
    "12_100 counted in each class": per_class(lambda _, number: f"{number}_100.jpg"),
    "3f/3fa2…": counted(lambda number: f"{hashed(number)[:2]}/{hashed(number)}.png", 2000),
    "000/000123": counted(lambda number: f"{number // 10:03}/{number:06}.png"),
    "part1/0001": counted(lambda number: f"part{number // 10}/{number % 10:04}.png"),
    "train/…, val/…": counted(lambda number: f"{('train', 'val')[number % 2]}/{number}.png"),
    "batch3_0001": counted(lambda number: f"batch{number // 10}_{number % 10}.png"),
    "patient7, one image each": counted(lambda number: f"patient{number}.png"),
    "sample_0012": counted(lambda number: f"sample_{number:04}.png"),
    "frames of one film": counted(lambda number: f"video1_frame{number:05}.png"),
    "the class in the name": per_class(lambda name, number: f"plate{CLASSES.index(name)}_{number}.png"),
    "two patients": within(lambda group, image: f"patient{group}_{image}.png", num_groups=2, images=30),
}  # fmt: skip
GROUPED = {name: list(named) for name, named in GROUPED.items()}  # type: ignore[misc]
UNGROUPED = {name: list(named) for name, named in UNGROUPED.items()}  # type: ignore[misc]


def suggested(named: Named) -> Suggestion:
    names, labels, _ = of(named)
    found = suggest(names, labels)
    assert found is not None
    return found


@pytest.mark.parametrize("scheme", GROUPED)
def test_groups_are_found_and_none_is_split(scheme: str) -> None:
    names, labels, truth = of(GROUPED[scheme])
    found = suggest(names, labels)
    assert found is not None
    given = parse_value(found.line)["groups"]  # as it stands in the study file
    assert given == found.groups
    groups = group_names(given, names, "train")
    assert len(set(zip(truth, groups, strict=True))) == len(set(truth))
    assert len(set(groups)) == len(set(truth))


@pytest.mark.parametrize("scheme", UNGROUPED)
def test_files_that_are_merely_named_have_no_groups(scheme: str) -> None:
    names, labels, _ = of(UNGROUPED[scheme])
    assert len(names) >= 60
    assert suggest(names, labels) is None


def test_a_suggestion_says_what_was_seen() -> None:
    names, labels, _ = of(list(across(lambda group, image: f"patient{group}_{image}.png")))
    found = suggest(names, labels)
    assert found is not None
    assert (found.num_groups, found.smallest, found.middle, found.largest) == (8, 4, 4, 5)
    assert found.in_several_classes == 8
    assert found.examples == ("cat/patient0_0.png", "dog/patient0_3.png", "dog/patient0_4.png")
    assert found.line == "groups: {regex: 'patient[0-9]+'}"
    assert "8 groups of 4 to 5 images, 8 of them in several classes" in found.in_words()
    assert found.line in found.in_words()


def test_fewer_groups_than_folds_are_none() -> None:
    named = list(within(lambda group, image: f"patient{group}_{image}.png", num_groups=6))
    names, labels, _ = of(named)
    assert suggest(names, labels, folds=5) is not None
    assert suggest(names, labels, folds=6) is None


def test_a_file_named_otherwise_is_a_group_of_its_own() -> None:
    names, labels, truth = of(GROUPED["patient7_img3"])
    found = suggest([*names, "owl/other.png"], [*labels, 2])
    assert found is not None
    groups = group_names(found.groups, [*names, "owl/other.png"], "train")
    assert len(set(groups)) == len(set(truth)) + 1
    assert len(set(zip(truth, groups[:-1], strict=True))) == len(set(truth))


def test_no_names_and_names_that_are_no_paths_suggest_nothing() -> None:
    assert suggest([], []) is None
    assert suggest([f"patient{number % 8}_{number}.png" for number in range(80)], [0, 1] * 40) is None
