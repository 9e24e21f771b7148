"""Groups that the names of image files suggest: patients, films, bursts, of each of which there are several images.

A guess of names and labels alone, no pixels; it is shown and never applied. A rule counts only if every image has a
group by it and the groups are like groups: more than folds, of several images, none with most of them, and not the
classes over again. What is tried, the first that counts is taken:

1. a word for who or what was photographed, with a number: `patient7_img3`, `subject-12/left`;
2. folders between the class and the file;
3. a word for a series of images, with all before it: `scan12_slice034`, `video3_frame0012`;
4. the time in names where images come in bursts, by ten minutes: `IMG_20240103_101530`;
5. the first parts of a name, as few as possible, where the rest begins again in each group: `00012_003`.

Counters (`IMG_1234`, `0001`), names of classes with one (`cat.123`), hashes and plain times are no groups.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import PurePosixPath
from statistics import median

from harness.data.grouping import Groups, group_names
from harness.errors import DataError

SUBJECTS = (
    "patient", "subject", "participant", "person", "individual", "volunteer", "donor", "animal", "mouse", "specimen",
    "case", "subj", "sub", "pat", "pid",
)  # fmt: skip
SERIES = (
    "scan", "series", "study", "exam", "session", "visit", "slide", "wsi", "biopsy", "sample", "video", "clip",
    "movie", "film", "sequence", "seq", "scene", "track", "recording", "burst", "run", "plate", "plot", "tree",
    "plant", "object", "obj", "item", "product", "site", "station", "location", "camera", "cam", "trap",
)  # fmt: skip
# Parts of a data set, and what all objects have alike.
NO_GROUPS = re.compile(
    r"(?i)\d*[\W_]*(train|test|val|valid|data|part|batch|shard|chunk|split|subset|set|fold|v|version|angle|rot|"
    r"rotation|deg|degrees|scale|zoom|size|px|level|grade|quality|noise)[\W_]*\d*"
)
OF_IMAGES = re.compile(r"(?i)(images?|imgs?|photos?|pictures?|pics?)[\W_]*\d*")
NUMBERED = re.compile(r"\d+[\W_]+(?=[^\W\d_]{2})")  # the beginning of 012.house_sparrow
# A number, a date, a folder of a camera's card, or the digits of a hash by which files are spread over folders.
ONLY_NUMBER = re.compile(r"[\W\d_]+|[0-9a-f]{1,3}|[1-9]\d\d\w{5}|.*20\d{6}.*")
DATE = re.compile(r"20\d{6}")
TIME = re.compile(r"(20\d\d)(\D?)(\d\d)(\D?)(\d\d)([-_. T]?)(\d\d)(\D?)(\d\d)(\D?)(\d\d)")
SECONDS = 10  # between images of one burst
MOST_OF_BURST = 50  # images in the mean: more is a camera that runs, or a download
MANY_GROUPS, SMALL_GROUP = 20, 20  # of folders that are names, not numbers
MOST_IMAGES = 100  # of a group that only its number tells
NUM_NAMED = 3


@dataclass(frozen=True)
class Suggestion:
    """Groups that names suggest.

    groups: the value for `data.groups`.   smallest, middle, largest: images of a group; the middle one is the median.
    in_several_classes: groups with images of more than one class.   examples: images of the first large group.
    """

    groups: Groups
    num_groups: int
    smallest: int
    middle: int
    largest: int
    in_several_classes: int
    examples: tuple[str, ...]

    @property
    def line(self) -> str:
        """As it stands in a study file, below `data:`."""
        ((key, value),) = self.groups.items()
        text = str(value) if key == "from" else "'" + str(value).replace("'", "''") + "'"
        return f"groups: {{{key}: {text}}}"

    def in_words(self) -> str:
        """What was seen and what can be done, in one sentence."""
        sizes = f"{self.smallest} to {self.largest}" if self.smallest < self.largest else f"{self.largest}"
        shared = (
            f", {self.in_several_classes:,} of them in several classes" if self.in_several_classes else ""
        )
        return (
            f"names suggest {self.num_groups:,} groups of {sizes} images{shared} ({', '.join(self.examples)} would be "
            f"one); if images of one object must not be split, set data.{self.line}"
        )


@dataclass(frozen=True)
class _Rule:
    """A way to name groups.   is_sure: by a word that says so, and then one image of each class will do.

    part: where no word says so, a pattern of what tells one group from the others; it has to look like that.
    """

    groups: Groups
    is_sure: bool = False
    part: str = ""


def suggest(names: Sequence[str], labels: Sequence[int], *, folds: int = 5) -> Suggestion | None:
    """The groups that names suggest, or None.

    names: (N,), class/…/file with `/` on every system.   labels: (N,).   folds: there must be more groups.
    """
    below = [name.partition("/")[2] for name in names]
    if len(names) < 2 * folds or not all(below):
        return None
    for rule in _rules(below):
        try:
            found = group_names(rule.groups, names, "train")
        except DataError:  # some image has none
            continue
        if _are_groups(rule, found, labels, folds) and (not rule.part or _tells(rule, below, found, folds)):
            return _suggestion(rule.groups, found, names, labels)
    return None


def _rules(below: Sequence[str]) -> Iterator[_Rule]:
    first = below[0]
    for pattern in _worded(first, SUBJECTS):
        if all(name.count("/") == 1 and re.fullmatch(pattern, name.partition("/")[0]) for name in below):
            yield _Rule({"from": "parent"}, is_sure=True)  # says the same, and is simpler
        yield _Rule({"regex": pattern}, is_sure=True)
    for depth in range(1, first.count("/") + 1):
        inside = "[^/]+/" * (depth - 1)
        groups: Groups = {"regex": f"^{inside}[^/]+"}
        if {name.count("/") for name in below} == {depth}:
            groups = {"from": "parent"}
        yield _Rule(groups, part=f"^{inside}([^/]+)/")
    for pattern in _worded(first, SERIES):
        is_first = all(re.match(pattern, name) for name in below)
        yield _Rule({"regex": f"^{pattern}" if is_first else f"^.*?{pattern}"}, is_sure=True)
    if all(map(TIME.search, below)):
        yield from _bursts(below)
    else:
        yield from _beginnings(PurePosixPath(first).with_suffix("").as_posix())


def _worded(name: str, words: Sequence[str]) -> Iterator[str]:
    """Patterns of a word and a number, written as the name has them."""
    for word in words:
        for match in re.finditer(rf"(?i)(?<![a-z]){word}[ _.-]?(?=[a-z]{{0,2}}\d)", name):
            letters = "" if name[match.end()].isdigit() else "[A-Za-z]{1,2}"
            yield f"{_literal(match[0])}{letters}[0-9]+"


def _beginnings(stem: str) -> Iterator[_Rule]:
    """The first part of a name, the first two, …, parted by the characters that part this name."""
    before = "^"
    for separator in re.findall("[-_. /]", stem):
        last = f"[^{separator}]+"
        yield _Rule({"regex": before + last}, part=f"{before}({last}){_literal(separator)}")
        before += last + _literal(separator)


def _bursts(below: Sequence[str]) -> Iterator[_Rule]:
    """Ten minutes of a day, where most images were taken within seconds of another and yet not all at one time."""
    matches = [match for match in map(TIME.search, below) if match]
    try:
        numbers = [[int(match[place]) for place in (1, 3, 5, 7, 9, 11)] for match in matches]
        times = sorted(datetime(*parts).timestamp() for parts in numbers)  # type: ignore[arg-type]
    except (ValueError, OverflowError):  # digits that are no time
        return
    sizes = [1]
    for one, two in pairwise(times):
        if two - one > SECONDS:
            sizes.append(0)
        sizes[-1] += 1
    of_bursts = sum(size for size in sizes if size > 1)
    if of_bursts >= len(times) / 2 and len(times) <= MOST_OF_BURST * len(sizes):
        separators = [_literal(matches[0][place]) for place in (2, 4, 6, 8)]
        pattern, digits = "20", 2
        for separator in separators:
            pattern += f"[0-9]{{{digits}}}{separator}" if separator else ""
            digits = 2 if separator else digits + 2
        last = "[0-9]" + (f"{{{digits - 1}}}" if digits > 2 else "")
        yield _Rule({"regex": pattern + last}, is_sure=True)


def _literal(text: str) -> str:
    """In a pattern; `re.escape` writes a backslash before every space and hyphen too."""
    return text.replace(".", "[.]")


def _are_groups(rule: _Rule, found: Sequence[str], labels: Sequence[int], folds: int) -> bool:
    """More groups than folds, most images not alone in theirs, none with most images, not the classes again."""
    sizes = Counter(found)
    in_class = Counter(zip(found, labels, strict=True))
    together = sum(size for size in (sizes if rule.is_sure else in_class).values() if size > 1)
    return (
        len(sizes) > folds
        and max(sizes.values()) <= len(found) / 2 <= together
        and len(in_class) > len(set(labels))
    )


def _tells(rule: _Rule, below: Sequence[str], found: Sequence[str], folds: int) -> bool:
    """Whether a folder, or the beginning of a name, looks like what tells one group from others.

    With a number in it, and where it is nothing but a number or a date, what follows begins again in each group, as
    the counters of one camera do not; folders without numbers only where they are many and small.
    """
    sizes = Counter(found)
    matches = [re.match(rule.part, name) for name in below]
    parts = {match[1] for match in matches if match}
    is_folder = rule.part.endswith("/")
    if any(map(NO_GROUPS.fullmatch, parts)) or (is_folder and any(map(OF_IMAGES.fullmatch, parts))):
        return False
    if any(map(ONLY_NUMBER.fullmatch, parts)):
        rests = {name[len(group) :] for name, group in zip(below, found, strict=True)}
        if len(rests) > len(found) / 2 or (median(sizes.values()) > MOST_IMAGES and not is_folder):
            return False
    if sum(bool(re.search(r"\d", NUMBERED.sub("", part))) for part in parts) < 0.9 * len(parts):
        return is_folder and len(sizes) >= MANY_GROUPS and median(sizes.values()) <= SMALL_GROUP
    return is_folder or (len(sizes) >= 2 * folds and not any(map(DATE.search, parts)))


def _suggestion(
    groups: Groups, found: Sequence[str], names: Sequence[str], labels: Sequence[int]
) -> Suggestion:
    sizes = Counter(found)
    classes = Counter(name for name, _ in set(zip(found, labels, strict=True)))
    shown = next(name for name in found if sizes[name] >= 2)
    return Suggestion(
        groups,
        len(sizes),
        min(sizes.values()),
        int(median(sizes.values())),
        max(sizes.values()),
        sum(count > 1 for count in classes.values()),
        tuple(name for name, group in zip(names, found, strict=True) if group == shown)[:NUM_NAMED],
    )
