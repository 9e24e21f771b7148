"""The page, written by Jinja from `page.html`, which escapes whatever a model's or a file's name may hold."""

from functools import cache
from importlib import resources

from jinja2 import Environment, StrictUndefined, Template

from harness.inference.web.documents import Health
from harness.inference.web.limits import Limits


def written(health: Health, limits: Limits) -> str:
    """As HTML."""
    return _template().render(health=health, limits=limits)


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    source = (resources.files("harness.inference.web") / "page.html").read_text(encoding="utf-8")
    return environment.from_string(source)
