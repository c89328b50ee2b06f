"""A comparison in surroundings that nobody thinks of: run by test_surroundings.py, one process for each.

    python -m tests.faults.surroundings FOLDER [NAME ...]

Each prints what is wrong with how it ended, and whether its products are the usual ones to the byte.
"""

import itertools
import json
import os
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

import pytest
from tests.disorder import list_backwards
from tests.faults import cases
from tests.faults.steps import forked, warm

#: Somebody without rights; the superuser may do what these tests want to see refused.
NOBODY = 65534
_BROKEN = 73
USUAL, FAILS = "usual", "one line"


def local(name, zone="UTC"):
    """Another locale and time zone."""
    os.environ |= {"LC_ALL": name, "LANG": name, "TZ": zone}
    time.tzset()


def clock_that_jumps():
    """A clock that is set back by an hour whenever somebody looks at it."""
    started, looks = time.time(), itertools.count()
    time.time = lambda: started - 3600.0 * next(looks)


def closed(*numbers):
    """Standard streams that are closed."""
    for number in numbers:
        os.close(number)


def gone_reader():
    """A reader of the standard output who has gone, as after | head -1."""
    reading, writing = os.pipe()
    os.dup2(writing, 1)
    os.close(writing)
    os.close(reading)


def limited(kind, value):
    """Few open files, or little address space."""
    resource.setrlimit(kind, (value, value))


def little_memory():
    """Little more address space than the process has already; with less the libraries end the process."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limited(resource.RLIMIT_AS, pages * resource.getpagesize() + 150_000_000)


def homeless():
    """A home and places for caches that are no folders."""
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "MPLCONFIGDIR"):
        os.environ[name] = cases.UNUSABLE


#: What is set up before the command, and how it should end.
SURROUNDINGS = {
    "locale C, far east": (lambda: local("C", "Pacific/Kiritimati"), USUAL),
    "locale of Germany": (lambda: local("de_DE.UTF-8", "America/St_Johns"), USUAL),
    "locale of Turkey": (lambda: local("tr_TR.UTF-8", "Asia/Kathmandu"), USUAL),
    "clock set back": (clock_that_jumps, USUAL),
    "folders listed backwards": (lambda: list_backwards(pytest.MonkeyPatch()), USUAL),
    "no home": (homeless, USUAL),
    "stdin closed": (lambda: closed(0), USUAL),
    "stderr closed": (lambda: closed(2), USUAL),
    "reader gone": (gone_reader, USUAL),
    "64 open files": (lambda: limited(resource.RLIMIT_NOFILE, 64), USUAL),
    "16 open files": (lambda: limited(resource.RLIMIT_NOFILE, 16), FAILS),
    "little memory": (little_memory, FAILS),
    "files of 20 kB at most": (lambda: limited(resource.RLIMIT_FSIZE, 20_000), FAILS),
}
#: Names of the folder in which everything takes place, and how a comparison ends there.
PLACES = {
    "a strange name": ('Объект "old" pier\'s 50%#1? $HOME;&|<>*', USUAL),
    "a line break": ("pier\nnorth", FAILS),
    "not UTF-8": (os.fsdecode(b"caf\xe9"), FAILS),
}


def under_a_limit(case, name, products):
    """What is wrong with a comparison in one of the surroundings."""
    prepare, expected = SURROUNDINGS[name]

    def work():
        prepare()
        return case.work()

    shutil.rmtree(case.folder, ignore_errors=True)
    case.folder.mkdir()
    ended = forked(work, case.folder)
    return [*wrong(ended, expected), *case.problems(), *(_other(case, products) if not ended.code else [])]


def wrong(ended, expected):
    """What is wrong with how a process ended."""
    found = []
    if "Traceback" in ended.said or ended.code in (1, 70) or ended.code < 0:
        found.append(f"ended with {ended.code}: {ended.said[-400:]}")
    if expected == USUAL and ended.code:
        found.append(f"ended with {ended.code}: {ended.said[-400:]}")
    errors = [line for line in ended.said.splitlines() if line.startswith("changedet: error: ")]
    if ended.code and len(errors) != 1:
        found.append(f"{len(errors)} lines of error: {ended.said[-400:]}")
    return found


def _other(case, products):
    now = case.products()
    differing = sorted(name for name in {*now, *products} if now.get(name) != products.get(name))
    return [f"other bytes: {differing[:5]}"] if differing else []


def at_a_place(root, name, usual):
    """What is wrong with a comparison whose folder, and whose imagery, have a strange name."""
    called, expected = PLACES[name]
    place = root / called
    place.mkdir()
    scenes = shutil.copytree(cases.SAMPLES, place / "scenes", ignore=shutil.ignore_patterns("truth*", "d*"))
    case = cases.detecting(place / "work", scenes=scenes)
    ended = forked(case.work, case.folder, beside=root / "strange")
    found = [*wrong(ended, expected), *case.problems()]
    rasters = {key: value for key, value in case.products().items() if key.endswith(".tif")}
    as_usual = {key: usual.get(key) for key in rasters}
    return found + (["other rasters"] if rasters != as_usual or bool(rasters) == bool(ended.code) else [])


def in_the_open():
    """What is wrong without rights, in a folder that others may enter: those of tests are closed to them."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        return without_rights(Path(folder))


def without_rights(root):
    """What is wrong where somebody else may read and not write: a folder of results, a cache."""
    case = cases.keeping(root / "shared")
    case.work()
    kept = cases.digests(case.folder)
    locked = cases.detecting(root / "locked")
    for path in (case.folder, case.folder / "cache", case.folder / "cache" / "scenes", locked.folder):
        path.chmod(0o755)

    def read_and_store():
        from changedet.errors import OutputError
        from changedet.providers.cache import SceneCache
        from changedet.providers.cache_files import Planes, digest_of

        os.setuid(NOBODY)
        cache = SceneCache(case.folder / "cache")
        array, content = cache.fetch(digest_of(3))
        cache.set_aside(digest_of(3))
        cache.clean()
        assert content["number"] % 5 == 3
        assert cache.obstacle()
        try:
            cache.store(digest_of("new"), Planes(array, ("a", "b", "c"), cases.GRID), {})
        except OutputError as error:
            assert "\n" not in str(error)
            return 0
        return 1

    def detect():
        os.setuid(NOBODY)
        return locked.work()

    found = wrong(forked(read_and_store, root / "shared"), USUAL)
    found += ["the cache is another"] if cases.digests(case.folder) != kept else []
    ended = forked(detect, root / "locked")
    found += wrong(ended, FAILS) + ([] if ended.code == _BROKEN else [f"ended with {ended.code}"])
    return found + ([] if not any(locked.folder.iterdir()) else ["something was written"])


def main(folder, names):
    """Print one line of JSON for each of the surroundings."""
    case = cases.detecting(folder / "usual")
    assert warm(case.work, case.folder).code == 0
    products = case.products()
    every = {name: lambda name=name: under_a_limit(case, name, products) for name in SURROUNDINGS}
    every |= {name: lambda name=name: at_a_place(folder, name, products) for name in PLACES}
    if os.geteuid() == 0:
        every["without rights"] = in_the_open
    for name in names or every:
        sys.stdout.write(json.dumps({"surroundings": name, "problems": every[name]()}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
