"""Runs contenders in turn, A B A B …, so that a busy machine slows all alike, and compares them by round."""

import multiprocessing
import statistics
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Run:
    """One timed run. rate: work done, in `unit`; more is better.   note: what else it found."""

    rate: float
    unit: str
    note: str = ""


Contenders = dict[str, Callable[[], Run]]


def measure(contenders: Contenders, *, runs: int) -> dict[str, list[Run]]:
    """Each contender `runs` times, after one another in every round, and every run in a fresh process.

    So no contender finds another's settings, warm caches or memory.
    """
    spawn = multiprocessing.get_context("spawn")
    found: dict[str, list[Run]] = {name: [] for name in contenders}
    for number in range(runs):
        for name, run in contenders.items():
            with ProcessPoolExecutor(1, mp_context=spawn) as process:
                found[name].append(process.submit(run).result())
            latest = found[name][-1]
            line = f"round {number + 1}/{runs}  {name}: {latest.rate:.0f} {latest.unit}  {latest.note}"
            print(line, file=sys.stderr, flush=True)
    return found


def summary(found: dict[str, list[Run]]) -> list[dict[str, Any]]:
    """Per contender its median rate, and over the rounds its ratio to the yardstick."""
    yardstick = next(iter(found.values()))
    rows = []
    for name, results in found.items():
        ratios = [run.rate / base.rate for run, base in zip(results, yardstick, strict=True)]
        rows.append(
            {
                "contender": name,
                "runs": len(results),
                "rate": statistics.median(run.rate for run in results),
                "unit": results[0].unit,
                "ratio": statistics.median(ratios),
                "lowest": min(ratios),
                "highest": max(ratios),
                "note": results[-1].note,
            }
        )
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """The summary as a Markdown table."""
    lines = ["| contender | median rate | ratio (lowest – highest) | n | note |", "|---|---|---|---|---|"]
    for row in rows:
        spread = f"{row['ratio']:.2f} ({row['lowest']:.2f} – {row['highest']:.2f})"
        rate = f"{row['rate']:,.0f} {row['unit']}"
        lines.append(f"| {row['contender']} | {rate} | {spread} | {row['runs']} | {row['note']} |")
    return "\n".join(lines)
