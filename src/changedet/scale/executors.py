"""Who does the same work at many places: this process, some of its threads, or workers elsewhere."""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from changedet.core.blocks import limited_threads
from changedet.errors import UsageError
from changedet.progress import Received, TransferProgress
from changedet.scale.resources import Resources, processors

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from contextlib import AbstractContextManager

    from changedet.progress import Progress

Item = TypeVar("Item")
Result = TypeVar("Result")
Kept = TypeVar("Kept")
#: So many items may be given out, beyond those that are worked on, before the oldest has had its turn.
AHEAD = 2
#: Ways that need no address; any other text is that of a scheduler.
SCHEDULERS = ("local", "threads", "processes")


@dataclass(frozen=True)
class Lost:
    """What stands in place of a result when the worker that should have made it died again and again.

    Attributes
    ----------
    reason : str
        One line.
    """

    reason: str


class Executor(Protocol):
    """Does the same work for many items.

    Attributes
    ----------
    at_once : int
        How many items may be worked on at one time; 1 means one after the other in this thread.
    """

    @property
    def at_once(self) -> int:
        """How many items may be worked on at one time."""

    def run(
        self,
        work: Callable[[Item, Progress], Result],
        items: Iterable[Item],
        hear: Callable[[Item], Progress],
    ) -> Iterator[tuple[Item, Result | Lost]]:
        """Do the work for every item.

        Parameters
        ----------
        work : callable
            Takes an item and whom to tell of the steps. For workers elsewhere it and the items are pickled.
        items : iterable
            Taken one by one as there is room for another. Whoever gives no more is asked again after each
            result, and the work ends when nothing is given and nothing under way.
        hear : callable
            Says whom the steps of an item are told in this process; called in the threads of this process,
            one at a time.

        Yields
        ------
        item, result
            As they end, each item the very object that was given. Closing the iterator stops what has not
            ended; what cannot be stopped ends unheard.
        """


@dataclass(frozen=True)
class Serial:
    """One item after the other, here."""

    @property
    def at_once(self) -> int:
        """Always 1."""
        return 1

    def run(
        self,
        work: Callable[[Item, Progress], Result],
        items: Iterable[Item],
        hear: Callable[[Item], Progress],
    ) -> Iterator[tuple[Item, Result | Lost]]:
        """Do the work for every item; see `Executor.run`."""
        for item in items:
            yield item, work(item, hear(item))


@dataclass(frozen=True)
class Threads:
    """Several items at a time, each in a thread of this process.

    Attributes
    ----------
    count : int
        How many at a time.
    processors : int
        How many of them each may compute with.
    """

    count: int
    processors: int = 1

    @property
    def at_once(self) -> int:
        """As many as there are threads."""
        return self.count

    def run(
        self,
        work: Callable[[Item, Progress], Result],
        items: Iterable[Item],
        hear: Callable[[Item], Progress],
    ) -> Iterator[tuple[Item, Result | Lost]]:
        """Do the work for every item; see `Executor.run`. What is stopped ends at its next step."""
        turn, stop = threading.Lock(), threading.Event()

        def _one(item: Item) -> Result:
            with limited_threads(self.processors):
                return work(item, Relay(_in_turn(hear(item), turn), stop))

        pool = ThreadPoolExecutor(self.count, thread_name_prefix="site")
        room = Room(items, self.count)
        running: dict[Future[Result], Item] = {}
        try:
            while True:
                running |= {pool.submit(_one, item): item for item in room.fill(len(running))}
                if not running:
                    return
                for done in wait(running, return_when=FIRST_COMPLETED).done:
                    yield running.pop(done), done.result()
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)


class Room(Generic[Item]):
    """Hands out items while there is room for them.

    Parameters
    ----------
    items : iterable
        Taken one by one.
    most : int
        How many may be under way.

    Examples
    --------
    >>> room = Room("abc", 2)
    >>> room.fill(0), room.fill(1), room.fill(2), room.fill(0)
    (['a', 'b'], ['c'], [], [])
    """

    def __init__(self, items: Iterable[Item], most: int) -> None:
        self._items = iter(items)
        self.most = most

    def fill(self, under_way: int) -> list[Item]:
        """Return the next items, as many as there is room for.

        Parameters
        ----------
        under_way : int
            How many are being worked on.

        Returns
        -------
        list
            Empty when there is no room, or nothing is left.
        """
        return [item for _, item in zip(range(max(0, self.most - under_way)), self._items, strict=False)]


