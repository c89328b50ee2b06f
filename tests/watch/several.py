"""Sites at which different things happen, and a source of their images that travels to workers."""

import os
import signal
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from tests.watch.simulated import RULES, SINCE, SITE, SimulatedProvider, built

from changedet.errors import CredentialsError, InputFileError, ProviderError
from changedet.progress import Silent
from changedet.providers.tracked import TrackedProvider
from changedet.watch.looking import WatchSpan
from changedet.watch.running import WatchRequest, run_watch
from changedet.watch.state import open_state

#: Built at the first and the last; one that nobody can search, and one in a folder.
NAMES = ("Pier", "Quay", "Mole", "Lock", "Dock")
SITES = tuple(replace(SITE, name=name, folder="North" if name == "Mole" else "") for name in NAMES)
BUILT = frozenset({"Pier", "Dock"})
APRIL, JULY = datetime(2023, 4, 10, tzinfo=UTC), datetime(2023, 7, 1, tzinfo=UTC)


@dataclass
class Named(SimulatedProvider):
    """Scenes that know their site: what happens there, what fails, who is slow and who is killed."""

    faults: dict = field(default_factory=dict)
    slow: tuple = ()
    killed: Path | None = None

    def search(self, query):
        name = query.site.name
        if name in self.slow:
            time.sleep(0.1)
        if name in self.faults and isinstance(self.faults[name], ProviderError | CredentialsError):
            raise self.faults[name]
        return [replace(one, id=f"{name}-{one.id}") for one in super().search(query)]

    def load(self, scene, grid, bands=None, **more):
        name, _, date = scene.id.partition("-")
        self._die(name)
        if (name, date) in self.faults or name in self.faults:
            raise self.faults.get((name, date)) or self.faults[name]
        self.happenings = (built(),) if name in BUILT else ()
        return super().load(replace(scene, id=date), grid, bands, **more)

    def _die(self, name):
        """Kill the process that loads the last site, the first time."""
        if self.killed is not None and name == NAMES[-1] and not self.killed.exists():
            self.killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Source:
    """Opens the images of the sites wherever that is."""

    faults: tuple = ()
    slow: tuple = ("Pier", "Quay")
    killed: Path | None = None

    def __call__(self, progress):
        return TrackedProvider(Named(faults=dict(self.faults), slow=self.slow, killed=self.killed), progress)


DOWN = (("Quay", ProviderError("is down", todo="try later")),)
#: Found out at a date in the middle: those before it count.
TORN = ((("Lock", "date-087"), ProviderError("broke off", todo="try later")),
        (("Dock", "date-083"), InputFileError("is torn")))  # fmt: skip
REFUSED = (("Quay", CredentialsError("the account is refused", todo="renew it")),)
BUG = (("Quay", ZeroDivisionError("https://example.org/?token=topsecret")),)


def request_in(folder, until=JULY, **more):
    """What is asked of a watch in a folder."""
    return WatchRequest(folder / "w.gpkg", folder / "out", WatchSpan(SINCE, until), RULES, **more)


def begin(folder):
    """Make the state file; what is copied of it names alerts as it does."""
    folder.mkdir()
    with open_state(folder / "w.gpkg", write=True):
        return folder


def look(folder, source, crew=None, until=JULY, progress=None):
    """Watch all sites once."""
    progress = progress or Silent()
    return run_watch(SITES, request_in(folder, until), source(progress), progress, crew)
