"""Content Credentials (C2PA): a signed statement of origin inside an image file, written and verified.

The watermark says "synthetic" and can be copied; a signature says who states it and cannot. The mark stays with the
pixels, the signature is lost in every re-save. Signing is not reproducible (random salts and identifiers), so nothing
is signed unless it is asked for.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, Literal

from synthderm.core import InputError, MissingExtraError
from synthderm.core.checks import unknown

from .tags import Tags, is_synthetic_source, read_tags
from .tags.reading import printable

State = Literal["trusted", "valid", "invalid"]

ALGORITHMS = ("es256", "es384", "es512", "ps256", "ps384", "ps512", "ed25519")
"""Signature algorithms of the C2PA specification, section 13.2."""

RECORD_LABEL = "synthderm.record"
"""Label of the assertion that holds the record."""

_MAX_MANIFESTS = 50
_OFFLINE = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}


@dataclass(frozen=True)
class Credentials:
    """What the Content Credentials of a file say and whether they hold.

    Attributes:
        state: "valid": the signature is whole and the file is the one that was signed; "trusted": also, its
            certificate leads to one of the given trust anchors; "invalid": neither holds, so nothing in it counts.
        digital_source_type: of its actions, the first that means synthetic if there is one; None if none is named.
        tags: this library's record; None if there is none.
        issuer: organisation of the signing certificate, as the certificate says.
        common_name: name of the signing certificate.
        problems: codes of the checks that failed (C2PA specification, section 15.2).
    """

    state: State
    digital_source_type: str | None = None
    tags: Tags | None = None
    issuer: str = ""
    common_name: str = ""
    problems: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {
            "state": self.state,
            "says_synthetic": is_synthetic_source(self.digital_source_type),
            "digital_source_type": self.digital_source_type,
            "tags": None if self.tags is None else self.tags.to_dict(),
            "issuer": self.issuer,
            "common_name": self.common_name,
            "problems": list(self.problems),
        }


def _c2pa() -> ModuleType:
    try:
        import c2pa
    except ImportError:
        raise MissingExtraError("c2pa-python", "c2pa") from None
    return c2pa


def _media_type(start: bytes) -> str:
    starts = {
        b"\x89PNG\r\n\x1a\n": "image/png",
        b"\xff\xd8\xff": "image/jpeg",
        b"II*\0": "image/tiff",
        b"MM\0*": "image/tiff",
    }
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "image/webp"
    kind = next((kind for sign, kind in starts.items() if start.startswith(sign)), None)
    if kind is None:
        raise InputError("expected a PNG, JPEG, WebP or TIFF file for Content Credentials, got something else")
    return kind


def _manifest(tags: Tags, title: str, media_type: str) -> dict[str, Any]:
    agent = {"name": tags.software, "version": tags.generator_version}
    action = {"action": "c2pa.created", "digitalSourceType": tags.digital_source_type, "softwareAgent": agent}
    return {
        "claim_generator_info": [{"name": tags.software}],
        "title": title,
        "format": media_type,
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": [action]}},
            {"label": RECORD_LABEL, "data": tags.to_dict()},
        ],
    }


def sign_file(
    path: str | Path,
    certificate: str | Path,
    key: str | Path,
    *,
    output: str | Path | None = None,
    tags: Tags | None = None,
    algorithm: str = "es256",
    timestamp_url: str | None = None,
) -> Path:
    """Put a signed statement of origin into a finished image file; its pixels stay as they are.

    The action "c2pa.created" carries the digital source type, an assertion "synthderm.record" the whole record.
    Without a time stamp authority the signature holds for as long as the certificate does.

    Args:
        path: a PNG, JPEG, WebP or TIFF file without Content Credentials.
        certificate: PEM file, the signer's certificate first, then its issuers; of the profile of the C2PA
            specification, section 14.5: digital signatures, extended key usage such as e-mail protection.
        key: PEM file (PKCS 8) of the certificate's private key.
        output: the signed file; ``path`` itself, replaced as a whole, if None.
        tags: the record; the one that the file carries if None.
        algorithm: one of :data:`ALGORITHMS`; it must fit the key ("es256" for a key on the curve P-256).
        timestamp_url: a time stamp authority (RFC 3161); the only case in which the network is used.

    Returns:
        The signed file.

    Raises:
        InputError: if a file cannot be read or written, has no record, is signed already, or certificate, key and
            algorithm do not fit together.
        MissingExtraError: without c2pa-python.
    """
    c2pa = _c2pa()
    if algorithm not in ALGORITHMS:
        raise unknown("signature algorithm", algorithm, ALGORITHMS)
    path, target = Path(path), Path(output or path)
    data = _read(path)
    found = read_tags(data)
    tags = tags or found.tags
    if "c2pa" in found.carriers:
        raise InputError(f"{path} has Content Credentials already; sign the file without them")
    if tags is None:
        raise InputError(f"{path} carries no record of its origin; give one with tags=Tags(...)")
    media_type = _media_type(data[:16])
    signed = io.BytesIO()
    try:
        info = c2pa.C2paSignerInfo(algorithm.encode(), _read(certificate), _read(key), _as_bytes(timestamp_url))
        settings = c2pa.Settings.from_dict(_OFFLINE | {"builder": {"thumbnail": {"enabled": False}}})
        with (
            c2pa.Context(settings) as context,
            c2pa.Signer.from_info(info) as signer,
            c2pa.Builder(_manifest(tags, path.name, media_type), context=context) as builder,
        ):
            builder.sign(signer, media_type, io.BytesIO(data), signed)
    except c2pa.C2paError as error:
        raise InputError(
            f"cannot sign {path}: {printable(str(error))}; certificate, key and algorithm must fit together "
            f"(asked for {algorithm})"
        ) from error
    _replace(target, signed.getvalue())
    return target


def _as_bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


def _read(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error


def _replace(target: Path, data: bytes) -> None:
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        os.replace(part, target)
    except OSError as error:
        raise InputError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)


def read_credentials(source: str | Path | BinaryIO, *, trust_anchors: str | Path | None = None) -> Credentials:
    """Verify the Content Credentials of a file, without the network: no remote manifest, no revocation list.

    Args:
        source: path, or binary file that can seek.
        trust_anchors: PEM file of the root certificates that are trusted; none if None, so that the state is at best
            "valid".

    Raises:
        InputError: if the file cannot be read, is of another format, or has no Content Credentials that can be parsed.
        MissingExtraError: without c2pa-python.
    """
    c2pa = _c2pa()
    settings: dict[str, Any] = dict(_OFFLINE)
    if trust_anchors is not None:
        settings["trust"] = {"trust_anchors": _read(trust_anchors).decode("ascii", "replace")}
    stream = io.BytesIO(_read(source)) if isinstance(source, (str, Path)) else source
    stream.seek(0)
    media_type = _media_type(stream.read(16))
    stream.seek(0)
    try:
        with (
            c2pa.Context(c2pa.Settings.from_dict(settings)) as context,
            c2pa.Reader(media_type, stream, context=context) as reader,
        ):
            return _credentials(json.loads(reader.json()))
    except (c2pa.C2paError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"the Content Credentials cannot be read: {printable(str(error))}") from error


def _credentials(store: dict[str, Any]) -> Credentials:
    state = str(store.get("validation_state", "Invalid")).lower()
    manifests = store["manifests"]
    active = manifests[store["active_manifest"]]
    signature = active.get("signature_info") or {}
    said = [value for manifest in list(manifests.values())[:_MAX_MANIFESTS] for value in _source_types(manifest)]
    first = next((value for value in said if is_synthetic_source(value)), said[0] if said else None)
    failures = (store.get("validation_results") or {}).get("activeManifest", {}).get("failure", [])
    return Credentials(
        state=state if state in ("trusted", "valid") else "invalid",
        digital_source_type=None if first is None else printable(first),
        tags=_record(active),
        issuer=printable(str(signature.get("issuer") or "")),
        common_name=printable(str(signature.get("common_name") or "")),
        problems=tuple(dict.fromkeys(printable(str(failure.get("code"))) for failure in failures)),
    )


def _source_types(manifest: dict[str, Any]) -> Iterator[str]:
    for assertion in manifest.get("assertions") or []:
        if str(assertion.get("label", "")).startswith("c2pa.actions"):
            for action in assertion["data"].get("actions") or []:
                if isinstance(action.get("digitalSourceType"), str):
                    yield action["digitalSourceType"]


def _record(manifest: dict[str, Any]) -> Tags | None:
    for assertion in manifest.get("assertions") or []:
        if assertion.get("label") == RECORD_LABEL:
            try:
                return Tags.from_dict(assertion["data"])
            except InputError:
                return None
    return None
