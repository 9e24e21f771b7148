"""Where the figures come from, and the commands that make them again."""

from collections.abc import Mapping
from typing import Any

from harness.report.svg import escaped
from harness.report.tables import Markup, folded, paragraph, table


def provenance(study: Mapping[str, Any]) -> str:
    found = study["origin"]
    commands = "".join(
        f'{paragraph(one["what"], "hint")}<pre class="command"><code>{escaped(one["command"])}</code></pre>'
        for one in found["commands"]
    )
    said = "Again:"
    if found["dirty"]:
        said = (
            "Again (the code had changes that were not committed; they are kept with the study as uncommitted.diff, "
            "and the commands do not bring them back):"
        )
    listed = folded("The study file", f"<pre><code>{escaped(found['text'])}</code></pre>", printed=True)
    return (
        paragraph(said)
        + commands
        + listed
        + "<h4>Record</h4>"
        + table(("what", "value"), _rows(found), wrap=1)
    )


def _rows(found: Mapping[str, Any]) -> list[tuple[str, object]]:
    changes = ""
    if found["dirty"]:
        untracked = f", {found['untracked']} untracked files" if found["untracked"] else ""
        changes = f" with uncommitted changes{untracked}"
    return [
        ("commit", Markup(f"{_code(found['commit'])}{changes}") if found["commit"] else "none"),
        ("data hash", _code(found["data_hash"])),
        ("split hash", _code(found["split_hash"])),
        ("definition hash", _code(found["definition_hash"] or "–")),
        ("seed", f"{found['seed']}; every trial, fold and epoch has one made from it"),
        ("harness, Python", f"{found['harness'] or '–'}, {found['python'] or '–'}"),
        ("packages", _list(found["packages"]) or "–"),
        ("machine", _list(found["hardware"]) or "–"),
        ("compute", _list(found["compute"]) or "–"),
        ("may change the bits", _list(found["fingerprint"]) or "–"),
        *([("not computed alike", found["mixed"])] if found["mixed"] else []),
        ("started", found["started"]),
    ]


def _code(text: object) -> Markup:
    return Markup(f"<code>{escaped(text)}</code>")


def _list(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
