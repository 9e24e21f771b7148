"""Shares by whole groups: never half a group, never more than the share where it can be helped, never a whole class."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.data.grouping import whole_groups


@st.composite
def grouped(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, list[int], np.ndarray]:
    """Labels, groups, an order of the groups, and a share of each class that leaves an image of it."""
    pairs = draw(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 11)), min_size=4, max_size=60))
    labels, groups = np.array(pairs).T
    groups = np.unique(groups, return_inverse=True)[1]
    order = draw(st.permutations(range(groups.max() + 1)))
    counts = np.bincount(labels, minlength=4)
    room = np.array([draw(st.integers(0, max(count - 1, 0))) for count in counts.tolist()])
    return labels, groups, order, room


@settings(max_examples=150, deadline=None)
@given(grouped())
def test_shares_are_of_whole_groups_and_leave_something_of_every_class(
    case: tuple[np.ndarray, np.ndarray, list[int], np.ndarray],
) -> None:
    labels, groups, order, room = case
    mask = whole_groups(labels, groups, order=order, room=room)
    assert all(len(set(mask[groups == group])) == 1 for group in set(groups.tolist()))
    for label in set(labels.tolist()):
        of_class = labels == label
        assert not mask[of_class].all()
        could = len(set(groups[of_class])) > 1 and all(
            len(set(labels[groups == g])) == 1 for g in groups[of_class]
        )
        assert mask[of_class].any() or not could


@settings(max_examples=100, deadline=None)
@given(grouped())
def test_groups_of_one_image_give_exactly_the_first_of_the_order(
    case: tuple[np.ndarray, np.ndarray, list[int], np.ndarray],
) -> None:
    labels, _, _, room = case
    room = np.maximum(room, 1)
    order = np.random.default_rng(len(labels)).permutation(len(labels)).tolist()
    mask = whole_groups(labels, np.arange(len(labels)), order=order, room=room)
    for label in range(4):
        in_order = [index for index in order if labels[index] == label]
        assert set(np.flatnonzero(mask & (labels == label))) == set(in_order[: room[label]])


def test_a_share_is_exceeded_only_by_the_smallest_group_of_a_class_of_which_none_fits() -> None:
    labels = np.repeat([0, 0, 0, 1, 1, 1], [4, 3, 5, 2, 1, 7])
    groups = np.repeat([0, 1, 2, 3, 4, 5], [4, 3, 5, 2, 1, 7])
    mask = whole_groups(labels, groups, order=[5, 4, 3, 2, 1, 0], room=np.array([2, 2]))
    assert set(groups[mask]) == {1, 4}
