"""What the documents say is what the code does: commands, options, links, tables, codes and sources.

Parts of the documents between ``<!-- generated: NAME -->`` and ``<!-- end -->`` restate the code.
``python tests/test_docs.py`` writes them anew.
"""

import re
import shlex
from dataclasses import fields, replace
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted(
    path
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("notebooks/*.md"))
    if not path.name.startswith(".")
)
_BLOCK = re.compile(r"(<!-- generated: ([a-z-]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def text_of(path):
    return path.read_text(encoding="utf-8")


def named(path):
    return path.relative_to(ROOT).as_posix()


def table(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines) + "\n"


def kinds_table():
    from changedet.kinds import KIND_LABELS, KIND_TABLE, Kind, Surface

    seen = [surface for surface in Surface if surface != Surface.UNKNOWN]
    rows = [
        [f"**{a}**", *(KIND_LABELS[KIND_TABLE.get((a, b), Kind.UNCLASSIFIED)] for b in seen)] for a in seen
    ]
    note = f"\nWhere a surface is unknown, the kind is *{KIND_LABELS[Kind.UNCLASSIFIED]}*.\n"
    return table(["before \\ after", *map(str, seen)], rows) + note


def surfaces_table():
    from changedet.kinds import SURFACE_RULES

    return table(["surface", "when", "source"], [[r.surface, r.text, r.source] for r in SURFACE_RULES])


def kinds_in_time_table():
    from changedet.timeline.kinds_in_time import TIME_LABELS, TIME_RULES

    rows = [[TIME_LABELS[r.kind], r.name, r.text, r.reason, r.source or "-"] for r in TIME_RULES]
    return table(["kind", "rule", "when", "why", "source"], rows)


def time_caveats_table():
    from changedet.timeline.kinds_in_time import TIME_CAVEATS, TIME_LABELS

    return table(
        ["kind", "what else it is consistent with"], [[TIME_LABELS[k], t] for k, t in TIME_CAVEATS.items()]
    )


def caveats_table():
    from changedet.kinds import KIND_CAVEATS, KIND_LABELS

    return table(
        ["kind", "what else it is consistent with"], [[KIND_LABELS[k], t] for k, t in KIND_CAVEATS.items()]
    )


def states_table():
    from changedet.result import STATE_LABELS

    return table(["code", "state"], [[int(s), label] for s, label in STATE_LABELS.items()])


def kind_codes_table():
    from changedet.kinds import KIND_COLOURS, KIND_LABELS

    return table(
        ["code", "kind", "colour"], [[int(k), t, f"`{KIND_COLOURS[k]}`"] for k, t in KIND_LABELS.items()]
    )


def documents_table():
    from changedet.cli.examples import EXAMPLES
    from changedet.schemas import schema_names, schema_of

    rows = []
    for name in schema_names():
        form = schema_of(name)["$defs"][name]
        if "description" in form:
            called = f"`changedet {name} --json`" if name in EXAMPLES else name
            needed = ", ".join(f"`{key}`" for key in form.get("required", ())) or "see the schema"
            rows.append([called, form["description"], needed])
    return table(["document", "what it is", "keys that are always there"], rows)


def bands_table():
    from changedet.bands import SENTINEL2_BANDS

    rows = [
        [b.name, b.common_name, f"{b.wavelength_nm:g}", b.resolution_m, f"{b.change_weight:g}"]
        for b in SENTINEL2_BANDS
    ]
    return table(["band", "common name", "nm", "m", "weight in the score"], rows)


def parameters_table():
    from changedet import gates, pipeline, registration
    from changedet.access.selection import SelectionRules
    from changedet.core import masking, normalization
    from changedet.core.alignment import AlignmentSettings
    from changedet.core.prediction import PredictParameters
    from changedet.core.threshold import ThresholdParameters
    from changedet.pairing import LOW_CLEAR_SHARE, SEASON_GAP_DAYS

    settings = (pipeline.DetectSettings, ThresholdParameters, PredictParameters, SelectionRules)
    own = [
        [f"`{kind.__name__}.{field.name}`", f"`{getattr(kind(), field.name)!r}`"]
        for kind in settings
        for field in fields(kind)
        if field.name != "threshold"
    ]
    constants = {
        "largest residual, px": registration.RESIDUAL_LIMIT_PX,
        "shift anywhere up to which images are good, px": registration.GOOD_WITHIN_PX,
        "deviation from one shift from which a field is applied, px": registration.FIELD_FROM_PX,
        "least correction, px": registration.LEAST_CORRECTION_PX,
        "distance within which a tie point agrees, px": AlignmentSettings().agreement_px,
        "least share of tie points that agree": AlignmentSettings().least_agreement,
        "least number of tie points that agree": AlignmentSettings().least_agreeing,
        "largest ambiguity": AlignmentSettings().most_ambiguous,
        "largest turn or stretch, pixels a pixel": AlignmentSettings().most_turn,
        "largest distortion, px": AlignmentSettings().most_bend_px,
        "share of invariant pixels": normalization.INVARIANT_SHARE,
        "margin round clouds, m": masking.CLOUD_BUFFER_M,
        "variance in common below which clouds must have been looked for": gates.LEAST_EXPLAINED,
        "season gap that is warned about, days": SEASON_GAP_DAYS,
        "clear share that is warned about": LOW_CLEAR_SHARE,
    }
    return table(["parameter", "default"], own + [[name, f"`{v!r}`"] for name, v in constants.items()])


def provider_settings_table():
    from changedet.providers.settings import ProviderSettings

    meant = {}
    for names, text in re.findall(
        r"^    ([a-z_, ]+) : [^\n]*\n((?:        .*\n)+)", ProviderSettings.__doc__, re.M
    ):
        meant |= dict.fromkeys(names.split(", "), " ".join(text.split()))
    rows = [
        [f"`{one.name}`", "the provider's own" if one.name.endswith("url") else default_text(one.default),
         meant[one.name].replace("``", "`")]
        for one in fields(ProviderSettings)
    ]  # fmt: skip
    return table(["setting", "default", "what it is"], rows)


def default_text(value):
    return "no limit" if value is None else f"`{value:g}`"


GENERATED = {
    "kinds": kinds_table,
    "surfaces": surfaces_table,
    "caveats": caveats_table,
    "kinds-in-time": kinds_in_time_table,
    "time-caveats": time_caveats_table,
    "states": states_table,
    "documents": documents_table,
    "kind-codes": kind_codes_table,
    "bands": bands_table,
    "parameters": parameters_table,
    "provider-settings": provider_settings_table,
}


def renewed(text):
    """Return a document with its generated parts written anew."""
    return _BLOCK.sub(lambda found: f"{found[1]}\n{GENERATED[found[2]]()}\n{found[4]}", text)


def rows_under(text, heading):
    """Return the cells of the first table after a heading, without its head."""
    part = text.split(f"{heading}\n", 1)[1]
    lines = re.search(r"(?:^\|.*\n)+", part, re.MULTILINE)[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def fences(text, *languages):
    return [
        body for language, body in re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL) if language in languages
    ]


def prose(text):
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


def shown_commands():
    """Yield every command line that a document shows, with the document it stands in."""
    for path in DOCUMENTS:
        for body in fences(text_of(path), "sh", "bash", "console"):
            for line in body.replace("\\\n", " ").splitlines():
                yield pytest.param(line.strip(), id=f"{named(path)}: {line.strip()[:50]}")


def click_command(words):
    """Return the command that words name, and the words that are left for it."""
    import typer

    from changedet.cli import app

    command, words = typer.main.get_command(app), list(words)
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    if hasattr(command, "default_command") and words[:1] != ["--help"]:
        command = command.commands[command.default_command]
    return command, words


def all_options():
    found, waiting = set(), [click_command([])[0]]
    while waiting:
        command = waiting.pop()
        found.update(name for p in command.params for name in (*p.opts, *p.secondary_opts))
        waiting += getattr(command, "commands", {}).values()
    return found | {"--help"}


def slug(heading):
    """Return the anchor that a heading gets where documents are shown."""
    return re.sub(r"[^\w\- ]", "", heading.lower().replace("`", "")).strip().replace(" ", "-")


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_generated_parts_are_what_the_code_says(path):
    text = text_of(path)
    assert text == renewed(text), "run: python tests/test_docs.py"


def test_every_generated_part_is_used_once():
    used = [name for path in DOCUMENTS for _, name, _, _ in _BLOCK.findall(text_of(path))]
    assert sorted(used) == sorted(GENERATED)


def test_a_stale_table_is_noticed():
    text = "<!-- generated: states -->\n\n| code | state |\n| 9 | wrong |\n\n<!-- end -->\n"
    assert renewed(text) != text
    assert renewed(renewed(text)) == renewed(text)


@pytest.mark.parametrize("line", [*shown_commands()])
def test_every_command_line_parses(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = shlex.split(line, comments=True)
    if words[0] == "make":
        targets = re.findall(r"^([a-z]+):", text_of(ROOT / "Makefile"), re.MULTILINE)
        assert set(words[1:]) <= set(targets)
        return
    assert words[0] == "changedet", f"only make and changedet are shown in blocks, not {words[0]}"
    command, rest = click_command(words[1:])
    assert not hasattr(command, "commands"), "names no command"
    command.make_context(command.name, rest)


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_commands_and_options_in_sentences_exist(path):
    known = all_options()
    makefile = text_of(ROOT / "Makefile")
    for code in re.findall(r"`([^`\n]+)`", prose(text_of(path))):
        words = code.split()
        if words[0] == "make" and len(words) > 1:
            assert re.search(rf"^{words[1]}:", makefile, re.MULTILINE), code
        elif words[0] == "changedet" and len(words) > 1:
            command, rest = click_command(words[1:])
            assert words[1].startswith("-") or not hasattr(command, "commands"), code
            assert {w for w in rest if w.startswith("-")} <= known, code
        elif code.startswith("--"):
            assert words[0] in known, code


def test_every_command_is_spoken_of():
    shown = "".join(text_of(path) for path in DOCUMENTS)
    waiting = {"changedet": click_command([])[0]}
    while waiting:
        name, command = waiting.popitem()
        parts = getattr(command, "commands", {})
        assert parts or name in shown, name
        waiting |= {f"{name} {part}": below for part, below in parts.items()}


def test_targets_in_the_contributing_guide_are_those_of_the_makefile():
    rows = rows_under(text_of(ROOT / "CONTRIBUTING.md"), "## Set-up")
    targets = re.findall(r"^([a-z-]+):.*## ", text_of(ROOT / "Makefile"), re.MULTILINE)
    assert {row[0].strip("`") for row in rows} == {f"make {target}" for target in targets} - {"make help"}


def test_house_figures_in_the_contributing_guide_are_those_that_are_checked():
    limits = dict(
        re.findall(r"^([A-Z_0-9]+) = ([\d.]+)$", text_of(ROOT / "tools" / "house.py"), re.MULTILINE)
    )
    guide = " ".join(text_of(ROOT / "CONTRIBUTING.md").split())
    assert f"95 % of functions have at most {limits['MAX_P95_LINES']} lines" in guide
    assert f"none has more than {limits['MAX_FUNCTION_LINES']}, " in guide
    assert f"no module more than {limits['MAX_MODULE_LINES']};" in guide
    assert f"at least {limits['MIN_TEST_RATIO']} lines of test" in guide


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_every_relative_link_leads_somewhere(path):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(text_of(path))):
        if target.startswith(("https://", "http://")):
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", prose(text_of(file)), re.MULTILINE)
            described = re.findall(r"^::: (\S+)$", text_of(file), re.MULTILINE)
            known = {slug(heading) for heading in headings} | set(described)
            assert anchor in known or anchor.rpartition(".")[0] in described, target


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_documents_that_are_named_exist(path):
    for name in re.findall(r"`((?:docs|samples|notebooks|tests|tools)/[\w./-]+)`", text_of(path)):
        assert (ROOT / name).exists(), name


def test_pictures_are_small_and_used():
    from xml.etree import ElementTree as ET

    from PIL import Image

    pictures = sorted((ROOT / "docs" / "images").iterdir())
    shown = "".join(text_of(path) for path in DOCUMENTS)
    assert 2 <= len(pictures) <= 10
    for picture in pictures:
        assert picture.stat().st_size < 250_000, picture.name
        assert f"images/{picture.name}" in shown, picture.name
        if picture.suffix == ".svg":
            assert ET.parse(picture).getroot().tag.endswith("svg"), picture.name
            continue
        with Image.open(picture) as image:
            image.verify()


def test_exit_codes_in_the_readme_are_those_of_the_program():
    from changedet.cli import _EPILOG
    from changedet.errors import EXIT_BUG, EXIT_CODES

    codes = [int(row[0]) for row in rows_under(text_of(ROOT / "README.md"), "## Exit codes")]
    assert codes == sorted({0, 1, EXIT_BUG, *EXIT_CODES.values()})
    assert [int(code) for code in re.findall(r"(?:^|; |: )(\d+) ", _EPILOG)] == codes


def test_states_in_the_readme_are_those_of_the_rasters():
    from changedet.result import STATE_LABELS

    rows = rows_under(text_of(ROOT / "README.md"), "## How to read it")
    assert [int(row[0]) for row in rows] == [int(state) for state in STATE_LABELS]
    for row, label in zip(rows, STATE_LABELS.values(), strict=True):
        assert label.startswith(row[1])


def test_run_folder_in_the_documents_is_the_one_that_is_written(tmp_path):
    from tests.synthetic import make_result

    made = make_result()
    run = replace(made, seasonal=made.objects).save(tmp_path / "run")
    written = {path.name + "/" * path.is_dir() for path in run.iterdir()}
    readme = rows_under(text_of(ROOT / "README.md"), "## What you get")
    assert {name for row in readme for name in re.findall(r"`([^`]+)`", row[0])} == written
    formats = rows_under(text_of(ROOT / "docs" / "formats.md"), "## What is written")
    named_there = {name for row in formats for name in re.findall(r"`([^`]+)`", row[0])}
    assert {name.split("/")[0] for name in named_there} == {name.rstrip("/") for name in written}


def test_keys_of_the_record_and_columns_are_described():
    from tests.synthetic import make_result

    from changedet.objects import COLUMNS
    from changedet.provenance import run_record

    formats = text_of(ROOT / "docs" / "formats.md")
    keys = [k for row in rows_under(formats, "### `run.json`") for k in re.findall(r"`([^`]+)`", row[0])]
    assert sorted(keys) == sorted(run_record(make_result()))
    rows = rows_under(formats, "### Columns of the candidates")
    assert tuple(name for row in rows for name in re.findall(r"`([^`]+)`", row[0])) == COLUMNS


def test_every_module_has_its_decision_in_the_architecture():
    text = text_of(ROOT / "docs" / "architecture.md")
    named_there = re.findall(r"`([\w/*]+(?:\.py|/))`", text)
    source = ROOT / "src" / "changedet"
    for name in named_there:
        assert any(source.glob(name.rstrip("/"))) or (ROOT / name).exists(), name
    folders = {name.rstrip("/") for name in named_there if name.endswith("/")}
    for path in source.rglob("*.py"):
        relative = path.relative_to(source)
        spoken_of = any(relative.match(name) for name in named_there) or relative.parts[0] in folders
        assert spoken_of or path.name.startswith("__"), relative


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_every_source_that_is_cited_is_cited_in_the_code_too(path):
    code = "".join(text_of(file) for file in (ROOT / "src").rglob("*.py"))
    # the labels behind the measured figures are not used by the code
    code += "10.1109/IGARSS.2018.8518015 10.21227/asqe-7s69"
    for doi in re.findall(r"10\.\d{4,}/[^\s,;|\]]+", text_of(path)):
        assert doi.rstrip(".):") in code, doi


def test_every_paper_of_the_numerical_core_stands_in_the_methods():
    methods = text_of(ROOT / "docs" / "methods.md")
    for file in (ROOT / "src" / "changedet" / "core").glob("*.py"):
        for doi in re.findall(r"doi:\s*(10\.\d{4,}/[^\s,;\"`]+)", text_of(file)):
            assert doi.rstrip(".):") in methods, f"{file.name}: {doi}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_words_that_promise_too_much_are_not_used(path):
    forbidden = r"\b(?:AI\b|(?i:confirmed\b|no change\b|proven\b|probabilit|guarantee))"
    assert not re.findall(forbidden, text_of(path))


def test_measured_figures_agree_with_each_other():
    rows = rows_under(text_of(ROOT / "README.md"), "## How well it works, measured")
    cities, mean = rows[:-2], [cell.strip("*") for cell in rows[-2]]
    assert len(cities) == 7
    for column in (2, 3, 6):
        average = sum(float(row[column]) for row in cities) / len(cities)
        assert float(mean[column]) == pytest.approx(average, abs=1e-3)
    for row in (*cities, [cell.strip("*") for cell in rows[-1]]):
        precision, recall, f1 = (float(cell) for cell in row[4:])
        assert f1 == pytest.approx(2 * precision * recall / (precision + recall), abs=2e-3), row[0]


def test_python_in_the_readme_runs(tmp_path, monkeypatch):
    (code,) = fences(text_of(ROOT / "README.md"), "python")
    monkeypatch.chdir(tmp_path)
    pair = ROOT / "samples" / "pair"
    for name, date in (("2023-05-21", "before"), ("2025-05-26", "after")):
        (tmp_path / "scenes").mkdir(exist_ok=True)
        (tmp_path / "scenes" / name).symlink_to(pair / date)
    exec(compile(code, "README.md", "exec"), {})  # it is what readers will do with it
    assert (tmp_path / "runs" / "my-site" / "report.html").is_file()


def test_settings_file_in_the_formats_is_understood(tmp_path, monkeypatch):
    import tomllib

    (text,) = fences(text_of(ROOT / "docs" / "formats.md"), "toml")
    for command, options in tomllib.loads(text).items():
        known = {name for p in click_command([command])[0].params for name in p.opts}
        assert {f"--{name}" for name in options} <= known


def test_citation_file_is_complete_and_of_this_version():
    import tomllib

    yaml = pytest.importorskip("yaml", reason="needs PyYAML to read CITATION.cff")
    citation = yaml.safe_load(text_of(ROOT / "CITATION.cff"))
    project = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == project["version"]
    assert citation["license"] == project["license"]
    assert [author["name"] for author in citation["authors"]] == [a["name"] for a in project["authors"]]
    for reference in citation["references"]:
        assert {"type", "title", "authors"} <= set(reference)


def test_changelog_opens_with_what_is_not_released():
    headings = re.findall(r"^## (.+)$", text_of(ROOT / "CHANGELOG.md"), re.MULTILINE)
    assert headings[0] == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", heading) for heading in headings[1:])


if __name__ == "__main__":
    for document in DOCUMENTS:
        document.write_text(renewed(text_of(document)), encoding="utf-8")
