"""Signed statements of origin: made with a certificate of our own, verified, and broken."""

import datetime
import io
import json
import sys

import numpy as np
import pytest
from PIL import Image

from synthderm.core import InputError, MissingExtraError
from synthderm.provenance.check import check
from synthderm.provenance.content_credentials import read_credentials, sign_file
from synthderm.provenance.tags import ALGORITHMIC, TRAINED, Tags, read_tags, save_arguments
from synthderm.provenance.watermark import Key

TAGS = Tags("flow", "1", TRAINED, watermark="abcdef01", run=5, seed=6, software="synthderm 0.1.0")
FORMATS = {"png": "PNG", "jpg": "JPEG", "webp": "WEBP"}


@pytest.fixture(scope="module")
def signer(tmp_path_factory):
    """Folder with chain.pem, key.pem, root.pem and other_root.pem; skips without c2pa."""
    pytest.importorskip("c2pa", reason="needs c2pa-python: pip install 'synthderm[c2pa]'")
    folder = tmp_path_factory.mktemp("signer")
    make_chain(folder)
    return folder


def make_chain(folder):
    """A root and a signing certificate of the profile of C2PA 2.2, 14.5, valid from 2024 to 2044."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    def name(text):
        organisation = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Test laboratory")
        return x509.Name([organisation, x509.NameAttribute(NameOID.COMMON_NAME, text)])

    def certificate(subject, key, issuer, issuer_key, is_root):
        usage = dict.fromkeys(("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False)
        usage |= dict.fromkeys(("encipher_only", "decipher_only"), False)
        usage |= {"digital_signature": not is_root, "key_cert_sign": is_root, "crl_sign": is_root}
        builder = (
            x509.CertificateBuilder()
            .subject_name(name(subject))
            .issuer_name(name(issuer))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime.datetime(2024, 1, 1))
            .not_valid_after(datetime.datetime(2044, 1, 1))
            .add_extension(x509.BasicConstraints(is_root, None), True)
            .add_extension(x509.KeyUsage(**usage), True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), False)
        )
        if not is_root:
            builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False)
        return builder.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(3)]
    root = certificate("Root", keys[0], "Root", keys[0], True)
    leaf = certificate("Signer", keys[1], "Root", keys[0], False)
    (folder / "root.pem").write_bytes(root)
    (folder / "other_root.pem").write_bytes(certificate("Other", keys[2], "Other", keys[2], True))
    (folder / "chain.pem").write_bytes(leaf + root)
    private = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(keys[1].private_bytes(*private))
    (folder / "other_key.pem").write_bytes(keys[2].private_bytes(*private))


def image_file(folder, image_format="png", tags=TAGS):
    path = folder / f"a.{image_format}"
    pixels = np.random.default_rng(2).integers(0, 255, (48, 40, 3), np.uint8)
    Image.fromarray(pixels).save(path, **(save_arguments(tags, image_format) if tags else {}))
    return path


@pytest.mark.parametrize("image_format", FORMATS)
def test_a_signed_file_verifies_and_keeps_pixels_and_tags(tmp_path, signer, image_format):
    path = image_file(tmp_path, image_format)
    before = np.asarray(Image.open(path))
    signed = sign_file(path, signer / "chain.pem", signer / "key.pem", output=tmp_path / f"signed.{image_format}")
    assert np.array_equal(np.asarray(Image.open(signed)), before)
    found = read_tags(signed)
    assert found.carriers[-1] == "c2pa"
    assert found.tags == TAGS
    credentials = read_credentials(signed)
    assert (credentials.state, credentials.digital_source_type, credentials.tags) == ("valid", TRAINED, TAGS)
    assert (credentials.issuer, credentials.common_name) == ("Test laboratory", "Signer")
    assert credentials.problems == ("signingCredential.untrusted",)
    trusted = read_credentials(signed, trust_anchors=signer / "root.pem")
    assert (trusted.state, trusted.problems) == ("trusted", ())
    assert read_credentials(signed, trust_anchors=signer / "other_root.pem").state == "valid"


def test_signing_in_place_leaves_nothing_else(tmp_path, signer):
    path = image_file(tmp_path)
    assert sign_file(path, signer / "chain.pem", signer / "key.pem") == path
    assert read_credentials(path).state == "valid"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.png"]
    with pytest.raises(InputError, match="Content Credentials already"):
        sign_file(path, signer / "chain.pem", signer / "key.pem")


@pytest.mark.parametrize("image_format", FORMATS)
def test_a_changed_pixel_byte_makes_it_invalid(tmp_path, signer, image_format):
    path = sign_file(image_file(tmp_path, image_format), signer / "chain.pem", signer / "key.pem")
    data = bytearray(path.read_bytes())
    pixels = {"png": b"IDAT", "jpg": b"\xff\xda", "webp": b"VP8 "}[image_format]
    data[data.index(pixels) + 60] ^= 1
    credentials = read_credentials(io.BytesIO(bytes(data)), trust_anchors=signer / "root.pem")
    assert credentials.state == "invalid"
    assert "assertion.dataHash.mismatch" in credentials.problems


def test_a_resave_loses_them(tmp_path, signer):
    path = sign_file(image_file(tmp_path), signer / "chain.pem", signer / "key.pem")
    Image.open(path).save(tmp_path / "again.png")
    assert "c2pa" not in read_tags(tmp_path / "again.png").carriers
    with pytest.raises(InputError, match="cannot be read"):
        read_credentials(tmp_path / "again.png")


def test_the_record_may_be_given_and_must_be_somewhere(tmp_path, signer):
    path = image_file(tmp_path, tags=None)
    with pytest.raises(InputError, match="carries no record"):
        sign_file(path, signer / "chain.pem", signer / "key.pem")
    other = Tags("simulator", "3", ALGORITHMIC)
    sign_file(path, signer / "chain.pem", signer / "key.pem", tags=other)
    assert read_credentials(path).tags == other
    assert read_credentials(path).digital_source_type == ALGORITHMIC


@pytest.mark.parametrize(
    ("certificate", "key", "algorithm", "message"),
    [
        ("chain.pem", "other_key.pem", "es256", "cannot sign"),
        ("chain.pem", "key.pem", "ps256", "cannot sign"),
        ("chain.pem", "key.pem", "rsa", "unknown signature algorithm 'rsa'"),
        ("key.pem", "key.pem", "es256", "cannot sign"),
        ("missing.pem", "key.pem", "es256", "cannot read"),
    ],
)
def test_what_does_not_fit_together_leaves_the_file_alone(tmp_path, signer, certificate, key, algorithm, message):
    path = image_file(tmp_path)
    before = path.read_bytes()
    with pytest.raises(InputError, match=message):
        sign_file(path, signer / certificate, signer / key, algorithm=algorithm)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_the_check_verifies_signatures(tmp_path, signer):
    sign_file(image_file(tmp_path, tags=None), signer / "chain.pem", signer / "key.pem", tags=TAGS)
    (result,) = check(tmp_path, Key.public(), search="fast")
    said = json.loads(json.dumps(result.to_dict()))["metadata"]
    assert said["carriers"] == ["c2pa"]
    assert said["says_synthetic"] is True
    assert (said["content_credentials"]["state"], said["content_credentials"]["tags"]["run"]) == ("valid", 5)


def test_no_flipped_bit_of_the_manifest_changes_what_a_valid_signature_says(tmp_path, signer):
    path = sign_file(image_file(tmp_path, "jpg"), signer / "chain.pem", signer / "key.pem")
    data, whole = path.read_bytes(), read_credentials(path)
    rng = np.random.default_rng(8)
    start = data.index(b"jumb")
    invalid = 0
    for _ in range(80):
        broken = bytearray(data)
        for place in rng.integers(start, start + 3000, 3):
            broken[place] ^= 1 << int(rng.integers(8))
        try:
            found = read_credentials(io.BytesIO(bytes(broken)))
        except InputError:
            invalid += 1
            continue
        invalid += found.state == "invalid"
        assert found.state == "invalid" or found == whole  # the padding of a signature is not signed
    assert invalid > 40


def test_without_the_extra_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "c2pa", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'synthderm\[c2pa\]'"):
        read_credentials(image_file(tmp_path))
    with pytest.raises(MissingExtraError, match="c2pa-python"):
        sign_file(tmp_path / "a.png", "certificate", "key")


def test_the_check_goes_on_without_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "c2pa", None)
    data = image_file(tmp_path).read_bytes()
    (tmp_path / "a.png").write_bytes(data[:33] + b"\0\0\0\4caBXabcd\0\0\0\0" + data[33:])
    (result,) = check(tmp_path, Key.public(), search="fast")
    assert result.credentials["state"] == "not verified"
    assert "synthderm[c2pa]" in result.credentials["reason"]
    assert result.tags.tags == TAGS
