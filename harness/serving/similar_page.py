"""A page of similar images that needs nothing but itself."""

import html
from collections.abc import Sequence
from dataclasses import dataclass

from harness.datasets.listing import printable
from harness.serving.pictures import thumbnail

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
STYLE = """
:root { color-scheme: light dark; --edge: #8886; }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 1180px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 2rem 0 .4rem; overflow-wrap: anywhere; }
.row { display: flex; flex-wrap: wrap; gap: 12px; align-items: flex-start; }
figure { margin: 0; width: 114px; font-size: 12px; } figcaption { overflow-wrap: anywhere; }
img, .none { width: 112px; height: 112px; border: 1px solid var(--edge); border-radius: 4px; }
.none { display: grid; place-items: center; opacity: .65; } .asked img { outline: 3px solid #0072b2; }
small { opacity: .7; }
"""


@dataclass(frozen=True)
class Row:
    """title: above the pictures.   asked: the image that was asked for, or None.   found: paths, names and scores."""

    title: str
    asked: str | None
    found: Sequence[tuple[str, str, float]]


def page(title: str, rows: Sequence[Row]) -> str:
    """Names are escaped, whatever they are; an image that is not there any more has a place without a picture."""
    parts = [f"<h1>{_escaped(title)}</h1>"]
    for row in rows:
        asked = "" if row.asked is None else _figure(row.asked, row.title, "asked", kind="asked")
        figures = "".join(_figure(path, name, f"{score:.3f}") for path, name, score in row.found)
        parts.append(f'<h2>{_escaped(row.title)}</h2><div class="row">{asked}{figures}</div>')
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_escaped(title)}</title><style>{STYLE}</style></head>\n<body>"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _figure(path: str, name: str, said: str, *, kind: str = "found") -> str:
    source = thumbnail(path)
    picture = (
        '<div class="none">gone</div>'
        if source is None
        else f'<img src="{source}" alt="{_escaped(name)}" loading="lazy">'
    )
    caption = f"<figcaption>{said}<br><small>{_escaped(name)}</small></figcaption>"
    return f'<figure class="{kind}">{picture}{caption}</figure>'


def _escaped(text: str) -> str:
    return html.escape(printable(text))
