"""Progress: whoever listens hears the steps; silence is an answer too."""

import io

from rich.progress import ProgressSample

from changedet.cli.bars import Bar, Log, _columns
from changedet.progress import (
    Progress,
    Received,
    Silent,
    SiteProgress,
    TotalProgress,
    TransferProgress,
    begin_site,
)


class Heard:
    def __init__(self):
        self.words = []

    def step(self, name):
        self.words.append(name)

    def advance(self, share):
        self.words.append(share)


def work(progress: Progress):
    progress.step("read")
    progress.advance(0.5)
    progress.step("compare")


def test_a_listener_hears_the_steps_in_order():
    heard = Heard()
    work(heard)
    assert heard.words == ["read", 0.5, "compare"]


def test_silence_says_nothing(capsys):
    work(Silent())
    out = capsys.readouterr()
    assert (out.out, out.err) == ("", "")
    assert vars(Silent()) == {}


def test_who_listens_to_what_comes_in_is_known_by_what_it_can():
    class Further(Heard):
        def received(self, state):
            self.words.append(str(state))

    assert not isinstance(Heard(), TransferProgress)
    listener = Further()
    assert isinstance(listener, TransferProgress)
    listener.received(Received(1, 3, 2_500_000, 9_000_000))
    assert listener.words == ["1 of 3 scene(s), 2.5 MB received"]


def test_one_bar_shows_steps_shares_and_what_comes_in():
    class Display:
        def __init__(self):
            self.shown = []

        def reset(self, _task, description, total):
            self.shown.append((description, total))

        def update(self, _task, **fields):
            self.shown.append((fields.get("description"), fields["completed"]))

    display = Display()
    bar = Bar(display, 0)
    bar.advance(0.2)
    bar.received(Received(0, 2, 1_000_000, 4_000_000))
    bar.advance(0.5)
    bar.step("comparing")
    bar.advance(0.9)
    assert display.shown == [
        (None, 0.2), ("fetching, 0 of 2 scene(s), 1.0 MB received", 0.25), ("comparing", None), (None, 0.9),
    ]  # fmt: skip


def test_the_site_stays_in_sight_from_the_first_step_to_the_last():
    from rich.console import Console
    from rich.progress import Progress as Display

    display = Display(console=Console(file=io.StringIO()), auto_refresh=False)
    bar = Bar(display, display.add_task("starting", total=None))
    seen = []
    for number, name in enumerate(("North pier", "Hall [2]"), start=2):
        begin_site(bar, name, number, 5)
        for tell in (lambda: bar.step("searching"), lambda: bar.received(Received(1, 2, 10**6, 4 * 10**6))):
            tell()
            seen.append([task.description for task in display.tasks])
    assert seen == [
        ["North pier: searching", "site 2 of 5"],
        ["North pier: fetching, 1 of 2 scene(s), 1.0 MB received", "site 2 of 5"],
        ["Hall [2]: searching", "site 3 of 5"],
        ["Hall [2]: fetching, 1 of 2 scene(s), 1.0 MB received", "site 3 of 5"],
    ]
    assert display.tasks[1].percentage == 40.0


def test_a_log_names_the_site_with_every_step(capsys):
    log = Log()
    begin_site(log, "North pier", 2, 5)
    log.step("searching")
    log.received(Received(1, 2, 10**6, 4 * 10**6))
    said = [line.partition(" s  ")[2] for line in capsys.readouterr().err.splitlines()]
    assert said == [
        "2 of 5  North pier: searching",
        "2 of 5  North pier: fetching, 1 of 2 scene(s), 1.0 MB received",
    ]


def test_who_does_not_listen_to_sites_hears_of_none():
    begin_site(Silent(), "North pier", 2, 5)
    assert not isinstance(Silent(), SiteProgress)


def test_the_time_left_stands_there_once_it_is_known():
    from rich.console import Console
    from rich.progress import Progress as Display

    display = Display(*_columns(), console=Console(file=io.StringIO()), auto_refresh=False)
    display.add_task("reading [the] images", total=None)
    (task,) = display.tasks
    remaining = display.columns[-1]
    assert str(remaining.render(task)) == ""
    assert str(display.columns[1].render(task)) == "reading [the] images"
    display.update(task.id, total=1.0, completed=0.5)
    display.start_task(task.id)
    task._progress.extend(ProgressSample(t, 0.1) for t in (0.0, 1.0))
    assert str(remaining.render(task)).endswith(" left")
    assert "-:--" not in str(remaining.render(task))


class HeardAll(Heard):
    def received(self, state):
        self.words.append((state.scenes_done, state.scenes, state.bytes_done, state.bytes_expected))


def test_what_comes_from_several_providers_is_added_up():
    heard = HeardAll()
    total = TotalProgress(heard)
    work(total)
    radar, optical = total.of("radar"), total.of("optical")
    work(optical)
    radar.received(Received(1, 4, 10, 40))
    optical.received(Received(0, 2, 5, 20))
    radar.received(Received(4, 4, 40, 40))
    assert heard.words == ["read", 0.5, "compare"] * 2 + [(1, 4, 10, 40), (1, 6, 15, 60), (4, 6, 45, 60)]
    total.begin()
    optical.received(Received(1, 2, 10, 20))
    assert heard.words[-1] == (1, 2, 10, 20)


def test_who_does_not_ask_for_imagery_hears_nothing_of_it():
    heard = Heard()
    assert TotalProgress(heard).of("radar") is heard
    TotalProgress(heard).add("radar", Received(1, 4, 10, 40))
    assert heard.words == []
