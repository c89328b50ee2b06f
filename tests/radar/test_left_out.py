"""Both sensors asked, and radar cannot be used: it is left out, and the result and its objects say so."""

from dataclasses import replace

import numpy as np
import pytest
from tests.radar.test_fusion import BUILT, found_at, noisy
from tests.radar_passes import factors, make_track_passes
from tests.synthetic import BEFORE_TIME

from changedet.access.sensor_plans import with_notes
from changedet.pipeline import compare_radar_passes, detect_with_radar
from changedet.providers.local import LocalOptions
from changedet.providers.radar import SHADOW_NOT_MARKED
from changedet.radar.comparison import compare_radar
from changedet.radar.fusion import NO_RADAR_WORDS, without_radar
from changedet.radar.result import misfit_refusal, platform_check
from changedet.radar.types import RadarInput, RadarPasses, Track


def images():
    """Two dates with a bright change at `BUILT`, and how they are read."""
    after = noisy(2, BEFORE_TIME.replace(year=2025))
    data = after.data.copy()
    data[:, *BUILT] += np.float32(0.2)
    return (noisy(1), LocalOptions()), (replace(after, data=data), LocalOptions())


def radar_of(one):
    return RadarInput(lambda _: (one,))


def moved(one, pixels):
    """The same passes, those after moved by whole pixels."""
    after = tuple(replace(image, data=np.roll(image.data, pixels, (1, 2))) for image in one.after)
    return RadarPasses(one.track, one.before, after)


@pytest.fixture(scope="module")
def passes():
    return make_track_passes(change=factors((BUILT, 4.0)))


@pytest.fixture(scope="module")
def misfit(passes):
    """What comes of images that fit, and radar that does not."""
    return detect_with_radar(images(), radar_of(moved(passes, (3, 2))))


def test_radar_whose_periods_do_not_fit_is_left_out_beside_images_as_it_is_refused_alone(misfit, passes):
    assert misfit.radar is None
    assert "sensor" not in misfit.parameters
    (said,) = [one for one in misfit.warnings if one.startswith("radar could not be used")]
    assert "above the limit of 0.5 px between both periods of radar" in said
    grid = misfit.grid
    alone = compare_radar_passes(radar_of(moved(passes, (3, 2))), {}, grid=grid)
    assert said.removeprefix("radar could not be used: ") in alone.refusals[0]


def test_radar_that_fits_stays(passes):
    fitting = detect_with_radar(images(), radar_of(passes))
    assert fitting.radar is not None
    assert found_at(fitting.objects, BUILT)["sensor"] == "both"
    assert (
        misfit_refusal(platform_check(compare_radar([passes], np.ones(fitting.state.shape, bool)), 0.5)) == ""
    )


def test_objects_do_not_claim_that_one_sensor_was_asked(misfit):
    found = found_at(misfit.objects, BUILT)
    assert found["sensor"] == "optical only"
    assert found["evidence"].endswith(NO_RADAR_WORDS)
    assert len(misfit.objects.columns) == len(without_radar(misfit.objects).columns)


def test_radar_of_one_period_only_is_said_with_every_object(passes):
    result = detect_with_radar(images(), radar_of(RadarPasses(passes.track, passes.before, ())))
    assert any(one.startswith("radar could not be used: no track") for one in result.warnings)
    assert set(result.objects["sensor"]) == {"optical only"}


def test_a_run_that_found_no_radar_says_so_with_every_object(misfit):
    optical = replace(misfit, objects=misfit.objects.assign(sensor="optical", evidence="seen"))
    without = with_notes(optical, ("radar could not be used, optical images stand alone: why",))
    assert set(without.objects["sensor"]) == {"optical only"}
    assert set(without.objects["evidence"]) == {f"seen; {NO_RADAR_WORDS}"}
    other = with_notes(optical, ("optical images could not be used, radar stands alone: why",))
    assert set(other.objects["sensor"]) == {"optical"}
    assert with_notes(optical, ()) is optical


def test_what_passes_lack_is_said_beside_images_and_what_no_archive_marks_is_not(passes):
    first = passes.before[0]
    hidden = "12% of the ground lies in radar shadow or layover"
    noted = replace(first, scene=replace(first.scene, notes=(hidden, SHADOW_NOT_MARKED)))
    result = detect_with_radar(
        images(), radar_of(RadarPasses(passes.track, (noted, *passes.before[1:]), passes.after))
    )
    assert hidden in result.warnings
    assert SHADOW_NOT_MARKED not in result.warnings


@pytest.mark.parametrize(
    ("track", "label", "text"),
    [
        (Track(), "unknown track", "unknown track"),
        (Track("ascending"), "ascending, orbit unknown", "track ascending, orbit unknown"),
        (Track("unknown", 44), "44", "track 44"),
        (Track("descending", 8), "descending 8", "track descending 8"),
    ],
)
def test_tracks_have_a_name_that_reads_in_tables_and_in_sentences(track, label, text):
    assert (track.label, track.text) == (label, text)


def test_too_few_passes_call_nothing_ranked_where_nothing_is_shown(passes):
    few = RadarPasses(passes.track, passes.before[:1], passes.after[:1])
    result = compare_radar_passes(radar_of(few), {}, grid=passes.before[0].grid)
    assert result.refusals
    assert not any("ranks" in one or "ranked" in one for one in (*result.refusals, *result.warnings))
