"""JSON web tokens with which Apps and runners authenticate.

RFC 7519, with RS256 only.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

_XML = re.compile(r"<RSAKeyValue><Modulus>([^<]+)</Modulus><Exponent>([^<]+)</Exponent></RSAKeyValue>")


class InvalidTokenError(Exception):
    """The assertion is malformed, or was signed with another key."""


def decode(token: str) -> tuple[dict[str, Any], bytes, bytes]:
    """Return the claims, the signed part and the signature, unverified.

    Raises InvalidTokenError.
    """
    try:
        header, claims, signature = token.split(".")
        if json.loads(_bytes(header)).get("alg") != "RS256":
            raise InvalidTokenError("not RS256")
        return dict(json.loads(_bytes(claims))), f"{header}.{claims}".encode(), _bytes(signature)
    except (ValueError, TypeError, AttributeError) as error:
        raise InvalidTokenError("not a JSON web token") from error


def verify(token: str, key: RSAPublicKey) -> dict[str, Any]:
    """Return the verified claims of ``token``; raises InvalidTokenError."""
    claims, signed, signature = decode(token)
    try:
        key.verify(signature, signed, PKCS1v15(), SHA256())
    except InvalidSignature:
        raise InvalidTokenError("wrong signature") from None
    return claims


def key_from_pem(pem: str) -> RSAPublicKey:
    """Return the key in the PEM text that an App's owner uploads."""
    key = load_pem_public_key(pem.encode())
    if not isinstance(key, RSAPublicKey):
        raise InvalidTokenError("not an RSA key")
    return key


def key_from_xml(xml: str) -> RSAPublicKey:
    """Return the key in the XML text that a runner registers."""
    match = _XML.fullmatch(xml.strip())
    if match is None:
        raise InvalidTokenError("not an RSAKeyValue")
    try:
        modulus, exponent = (int.from_bytes(base64.b64decode(part), "big") for part in match.groups())
        return RSAPublicNumbers(exponent, modulus).public_key()
    except (binascii.Error, ValueError) as error:
        raise InvalidTokenError("not an RSA key") from error


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
