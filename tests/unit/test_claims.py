# SPDX-License-Identifier: MIT
"""The check of tokens, held against PyJWT's own check of claims with the same rules."""

import asyncio
import hmac
import json
import time
from base64 import urlsafe_b64encode
from typing import Any
from uuid import UUID, uuid4

import jwt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.http.auth import Authenticator
from service.http.claims import LEEWAY_SECONDS
from service.http.errors import Unauthenticated
from service.http.fields import parse_canonical_uuid
from service.http.token_refusals import RefusedTokens
from tests.builders import SECRET, claims_of

ISSUER = "https://abc.supabase.co/auth/v1"
USER = uuid4()
NOW = int(time.time())
HEADER = {"alg": "HS256", "typ": "JWT"}

KEY = jwt.PyJWK({"kty": "oct", "k": urlsafe_b64encode(SECRET.encode()).decode()}, "HS256")

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
dates = st.sampled_from([-3600, -45, -15, 0, 15, 45, 3600]).flatmap(
    lambda seconds: st.sampled_from([NOW + seconds, NOW + seconds + 0.5, str(NOW + seconds)])
) | st.sampled_from([True, False, -1, 0, 1e18, float("inf"), float("nan"), [NOW], "now"])
audiences = st.sampled_from(["authenticated", "admin", "AUTHENTICATED", "", "authenticated "])
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "exp": dates | anything,
    "iat": dates | anything,
    "nbf": dates | anything,
    "aud": audiences | st.lists(audiences | anything, max_size=3) | anything,
    "iss": st.sampled_from([ISSUER, f"{ISSUER}/", [ISSUER], ""]) | anything,
    "sub": st.sampled_from([str(USER), str(USER).upper(), USER.hex, USER.urn, f"{{{USER}}}"])
    | st.uuids().map(str)
    | anything,
    "role": st.sampled_from(["authenticated", "anon", "service_role", "", ["authenticated"]])
    | anything,
    "jti": texts | anything,
    "email": anything,
    "": anything,
}
near_claims = st.fixed_dictionaries(
    {}, optional={name: values for name, values in VALUES.items() if name}
).map(lambda changed: claims_of(USER) | changed)
claims_without_some = st.tuples(near_claims, st.sets(st.sampled_from(list(VALUES)))).map(
    lambda both: {name: value for name, value in both[0].items() if name not in both[1]}
)


def segment(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(payload: bytes, header: bytes = json.dumps(HEADER).encode()) -> str:
    message = f"{segment(header)}.{segment(payload)}"
    return f"{message}.{segment(hmac.digest(SECRET.encode(), message.encode(), 'sha256'))}"


def by_pyjwt(token: str, issuer: str | None) -> UUID | None:
    """The user of a token that `jwt.decode` accepts, with the rules that it does not know."""
    try:
        claims = jwt.decode(
            token,
            KEY,
            algorithms=["HS256"],
            audience="authenticated",
            issuer=issuer,
            leeway=LEEWAY_SECONDS,
            options={"require": ["exp", "sub", "aud", "role"]},
        )
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        return None
    dates = [claims[name] for name in ("exp", "iat", "nbf") if name in claims]
    numeric = all(type(each) in {int, float} for each in dates)
    is_user = claims["role"] == "authenticated" and numeric
    return parse_canonical_uuid(claims["sub"]) if is_user else None


def by_service(token: str, issuer: str | None) -> UUID | None:
    authenticator = Authenticator(
        secret=SECRET,
        key_set=None,
        audience="authenticated",
        issuer=issuer,
        refused=RefusedTokens(lambda _refusal, _count: None),
    )
    try:
        return asyncio.run(authenticator.authenticate([f"Bearer {token}"]))
    except Unauthenticated:
        return None


@given(claims=claims_without_some, issuer=st.sampled_from([None, ISSUER]), ascii_only=st.booleans())
def test_accepts_the_claims_that_pyjwt_accepts_and_no_others(
    claims: dict[str, Any], issuer: str | None, ascii_only: bool
) -> None:
    token = signed(json.dumps(claims, ensure_ascii=ascii_only).encode())

    before = by_pyjwt(token, issuer)
    assert by_service(token, issuer) in (before, by_pyjwt(token, issuer))  # it may just expire


@given(
    claim=st.sampled_from(["exp", "sub", "aud", "role", "iss", "iat"]),
    values=st.lists(st.sampled_from(["good", "bad"]), min_size=2, max_size=3),
)
def test_takes_the_last_of_two_claims_with_the_same_name(claim: str, values: list[str]) -> None:
    """RFC 7519, section 4: refuse them, or take the last."""
    claims = claims_of(USER)
    written = {
        "good": json.dumps(claims[claim]),
        "bad": json.dumps({"sub": str(uuid4())}.get(claim, 1e9)),
    }
    rest = ", ".join(
        f'"{name}": {json.dumps(value)}' for name, value in claims.items() if name != claim
    )
    repeated = ", ".join(f'"{claim}": {written[value]}' for value in values)
    token = signed(f"{{{repeated}, {rest}}}".encode())

    assert by_service(token, ISSUER) == by_pyjwt(token, ISSUER)


@given(
    header=st.dictionaries(
        st.sampled_from(["alg", "kid", "typ", "b64", "crit", "x"]),
        anything | st.sampled_from(["HS256", "RS256", "none", ["b64"], False]),
    )
)
@example(header=HEADER)
@example(header={"alg": "HS256", "b64": False, "crit": ["b64"]})
def test_accepts_no_header_that_pyjwt_refuses(header: dict[str, Any]) -> None:
    token = signed(json.dumps(claims_of(USER)).encode(), json.dumps(header).encode())

    assert by_service(token, ISSUER) in {None, by_pyjwt(token, ISSUER)}


@given(
    text=st.binary(max_size=40)
    | st.text(max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass"))
)
def test_accepts_no_text_that_pyjwt_refuses(text: bytes) -> None:
    """The payload, the header and the whole token."""
    for token in (signed(text), signed(json.dumps(claims_of(USER)).encode(), text)):
        assert by_service(token, ISSUER) in {None, by_pyjwt(token, ISSUER)}
    assert by_service(text.decode("latin-1"), ISSUER) is None


def with_note(note: str) -> bytes:
    return json.dumps(claims_of(USER))[:-1].encode() + f', "note": {note}}}'.encode()


NOT_STRICT = {
    "lone_surrogate": with_note(r'"\ud800"'),
    "encoded_surrogate": with_note('"?"').replace(b"?", b"\xed\xa0\x80"),
    "byte_order_mark": b"\xef\xbb\xbf" + with_note("1"),
    "utf_16": json.dumps(claims_of(USER)).encode("utf-16"),
    "nested_too_deeply": with_note("[" * 300 + "]" * 300),
    "date_of_400_digits": json.dumps(claims_of(USER, exp=10**400)).encode(),
}


@pytest.mark.parametrize("payload", NOT_STRICT.values(), ids=NOT_STRICT)
def test_refuses_a_payload_that_pyjwt_reads_although_it_is_not_plain_json(payload: bytes) -> None:
    token = signed(payload)

    assert by_pyjwt(token, ISSUER) == USER
    assert by_service(token, ISSUER) is None
