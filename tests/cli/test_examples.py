"""The foot of every help: examples that can be typed as they stand; and what shells complete."""

import os
import shlex
import subprocess
import sys

import pytest
from tests.test_docs import click_command

from changedet.cli.examples import EXAMPLES
from changedet.cli.sections import SECTIONS


def below(command, name=""):
    parts = getattr(command, "commands", {})
    return (
        {name.strip()}
        if not parts
        else set().union(*(below(c, f"{name} {part}") for part, c in parts.items()))
    )


def test_every_command_has_examples():
    assert set(EXAMPLES) == below(click_command([])[0])
    assert all(EXAMPLES.values())


@pytest.mark.parametrize(("name", "line"), [(n, line) for n, lines in EXAMPLES.items() for line in lines])
def test_every_example_is_understood(name, line, workplace):
    program, *words = shlex.split(line)
    command, rest = click_command(words)
    assert program == "changedet"
    assert command.name == name.split()[-1]
    command.make_context(command.name, rest)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_help_ends_with_them(cli, name):
    assert cli(*name.split(), "--help") == 0
    foot = cli.out.split("Examples:")[1]
    # long lines may be broken by narrow terminals, never their words
    assert foot.split() == " ".join(EXAMPLES[name]).split()


def asked_by_a_shell(**environment):
    line = [
        sys.executable,
        "-c",
        "import sys; sys.argv[0] = 'changedet'; from changedet.cli import main; main()",
    ]
    done = subprocess.run(
        line, env=os.environ | environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize(
    ("shell", "said"),
    [
        ("bash", "complete -o default -F _changedet_completion changedet"),
        ("zsh", "#compdef changedet"),
        ("fish", "complete --command changedet"),
    ],
)
def test_a_shell_gets_its_script(shell, said):
    script = asked_by_a_shell(_CHANGEDET_COMPLETE=f"source_{shell}")
    assert said in script
    assert f"_CHANGEDET_COMPLETE=complete_{shell}" in script


def test_a_shell_is_told_what_fits():
    words = {"COMP_WORDS": "changedet re", "COMP_CWORD": "1"}
    assert asked_by_a_shell(_CHANGEDET_COMPLETE="complete_bash", **words).split() == [
        "register",
        "report",
        "review",
    ]


def test_the_first_help_lists_every_command_once_by_its_purpose(cli):
    assert cli("--help") == 0
    listed = [name for names in SECTIONS.values() for name in names]
    assert sorted(listed) == sorted(click_command([])[0].commands)
    heads = [line.rstrip(":") for line in cli.out.splitlines() if line.rstrip(":") in SECTIONS]
    assert heads == list(SECTIONS)
    assert "Commands:" not in cli.out
    assert "..." not in cli.out.split("Begin:")[1]
    assert "changedet demo" in cli.out.split("Examples:")[1]


@pytest.mark.parametrize("group", ["sites", "cache", "review", "watch"])
def test_a_group_shows_an_example_of_each_command(cli, group):
    assert cli(group, "--help") == 0
    listed, foot = cli.out.split("Examples:")
    assert "Commands:" in listed
    assert "..." not in listed.split("Commands:")[1]
    for name, lines in EXAMPLES.items():
        if name.startswith(f"{group} "):
            assert " ".join(lines[0].split()) in " ".join(foot.split())
    assert (f"changedet {group} run --help" in foot) == (group in {"review", "watch"})


def test_a_group_that_has_a_usual_command_says_what_that_one_lacks(cli, workplace):
    assert cli("watch") == 2
    assert cli.error.endswith("no list of sites was given; name one with --sites")
    assert cli("review") == 2
    assert cli.error.endswith("Missing argument 'DIR'; see changedet review run --help")
