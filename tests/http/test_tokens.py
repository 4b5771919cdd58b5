# SPDX-License-Identifier: MIT
"""Authentication: good tokens are accepted, and every bad token that we know is refused."""

import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from service.domain.session import Session
from service.http.auth import TOKEN_MAX_LENGTH
from tests.builders import SECRET, a_token, bearer, claims_of
from tests.conftest import StartApp
from tests.http.issuer import SigningKey, an_es256_key, an_issuer, an_rs256_key
from tests.running import App, Cluster, TestDatabase, a_database, running_app, test_settings

ISSUER = "https://abc.supabase.co/auth/v1"
USER = uuid4()

NO_TOKEN = ('Bearer realm="training-sessions"', "An access token is required.")
BAD_TOKEN = (
    'Bearer realm="training-sessions", error="invalid_token"',
    "The access token is not valid.",
)

EC_KEY = an_es256_key("autumn")
RSA_KEY = an_rs256_key("autumn-rsa")
IMPOSTOR = an_es256_key("autumn")
STRANGER = an_es256_key("unknown")

HS256 = {"alg": "HS256", "typ": "JWT"}
ES256 = {"alg": "ES256", "typ": "JWT", "kid": EC_KEY.id}
CLAIMS = claims_of(USER)
TOKEN = a_token(USER)
EC_TOKEN = EC_KEY.token(USER)
RSA_TOKEN = RSA_KEY.token(USER)


A_DAY = 86_400  # no run of the tests takes as long


def in_seconds(seconds: int) -> int:
    return int(datetime.now(UTC).timestamp()) + seconds


def segment(value: Any) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(header: Any, payload: Any, key: bytes = SECRET.encode(), digest: str = "sha256") -> str:
    """Signs by hand, because PyJWT refuses most of these tokens. Bytes stay as they are."""
    message = f"{segment(header)}.{segment(payload)}"
    return f"{message}.{segment(hmac.digest(key, message.encode(), digest))}"


def unsigned(header: Any) -> str:
    return f"{segment(header)}.{segment(CLAIMS)}."


def with_parts(
    token: str, *, header: Any = None, payload: Any = None, signature: bytes | None = None
) -> str:
    """A token with parts that were replaced after it was signed."""
    parts = zip((header, payload, signature), token.split("."), strict=True)
    return ".".join(old if new is None else segment(new) for new, old in parts)


def in_der(token: str) -> str:
    signature = urlsafe_b64decode(token.split(".")[2] + "==")
    numbers = (int.from_bytes(half) for half in (signature[:32], signature[32:]))
    return with_parts(token, signature=encode_dss_signature(*numbers))


@dataclass(frozen=True)
class Service:
    """An app that takes HS256, ES256 and RS256, as during a migration, and a session of USER's."""

    app: App
    database: TestDatabase
    session: Session

    async def assert_refuses(self, headers: Any, because: tuple[str, str] = BAD_TOKEN) -> None:
        before = await self.state()

        response = await post_fail(self.app, self.session, headers)

        assert_is_401(response, because)
        assert await self.state() == before

    async def state(self) -> Any:
        return await self.database.row(self.session), await self.database.events(self.session)

    async def assert_takes(self, user_id: UUID, headers: Any) -> None:
        session = await self.database.a_session(user_id=user_id)

        response = await post_fail(self.app, session, headers)

        assert response.status_code == 200
        assert len(await self.database.events(session)) == 1


async def post_fail(app: App, session: Session, headers: Any) -> httpx2.Response:
    return await app.client.post(f"/sessions/{session.id}/fail", headers=headers)


