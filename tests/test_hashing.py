"""Digests: the whole file, whatever its size."""

import hashlib

import numpy as np
import pytest

from changedet.hashing import sha256_file


@pytest.mark.parametrize("size", [0, 1, 1 << 20, 2_500_000])
def test_files_are_digested_whole(tmp_path, size):
    data = np.random.default_rng(0).bytes(size)
    (tmp_path / "a").write_bytes(data)
    assert sha256_file(tmp_path / "a") == sha256_file(str(tmp_path / "a")) == hashlib.sha256(data).hexdigest()


def test_a_file_that_is_not_there_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        sha256_file(tmp_path / "none")
