"""Facts of files by which a class can be told from the others: "100% of class cat and 0% of all others are PNG"."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np

LEAST_DIFFERENCE = 0.5  # between a class and all others, of the share that a fact holds for
LEAST_OF_SIZE = 0.9  # and of bytes per pixel, which tell what an image shows, too
MOST_FALSE = 0.01  # chance that facts which say nothing are told of, over all facts and classes together
EXACT = 1000  # images, up to which the test's chances are counted out
MOST_VALUES = 20  # of a fact that is no number; one with more, a name say, is not looked at
BYTES = "bytes_per_pixel"  # an audit alone looks at the last of the numbers and of the kinds
NUMBERS = {
    "width": "a width", "height": "a height", "quality": "a JPEG quality", BYTES: "a size in bytes per pixel",
    "taken": "a time in EXIF",
}  # fmt: skip
KINDS = {
    "format": "the file format {}", "mode": "pixels of the kind {}", "has_alpha": "transparency",
    "camera": "{} in EXIF",
}  # fmt: skip


class TellingFact(NamedTuple):
    """fact: a name of NUMBERS or KINDS.   difference: of the shares that it holds for, -1..1.   sentence: in words."""

    fact: str
    difference: float
    sentence: str


class _Rule(NamedTuple):
    """That a column is above a bound, or at most: for one class and not for others.

    inside, outside: the shares of the class and of all others that it holds for.
    """

    values: np.ndarray
    label: int
    bound: float
    is_above: bool
    inside: float
    outside: float


def telling_facts(
    labels: np.ndarray, classes: Sequence[str], facts: Mapping[str, np.ndarray], alone: np.ndarray
) -> Iterator[TellingFact]:
    """By which facts of their files a class can be told from the others: the clearest rule of each.

    A rule is a value, or a bound of a number: a tree of depth one. The difference between a class and the others in the
    share that it holds for is the statistic of Kolmogorov and Smirnov, whose test says whether it is chance.
    labels: int (N,), indices into classes.   facts: each (N,), by the names of NUMBERS and KINDS.
    alone: the images that are independent of each other.
    """
    columns = {name: found for name in (*NUMBERS, *KINDS) if (found := _columns(name, facts.get(name)))}
    level = MOST_FALSE / max(sum(map(len, columns.values())) * len(classes), 1)
    for name, found in columns.items():
        least = LEAST_OF_SIZE if name == BYTES else LEAST_DIFFERENCE
        rules = [
            (rule, words)
            for words, values in found.items()
            for rule in _rules(values, labels, len(classes), least)
        ]
        # Of equally clear ones the rule that says what a class has, not what it lacks.
        clearest = sorted(
            rules,
            key=lambda one: (-abs(one[0].inside - one[0].outside), name in KINDS and not one[0].is_above),
        )
        for rule, words in clearest:
            if _is_significant(rule.values[alone], labels[alone] == rule.label, level):
                sentence = _in_words(rule, name, words, classes[rule.label])
                yield TellingFact(name, rule.inside - rule.outside, sentence)
                break


def _columns(name: str, values: np.ndarray | None) -> dict[str, np.ndarray]:
    """A number as it is; of another fact for each value whether it holds. By the words for it; {} where unknown."""
    known = [] if values is None else values.tolist()
    if not known or None in known:
        return {}
    if name in NUMBERS:
        return {NUMBERS[name]: np.array(known, dtype=float)}
    different = sorted(set(known), key=str)
    if not 1 < len(different) <= MOST_VALUES:
        return {}
    holds = {value: np.array([one == value for one in known], dtype=float) for value in different}
    return {KINDS[name].format(value): column for value, column in holds.items() if value is not False}


def _rules(values: np.ndarray, labels: np.ndarray, num_classes: int, least: float) -> Iterator[_Rule]:
    """For each class the bound that tells it best from the others, if it does so well."""
    order = np.argsort(values, kind="stable")
    ranked = values[order]
    last = np.flatnonzero(ranked[1:] != ranked[:-1])  # of equal values, but for the greatest
    if not len(last):
        return
    for label in range(num_classes):
        of_class = labels[order] == label
        if not 0 < of_class.sum() < len(of_class):
            continue
        inside = np.cumsum(of_class)[last] / of_class.sum()
        outside = np.cumsum(~of_class)[last] / (~of_class).sum()
        place = int(np.abs(inside - outside).argmax())
        one, other, bound = float(inside[place]), float(outside[place]), float(ranked[last[place]])
        if one - other >= least:
            yield _Rule(values, label, bound, False, one, other)
        elif other - one >= least:
            yield _Rule(values, label, bound, True, 1 - one, 1 - other)


def _in_words(rule: _Rule, name: str, words: str, class_name: str) -> str:
    inside, outside = rule.inside, rule.outside
    if name in NUMBERS:
        bound = f"{rule.bound:,.2f}" if name == BYTES else f"{rule.bound:,.0f}"
        if name == "taken":
            bound = datetime.fromtimestamp(rule.bound, UTC).date().isoformat()
        words += f" {'above' if rule.is_above else 'of at most'} {bound}"
    elif not rule.is_above:
        inside, outside = 1 - inside, 1 - outside
    return f"{inside:.0%} of class {class_name} and {outside:.0%} of all others have {words}"


def _is_significant(values: np.ndarray, of_class: np.ndarray, level: float) -> bool:
    from scipy.stats import ks_2samp  # takes a second

    if of_class.all() or not of_class.any():
        return False
    method = "exact" if len(values) <= EXACT else "asymp"
    return bool(ks_2samp(values[of_class], values[~of_class], method=method).pvalue < level)