def assert_is_401(response: httpx2.Response, because: tuple[str, str]) -> None:
    challenge, message = because
    assert response.status_code == 401
    assert response.headers.get_list("WWW-Authenticate") == [challenge]
    assert response.json() == {
        "error": {
            "code": "UNAUTHENTICATED",
            "message": message,
            "details": {"requestId": response.headers["X-Request-Id"]},
        }
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(cluster: Cluster, template: str) -> AsyncIterator[Service]:
    """One service for the module, because most requests to it are refused and change nothing."""
    async with (
        an_issuer(EC_KEY, RSA_KEY) as issuer,
        a_database(cluster, template=template) as database,
        running_app(
            test_settings(database_url=database.api_url, jwks_url=issuer.url, jwt_issuer=ISSUER)
        ) as app,
    ):
        yield Service(app, database, await database.a_session(user_id=USER))


of_the_shared_service = pytest.mark.asyncio(loop_scope="module")


BAD_SIGNATURES = {
    "alg_none": unsigned({"alg": "none"}),
    "alg_none_in_mixed_case": unsigned({"alg": "nOnE"}),
    "alg_none_with_a_known_kid": unsigned({"alg": "none", "kid": EC_KEY.id}),
    "alg_none_and_yet_signed": signed({"alg": "none"}, CLAIMS),
    "alg_missing": signed({"typ": "JWT"}, CLAIMS),
    "alg_null": signed({"alg": None}, CLAIMS),
    "header_a_list": signed(["alg"], CLAIMS),
    "header_a_string": signed("alg", CLAIMS),
    "alg_a_list": signed({"alg": ["HS256"]}, CLAIMS),
    "alg_an_object": signed({"alg": {"HS256": True}}, CLAIMS),
    "alg_in_lower_case": signed({"alg": "hs256"}, CLAIMS),
    "alg_hs512": signed({"alg": "HS512"}, CLAIMS, digest="sha512"),
    "alg_ps256": RSA_KEY.token(USER, headers={"alg": "PS256"}),
    "hs256_with_the_public_key_as_pem": signed(
        HS256 | {"kid": EC_KEY.id}, CLAIMS, EC_KEY.public_pem
    ),
    "hs256_with_the_rsa_public_key_as_pem": signed(
        HS256 | {"kid": RSA_KEY.id}, CLAIMS, RSA_KEY.public_pem
    ),
    "hs256_with_the_public_key_as_jwk": signed(
        HS256 | {"kid": EC_KEY.id}, CLAIMS, json.dumps(EC_KEY.jwk).encode()
    ),
    "hs256_with_another_secret": signed(
        HS256, CLAIMS, b"the secret of another issuer, as long as ours"
    ),
    "hs256_with_an_empty_secret": signed(HS256, CLAIMS, b""),
    "hs256_that_says_es256": signed(ES256, CLAIMS),
    "es256_that_says_hs256": with_parts(EC_TOKEN, header=HS256),
    "es256_with_anothers_key_of_this_kid": IMPOSTOR.token(USER),
    "es256_with_unknown_kid": STRANGER.token(USER),
    "es256_without_kid": a_token(USER, key=EC_KEY.private, algorithm="ES256"),
    "es256_with_an_empty_kid": EC_KEY.token(USER, headers={"kid": ""}),
    "es256_with_the_kid_in_upper_case": EC_KEY.token(USER, headers={"kid": "AUTUMN"}),
    "es256_with_a_surrogate_for_a_kid": EC_KEY.token(USER, headers={"kid": "\ud800"}),
    "es256_with_a_number_for_a_kid": with_parts(EC_TOKEN, header=ES256 | {"kid": 7}),
    "es256_with_a_list_for_a_kid": with_parts(EC_TOKEN, header=ES256 | {"kid": [EC_KEY.id]}),
    "es256_with_the_kid_of_an_rsa_key": EC_KEY.token(USER, headers={"kid": RSA_KEY.id}),
    "rs256_with_the_kid_of_an_ec_key": RSA_KEY.token(USER, headers={"kid": EC_KEY.id}),
    "es256_signature_of_zeros": with_parts(EC_TOKEN, signature=bytes(64)),
    "es256_signature_in_der": in_der(EC_TOKEN),
    "es256_signature_too_long": EC_TOKEN + "AAAA",
    "es256_signature_empty": with_parts(EC_TOKEN, signature=b""),
    "rs256_signature_empty": with_parts(RSA_TOKEN, signature=b""),
    "hs256_signature_empty": with_parts(TOKEN, signature=b""),
    "hs256_signature_tampered": with_parts(TOKEN, signature=bytes(32)),
    "hs256_signature_of_another_token": f"{TOKEN.rpartition('.')[0]}.{a_token().split('.')[2]}",
    "hs256_payload_tampered": with_parts(a_token(), payload=CLAIMS),
    "es256_payload_tampered": with_parts(EC_KEY.token(), payload=CLAIMS),
    "rs256_payload_tampered": with_parts(RSA_KEY.token(), payload=CLAIMS),
    "header_tampered": with_parts(TOKEN, header=HS256 | {"cty": "JWT"}),
}


@of_the_shared_service
@pytest.mark.parametrize("token", BAD_SIGNATURES.values(), ids=BAD_SIGNATURES)
async def test_returns_401_for_a_bad_signature(service: Service, token: str) -> None:
    await service.assert_refuses(bearer(token))


@of_the_shared_service
@pytest.mark.parametrize("key", [EC_KEY, STRANGER, IMPOSTOR], ids=["ours", "unknown", "impostor"])
async def test_returns_401_for_a_token_with_a_key_in_its_header(
    service: Service, key: SigningKey
) -> None:
    await service.assert_refuses(bearer(key.token(USER, headers={"jwk": key.jwk})))


@of_the_shared_service
@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["exp"]},
        {"crit": []},
        {"crit": ["b64"], "b64": True},
        {"b64": True},
        {"jku": "https://evil.example/jwks.json"},
        {"x5u": "https://evil.example/chain.pem"},
        {"x5c": ["MIIB"]},
        {"jwk": {"kty": "oct", "k": "c2VjcmV0"}},
    ],
    ids=lambda header: "_and_".join(header) + ("" if all(header.values()) else "_empty"),
)
async def test_returns_401_for_a_header_with_unsupported_parameters(
    service: Service, header: dict[str, Any]
) -> None:
    await service.assert_refuses(bearer(signed(HS256 | header, CLAIMS)))


