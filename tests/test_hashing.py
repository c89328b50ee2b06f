"""Digests: the whole file, whatever its size."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

import changedet
from changedet.hashing import code_digest, sha256_file


@pytest.mark.parametrize("size", [0, 1, 1 << 20, 2_500_000])
def test_files_are_digested_whole(tmp_path, size):
    data = np.random.default_rng(0).bytes(size)
    (tmp_path / "a").write_bytes(data)
    assert sha256_file(tmp_path / "a") == sha256_file(str(tmp_path / "a")) == hashlib.sha256(data).hexdigest()


def test_a_file_that_is_not_there_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        sha256_file(tmp_path / "none")


def test_any_change_of_a_module_changes_the_digest_of_the_code(tmp_path):
    (tmp_path / "core").mkdir()
    module = tmp_path / "core" / "a.py"
    module.write_text("LIMIT = 1\n")
    (tmp_path / "b.py").write_text("LIMIT = 1\n")
    found = [code_digest(tmp_path)]
    (tmp_path / "core" / "a.pyc").write_bytes(b"compiled")
    (tmp_path / "page.html").write_text("drawn")
    assert code_digest(tmp_path) == found[0]
    module.write_text("LIMIT = 2\n")
    found.append(code_digest(tmp_path))
    module.rename(tmp_path / "core" / "c.py")
    found.append(code_digest(tmp_path))
    assert len(set(found)) == 3


def test_the_package_itself_is_digested_the_same_every_time():
    assert code_digest() == code_digest(Path(changedet.__file__).parent)
