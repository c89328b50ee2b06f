"""Folders that appear whole or not at all."""

import os
import time
from pathlib import Path

import pytest

from changedet.errors import UsageError
from changedet.output.whole import (
    clear_away,
    keep,
    put_back,
    require_writable_name,
    set_aside,
    temporary_sibling,
)


def test_a_folder_that_is_not_renamed_goes_with_the_parents_made_for_it(tmp_path):
    target = tmp_path / "a" / "b" / "run"
    with temporary_sibling(target) as temporary:
        assert temporary.parent == target.parent
        (temporary / "file").write_text("")
    assert list(tmp_path.iterdir()) == []


def test_parents_that_hold_something_stay(tmp_path):
    with pytest.raises(KeyboardInterrupt), temporary_sibling(tmp_path / "a" / "b" / "run"):
        (tmp_path / "a" / "mine").write_text("mine")
        raise KeyboardInterrupt
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a", "mine"]


def test_a_folder_that_is_renamed_stays(tmp_path):
    target = tmp_path / "a" / "run"
    with temporary_sibling(target) as temporary:
        temporary.rename(target)
    assert [p.name for p in target.parent.iterdir()] == ["run"]


def test_what_was_there_comes_back_unless_something_took_its_place(tmp_path):
    target = tmp_path / "run"
    target.mkdir()
    (target / "old").write_text("")
    with pytest.raises(KeyboardInterrupt), set_aside(target):
        assert not target.exists()
        raise KeyboardInterrupt
    assert (target / "old").exists()
    with set_aside(target):
        target.mkdir()
    assert list(tmp_path.rglob("*")) == [target]


def test_nothing_to_set_aside(tmp_path):
    with set_aside(tmp_path / "run"):
        (tmp_path / "run").mkdir()
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def aside(target, word, age_s=0.0, names=("file",)):
    """What a killed process leaves beside a target."""
    folder = target.with_name(f".{target.name}.{word}-0123abcd")
    folder.mkdir()
    for path in [*(folder / name for name in names), folder]:
        if path != folder:
            path.write_text(word)
        os.utime(path, (time.time() - age_s,) * 2)
    return folder


def test_what_a_killed_process_set_aside_gets_its_name_again(tmp_path):
    target = tmp_path / "run"
    aside(target, "old")
    put_back(target)
    assert [p.name for p in tmp_path.iterdir()] == ["run"]
    assert (target / "file").read_text() == "old"


def test_nothing_is_put_in_the_place_of_something(tmp_path):
    target = tmp_path / "run"
    left = aside(target, "old")
    target.symlink_to(tmp_path / "nowhere")
    put_back(target)
    assert left.exists() and target.is_symlink()
    put_back(tmp_path / "no" / "folder" / "here")


def test_leftovers_go_when_nobody_can_be_at_work_on_them_any_more(tmp_path):
    target = tmp_path / "run"
    target.mkdir()
    old = [aside(target, word, age_s=7200) for word in ("part", "old")]
    near = tmp_path / ".run.part-mine"
    near.mkdir()
    with temporary_sibling(target):
        assert not any(path.exists() for path in old)
    young = aside(target, "part")
    with temporary_sibling(target):
        assert young.exists() and near.exists()


def test_what_workers_left_beside_many_folders_goes_at_one_time(tmp_path):
    targets = [tmp_path / "a", tmp_path / "b.part-01234567", tmp_path / "group" / "c"]
    (tmp_path / "group").mkdir()
    old = [aside(target, "part", age_s=7200) for target in targets]
    others = [aside(tmp_path / name, "part", age_s=7200) for name in ("d", "group")]
    young = aside(targets[0], "old")
    clear_away(*targets, tmp_path / "no" / "folder")
    assert not any(path.exists() for path in old)
    assert young.exists() and all(path.exists() for path in others)


def test_what_was_set_aside_stays_while_its_place_is_empty(tmp_path):
    left = aside(tmp_path / "run", "old", age_s=7200)
    with temporary_sibling(tmp_path / "run"):
        assert left.exists()


def test_a_link_is_not_followed(tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    os.utime(mine, (0, 0))
    (tmp_path / ".run.part-0123abcd").symlink_to(mine)
    with temporary_sibling(tmp_path / "run"):
        assert mine.exists() and (tmp_path / ".run.part-0123abcd").is_symlink()


def test_every_file_reaches_the_disk(tmp_path, monkeypatch):
    (tmp_path / "plates").mkdir()
    for name in ("a", "plates/b"):
        (tmp_path / name).write_text(name)
    seen = []
    monkeypatch.setattr("changedet.output.whole.to_disk", seen.append)
    keep(tmp_path)
    assert seen == [tmp_path / "a", tmp_path / "plates" / "b"]


@pytest.mark.parametrize("name", ["pier\nnorth", "bell\x07", "caf\udce9"])
def test_names_that_cannot_be_written_are_refused_in_one_line(name):
    with pytest.raises(UsageError, match="choose a folder with another name") as caught:
        require_writable_name(Path("/runs") / name)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "name", ["Объект", 'the "old" pier\'s', "50%#1?", "zero\u200bwidth", "right\u202eleft"]
)
def test_other_names_pass(name):
    require_writable_name(Path("/runs") / name)