@of_the_shared_service
async def test_returns_401_for_an_unencoded_payload(service: Service) -> None:
    header = HS256 | {"b64": False, "crit": ["b64"]}

    await service.assert_refuses(bearer(signed(header, CLAIMS)))
    await service.assert_refuses(bearer(signed(header, b"")))


BAD_CLAIMS: dict[str, dict[str, Any]] = {
    "expired": {"exp": in_seconds(-31)},
    "expired_long_ago": {"exp": 1},
    "exp_negative": {"exp": -1},
    "exp_true": {"exp": True},
    "exp_infinity": {"exp": float("inf")},
    "exp_minus_infinity": {"exp": float("-inf")},
    "exp_nan": {"exp": float("nan")},
    "exp_a_word": {"exp": "never"},
    "exp_digits": {"exp": "4102444800"},
    "exp_a_list": {"exp": [4102444800]},
    "not_yet_valid": {"nbf": in_seconds(A_DAY)},
    "nbf_null": {"nbf": None},
    "nbf_true": {"nbf": True},
    "nbf_infinity": {"nbf": float("inf")},
    "nbf_a_word": {"nbf": "now"},
    "nbf_digits": {"nbf": "1"},
    "issued_in_the_future": {"iat": in_seconds(A_DAY)},
    "iat_null": {"iat": None},
    "iat_nan": {"iat": float("nan")},
    "iat_a_word": {"iat": "now"},
    "iat_digits": {"iat": "1"},
    "sub_empty": {"sub": ""},
    "sub_not_a_uuid": {"sub": "runner@example.com"},
    "sub_a_urn": {"sub": USER.urn},
    "sub_in_braces": {"sub": f"{{{USER}}}"},
    "sub_bare_hex": {"sub": USER.hex},
    "sub_with_a_space": {"sub": f"{USER} "},
    "sub_with_a_newline": {"sub": f"{USER}\n"},
    "sub_with_a_wide_digit": {"sub": f"\uff11{str(USER)[1:]}"},
    "sub_a_number": {"sub": USER.int},
    "sub_a_list": {"sub": [str(USER)]},
    "sub_an_object": {"sub": {"id": str(USER)}},
    "aud_another": {"aud": "admin"},
    "aud_empty": {"aud": ""},
    "aud_in_upper_case": {"aud": "AUTHENTICATED"},
    "aud_longer": {"aud": "authenticated users"},
    "aud_an_empty_list": {"aud": []},
    "aud_a_list_without_it": {"aud": ["admin", "anon"]},
    "aud_a_list_in_a_list": {"aud": [["authenticated"]]},
    "aud_an_object": {"aud": {"authenticated": True}},
    "aud_a_number": {"aud": 1},
    "role_anon": {"role": "anon"},
    "role_service_role": {"role": "service_role"},
    "role_in_upper_case": {"role": "AUTHENTICATED"},
    "role_empty": {"role": ""},
    "role_a_list": {"role": ["authenticated"]},
    "role_an_object": {"role": {"authenticated": True}},
    "role_true": {"role": True},
    "iss_another": {"iss": "https://evil.example/auth/v1"},
    "iss_with_a_slash": {"iss": f"{ISSUER}/"},
    "iss_a_list": {"iss": [ISSUER]},
    "iss_a_number": {"iss": 1},
}


