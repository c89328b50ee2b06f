"""The widget that notebooks show: Python holds the result and the verdicts, the browser draws."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from changedet.errors import ChangedetError, UsageError
from changedet.notebook import payload
from changedet.output import facts
from changedet.timeline.reconsidering import reconsider, recorded_thresholds

if TYPE_CHECKING:
    import geopandas as gpd

    from changedet.notebook.verdict_book import VerdictBook
    from changedet.result import ChangeResult
    from changedet.scene import Image, Scene
    from changedet.timeline.reconsidering import Reconsidered

#: The slider of the threshold ends at this many times the recorded one, or at the highest score.
_SLIDER_FACTOR = 3.0


def widget_code() -> dict[str, str]:
    """Return the script and the style sheet of the widgets; nothing in them is loaded from elsewhere.

    Returns
    -------
    dict of str to str
        ``_esm``, a module of which the report shares the first half, and ``_css``.
    """
    viewer = files("changedet.output.templates").joinpath("viewer.js")
    own = files("changedet.notebook")
    script = viewer.read_text("utf-8") + own.joinpath("explore.js").read_text("utf-8")
    return {"_esm": script, "_css": own.joinpath("explore.css").read_text("utf-8")}


class Explorer(anywidget.AnyWidget):
    """A result to look at: two dates on one stage, the score, its threshold, candidates and verdicts.

    Made by `ChangeResult.explore`. The threshold moves in the browser; when its slider is let go, the
    candidates are found anew here.

    Attributes
    ----------
    threshold : float
        Score that starts an object; may be set from Python.
    min_area_m2 : float
        Smallest object in square metres; may be set from Python.
    combination : str
        Name of the picture that is shown, see `changedet.notebook.payload.combinations`.
    chosen : int
        Number of the candidate that is looked at, 0 for none.
    reviewer : str
        Who judges, unless the field in the widget says otherwise.
    result : ChangeResult
        What is looked at.
    """

    _esm = traitlets.Unicode().tag(sync=True)
    _css = traitlets.Unicode().tag(sync=True)
    _about: traitlets.Dict[str, Any] = traitlets.Dict().tag(sync=True)
    _limits: traitlets.List[float] = traitlets.List().tag(sync=True)
    _score = traitlets.Bytes().tag(sync=True)
    _state = traitlets.Bytes().tag(sync=True)
    _pictures: traitlets.Dict[str, Any] = traitlets.Dict().tag(sync=True)
    _objects: traitlets.List[dict[str, Any]] = traitlets.List().tag(sync=True)
    _counted: traitlets.Dict[str, Any] = traitlets.Dict().tag(sync=True)
    _verdicts: traitlets.Dict[str, Any] = traitlets.Dict().tag(sync=True)
    _said: traitlets.Dict[str, Any] = traitlets.Dict({"text": ""}).tag(sync=True)
    threshold = traitlets.Float(0.0).tag(sync=True)
    min_area_m2 = traitlets.Float(0.0).tag(sync=True)
    combination = traitlets.Unicode().tag(sync=True)
    chosen = traitlets.Int(0).tag(sync=True)
    reviewer = traitlets.Unicode().tag(sync=True)

    def __init__(self, result: ChangeResult, book: VerdictBook, reviewer: str = "") -> None:
        sent = payload.send_score(result.score)
        self.result, self._book, self._found = result, book, result.objects
        self._again: Reconsidered | None = None
        self._drawn: dict[str, dict[str, str]] = {}
        first = next(iter(payload.combinations(result)))
        recorded, movable = _recorded(result)
        about = payload.describe(result, sent) | {
            "movable": movable,
            "recorded": list(recorded),
            "median": result.thresholds.get("median") if movable else 0.0,
            "mad": result.thresholds.get("mad") if movable else 0.0,
        }
        super().__init__(
            **widget_code(),
            _about=about,
            _limits=_limits(result, sent, recorded[0]) if movable else [sent.low, sent.high],
            _score=bytes(sent.codes.astype("<u2").tobytes()),
            _state=payload.send_state(result.state, sent.block),
            threshold=recorded[0],
            min_area_m2=recorded[1],
            combination=first,
            reviewer=reviewer,
            _verdicts={str(number): said for number, said in book.given.items()},
        )
        self._show_pictures()
        self._show_objects()
        self.observe(self._on_settings, ["threshold", "min_area_m2"])
        self.observe(self._on_combination, "combination")
        self.on_msg(self._on_message)

    @property
    def objects(self) -> gpd.GeoDataFrame:
        """The candidates under the present threshold and smallest object."""
        return self._found

    @property
    def verdicts(self) -> dict[int, dict[str, str]]:
        """The verdict that stands for each candidate of the run, by its number."""
        return dict(self._book.given)

    @property
    def as_recorded(self) -> bool:
        """True while threshold and smallest object are those of the run."""
        return bool([self.threshold, self.min_area_m2] == self._about["recorded"])

    def judge(self, number: int, verdict: str, *, note: str = "", reviewer: str = "") -> None:
        """Give a verdict on a candidate of the run, as the buttons do.

        Parameters
        ----------
        number : int
            ``id`` of the candidate.
        verdict : str
            Accepted, rejected or unsure.
        note : str
            Why.
        reviewer : str
            Who judges; `reviewer` of the widget when not given.

        Raises
        ------
        UsageError
            When nobody is named, the run has no such candidate, or other settings are shown.
        """
        if not self.as_recorded:
            raise UsageError(
                "verdicts are given on the candidates of the run", todo="go back to the recorded settings"
            )
        if number not in set(self.result.objects["id"]):
            raise UsageError(f"the run has no candidate {number}", todo="choose one of the list")
        self._book = self._book.judge(number, verdict, note, reviewer or self.reviewer)
        self._verdicts = {str(one): said for one, said in self._book.given.items()}
        if self._book.blind:
            self._show_objects()

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:  # noqa: ANN401
        return with_still(super()._repr_mimebundle_(**kwargs), self.result._repr_html_())

    def __repr__(self) -> str:
        return f"Explorer({facts.clean(self.result.name)}, {len(self._found):,} candidates)"

    def _on_settings(self, _change: object) -> None:
        self._attempt(self._find_objects)

    def _on_combination(self, _change: object) -> None:
        self._attempt(self._show_pictures)

    def _on_message(self, _widget: object, content: dict[str, Any], _buffers: object) -> None:
        if content.get("kind") == "verdict":
            self._attempt(lambda: self._take_verdict(content))

    def _take_verdict(self, content: dict[str, Any]) -> None:
        number, word, note, reviewer = (
            content.get(name, "") for name in ("object", "verdict", "note", "reviewer")
        )
        self.judge(int(number or 0), str(word), note=str(note), reviewer=str(reviewer))
        where = f" in {self._book.state_file}" if self._book.state_file else " in this notebook only"
        self._said = {"text": f"candidate {number}: {word}, kept{where}", "turn": self._turn()}

    def _attempt(self, action: Any) -> None:  # noqa: ANN401  # anything that is called without arguments
        """Do what the browser asked for; what speaks against it is told there, in one line."""
        try:
            action()
        except ChangedetError as error:
            self._said = {"text": str(error), "wrong": True, "turn": self._turn()}
            self._show_objects()

    def _turn(self) -> int:
        """Return another number each time, so that the same words are told again."""
        return int(self._said.get("turn", 0)) + 1

    def _find_objects(self) -> None:
        if self.as_recorded:
            self._found = self.result.objects
        else:
            self._again = self._again or reconsider(self.result)
            self._found = self._again.candidates(self.threshold, self.min_area_m2)
        self.chosen = 0
        self._show_objects()

    def _show_pictures(self) -> None:
        name = self.combination
        if name not in payload.combinations(self.result):
            known = ", ".join(payload.combinations(self.result))
            raise UsageError(f"there is no picture {name[:60]!r}", todo=f"choose one of {known}")
        if name not in self._drawn:
            self._drawn[name] = payload.send_pictures(self.result, name)
        self._pictures = self._drawn[name]

    def _show_objects(self) -> None:
        told = payload.send_objects(self._found, self.result, hidden=self._book.blind)
        if self._book.blind:
            plain = payload.send_objects(self._found, self.result)
            seen = self._book.given if self.as_recorded else {}
            told = [one if one["id"] in seen else shut for shut, one in zip(told, plain, strict=True)]
        self._objects = told
        area, left = float(self._found["area_m2"].sum()), len(self._found) - len(told)
        text = f"{len(self._found):,} candidate(s), {facts.area_text(area)} in all"
        text += "" if self.as_recorded else f"; as recorded {len(self.result.objects):,}"
        text += f"; the leading {len(told):,} are outlined" if left else ""
        turn = int(self._counted.get("turn", 0)) + 1
        self._counted = {"text": text, "recorded": self.as_recorded, "turn": turn}


class DateExplorer(anywidget.AnyWidget):
    """Dates of a place to leaf through; any two of them on one stage.

    Made by `Site.explore`.

    Attributes
    ----------
    before, after : int
        Which dates are shown, as places in `scenes`; may be set from Python.
    scenes : tuple of Scene
        All that are shown, in order of time.
    """

    _esm = traitlets.Unicode().tag(sync=True)
    _css = traitlets.Unicode().tag(sync=True)
    _about: traitlets.Dict[str, Any] = traitlets.Dict().tag(sync=True)
    _pictures: traitlets.List[str] = traitlets.List().tag(sync=True)
    before = traitlets.Int(0).tag(sync=True)
    after = traitlets.Int(0).tag(sync=True)

    def __init__(self, name: str, images: tuple[Image, ...]) -> None:
        from changedet.notebook.dates import dates_html, describe_dates

        self.scenes: tuple[Scene, ...] = tuple(image.scene for image in images)
        self._still = dates_html(name, images)
        like = max(images, key=lambda image: float(image.valid.mean()))
        super().__init__(
            **widget_code(),
            _about=describe_dates(name, images),
            _pictures=[payload.send_image(image, like) for image in images],
            after=len(images) - 1,
        )

    @traitlets.validate("before", "after")
    def _within(self, proposal: dict[str, Any]) -> int:
        return min(max(int(proposal["value"]), 0), len(self.scenes) - 1)

    @property
    def chosen(self) -> tuple[Scene, Scene]:
        """The two scenes that are shown, before and after."""
        return self.scenes[self.before], self.scenes[self.after]

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:  # noqa: ANN401
        return with_still(super()._repr_mimebundle_(**kwargs), self._still)

    def __repr__(self) -> str:
        return f"DateExplorer({len(self.scenes)} dates)"


def with_still(
    bundle: tuple[dict[str, Any], dict[str, Any]] | None, html: str
) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Add a still view to what a notebook is given, for where it is read without a kernel.

    Parameters
    ----------
    bundle : tuple of two dict, or None
        Data by media type, and metadata.
    html : str
        The still view.

    Returns
    -------
    tuple of two dict, or None
        Front ends that know widgets prefer these.
    """
    return None if bundle is None else ({**bundle[0], "text/html": html}, bundle[1])


def _recorded(result: ChangeResult) -> tuple[tuple[float, float], bool]:
    """Return the threshold and the smallest object of a run, and whether they can be moved."""
    area = float(result.detection_floor.get("min_area_m2", 0.0))
    try:
        return (recorded_thresholds(result).seed, area), True
    except UsageError:
        return (0.0, area), False


def _limits(result: ChangeResult, sent: payload.SentScore, seed: float) -> list[float]:
    """Return the ends of the slider: the background, and well above the recorded threshold."""
    median = result.thresholds["median"]
    highest = max(sent.high, seed)
    return [median + 0.02 * (seed - median), min(highest, median + _SLIDER_FACTOR * (seed - median))]
