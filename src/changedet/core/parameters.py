"""What the parameters of every detector can do: describe themselves."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Described:
    """Base of parameters that a record of a run has to hold."""

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable description, in the order of the fields."""
        return {
            name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()
        }