@of_the_shared_service
@pytest.mark.parametrize("claims", BAD_CLAIMS.values(), ids=BAD_CLAIMS)
async def test_returns_401_for_a_bad_claim(service: Service, claims: dict[str, Any]) -> None:
    await service.assert_refuses(bearer(signed(HS256, CLAIMS | claims)))


@of_the_shared_service
@pytest.mark.parametrize("claim", ["exp", "sub", "aud", "role", "iss"])
async def test_returns_401_when_a_claim_is_missing_or_null(service: Service, claim: str) -> None:
    rest = {name: value for name, value in CLAIMS.items() if name != claim}

    await service.assert_refuses(bearer(signed(HS256, rest)))
    await service.assert_refuses(bearer(signed(HS256, rest | {claim: None})))


LEGACY_API_KEY = {"iss": "supabase", "ref": "abc", "iat": 1, "exp": in_seconds(315_360_000)}
OTHER_KINDS = {
    "legacy_anon_key": signed(HS256, LEGACY_API_KEY | {"role": "anon"}),
    "legacy_service_role_key": signed(HS256, LEGACY_API_KEY | {"role": "service_role"}),
    "id_token": EC_KEY.token(USER, aud="1034.apps.example.com", role=None, nonce="n-0S6_WzA2Mj"),
    "id_token_that_names_the_role": EC_KEY.token(USER, aud="1034.apps.example.com"),
    "role_in_metadata": a_token(
        USER,
        role=None,
        app_metadata={"role": "authenticated"},
        user_metadata={"role": "authenticated"},
    ),
    "payload_a_list": signed(HS256, [CLAIMS]),
    "payload_a_string": signed(HS256, str(USER)),
    "payload_null": signed(HS256, None),
    "payload_an_empty_object": signed(HS256, {}),
    "payload_empty": signed(HS256, b""),
    "payload_not_json": signed(HS256, b"{'sub': 1}"),
    "payload_not_utf_8": signed(HS256, b'{"sub": "\xff"}'),
    "payload_with_a_number_too_long": signed(HS256, b'{"exp": ' + b"9" * 5000 + b"}"),
    "payload_deeply_nested": signed(HS256, b"[" * 5000),
}


@of_the_shared_service
@pytest.mark.parametrize("token", OTHER_KINDS.values(), ids=OTHER_KINDS)
async def test_returns_401_for_a_signed_text_that_is_no_access_token(
    service: Service, token: str
) -> None:
    await service.assert_refuses(bearer(token))


