"""Spells numbers, the same way in every part of a report."""

from typing import Any


def score(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def with_error(value: float | None, error: float | None, *, sign: str = "") -> str:
    """Like 0.9903 ± 0.0025, without the error where there is none."""
    if value is None:
        return "–"
    return f"{value:{sign}.4f}" + (f" ± {error:.4f}" if error is not None else "")


def of_objective(name: str, value: float, error: float | None = None) -> str:
    """What a trial has of an objective: a metric with its error, whole numbers of what is counted, seconds."""
    match name:
        case "parameters" | "model_bytes":
            return f"{value:,.0f}"
        case "seconds_per_fold":
            return f"{value:.2f} s" if value < 100 else duration(value)
        case _:
            return with_error(value, error)


def interval(low: float, high: float) -> str:
    return f"95 % {low:.4f} to {high:.4f}"


def number(value: Any) -> str:
    """An option's value, as short as it can be read."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return "–" if value is None else str(value)


def duration(seconds: float | None) -> str:
    """Like 42 s, 3.5 min, 2.1 h."""
    if seconds is None:
        return "–"
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def probability(p: float) -> str:
    """A p-value: two digits, or how small it is at most."""
    return f"{p:.2g}" if p >= 0.001 else "< 0.001"


def times(count: int, what: str) -> str:
    """Like 1 trial, 3 trials."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def percent(share: float) -> str:
    """Like 12 %, and 0.3 % for small ones."""
    if share < 0.0005:
        return "0 %" if share == 0 else "< 0.1 %"
    return f"{100 * share:.0f} %" if share >= 0.0995 else f"{100 * share:.1f} %"


def shortened(name: str, most: int = 24) -> str:
    """Without its middle, where names differ least, if it is longer."""
    head = (most - 1) // 2
    return name if len(name) <= most else f"{name[:head]}…{name[head + 1 - most :]}"
