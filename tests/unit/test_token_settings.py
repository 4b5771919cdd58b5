# SPDX-License-Identifier: MIT
"""Settings of tokens: what is refused at the start, and what only looks wrong."""

import secrets

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from service.bootstrap.settings import Settings, TokenSettings, WrongSettings, load
from service.bootstrap.token_settings import find_doubts
from tests.http.issuer import an_es256_key

SECRET = secrets.token_hex(32)
DATABASE_URL = "postgresql://api@db.example.com/training"
KEY = an_es256_key("autumn")
PRIVATE_PEM = KEY.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
ANON_KEY = jwt.encode({"role": "anon", "ref": "abc"}, SECRET, "HS256")
SUPABASE = "https://abc.supabase.co/auth/v1"
KEYS = f"{SUPABASE}/.well-known/jwks.json"

WHITE_SPACE, QUOTES = "begins or ends with white space", "stands in quotes"
NO_SECRET, NO_KEY = "a token or an API key", "a public or private key"

WRONG_SECRETS = {
    "newline": (SECRET + "\n", WHITE_SPACE),
    "carriage return": (SECRET + "\r\n", WHITE_SPACE),
    "space before": (" " + SECRET, WHITE_SPACE),
    "tab": (SECRET + "\t", WHITE_SPACE),
    "no-break space": (SECRET + "\u00a0", WHITE_SPACE),
    "zero width space": (SECRET + "\u200b", WHITE_SPACE),
    "byte order mark": ("\ufeff" + SECRET, WHITE_SPACE),
    "double quotes": (f'"{SECRET}"', QUOTES),
    "single quotes": (f"'{SECRET}'", QUOTES),
    "anon key": (ANON_KEY, NO_SECRET),
    "anon key and newline": (ANON_KEY + "\n", NO_SECRET),
    "secret key": ("sb_secret_" + SECRET, NO_SECRET),
    "publishable key": ("sb_publishable_" + SECRET, NO_SECRET),
    "public key": (KEY.public_pem.decode(), NO_KEY),
    "private key": (PRIVATE_PEM, NO_KEY),
    "private key without newline": (PRIVATE_PEM.strip(), NO_KEY),
    "JWK": ('{"kty": "oct", "k": "' + SECRET + '"}', NO_KEY),
    "31 bytes": (SECRET[:31], "at least 32 bytes"),
    "31 bytes in 30 characters": (SECRET[:29] + "é", "at least 32 bytes"),
    "not UTF-8": (SECRET + "\udcff" + SECRET, "not text in UTF-8"),
}


@pytest.mark.parametrize(("secret", "why"), WRONG_SECRETS.values(), ids=WRONG_SECRETS)
def test_refuses_a_secret_that_cannot_be_the_issuers(
    monkeypatch: pytest.MonkeyPatch, secret: str, why: str
) -> None:
    monkeypatch.setenv("SERVICE_JWT_SECRET", secret)

    with pytest.raises(WrongSettings, match="SERVICE_JWT_SECRET is wrong") as refused:
        load(TokenSettings)

    sentence = str(refused.value)
    assert why in sentence
    assert not [
        part for part in (SECRET[:20], ANON_KEY[:20], "PRIVATE", "dcff") if part in sentence
    ]


