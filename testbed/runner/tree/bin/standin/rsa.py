"""RSA with plain integers: the runner's key and its signatures.

The signatures are PKCS #1 v1.5 with SHA-256.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import secrets
import time
import uuid
from collections.abc import Mapping

#: GitHub's runner has 2048. A short one guards nothing here, and takes a ninth of the time.
BITS = 1024
EXPONENT = 65537
# The DER prefix of a SHA-256 digest (RFC 8017, 9.2).
_SHA256_PREFIX = bytes.fromhex("3031300d060960864801650304020105000420")
_SMALL_PRIMES = [n for n in range(3, 2000, 2) if all(n % d for d in range(3, math.isqrt(n) + 1, 2))]


def new_key() -> dict[str, str]:
    """Return a new key as the content of ``.credentials_rsaparams``.

    Its numbers are big-endian bytes in base64.
    """
    while True:
        p, q = _prime(BITS // 2), _prime(BITS // 2)
        modulus, order = p * q, (p - 1) * (q - 1)
        if p != q and modulus.bit_length() == BITS and math.gcd(EXPONENT, order) == 1:
            break
    d = pow(EXPONENT, -1, order)
    numbers = {
        "d": d,
        "dp": d % (p - 1),
        "dq": d % (q - 1),
        "exponent": EXPONENT,
        "inverseQ": pow(q, -1, p),
        "modulus": modulus,
        "p": p,
        "q": q,
    }
    return {name: base64.b64encode(_octets(value)).decode() for name, value in numbers.items()}


def public_xml(key: Mapping[str, str]) -> str:
    """Return the public key in the XML form that registration sends."""
    members = f"<Modulus>{key['modulus']}</Modulus><Exponent>{key['exponent']}</Exponent>"
    return f"<RSAKeyValue>{members}</RSAKeyValue>"


def assertion(key: Mapping[str, str], client_id: str, audience: str) -> str:
    """Return a signed JSON web token that proves possession of the private key."""
    now = int(time.time())
    claims = {
        "sub": client_id,
        "iss": client_id,
        "aud": audience,
        "jti": str(uuid.uuid4()),
        "iat": now,
        "exp": now + 300,
    }
    signed = f"{_url_safe(json.dumps({'alg': 'RS256', 'typ': 'JWT'}))}.{_url_safe(json.dumps(claims))}"
    return f"{signed}.{_encode(_sign(key, signed.encode()))}"


def _sign(key: Mapping[str, str], message: bytes) -> bytes:
    modulus, d = _number(key["modulus"]), _number(key["d"])
    size = (modulus.bit_length() + 7) // 8
    digest = _SHA256_PREFIX + hashlib.sha256(message).digest()
    padded = b"\x00\x01" + b"\xff" * (size - len(digest) - 3) + b"\x00" + digest
    return pow(int.from_bytes(padded, "big"), d, modulus).to_bytes(size, "big")


def _prime(bits: int) -> int:
    while True:
        # With the two top bits set, the product of two such primes has exactly twice their length.
        candidate = secrets.randbits(bits) | (3 << (bits - 2)) | 1
        if all(candidate % small for small in _SMALL_PRIMES) and _is_probably_prime(candidate):
            return candidate


def _is_probably_prime(n: int, rounds: int = 5) -> bool:
    """Return the result of the Miller-Rabin test.

    Five rounds are sufficient for random candidates of this size.
    """
    odd, twos = n - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for _ in range(rounds):
        x = pow(secrets.randbelow(n - 3) + 2, odd, n)
        if x in (1, n - 1):
            continue
        for _ in range(twos - 1):
            x = pow(x, 2, n)
            if x == n - 1:
                break
        else:
            return False
    return True


def _octets(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def _number(text: str) -> int:
    return int.from_bytes(base64.b64decode(text), "big")


def _url_safe(text: str) -> str:
    return _encode(text.encode())


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
