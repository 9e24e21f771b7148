"""Your own images: a folder with one folder per class, or train/ and test/ folders of such.

Source: yours
"""

import hashlib
import json
import logging
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from inspect import signature
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np

from harness.config.signatures import Between, OrPair, Younger
from harness.data import file_notes, grouping, near_duplicates, sealed_copies, soft_labels
from harness.data.cache import cached, opened
from harness.data.decoded_files import DecodedFiles, decoded, hash_file
from harness.data.decoding import DECODER
from harness.data.holdout import Growth, group_keys, grown_test_part, numbered, test_part
from harness.data.image_files import ImageFile, Listing, list_images
from harness.data.images import CHUNK_BYTES, Chunk, Images, read_notes, write
from harness.data.near_duplicates import Kind
from harness.data.policy import Policy, of_changes
from harness.data.snapshot import (
    LEFT_OUT,
    TEST,
    TRAIN,
    Changes,
    Snapshot,
    compare,
    facts_columns,
)  # fmt: skip
from harness.data.soft_labels import SoftLabels, read_soft_labels
from harness.errors import DataError, RecordError, StoreError
from harness.files import read_json, write_file

logger = logging.getLogger(__name__)

NUM_NAMED = 5  # unreadable files that a message names
SNAPSHOT = "files.json.gz"  # beside the decoded images
LAYOUT = 2  # of what is kept


def load(
    home: Path,
    part: Literal["train", "test"],
    *,
    root: str,
    image_size: Annotated[int, Between(4, 1024)] = 32,
    channels: Literal[1, 3] = 3,
    depth: Annotated[Literal["full", "percentile"], OrPair(), Younger()] = "full",
    fit: Annotated[Literal["crop", "pad"], Younger()] = "crop",
    unreadable: Literal["refuse", "skip"] = "refuse",
    test_fraction: Annotated[float, Between(above=0.0, high=0.9)] = 0.2,
    groups: grouping.Groups | None = None,
    duplicates: Annotated[Literal["near", "exact", "ignore"], Younger()] = "near",
    soft_labels: Annotated[soft_labels.SoftLabels, Younger()] | None = None,
) -> Images:
    """The images of `root`, made square and resized; decoded once, then mapped from disk.

    root: the folder; it has a folder for each class, or train and test folders of such.
    image_size: sides that images are made square and resized to, in pixels. Default: small networks train on it in
    minutes; photographs whose detail matters want more.   channels: 3 for colour, 1 for grey.
    depth: which values of grey of 16 bits, signed, or floating-point, are black and white: full for 0 and 65,535,
    [low, high] for these, percentile for the 0.5th and 99.5th of each image, whose brightness is lost.
    fit: crop uses the square in the middle, pad all of the image, with black on two sides. Default: what matters is
    mostly in the middle. Of a file with several frames or pages, the first is used.
    unreadable: what becomes of files that are no whole image. Default: a silent gap in the data is worse than a
    refusal.
    test_fraction: share of the images that is sealed as the test part, where there is no test folder. Default: as much
    as one of five folds.
    groups: how images of one object are known (see grouping.py), which are then never split between the test
    part and the training part, or between folds. Groups that have an equal file are one.
    duplicates: which are held out together, in folds and in the test part: near ones too (see near_duplicates.py),
    exact ones only, or none: ignore. Default: a copy in the training part makes a score too good. All files of both
    parts are decoded in one pass.
    soft_labels: a table with shares of the classes, or counts of votes, for each training image (see soft_labels.py),
    which networks are trained on; scores go by the folders. Default: the class of an image's folder.
    The decoded copy is kept below `home`, named by the content of all files; their
    names, sizes and times tell whether they are still the same. Raises DataError for an unusable folder.
    """
    folder = Folder(
        home, root, image_size, channels, depth, fit, unreadable, test_fraction, groups, duplicates, soft_labels
    )  # fmt: skip
    images = folder.images(part)
    folder.tell(images)
    return images


def decoded_copy(home: Path, content_hash: str) -> Images | None:
    """Training images of that hash which were decoded once, though their folder may be another by now."""
    for meta in sorted((home / "cache").glob("folder-*/**/meta.json")):
        with suppress(RecordError, OSError, KeyError):
            if read_json(meta)["content_hash"] == content_hash and (images := opened(meta.parent)):
                return images
    return None


