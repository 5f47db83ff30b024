"""Signing keys and secrets: read from where the settings say, and never shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jwcrypto import jwk

from connectors.attachments import binary_id_of
from connectors.smart_auth import Credentials, Secret, check_address, origin_of, read_signing_key
from zebrawatch.errors import ConfigurationError


@pytest.fixture(scope="module")
def ec() -> jwk.JWK:
    return jwk.JWK.generate(kty="EC", crv="P-384")


@pytest.fixture(scope="module")
def rsa() -> jwk.JWK:
    return jwk.JWK.generate(kty="RSA", size=2048)


def write(folder: Path, content: str | bytes) -> Secret:
    path = folder / "key"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return Secret(file=path)


def test_a_pem_key_signs_with_the_algorithm_smart_names(tmp_path: Path, ec: jwk.JWK, rsa: jwk.JWK) -> None:
    for key, algorithm in ((ec, "ES384"), (rsa, "RS384")):
        found = read_signing_key(write(tmp_path, key.export_to_pem(private_key=True, password=None)))
        assert (found.algorithm, found.key_id) == (algorithm, key.thumbprint())


def test_a_key_set_gives_its_first_private_signing_key(tmp_path: Path, ec: jwk.JWK, rsa: jwk.JWK) -> None:
    public = rsa.export_public(as_dict=True) | {"kid": "public"}
    encrypts = rsa.export_private(as_dict=True) | {"kid": "encrypts", "use": "enc"}
    signs = ec.export_private(as_dict=True) | {"kid": "signs", "use": "sig"}
    found = read_signing_key(write(tmp_path, json.dumps({"keys": [public, encrypts, signs]})))
    assert (found.key_id, found.algorithm, found.jwks["keys"][0]["key_ops"]) == ("signs", "ES384", ["sign"])


def test_a_single_jwk_with_its_own_algorithm(tmp_path: Path, rsa: jwk.JWK) -> None:
    content = rsa.export_private(as_dict=True) | {"kid": "k", "alg": "RS256"}
    assert read_signing_key(write(tmp_path, json.dumps(content))).algorithm == "RS256"


def test_the_public_half_holds_nothing_private(tmp_path: Path, ec: jwk.JWK) -> None:
    found = read_signing_key(write(tmp_path, ec.export_to_pem(private_key=True, password=None)))
    (public,) = found.public()["keys"]
    assert "d" not in public
    assert (public["kid"], public["alg"], public["use"]) == (found.key_id, "ES384", "sig")
    assert found.jwks["keys"][0]["d"] not in repr(found)


@pytest.mark.parametrize(
    "content", ["", "not a key at all", "{}", '{"keys": []}', '{"keys": [{"kty": "EC"}]}', "{half"]
)
def test_what_is_no_key_is_refused_without_repeating_it(tmp_path: Path, content: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_signing_key(write(tmp_path, content))
    assert str(tmp_path / "key") in str(caught.value)
    assert "half" not in str(caught.value)


def test_a_public_key_or_a_curve_nobody_takes_is_refused(tmp_path: Path, ec: jwk.JWK) -> None:
    odd = jwk.JWK.generate(kty="OKP", crv="Ed25519").export_to_pem(private_key=True, password=None)
    for content in (ec.export_to_pem(), odd):
        with pytest.raises(ConfigurationError, match="no private key to sign with"):
            read_signing_key(write(tmp_path, content))


def test_a_secret_comes_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text(" hush \n")
    monkeypatch.setenv("ZW_TOKEN", "hush")
    for secret in (Secret(file=tmp_path / "token"), Secret(env="ZW_TOKEN")):
        assert secret.read() == "hush"
        assert "hush" not in f"{secret} {secret!r} {Credentials(bearer_token=secret)!r}"


@pytest.mark.parametrize("secret", [Secret(file=Path("/nowhere/key")), Secret(env="ZW_NOT_SET"), Secret()])
def test_a_secret_that_is_not_there(secret: Secret) -> None:
    with pytest.raises(ConfigurationError):
        secret.read()


def test_half_a_sign_in_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="both"):
        Credentials(client_id="me")
    with pytest.raises(ConfigurationError, match="not both"):
        Credentials("me", Secret(env="A"), bearer_token=Secret(env="B"))


@pytest.mark.parametrize(
    "address", ["https://ehr.example.org/fhir", "http://127.0.0.1:80/fhir", "http://[::1]/", "http://localhost/x"]
)
def test_addresses_a_secret_may_go_to(address: str) -> None:
    check_address(address, "address", secret=True)


def test_an_origin_is_scheme_host_and_port() -> None:
    assert origin_of("https://EHR.example.org/fhir/Patient?x=1") == origin_of("https://ehr.example.org:443/other")
    for other in (
        "http://ehr.example.org/fhir",
        "https://ehr.example.org:8443",
        "https://ehr.example.org.evil.example/",
    ):
        assert origin_of(other) != origin_of("https://ehr.example.org/fhir")


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("Binary/b1", "b1"),
        ("https://ehr.example.org/fhir/Binary/b1?token=x#page", "b1"),
        ("/fhir/Binary/b1/_history/3", "b1"),
        ("Binary/b1/", "b1"),
    ],
)
def test_a_document_is_stored_under_the_last_part_of_its_address(address: str, key: str) -> None:
    assert binary_id_of(address) == key


@given(st.text())
def test_any_text_in_place_of_an_address_is_survived(text: str) -> None:
    try:
        check_address(text, "address", secret=True)
    except ConfigurationError as error:
        assert "\n" not in str(error)
