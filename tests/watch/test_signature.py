"""Who signed a file, and what is made of what is no signature."""

import os
import socket
import subprocess
import sys

import pytest

from changedet.watch.signature import Signature, own_signature, read_signature


def test_a_signature_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "w"
    mine = own_signature()
    path.write_text(mine.to_text(), encoding="utf-8")
    assert read_signature(path) == mine and not mine.is_gone
    assert str(mine) == f"process {os.getpid()} on {socket.gethostname()} since {mine.since_utc}"


@pytest.mark.parametrize(
    "said", ["", "{", "[1]", "7", '{"host": "x"}', '{"host": "x", "pid": "y", "since_utc": ""}']
)
def test_what_is_no_signature_is_nobodys(tmp_path, said):
    assert read_signature(tmp_path / "none") is None
    (tmp_path / "w").write_text(said, encoding="utf-8")
    assert read_signature(tmp_path / "w") is None


def test_who_has_ended_is_gone_and_of_other_machines_nobody_knows():
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert Signature(socket.gethostname(), ended.pid, "2020").is_gone
    assert not Signature("elsewhere", ended.pid, "2020").is_gone


def test_long_words_of_strangers_are_cut(tmp_path):
    (tmp_path / "w").write_text(Signature("h" * 500, 1, "s" * 500).to_text(), encoding="utf-8")
    assert len(str(read_signature(tmp_path / "w"))) < 200
