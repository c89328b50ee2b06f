import json

import pytest

from changedet.cli.settings import read_settings, settings_files, user_file
from changedet.configuration import cache_max_bytes, settings_file_of
from changedet.errors import InputFileError


@pytest.fixture
def user_settings(workplace):
    def write(text):
        user_file().parent.mkdir(parents=True, exist_ok=True)
        user_file().write_text(text)

    return write


@pytest.fixture
def used(cli, sample, monkeypatch):
    """Gives the smallest area that a comparison is started with, without making it."""

    def look(*arguments):
        seen = {}

        def stop(*_inputs, settings, **_more):
            seen["area"] = settings.min_area_m2
            raise KeyboardInterrupt

        monkeypatch.setattr("changedet.pipeline.detect", stop)
        cli("detect", "--before", sample / "before", "--after", sample / "after", "--out", "run", *arguments)
        return seen.get("area")

    return look


def test_flag_then_environment_then_project_then_user_then_default(
    used, workplace, user_settings, monkeypatch
):
    assert used() == 500.0
    user_settings('[detect]\nmin-area = "1000m2"\n')
    assert used() == 1000.0
    (workplace / "changedet.toml").write_text('[detect]\nmin_area = "2000m2"\n')
    assert used() == 2000.0
    monkeypatch.setenv("CHANGEDET_DETECT_MIN_AREA", "3000m2")
    assert used() == 3000.0
    assert used("--min-area", "4000m2") == 4000.0


def test_the_files_are_merged_key_by_key(workplace, user_settings):
    user_settings('[detect]\nmin-area = "1ha"\nthreshold = 8\n[doctor]\njson = true\n')
    (workplace / "changedet.toml").write_text("[detect]\nthreshold = 9\n")
    assert read_settings() == {"detect": {"min-area": "1ha", "threshold": 9}, "doctor": {"json": True}}
    assert [p.name for p in settings_files()] == ["config.toml", "changedet.toml"]


def test_long_options_are_the_keys(cli, workplace):
    (workplace / "changedet.toml").write_text("[doctor]\njson = true\noffline = true\n")
    assert cli("doctor") == 0
    assert json.loads(cli.out)["healthy"] is True


def test_commands_of_commands(cli, workplace):
    (workplace / "changedet.toml").write_text("[sites.check]\njson = true\n")
    (workplace / "sites.csv").write_text("name,lat,lon\nA,38.5,126.1\n")
    assert cli("sites", "check", "sites.csv") == 0
    assert json.loads(cli.out)["sites"][0]["name"] == "A"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[detect\n", "changedet.toml: cannot be read as TOML"),
        ("threshold = 3\n", "'threshold' stands outside a table; put it below"),
        ("[detect]\nmin-aera = 5\n", "changedet.toml: changedet detect has no option 'min-aera'; see"),
        (
            "[detekt]\nmin-area = 5\n",
            "changedet.toml: changedet has no command 'detekt'; see changedet --help",
        ),
        ("[sites]\ncheck = 3\n", "changedet sites has no command 'check'"),
    ],
)
def test_a_broken_file_is_one_line(cli, workplace, text, said):
    (workplace / "changedet.toml").write_text(text)
    assert cli("doctor") == 8
    assert said in cli.error
    assert cli.out == ""


def test_a_file_that_is_not_text_is_one_line(cli, workplace):
    (workplace / "changedet.toml").write_bytes(b"\xff\xfe\x00")
    assert cli("doctor") == 8
    assert "cannot be read as TOML" in cli.error


RUN = ("run", "--before", "2023", "--after", "2024", "--at", "38, 126")


@pytest.mark.parametrize(
    ("text", "asked", "said"),
    [
        ('[run]\nmin-clear = "a lot"\n', RUN, "changedet.toml, [run]: min-clear does not fit ("),
        ("[run]\nmin_clear = 2\n", RUN, "changedet.toml, [run]: min-clear does not fit ("),
        ("[run]\nmin_clear = [0.5]\n", RUN, "changedet.toml, [run]: min-clear does not fit ("),
        (
            '[sites.check]\njson = "maybe"\n', ("sites", "check", "sites.csv"),
            "changedet.toml, [sites.check]: json does not fit (",
        ),
    ],
)  # fmt: skip
def test_a_value_of_the_wrong_kind_names_the_file_and_the_key(cli, workplace, text, asked, said):
    (workplace / "changedet.toml").write_text(text)
    assert cli(*asked) == 8
    assert said in cli.error
    assert cli.error.endswith("--help")


def test_a_wrong_value_on_the_command_line_is_no_matter_of_the_file(cli, workplace, monkeypatch):
    (workplace / "changedet.toml").write_text("[run]\nmin-clear = 0.5\n")
    assert cli(*RUN, "--min-clear", "a lot") == 2
    monkeypatch.setenv("CHANGEDET_RUN_MIN_CLEAR", "a lot")
    assert cli(*RUN) == 2
    assert "--min-clear" in cli.error


def test_the_file_that_is_named_is_the_one_that_decides(cli, workplace, user_settings):
    user_settings('[run]\nmin-clear = "a lot"\n[cache]\nmax_size = "5XB"\n')
    (workplace / "changedet.toml").write_text("[run]\nmax-dates = 3\n")
    assert cli(*RUN) == 8
    assert f"{user_file()}, [run]: min-clear" in cli.error
    with pytest.raises(InputFileError, match="'5XB' is not a size") as caught:
        cache_max_bytes({})
    assert caught.value.where == f"{user_file()}, [cache] max_size"
    assert settings_file_of("run", "min-area") == ""


def test_a_broken_user_file_is_named_with_its_path(cli, user_settings):
    user_settings("= 3")
    assert cli("doctor") == 8
    assert str(user_file()) in cli.error


def test_the_user_file_without_xdg(workplace, monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_file() == tmp_path / ".config" / "changedet" / "config.toml"
