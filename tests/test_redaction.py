"""Secrets are taken out of text in every form they are written in; ordinary text stays as it is."""

import base64
import time
from urllib.parse import quote

import pytest

from harness.redaction import holds_secret, redacted, redacted_source, shown

SECRET = "canary/42+x yz@Ω"


@pytest.fixture(autouse=True)
def _a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SECRET", SECRET)


@pytest.mark.parametrize("before", ["", "a", "ab", "me:"])
def test_a_secret_of_the_environment_goes_in_every_form(before: str) -> None:
    raw = (before + SECRET).encode()
    forms = [SECRET, quote(SECRET), quote(SECRET, safe=""), *map(bytes.decode, map(base64.b64encode, [raw]))]
    forms.append(base64.urlsafe_b64encode(raw).decode())
    for form in forms:
        assert "***" in redacted(f"it failed: {form}.") and form not in redacted(f"it failed: {form}.")


@pytest.mark.parametrize(
    "uri",
    [
        "http://me:canary-1@127.0.0.1:5000/a",
        "http://me:canary/1@127.0.0.1:5000/a",
        "http://me:canary-1@x@127.0.0.1:5000/a",
        "postgresql://db.example/x?user=me&password=canary-1&sslmode=require",
        "https://canary-1-token-as-a-user-name@127.0.0.1/a",
        "http://me:ca?nary-1@127.0.0.1/a",
    ],
)
def test_an_address_is_shown_without_user_password_and_query(uri: str) -> None:
    for text in (shown(uri), redacted(f"API request to {uri} failed", uri)):
        assert "canary" not in text and "nary-1" not in text and "***" in text
        assert "?nary" in uri or "/a" in text or "db.example/x" in text


@pytest.mark.parametrize(
    "uri", ["sqlite:////home/ada/mlruns/mlflow.db", "http://127.0.0.1:5000", "mlruns", ""]
)
def test_an_address_without_secrets_is_shown_as_it_is(uri: str) -> None:
    assert shown(uri) == uri == redacted(uri, uri)


@pytest.mark.parametrize(
    "secret",
    ["AKIA" + "A1" * 8, "ghp_" + "a1" * 18, "hf_" + "aB" * 17, "sk-" + "a1" * 12, "glpat-" + "a1" * 10,
     "github_pat_" + "a1" * 20, "xoxb-1234567890-abc", "eyJhbGciOiJI.eyJzdWIiOiIx.SflKxwRJSMeKK"],
)  # fmt: skip
def test_keys_are_known_by_their_shape(secret: str) -> None:
    assert redacted(f"with {secret}: no") == "with ***: no"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('+api_key = "canary-1"', '+api_key = "***"'),
        ("+AWS_SECRET_ACCESS_KEY=canary-1/x", "+AWS_SECRET_ACCESS_KEY=***"),
        ("+  password: canary-1", "+  password: ***"),
        ('-os.environ["HF_TOKEN"] = "canary-1"', '-os.environ["HF_TOKEN"] = "***"'),
        ('+{"client_secret": "canary-1"}', '+{"client_secret": "***"}'),
        ("+-----BEGIN RSA PRIVATE KEY-----\n+canary-1\n+-----END RSA PRIVATE KEY-----\n", "+***\n"),
        ("+url = https://me:canary-1@example.org/x.git", "+url = https://***@example.org/x.git"),
        ("+curl -H 'Authorization: Bearer canary-1'", "+curl -H 'Authorization: Bearer ***'"),
    ],
)
def test_what_a_diff_assigns_to_a_secret_name_goes(line: str, expected: str) -> None:
    assert redacted_source(line) == expected


@pytest.mark.parametrize(
    "text",
    [
        "+token = tokenizer(image)", "+    token: TokenType", "+num_tokens = 12345678", "+class_token: true",
        "see https://example.org/a?b=c and git@example.org:a/b.git", "task-" + "a" * 30, "a.b@example.org",
        "Basic augmentations", "ValueError: token 12 is out of range", "secret = load_secret()",
    ],
)  # fmt: skip
def test_ordinary_text_stays(text: str) -> None:
    assert redacted_source(text) == text and not holds_secret(text)


def test_short_values_and_places_are_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "harness")
    monkeypatch.setenv("HF_TOKEN_PATH", "/home/ada/.token")
    assert redacted("harness: /home/ada/.token") == "harness: /home/ada/.token"


@pytest.mark.parametrize(
    "part", ["a", "\n", " ", "token ", "?password_", "password_", "x://", "-----BEGIN PRIVATE "]
)
def test_no_text_takes_long(part: str) -> None:
    text = part * (300_000 // len(part))
    start = time.process_time()
    redacted_source(text)
    assert time.process_time() - start < 2
