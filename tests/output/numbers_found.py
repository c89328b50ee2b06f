"""Whether every number that a reader is shown stands in a record: for reports and plates alike."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import numpy as np

# by the unit that follows: shares are recorded as parts of one, areas in square metres
_FACTORS = {"%": 100.0, "ha": 1e-4, "km²": 1e-6}
_NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?")
# identifiers, grid references, positions: letters and digits in one word
_NAME = re.compile(r"(?=.*[A-Za-z])(?=.*\d)[\w°'\".-]{6,}")


class _Words(HTMLParser):
    """What a page shows or reads aloud, without style sheets and scripts."""

    def __init__(self, html):
        super().__init__()
        self.parts, self.hidden = [], 0
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.hidden += tag in {"style", "script"}
        self.parts += [value for name, value in attrs if name in {"alt", "aria-label"} and value]

    def handle_endtag(self, tag):
        self.hidden -= tag in {"style", "script"}

    def handle_data(self, data):
        if not self.hidden:
            self.parts.append(data)


def words_of_page(html):
    """Return what a page says as one text."""
    return " ".join(" ".join(_Words(html).parts).split())


def numbers_missing(text, record, *, besides=()):
    """Return the words of a text with a number that is neither in a record nor in the texts `besides`.

    A word that the record holds as it is counts (a date, an identifier, a digest). Of another each number is
    looked for: one of the record has to round to it, as it is, or in the unit that follows the word.
    """
    known = json.dumps(record, ensure_ascii=False).replace('\\"', '"') + " " + " ".join(besides)
    values = np.unique([abs(float(n.replace(",", ""))) for n in _NUMBER.findall(known)])
    words = text.split()
    pairs = dict.fromkeys(zip(words, [*words[1:], ""], strict=True))
    missing = [one for one, following in pairs if not _is_known(one, following, known, values)]
    return list(dict.fromkeys(missing))


def altered(text):
    """Return the words of a text that hold a number, each with its last digit another one."""
    words = [word for word in dict.fromkeys(text.split()) if re.search(r"\d", word)]
    return [re.sub(r"\d(?!.*\d)", lambda digit: str((int(digit[0]) + 3) % 10), word) for word in words]


def _is_known(word, following, known, values):
    numbers = _NUMBER.findall(word)
    bare = word.strip("()[],;:.“”'")
    if re.search(rf"(?<![\w.]){re.escape(bare)}(?![\w.]*\w)", known):
        return True
    if _NAME.fullmatch(bare):
        return all(piece in known for piece in re.findall(r"\w*\d\w*", bare))
    factor = _FACTORS.get(following.strip("().,;:"), 1.0)
    return all(_is_near(number, values) or _is_near(number, values * factor) for number in numbers)


def _is_near(number, values):
    digits = len(number.partition(".")[2])
    value = float(number.replace(",", ""))
    half = 0.5 * 10.0**-digits * 1.000001
    place = np.searchsorted(values, value - half)
    return place < len(values) and values[place] <= value + half
