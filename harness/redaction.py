"""Takes secrets out of text before it is recorded or shown.

A secret is the value of an environment variable that is named like one, the password of an address, and what has
the shape of a key. It does not look into files that nobody records, and cannot know a password by its looks.
"""

import json
import os
import re
from base64 import b64encode
from collections.abc import Iterator
from urllib.parse import parse_qsl, quote, quote_plus, unquote

MARK = "***"
LEAST = 8  # characters of a secret that is looked for everywhere; shorter ones are words, too
WORDS = r"(?:passw(?:or)?d|passphrase|secret|token(?!s|i[sz])|api_?key|access_?key|private_?key|credential)"
ADDRESS = re.compile(r"[A-Za-z][\w+.-]*://")
SECRET_NAME = re.compile(rf"(?i){WORDS}")
PLACE_NAME = re.compile(r"(?i)_(?:path|file|dir|folder|url|uri|helper|sock|name|type|id)$")
KEYS = (
    r"(?:A[KS]IA[0-9A-Z]{16}|gh[opsur]_[A-Za-z0-9]{30,}|github_pat_\w{20,}|glpat-[\w-]{16,}|hf_[A-Za-z0-9]{20,}"
    r"|sk-[\w-]{20,}|xox[abprs]-[\w-]{10,}|AIza[\w-]{35}|eyJ[\w-]{8,}\.[\w-]{10,}\.[\w-]{10,})"
)
SHAPES = [
    (r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", MARK),
    (r"(?<=://)(?:[^\s/@:'\"<>]*:[^\s/@'\"<>]+|[^\s/@:'\"<>]{20,})@", f"{MARK}@"),
    (rf"(?i)(?<=[?&;,\s'\"(])((?:[\w-]{{0,40}}{WORDS}|pwd|sig|signature)[\w-]{{0,20}}=)[^\s&;'\"<>#]+", rf"\1{MARK}"),
    (r"(?i)(authorization['\"]?\s{0,4}[:=]\s{0,4}['\"]?(?:basic|bearer|token)\s+)[\w+/=.~-]+", rf"\1{MARK}"),
    (rf"(?<![A-Za-z0-9]){KEYS}", MARK),
]  # fmt: skip
ASSIGNMENTS = [
    (rf"(?i)({WORDS}[\w-]{{0,40}}['\"]?\]?\s{{0,4}}[:=]\s{{0,4}})(['\"])[^'\"\n]{{6,}}\2", rf"\1\2{MARK}\2"),
    (rf"(?im)^([+\- ]?[ \t]*(?:export )?['\"]?[\w.-]{{0,60}}{WORDS}[\w-]{{0,40}}['\"]?[ \t]{{0,4}}[:=][ \t]{{0,4}})"
     rf"(?=\S*\d)[^\s'\"(]{{{LEAST},}}[ \t]{{0,4}}$", rf"\1{MARK}"),
]  # fmt: skip


def redacted(text: str, *uris: str) -> str:
    """The text with `***` for every secret: of this process's environment, of these addresses, and by its shape."""
    forms = {form for secret in _secrets(uris) for form in _forms(secret) if len(form) >= LEAST}
    for uri in filter(None, uris):
        text = text.replace(uri, shown(uri))
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, MARK)
    return _without(text, SHAPES)


def redacted_source(text: str) -> str:
    """The same for source code, settings files and diffs of them: also what is assigned to a name like `api_key`."""
    return _without(redacted(text), ASSIGNMENTS)


def holds_secret(text: str) -> bool:
    return redacted(text) != text


def shown(uri: str) -> str:
    """An address without user, password and query."""
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return redacted(uri)
    base, mark, query = rest.partition("?")
    if "@" in query:  # where the password ends cannot be told
        return f"{scheme}://{MARK}"
    _, at, place = base.rpartition("@")
    return f"{scheme}://{MARK * bool(at)}{at}{place}{mark}{MARK * bool(mark)}"


def _without(text: str, shapes: list[tuple[str, str]]) -> str:
    for shape, instead in shapes:
        text = re.sub(shape, instead, text)
    return text


def _secrets(uris: tuple[str, ...]) -> Iterator[str]:
    for name, value in os.environ.items():
        if SECRET_NAME.search(name) and not PLACE_NAME.search(name):
            yield value
        if ADDRESS.match(value):
            yield from _secrets_of(value)
    for uri in uris:
        yield from _secrets_of(uri)


def _secrets_of(uri: str) -> Iterator[str]:
    """Password, or user without one, and what of it an address parser would take for the host, port or path."""
    rest = uri.partition("://")[2]
    before, at, _ = rest.rpartition("@")
    user, colon, password = before.partition(":")
    if at and (colon or "/" not in user):
        yield password if colon else user
        yield before
        yield from re.split(r"[/@?#:]", password)
    for name, value in parse_qsl(rest.partition("?")[2]):
        if SECRET_NAME.search(name):
            yield value


def _forms(secret: str) -> Iterator[str]:
    """Ways in which a secret is written."""
    if len(secret) < LEAST:
        return
    for plain in {secret, unquote(secret)}:
        yield from (plain, quote(plain), quote(plain, safe=""), quote_plus(plain), json.dumps(plain)[1:-1])
        raw = plain.encode(errors="surrogateescape")
        for offset in range(3):  # bytes before it, in what was encoded
            first, end = (8 * offset + 5) // 6, 8 * (offset + len(raw)) // 6
            for others in (b"+/", b"-_"):
                yield b64encode(bytes(offset) + raw, others)[first:end].decode()
