"""What all pages have in common: their templates' one environment, which escapes everything, one style, one policy.

A template is named by its place in the package, like `report/page.html`; a page extends `pages/base.html`. What a
page shows of `pages/parts.html`, a table say, is a function here, too, for those who put pages together in Python.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources

from jinja2 import Environment, StrictUndefined
from jinja2.loaders import FunctionLoader
from markupsafe import Markup, escape

POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {}; base-uri 'none'; form-action 'none'"
)  # fmt: skip


def page(template: str, *, scripts: Sequence[str] = (), **values: object) -> str:
    """A page that needs nothing but itself. Nothing is fetched, and only these scripts run."""
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    policy = Markup(POLICY.format(" ".join(f"'sha256-{one}'" for one in hashes) or "'none'"))
    style = Markup(resource("pages/style.css"))
    return rendered(
        template, policy=policy, style=style, scripts=[Markup(script) for script in scripts], **values
    )


def rendered(template: str, **values: object) -> str:
    """A template with these values."""
    return _environment().get_template(template).render(**values)


def resource(path: str) -> str:
    """The text of a file of the package."""
    return (resources.files("harness") / path).read_text(encoding="utf-8")


def kept(words: object) -> Markup:
    """Text as HTML, such that no line ends between a number and its % or ±. None is a dash."""
    return Markup(re.sub(r"(?<=\d) (?=%)| (?=± )|(?<=±) ", "\u00a0", escape("–" if words is None else words)))


def joined(*parts: str) -> Markup:
    """Parts of a page, one after the other; text among them is escaped."""
    return Markup("").join(parts)


def paragraph(words: object, kind: str = "") -> Markup:
    return _part("paragraph", words, kind)


def table(
    head: Sequence[object],
    rows: Iterable[Sequence[object]],
    *,
    numbers: Sequence[int] = (),
    wrap: int = -1,
    of: str = "",
) -> Markup:
    """numbers: columns that are set right.   wrap: the column whose text may be broken, or -1.   of: what it is of."""
    return _part("table", head, list(rows), list(numbers), wrap, of)


def folded(title: str, inner: str, *, printed: bool = False) -> Markup:
    """What is seen when asked for.   printed: it is on paper in any case."""
    return _part("folded", title, inner, printed)


def image(source: str, alt: str, lines: Sequence[object], *, tiny: bool = False, second: str = "") -> Markup:
    """A picture with lines of text below.

    source: a data URL.   tiny: its pixels are to be seen.   second: another one, beside it.
    """
    return _part("image", source, alt, list(lines), tiny, second)


def _part(name: str, *values: object) -> Markup:
    made: Markup = getattr(_environment().get_template("pages/parts.html").module, name)(*values)
    return made


@cache
def _environment() -> Environment:
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=FunctionLoader(resource),
    )
    environment.filters["kept"] = kept
    return environment