BAD_FORMS = {
    "word": "token",
    "dot": ".",
    "dots": "..",
    "many_dots": "." * TOKEN_MAX_LENGTH,
    "two_segments": TOKEN.rpartition(".")[0],
    "four_segments": f"{TOKEN}.AAAA",
    "five_segments_as_if_encrypted": f"{segment({'alg': 'dir', 'enc': 'A256GCM'})}..AA.AA.AA",
    "header_empty": f".{TOKEN.partition('.')[2]}",
    "truncated": TOKEN[:-5],
    "truncated_by_a_character": TOKEN[:-1],
    "quoted": f'"{TOKEN}"',
    "two_with_a_space": f"{TOKEN} {TOKEN}",
    "two_with_a_comma": f"{TOKEN}, Bearer {TOKEN}",
    "space_within": TOKEN.replace(".", " .", 1),
    "alphabet_of_plain_base64": f"+/+/.{TOKEN.partition('.')[2]}",
    "header_not_json": signed(b"{'alg': 'HS256'}", CLAIMS),
    "header_not_utf_8": signed(b'{"alg": "\xff"}', CLAIMS),
    "header_a_list": signed(["HS256"], CLAIMS),
    "header_a_string": signed("HS256", CLAIMS),
    "header_null": signed(None, CLAIMS),
    "header_with_a_number_too_long": signed(b'{"alg": ' + b"9" * 5000 + b"}", CLAIMS),
    "header_deeply_nested": signed(b'{"alg": ' + b"[" * 2000 + b"]" * 2000 + b"}", CLAIMS),
    "header_deeply_nested_and_not_closed": signed(b"[" * 5000, CLAIMS),
    "too_long_by_a_character": "x" * (TOKEN_MAX_LENGTH + 1),
    "oversized_and_else_good": a_token(USER, note="x" * TOKEN_MAX_LENGTH),
    "enormous": "x" * 30_000,
}


@of_the_shared_service
@pytest.mark.parametrize("token", BAD_FORMS.values(), ids=BAD_FORMS)
async def test_returns_401_for_a_malformed_token(service: Service, token: str) -> None:
    await service.assert_refuses(bearer(token))


BAD_AUTHORIZATIONS: dict[str, list[str | bytes]] = {
    "same_token_twice": [f"Bearer {TOKEN}", f"Bearer {TOKEN}"],
    "good_and_bad": [f"Bearer {TOKEN}", "Bearer bad"],
    "bad_and_good": ["Bearer bad", f"Bearer {TOKEN}"],
    "token_and_password": [f"Bearer {TOKEN}", "Basic cnVubmVyOnJ1bm5lcg=="],
    "latin_1": [f"Bearer {TOKEN}é".encode("latin-1")],
    "latin_1_space": [b"Bearer \xa0" + TOKEN.encode()],
    "utf_8": [f"Bearer {TOKEN}é".encode()],
}


@of_the_shared_service
@pytest.mark.parametrize("values", BAD_AUTHORIZATIONS.values(), ids=BAD_AUTHORIZATIONS)
async def test_returns_401_unless_there_is_exactly_one_token(
    service: Service, values: list[str | bytes]
) -> None:
    await service.assert_refuses([(b"Authorization", value) for value in values])


NO_TOKENS = {
    "empty": "",
    "scheme_alone": "Bearer",
    "token_alone": TOKEN,
    "basic": "Basic cnVubmVyOnJ1bm5lcg==",
    "another_scheme": f"DPoP {TOKEN}",
    "scheme_that_begins_alike": f"BearerToken {TOKEN}",
    "colon": f"Bearer:{TOKEN}",
    "comma": f"Bearer,{TOKEN}",
}


@of_the_shared_service
@pytest.mark.parametrize("value", NO_TOKENS.values(), ids=NO_TOKENS)
async def test_returns_401_and_a_challenge_without_error_if_there_is_no_bearer_token(
    service: Service, value: str
) -> None:
    await service.assert_refuses({"Authorization": value}, NO_TOKEN)


