"""What is masked in texts that a model reads, and what must stay as it is."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from punie.logs.credential_stream import CredentialStream
from punie.logs.credentials import (
    BY_SHAPE,
    MASK,
    TRIGGERS,
    Credentials,
    assignments,
    secret_values,
)

KEY = (
    "-----BEGIN RSA PRIVATE KEY-----\n"
    "MIIEpAIBAAKCAQEA0Z3VS5JJcds3xfn/ygWyF8PbnGy0AHB7MhgwMbRvI0MBZhpF\n"
    "jlNc6IyOqPLw0dDzXy3q\n"
    "-----END RSA PRIVATE KEY-----"
)
PGP = (
    "-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: GnuPG v2.0 (GNU/Linux)\n\n"
    "lQOYBFz9Ck4BCADCZx0YQm1qx\n=abcd\n-----END PGP PRIVATE KEY BLOCK-----"
)

# Made up, in the shapes that the providers document; each with the part that must not be left.
SECRETS = [
    ("sk-proj-Ab3dEf6hIj9kLm2nOp5q", "Ab3dEf6hIj9kLm2nOp5q"),
    ("sk-ant-api03-Ab3dEf6hIj9kLm2nOp5q-rStUv", "Ab3dEf6hIj9kLm2nOp5q"),
    ("ghp_Ab3dEf6hIj9kLm2nOp5qRs8tUv1wXy4zAb3d", "Ab3dEf6hIj9k"),
    ("github_pat_11ABCDEFG0Ab3dEf6hIj9k_Lm2nOp5qRs8t", "Lm2nOp5qRs8t"),
    ("glpat-Ab3dEf6hIj9kLm2nOp5q", "Ab3dEf6hIj9k"),
    ("hf_AbCdEfGhIjKlMnOpQrStUvWxYzAbCdEfGh", "AbCdEfGhIjKl"),
    ("npm_Ab3dEf6hIj9kLm2nOp5qRs8tUv1wXy4zAb3d", "Ab3dEf6hIj9k"),
    ("pypi-AgEIcHlwaS5vcmcCJDU2Nzg5YWJjLWRlZi0x", "AgEIcHlwaS5v"),
    ("xoxb-123456789012-Ab3dEf6hIj9kLm2n", "Ab3dEf6hIj9kLm2n"),
    ("AKIAIOSFODNN7ABCDEFG", "IOSFODNN7"),
    ("AIzaSyAb3dEf6hIj9kLm2nOp5qRs8tUv1wXy4zA", "Ab3dEf6hIj9k"),
    ("sk_live_Ab3dEf6hIj9kLm2nOp5qRs8t", "Ab3dEf6hIj9k"),
    ("whsec_Ab3dEf6hIj9kLm2nOp5qRs8t", "Ab3dEf6hIj9k"),
    ("SG.Ab3dEf6hIj9kLm2nOp5q.Rs8tUv1wXy4zAb3dEf6hIj9k", "Rs8tUv1wXy4z"),
    ("hvs.CAESIAb3dEf6hIj9kLm2nOp5q", "Ab3dEf6hIj9k"),
    ("dop_v1_0123456789abcdef0123456789abcdef", "0123456789abcdef"),
    ("shpat_0123456789abcdef0123456789abcdef", "0123456789abcdef"),
    ("AGE-SECRET-KEY-1QQQSYQCYQ5RQWZQFPG9SCRGWPUGPZYSNZ", "QQQSYQCYQ5"),
    ("gsk_Ab3dEf6hIj9kLm2nOp5qRs8t", "Ab3dEf6hIj9k"),
    ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmN", "dozjgNryP4J3"),
    ("postgres://app:Tr0ub4dor&3@db.internal:5432/main", "Tr0ub4dor"),
    ("https://Ab3dEf6hIj9kLm2nOp5qRs8t:x-oauth-basic9@example.org", "Ab3dEf6hIj9k"),
    ("AccountKey=Ab3dEf6hIj9kLm2nOp5qRs8tUv1wXy4z==", "Ab3dEf6hIj9k"),
    ("https://hooks.slack.com/services/T0123ABCD/B0123ABCD/Ab3dEf6hIj9kLm2n", "Ab3dEf6hIj9k"),
    ("Authorization: Bearer abcdef0123456789abcdef", "abcdef0123456789"),
    ('"authorization": "Basic dXNlcjpwYXNzMTIz"', "dXNlcjpwYXNz"),
    (KEY, "MIIEpAIBAAKCAQEA"),
    (KEY.replace("\n", "\\n"), "MIIEpAIBAAKCAQEA"),
    (PGP, "lQOYBFz9Ck4B"),
    ("\n".join(f"{n}:{row}" for n, row in enumerate(KEY.split("\n"), 7)), "jlNc6IyOqPLw"),
    (KEY[:90], "MIIEpAIBAAKC"),
]
AROUND = ["{}", "x = '{}'\n", 'key: "{}",', "({})", "TOKEN={} run", "a\n{}\nb", "<{}>", "`{}`"]


@pytest.mark.parametrize(("secret", "part"), SECRETS)
def test_credentials_are_masked_by_their_shape(secret: str, part: str) -> None:
    for around in AROUND:
        masked = BY_SHAPE.text(around.format(secret))
        assert part not in masked
        assert MASK in masked
        assert BY_SHAPE.text(masked) == masked
        begin, end = around.split("{}")
        assert masked.startswith(begin)
        assert masked.endswith(end) or secret == KEY[:90]


ORDINARY = [
    "token = parser.next_token()",
    "password: str",
    'key = "name"',
    "def login(user: str, password: str = 'hunter2') -> Token:",
    "self.api_key = os.environ['OPENAI_API_KEY']",
    "api_key = config.get('api_key', None)",
    "OPENAI_API_KEY=",
    "SECRET_KEY = 'django-insecure-change-me'",
    'headers = {"Authorization": f"Bearer {token}"}',
    "Authorization: Bearer <token>",
    "Authorization: Bearer YOUR_ACCESS_TOKEN",
    "curl -H 'Authorization: token $GITHUB_TOKEN'",
    "basic functionality of bearer tokens is described below",
    'url = f"postgresql://{user}:{password}@{host}/{name}"',
    "postgres://postgres:postgres@localhost:5432/app",
    "mysql://user:password@localhost/db",
    "redis://:%s@%s:%d",
    "https://$USER:$TOKEN@example.org",
    "amqp://guest:guest@localhost//",
    "http://localhost:8000/a@b",
    "https://example.org:8080/path?x=1@2",
    "git://[path-to-repo[:]][ref@]path/to/file",
    "ssh://git@github.com:22/org/repo.git",
    "sk-learn and sk-learn-contrib-packages are written with a dash",
    "sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "task-550e8400e29b41d4a716446655440000",
    "disk-0123456789abcdef0123456789",
    "from hf_transfer import hf_hub_download_to_cache_directory",
    "pk_url_kwarg = 'slug'",
    "pk_related_field_name_of_model = models.ForeignKey()",
    "npm_config_registry_is_set_by_the_user",
    "pypi-attestations-and-more-of-it",
    "ghp_tokens_begin_with_this_prefix",
    'if text.startswith("-----BEGIN PRIVATE KEY-----"):\n    raise ValueError(text)\n',
    "BEGIN = '-----BEGIN RSA PRIVATE KEY-----'\nEND = '-----END RSA PRIVATE KEY-----'\n",
    "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A\n-----END PUBLIC KEY-----",
    "-----BEGIN CERTIFICATE-----\nMIIDdzCCAl+gAwIBAgIEAgAAuTANBgkq\n-----END CERTIFICATE-----",
    "commit 0f8c2d2e5b7a4d1c9e3f2a1b3c4d5e6f0f8c2d2e",
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "session 0f8c2d2e-5b7a-4d1c-9e3f-2a1b3c4d5e6f",
    "integrity sha512-abcDEF0123456789abcDEF0123456789abcDEF0123456789==",
    "eyJ is how base64 of '{\"' begins",
    "SG.something.else = 1",
    "a ** b, a***b, *** bold italic ***",
    "class Keyboard: AKIA = 1; AIza = 2",
    "git_askpass = '/usr/bin/ssh-askpass'",
    "<svg d='M12 2L2 7l10 5 10-5-10-5z'/>",
]


@pytest.mark.parametrize("line", ORDINARY)
def test_ordinary_code_stays_as_it_is(line: str) -> None:
    assert BY_SHAPE.text(line) == line
    stream = CredentialStream(BY_SHAPE)
    assert "".join([*map(stream.feed, line), stream.flush()]) == line


def test_our_own_sources_stay_as_they_are() -> None:
    import punie

    for path in Path(punie.__file__).parent.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert BY_SHAPE.text(text) == text, path


def test_known_values_are_masked_anywhere() -> None:
    credentials = Credentials(["correct horse", "horse battery staple"])
    text = "a=correct horse;b=correct horse battery staple,horse battery staple"
    assert credentials.text(text) == f"a={MASK};b=correct {MASK},{MASK}"


def test_which_variables_hold_secrets() -> None:
    values = secret_values(
        {
            "DB_PASSWORD": "Tr0ub4dor&3",
            "API_KEY": "abcdefghijklmnopqrstu",
            "SHORT_TOKEN": "abc123",
            "SECRET_KEY": "development",
            "AUTH_TYPE": "BASIC",
            "SSH_AUTH_SOCK": "/run/user/1000/agent",
            "SECRET_FILE": "/etc/passwd",
            "PWD": "/home/somebody/project-1",
            "HOME": "/home/somebody",
            "PRIVATE_KEY": KEY,
            "EDITOR_TOKEN": "  padded-value-1 ",
        }
    )
    assert "Tr0ub4dor&3" in values
    assert "abcdefghijklmnopqrstu" in values
    assert "padded-value-1" in values
    assert KEY in values
    assert "MIIEpAIBAAKCAQEA0Z3VS5JJcds3xfn/ygWyF8PbnGy0AHB7MhgwMbRvI0MBZhpF" in values
    plain = {"abc123", "development", "BASIC", "/etc/passwd", "/run/user/1000/agent"}
    assert not plain & values
    assert not any(value.startswith(("/home", "-----END")) for value in values)


def test_assignments_of_env_files() -> None:
    text = (
        '# a comment\nexport A=1\nB = \'two words\' # why\nC="a \\" b"\nD: plain # no\n'
        "E=\nF=https://x/#frag\n not one\nG='multi\nline'\n"
    )
    assert dict(assignments(text)) == {
        "A": "1",
        "B": "two words",
        "C": 'a \\" b',
        "D": "plain",
        "F": "https://x/#frag",
        "G": "multi\nline",
    }


def test_values_of_all_json_kinds() -> None:
    credentials = Credentials(["Tr0ub4dor&3"])
    value: Any = {"a": ["Tr0ub4dor&3", 1, None, True, {"Tr0ub4dor&3": ("x", 2.5)}]}
    masked = credentials.value(value)
    assert masked == {"a": [MASK, 1, None, True, {MASK: ["x", 2.5]}]}
    json.dumps(masked)


@pytest.mark.parametrize(
    "unit",
    [
        *("-----BEGIN PRIVATE KEY-----MIIEMIIE", "-----BEGIN ", "-", "://", "://a:b", "://a:b@"),
        *("sk-", "sk-ant-", "eyJ", "_eyJ", "eyJaaaaaaaa.", "eyJaaaaaaaa.eyJaaaa"),
        *("SG.", "SG.aaaaaaaaaaaaaaaaa", "xoxb-", "ghp_A1", "AccountKey=", "Aaaa: b\n"),
        *("authorization: ", "a", " ", '"'),
        *("-----BEGIN PRIVATE KEY-----" + '"' * 39, "-----BEGIN A ", "hooks.slack.com/services/"),
    ],
)  # fmt: skip
def test_a_megabyte_of_anything_takes_linear_steps(unit: str) -> None:
    # Were one of the patterns quadratic, this would take minutes.
    for text in (unit * (1_000_000 // len(unit)), "://" + unit * (200_000 // len(unit))):
        BY_SHAPE.text(text)


WORDS = st.sampled_from(
    [secret for secret, _ in SECRETS] + ORDINARY + ["word", "...", "two words", "horse stable!"]
)
VALUES = Credentials(["horse stable!", "pass ghp_ phrase 1"])


@given(
    st.lists(st.tuples(WORDS, st.sampled_from([" ", "\n", "\t", " - ", "\n\n"])), max_size=5),
    st.lists(st.integers(1, 40), min_size=1, max_size=20),
)
@settings(max_examples=150)
def test_pieces_are_masked_as_the_whole_is(words: list[tuple[str, str]], sizes: list[int]) -> None:
    text = "".join(word + gap for word, gap in words)
    stream = CredentialStream(VALUES)
    shown, at = "", 0
    for size in itertools.cycle(sizes):
        if at >= len(text):
            break
        shown += stream.feed(text[at : at + size])
        at += size
    assert shown + stream.flush() == VALUES.text(text)


@given(st.data())
@settings(max_examples=100)
def test_no_split_lets_a_secret_through(data: st.DataObject) -> None:
    secret, part = data.draw(st.sampled_from([*SECRETS, ("horse stable!", "horse stable!")]))
    before = data.draw(st.text(alphabet="ab-_ \n:/=.\"'", max_size=12)) + " "
    text = f"{before}{secret}\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    stream = CredentialStream(VALUES)
    pieces = [text[a:b] for a, b in itertools.pairwise([0, *cuts, len(text)])]
    shown = "".join([*map(stream.feed, pieces), stream.flush()])
    assert part not in shown
    assert MASK in shown


def test_plain_output_is_shown_at_once() -> None:
    stream = CredentialStream(VALUES)
    assert stream.feed("....F..") == "....F.."
    assert stream.feed(" 12 passed ") == " 12 passed "
    assert stream.feed("-----BEGIN PRIVATE KEY-----\n" + "= " * 200) != ""


def test_what_is_held_back_has_an_end() -> None:
    stream = CredentialStream(BY_SHAPE)
    shown = (
        stream.feed("ok ")
        + stream.feed("ghp_")
        + "".join(stream.feed("A1" * 500) for _ in range(100))
    )
    assert shown == f"ok {MASK}"
    assert stream.feed("more") == ""
    assert stream.flush() == ""


def test_every_shape_has_its_trigger() -> None:
    for secret, _ in SECRETS:
        shape = secret.lower().startswith(("-----begin", "authorization", '"authorization', "7:-"))
        assert shape or any(trigger in secret for trigger in TRIGGERS)
