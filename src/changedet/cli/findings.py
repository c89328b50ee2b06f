"""What `changedet doctor` found: one line for each thing that was looked at."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    check : str
        What was looked at.
    status : str
        ``"ok"``, ``"missing"`` (something optional) or ``"failed"``.
    detail : str
        What was found, and what to do when it is not well. Never a secret.
    """

    check: str
    status: str
    detail: str
