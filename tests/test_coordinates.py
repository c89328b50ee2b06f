"""Coordinates: what people write is read, what is ambiguous is refused, and nothing else ever escapes."""
# ruff: noqa: RUF001  (the look-alikes are what is tested)

import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyproj import Transformer

from changedet.coordinates import GeoPoint, parse_point
from changedet.errors import CoordinateError

TRUTH = GeoPoint(38.584722, 126.107778)
latitudes = st.floats(-80, 83.9)
longitudes = st.floats(-179.9, 179.9)
points = st.builds(GeoPoint, latitudes, longitudes)


def near(found, truth, tolerance_deg=1e-6):
    return abs(found.lat - truth.lat) <= tolerance_deg and abs(found.lon - truth.lon) <= tolerance_deg


def distance_m(first, second):
    north = (first.lat - second.lat) * 111_320
    east = ((first.lon - second.lon + 180) % 360 - 180) * 111_320 * math.cos(math.radians(first.lat))
    return math.hypot(north, east)


def split(value, letters):
    """Degrees, minutes, seconds to 1/1000 and the letter of a value."""
    thousandths = round(abs(value) * 3_600_000)
    degrees, rest = divmod(thousandths, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    return degrees, minutes, rest / 1000, letters[0] if value >= 0 else letters[1]


DMS_NOTATIONS = [
    "{0}°{1}'{2}\"{3} {4}°{5}'{6}\"{7}",
    "{0}°{1:02d}′{2:06.3f}″{3}, {4}°{5:02d}′{6:06.3f}″{7}",
    "{0}º {1}’ {2}” {3}; {4}º {5}’ {6}” {7}",
    "{3}{0}°{1}'{2}\" {7}{4}°{5}'{6}\"",
    "{3} {0}° {1}' {2}\" {7} {4}° {5}' {6}\"",
    "{3}{0} {1} {2}, {7}{4} {5} {6}",
    "{0} {1} {2} {3} {4} {5} {6} {7}",
    "{0}:{1}:{2}{3} {4}:{5}:{6}{7}",
    "({0}°{1}'{2}''{3}, {4}°{5}'{6}''{7})",
    "{4}°{5}'{6}\"{7}, {0}°{1}'{2}\"{3}",
    "{7}{4}°{5}'{6}\" {3}{0}°{1}'{2}\"",
    "{4}°{5}'{6}\"{7}{0}°{1}'{2}\"{3}",
]


@given(points, st.sampled_from(["{}, {}", "{} {}", "({}, {})", "[{};{}]", " {},\t{} ", "{:+f},{:+f}"]))
def test_decimal_degrees_are_read_back(point, notation):
    text = notation.format(*(float(f"{v:.7f}") for v in (point.lat, point.lon)))
    if "e" not in text:
        assert near(parse_point(text), point)


@given(points)
def test_the_decimal_text_of_a_point_is_read_back(point):
    assert near(parse_point(point.dd), point, 0.6e-5)


@given(points)
@example(GeoPoint(-0.00001, -0.00001))
@example(GeoPoint(59.9999999, 9.9999999))
def test_the_dms_text_of_a_point_is_read_back_and_never_says_sixty(point):
    assert near(parse_point(point.dms), point, 0.06 / 3600)
    assert "60" not in point.dms.replace("60°", "").replace("160°", "")


@given(points, st.sampled_from(DMS_NOTATIONS))
def test_every_notation_of_degrees_minutes_seconds_is_read(point, notation):
    parts = *split(point.lat, "NS"), *split(point.lon, "EW")
    assert near(parse_point(notation.format(*parts)), point, 1.1 / 3_600_000 + 1e-9)


@settings(deadline=None)
@given(points)
def test_the_mgrs_text_of_a_point_names_the_ten_metres_it_lies_in(point):
    found = parse_point(point.mgrs)
    assert distance_m(found, point) < 15
    assert found == parse_point(
        f"{point.mgrs[:3]} {point.mgrs[3:5].lower()} {point.mgrs[5:9]} {point.mgrs[9:]}"
    )


@settings(deadline=None)
@given(st.integers(24_000, 76_000), st.integers(1, 390_000))
def test_a_point_on_the_lines_of_ten_metres_lies_north_and_east_of_them(east, north):
    to_degrees = Transformer.from_crs("EPSG:32652", "EPSG:4326", always_xy=True)
    lon, lat = to_degrees.transform(10 * east, 10 * north)
    assert GeoPoint(lat, lon).mgrs[-8:] == f"{east % 10_000:04d}{north % 10_000:04d}"


@pytest.mark.parametrize(
    "text",
    [
        "38.584722, 126.107778", "38.584722 126.107778", "38.584722N 126.107778E", "n38.584722 e126.107778",
        "38.584722° N, 126.107778° E", "126.107778E 38.584722N", "E126.107778, N38.584722",
        "+38.584722, +126.107778", "+38.584722 N, 126.107778", "38.584722, 126.107778 E",
        "38°35.08332'N 126°06.46668'E", "38:35:05N 126:06:28E", "38 35 05 N 126 06 28 E",
        "+38°35'05\" +126°06'28\"", "38°35´05″N 126°06´28″E",
    ],
)  # fmt: skip
def test_one_point_in_many_spellings(text):
    assert near(parse_point(text), TRUTH, 1e-6)


@pytest.mark.parametrize(
    ("text", "lat", "lon"),
    [
        ("-3.5, -60.25", -3.5, -60.25),
        ("\u22123.5, \u221260.25", -3.5, -60.25),
        ("3.5S 60.25W", -3.5, -60.25),
        ("W60.25 S3.5", -3.5, -60.25),
        ("-3.5 S, -60.25 W", -3.5, -60.25),
        ("-3°30'00\" -60°15'00\"", -3.5, -60.25),
        ("0, 0", 0, 0),
        ("90, -180", 90, -180),
    ],
)
def test_the_sign_and_the_letter_say_the_hemisphere(text, lat, lon):
    assert parse_point(text) == GeoPoint(lat, lon)


def test_the_examples_in_the_error_are_one_place():
    with pytest.raises(CoordinateError) as caught:
        parse_point("nowhere")
    decimal, dms, grid = (part.strip(' "') for part in _quoted(str(caught.value)))
    found = [parse_point(text) for text in (decimal, dms, grid)]
    assert distance_m(found[0], found[1]) < 40
    assert distance_m(found[0], found[2]) < 2


def _quoted(message):
    text = message.split("write it like ")[1]
    first, rest = text.split('", ', 1)
    second, third = rest.rsplit(" or ", 1)
    return first[1:], second[1:-1], third


@pytest.mark.parametrize("text", ["126.1079, 38.5847", "126.1079 38.5847", "-126.1079, 38.5847"])
def test_swapped_latitude_and_longitude_are_noticed(text):
    with pytest.raises(CoordinateError, match=r"is longitude first\?.*give the latitude first"):
        parse_point(text)


def test_a_latitude_that_no_swap_explains_is_not_called_swapped():
    with pytest.raises(CoordinateError, match=r"outside -90\.\.90;"):
        parse_point("126, 178")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("38N 126N", "cannot be told apart"),
        ("38E 126", "cannot be told apart"),
        ("38E, 126", "cannot be told apart"),
        ("38E, 126W", "cannot be told apart"),
        ("-38.5 N, 126 E", "sign contradicts the letter N"),
        ("38.5 N, +126 W", "sign contradicts the letter W"),
        ("38°60'N 126E", "below 60"),
        ("38°35'60\"N 126E", "below 60"),
        ("38.5°30'N, 126E", "only the last number"),
        ("38°35.5'30\"N, 126E", "only the last number"),
        ("N38S, 126E", "not a coordinate"),
        ("38.5, 200", "longitude 200 is outside"),
        ("38,5847 126,1079", "not a coordinate"),
        ("38.5 - 126.1", "not a coordinate"),
        ("38.5 \u2013 126.1", "not a coordinate"),
        ("38 35 126 06", "not a coordinate"),
        ("38.5", "not a coordinate"),
        ("", "not a coordinate"),
        ("nan, nan", "not a coordinate"),
        ("inf, 0", "not a coordinate"),
        ("1e1, 2", "not a coordinate"),
        ("1\u00b2, 2", "not a coordinate"),
        ("1" * 3000 + ", 2", "too long"),
        ("99SBH1234", "not a coordinate"),
        ("52SBH12345", "not a coordinate"),
        ("52SBH", "not a coordinate"),
        ("52IBH12341234", "not a coordinate"),
        ("60SBH48807451", "MGRS reference does not exist"),
        ("4QAA00", "MGRS reference does not exist"),
        ("5\u0662SBH4880", "not a coordinate"),
    ],
)
def test_what_is_refused_and_why(text, message):
    with pytest.raises(CoordinateError, match=message) as caught:
        parse_point(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def returns_a_point_or_refuses(text):
    try:
        found = parse_point(text)
    except CoordinateError as error:
        assert "\n" not in str(error)
    else:
        assert -90 <= found.lat <= 90
        assert -180 <= found.lon <= 180


@given(st.text(max_size=120))
def test_any_text_gives_a_point_or_a_coordinate_error(text):
    returns_a_point_or_refuses(text)


@settings(max_examples=400)
@given(st.text("0123456789.,;:+-°'\"NSEWnsew ()[]", max_size=40))
def test_text_of_the_right_letters_gives_a_point_or_a_coordinate_error(text):
    returns_a_point_or_refuses(text)


@settings(max_examples=200, deadline=None)
@given(st.from_regex(r"\A[0-9]{1,2}[A-Z]{3}[0-9]{0,12}\Z"))
def test_text_that_looks_like_mgrs_gives_a_point_or_a_coordinate_error(text):
    returns_a_point_or_refuses(text)


@pytest.mark.parametrize(
    ("lat", "lon"), [(math.nan, 0), (0, math.nan), (math.inf, 0), (90.001, 0), (0, -180.001)]
)
def test_a_point_off_the_earth_cannot_be_made(lat, lon):
    with pytest.raises(CoordinateError, match="outside"):
        GeoPoint(lat, lon)


@pytest.mark.parametrize(("lat", "lon"), [(89.9, 0.0), (-85.0, 10.0), (90.0, 0.0)])
def test_polar_points_have_a_polar_reference(lat, lon):
    assert GeoPoint(lat, lon).mgrs[0] in "ABYZ"


def test_hemispheres_in_dms():
    assert GeoPoint(-3.5, -122.25).dms == "3°30'00.0\"S 122°15'00.0\"W"
    assert GeoPoint(3.5, 0.0).dms == "3°30'00.0\"N 0°00'00.0\"E"
