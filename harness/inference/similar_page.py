"""A page of similar images that needs nothing but itself."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from harness import pages
from harness.data.image_files import printable
from harness.data.policy import Policy
from harness.inference.pictures import thumbnail


@dataclass(frozen=True)
class Row:
    """title: above the pictures.   asked: the image that was asked for, or None.   found: paths, names and scores."""

    title: str
    asked: str | None
    found: Sequence[tuple[str, str, float]]


def page(title: str, rows: Sequence[Row], policy: Policy) -> str:
    """Names are escaped, whatever they are; an image that is not there any more has a place without a picture.

    policy: of the model, for the pictures to be as it sees them.
    """
    return pages.page(
        "inference/similar.html", title=printable(title), rows=[_shown(row, policy) for row in rows]
    )


def _shown(row: Row, policy: Policy) -> dict[str, object]:
    """Of each picture its kind, its data URL or None, its name, and the lines below it."""
    asked = [] if row.asked is None else [("asked", row.asked, row.title, ["asked for"])]
    found = [("found", path, name, [f"{score:.3f}", _small(name)]) for path, name, score in row.found]
    pictures = [
        (kind, thumbnail(path, policy), printable(name), lines)
        for kind, path, name, lines in [*asked, *found]
    ]
    return {"title": printable(row.title), "pictures": pictures}


def _small(name: str) -> Markup:
    """A line may end after each folder."""
    return Markup("<small>{}</small>").format(Markup(str(escape(printable(name))).replace("/", "/<wbr>")))
