"""Groups: which images of a folder belong together and must never be split, those of one patient, say."""

import re
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence, Set
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Literal, TypedDict, TypeVar, assert_never

import numpy as np

from harness.data.group_table import plain, read_table
from harness.errors import DataError

Groups = TypedDict("Groups", {"from": Literal["parent"], "regex": str, "csv": str}, total=False)
Name = TypeVar("Name", str, int)
NUM_NAMED = 5  # images that a message names


def group_names(groups: Groups, names: Sequence[str], part: Literal["train", "test"]) -> list[str]:
    """The name of each image's group; one that occurs in two classes is one group: the same patient.

    names: (N,), class/…/file.   groups: one of
    `from: parent`, the folders between the class and the file: patient7 of class/patient7/image.png;
    `regex`, searched in the name below the class: its first group is the name, or all that matches;
    `csv`, a table with columns `name` and `group`, or as group_table.py knows them. Its names are as here, may
    have more folders before, and may leave out folders, down to the file's name with or without its ending, where
    only one image ends so.
    Raises DataError that names the images without a group.
    """
    also = ""
    if "csv" in groups:
        path = Path(groups["csv"])
        table = read_table(path)
        found = from_table(path, table.groups, [plain(name) for name in names], part)
        wrong, also = f"have no group in {path}", table.said_of_incomplete()
    elif "regex" in groups:
        found = list(_from_pattern(groups["regex"], names))
        wrong = f"do not match data.groups.regex {groups['regex']!r}"
    elif groups["from"] == "parent":
        found = ["/".join(name.split("/")[1:-1]) for name in names]
        wrong = "lie directly in the folder of their class, and data.groups.from: parent needs one between"
    else:
        assert_never(groups["from"])
    without = [name for name, group in zip(names, found, strict=True) if not group]
    if without:
        more = ", …" if len(without) > NUM_NAMED else ""
        named = ", ".join(without[:NUM_NAMED])
        raise DataError(f"{len(without)} of {len(names)} images {wrong}: {named}{more}{also}")
    return found


def merged(groups: Sequence[Name], contents: Sequence[Hashable]) -> list[Name]:
    """The groups' names (N,), the same for groups that have an equal image: the first of theirs when sorted.

    contents: (N,), equal for equal images.
    """
    above = {name: name for name in groups}

    def top(name: Name) -> Name:
        while above[name] != name:
            above[name] = name = above[above[name]]
        return name

    holder: dict[Hashable, Name] = {}
    for name, content in zip(groups, contents, strict=True):
        first, second = sorted((top(name), top(holder.setdefault(content, name))))
        above[second] = first
    return [top(name) for name in groups]


def components(pairs: np.ndarray, num_images: int) -> np.ndarray:
    """Which images pairs connect: int64 (N,), numbered by first appearance; most are by themselves."""
    members = [*range(num_images), *pairs[:, 0].tolist()]
    links = [*range(num_images), *pairs[:, 1].tolist()]
    together = merged(members, links)[:num_images]
    return by_appearance(np.array(together, np.int64)).astype(np.int64)


def by_appearance(values: np.ndarray) -> np.ndarray:
    """The values (N,) numbered by their first appearance: int64 (N,), 0 for all that equal the first."""
    _, first, codes = np.unique(values, return_index=True, return_inverse=True)
    numbers: np.ndarray = np.argsort(np.argsort(first))[codes]
    return numbers


def _from_pattern(pattern: str, names: Sequence[str]) -> Iterator[str]:
    """Each image's group, "" where the pattern finds none."""
    try:
        compiled = re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise DataError(f"data.groups.regex: {pattern!r} is no regular expression: {error}") from None
    for name in names:
        match = compiled.search(name.partition("/")[2])
        yield (match.group(min(1, compiled.groups)) or "") if match else ""


def from_table(path: Path, table: Mapping[str, str], names: Sequence[str], part: str) -> list[str]:
    """Each image's group, "" where the table has none.

    table: by names as `plain` writes them.   part: train or test.   Raises DataError for a name that several end with.
    """
    in_full = _in_full(table, set(names), part)
    endings = [list(dict.fromkeys(_endings(f"{part}/{name}"))) for name in names]
    uses = Counter(ending for of_image in endings for ending in of_image if ending in table)
    found = []
    for name, of_image in zip(names, endings, strict=True):
        ending = next((ending for ending in of_image if ending in table), "")
        if uses[ending] > 1:
            raise DataError(f"{path}: {ending} could be any of {uses[ending]} images; write {name} in full")
        found.append(table.get(ending) or in_full.get(name, ""))
    return found


def _endings(name: str) -> Iterator[str]:
    """a/b/c.png, b/c.png, c.png, and then the same without .png."""
    for whole in (name, str(PurePosixPath(name).with_suffix(""))):
        rest = whole
        while rest:
            yield rest
            rest = rest.partition("/")[2]


def _in_full(table: Mapping[str, str], names: Set[str], part: str) -> dict[str, str]:
    """Groups of images that the table names by a longer path, /home/me/photos/a/b.png: by their own name, a/b.png."""
    found = {}
    for path, group in table.items():
        folder, _, rest = path.partition("/")
        while rest:
            if rest in names and folder not in {"train", "test"} - {part}:
                found[rest] = group
            folder, _, rest = rest.partition("/")
    return found


def whole_groups(
    labels: np.ndarray, groups: np.ndarray, *, order: Sequence[int], room: np.ndarray
) -> np.ndarray:
    """Which images are taken, together with all of their group: bool (N,).

    labels: int (N,).   groups: int (N,), values 0..G-1.   order: (G,), in which groups are tried.
    room: (classes,), images to take of each class.
    A group that does not fit is left out. A class of which none fits gives its smallest group of those that leave
    an image of every class behind, if there is one.
    """
    needs: list[Counter[int]] = [Counter() for _ in order]
    for label, group in zip(labels.tolist(), groups.tolist(), strict=True):
        needs[group][label] += 1
    taken: Counter[int] = Counter()
    chosen = np.zeros(len(order), dtype=bool)

    def fits(group: int, most: Sequence[int]) -> bool:
        return all(taken[label] + count <= most[label] for label, count in needs[group].items())

    def take(group: int) -> None:
        chosen[group] = True
        taken.update(needs[group])

    shares, all_but_one = room.tolist(), (np.bincount(labels) - 1).tolist()
    for group in order:
        if fits(group, shares):
            take(group)
    smallest_first = sorted(order, key=lambda group: needs[group].total())
    for label in np.unique(labels).tolist():
        if not taken[label]:
            able = (group for group in smallest_first if label in needs[group] and fits(group, all_but_one))
            for group in islice(able, 1):
                take(group)
    mask: np.ndarray = chosen[groups]
    return mask
