"""Digests of files, by which inputs and products are known again."""

from __future__ import annotations

import hashlib
from pathlib import Path

_CHUNK_BYTES = 1 << 20


def sha256_file(path: str | Path) -> str:
    """Return the SHA-256 digest of a file.

    Parameters
    ----------
    path : str or Path
        Read piece by piece, so that its size does not matter.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    OSError
        When the file cannot be read.
    """
    digest = hashlib.sha256()
    with Path(path).open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
