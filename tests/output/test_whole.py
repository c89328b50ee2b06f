"""Folders that appear whole or not at all."""

import pytest

from changedet.output.whole import set_aside, temporary_sibling


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
