"""Progress: whoever listens hears the steps; silence is an answer too."""

from changedet.progress import Progress, Silent


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
