"""What a search returns: a list that shows itself as a table."""

from __future__ import annotations

from changedet.scene import Scene


class SceneList(list[Scene]):
    """Scenes of a search; a list in every way, which shows a line for each scene instead of all they hold.

    Examples
    --------
    >>> print(SceneList([Scene("pier-2023", "local", level="L2A", platform="Sentinel-2A")]))
    1 scene(s)
       date     platform     level  orbit  tile cloud  covers  id
    0  unknown  Sentinel-2A  L2A                               pier-2023
    """

    def __repr__(self) -> str:
        from changedet.output.summary import scenes_text

        return scenes_text(self)

    def _repr_html_(self) -> str:
        from changedet.notebook.repr import scenes_html

        return scenes_html(self)
