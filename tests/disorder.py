"""Folders that are listed, and catalogues that answer, in another order than usual."""

import os
from random import Random

from tests.world import search, sentinel_hub, stac_api


class Backwards:
    """What stands in a folder from its last name to its first, as os.scandir gives it."""

    def __init__(self, entries):
        with entries:
            self.entries = iter(sorted(entries, key=lambda entry: entry.name, reverse=True))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.entries)

    def close(self):
        self.entries = iter(())


def list_backwards(patch):
    """Let every folder be listed backwards; no system promises an order."""
    listdir, scandir = os.listdir, os.scandir
    patch.setattr(os, "listdir", lambda path=".": sorted(listdir(path), reverse=True))
    patch.setattr(os, "scandir", lambda path=".": Backwards(scandir(path)))


def answer_in_any_order(patch, seed):
    """Let the catalogues of a world on this machine give the items of an answer in another order."""

    def shuffled(*asked):
        found = search.search(*asked)
        Random(seed).shuffle(found)
        return found

    for service in (stac_api, sentinel_hub):
        patch.setattr(service, "search", shuffled)
