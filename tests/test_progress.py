"""Progress: whoever listens hears the steps; silence is an answer too."""

from changedet.cli.console import _Bar
from changedet.progress import Progress, Received, Silent, TransferProgress


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
    bar = _Bar(display, 0)
    bar.advance(0.2)
    bar.received(Received(0, 2, 1_000_000, 4_000_000))
    bar.advance(0.5)
    bar.step("comparing")
    bar.advance(0.9)
    assert display.shown == [
        (None, 0.2), ("fetching, 0 of 2 scene(s), 1.0 MB received", 0.25), ("comparing", None), (None, 0.9),
    ]  # fmt: skip
