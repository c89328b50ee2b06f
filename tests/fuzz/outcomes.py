"""What may come of a hostile input: a value, or one plain line."""

from pathlib import Path

from changedet.errors import ChangedetError

#: Longest message; paths of the user's own, which may be 4096 long, come on top.
LONGEST = 1210
_JOINERS = {0x200C: "", 0x200D: ""}
_PROGRAM = str(Path(__file__).parents[2] / "src")


class UnfitError(AssertionError):
    """A message that a reader should not be given."""


def require_plain(error: ChangedetError) -> None:
    """Refuse a message of several lines, with control characters, of our own files, or without end."""
    text = str(error)
    # the joiners of some scripts belong to words
    if not text or not text.translate(_JOINERS).isprintable():
        raise UnfitError(f"not one printable line: {text[:300]!r}")
    if len(text) > LONGEST:
        raise UnfitError(f"{len(text)} characters: {text[:300]!r}")
    for place in (_PROGRAM, "site-packages", "Traceback", "<frozen"):
        if place in text:
            raise UnfitError(f"speaks of the program ({place}): {text[:300]!r}")
    repr(error)


def judge(read, data: bytes, folder: Path) -> str:
    """Run one case; return "value" or "refused", and raise whatever else comes of it."""
    try:
        read(data, folder)
    except ChangedetError as error:
        require_plain(error)
        return "refused"
    return "value"