@of_the_shared_service
@pytest.mark.parametrize(
    "elsewhere", [{"Cookie": f"access_token={TOKEN}"}, {"apikey": TOKEN}], ids=["cookie", "apikey"]
)
async def test_returns_401_for_a_token_in_another_header(
    service: Service, elsewhere: dict[str, str]
) -> None:
    await service.assert_refuses(elsewhere, NO_TOKEN)


@of_the_shared_service
async def test_returns_401_for_a_token_in_the_query_or_the_body(service: Service) -> None:
    path = f"/sessions/{service.session.id}/fail"
    before = await service.state()

    by_query = await service.app.client.post(path, params={"access_token": TOKEN})
    by_body = await service.app.client.post(path, data={"access_token": TOKEN})

    assert_is_401(by_query, NO_TOKEN)
    assert_is_401(by_body, NO_TOKEN)
    assert await service.state() == before


@of_the_shared_service
async def test_reads_return_401_for_a_bad_token(service: Service) -> None:
    path = f"/sessions/{service.session.id}"

    assert_is_401(await service.app.client.get(path), NO_TOKEN)
    assert_is_401(await service.app.client.get(path, headers=bearer("bad")), BAD_TOKEN)


@of_the_shared_service
@pytest.mark.parametrize(
    ("session_id", "request_parts"),
    [
        pytest.param("not-a-uuid", {}, id="bad_session_id"),
        pytest.param(uuid4(), {}, id="no_such_session"),
        pytest.param(uuid4(), {"json": {"reasn": "typo"}}, id="unknown_field"),
        pytest.param(uuid4(), {"content": b"{"}, id="not_json"),
        pytest.param(uuid4(), {"content": b"x" * 20_000}, id="body_too_large"),
        pytest.param(uuid4(), {"json": {"reason": "\0"}}, id="bad_reason"),
        pytest.param(uuid4(), {"headers": {"Content-Type": "text/plain"}}, id="media_type"),
        pytest.param(uuid4(), {"headers": {"Idempotency-Key": "a b"}}, id="bad_idempotency_key"),
    ],
)
async def test_returns_401_before_any_other_error(
    service: Service, session_id: UUID | str, request_parts: dict[str, Any]
) -> None:
    response = await service.app.client.post(f"/sessions/{session_id}/fail", **request_parts)

    assert_is_401(response, NO_TOKEN)


# Who gets in


GOOD_TOKENS: dict[str, dict[str, Any]] = {
    "as_supabase_makes_them": {},
    "aud_a_list_of_one": {"aud": ["authenticated"]},
    "aud_a_list_of_many": {"aud": ["admin", "authenticated"]},
    "anonymous_user": {"is_anonymous": True, "email": ""},
    "no_iat": {"iat": None},
    "nbf_in_the_past": {"nbf": 1},
    "exp_a_fraction": {"exp": in_seconds(A_DAY) + 0.5},
    "user_metadata_that_claims_more": {"user_metadata": {"role": "service_role", "sub": "admin"}},
}


@of_the_shared_service
@pytest.mark.parametrize("claims", GOOD_TOKENS.values(), ids=GOOD_TOKENS)
async def test_returns_200_for_good_claims(service: Service, claims: dict[str, Any]) -> None:
    user_id = uuid4()

    await service.assert_takes(user_id, bearer(a_token(user_id, **claims)))


@of_the_shared_service
@pytest.mark.parametrize(("claim", "seconds"), [("exp", -2), ("nbf", 15), ("iat", 15)])
async def test_returns_200_within_the_leeway(service: Service, claim: str, seconds: int) -> None:
    user_id = uuid4()
    claims: dict[str, Any] = {claim: in_seconds(seconds)}

    await service.assert_takes(user_id, bearer(a_token(user_id, **claims)))


@of_the_shared_service
async def test_returns_200_for_a_subject_in_upper_case(service: Service) -> None:
    user_id = uuid4()

    await service.assert_takes(user_id, bearer(a_token(sub=str(user_id).upper())))


