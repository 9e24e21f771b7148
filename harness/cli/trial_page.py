"""What `harness show` prints of a trial, 80 columns wide; a traceback and a path may be longer."""

import textwrap
from collections.abc import Mapping

from harness.analysis.trial import FoldLine, TrialPage
from harness.cli.render import duration, number

WIDTH = 80


def print_page(page: TrialPage) -> None:
    for line in lines(page):
        print(line)


def lines(page: TrialPage) -> list[str]:
    """The page, line by line."""
    said = [f"{page.study}, trial {page.trial}: {page.state}"]
    if page.reason:
        why = f"{page.failure}: {page.reason}" if page.failure else page.reason
        said += textwrap.wrap(why, WIDTH, initial_indent="  ", subsequent_indent="  ")
    if page.mean is not None:
        error = "" if page.standard_error is None else f" ± {page.standard_error:.4f}"
        said.append(f"{page.objective} {page.mean:.4f}{error}, {duration(page.seconds)}")
    if page.rung_score is not None:
        said.append(f"short training {page.rung_score:.4f}")
    values = {f"{name}{' *' * (name in page.params)}": number(value) for name, value in page.values.items()}
    said += _block("values" + " (* searched)" * bool(page.params), values)
    if page.folds:
        said += ["", f"fold  {page.objective:>17}  {'epochs':>6}  {'time':>9}  key"]
        said += [_fold(fold) for fold in page.folds]
    for fingerprint in page.fingerprints:
        said += _block("computed on", fingerprint)
    if page.mlflow_run_id:
        said += ["", f"MLflow run {page.mlflow_run_id}"]
    if page.traceback:
        said += ["", *page.traceback.rstrip().splitlines()]
    return said


def _fold(fold: FoldLine) -> str:
    if fold.epochs is None or fold.seconds is None:
        return f"{fold.fold:>4}  {fold.score:>17.4f}  its record is gone"
    return (
        f"{fold.fold:>4}  {fold.score:>17.4f}  {fold.epochs:>6}  {duration(fold.seconds):>9}  {fold.key[:12]}"
    )


def _block(title: str, values: Mapping[str, str]) -> list[str]:
    """A title, then a name and its value on each line; long values go on below themselves."""
    width = max(map(len, values), default=0)
    found = ["", title]
    for name, value in values.items():
        found += textwrap.wrap(
            value or "-", WIDTH, initial_indent=f"  {name:<{width}}  ", subsequent_indent=" " * (width + 4)
        )
    return found
