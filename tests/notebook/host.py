"""A page that stands in for JupyterLab: the script of a widget with a model, connected to Python or not."""

import base64
import json
from pathlib import Path

HOST = Path(__file__).with_name("host.html")


def page_of(widget, *, dark=False):
    """The widget as a page that needs nobody else."""
    state = {name: getattr(widget, name) for name in synced(widget)}
    binary = {name: base64.b64encode(v).decode() for name, v in state.items() if isinstance(v, bytes)}
    plain = {n: v for n, v in state.items() if not isinstance(v, bytes) and n not in ("_esm", "_css")}
    page = HOST.read_text("utf-8")
    filled = {
        "css": widget._css, "esm": widget._esm, "bytes": json.dumps(binary),
        "traits": json.dumps(plain).replace("</", "<\\/"),
        "ground": "#111" if dark else "#fff", "ink": "#ddd" if dark else "#111",
    }  # fmt: skip
    for name, text in filled.items():
        page = page.replace(f"@{name}@", text, 1)
    return page


def synced(widget):
    """Names of the traits that both sides know, apart from those of every widget."""
    from ipywidgets import DOMWidget

    usual = set(DOMWidget.class_traits())
    every = [n for n in widget.traits(sync=True) if n not in usual and n != "_anywidget_id"]
    return sorted({*every, "_esm", "_css"})


class Kernel:
    """Carries what a page says to a widget, and back what the widget answers."""

    def __init__(self, page, widget):
        self.page, self.widget, self.heard, self.news = page, widget, [], {}
        page.expose_function("toPython", self.heed)

    def heed(self, text):
        message = json.loads(text)
        self.heard.append(message)
        names = synced(self.widget)
        before = {name: getattr(self.widget, name) for name in names}
        for name, value in message.get("set", {}).items():
            setattr(self.widget, name, value)
        if "send" in message:
            self.widget._handle_custom_msg(message["send"], [])
        self.news |= {n: getattr(self.widget, n) for n in names if getattr(self.widget, n) != before[n]}

    def answer(self):
        """Wait until the page was heard, and tell it what changed."""
        for _ in range(100):
            if len(self.heard) == self.page.evaluate("sent.length"):
                break
            self.page.wait_for_timeout(20)
        news, self.news = self.news, {}
        self.page.evaluate("values => fromPython(values)", news)
