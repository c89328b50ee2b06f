"""The report in a real browser without a network: it draws, it moves, it asks nobody for anything."""

from dataclasses import replace

import numpy as np
import pytest
from tests.output.browsing import HOSTILE, MARKS, chromium, open_page
from tests.synthetic import make_both, make_radar_alone, make_result

from changedet.output.report import write_report
from changedet.watch.verdict_files import read_verdict_file

pytestmark = MARKS
RECORD = {"files": {"changes.gpkg": {"sha256": "ab" * 32, "bytes": 98304}}}


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(make_result(), path, record=RECORD)
    return path


@pytest.fixture
def opened(browser, report):
    found = open_page(browser, report)
    yield found
    found.close()


def test_it_asks_for_nothing_and_reports_no_trouble(opened):
    opened.page.wait_for_timeout(100)
    assert opened.loaded() == []
    assert opened.troubles == []


def test_every_picture_is_there_and_the_viewer_is_not_blank(opened):
    widths = opened.widths_of_pictures()
    assert len(widths) == 9
    assert min(widths) > 0
    assert opened.pixels().std() > 20


def test_the_keyboard_moves_the_divider_and_the_picture(opened):
    before, clip = opened.pixels(), opened.clip()
    assert "50%" in clip
    opened.page.locator("#divider").focus()
    for _ in range(10):
        opened.page.keyboard.press("ArrowRight")
    assert "60%" in opened.clip()
    assert opened.page.locator("#divider").get_attribute("aria-valuetext") == "60 % before, 40 % after"
    assert np.abs(opened.pixels() - before).max() > 50


def test_the_divider_at_either_end_shows_one_date_alone(opened):
    shown = {}
    for value in ("0", "100"):
        opened.page.locator("#divider").fill(value)
        assert f"{value}%" in opened.clip() or (value == "0" and opened.clip() == "inset(0px)")
        shown[value] = opened.pixels()
    height, width, _ = shown["0"].shape
    inside = np.s_[int(height * 0.33) : int(height * 0.38), int(width * 0.36) : int(width * 0.42)]
    assert shown["0"][inside].mean() > shown["100"][inside].mean() + 60


def test_dragging_on_the_picture_moves_the_divider(opened):
    opened.page.locator("#stage").scroll_into_view_if_needed()
    box = opened.page.locator("#stage").bounding_box()
    y = box["y"] + box["height"] / 2
    opened.page.mouse.move(box["x"] + box["width"] * 0.5, y)
    opened.page.mouse.down()
    opened.page.mouse.move(box["x"] + box["width"] * 0.8, y)
    opened.page.mouse.up()
    assert opened.page.locator("#divider").input_value() == "80"


def test_blink_changes_between_the_dates_and_stops(opened):
    blink = opened.page.get_by_role("button", name="Blink")
    blink.click()
    assert blink.get_attribute("aria-pressed") == "true"
    after = opened.page.locator(".stage .after")
    assert not after.is_visible()
    opened.page.locator("#stage.flipped").wait_for()
    assert after.is_visible()
    blink.click()
    assert opened.page.locator("#stage").get_attribute("data-mode") == "swipe"
    assert blink.get_attribute("aria-pressed") == "false"


def test_a_reader_who_wants_stillness_blinks_by_hand(browser, report):
    opened = open_page(browser, report, reduced_motion="reduce")
    blink = opened.page.get_by_role("button", name="Blink")
    blink.click()
    assert not opened.page.locator(".stage .after").is_visible()
    blink.click()
    assert opened.page.locator(".stage .after").is_visible()
    opened.close()


def test_the_overlay_fades_from_one_date_to_the_other_by_keyboard(opened):
    opened.page.get_by_role("button", name="Overlay").press("Enter")
    knob = opened.page.locator("#divider")
    assert knob.get_attribute("aria-label").startswith("After over before")
    shown = {}
    for key in ("Home", "End"):
        knob.press(key)
        shown[key] = opened.pixels()
    assert knob.get_attribute("aria-valuetext") == "100 % of the after image"
    knob.fill("50")
    height, width, _ = shown["End"].shape
    inside = np.s_[int(height * 0.33) : int(height * 0.38), int(width * 0.36) : int(width * 0.42)]
    before, half, after = (image[inside].mean() for image in (shown["Home"], opened.pixels(), shown["End"]))
    assert before + 25 < half < after - 25
    # each way of looking keeps its own place
    opened.page.get_by_role("button", name="Swipe").click()
    knob.fill("70")
    opened.page.get_by_role("button", name="Overlay").click()
    assert knob.input_value() == "50"


def test_coordinates_are_copied_as_they_are_read(browser, report):
    opened = open_page(browser, report, permissions=["clipboard-read", "clipboard-write"])
    opened.page.get_by_role("button", name="Copy MGRS 52SBH46557610").click()
    opened.page.get_by_text("copied 52SBH46557610").wait_for()
    assert opened.page.evaluate("navigator.clipboard.readText()") == "52SBH46557610"
    opened.close()


