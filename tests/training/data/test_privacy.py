import json
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from punie.logs.credentials import MASK
from punie.training.data.privacy import Privacy, file_secrets, privacy_of, project_secrets
from tests.logs.test_credentials import AROUND, SECRETS

LETTERS = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ"
RANDOM = st.text(LETTERS + "23456789", min_size=20, max_size=40).filter(
    lambda text: any(map(str.isdigit, text[:10])) and not text.isdigit() and not text.islower()
)
NAMES = st.sampled_from(
    ["password", "API_KEY", "db_password", "clientSecret", "access_token", "AWS_SECRET_ACCESS_KEY"]
)
SHAPES = st.sampled_from(
    [
        '{name} = "{secret}"',
        "{name}='{secret}'",
        '{{"{name}": "{secret}"}}',
        "{name}: {secret}",
        "export {name}={secret}",
        "run --{name} {secret} now",
        "run --{name}={secret}",
        "def login({name}='{secret}'):",
        'f({name}=b"{secret}")',
    ]
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
PLAIN = Privacy()


@given(NAMES, RANDOM, SHAPES, TEXTS, TEXTS)
def test_what_stands_behind_a_telling_name_does_not_come_out(
    name: str, secret: str, shape: str, before: str, after: str
) -> None:
    planted = f"{before}\n{shape.format(name=name, secret=secret)}\n{after}"
    privacy = PLAIN.knowing([planted])
    masked = privacy.text(f"{planted}\nand {secret}")
    assert secret not in masked
    assert PLAIN.has_secret({"messages": [planted]})
    assert not privacy.has_secret(masked)


@given(RANDOM, st.sampled_from(["https://app:{}@example.org/", "Authorization: Bearer {}"]), TEXTS)
def test_passwords_in_addresses_and_headers_do_not_come_out(
    secret: str, shape: str, text: str
) -> None:
    assume(secret not in text)
    assert secret not in PLAIN.text(f"{text}\n{shape.format(secret)}\n{text}")


@given(st.sampled_from(SECRETS), st.sampled_from(AROUND), TEXTS)
def test_what_has_the_shape_of_a_credential_does_not_come_out(
    secret: tuple[str, str], around: str, text: str
) -> None:
    whole, part = secret
    planted = f"{text}\n{around.format(whole)}\n{text}"
    value = {"content": planted, "arguments": {"deep": [planted]}}
    assert part not in json.dumps(PLAIN.value(value))


@given(st.lists(RANDOM, min_size=1, max_size=4, unique=True), TEXTS)
def test_values_of_secret_files_do_not_come_out(secrets: list[str], text: str) -> None:
    files = (
        "\n".join(f"NAME_{number}={secret}" for number, secret in enumerate(secrets)),
        json.dumps({"users": [{"any": secret} for secret in secrets]}),
        "\n".join(f"machine x login y anything {secret}" for secret in secrets),
        "\n".join(f"  any: '{secret}'" for secret in secrets),
    )
    for file in files:
        privacy = Privacy(file_secrets(file))
        for secret in secrets:
            assert secret not in privacy.text(f"{text} {secret}{text}")


@pytest.mark.parametrize(
    "text",
    [
        "token = parser.next_token()",
        "password: str",
        'key = "name"',
        "def login(user: str, password: str) -> Token:",
        "self.api_key = os.environ['OPENAI_API_KEY']",
        "password = get_password(user)",
        "token = settings.api_token_2",
        "access_token = response.json()['access_token']",
        "password='password'",
        'token = "identifier"',
        'password = f"{first}{second}"',
        "secret = load_secret_2(path)",
        "sort_key: length2_first",
        "/home is where users are",
        "https://example.org/home/page1",
    ],
)
def test_code_stays_as_it_is(text: str) -> None:
    assert PLAIN.text(text) == text


def test_who_the_user_is_is_masked_in_paths() -> None:
    privacy = Privacy(homes=[Path("/data/people/alice"), Path("/home/bob")], users=["alice", "me"])
    for text, masked in {
        "/home/carol/x.py": "/home/user/x.py",
        "cd /Users/carol": "cd /Users/user",
        "file:///home/carol/x": "file:///home/user/x",
        r"C:\Users\carol\x": r"C:\Users\user\x",
        r"c:\\Users\\carol\\x": r"c:\\Users\\user\\x",
        "/data/people/alice/x": "/home/user/x",
        "/data/people/alice2/x": "/data/people/alice2/x",
        "/tmp/pytest-of-alice/pytest-1": "/tmp/pytest-of-user/pytest-1",
        "alice@host:~/x": "user@host:~/x",
        "alice said /tmp/malice": "alice said /tmp/malice",
        "/srv/me/x": "/srv/me/x",  # too short a name to be told from a word
    }.items():
        assert privacy.text(text) == masked
        assert privacy.text(masked) == masked


def test_secrets_of_a_project_are_found_in_all_its_secret_files(tmp_path: Path) -> None:
    (tmp_path / "deploy").mkdir()
    (tmp_path / ".env").write_text("A_NAME=Zq8vT2mXw4\nPORT=8000\nMODE=development\n")
    (tmp_path / "deploy" / "secrets.json").write_text('{"a": {"b": "correct horse battery"}}')
    (tmp_path / "deploy" / "id_rsa").write_text(
        "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\n"
    )
    (tmp_path / "app.py").write_text("A = 'Rb5kP9sLd1'\n")
    (tmp_path / ".env.example").write_text("A_NAME=Xy7wQ3nVb8\n")
    found = project_secrets(tmp_path)
    assert {"Zq8vT2mXw4", "correct horse battery", "b3BlbnNzaC1rZXktdjEAAAAA"} <= found
    assert not found & {"Rb5kP9sLd1", "Xy7wQ3nVb8", "8000", "development"}
    privacy = privacy_of([tmp_path], {"MY_TOKEN": "Ws6jF4hKc2"})
    assert privacy.text("Zq8vT2mXw4 Ws6jF4hKc2 Rb5kP9sLd1") == f"{MASK} {MASK} Rb5kP9sLd1"
