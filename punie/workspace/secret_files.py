"""Which files hold secrets, told by their names alone: nothing is opened to find out."""

import re
import unicodedata
from pathlib import PurePath

# Names and folders are compared without case, as many disks do, and in the form in which letters
# that only look different are the same.
_NAMES = frozenset(
    {
        *(".netrc", "_netrc", ".pypirc", ".npmrc", ".yarnrc.yml", ".git-credentials", ".envrc"),
        *(".pgpass", ".my.cnf", ".mylogin.cnf", ".htpasswd", ".dockercfg", ".boto", ".s3cfg"),
        *(".vault-token", ".vault_pass", ".vault-password", "kubeconfig", "auth.json"),
        *("application_default_credentials.json", "terraform.tfstate", "terraform.tfstate.backup"),
        *(
            f"{name}.{kind}"
            for name in ("credentials", "secrets", "secret")
            for kind in ("json", "toml", "yaml", "yml", "ini")
        ),
    }
)
_FOLDERS = frozenset({".ssh", ".gnupg", ".aws", ".azure", ".kube", ".password-store", ".mozilla"})
_IN_FOLDERS = frozenset(
    {
        *((".docker", "config.json"), ("gcloud", "credentials.db"), ("gcloud", "access_tokens.db")),
        *(("gh", "hosts.yml"), ("git", "credentials"), ("huggingface", "token")),
        (".config", "hub"),
    }
)
_SUFFIXES = re.compile(
    r".+\.(?:pem|key|keyring|p12|pfx|jks|keystore|kdbx?|ppk|asc\.key|tfvars(?:\.json)?|pkcs12|p8|env)"
)
_KEYS = re.compile(r"id_(?:rsa|dsa|ecdsa|ed25519|xmss)(?:[_.-].*)?")
_ENV = re.compile(r"\.env(?:[._-].*|\d*)|env\.(?:local|prod(?:uction)?|dev(?:elopment)?|staging)")
_CLIENT_SECRETS = re.compile(r"(?:client_secret|service[-_]account)[\w.-]*\.json")

_PATTERNS = (_SUFFIXES, _KEYS, _ENV, _CLIENT_SECRETS)
_NOT_SECRET = re.compile(
    r".*[._-](?:example|sample|template|tmpl|dist|defaults?|schema|pub|py|md)"
    r"|(?:example|sample|template)[._-].*|(?:process|meta|import\.meta)\.env"
)


def is_secret_name(name: str) -> bool:
    """Tell whether a file of this name, without folders, is likely to hold secrets."""
    plain = unicodedata.normalize("NFKC", name).casefold().strip()
    if _NOT_SECRET.fullmatch(plain):
        return False
    return plain in _NAMES or any(pattern.fullmatch(plain) for pattern in _PATTERNS)


def is_secret_path(path: PurePath | str) -> bool:
    """Tell whether the file at a path is likely to hold secrets, by its name and its folders."""
    parts = PurePath(path).parts
    if not parts:
        return False
    if is_secret_name(parts[-1]):
        return True
    plain = [part.casefold() for part in parts]
    if not _FOLDERS.isdisjoint(plain):
        return not plain[-1].endswith((".pub", "known_hosts"))
    return len(plain) > 1 and (plain[-2], plain[-1]) in _IN_FOLDERS
