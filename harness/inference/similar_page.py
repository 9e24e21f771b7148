"""A page of similar images that needs nothing but itself."""

import html
from collections.abc import Sequence
from dataclasses import dataclass

from harness.data.image_files import printable
from harness.data.policy import Policy
from harness.inference.pictures import thumbnail

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
STYLE = """
:root { color-scheme: light dark; --page: #ffffff; --ink: #1f2328; --soft: #59636e; --edge: #d4dae0; --blue: #0072b2; }
@media (prefers-color-scheme: dark) {
  :root { --page: #14181d; --ink: #e6edf3; --soft: #a0abb6; --edge: #39424c; --blue: #56b4e9; }
}
body { background: var(--page); color: var(--ink); font: 15px/1.45 system-ui, sans-serif; max-width: 1180px;
  margin: 1.4rem auto 2rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 1.4rem 0 .5rem; overflow-wrap: anywhere; }
.row { display: grid; grid-template-columns: repeat(auto-fill, minmax(124px, 1fr)); gap: 12px; }
figure { margin: 0; font-size: 12.5px; line-height: 1.35; max-width: 180px; }
figcaption { margin-top: .3rem; overflow-wrap: anywhere; }
img, .none { display: block; box-sizing: border-box; width: 100%; aspect-ratio: 1;
  border: 1px solid var(--edge); border-radius: 5px; }
.none { display: grid; place-items: center; color: var(--soft); }
.asked > :first-child { outline: 3px solid var(--blue); }
small { color: var(--soft); font-size: inherit; }
"""


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
    parts = [f"<h1>{_escaped(title)}</h1>"]
    for row in rows:
        asked = "" if row.asked is None else _figure(row.asked, row.title, "asked for", policy, kind="asked")
        figures = "".join(
            _figure(
                path, name, f"{score:.3f}<br><small>{_escaped(name).replace('/', '/<wbr>')}</small>", policy
            )
            for path, name, score in row.found
        )
        parts.append(f'<h2>{_escaped(row.title)}</h2><div class="row">{asked}{figures}</div>')
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_escaped(title)}</title><style>{STYLE}</style></head>\n<body>"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _figure(path: str, name: str, said: str, policy: Policy, *, kind: str = "found") -> str:
    """said: HTML below the picture."""
    source = thumbnail(path, policy)
    picture = (
        '<div class="none">gone</div>'
        if source is None
        else f'<img src="{source}" alt="{_escaped(name)}" loading="lazy">'
    )
    return f'<figure class="{kind}">{picture}<figcaption>{said}</figcaption></figure>'


def _escaped(text: str) -> str:
    return html.escape(printable(text))
