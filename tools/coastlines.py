"""Make the coastlines that plates carry from Natural Earth 1:110m (public domain, naturalearthdata.com).

``npm pack world-atlas@2.0.2`` gives the land of Natural Earth 4.1.0 as TopoJSON::

    python tools/coastlines.py package/land-110m.json src/changedet/output/coastlines.json

The result is a list of rings, each [longitude, latitude, step east, step north, ...] in hundredths of a
degree: the first corner, then the way from each corner to the next, which takes little room in an archive.
Longitudes run on beyond 180 where a ring crosses the antimeridian.
"""

from __future__ import annotations

import json
import sys
from itertools import accumulate, chain, pairwise
from pathlib import Path
from typing import Any


def rings(topology: dict[str, Any]) -> list[list[int]]:
    """Return the outlines of all land by their steps in hundredths of a degree."""
    (sx, sy), (tx, ty) = topology["transform"]["scale"], topology["transform"]["translate"]
    arcs = []
    for arc in topology["arcs"]:
        xs, ys = (accumulate(steps) for steps in zip(*arc, strict=True))
        arcs.append([(x * sx + tx, y * sy + ty) for x, y in zip(xs, ys, strict=True)])

    def _ring(numbers: list[int]) -> list[int]:
        points = list(chain.from_iterable((arcs[n] if n >= 0 else arcs[~n][::-1])[:-1] for n in numbers))
        corners = [(round(100 * x), round(100 * y)) for x, y in _unrolled(points)]
        steps = [(x - west, y - south) for (west, south), (x, y) in pairwise(corners)]
        return [*corners[0], *chain.from_iterable(steps)]

    shapes = [shape for one in topology["objects"]["land"]["geometries"] for shape in one["arcs"]]
    return [_ring(numbers) for shape in shapes for numbers in shape]


def _unrolled(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Let longitudes run on where a ring crosses the antimeridian; close one that goes round a pole."""
    found = [points[0]]
    for x, y in [*points[1:], points[0]]:
        last = found[-1][0]
        found.append((last + (x - last + 180) % 360 - 180, y))
    end = found.pop()
    round_a_pole = abs(end[0] - points[0][0]) > 180
    return [*found, end, (end[0], -90), (points[0][0], -90)] if round_a_pole else found


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    found = rings(json.loads(source.read_text(encoding="utf-8")))
    target.write_text(json.dumps(found, separators=(",", ":")) + "\n", encoding="utf-8")
