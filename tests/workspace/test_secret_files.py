import pytest

from punie.workspace.secret_files import is_secret_path


@pytest.mark.parametrize(
    "path",
    [
        *(".env", ".ENV", ".env.local", ".env.production", ".env-prod", ".env_backup", ".env2"),
        *("app/.env", "/abs/.Env.Local", "prod.env", "docker/web.env", ".envrc", "env.production"),
        *("server.pem", "tls.KEY", "a/b/cert.p12", "store.jks", "x.pfx", "vault.kdbx", "k.ppk"),
        *("id_rsa", "id_ed25519", "id_ecdsa_sk", "id_rsa.old", "keys/id_ed25519-work"),
        *(".netrc", "_netrc", ".pypirc", ".npmrc", ".git-credentials", ".pgpass", ".htpasswd"),
        *("credentials.json", "Credentials.JSON", "kubeconfig", "terraform.tfvars"),
        *("prod.auto.tfvars", "terraform.tfstate", "x.tfvars.json", "secrets.toml", "secret.yml"),
        *("client_secret_1234.apps.json", "service-account-prod.json", "auth.json"),
        *(".ssh/config", "x/.aws/credentials", ".kube/config", ".docker/config.json", ".gnupg/x"),
        *(".config/gh/hosts.yml", "~/.config/git/credentials", ".cache/huggingface/token"),
        *(".config/hub", "gcloud/access_tokens.db", ".mozilla/x", "keyrings/login.keyring"),
        *("．env", ".ｅｎｖ", ".env/", ".env/.", "./.env"),
    ],
)  # fmt: skip
def test_names_of_secret_files(path: str) -> None:
    assert is_secret_path(path)


@pytest.mark.parametrize(
    "path",
    [
        *(".env.example", ".env.sample", ".env.template", ".env.dist", "example.env", ".ENV.DIST"),
        *("environment.py", "env.py", "envs/a.py", ".environment", "process.env", "meta.env"),
        *("id_rsa.pub", ".ssh/id_ed25519.pub", "id_mapping.py", "id_generator.ts", "idle"),
        *("keys.py", "key", ".key", ".pem", "monkey", "pem.md", "keyboard.json", "package.json"),
        *("credentials.py", "secrets.py", "test_secrets.py", "tokens.json", "docs/secrets.md"),
        *("terraform.tf", "main.tf", ".gitignore", "README.md", "", ".", "/", "src", ".ssh/x.pub"),
        *("hosts.yml", "git/config", "huggingface/token.py", "keyrings/alt.py", "hub"),
        *("service_account.py", "a.envelope", "oauth.json", "config.json", "docker/config.json"),
    ],
)  # fmt: skip
def test_names_of_other_files(path: str) -> None:
    assert not is_secret_path(path)
