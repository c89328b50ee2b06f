"""``changedet cache``: what is listed, what is found damaged, what is removed."""

import json
import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.synthetic import make_image, make_scene

from changedet.configuration import cache_max_bytes, parse_size
from changedet.errors import InputFileError, UsageError
from changedet.providers.cache import Condition, SceneCache
from changedet.providers.cache_files import Planes, digest_of
from changedet.providers.cached import open_cache

SECRET = "TheSignature"


@pytest.fixture
def stored(tmp_path):
    """A cache of two scenes, the second used more recently."""
    cache = SceneCache(tmp_path / "kept")
    image = make_image()
    for number in range(2):
        scene = make_scene(id=f"scene-{number}").to_dict()
        scene["bands"]["B04"]["href"] += f"?sig={SECRET}"
        content = {"provider": "earth-search", "bands": [*image.bands], "scene": scene}
        key = digest_of(number)
        cache.store(key, Planes(image.data, image.bands, image.grid), content)
        stamp = time.time() - 100 + number
        os.utime(cache.scenes / f"{key}.json", (stamp, stamp))
    return cache


def spoil(cache, number):
    (path,) = cache.scenes.glob(f"{digest_of(number)}.*.tif")
    path.write_bytes(path.read_bytes()[:-1])


def test_ls_names_scenes_most_recent_first(cli, stored):
    assert cli("cache", "ls", "--cache", stored.folder) == 0
    head, first, second = cli.out.splitlines()
    total = sum(entry.size_bytes for entry in stored.entries())
    assert head == f"2 scene(s), {total / 1e6:.2f} MB in {stored.folder}"
    assert first.startswith(digest_of(1)[:12])
    assert "scene-1" in first
    assert "scene-0" in second
    assert "earth-search" in first
    assert "B02 B03 B04" in first


def test_ls_as_json(cli, stored):
    assert cli("cache", "ls", "--cache", stored.folder, "--json") == 0
    document = json.loads(cli.out)
    assert document["folder"] == str(stored.folder)
    assert [row["scene"] for row in document["entries"]] == ["scene-1", "scene-0"]
    assert document["entries"][0]["key"] == digest_of(1)
    assert document["entries"][0]["size_bytes"] == stored.entries()[0].size_bytes
    assert document["entries"][0]["used_utc"].endswith("Z")
    assert SECRET not in cli.out


def test_ls_of_an_unreadable_sidecar_goes_on(cli, stored):
    (stored.scenes / f"{digest_of(0)}.json").write_text("{")
    assert cli("cache", "ls", "--cache", stored.folder) == 0
    assert "unknown" in cli.out
    assert "scene-1" in cli.out


