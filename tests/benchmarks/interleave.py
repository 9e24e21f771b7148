"""Runs contenders in turn, A B A B …, so that a busy machine slows all alike, and compares them by round."""

import multiprocessing
import statistics
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Run:
    """One timed run. rate: work done, in `unit`; more is better.   note, figures: what else it found, by name."""

    rate: float
    unit: str
    note: str = ""
    figures: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        figures = ", ".join(f"{name} {value:.4g}" for name, value in self.figures.items())
        return f"{self.rate:.3g} {self.unit}  {self.note}{figures}"


Contenders = dict[str, Callable[[], Run]]


def measure(contenders_of: Callable[[int], Contenders], *, runs: int) -> dict[str, list[Run]]:
    """Each contender of every round once, after one another, and every run in a fresh process.

    So no contender finds another's settings, warm caches or memory.
    """
    spawn = multiprocessing.get_context("spawn")
    found: dict[str, list[Run]] = {}
    for number in range(runs):
        for name, run in contenders_of(number).items():
            with ProcessPoolExecutor(1, mp_context=spawn) as process:
                latest = process.submit(run).result()
            found.setdefault(name, []).append(latest)
            print(f"round {number + 1}/{runs}  {name}: {latest}", file=sys.stderr, flush=True)
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
                "figures": {
                    name: _spread([run.figures[name] for run in results]) for name in results[-1].figures
                },
            }
        )
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """The summary as a Markdown table."""
    lines = ["| contender | median rate | ratio (lowest – highest) | n | note |", "|---|---|---|---|---|"]
    for row in rows:
        spread = f"{row['ratio']:.2f} ({row['lowest']:.2f} – {row['highest']:.2f})"
        rate = f"{row['rate']:,.0f}" if row["rate"] >= 100 else f"{row['rate']:.3g}"
        figures = [
            f"{name} {median:.4g} ({low:.4g} – {high:.4g})"
            for name, (median, low, high) in row["figures"].items()
        ]
        note = ", ".join([*([row["note"]] if row["note"] else []), *figures])
        lines.append(f"| {row['contender']} | {rate} {row['unit']} | {spread} | {row['runs']} | {note} |")
    return "\n".join(lines)


def _spread(values: list[float]) -> tuple[float, float, float]:
    """Median, least, most."""
    return statistics.median(values), min(values), max(values)