def snapshot_of(images: Images) -> Snapshot:
    """All files of the folder that these images were decoded from, as they were then. Raises DataError if damaged."""
    assert images.path is not None
    return Snapshot.load(images.path.parent / SNAPSHOT)


def of_folder(home: Path, options: Mapping[str, Any], growth: Growth | None = None) -> "Folder":
    """The folder that `load` would be called for with these options."""
    bound = signature(load).bind(home, "train", **options)
    bound.apply_defaults()
    given = {name: value for name, value in bound.arguments.items() if name != "part"}
    return Folder(**given, growth=growth)


@dataclass(frozen=True)
class Folder:
    """A folder of images as `load` is asked for it.

    growth: which part each image was in before, where that is known.
    """

    home: Path
    root: str
    image_size: int
    channels: int
    depth: object
    fit: str
    unreadable: str
    test_fraction: float
    groups: grouping.Groups | None
    duplicates: Kind = "near"
    soft_labels: SoftLabels | None = None
    growth: Growth | None = None

    def images(self, part: Literal["train", "test"]) -> Images:
        """One part; the first time, all files are decoded. Raises DataError for an unusable folder."""
        cache = self.home / "cache"
        seen = cache / "seen" / self._fingerprint
        images = _remembered(seen, cache, part)
        if images is None:
            logger.info("reading %d image files", len(self._files))
            name = f"folder-{self._key}"
            images = cached(cache / name / part, self._make, lock=cache / f"{name}.lock")
            if all(self._digests):  # a file that could not be read at all is tried again next time
                with suppress(OSError, StoreError):  # without it, the next start reads the files again
                    write_file(seen, name.encode("ascii"))
        return images

    def tell(self, images: Images) -> None:
        """What should be known of the files that they were made of."""
        assert images.path is not None
        for note in read_notes(images.path):
            logger.warning("%s: %s", self.root, note)

    def snapshot(self) -> Snapshot:
        """Of all files of both parts, as they were decoded. Raises DataError for an unusable folder."""
        images = self.images("train")
        try:
            return snapshot_of(images)
        except DataError as error:
            logger.warning("%s; it is made anew", error)
            assert images.path is not None
            self._make(images.path)
            return snapshot_of(images)

    def changes(self, since: Snapshot) -> Changes:
        """What became of the files since a snapshot; only those are read whose size or time is another.

        Raises DataError for a folder that is no data set any more.
        """
        known = {
            name: (state, content)
            for name, state, content in zip(since.names, since.states, since.hashes, strict=True)
        }
        hashes = []
        for name, file in zip(self._names, self._files, strict=True):
            state, content = known.get(name, ("", ""))
            hashes.append(content if state and state == file.state else hash_file(file).hex())
        return compare(
            since,
            self._names,
            hashes,
            self._merged_groups(self._unequal([*map(str.encode, hashes)])),
            self._short_shares,
        )

    @cached_property
    def policy(self) -> Policy:
        """How its files become images."""
        return of_changes({"depth": self.depth, "fit": self.fit})

    @cached_property
    def _listings(self) -> dict[Literal["train", "test"], Listing]:
        """The files of each part, or all in one listing where the test part is to be held out of them."""
        root = Path(self.root).expanduser()
        train = list_images(root, "train")
        return {"train": train, "test": list_images(root, "test")} if train.official else {"train": train}

    @property
    def _official(self) -> bool:
        return self._listings["train"].official

    @cached_property
    def _files(self) -> tuple[ImageFile, ...]:
        return tuple(file for listing in self._listings.values() for file in listing.files)

    @cached_property
    def _names(self) -> tuple[str, ...]:
        """Of each file in the snapshot: below the root, so that no two are alike."""
        return tuple(
            f"{part}/{file.name}" if self._official else file.name
            for part, listing in self._listings.items()
            for file in listing.files
        )

    @cached_property
    def _digests(self) -> list[bytes]:
        return [hash_file(file) for file in self._files]  # threads made it slower

    @cached_property
    def _named_groups(self) -> list[str]:
        """The name of each file's group, or empty."""
        groups = self.groups
        if groups is None:
            return []
        named = {
            part: grouping.group_names(groups, [file.name for file in listing.files], part)
            for part, listing in self._listings.items()
        }
        if shared := set(named["train"]) & set(named.get("test", ())):
            raise DataError(
                f"{self.root}: group {min(shared)} has images in train/ and in test/, and must not be split "
                f"({len(shared)} such groups)"
            )
        return [name for names in named.values() for name in names]

    @cached_property
    def _shares(self) -> tuple[np.ndarray, list[str]] | None:
        """Shares of the classes for each file of the training listing, and what is to be said of them."""
        if not self.soft_labels:
            return None
        listing = self._listings["train"]
        names = [file.name for file in listing.files]
        labels = np.array([file.label for file in listing.files], np.int64)
        return read_soft_labels(Path(self.soft_labels["csv"]), names, labels, listing.classes, "train")

    @property
    def _short_shares(self) -> list[str]:
        """Of each file, "" of those that are tests by their folder; or empty."""
        if self._shares is None:
            return []
        short = [hashlib.sha256(row.tobytes()).hexdigest()[:8] for row in self._shares[0]]
        return short + [""] * (len(self._files) - len(short))

    @property
    def _ways(self) -> list[dict[str, object]]:
        """How files are decoded, where it is not as by default."""
        return [changed] if (changed := self.policy.changed()) else []

    @property
    def _recipe(self) -> str:
        """All that decides, beside the files, what is made of them."""
        held_out = None if self._official else [self.test_fraction, near_duplicates.VERSION, self.duplicates]
        growth = None if self.growth is None else [self.growth.before.hash, self.growth.takes_new]
        options = [self.image_size, self.channels, self.unreadable, *self._ways]
        if self._shares is not None:
            options.append(hashlib.sha256(self._shares[0].tobytes()).hexdigest())
        return json.dumps([LAYOUT, DECODER, version("pillow"), *options, held_out, growth])

    @property
    def _fingerprint(self) -> str:
        root, named = str(Path(self.root).absolute()), json.dumps(self._named_groups)
        listings = [listing.fingerprint() for listing in self._listings.values()]
        return self._listings["train"].fingerprint(root, self._recipe, named, *listings)

    @property
    def _key(self) -> str:
        """A name for the decoded images: other names, classes, bytes or options give another one."""
        listing = self._listings["train"]
        files = (f"{digest.hex()} {name}" for digest, name in zip(self._digests, self._names, strict=True))
        lines = [self._recipe, json.dumps(listing.classes), json.dumps(self._named_groups), *files]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]

    def _make(self, folder: Path) -> None:
        """Decode all files, and write the snapshot and both parts beside each other. folder: of one of them."""
        place = folder.parent
        with decoded(
            self._files,
            self._digests,
            place,
            image_size=self.image_size,
            channels=self.channels,
            policy=self.policy,
        ) as files:
            notes = [*self._judged(files.problems), *file_notes.notes(files.facts, self.policy)]
            groups = self._merged_groups(self._contents)
            notes += _merger_notes(self._named_groups, groups)
            notes += [] if self._shares is None else self._shares[1]
            parts = self._parts(files, groups)
            snapshot = self._snapshot(files, parts, groups)
            snapshot.save(place / SNAPSHOT)
            for part in (TEST, TRAIN):
                rows = snapshot.rows(part)
                shape = (len(rows), *files.pixels.shape[1:])
                shares = self._shares[0] if self._shares and part == TRAIN else None
                chunks = self._chunks(files.pixels, rows, groups, shares)
                write(place / part, chunks, snapshot.classes, shape, notes=notes)

    def _judged(self, problems: Mapping[int, str]) -> Iterator[str]:
        """A note of unreadable files, where they may be left out. Raises DataError where not."""
        if not problems:
            return
        unreadable = [f"{self._names[index]} ({problem})" for index, problem in problems.items()]
        more = f"; and {len(unreadable) - NUM_NAMED} more" if len(unreadable) > NUM_NAMED else ""
        named = "; ".join(unreadable[:NUM_NAMED]) + more
        what = f"{len(unreadable)} of {len(self._files)} images are unreadable"
        if self.unreadable != "skip":
            advice = "repair or remove them, or set data.unreadable: skip"
            if all("data.depth" in problem for problem in problems.values()):  # they are whole
                advice = "data.depth: [low, high] says which values are black and white in all of them"
            raise DataError(f"{self.root}: {what}: {named}; {advice}")
        yield f"{what} and left out: {named}"

    @property
    def _contents(self) -> list[bytes]:
        """Of each file what equal ones have in common; an unreadable one is like none."""
        contents = [digest or name.encode() for digest, name in zip(self._digests, self._names, strict=True)]
        return self._unequal(contents)

    def _unequal(self, contents: list[bytes]) -> list[bytes]:
        return numbered(contents) if self.duplicates == "ignore" else contents

    def _merged_groups(self, contents: Sequence[Hashable]) -> list[str]:
        """The groups, of which those with an equal file in one part are one.   contents: of each file."""
        merged, start = [], 0
        for listing in self._listings.values() if self._named_groups else ():
            part = slice(start, start := start + len(listing.files))
            merged += grouping.merged(self._named_groups[part], contents[part])
        return merged

    def _parts(self, files: DecodedFiles, groups: Sequence[str]) -> np.ndarray:
        """The part of each file: (N,) of TRAIN, TEST or LEFT_OUT."""
        if self._official:
            parts = [str(part) for part, listing in self._listings.items() for _ in listing.files]
        else:
            keys = group_keys(groups) or self._contents
            labels = np.array([file.label for file in self._files], dtype=np.int64)
            alike = near_duplicates.alike(
                self.duplicates, files.thumbnails, lambda: self._duplicates(files.thumbnails), labels
            )
            classes = self._listings["train"].classes
            if self.growth is None:
                in_test = test_part(labels, keys, alike, fraction=self.test_fraction, classes=classes)
                parts = np.where(in_test, TEST, TRAIN).tolist()
            else:
                before = self.growth.parts(self._names, [digest.hex() for digest in self._digests])
                parts = grown_test_part(labels, keys, alike, before, fraction=self.test_fraction)
        return np.array([LEFT_OUT if index in files.problems else part for index, part in enumerate(parts)])

    def _duplicates(self, thumbnails: np.ndarray) -> near_duplicates.Duplicates:
        """Those among all files, looked for once and then kept."""
        path = self._where_duplicates_are([digest.hex() for digest in self._digests])
        return near_duplicates.remembered(path, lambda: near_duplicates.find(thumbnails))

    def known_duplicates(self, hashes: Sequence[str]) -> near_duplicates.Duplicates | None:
        """Those that were found among all files when they were divided, or None.   hashes: of the files, in order."""
        return sealed_copies.known(self._where_duplicates_are(hashes))

    def _where_duplicates_are(self, hashes: Sequence[str]) -> Path:
        lines = [json.dumps([DECODER, version("pillow"), *self._ways]), *hashes]
        name = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]
        return self.home / "cache" / f"duplicates-{name}.npz"

    def _snapshot(self, files: DecodedFiles, parts: np.ndarray, groups: Sequence[str]) -> Snapshot:
        return Snapshot(
            classes=self._listings["train"].classes,
            names=self._names,
            parts=tuple(parts.tolist()),
            labels=tuple(file.label for file in self._files),
            hashes=tuple(digest.hex() for digest in self._digests),
            states=tuple(file.state for file in self._files),
            groups=tuple(groups),
            facts=facts_columns(files.facts, files.sizes),
            problems={self._names[index]: problem for index, problem in files.problems.items()},
            soft_labels=tuple(self._short_shares),
        )

    def _chunks(
        self, pixels: np.ndarray, rows: np.ndarray, groups: Sequence[str], shares: np.ndarray | None
    ) -> Iterator[Chunk]:
        numbers = np.unique(groups, return_inverse=True)[1].astype(np.int64)
        step = max(1, CHUNK_BYTES // int(np.prod(pixels.shape[1:])))
        for start in range(0, len(rows), step):
            chosen = rows[start : start + step]
            files = [self._files[row] for row in chosen]
            labels = np.array([file.label for file in files], dtype=np.int64)
            names = [file.name for file in files]
            yield Chunk(
                pixels[chosen], labels, names, numbers[chosen] if groups else None,
                None if shares is None else shares[chosen],
            )  # fmt: skip


def _merger_notes(named: Sequence[str], together: Sequence[str]) -> Iterator[str]:
    """What a user should know of groups that became one."""
    pairs = sorted({(name, first) for name, first in zip(named, together, strict=True) if name != first})
    if pairs:
        examples = ", ".join(f"{name} with {first}" for name, first in pairs[:NUM_NAMED])
        yield f"{len(pairs)} groups have an image equal to one of another group and count as one: {examples}"


def _remembered(seen: Path, cache: Path, part: str) -> Images | None:
    """The images that were decoded when the files had these names, sizes and times."""
    try:
        return opened(cache / seen.read_text(encoding="ascii") / part)
    except (OSError, ValueError):
        return None