def test_the_folder_comes_from_the_environment(cli, stored, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    assert cli("cache", "ls") == 0
    assert cli.out == f"0 scene(s), 0.00 MB in {tmp_path / 'empty' / 'changedet'}\n"
    assert not (tmp_path / "empty").exists()
    monkeypatch.setenv("CHANGEDET_CACHE", str(stored.folder))
    assert cli("cache", "ls") == 0
    assert cli.out.startswith("2 scene(s)")


def test_the_folder_comes_from_a_settings_file(cli, stored, workplace):
    (workplace / "changedet.toml").write_text(f"[cache.ls]\ncache = {str(stored.folder)!r}\n")
    assert cli("cache", "ls") == 0
    assert cli.out.startswith("2 scene(s)")


def test_verify_of_whole_scenes(cli, stored):
    assert cli("cache", "verify", "--cache", stored.folder) == 0
    assert cli.out == f"2 scene(s) in {stored.folder} are what was written\n"
    assert cli("cache", "verify", "--cache", stored.folder, "--json") == 0
    entries = json.loads(cli.out)["entries"]
    assert {entry["condition"] for entry in entries.values()} == {"intact"}


def test_verify_sets_aside_what_is_damaged(cli, stored):
    spoil(stored, 0)
    assert cli("cache", "verify", "--cache", stored.folder) == 8
    assert "1 of 2 scene(s) were damaged and are set aside" in cli.error
    assert f"({digest_of(0)[:12]}: " in cli.error
    assert "bytes instead of" in cli.error
    assert "they will be fetched again when needed" in cli.error
    assert stored.look(digest_of(0)).condition is Condition.ABSENT
    assert cli("cache", "verify", "--cache", stored.folder) == 0
    assert cli.out.startswith("1 scene(s)")


def test_verify_as_json_names_what_is_damaged(cli, stored):
    spoil(stored, 1)
    assert cli("cache", "verify", "--cache", stored.folder, "--json") == 8
    document = json.loads(cli.out)
    assert document["error"]["exit_code"] == 8
    assert document["entries"][digest_of(1)]["condition"] == "damaged"
    assert document["entries"][digest_of(0)] == {"condition": "intact", "reason": ""}


def test_prune_to_a_size(cli, stored):
    newest = stored.entries()[0]
    size = stored.entries()[1].size_bytes
    assert cli("cache", "prune", "--cache", stored.folder, "--max-size", f"{newest.size_bytes}") == 0
    assert cli.out.splitlines()[0] == f"1 scene(s) removed, {size / 1e6:.2f} MB freed"
    assert stored.entries() == [newest]


def test_prune_by_default_keeps_what_fits_and_removes_what_was_damaged(cli, stored):
    spoil(stored, 0)
    stored.set_aside(digest_of(0))
    assert cli("cache", "prune", "--cache", stored.folder, "--json") == 0
    assert json.loads(cli.out) == {
        "folder": str(stored.folder),
        "removed": [],
        "freed_bytes": 0,
        "kept": 1,
    }
    assert len([*stored.scenes.iterdir()]) == 2


def test_prune_to_nothing(cli, stored):
    assert cli("cache", "prune", "--cache", stored.folder, "--max-size", "0") == 0
    assert [*stored.scenes.iterdir()] == []


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "5 parsecs", "1e9", "٣GB", "1.GB", "1,5GB"])
def test_a_size_that_is_none_is_one_line(cli, stored, text):
    with pytest.raises(UsageError, match="is not a size; write it as 5GB or 500MB"):
        parse_size(text)
    assert cli("cache", "prune", "--cache", stored.folder, f"--max-size={text}") == 2
    assert "--max-size" in cli.error
    assert len(stored.entries()) == 2


@given(st.integers(0, 10**12), st.sampled_from(["", " ", "b", "B"]))
def test_bytes_are_read_as_they_are(number, unit):
    assert parse_size(f"{number}{unit}") == number


@pytest.mark.parametrize(
    ("text", "size"),
    [("1kB", 1000), ("2 MB", 2_000_000), ("1.5gb", 1_500_000_000), ("1KiB", 1024), ("3GiB", 3 * 2**30)],
)
def test_units(text, size):
    assert parse_size(text) == size


def test_help_tells_the_commands(cli):
    assert cli("cache", "--help") == 0
    assert all(name in cli.out for name in ("ls", "verify", "prune"))


@pytest.mark.parametrize("said", ["file", "environment"])
def test_settings_limit_the_size(cli, stored, workplace, monkeypatch, said):
    if said == "file":
        (workplace / "changedet.toml").write_text('[cache]\nmax_size = "1kB"\n')
    else:
        (workplace / "changedet.toml").write_text('[cache]\nmax_size = "5GB"\n')
        monkeypatch.setenv("CHANGEDET_CACHE_MAX_SIZE", "1kB")
    assert open_cache(stored.folder).max_bytes == 1000
    assert cli("cache", "prune", "--cache", stored.folder) == 0
    assert stored.entries() == []


def test_the_limit_is_20_gb_when_nobody_says_so(workplace):
    assert cache_max_bytes({}) is None
    assert open_cache().max_bytes == 20_000_000_000


@pytest.mark.parametrize("text", ["much", "-1", ""])
def test_a_limit_that_is_no_size_is_said(workplace, text):
    with pytest.raises(InputFileError, match=r"CHANGEDET_CACHE_MAX_SIZE.* is not a size; write it as 5GB"):
        cache_max_bytes({"CHANGEDET_CACHE_MAX_SIZE": text})


def test_an_unknown_setting_of_the_cache_is_an_error(cli, workplace):
    (workplace / "changedet.toml").write_text("[cache]\nsize = 3\n")
    assert cli("cache", "ls") == 8
    assert "changedet cache has no command 'size'" in cli.error