def test_verdicts_leave_the_page_as_a_file_that_is_read(opened, tmp_path):
    rows = opened.page.locator("tr[data-number]")
    rows.nth(0).get_by_role("button", name="accepted").click()
    rows.nth(1).get_by_label("Note").fill("harvest </script>")
    rows.nth(1).get_by_role("button", name="rejected").press("Enter")
    rows.nth(2).get_by_role("button", name="unsure").click()
    rows.nth(2).get_by_role("button", name="unsure").click()  # taken back
    save = opened.page.get_by_role("button", name="Save the verdicts file")
    save.click()
    assert opened.page.locator("#review-status").inner_text() == "Say who judges first."
    opened.page.get_by_label("Reviewer").fill("Ann")
    with opened.page.expect_download() as waited:
        save.click()
    assert waited.value.suggested_filename == "verdicts-abababab.json"
    waited.value.save_as(tmp_path / "verdicts.json")
    said = read_verdict_file(tmp_path / "verdicts.json")
    assert said.objects_sha256 == "ab" * 32
    assert [(number, str(one.verdict), one.note, one.blind) for number, one in said.judgements] == [
        (1, "accepted", "", False), (2, "rejected", "harvest </script>", False),
    ]  # fmt: skip
    assert opened.loaded() == [url for url in opened.loaded() if url.startswith("blob:")]
    assert opened.troubles == []


def test_a_blind_reading_tells_nothing_before_the_verdict(browser, report, tmp_path):
    opened = open_page(browser, report, fragment="#blind")
    page = opened.page
    for word in ("water change", "new construction", "construction first", "both detectors agree"):
        assert page.get_by_text(word).locator("visible=true").count() == 0, word
    assert set(page.locator("td[data-label=Confidence]").all_inner_texts()) == {""}
    assert not page.locator("#h-candidates").is_visible()
    orange = np.array([213, 94, 0])
    assert not (np.abs(opened.pixels("table.objects") - orange).max(axis=-1) < 40).any()
    rows = page.locator("tr[data-number]")
    assert [rows.nth(i).get_attribute("data-number") for i in range(3)] == ["3", "2", "1"]
    rows.nth(0).get_by_role("button", name="rejected").click()
    assert rows.nth(0).get_by_text("consistent with water change").is_visible()
    assert not rows.nth(1).locator(".kind").is_visible()
    rows.nth(0).get_by_role("button", name="accepted").click()
    page.get_by_role("link", name="Show everything").click()
    rows.nth(0).get_by_role("button", name="unsure").click()
    page.get_by_label("Reviewer").fill("Ann")
    with page.expect_download() as waited:
        page.get_by_role("button", name="Save the verdicts file").click()
    waited.value.save_as(tmp_path / "verdicts.json")
    told = read_verdict_file(tmp_path / "verdicts.json").judgements
    assert [(number, str(one.verdict), one.blind) for number, one in told] == [
        (1, "unsure", False), (3, "rejected", True), (3, "accepted", False),
    ]  # fmt: skip
    opened.close()


def test_axe_finds_nothing_serious(opened):
    opened.page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert opened.serious() == []
    opened.page.emulate_media(color_scheme="dark")
    opened.page.evaluate("location.hash = '#blind'")
    opened.page.get_by_role("button", name="rejected").first.click()
    assert opened.serious("color-contrast") == []


def test_axe_would_find_what_cannot_be_read(opened):
    opened.page.evaluate(
        "document.images[0].removeAttribute('alt'),document.querySelector('h1').style.color = '#ddd'"
    )
    found = {rule for rule, *_ in opened.serious("color-contrast", "image-alt")}
    assert found == {"color-contrast", "image-alt"}


def test_side_by_side_and_outlines(opened):
    opened.page.get_by_role("button", name="Side by side").click()
    left, right = (opened.page.locator(f".stage .{name}").bounding_box() for name in ("before", "after"))
    assert left["x"] + left["width"] <= right["x"]
    assert not opened.page.locator("#divider").is_visible()
    drawn = opened.pixels()
    opened.page.get_by_label("Outlines").uncheck()
    assert np.abs(opened.pixels() - drawn).max() > 50


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 820, 1440])
def test_nothing_runs_out_of_the_window(browser, report, width, scheme):
    opened = open_page(browser, report, width, color_scheme=scheme)
    assert opened.page.evaluate("document.documentElement.scrollWidth") == width
    background = opened.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") == (scheme == "light")
    opened.close()


def test_print_and_no_script_show_both_dates_side_by_side(browser, report):
    for options, media in (({}, "print"), ({"java_script_enabled": False}, "screen")):
        opened = open_page(browser, report, 760, **options)
        opened.page.emulate_media(media=media)
        left, right = (opened.page.locator(f".stage .{n}").bounding_box() for n in ("before", "after"))
        assert left["width"] == pytest.approx(right["width"], abs=1)
        assert left["x"] + left["width"] <= right["x"]
        assert not opened.page.locator("#controls").is_visible()
        assert opened.page.evaluate("document.documentElement.scrollWidth") == 760
        opened.close()


