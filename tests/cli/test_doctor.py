import json
import sys

import pytest


@pytest.fixture
def findings(cli):
    def look():
        code = cli("doctor", "--offline", "--json")
        document = json.loads(cli.out)
        return code, {f["check"]: f for f in document["findings"]}, document["healthy"]

    return look


def test_this_installation_is_healthy(findings):
    code, found, healthy = findings()
    assert code == 0
    assert healthy is True
    assert found["numpy"]["status"] == "ok"
    assert found["GDAL COG"] == {"check": "GDAL COG", "status": "ok", "detail": "cloud-optimised results"}
    assert found["python"]["detail"].startswith(f"{sys.version_info.major}.")
    assert found["network"]["detail"] == "not looked at (--offline)"
    assert found["settings files"]["detail"] == "none; the defaults are used"


def test_lines_for_a_reader(cli):
    assert cli("doctor", "--offline") == 0
    *lines, empty, verdict = cli.out.splitlines()
    assert all(line.split()[0] in {"ok", "missing"} for line in lines)
    assert (empty, verdict.split(".")[0]) == ("", "Nothing is in the way")
    assert cli.err == ""


def test_a_missing_driver_fails(findings, monkeypatch):
    monkeypatch.setattr("pyogrio.list_drivers", lambda: {"GPKG": "rw"})
    code, found, healthy = findings()
    assert code == 8
    assert healthy is False
    assert found["GDAL ESRI Shapefile"]["status"] == "failed"
    assert "reinstall" in found["GDAL ESRI Shapefile"]["detail"]


def test_the_last_line_names_what_failed(cli, monkeypatch):
    monkeypatch.setattr("pyogrio.list_drivers", lambda: {"ESRI Shapefile": "rw"})
    assert cli("doctor", "--offline") == 8
    assert cli.out.splitlines()[-1] == "1 failed: GDAL GPKG. The line of each says what to do."


def test_a_missing_optional_library_says_how_to_get_it(findings, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    code, found, _ = findings()
    assert code == 0
    assert found["zarr"] == {
        "check": "zarr",
        "status": "missing",
        "detail": "Zarr cubes: pip install 'changedet[cubes]'",
    }


def test_secrets_are_never_shown(cli, findings, monkeypatch):
    for name in ("SH_CLIENT_ID", "SH_CLIENT_SECRET", "CHANGEDET_API_TOKEN", "CHANGEDET_SECRET_KEY"):
        monkeypatch.setenv(name, "hunter2")
    _, found, _ = findings()
    assert found["Sentinel Hub credentials"]["detail"] == "present"
    assert found["CHANGEDET_API_TOKEN"]["detail"] == "set (hidden)"
    assert "hunter2" not in cli.out


def test_credentials_that_are_not_there_are_no_failure(findings):
    code, found, _ = findings()
    assert code == 0
    assert found["Sentinel Hub credentials"]["status"] == "missing"


def test_settings_and_where_they_come_from(findings, workplace, monkeypatch):
    (workplace / "changedet.toml").write_text("[detect]\nmin-area = '2ha'\n")
    monkeypatch.setenv("CHANGEDET_DETECT_THRESHOLD", "12")
    _, found, _ = findings()
    assert found["settings files"]["detail"] == "changedet.toml"
    assert found["detect.min-area"]["detail"] == "2ha (settings file)"
    assert found["CHANGEDET_DETECT_THRESHOLD"]["detail"] == "12 (environment)"


def test_half_of_the_credentials_is_named(findings, monkeypatch):
    monkeypatch.setenv("SH_CLIENT_ID", "someone")
    code, found, _ = findings()
    assert code == 8
    assert found["Sentinel Hub credentials"]["detail"].endswith("set SH_CLIENT_SECRET too")
