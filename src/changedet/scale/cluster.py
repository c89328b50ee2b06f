"""The same work on the workers of a Dask cluster: sent out, heard of, made again when a worker dies."""

from __future__ import annotations

import secrets
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from changedet.errors import MissingInputError, ProviderError, UsageError
from changedet.progress import Received
from changedet.scale.executors import Item, Lost, Relay, Result, Room, tell
from changedet.scale.resources import Resources

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from distributed import Client, Future

    from changedet.progress import Progress
    from changedet.scale.executors import Executor, Message

#: So long a scheduler may take to answer, and its first worker to be there, in seconds.
CONNECT_S, WORKERS_S = 20.0, 120.0
#: So often a task is tried again that failed for a reason that is not of its item.
_RETRIES = 2
#: Notices of services come from here, as in one process.
_SPEAKER = "changedet.providers"


@dataclass(frozen=True)
class Cluster:
    """Several items at a time, each on a worker of a Dask cluster.

    Work and items are pickled: nothing may stand in them that a worker should not know. A worker that dies
    loses what it was at, which another begins anew, so that work must bear being done twice.

    Attributes
    ----------
    client : distributed.Client
        The line to the scheduler.
    """

    client: Client

    @property
    def at_once(self) -> int:
        """As many as the workers of this moment have threads."""
        threads: dict[str, int] = self.client.nthreads()
        return max(1, sum(threads.values()))

    def run(
        self,
        work: Callable[[Item, Progress], Result],
        items: Iterable[Item],
        hear: Callable[[Item], Progress],
    ) -> Iterator[tuple[Item, Result | Lost]]:
        """Do the work for every item; see `changedet.scale.executors.Executor.run`.

        What waits is called off when the iterator is closed; what a worker elsewhere is at ends there.

        Raises
        ------
        ProviderError
            When the scheduler is gone.
        """
        from distributed import as_completed

        name = f"changedet-{secrets.token_hex(8)}"
        under_way: dict[str, tuple[Item, Future[Result]]] = {}
        room, count = Room(items, 0), 0
        ended = as_completed([], loop=self.client.loop)
        with self._heard(name, under_way, hear):
            try:
                while True:
                    # one more for each thread waits there, so that none has to wait for us
                    room.most = 2 * self.at_once
                    for item in room.fill(len(under_way)):
                        key, count = f"{name}-{count}", count + 1
                        future = self.client.submit(
                            _on_worker, work, item, name, key, key=key, retries=_RETRIES, pure=False
                        )
                        under_way[key] = (item, future)
                        ended.add(future)
                    if not under_way:
                        return
                    future = next(ended)
                    item, _ = under_way.pop(str(future.key))
                    yield item, _result_of(future)
            finally:
                self.client.cancel([future for _, future in under_way.values()], force=True)

    @contextmanager
    def _heard(
        self,
        topic: str,
        under_way: dict[str, tuple[Item, Future[Result]]],
        hear: Callable[[Item], Progress],
    ) -> Iterator[None]:
        """Have steps that workers tell of passed on while this lasts."""
        turn = threading.Lock()

        def _pass_on(event: tuple[float, tuple[str, str, Any]]) -> None:
            key, kind, said = event[1]
            # what comes after its end is of no interest
            if (found := under_way.get(key)) is not None:
                with turn:
                    tell(hear(found[0]), (kind, Received(*said) if kind == "received" else said))

        self.client.subscribe_topic(topic, _pass_on)
        try:
            yield
        finally:
            self.client.unsubscribe_topic(topic)


def _on_worker(work: Callable[[Item, Progress], Result], item: Item, topic: str, key: str) -> Result:
    """Do the work for one item where this runs."""
    from distributed import get_worker

    worker = get_worker()

    def _send(message: Message) -> None:
        kind, said = message
        if isinstance(said, Received):
            said = (said.scenes_done, said.scenes, said.bytes_done, said.bytes_expected)
        worker.log_event(topic, (key, kind, said))

    # by the rules of Dask a thread of a worker is one processor
    with Resources(jobs=1).in_use():
        return work(item, Relay(_send))


def _result_of(future: Future[Result]) -> Result | Lost:
    from distributed import KilledWorker

    if future.cancelled():
        raise ProviderError(
            "the Dask scheduler is gone", todo="the same command again goes on with what is not complete"
        )
    error = future.exception()
    if isinstance(error, KilledWorker):
        return Lost(
            "its worker died again and again, perhaps for want of memory: see the log of the workers "
            f"(the last was {getattr(error.last_worker, 'address', 'unknown')})"
        )
    if error is not None:
        raise error
    return future.result()


@contextmanager
def open_cluster(address: str | None, workers: int) -> Iterator[Executor]:
    """Reach the workers of a scheduler, or start some on this machine.

    Parameters
    ----------
    address : str or None
        Of a Dask scheduler, such as ``"tcp://10.0.0.5:8786"``. None: processes of this machine, one thread
        each, which end with this.
    workers : int
        How many processes; for an address those that are there count.

    Yields
    ------
    Executor
        With at least one worker, all of which have this version of the program.

    Raises
    ------
    MissingInputError
        When Dask's scheduler is not installed.
    ProviderError
        When nobody answers at the address, or it has no workers.
    UsageError
        When the workers do not have this version of the program.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise MissingInputError(
            "several processes need the package distributed", todo="install changedet[dask]"
        ) from error
    with ExitStack() as stack:
        if address is None:
            there: Any = stack.enter_context(
                LocalCluster(
                    n_workers=workers, threads_per_worker=1, dashboard_address=":0", memory_limit=0,
                    silence_logs="CRITICAL",
                )
            )  # fmt: skip
        else:
            there = address
        try:
            client = stack.enter_context(Client(there, timeout=CONNECT_S, set_as_default=False))
            client.wait_for_workers(1, timeout=WORKERS_S)
        except (OSError, TimeoutError) as error:
            raise ProviderError(
                f"no Dask scheduler with a worker answers: {error}",
                where=str(address or "this machine"),
                todo="check the address, and that workers are running",
            ) from error
        except ValueError as error:
            raise UsageError(f"not an address of a scheduler: {error}", where=str(address)) from error
        _require_same(client)
        client.forward_logging(_SPEAKER)
        stack.callback(client.unforward_logging, _SPEAKER)
        yield Cluster(client)


def _require_same(client: Client) -> None:
    """Refuse workers that would make something else than this process."""
    own, todo = _installed(), "install the same version on them"
    try:
        found = client.run(_installed)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"the workers do not have changedet ({error})", todo=todo) from error
    others = sorted({said for said in found.values() if said != own})
    if others:
        raise UsageError(f"the workers have changedet {', '.join(others)}, and here is {own}", todo=todo)


def _installed() -> str:
    return version("changedet")
