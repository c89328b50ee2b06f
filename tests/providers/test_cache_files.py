"""Files that are there whole or not at all."""

import pytest

from changedet.providers import cache_files
from changedet.providers.cache_files import write_text


@pytest.mark.parametrize("durable", [False, True])
def test_a_text_is_replaced_as_a_whole_and_keeps_its_ends_of_lines(tmp_path, durable):
    path = tmp_path / "a.txt"
    for text in ("one\n", "zwölf\r\n"):
        write_text(path, text, durable=durable)
        assert path.read_bytes() == text.encode()
    assert [one.name for one in tmp_path.iterdir()] == ["a.txt"]


def test_what_cannot_be_written_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    write_text(path, "one")

    def _full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache_files, "to_disk", _full)
    with pytest.raises(OSError, match="No space left"):
        write_text(path, "two", durable=True)
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "\ud800")
    assert path.read_text() == "one"
    assert [one.name for one in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_that_is_not_there_is_said(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_text(tmp_path / "no" / "a.txt", "one")
