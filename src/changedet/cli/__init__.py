"""The command line: one file for each command; options are in `options`, exit codes in `changedet.errors`."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from changedet.cli import (
    cache,
    demo,
    detect,
    doctor,
    evaluate,
    fetch,
    methods,
    plan,
    plate,
    providers,
    register,
    report,
    review,
    search,
    sites,
    timeline,
    train,
    verify,
    watch,
)
from changedet.cli import run as run_command
from changedet.cli.console import Outcome
from changedet.cli.examples import FIRST_STEPS, show_examples
from changedet.cli.sections import FirstGroup
from changedet.cli.settings import default_map
from changedet.errors import InterruptedRunError

if TYPE_CHECKING:
    from types import FrameType

_EPILOG = (
    f"{FIRST_STEPS}\n\n"
    "Exit codes: 0 done; 1 something was flagged (with --exit-code); 2 usage; 3 no usable imagery; "
    "4 credentials or quota; 5 provider or network; 6 refused by a quality gate; 7 some sites failed; "
    "8 input unusable; 70 a bug; 73 output cannot be written; 130 interrupted."
)
_STOPPED = 130

app = typer.Typer(
    name="changedet",
    help="Find what changed on the ground between two dates of open satellite imagery, with evidence.",
    epilog=_EPILOG,
    cls=FirstGroup,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.command("run")(run_command.run)
app.command("plan")(plan.plan)
app.command("detect")(detect.detect)
app.command("timeline")(timeline.timeline)
app.command("register")(register.register)
app.command("demo")(demo.demo)
app.command("report")(report.report)
app.command("plate")(plate.plate)
app.command("search")(search.search)
app.command("fetch")(fetch.fetch)
app.command("providers")(providers.providers)
app.command("methods")(methods.methods)
app.command("verify")(verify.verify)
app.command("evaluate")(evaluate.evaluate)
app.command("train")(train.train)
app.command("doctor")(doctor.doctor)
app.add_typer(sites.app, name="sites")
app.add_typer(cache.app, name="cache")
app.add_typer(review.app, name="review")
app.add_typer(watch.app, name="watch")
show_examples(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"changedet {version('changedet')}")
        raise typer.Exit


Traceback = Annotated[
    int,
    typer.Option("--verbose", "-v", count=True, show_default=False, show_envvar=False,
                 help="Before any command: -vv shows the traceback of an error, for a report of it."),
]  # fmt: skip


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    _verbose: Traceback = 0,
) -> None:
    """Find what changed on the ground between two dates of open satellite imagery, with evidence."""


def run(arguments: list[str]) -> int:
    """Run the command line and return the exit code.

    Parameters
    ----------
    arguments : list of str
        What follows the program's name; nothing asks for the help.

    Returns
    -------
    int
        See `changedet.errors.EXIT_CODES`; a failure has printed its one line by then.
    """
    with Outcome(arguments) as outcome:
        command = typer.main.get_command(app)
        result = command.main(
            arguments or ["--help"],
            prog_name="changedet",
            standalone_mode=False,
            default_map=default_map(command),
            auto_envvar_prefix="CHANGEDET",
        )
        if result == _STOPPED:  # what Typer makes of a KeyboardInterrupt
            raise InterruptedRunError("stopped by the user", todo="nothing half-written was left behind")
        outcome.code = result if isinstance(result, int) else 0
    return outcome.code


def main() -> None:
    """Run the command line of this process and exit."""
    signal.signal(signal.SIGTERM, _stop)
    for stream in (sys.stdout, sys.stderr):
        # a path may hold what the terminal's encoding cannot say
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run(sys.argv[1:]))


def _stop(_number: int, _frame: FrameType | None) -> None:
    """End a run that is told to terminate the way Ctrl-C does, so that it cleans up behind itself."""
    raise KeyboardInterrupt