@pytest.mark.parametrize("name", [HOSTILE, HOSTILE + "\u2067\u0633\u0644" + "x" * 10_000, "=" * 10_000])
def test_hostile_names_stay_text(browser, tmp_path, name):
    path = tmp_path / "report.html"
    record = RECORD | {"limits": [HOSTILE]}
    write_report(make_result(name=name, warnings=(HOSTILE,)), path, record=record)
    opened = open_page(browser, path, 360)
    opened.page.wait_for_timeout(100)
    assert opened.troubles == []
    assert opened.page.locator("h1").inner_text().startswith(name[:20])
    assert len(opened.page.locator("h1").inner_text()) <= 120
    assert opened.page.evaluate("document.scripts.length") == 1
    assert opened.page.evaluate("document.documentElement.scrollWidth") == 360
    opened.close()


@pytest.fixture(scope="module")
def radar_reports(tmp_path_factory):
    folder = tmp_path_factory.mktemp("radar")
    for name, result in (("both", make_both()), ("alone", make_radar_alone())):
        write_report(result, folder / f"{name}.html", record={})
    return folder


def test_either_divider_moves_its_own_pictures(browser, radar_reports):
    opened = open_page(browser, radar_reports / "both.html")
    radar = opened.pixels("#stage-radar")
    assert radar.std() > 20
    opened.page.locator("#divider-radar").focus()
    for _ in range(10):
        opened.page.keyboard.press("ArrowRight")
    assert "60%" in opened.page.evaluate(
        "getComputedStyle(document.querySelector('#stage-radar .after')).clipPath"
    )
    assert "50%" in opened.clip()
    assert np.abs(opened.pixels("#stage-radar") - radar).max() > 50
    opened.page.locator("#show-outlines-radar").uncheck()
    assert opened.page.locator("#stage-radar.bare").count() == 1
    assert opened.page.locator("#stage.bare").count() == 0
    assert opened.troubles == []
    opened.close()


def test_either_pair_blinks_by_itself(browser, radar_reports):
    opened = open_page(browser, radar_reports / "both.html", reduced_motion="reduce")
    opened.page.get_by_role("button", name="Blink").nth(1).click()
    assert opened.page.locator("#stage-radar").get_attribute("data-mode") == "blink"
    assert opened.page.locator("#stage").get_attribute("data-mode") == "swipe"
    assert not opened.page.locator("#stage-radar .after").is_visible()
    opened.close()


@pytest.mark.parametrize("name", ["both", "alone"])
@pytest.mark.parametrize("width", [360, 820, 1440])
def test_radar_does_not_run_out_of_the_window(browser, radar_reports, name, width):
    opened = open_page(browser, radar_reports / f"{name}.html", width)
    assert opened.page.evaluate("document.documentElement.scrollWidth") == width
    boxes = opened.page.evaluate(
        "Array.from(document.querySelectorAll('.tracks td, .tracks th, .chip'), "
        "e => e.getBoundingClientRect().right)"
    )
    assert max(boxes) <= width
    for stage in ("#stage", "#stage-radar") if name == "both" else ("#stage",):
        left, right = (
            opened.page.locator(f"{stage} .{side} .label").bounding_box() for side in ("before", "after")
        )
        assert left["x"] + left["width"] <= right["x"]
    opened.close()


def test_outlines_are_drawn_over_radar_as_over_natural_colours(browser, radar_reports):
    opened = open_page(browser, radar_reports / "both.html")
    for selector in ("#stage-radar", ".pair.four >> nth=0"):
        opened.page.locator(selector).scroll_into_view_if_needed()
    colours = opened.page.evaluate("getComputedStyle(document.querySelectorAll('#ink-1')[0]).vectorEffect")
    assert colours == "non-scaling-stroke"
    drawn = opened.pixels(".pair.four >> nth=0 >> figure >> nth=3")
    orange = np.array([213, 94, 0])
    assert (np.abs(drawn - orange).max(axis=-1) < 40).any()
    opened.close()


def test_labels_of_a_narrow_picture_are_whole(browser, tmp_path):
    result = make_result(boxes=[], kinds=[])
    narrow = {name: getattr(result, name)[:, :56] for name in ("score", "state", "kind", "construction")}
    images = {
        name: replace(
            image, data=image.data[:, :, :56], valid=image.valid[:, :56], classes=image.classes[:, :56],
            grid=result.grid[:, :56],
        )
        for name, image in (("before", result.before), ("after", result.after))
    }  # fmt: skip
    path = tmp_path / "report.html"
    write_report(replace(result, grid=result.grid[:, :56], **narrow, **images), path, record={})
    opened = open_page(browser, path)
    stage = opened.page.locator("#stage").bounding_box()
    middle = stage["x"] + stage["width"] / 2
    assert stage["width"] < 500
    after = opened.page.locator("#stage .after .label").bounding_box()
    before = opened.page.locator("#stage .before .label").bounding_box()
    assert before["x"] + before["width"] <= middle <= after["x"]
    opened.page.get_by_role("button", name="Side by side").click()
    assert opened.page.locator("#stage .after .clock").is_visible()
    opened.close()
