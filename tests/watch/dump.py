"""All that a state file holds, row by row, without when and by whom it was written."""

import re
from datetime import date

from changedet.watch.state import open_state

#: Columns that name a moment of writing or a process, and what of passes has no other name.
MOMENTS = re.compile(r".*_utc|last_change|host|pid|digest")
#: How the clock of this year is written into files.
MADE = re.compile(rf"{date.today().year}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?(Z|\+00:00))?")


def dump(state):
    """Rows by table, in order of their numbers, and the digests of what lies beside the state file."""
    with open_state(state) as opened:
        assert opened.check().passed
        names = [row["name"] for row in opened.rows("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        found = {name: [_lasting(row) for row in _rows(opened, name)] for name in sorted(names)}
    folder = state.with_name(state.name + ".arrays")
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return found | {"files": files}


def _rows(opened, table):
    return sorted(opened.rows(f"SELECT rowid AS rowid, * FROM {table}"), key=lambda row: row["rowid"])


def _lasting(row):
    return {name: value for name, value in row.items() if not MOMENTS.fullmatch(name)}


def told(folder):
    """What the files of a watch say, without when they were made."""
    texts = {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.iterdir())}
    return {name: MADE.sub("-", text) for name, text in texts.items()}
