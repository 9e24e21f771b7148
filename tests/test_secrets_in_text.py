"""No secret is kept with a diff: the kinds that people have in command lines, settings and code."""

import random
import string

import pytest

from harness import secrets_in_text
from harness.config.study_file import parse_study_file
from harness.errors import UsageError
from harness.secrets_in_text import LEFT_OUT, lines_without_secrets

RANDOM = random.Random(7)
HEX = "0123456789abcdef"


def drawn(count: int, alphabet: str = string.ascii_letters + string.digits) -> str:
    """Random characters, with a digit among them."""
    return "".join(RANDOM.choices(alphabet, k=count - 1)) + "7"


def kinds() -> dict[str, tuple[str, str]]:
    """Of each kind a text, and the part of it that is secret."""
    short, phrase = drawn(12), "correct-horse-battery-staple"
    upper = string.ascii_uppercase + string.digits
    forms = {
        "AWS key id": ("aws_access_key_id = AKIA{}", drawn(16, upper)),
        "AWS secret": ("aws_secret_access_key = {}", drawn(40)),
        "AWS session": ("export AWS_SESSION_TOKEN=IQoJ{}", drawn(80)),
        "GitHub": ("token: ghp_{}", drawn(36)),
        "GitHub fine-grained": ("GH = 'github_pat_{}'", drawn(82)),
        "GitLab in an address": ("git clone https://oauth2:glpat-{}@gitlab.example.com/a.git", drawn(20)),
        "Hugging Face": ('login(token="hf_{}")', drawn(34)),
        "OpenAI": ("OPENAI_API_KEY=sk-proj-{}", drawn(40)),
        "Anthropic": ("key = 'sk-ant-api03-{}'", drawn(40)),
        "Slack": ("SLACK = xoxb-{}", drawn(40)),
        "Slack webhook": ("url: https://hooks.slack.com/services/T02ABCDEF/B03GHIJKL/{}", drawn(24)),
        "Discord": ("bot.run('MTk4NjIyNDgzNDcxOTI1MjQ4.Cl2FMQ.{}')", drawn(27)),
        "Telegram": ("telegram = 110201543:AA{}", drawn(33)),
        "Google": ("maps = 'AIza{}'", drawn(35)),
        "Google OAuth": ("client_secret: GOCSPX-{}", drawn(28)),
        "service account": ('"private_key": "-----BEGIN PRIVATE KEY-----\\n{}\\n-----END PRIVATE KEY-----"', drawn(60)),
        "Stripe": ("stripe.api_key = 'sk_live_{}'", drawn(24)),
        "Twilio": ("TWILIO = SK{}", drawn(32, HEX)),
        "SendGrid": ("mail(SG.{}", f"{drawn(22)}.{drawn(43)}"),
        "Mailchimp": ("mc = {}-us12", drawn(32, HEX)),
        "Mailgun": ("mailgun: key-{}", drawn(32)),
        "npm": ("//packages.example.com/:_authToken=npm_{}", drawn(36)),
        "PyPI": ("password = pypi-AgEIcHlwaS5vcmc{}", drawn(60)),
        "docker login": ("docker login -u me -p {} registry.example.com", short),
        "curl -u": ("curl -u admin:{} https://api.example.com", short),
        "bearer": ("curl -H 'Authorization: Bearer {}' https://api.example.com", drawn(28)),
        "mysql -p": ("mysql -h db -u root -p{} shop", short),
        "PostgreSQL address": ("psql postgresql://me:{}@db.example.com/shop", short),
        "Redis address": ("redis-cli -u redis://default:{}@cache:6379", short),
        "MongoDB address": ("mongodb+srv://me:{}@cluster0.mongodb.net/test", short),
        "PGPASSWORD": ("PGPASSWORD={} pg_dump shop", short),
        "sshpass": ("sshpass -p '{}' ssh me@host", short),
        "W&B": ("wandb login {}", drawn(40, HEX)),
        "Kaggle": ('{{"username": "me", "key": "{}"}}', drawn(32, HEX)),
        "Azure storage": ("AccountKey={}==;", drawn(86)),
        "Azure SAS": ("https://acc.blob.core.windows.net/c/b?sv=2022-11-02&sr=b&sig={}%3D", drawn(42)),
        "JWT": ("eyJhbGciOiJIUzI1NiJ9.{}", f"eyJ{drawn(30)}.{drawn(43)}"),
        "netrc": ("machine api.example.com login me password {}", short),
        "SSH key": ("-----BEGIN OPENSSH PRIVATE KEY-----\n+{}\n+-----END OPENSSH PRIVATE KEY-----", drawn(70)),
        "Databricks": ("token: dapi{}", drawn(32, HEX)),
        "DigitalOcean": ("do = dop_v1_{}", drawn(64, HEX)),
        "Django": ("SECRET_KEY = 'django-insecure-{}'", f"3k$!x9v@{drawn(20)}"),
        "YAML password": ("password: {}", phrase),
        "--password": ("tool --password {} --depth 18", phrase),
        "--api-token": ("tool --api-token={}", phrase),
        "Comet": ("Experiment(api_key='{}')", drawn(25)),
    }  # fmt: skip
    return {kind: (form.format(secret), secret) for kind, (form, secret) in forms.items()}


KINDS = kinds()


def test_no_secret_of_any_kind_is_left_in_a_diff():
    assert len(KINDS) >= 40
    diff = "\n".join(
        ["diff --git a/run.sh b/run.sh", "@@ -1 +1 @@", *(f"+{text}" for text, _ in KINDS.values())]
    )
    kept = lines_without_secrets(diff)
    assert [kind for kind, (_, secret) in KINDS.items() if secret in kept] == []


def test_what_holds_no_secret_is_left_as_it_is():
    diff = """diff --git a/models/mine.py b/models/mine.py
index 3b18e512dba79e4c8300dd08aeb37f8e728b8dad..94954abda49de8615a048f8d2e64b5de848e27a1 100644
--- a/models/mine.py
+++ b/models/mine.py
@@ -1,4 +1,4 @@ def build(in_channels, image_size, num_classes, *, width: int = 16):
-    return resnet(depth=18, width=width, dropout=0.1)
+    return resnet(depth=34, width=2 * width, dropout=0.25)
 learning_rate = 3.2e-4
+words = text.split()
"""
    assert lines_without_secrets(diff) == diff


def test_a_line_that_is_left_out_keeps_its_place_and_sign():
    assert (
        lines_without_secrets("+a = 1\n-wandb login abcdefghijklmnopq\n+b = 2")
        == f"+a = 1\n-{LEFT_OUT}\n+b = 2"
    )


def test_without_the_scanner_a_diff_is_refused(monkeypatch):
    monkeypatch.setattr(secrets_in_text, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'harness-cv\[diff\]'"):
        lines_without_secrets("+a")


def test_a_study_says_what_is_kept_and_it_is_no_part_of_its_definition():
    text = "data: {name: digits}\nmodel: {name: resnet}\n"
    plain, whole = (
        parse_study_file((text + more).encode(), (), name="a", source="a")
        for more in ("", "provenance: diff\n")
    )
    assert (plain.provenance, whole.provenance) == ("hashes", "diff")
    assert plain.definition_hash() == whole.definition_hash()
