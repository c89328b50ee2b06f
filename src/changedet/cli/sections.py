"""How the help of a group lists its commands: in whole sentences, all of them by their purpose."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from typer.core import TyperGroup

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Headings of the first help, in the order of the work, and the commands below each.
SECTIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Begin": ("demo", "doctor"),
        "Compare two dates of a place": ("run", "detect"),
        "Follow places through time": ("timeline", "watch"),
        "Find and fetch imagery": ("search", "fetch", "plan", "providers", "sites", "cache"),
        "Judge, publish, check": ("report", "plate", "review", "verify"),
        "Methods, and how well they work": ("methods", "evaluate", "train", "register"),
    }
)
#: As long as any help may be: it is wrapped, not cut.
_LONGEST = 1000


class PlainGroup(TyperGroup):
    """A group whose help shows the whole first sentence of each command.

    Attributes
    ----------
    sections : mapping of str to tuple of str
        Headings and the commands below each; the others come last, below "Commands".
    """

    sections: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType({})

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401  # click's, or Typer's own copy
        """Write the commands below their headings."""
        known = {name for names in self.sections.values() for name in names}
        others = tuple(name for name in self.list_commands(ctx) if name not in known)
        width = max(map(len, self.commands), default=0)
        for heading, names in {**self.sections, "Commands": others}.items():
            shown = [(name, self.commands[name]) for name in names if name in self.commands]
            rows = [(f"{n:{width}}", one.get_short_help_str(_LONGEST)) for n, one in shown if not one.hidden]
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows)


class FirstGroup(PlainGroup):
    """The group of all commands, which its help lists by their purpose."""

    sections = SECTIONS