@pytest.mark.parametrize(
    "secret",
    [
        SECRET,
        SECRET[:32],
        "a secret with spaces within, that is long enough",
        "'" + SECRET,
        "eyJ" + SECRET,
        "ü" * 16,
        "1" * 32,
        "ab+/" * 21 + "ab==",
    ],
    ids=[
        "hex",
        "shortest",
        "spaces within",
        "quote",
        "like a token",
        "umlauts",
        "digits",
        "base64",
    ],
)
def test_takes_a_secret_as_it_is(monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    monkeypatch.setenv("SERVICE_JWT_SECRET", secret)

    taken = load(TokenSettings).jwt_secret

    assert taken is not None
    assert taken.get_secret_value() == secret


@given(st.text(st.characters(codec=None, exclude_characters="\0"), min_size=1, max_size=80))
def test_no_complaint_quotes_the_secret(secret: str) -> None:
    marked = f"whistle{secret}whistle"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.environ", {"SERVICE_JWT_SECRET": marked})
        try:
            load(TokenSettings)
        except WrongSettings as refused:
            assert "whistle" not in str(refused)  # noqa: PT017  many secrets are right


@pytest.mark.parametrize("name", ["JWT_ISSUER", "JWT_AUDIENCE"])
@pytest.mark.parametrize(
    ("form", "why"),
    [("{}\n", WHITE_SPACE), (" {}", WHITE_SPACE), ("{}\u200b", WHITE_SPACE), ('"{}"', QUOTES)],
)
def test_refuses_an_issuer_or_audience_with_something_around_it(
    monkeypatch: pytest.MonkeyPatch, name: str, form: str, why: str
) -> None:
    monkeypatch.setenv(f"SERVICE_{name}", form.format(SUPABASE))

    with pytest.raises(WrongSettings, match=f"SERVICE_{name} is wrong: it {why}"):
        load(TokenSettings)


def test_a_key_set_url_is_taken_without_the_newline_of_its_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SERVICE_DATABASE_URL", DATABASE_URL)
    monkeypatch.setenv("SERVICE_JWKS_URL", KEYS + "\n")

    url = load(Settings).jwks_url

    assert url is not None
    assert url.get_secret_value() == KEYS


OTHER = "https://xyz.supabase.co/auth/v1"
DOUBTS = {
    "slash": ({"issuer": SUPABASE + "/"}, {"SERVICE_JWT_ISSUER": "ends with a slash"}),
    "slash and keys": (
        {"issuer": SUPABASE + "/", "jwks_url": KEYS},
        {"SERVICE_JWT_ISSUER": "ends with a slash"},
    ),
    "keys of another project": (
        {"issuer": OTHER, "jwks_url": KEYS},
        {"SERVICE_JWKS_URL": "not below SERVICE_JWT_ISSUER"},
    ),
    "issuer without its path": (
        {"issuer": "https://abc.supabase.co", "jwks_url": KEYS},
        {"SERVICE_JWKS_URL": "not below SERVICE_JWT_ISSUER"},
    ),
    "keys at another path": (
        {"issuer": SUPABASE, "jwks_url": f"{SUPABASE}/jwks"},
        {"SERVICE_JWKS_URL": "has the path /auth/v1/.well-known/jwks.json"},
    ),
    "keys without their path": (
        {"jwks_url": "https://abc.supabase.co/.well-known/jwks.json"},
        {"SERVICE_JWKS_URL": "has the path /auth/v1/.well-known/jwks.json"},
    ),
    "keys with a slash": (
        {"jwks_url": KEYS + "/"},
        {"SERVICE_JWKS_URL": "has the path /auth/v1/.well-known/jwks.json"},
    ),
    "keys of another server": (
        {"issuer": "https://id.example/realms/gym", "jwks_url": "https://keys.example/certs"},
        {"SERVICE_JWKS_URL": "not below SERVICE_JWT_ISSUER"},
    ),
    "name that begins alike": (
        {"issuer": "https://id.example/gym", "jwks_url": "https://id.example/gym2/certs"},
        {"SERVICE_JWKS_URL": "not below SERVICE_JWT_ISSUER"},
    ),
    "audience": (
        {"issuer": SUPABASE, "audience": "xyz"},
        {"SERVICE_JWT_AUDIENCE": "is authenticated"},
    ),
}
NO_DOUBTS = {
    "none": {},
    "Supabase": {"issuer": SUPABASE, "jwks_url": KEYS},
    "keys alone": {"jwks_url": KEYS},
    "with a login": {"issuer": SUPABASE, "jwks_url": KEYS.replace("//", "//me:secret@")},
    "own domain": {
        "issuer": "https://db.gym.example/auth/v1",
        "jwks_url": "https://db.gym.example/auth/v1/.well-known/jwks.json",
    },
    "Keycloak": {
        "issuer": "https://id.example/realms/gym",
        "jwks_url": "https://id.example/realms/gym/protocol/openid-connect/certs",
        "audience": "gym",
    },
}


def found(given: dict[str, str]) -> dict[str, str]:
    settings: dict[str, str | None] = {"issuer": None, "jwks_url": None}
    return find_doubts(**{"audience": "authenticated"} | settings | given)  # type: ignore[arg-type]  # strings


@pytest.mark.parametrize(("given", "doubts"), DOUBTS.values(), ids=DOUBTS)
def test_doubts_settings_with_which_all_tokens_may_be_refused(
    given: dict[str, str], doubts: dict[str, str]
) -> None:
    sentences = found(given)

    assert sentences.keys() == doubts.keys()
    assert all(doubts[name] in sentence for name, sentence in sentences.items())


@pytest.mark.parametrize("given", NO_DOUBTS.values(), ids=NO_DOUBTS)
def test_doubts_nothing_that_is_usual(given: dict[str, str]) -> None:
    assert found(given) == {}
