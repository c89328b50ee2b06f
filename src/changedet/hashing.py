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


def code_digest(folder: Path | None = None) -> str:
    """Return what changes whenever a module of the package does.

    What can be made again at any time is kept with it, and made again when another code would make it
    otherwise: a version alone says nothing while the package is being worked on.

    Parameters
    ----------
    folder : Path, optional
        Of the modules; the package itself when not given.

    Returns
    -------
    str
        Of all modules with their names. Always the same where they do not lie in a folder.

    Raises
    ------
    OSError
        When a module cannot be read.
    """
    home = Path(__file__).parent if folder is None else folder
    digest = hashlib.sha256()
    for name in sorted(path.relative_to(home).as_posix() for path in home.rglob("*.py")):
        digest.update(f"{sha256_file(home / name)} {name}\n".encode())
    return digest.hexdigest()