def in_order(
    executor: Executor,
    work: Callable[[Item, Progress], Result],
    items: Iterable[Item],
    hear: Callable[[Item], Progress],
    keep: Callable[[Item, Result | Lost], Kept],
) -> Generator[tuple[Item, Kept], None, None]:
    """Do the work for every item, and give what came of them in the order of the items.

    No item is given out while as many as may be worked on at one time, and `AHEAD` more, have not had their
    turn: so many results are kept at most.

    Parameters
    ----------
    executor : Executor
        Who does the work.
    work, items, hear
        As for `Executor.run`; no item twice.
    keep : callable
        Takes an item and what came of it as soon as that is here, and returns what is kept until its turn.

    Yields
    ------
    item, kept
        In order. Closing the iterator stops what has not ended.

    Examples
    --------
    >>> from changedet.progress import Silent
    >>> squares = in_order(Serial(), lambda n, _: n * n, [3, 1], lambda _: Silent(), lambda _, found: found)
    >>> list(squares)
    [(3, 9), (1, 1)]
    """
    gate = _Gate(items, lambda: executor.at_once + AHEAD)
    kept: dict[int, Kept] = {}
    results = executor.run(work, gate, hear)
    with closing(results):  # type: ignore[type-var]  # every executor is a generator
        for item, result in results:
            kept[id(item)] = keep(item, result)
            while gate.out and id(gate.out[0]) in kept:
                first = gate.out[0]
                yield first, kept.pop(id(first))
                gate.out.popleft()


class _Gate(Generic[Item]):
    """Gives items, and for a while none when too many are out: whoever takes them asks again."""

    def __init__(self, items: Iterable[Item], most: Callable[[], int]) -> None:
        self._items, self._most = iter(items), most
        #: What was given and has not had its turn, oldest first.
        self.out: deque[Item] = deque()

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        if len(self.out) >= self._most():
            raise StopIteration
        self.out.append(item := next(self._items))
        return item


#: What a step says to another thread or process: its kind, and its name, share or `Received`.
Message = tuple[str, Any]


class Relay:
    """A `Progress` that hands on what it is told, and ends the work of its thread when nobody wants it.

    Parameters
    ----------
    send : callable
        Takes a `Message`.
    stop : threading.Event, optional
        Once set, the next thing that is told raises `KeyboardInterrupt` where it is told.
    """

    def __init__(self, send: Callable[[Message], None], stop: threading.Event | None = None) -> None:
        self._send, self._stop = send, stop

    def step(self, name: str) -> None:
        """Hand on the step."""
        self._tell("step", name)

    def advance(self, share: float) -> None:
        """Hand on the share."""
        self._tell("advance", share)

    def received(self, state: Received) -> None:
        """Hand on how much has come in."""
        self._tell("received", state)

    def _tell(self, kind: str, said: object) -> None:
        if self._stop is not None and self._stop.is_set():
            raise KeyboardInterrupt
        self._send((kind, said))


def tell(progress: Progress, message: Message) -> None:
    """Tell a `Progress` what a `Relay` sent.

    Parameters
    ----------
    progress : Progress
        Hears of bytes only when it is a `TransferProgress`.
    message : tuple
        Kind and content.
    """
    kind, said = message
    if kind == "step":
        progress.step(said)
    elif kind == "advance":
        progress.advance(said)
    elif isinstance(progress, TransferProgress):
        progress.received(said)


def _in_turn(progress: Progress, turn: threading.Lock) -> Callable[[Message], None]:
    def _send(message: Message) -> None:
        with turn:
            tell(progress, message)

    return _send


def open_executor(scheduler: str, jobs: int | None = None) -> AbstractContextManager[Executor]:
    """Open what does the work.

    Parameters
    ----------
    scheduler : str
        ``"local"`` (one after the other), ``"threads"``, ``"processes"`` (workers of Dask on this machine) or
        the address of a Dask scheduler such as ``"tcp://10.0.0.5:8786"``.
    jobs : int, optional
        How many at a time for threads and processes; as many as there are processors when not given.

    Returns
    -------
    context manager of Executor
        What was started for it ends with it.

    Raises
    ------
    UsageError
        When the scheduler is none of these, or the number says nothing about it.
    """
    if jobs is not None and scheduler not in {"threads", "processes"}:
        raise UsageError(
            f"--jobs says nothing with --scheduler {scheduler}",
            todo="choose --scheduler threads or processes; a cluster has the workers that it has",
        )
    count = jobs or processors()
    if scheduler == "local":
        return nullcontext(Serial())
    if scheduler == "threads":
        return _open_threads(count)
    if scheduler != "processes" and "://" not in scheduler:
        raise UsageError(
            f"there is no scheduler {scheduler!r}",
            todo=f"choose {', '.join(SCHEDULERS)} or an address such as tcp://10.0.0.5:8786",
        )
    from changedet.scale.cluster import open_cluster

    return open_cluster(None if scheduler == "processes" else scheduler, count)


@contextmanager
def _open_threads(count: int) -> Iterator[Executor]:
    share = max(1, processors() // count)
    with Resources(jobs=share).in_use():
        yield Threads(count, share)
