"""Phone numbers as erasure compares them: one canonical form for each, and a keyed token in its place.

A token is what stands for a number in an erasure's request: whoever has the lake's key can still try all numbers,
so it is personal data, and goes when the request goes.
"""

import hashlib
import re
from collections.abc import Iterator
from typing import Final, Literal

Kind = Literal["international", "national", "text"]

KEY_BYTES: Final = 32
SHORTEST, LONGEST = 5, 15
"""Digits of a subscriber's number with its country code (E.164); shorter ones are services."""

_NO_DIGITS = re.compile(r"[^0-9]")
_LIKE_A_NUMBER = re.compile(r"\+?[0-9][0-9 ().\-/]*")
_DIGITS = re.compile(rb"\+?[0-9]+")
_LENGTH_PREFIXED = re.compile(rb"\+?[0-9][0-9 ().\-/]*")
_MASKED = re.compile(r"[+*]*\*[+* ().\-/]*")


def canonical(text: str | None, kind: Kind = "international", country: str | None = None) -> str | None:
    """The digits of a number with its country code, without a leading `00`; None where the text is no number.

    `+47 900 00 001`, `0047…` and `47…` are one. A national number needs the `country` code, such as `47`, and loses
    one leading zero; without a country it is None. A text (the sender of an SMS) counts only where it is nothing
    but a number.
    """
    if not text or (kind == "text" and not _LIKE_A_NUMBER.fullmatch(text)):
        return None
    digits = _NO_DIGITS.sub("", text)
    if kind == "national":
        return country + digits.removeprefix("0") if country and digits else None
    return digits.removeprefix("00") or None


def token(number: str, key: bytes) -> bytes:
    """Eight bytes in place of a canonical number, different with each lake's key."""
    return hashlib.blake2b(number.encode(), key=key, digest_size=8).digest()


def in_bytes(data: bytes) -> Iterator[bytes]:
    """What may be a number in bytes that cannot be decoded: each run of digits, and each text that has its length
    before it, as protobuf writes one, and looks like a number (a digit may stand right behind it)."""
    for found in _DIGITS.finditer(data):
        yield found[0]
        start = found.start()
        size = data[start - 1] if start else 0
        if 0 < size <= 2 * LONGEST and _LENGTH_PREFIXED.fullmatch(text := data[start : start + size]):
            yield text


def mask(text: str) -> str:
    """As many bytes, none of them a digit: what stands for a number in bytes that must keep their length."""
    return "*" * len(text.encode())


def is_masked(text: str) -> bool:
    """Whether this stands where a number was."""
    return _MASKED.fullmatch(text) is not None
