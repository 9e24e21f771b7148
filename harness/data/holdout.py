"""Seals a test part for data sets that come without one: by content, so it is the same for every study.

No seed is involved. Images are ranked by a hash of their key, so a data set that grows keeps nearly all of
its test part, and images of one key (equal content, or one group) always stay together. So do duplicates, equal
or not; which ones there are changes nothing for all other images.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from harness.data import near_duplicates
from harness.data.grouping import merged, whole_groups
from harness.data.images import Images
from harness.data.near_duplicates import Kind
from harness.data.snapshot import LEFT_OUT, TEST, TRAIN, Snapshot, rows_before
from harness.errors import DataError

NUM_NAMED = 5  # classes that a message names


GROUP = b"group "


@dataclass(frozen=True)
class Growth:
    """That the parts of a data set are those of a snapshot, as far as its images were there.

    takes_new: whether images that are not in it are divided too, or else left out.
    """

    before: Snapshot
    takes_new: bool

    def parts(self, names: Sequence[str], hashes: Sequence[str]) -> list[str | None]:
        """The part that each image was in, None for one to be divided, LEFT_OUT for one to be left out: (N,)."""
        new = None if self.takes_new else LEFT_OUT
        rows = rows_before(self.before, names, hashes).tolist()
        return [new if row < 0 else self.before.parts[row] for row in rows]


def hold_out(
    images: Images, part: Literal["train", "test"], *, fraction: float, duplicates: Kind = "near"
) -> Images:
    """One part of images that have no official split; groups stay together, and duplicates of this kind."""
    return images.take(np.flatnonzero(parts_of(images, fraction=fraction, duplicates=duplicates) == part))


def parts_of(
    images: Images, *, fraction: float, duplicates: Kind = "near", growth: Growth | None = None
) -> np.ndarray:
    """The part of each image, where there is no official split: (N,) of TRAIN, TEST and LEFT_OUT.

    duplicates: which stay together.   growth: which part each image was in before, where that is known.
    """
    keys = [hashlib.sha256(np.ascontiguousarray(pixels).data).digest() for pixels in images.pixels]
    if duplicates == "ignore":
        keys = numbered(keys)
    if images.groups is not None:
        keys = group_keys(merged([str(group) for group in images.groups], keys))
    alike = near_duplicates.alike(
        duplicates, images.pixels, lambda: near_duplicates.find(images.pixels), images.labels
    )
    if growth is None:
        held_out = test_part(images.labels, keys, alike, fraction=fraction, classes=images.classes)
        return np.where(held_out, TEST, TRAIN)
    names = images.names or [""] * len(images)
    before = growth.parts(names, [one.tobytes().hex() for one in images.image_hashes])
    return np.array(grown_test_part(images.labels, keys, alike, before, fraction=fraction))


def numbered(keys: Sequence[bytes]) -> list[bytes]:
    """The keys, of which no two are equal any more: of those that were, all but the first have a number, too."""
    seen: Counter[bytes] = Counter()
    found = []
    for key in keys:
        found.append(key + b" %d" % seen[key] if seen[key] else key)
        seen[key] += 1
    return found


def group_keys(groups: Sequence[str]) -> list[bytes]:
    """Keys that keep images of one group together."""
    return [GROUP + group.encode() for group in groups]


def test_part(
    labels: np.ndarray,
    keys: Sequence[bytes],
    alike: np.ndarray | None = None,
    *,
    fraction: float,
    classes: Sequence[str],
) -> np.ndarray:
    """Which images are the test part: bool (N,).

    labels: int (N,).   keys: (N,), equal for images that must stay together.
    alike: int (N,), equal for duplicates, which must stay together too, or None.
    fraction: of each class, rounded, at least one image; less where whole groups do not fit, but at least one group.
    Raises DataError if a class cannot be in both parts.
    """
    counts = np.bincount(labels, minlength=len(classes))
    room = np.clip(np.rint(counts * fraction).astype(int), 1, np.maximum(counts - 1, 0))
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    groups = np.array([numbers[key] for key in keys], dtype=np.int64)
    order = sorted(numbers, key=_rank)
    ranking = [numbers[key] for key in order]
    mask = whole_groups(labels, groups, order=ranking, room=room)
    if alike is not None:
        mask = _reunited(mask, labels, groups, alike, ranking, room)
    _check_both_parts(labels, mask, keys, alike, classes)
    return mask


def grown_test_part(
    labels: np.ndarray,
    keys: Sequence[bytes],
    alike: np.ndarray,
    before: Sequence[str | None],
    *,
    fraction: float,
) -> list[str]:
    """The part of each image of a data set that has grown: train, test or LEFT_OUT (N,).

    labels, keys, alike, fraction: as for `test_part`.   before: the part that an image was in, which it keeps; None
    for a new one. New images that must stay together with an old one go to its part, and those that must stay with
    images of both parts are left out. Of the others each class's share goes to the test part, as far as it lacks any.
    """
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    joined = np.array(merged([numbers[key] for key in keys], alike.tolist()))
    fixed: dict[int, set[str]] = {}
    for group, part in zip(joined.tolist(), before, strict=True):
        fixed.setdefault(group, set()).update({part} if part else ())
    counts = np.bincount(labels[[part != LEFT_OUT for part in before]], minlength=int(labels.max()) + 1)
    in_test = np.bincount(labels[[part == TEST for part in before]], minlength=len(counts))
    room = np.rint(counts * fraction).astype(int) - in_test
    members: dict[int, list[int]] = {}
    for image, (group, part) in enumerate(zip(joined.tolist(), before, strict=True)):
        if part is None:
            members.setdefault(group, []).append(image)
    chosen: dict[int, str] = {}
    for group in sorted(members, key=lambda group: _rank(min(keys[image] for image in members[group]))):
        needed = np.bincount(labels[members[group]], minlength=len(room))
        match sorted(fixed[group]):
            case [part]:
                chosen[group] = part
            case []:
                chosen[group] = TEST if (needed <= room).all() else TRAIN
            case _:
                chosen[group] = LEFT_OUT
        if chosen[group] == TEST:
            room = room - needed
    return [
        chosen[group] if part is None else part for group, part in zip(joined.tolist(), before, strict=True)
    ]


def _rank(key: bytes) -> bytes:
    """What keys are sorted by: their hash, so that the order is no choice of anybody's."""
    return hashlib.sha256(b"harness test part\0" + key).digest()


