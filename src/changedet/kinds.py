"""Kinds of change: their codes, names and colours, and the rules that choose one for an object."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType


class Kind(IntEnum):
    """Kind of change of an object; the codes of ``kind.tif``."""

    NONE = 0
    CONSTRUCTION = 1
    EARTHWORKS = 2
    DEMOLITION = 3
    VEGETATION = 4
    WATER = 5
    SURFACE = 6
    UNCLASSIFIED = 7


#: What each kind is called wherever a reader sees it.
KIND_LABELS: Mapping[Kind, str] = MappingProxyType(
    {
        Kind.NONE: "no object",
        Kind.CONSTRUCTION: "new construction",
        Kind.EARTHWORKS: "ground clearing or earthworks",
        Kind.DEMOLITION: "demolition",
        Kind.VEGETATION: "vegetation change",
        Kind.WATER: "water change",
        Kind.SURFACE: "surface change on existing ground",
        Kind.UNCLASSIFIED: "unclassified change",
    }
)

#: Outline colours, told apart also by readers with colour-vision deficiency (Okabe and Ito 2008).
KIND_COLOURS: Mapping[Kind, str] = MappingProxyType(
    {
        Kind.NONE: "#000000",
        Kind.CONSTRUCTION: "#d55e00",
        Kind.EARTHWORKS: "#e69f00",
        Kind.DEMOLITION: "#cc79a7",
        Kind.VEGETATION: "#009e73",
        Kind.WATER: "#56b4e9",
        Kind.SURFACE: "#f0e442",
        Kind.UNCLASSIFIED: "#ffffff",
    }
)
