"""Inputs made of seeds: bytes, words, JSON, XML and archives, spoilt in the ways that break readers."""

import io
import json
import random
import warnings
import zipfile

#: Numbers at the edges of what readers can hold.
NUMBERS = (
    0,
    -1,
    1,
    2**31 - 1,
    2**31,
    -(2**31),
    2**32,
    2**63,
    2**64,
    10**25,
    1e308,
    -1e308,
    1e-320,
    0.1,
    180.0,
    90.0,
)
#: Texts at the edges of what a reader or a terminal can bear.
TEXTS = (
    "",
    " ",
    "\0",
    "\x1b[2J\x1b]0;x\x07",
    "../../x",
    "/etc/passwd",
    "C:\\x",
    "CON",
    "\u202egnp.exe",
    "\ud800",
    "\ufffe",
    "=1+1",
    "<script>alert(1)</script>",
    "&lt;",
    "]]>",
    "<!--",
    "'\"`",
    "%s%n{0}",
    "x" * 10_000,
    "\u0665\u00b2\u2460",
    "1" * 5000,
    "1e999",
    "-0",
    "nan",
    "Infinity",
    "0x10",
    "1_000",
    "١٢",
    "2024-02-30",
    "9999-12-31",
    "0001-01-01T00:00:00+23:59",
    "http://127.0.0.1:9/x",
    "/vsicurl/http://127.0.0.1:9/x",
    "file:///etc/passwd",
    "\\\\host\\share",
    "\r\nX: y",
)
#: Values of JSON that are seldom where they are expected.
VALUES = (
    None,
    True,
    False,
    [],
    {},
    [[]],
    [None],
    {"": None},
    [{}],
    {"type": "Point", "coordinates": []},
    *NUMBERS,
    *TEXTS,
    float("nan"),
    float("inf"),
    -float("inf"),
    10**400,
)
#: What a reader of binary files trips over.
BYTES = (
    b"\0",
    b"\xff",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\x80\0\0\0",
    b"\0\0\0\x80",
    b"\x01",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\xed\xa0\x80",
    b"\xc0\x80",
    b"%",
    b"\n",
    b"\r",
    b"\x1b[2J",
    b'"',
    b"'",
    b"<",
    b">",
    b"&",
    b",",
    b";",
    b"=",
    b"/",
    b"\\",
    b"..",
    b"9" * 400,
    b"-",
    b"e999",
    b"NaN",
    b"[" * 5000,
    b"{" * 60,
)
DOCTYPE = '<!DOCTYPE a [<!ENTITY x "y">]>'
XML = (
    DOCTYPE,
    '<!DOCTYPE a SYSTEM "file:///etc/passwd">',
    "<![CDATA[",
    "]]>",
    "<!--",
    "<a/>",
    "&#0;",
    "&#x10ffff;",
    "&x;",
    "<?xml version='1.0' encoding='utf-16'?>",
    "xmlns='x'",
    "<" * 50,
    "<a>" * 3000,
    "\ud7ff",
)


def spoil_bytes(rng: random.Random, data: bytes, words: tuple[bytes, ...] = ()) -> bytes:
    """Flip, cut, double, and put in what hurts."""
    out = bytearray(data)
    for _ in range(1 if rng.random() < 0.5 else rng.randint(1, 8)):
        at = rng.randrange(len(out) + 1)
        length = min(len(out) - at, rng.choice((1, 1, 2, 4, 8, rng.randint(0, 200))))
        chance = rng.randrange(8)
        if chance == 0:
            del out[at : at + length]
        elif chance == 1:
            out[at:at] = rng.choice(words or BYTES)
        elif chance == 2:
            out[at:at] = rng.choice(BYTES)
        elif chance == 3:
            out[at : at + length] = rng.randbytes(length)
        elif chance == 4:
            piece = out[at : at + length]
            to = rng.randrange(len(out) + 1)
            out[to:to] = piece
        elif chance == 5 and out:
            word = rng.choice(BYTES[:8])
            out[at : at + len(word)] = word
        elif chance == 6 and at < len(out):
            out[at] ^= 1 << rng.randrange(8)
        elif chance == 7:
            del out[at if rng.random() < 0.2 else len(out) :]
    return bytes(out)


