"""The page, written by Jinja from `page.html`, which escapes whatever a model's or a file's name may hold."""

from harness import pages
from harness.inference.web.documents import Health
from harness.inference.web.limits import Limits


def written(health: Health, limits: Limits) -> str:
    """As HTML."""
    return pages.rendered("inference/web/page.html", health=health, limits=limits)


def style() -> str:
    """What it shares with all pages, and its own."""
    return pages.resource("pages/style.css") + pages.resource("inference/web/page.css")
