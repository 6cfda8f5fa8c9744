"""Content Credentials: signed with one's own key, the provider's kept, faults told in words."""

from __future__ import annotations

import datetime as dt
import io
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from PIL import Image

from synthreview.export.jobs import write_package
from synthreview.export.services import Form, folder_of
from synthreview.export.writers.encoding import EncodingError, encode_all, encoded, parse_encoding
from synthreview.export.writers.marks import C2paSigner, MarkError
from synthreview.work.models import WorkState
from tests.export.entries import entry, picture
from tests.export.frozen import frozen, package_of
from tests.factories import make_approved_image, make_dataset, make_user

DRAWN = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


def make_certificate(
    name: str, issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None = None
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Return an authority's certificate, or one that it issued for signing, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, name),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Test"),
        ]
    )
    now = dt.datetime.now(dt.UTC)
    is_authority = issuer is None
    uses = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who if issuer is None else issuer[0].subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=not is_authority,
                key_cert_sign=is_authority,
                crl_sign=is_authority,
                **uses,
            ),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if issuer is not None:
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
        of_issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer[1].public_key())
        builder = builder.add_extension(usage, critical=False)
        builder = builder.add_extension(of_issuer, critical=False)
    return builder.sign(key if issuer is None else issuer[1], hashes.SHA256()), key


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("keys")
    authority = make_certificate("Authority")
    certificate, key = make_certificate("Signer", authority)
    pem = serialization.Encoding.PEM
    chain = certificate.public_bytes(pem) + authority[0].public_bytes(pem)
    (folder / "chain.pem").write_bytes(chain)
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return {"certificate": str(folder / "chain.pem"), "key": str(folder / "key.pem")}


@pytest.fixture
def signer(keys: dict[str, str]) -> C2paSigner:
    return C2paSigner(**keys)


def read(data: bytes, media_type: str) -> dict[str, Any]:
    import c2pa

    with c2pa.Reader(media_type, io.BytesIO(data)) as reader:
        store: dict[str, Any] = json.loads(reader.json())
    assert store["validation_state"] in ("Valid", "Trusted")
    assert "thumbnail" not in json.dumps(store)
    return store


def actions_of(store: dict[str, Any]) -> list[dict[str, Any]]:
    active = store["manifests"][store["active_manifest"]]
    (found,) = (one for one in active["assertions"] if one["label"].startswith("c2pa.actions"))
    actions: list[dict[str, Any]] = found["data"]["actions"]
    return actions


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
def test_a_drawn_image_says_so_and_is_signed(tmp_path: Path, signer: C2paSigner, kind: str) -> None:
    wish = parse_encoding(f"{kind}-c2pa")
    assert wish
    made = encoded(entry(tmp_path, 1), wish, signer)
    assert made.data
    store = read(made.data, made.media_type)
    created, transcoded = actions_of(store)
    assert (created["action"], created["digitalSourceType"]) == ("c2pa.created", DRAWN)
    assert transcoded["action"] == "c2pa.transcoded"
    assert len(store["manifests"]) == 1
    with Image.open(io.BytesIO(made.data)) as opened:
        assert opened.size == (16, 12)
        opened.load()
    assert made.byte_count == len(made.data)
    assert b"trainedAlgorithmicMedia" in made.data


def test_a_providers_credentials_stay_checkable_as_the_parents(
    tmp_path: Path, signer: C2paSigner
) -> None:
    wish = parse_encoding("jpeg-c2pa")
    assert wish
    provider = signer.sign(
        picture(1),
        "image/png",
        title="provider's",
        source_type="trainedAlgorithmicMedia",
        original=picture(1),
        original_type="image/png",
    )
    source = tmp_path / "marked.png"
    source.write_bytes(provider)
    marked = entry(tmp_path, 1, source=source, byte_count=len(provider))
    made = encoded(marked, wish, signer)
    assert made.data
    store = read(made.data, "image/jpeg")
    assert len(store["manifests"]) == 2
    (parent,) = store["manifests"][store["active_manifest"]]["ingredients"]
    assert parent["relationship"] == "parentOf"
    succeeded = {one["code"] for one in parent["validation_results"]["activeManifest"]["success"]}
    assert "claimSignature.validated" in succeeded
    assert source.read_bytes() == provider


def test_what_may_be_a_photograph_is_not_called_drawn(tmp_path: Path, signer: C2paSigner) -> None:
    wish = parse_encoding("png-c2pa")
    assert wish
    made = encoded(entry(tmp_path, 1, source_type=""), wish, signer)
    assert made.data
    actions = actions_of(read(made.data, "image/png"))
    assert [one["action"] for one in actions] == ["c2pa.opened", "c2pa.transcoded"]
    assert b"trainedAlgorithmicMedia" not in made.data


def test_many_are_signed_at_once(tmp_path: Path, signer: C2paSigner) -> None:
    wish = parse_encoding("jpeg-16px-c2pa")
    assert wish
    entries = [entry(tmp_path, number) for number in range(12)]
    made = list(encode_all(entries, wish, signer=signer))
    assert [one.stem for one in made] == [one.stem for one in entries]
    for one in made:
        read(one.data or b"", "image/jpeg")


def test_a_wish_for_signing_is_read_and_told() -> None:
    wish = parse_encoding("jpeg-512px-q90-c2pa")
    assert wish
    assert wish.is_signed
    assert str(wish) == "jpeg-512px-q90-c2pa"
    assert wish.in_words.endswith(", signed (C2PA)")
    for wrong in ("original-c2pa", "c2pa", "jpeg-c2pa-512px"):
        with pytest.raises(EncodingError):
            parse_encoding(wrong)


def test_nobody_signs_without_a_key(settings: Any) -> None:
    settings.C2PA = {}
    with pytest.raises(EncodingError, match="SYNTHREVIEW_C2PA_CERT"):
        Form("csv", "png-c2pa")


def test_a_key_that_does_not_fit_is_told_without_its_place(
    keys: dict[str, str], tmp_path: Path
) -> None:
    wrong = tmp_path / "no.pem"
    wrong.write_text("no key")
    with pytest.raises(MarkError) as caught:
        C2paSigner(keys["certificate"], str(wrong))
    assert str(tmp_path) not in str(caught.value)
    with pytest.raises(OSError, match="No such file"):
        C2paSigner(keys["certificate"], str(tmp_path / "gone.pem"))


@pytest.mark.django_db
def test_an_export_is_signed_by_the_job(settings: Any, keys: dict[str, str]) -> None:
    settings.C2PA = keys
    reviewer = make_user("rita")
    dataset = make_dataset("Things", reviewer=reviewer)
    make_approved_image(dataset.classes.get(name="car"), reviewer)
    package = package_of(frozen(dataset, "100", forms=[Form("jsonl", "png-c2pa")]))
    write_package(package.pk)
    package.refresh_from_db()
    assert package.state == WorkState.DONE, package.error
    (path,) = (folder_of(package) / "images").rglob("*.png")
    read(path.read_bytes(), "image/png")
    settings.C2PA = keys | {"key": "/nowhere/key.pem"}
    other = package_of(frozen(dataset, "100", forms=[Form("csv", "png-c2pa")]))
    write_package(other.pk)
    other.refresh_from_db()
    assert other.error == "It could not be written: No such file or directory."