def spoil_text(rng: random.Random, data: bytes, words: tuple[str, ...] = ()) -> bytes:
    """Exchange letters and words of a text."""
    out = data.decode("utf-8", "replace")
    for _ in range(1 if rng.random() < 0.6 else rng.randint(2, 5)):
        at = rng.randrange(len(out) + 1)
        to = min(len(out), at + rng.choice((0, 1, 2, rng.randint(0, 30))))
        word = (
            rng.choice(words)
            if words and rng.random() < 0.6
            else rng.choice((*TEXTS, *map(str, NUMBERS), chr(rng.randrange(0x3000))))
        )
        out = out[:at] + (word if rng.random() < 0.8 else out[at:to] * 2) + out[to:]
    return out[:200_000].encode("utf-8", "surrogatepass" if rng.random() < 0.05 else "replace")


def spoil_tree(rng: random.Random, value: object) -> object:
    """Return a JSON value with one place of it changed; the value itself stays as it is."""
    inside = isinstance(value, dict | list) and len(value)
    if not inside or rng.random() < 0.12:
        return _other(rng, value)
    if isinstance(value, dict):
        key = rng.choice(list(value))
        copy = dict(value)
        chance = rng.random()
        if chance < 0.05:
            del copy[key]
        elif chance < 0.08:
            copy[rng.choice(TEXTS)] = copy.pop(key)
        else:
            copy[key] = spoil_tree(rng, value[key])
        return copy
    at = rng.randrange(len(value))
    chance = rng.random()
    if chance < 0.05:
        return value[:at] + value[at + 1 :]
    if chance < 0.1:
        return value[:at] + [value[at]] * rng.choice((2, 3, 50)) + value[at + 1 :]
    return [*value[:at], spoil_tree(rng, value[at]), *value[at + 1 :]]


def _other(rng: random.Random, value: object) -> object:
    chance = rng.random()
    if isinstance(value, bool) or chance < 0.5:
        return rng.choice(VALUES)
    if isinstance(value, int | float) and chance < 0.9:
        return value * rng.choice((-1, 0.5, 10, 1e6, 1e300)) if abs(value) < 1e300 else 0
    if isinstance(value, str) and chance < 0.9:
        return spoil_text(rng, value.encode("utf-8", "replace")).decode("utf-8", "replace")
    return rng.choice(([value], {"": value}, [value] * 20, str(value)))


def spoil_json(rng: random.Random, seed: object) -> bytes:
    """Spoil a document of JSON: its tree, now and then its text, seldom its depth."""
    chance = rng.random()
    if chance < 0.01:
        return rng.choice(
            (b"[" * 100_000, b'{"a":' * 50_000, b"1" * 10_000, b'{"type":' + b"[" * 3000 + b"]" * 3000 + b"}")
        )
    for _ in range(1 if rng.random() < 0.6 else rng.randint(2, 6)):
        seed = spoil_tree(rng, seed)
    text = json.dumps(seed, ensure_ascii=rng.random() < 0.5).encode("utf-8", "replace")
    return spoil_bytes(rng, text) if chance < 0.1 else text


def spoil_zip(rng: random.Random, data: bytes, inner: bytes, words: tuple[str, ...]) -> bytes:
    """Spoil an archive from outside, or one whose main file is spoilt or has another name."""
    if rng.random() < 0.5:
        return spoil_bytes(
            rng, data, (b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x06", b"doc.kml")
        )
    buffer = io.BytesIO()
    with (
        warnings.catch_warnings(),
        zipfile.ZipFile(buffer, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive,
    ):
        warnings.simplefilter("ignore")  # two entries of one name are what is wanted
        for _ in range(rng.choice((1, 1, 1, 2))):
            name = rng.choice(
                ("doc.kml", "doc.kml", "a/b.kml", "../../x.kml", "/x.kml", "x" * 300 + ".kml", "\x1b.kml")
            )
            archive.writestr(zipfile.ZipInfo(name), spoil_text(rng, inner, words))
    return buffer.getvalue()