@of_the_shared_service
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer  "])
async def test_returns_200_for_the_scheme_in_any_case(service: Service, scheme: str) -> None:
    user_id = uuid4()

    await service.assert_takes(user_id, {"Authorization": f"{scheme} {a_token(user_id)}"})


@of_the_shared_service
async def test_returns_200_for_the_longest_token(service: Service) -> None:
    user_id = uuid4()
    room = TOKEN_MAX_LENGTH - len(a_token(user_id, note=""))
    token = a_token(user_id, note="x" * ((room * 3 + 3) // 4))

    assert len(token) == TOKEN_MAX_LENGTH
    await service.assert_takes(user_id, bearer(token))


@of_the_shared_service
async def test_returns_200_for_every_algorithm_during_a_migration(service: Service) -> None:
    by_secret, by_ec, by_rsa = uuid4(), uuid4(), uuid4()

    await service.assert_takes(by_secret, bearer(a_token(by_secret, headers={"kid": "legacy"})))
    await service.assert_takes(by_ec, bearer(EC_KEY.token(by_ec)))
    await service.assert_takes(by_rsa, bearer(RSA_KEY.token(by_rsa)))


# By settings


async def test_accepts_only_hs256_if_only_a_secret_is_configured(
    start_app: StartApp, database: TestDatabase
) -> None:
    service = Service(await start_app(), database, await database.a_session(user_id=USER))
    user_id = uuid4()

    await service.assert_refuses(bearer(EC_TOKEN))
    await service.assert_refuses(bearer(RSA_TOKEN))
    await service.assert_takes(user_id, bearer(a_token(user_id)))


@pytest.mark.parametrize("key", [EC_KEY, RSA_KEY], ids=["ES256", "RS256"])
async def test_accepts_only_keys_of_the_issuer_if_no_secret_is_configured(
    start_app: StartApp, database: TestDatabase, key: SigningKey
) -> None:
    async with an_issuer(key) as issuer:
        app = await start_app(jwt_secret=None, jwks_url=issuer.url)
        service = Service(app, database, await database.a_session(user_id=USER))
        header = HS256 | {"kid": key.id}
        user_id = uuid4()

        await service.assert_refuses(bearer(TOKEN))
        await service.assert_refuses(bearer(signed(header, CLAIMS)))
        await service.assert_refuses(bearer(signed(header, CLAIMS, key.public_pem)))
        await service.assert_refuses(bearer(signed(header, CLAIMS, b"")))
        await service.assert_takes(user_id, bearer(key.token(user_id)))


async def test_accepts_any_issuer_if_none_is_configured(app: App, database: TestDatabase) -> None:
    service = Service(app, database, await database.a_session(user_id=USER))

    for issuer in ("https://xyz.supabase.co/auth/v1", None):
        user_id = uuid4()
        await service.assert_takes(user_id, bearer(a_token(user_id, iss=issuer)))


async def test_accepts_the_configured_audience_alone(
    start_app: StartApp, database: TestDatabase
) -> None:
    app = await start_app(jwt_audience="runners")
    service = Service(app, database, await database.a_session(user_id=USER))
    user_id = uuid4()

    await service.assert_refuses(bearer(TOKEN))
    await service.assert_takes(user_id, bearer(a_token(user_id, aud="runners")))


# Secrecy


@of_the_shared_service
async def test_no_answer_repeats_the_token(service: Service) -> None:
    client, path = service.app.client, f"/sessions/{service.session.id}"
    bad = BAD_SIGNATURES["hs256_with_another_secret"]

    answers = [
        await client.get(path, headers=bearer(TOKEN)),
        await client.get("/sessions/not-a-uuid", headers=bearer(TOKEN)),
        await client.get(path, headers=bearer(bad)),
        await client.get(f"/sessions/{uuid4()}", headers=bearer(TOKEN)),
    ]

    assert [answer.status_code for answer in answers] == [200, 400, 401, 404]
    shown = "".join(f"{answer.headers}{answer.text}" for answer in answers)
    assert not [part for part in (TOKEN + "." + bad).split(".") if part in shown]
