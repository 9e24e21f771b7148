"""The benchmarks' own arithmetic: ratios are of the same round, and what differs by round is shown with its spread."""

from functools import partial

from tests.benchmarks.interleave import Contenders, Run, measure, summary, table


def of_round(rate: float, number: int) -> Run:
    return Run(rate * (number + 1), "images/s", figures={"round": number})


def contenders(number: int) -> Contenders:
    return {"slow": partial(of_round, 10.0, number), "fast": partial(of_round, 40.0, number)}


def test_ratios_are_taken_within_a_round() -> None:
    rows = {row["contender"]: row for row in summary(measure(contenders, runs=3))}
    assert (rows["fast"]["ratio"], rows["fast"]["lowest"], rows["fast"]["highest"]) == (4, 4, 4)
    assert rows["slow"]["rate"] == 20 and rows["slow"]["figures"] == {"round": (1, 0, 2)}


def test_the_table_shows_medians_and_extremes() -> None:
    rows = summary({"a": [Run(0.5, "x/s", figures={"seconds": 2})], "b": [Run(1500, "x/s", note="said")]})
    lines = table(rows).splitlines()
    assert lines[2:] == [
        "| a | 0.5 x/s | 1.00 (1.00 – 1.00) | 1 | seconds 2 (2 – 2) |",
        "| b | 1,500 x/s | 3000.00 (3000.00 – 3000.00) | 1 | said |",
    ]
