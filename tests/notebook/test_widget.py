"""The Python side of the widgets: what is sent, what is answered, what is kept."""

import builtins
import json
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.synthetic import BEFORE_TIME, make_both, make_image, make_radar_alone, make_result

from changedet.errors import NoUsableImageryError, UsageError
from changedet.notebook import payload
from changedet.notebook.explore import NO_WIDGET, StillView
from changedet.result import ChangeResult, State
from changedet.site import Site

pytest.importorskip("anywidget", reason="anywidget is not installed")

HOSTILE = "</script><script>alert(1)</script>\u202e\x1b[31m"
SITE = Site.at("38.5847, 126.1079", radius_m=500, name="pier")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A small result with its run folder."""
    with pytest.MonkeyPatch.context() as patch:
        from tests.runs import write_no_plates

        patch.setattr("changedet.output.plate.write_plates", write_no_plates)
        return ChangeResult.open(make_result().save(tmp_path_factory.mktemp("runs") / "run"))


class TestScores:
    @settings(max_examples=40, deadline=None)
    @given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 10**6), st.integers(4, 900))
    def test_codes_are_the_highest_scores_of_blocks_to_half_a_step(self, rows, columns, seed, most):
        rng = np.random.default_rng(seed)
        score = rng.normal(0, 10 ** rng.uniform(-3, 3), (rows, columns)).astype(np.float32)
        score[rng.random(score.shape) < 0.2] = np.nan
        sent = payload.send_score(score, most)
        assert (rows // sent.block) * (columns // sent.block) <= most
        for row, column in np.ndindex(sent.codes.shape):
            area = (
                slice(row * sent.block, (row + 1) * sent.block),
                slice(column * sent.block, (column + 1) * sent.block),
            )
            seen = score[area][np.isfinite(score[area])]
            code = int(sent.codes[row, column])
            if seen.size == 0:
                assert code == 0
            else:
                assert sent.low + (code - 1) * sent.step == pytest.approx(
                    seen.max(), abs=0.51 * sent.step + 1e-6
                )

    def test_a_score_of_nothing_is_sent_as_nothing(self):
        sent = payload.send_score(np.full((4, 5), np.nan, np.float32))
        assert not sent.codes.any()
        assert sent.high > sent.low

    def test_a_score_that_does_not_vary_stays_judged(self):
        assert (payload.send_score(np.full((3, 3), 2.0, np.float32)).codes == 1).all()

    def test_states_come_in_the_blocks_of_the_score(self):
        state = np.arange(25, dtype=np.uint8).reshape(5, 5)
        assert list(payload.send_state(state, 2)) == [0, 2, 4, 10, 12, 14, 20, 22, 24]


class TestPictures:
    def test_only_what_the_bands_allow_is_offered(self):
        result = make_result()
        assert list(payload.combinations(result)) == list(payload.COMBINATIONS)
        alone = payload.combinations(make_radar_alone())
        assert list(alone) == [payload.AS_COMPARED]
        assert list(payload.combinations(make_both()))[-1] == payload.RADAR

    @pytest.mark.parametrize("make", [make_result, make_radar_alone, make_both])
    def test_every_picture_can_be_drawn(self, make):
        result = make()
        for name in payload.combinations(result):
            drawn = payload.send_pictures(result, name)
            assert drawn["before"] != drawn["after"]
            assert drawn["stretch"].startswith("Same stretch on both dates")
            assert all(drawn[side].startswith("data:image/jpeg;base64,") for side in ("before", "after"))

    def test_natural_colour_has_the_stretch_of_the_report(self):
        from changedet.output.stretch import stretch_limits

        result = make_result()
        limits = stretch_limits(result.before, result.after, result.before.valid & result.after.valid)
        assert payload.send_pictures(result, "natural colour")["stretch"] == limits.text


class TestExplorer:
    def test_what_is_sent_is_json_and_offline(self):
        view = make_result(name=HOSTILE, warnings=(HOSTILE,)).explore()
        sent = json.dumps([view._about, view._objects, view._counted, view._limits, view._verdicts])
        assert "\\u202e" not in sent
        assert "\\u001b" not in sent
        assert "http" not in view._esm.replace("http://www.w3.org/2000/svg", "")
        assert "import" not in view._esm.split()
        assert "@import" not in view._css
        assert "url(" not in view._css

    def test_the_score_is_sent_once_as_two_bytes_a_pixel(self):
        result = make_result()
        view = result.explore()
        assert len(view._score) == 2 * result.score.size
        assert len(view._state) == result.score.size
        codes = np.frombuffer(view._score, "<u2").reshape(result.score.shape)
        assert ((codes == 0) == ~np.isfinite(result.score)).all()

    def test_the_recorded_settings_show_the_recorded_candidates(self):
        result = make_result()
        view = result.explore()
        assert (view.threshold, view.min_area_m2) == (4.4, 500.0)
        assert view.objects is result.objects
        assert view._counted["text"] == "3 candidate(s), 2.96 ha in all"
        assert [one["id"] for one in view._objects] == [1, 2, 3]
        assert view._objects[0]["kind"] == "consistent with new construction"
        assert view._objects[0]["path"].startswith("M")

    def test_letting_go_of_a_slider_finds_the_candidates_anew(self):
        view = make_result().explore()
        view.chosen = 2
        view.min_area_m2 = 5000.0
        assert (view.objects["area_m2"] >= 5000 * 0.99).all()
        assert "as recorded 3" in view._counted["text"]
        assert not view._counted["recorded"]
        assert view.chosen == 0
        few = len(view.objects)
        view.threshold = 1e4
        assert view.objects.empty
        view.threshold, view.min_area_m2 = 4.4, 500.0
        assert len(view.objects) == 3 >= few
        assert view.as_recorded

    def test_a_threshold_that_cannot_be_is_told_and_not_raised(self):
        view = make_result().explore()
        view.threshold = -1.0
        assert view._said["wrong"]
        assert "does not lie above the background" in view._said["text"]

    def test_other_bands_are_drawn_when_they_are_asked_for(self):
        view = make_result().explore()
        first = view._pictures
        view.combination = "short-wave infrared"
        assert "B12" in view._pictures["stretch"]
        view.combination = "natural colour"
        assert view._pictures is first
        view.combination = "ultraviolet"
        assert view._said["wrong"]

    @pytest.mark.parametrize(
        "result",
        [
            make_result(thresholds={"median": 0.1, "mad": 0.0, "seed": float("inf"), "grow": float("inf")}),
            make_result(boxes=[], kinds=[], score=np.full((100, 120), np.nan, np.float32), thresholds={},
                        state=np.full((100, 120), State.NOT_COMPARABLE, np.uint8)),
        ],
    )  # fmt: skip
    def test_a_result_that_was_refused_can_be_looked_at_with_its_sliders_locked(self, result):
        view = result.explore()
        assert not view._about["movable"]
        json.dumps([view._about, view._limits], allow_nan=False)

    @pytest.mark.parametrize("make", [make_radar_alone, make_both])
    def test_radar_can_be_looked_at(self, make):
        view = make().explore()
        json.dumps([view._about, view._objects, view._limits, view._counted], allow_nan=False)
        assert view._pictures["before"]

    def test_a_large_grid_is_sent_in_blocks(self, monkeypatch):
        monkeypatch.setattr(payload.send_score, "__defaults__", (3000,))
        view = make_result().explore()
        assert (view._about["sent_rows"], view._about["sent_columns"]) == (50, 60)
        assert len(view._score) == 2 * 3000
        assert len(view._state) == 3000

    def test_it_names_itself(self):
        assert repr(make_result().explore()) == "Explorer(Test site, 3 candidates)"

    def test_a_result_whose_place_is_withheld_does_not_send_it(self):
        view = make_result(redact_coordinates=True).explore()
        sent = json.dumps([view._about, view._objects, view._counted]) + view.result._repr_html_()
        for secret in ("52SBH46557610", "38.597", "126.089", "T52SBH", "nan, nan"):
            assert secret not in sent
        assert "withheld" in sent

    def test_where_no_kernel_is_a_still_view_stands(self):
        data, _ = make_result().explore()._repr_mimebundle_()
        assert "application/vnd.jupyter.widget-view+json" in data
        assert data["text/html"].count("<img") == 3

    def test_the_divider_is_that_of_the_report(self):
        from importlib.resources import files

        shared = files("changedet.output.templates").joinpath("viewer.js").read_text("utf-8")
        view = make_result().explore()
        assert view._esm.startswith(shared)
        assert "function startViewer(" in shared


class TestVerdicts:
    def click(self, view, number, verdict, note="", reviewer="A. Reader"):
        said = {"kind": "verdict", "object": number, "verdict": verdict, "note": note, "reviewer": reviewer}
        view._handle_custom_msg(said, [])

    def test_a_click_reaches_python(self):
        view = make_result().explore()
        self.click(view, 2, "rejected", "harvest")
        assert view.verdicts[2]["verdict"] == "rejected"
        assert view.verdicts[2]["note"] == "harvest"
        assert view._verdicts["2"]["reviewer"] == "A. Reader"
        assert view._said["text"] == "candidate 2: rejected, kept in this notebook only"

    def test_nobody_named_is_told_in_the_widget(self):
        view = make_result().explore()
        self.click(view, 1, "accepted", reviewer="")
        assert view.verdicts == {}
        assert "nobody is named" in view._said["text"]
        self.click(view, 1, "perhaps")
        self.click(view, 99, "accepted")
        assert view.verdicts == {}
        assert "no candidate 99" in view._said["text"]

    def test_other_candidates_than_those_of_the_run_cannot_be_judged(self):
        view = make_result().explore(reviewer="A. Reader")
        view.min_area_m2 = 5000.0
        with pytest.raises(UsageError, match="go back to the recorded settings"):
            view.judge(1, "accepted")

    def test_verdicts_go_into_the_state_file_and_come_back(self, saved, tmp_path):
        file = tmp_path / "state.gpkg"
        view = saved.explore(state_file=file, reviewer="A. Reader")
        self.click(view, 1, "accepted", "a hall")
        view.judge(3, "u")
        assert str(file) in view._said["text"]
        from changedet.watch.state import open_state
        from changedet.watch.verdicts import history

        with open_state(file) as state:
            told = history(state)
        assert told[["number", "verdict", "note", "blind"]].to_numpy().tolist() == [
            [1, "accepted", "a hall", False], [3, "unsure", "", False]
        ]  # fmt: skip
        again = saved.explore(state_file=file)
        assert {n: said["verdict"] for n, said in again.verdicts.items()} == {1: "accepted", 3: "unsure"}
        assert again._verdicts["1"]["note"] == "a hall"

    def test_a_state_file_wants_a_run_folder(self, tmp_path):
        with pytest.raises(UsageError, match="this result has none; save it and open it again"):
            make_result().explore(state_file=tmp_path / "state.gpkg")

    def test_a_blind_reviewer_sees_the_kind_after_the_verdict(self, saved, tmp_path):
        view = saved.explore(state_file=tmp_path / "state.gpkg", reviewer="A. Reader", blind=True)
        secret = {"kind", "score", "confidence", "evidence", "warnings"}
        assert not any(secret & set(one) for one in view._objects)
        assert {one["colour"] for one in view._objects} == {"#ffffff"}
        self.click(view, 2, "rejected")
        assert [secret <= set(one) for one in view._objects] == [False, True, False]
        self.click(view, 2, "accepted")  # a changed mind, no longer blind
        from changedet.watch.state import open_state
        from changedet.watch.verdicts import history

        with open_state(tmp_path / "state.gpkg") as state:
            assert history(state)["blind"].tolist() == [True, False]


class TestDates:
    def images(self, count=3):
        return [make_image(n, BEFORE_TIME + timedelta(days=30 * n)) for n in range(count)]

    def test_dates_come_in_order_and_the_chosen_pair_is_theirs(self):
        images = self.images()
        view = SITE.explore(images[::-1])
        assert [scene.id for scene in view.scenes] == [image.scene.id for image in images]
        assert view.chosen == (images[0].scene, images[2].scene)
        view.after = 1
        view.before = 99
        assert view.chosen == (images[2].scene, images[1].scene)
        assert len(view._pictures) == 3
        assert view._about["dates"][1]["note"] == "usable 98.4 %"
        json.dumps([view._about, view._pictures])

    def test_scenes_are_fetched_in_the_bands_of_the_picture(self, monkeypatch):
        asked = []

        def fetch(self, scene, *, bands):
            asked.append(bands)
            return replace(make_image(0, bands=bands), scene=scene)

        monkeypatch.setattr(Site, "fetch", fetch)
        assert len(SITE.explore([image.scene for image in self.images()]).scenes) == 3
        assert asked == [("B04", "B03", "B02")] * 3

    def test_what_cannot_be_shown_together_is_refused(self):
        images = self.images()
        with pytest.raises(UsageError, match=r"scenes would be fetched, 2 at most are; choose some"):
            SITE.explore(images, most=2)
        with pytest.raises(UsageError, match="different grids or bands"):
            SITE.explore([images[0], images[1].select(("B02", "B03", "B04"))])
        with pytest.raises(NoUsableImageryError, match="no scene to look at"):
            SITE.explore([])
        with pytest.raises(UsageError, match="not a scene but of type str"):
            SITE.explore(["scene"])


class TestWithoutAnywidget:
    @pytest.fixture(autouse=True)
    def missing(self, monkeypatch):
        monkeypatch.setattr("changedet.notebook.explore.find_spec", lambda name: None)
        usual = builtins.__import__

        def refuse(name, *rest):
            assert name.partition(".")[0] not in {"anywidget", "ipywidgets"}
            return usual(name, *rest)

        monkeypatch.setattr(builtins, "__import__", refuse)

    def test_a_result_is_shown_still_and_it_is_said(self):
        view = make_result().explore()
        assert isinstance(view, StillView)
        html = view._repr_html_()
        assert "anywidget is not installed" in html
        assert "changedet[jupyter]" in html
        assert html.count("<img") == 3
        assert repr(view).startswith(NO_WIDGET)
        assert len(html.encode()) < 150_000

    def test_dates_are_shown_still(self):
        images = [make_image(n, BEFORE_TIME + timedelta(days=n), id=HOSTILE) for n in range(20)]
        html = SITE.explore(images)._repr_html_()
        assert html.count("<img") == 20
        assert "<script" not in html
        assert len(html.encode()) < 150_000