def _reunited(
    mask: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    alike: np.ndarray,
    ranking: Sequence[int],
    all_room: np.ndarray,
) -> np.ndarray:
    """The test part once images that are alike are on one side; only those that were on both sides move.

    They go to the test part as far as there is room, in the order of the first of them in the ranking.
    """
    _, joined = np.unique(merged(groups.tolist(), alike.tolist()), return_inverse=True)
    of_group = np.empty(len(ranking), dtype=np.int64)
    of_group[groups] = joined
    order = list(dict.fromkeys(of_group[ranking].tolist()))
    in_test = np.bincount(joined, mask)
    divided = (in_test > 0) & (in_test < np.bincount(joined))
    members: dict[int, list[int]] = {}
    for image in np.flatnonzero(divided[joined]).tolist():
        members.setdefault(int(joined[image]), []).append(image)
    mask = mask & ~divided[joined]
    room = np.maximum(all_room - np.bincount(labels[mask], minlength=len(all_room)), 0)
    for group in filter(members.get, order):
        needed = np.bincount(labels[members[group]], minlength=len(room))
        if (needed <= room).all():
            mask[members[group]] = True
            room = room - needed
    if np.isin(labels, labels[mask]).all():
        return mask
    return whole_groups(labels, joined, order=order, room=all_room)  # some class needs more than its share


def _check_both_parts(
    labels: np.ndarray,
    mask: np.ndarray,
    keys: Sequence[bytes],
    alike: np.ndarray | None,
    classes: Sequence[str],
) -> None:
    counts, in_test = (np.bincount(some, minlength=len(classes)) for some in (labels, labels[mask]))
    whole = np.flatnonzero((in_test == 0) | (in_test == counts)).tolist()
    if whole:
        more = f" and {len(whole) - NUM_NAMED} more" if len(whole) > NUM_NAMED else ""
        named = ", ".join(
            f"{classes[label]} ({counts[label]} image{'' if counts[label] == 1 else 's'})"
            for label in whole[:NUM_NAMED]
        )
        named += more
        if all(counts[label] < 2 for label in whole):
            raise DataError(
                f"{'class' if len(whole) == 1 else 'classes'} {named} cannot be in both the training and the test "
                "part: a class needs one image for the test part and one for every fold; add images, or give a test "
                "folder"
            )
        helps = "; ".join(dict.fromkeys(_what_helps(labels == label, keys, alike) for label in whole))
        raise DataError(
            f"{'class' if len(whole) == 1 else 'classes'} {named} cannot be in both the training and the test part, as "
            f"duplicates and groups stay together; {helps}"
        )


def _what_helps(of_class: np.ndarray, keys: Sequence[bytes], alike: np.ndarray | None) -> str:
    """What lets a class be divided.   of_class: bool (N,), its images."""
    units = np.array(merged([*range(len(keys))], list(keys)))
    joined = units if alike is None else np.array(merged(units.tolist(), alike.tolist()))
    if len(set(joined[of_class])) > 1 or of_class.sum() < 2:
        return "add images, or give a test folder"
    if len(set(units[of_class])) > 1:
        return "its images are copies of one picture, which data.duplicates: exact lets be divided"
    if keys[int(of_class.argmax())].startswith(GROUP):
        return "its images are one group: add images of another one"
    return "its images are all equal, which data.duplicates: ignore lets be divided"
