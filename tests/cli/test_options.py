"""The table at the head of the options is what the commands take."""

import re

import typer

import changedet.cli as command_line
from changedet.cli import options

#: Options of one other command alone, which stand in its own file.
ELSEWHERE = {
    ("demo", "--samples"),
    ("doctor", "--offline"),
    ("report", "--out"),
    ("report", "--timeline"),
    ("plate", "--out"),
    ("plate", "--object"),
    ("verify", "--rerun"),
    ("cache prune", "--max-size"),
    ("search", "--period"),
    ("search", "--limit"),
    ("search", "--near"),
    ("search", "--look"),
    ("fetch", "--period"),
    ("fetch", "--limit"),
    ("fetch", "--scene"),
    ("fetch", "--bands"),
    ("fetch", "--clearest"),
    ("register", "--reference"),
    ("register", "--moving"),
    ("register", "--out"),
    ("register", "--local"),
    ("register", "--max-shift"),
    ("register", "--tie-points"),
    ("evaluate", "--dataset"),
    ("evaluate", "--pairs"),
    ("evaluate", "--runs"),
    ("evaluate", "--truth"),
    ("evaluate", "--keep-runs"),
    ("evaluate", "--out"),
    ("train", "--dataset"),
    ("train", "--pairs"),
    ("train", "--runs"),
    ("train", "--truth"),
    ("train", "--out"),
    ("timeline", "--during"),
    ("timeline", "--images"),
    ("timeline", "--radar-images"),
    ("timeline", "--point"),
    ("timeline", "--object"),
    ("timeline", "--index"),
    ("timeline", "--register"),
    ("timeline", "--min-clear"),
    ("review run", "--object"),
    ("review run", "--verdict"),
    ("review run", "--note"),
    ("review run", "--blind"),
    ("review export", "--out"),
    ("review mask", "--reason"),
    ("review mask", "--until"),
    ("review mask", "--end"),
    ("review precision", "--by"),
    ("watch run", "--state"),
    ("watch run", "--since"),
    ("watch run", "--until"),
    ("watch run", "--history"),
    ("watch run", "--silent-after"),
    ("watch run", "--min-clear"),
    ("watch run", "--register"),
    ("watch run", "--persistence"),
    ("watch run", "--images"),
    ("watch run", "--webhook"),
    *(("watch run", f"--{name}") for name in ("mail-to", "mail-from", "smtp-server", "smtp-security")),
    ("watch run", "--wait"),
    ("watch run", "--out"),
    ("watch status", "--state"),
    ("sites cut", "--out"),
    ("sites cut", "--side"),
    ("sites cut", "--overlap"),
    ("plan", "--sample"),
    ("plan", "--all"),
    ("watch history", "--state"),
}
SHARED = re.findall(r"^(--[-\w, ]*?) {2,}(\S.*)$", options.__doc__, re.MULTILINE)


def taken():
    """Pairs of command and option."""
    root = typer.main.get_command(command_line.app)
    found = set()
    for name, command in root.commands.items():
        inner = {f"{name} {n}": c for n, c in getattr(command, "commands", {}).items()} or {name: command}
        for path, one in inner.items():
            found |= {
                (path, p.opts[0]) for p in one.params if p.opts[0].startswith("--") and p.name != "help"
            }
    return found


def test_the_table_is_true():
    said = {
        (user, option) for many, users in SHARED for option in many.split(", ") for user in users.split(", ")
    }
    assert len(said) > 10
    of_others = {pair for pair in taken() if pair[0] != "detect"}
    assert of_others - ELSEWHERE == {pair for pair in said if pair[0] != "detect"}
    assert {pair for pair in said if pair[0] == "detect"} <= taken()
