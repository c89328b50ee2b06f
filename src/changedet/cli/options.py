"""Every option of the command line, defined once; commands pick from here.

================================  ==========================================
option                            used by
================================  ==========================================
--out                             detect, run, demo
--overwrite                       detect, run, demo, report
--json                            detect, run, demo, report, verify, doctor, sites check
--radius                          sites check
--at, --radius, --bbox, --aoi     sites cut
--name, --overwrite, --json       sites cut
--json, --cache                   cache ls, cache verify, cache prune
--cache                           doctor
--json, --name                    search, fetch
--at, --radius, --bbox, --aoi     run, search, fetch
--provider, --max-tile-cloud      run, search, fetch
--sensor, --level                 search, fetch
--max-pu, --cache                 search, fetch, verify
--min-clear, --max-season-gap     search
--sites, --site, --dry-run        fetch
--out, --overwrite                fetch
--quiet, --verbose, --progress    fetch
--site, --method, --min-area      evaluate
--threshold, --grid               evaluate
--max-residual, --overwrite       evaluate
--json, --quiet, --verbose        evaluate
--progress                        evaluate
--site, --grid, --max-residual    train
--overwrite, --json, --progress   train
--quiet, --verbose                train
--at, --radius, --bbox, --aoi     timeline
--name, --provider, --cache       timeline
--max-tile-cloud, --max-pu        timeline
--dry-run, --out, --overwrite     timeline
--sensor, --radar-provider        timeline
--radar-unit, --radar-scale       timeline
--radar-offset                    timeline
--json, --quiet, --verbose        timeline
--progress                        timeline
--json, --overwrite               register
--max-residual                    register
--quiet, --verbose, --progress    register
--verbose                         search
--json                            providers, methods
--quiet, --verbose, --progress    detect, run, demo, verify
--before, --after, --name         detect, run
--method, --min-area              detect, run
--threshold, --max-residual       detect, run
--budget, --band-weights          detect, run, evaluate
--keep-seasonal                   detect, run, evaluate
--model                           detect, run, evaluate
--keep-images, --exit-code        detect, run
--redact-coordinates              detect, run, report, plate
--overwrite, --json               plate
--min-clear, --max-season-gap     run
--cache, --dry-run, --explain     run
--sites, --site                   run
--scheduler                       run, watch run
--jobs                            detect, run, watch run
--before, --after, --at           plan
--radius, --bbox, --aoi, --name   plan
--sites                           plan
--site, --sensor, --provider      plan
--radar-provider, --radar-dates   plan
--min-clear, --max-season-gap     plan
--max-dates, --max-tile-cloud     plan
--cache, --json, --quiet          plan
--verbose, --progress             plan
--max-pu, --replan, --max-dates   run
--radar-provider, --radar-dates   run
--sensor                          run
--site, --state, --json           review run, review status, review export, review import
--site, --state, --json           review mask, review precision, review learn
--reviewer                        review run, review mask
--overwrite                       review export
--aoi                             review mask
--sites, --site, --radius         watch run
--provider, --max-tile-cloud      watch run
--max-pu, --cache, --min-area     watch run
--exit-code, --json, --quiet      watch run
--verbose, --progress             watch run
--json                            watch status, watch history
every other one                   detect
================================  ==========================================

Options that one other command has alone stand in the file of that command:
``demo --samples``, ``report --out`` (a file there, not a folder), ``report --timeline``, ``verify --rerun``,
``cache prune --max-size``; ``--period`` and ``--limit`` of search and fetch, ``search --near``,
``search --look``, ``fetch --scene``, ``fetch --bands``, ``fetch --clearest``; ``register --reference``,
``register --moving``, ``register --out`` (a file too), ``register --local``, ``register --max-shift``,
``register --tie-points``; ``evaluate --dataset``, ``evaluate --pairs``, ``evaluate --runs``,
``evaluate --truth``, ``evaluate --keep-runs``, ``evaluate --out`` (another default); the first four
also of ``train``, whose ``train --out`` is a file; ``review run --object``, ``review run --verdict``,
``review run --note``, ``review run --blind``; ``review export --out`` (a file); ``sites cut --out`` (a file),
``sites cut --side``, ``sites cut --overlap``; ``review mask --reason``,
``review mask --until``, ``review mask --end``; ``review precision --by``; ``timeline --during``,
``timeline --images``, ``timeline --radar-images``, ``timeline --point``, ``timeline --object``,
``timeline --index``, ``timeline --register``, ``timeline --min-clear`` (of a date that is to be read);
of ``watch run`` its ``--images``, its days (``--since``, ``--until``, ``--history``, ``--silent-after``,
``--min-clear``, ``--register``), ``--persistence``, ``--webhook``, ``--mail-to``, ``--mail-from``,
``--smtp-server``, ``--smtp-security``, ``--wait`` and ``--out`` (another default); the ``--state`` of
``watch``; ``plan --sample`` and ``plan --all``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

_INPUT = "What is compared"
_PLACE = "Where"
_METHOD = "How"
_MACHINE = "What it may take of the machine; no result depends on it"
_RADIOMETRY = "When the files do not say how numbers become reflectance"
_OUTPUT = "What comes out"

Before = Annotated[
    Path,
    typer.Option("--before", help="Imagery of the earlier date: folder of bands, .SAFE, raster, cube.",
                 rich_help_panel=_INPUT, metavar="PATH"),
]  # fmt: skip
After = Annotated[
    Path,
    typer.Option("--after", help="Imagery of the later date.", rich_help_panel=_INPUT, metavar="PATH"),
]
BeforeTime = Annotated[
    Optional[str],  # noqa: UP045  # typer reads the annotation at run time
    typer.Option("--before-time", help="UTC time of the earlier image, when its files do not say (ISO 8601).",
                 rich_help_panel=_INPUT, metavar="TIME"),
]  # fmt: skip
AfterTime = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--after-time", help="UTC time of the later image.", rich_help_panel=_INPUT, metavar="TIME"),
]
BeforePeriod = Annotated[
    str,
    typer.Option("--before", help="Period of the earlier date, such as 2023-05 or 2023-05/2023-06.",
                 rich_help_panel=_INPUT, metavar="A/B"),
]  # fmt: skip
AfterPeriod = Annotated[
    str,
    typer.Option("--after", help="Period of the later date; the same weeks of the year are best.",
                 rich_help_panel=_INPUT, metavar="A/B"),
]  # fmt: skip
ProviderName = Annotated[
    str,
    typer.Option("--provider", help="Where imagery comes from; changedet providers lists them.",
                 rich_help_panel=_INPUT, metavar="NAME"),
]  # fmt: skip
SensorName = Annotated[
    str,
    typer.Option("--sensor", help="s2: optical (the default); s1: radar.", rich_help_panel=_INPUT,
                 metavar="NAME"),
]  # fmt: skip
ComparedSensors = Annotated[
    str,
    typer.Option("--sensor", help="s2: optical (the default); s1: radar; both.", rich_help_panel=_INPUT,
                 metavar="NAME"),
]  # fmt: skip
RadarProviderName = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--radar-provider", help="Where radar comes from, when not from --provider; "
                 "planetary-computer where that one has none.", rich_help_panel=_INPUT, metavar="NAME"),
]  # fmt: skip
RadarBefore = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--radar-before", help="Radar of the earlier period, for --sensor both: raster or folder "
                 "of rasters, each a date.", rich_help_panel=_INPUT, metavar="PATH"),
]  # fmt: skip
RadarAfter = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--radar-after", help="Radar of the later period.", rich_help_panel=_INPUT, metavar="PATH"),
]
RadarUnit = Annotated[
    str,
    typer.Option("--radar-unit", help="Unit of radar in local files: linear (gamma nought) or db.",
                 rich_help_panel=_RADIOMETRY, metavar="NAME"),
]  # fmt: skip
RadarScale = Annotated[
    float,
    typer.Option("--radar-scale", help="Radar in its unit = number * scale + offset.",
                 rich_help_panel=_RADIOMETRY),
]  # fmt: skip
RadarOffset = Annotated[
    float, typer.Option("--radar-offset", help="Offset of radar in its unit.", rich_help_panel=_RADIOMETRY)
]
RadarDates = Annotated[
    int,
    typer.Option("--radar-dates", help="Most radar passes of each track and period, those nearest in season.",
                 rich_help_panel=_INPUT, min=3, max=200),
]  # fmt: skip
LevelName = Annotated[
    str,
    typer.Option("--level", help="Processing level of Sentinel-2: L2A (the default) or L1C.",
                 rich_help_panel=_INPUT, metavar="NAME"),
]  # fmt: skip
MinClear = Annotated[
    float,
    typer.Option("--min-clear", help="Share of the site that must be clear on each date, 0 to 1.",
                 rich_help_panel=_INPUT, min=0.0, max=1.0),
]  # fmt: skip
MaxSeasonGap = Annotated[
    int,
    typer.Option("--max-season-gap", help="Largest difference of the day of year, in days.",
                 rich_help_panel=_INPUT, min=0, max=183),
]  # fmt: skip
MaxDates = Annotated[
    int,
    typer.Option("--max-dates", help="Most dates of a composite where none alone is clear; 1: no composites.",
                 rich_help_panel=_INPUT, min=1, max=20),
]  # fmt: skip
MaxTileCloud = Annotated[
    float,
    typer.Option("--max-tile-cloud", help="Scenes with more cloud on their tile are not looked at, 0 to 1.",
                 rich_help_panel=_INPUT, min=0.0, max=1.0),
]  # fmt: skip
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Search, choose, say what would be fetched, and stop.",
                 rich_help_panel=_OUTPUT),
]  # fmt: skip
Explain = Annotated[
    bool,
    typer.Option("--explain", help="Say in sentences why these dates were chosen.", rich_help_panel=_OUTPUT),
]  # fmt: skip
At = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--at", help='Centre of the site: "38.58, 126.11", DMS or MGRS.', rich_help_panel=_PLACE,
                 metavar="TEXT"),
]  # fmt: skip
Radius = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--radius", help="Half the side of the site, such as 2km (the default) or 500m; of a list, "
                 "of its points.",
                 rich_help_panel=_PLACE, metavar="LENGTH"),
]  # fmt: skip
Bbox = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--bbox", help="Site as W,S,E,N in degrees.", rich_help_panel=_PLACE, metavar="W,S,E,N"),
]
Aoi = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--aoi", help="File with one outline: KML, KMZ, GeoJSON, GPKG, WKT.", rich_help_panel=_PLACE,
                 metavar="FILE"),
]  # fmt: skip
Name = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--name", help="Name of the site, printed on every product.", rich_help_panel=_PLACE,
                 metavar="TEXT"),
]  # fmt: skip
Sites = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--sites", help="List of sites, each for itself: KML, KMZ, GeoJSON, GPKG, CSV.",
                 rich_help_panel=_PLACE, metavar="FILE"),
]  # fmt: skip
SiteNames = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option("--site", help="Of the list only this site, by name or group/name; may be repeated.",
                 rich_help_panel=_PLACE, metavar="NAME"),
]  # fmt: skip
Scheduler = Annotated[
    str,
    typer.Option("--scheduler", help="Who works at the sites of a list: local (one after the other), "
                 "threads, processes, or the address of a Dask scheduler.",
                 rich_help_panel=_PLACE, metavar="NAME"),
]  # fmt: skip
SiteJobs = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option("--jobs", help="Sites at one time, with --scheduler threads or processes (default: one for "
                 "each processor).", rich_help_panel=_PLACE, min=1, metavar="N"),
]  # fmt: skip
MaxUnits = Annotated[
    Optional[float],  # noqa: UP045
    typer.Option("--max-pu", help="Most processing units that may be spent; refused before anything is.",
                 rich_help_panel=_INPUT, min=0.0),
]  # fmt: skip
Replan = Annotated[
    bool,
    typer.Option("--replan", help="Choose the dates anew, also where an earlier choice was kept.",
                 rich_help_panel=_INPUT),
]  # fmt: skip
Method = Annotated[
    str,
    typer.Option(
        "--method", help="Detector, see changedet methods.", rich_help_panel=_METHOD, metavar="NAME"
    ),
]
MinArea = Annotated[
    str,
    typer.Option("--min-area", help="Smallest object, such as 500m2 or 1ha.", rich_help_panel=_METHOD,
                 metavar="AREA"),
]  # fmt: skip
Threshold = Annotated[
    float,
    typer.Option("--threshold", help="How far the score must rise above the background, in robust standard "
                 "deviations.", rich_help_panel=_METHOD, min=1.0, max=1000.0),
]  # fmt: skip
Budget = Annotated[
    str | None,
    typer.Option("--budget", help="Flag this leading share of the ground, such as 2.5%, whatever its score. "
                 "It always flags something.", rich_help_panel=_METHOD, metavar="SHARE"),
]  # fmt: skip
KeepSeasonal = Annotated[
    bool,
    typer.Option("--keep-seasonal", help="Also flag what season, plants or moisture alone could have made.",
                 rich_help_panel=_METHOD),
]  # fmt: skip
Model = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--model", help="Trained model that decides in place of a method, see changedet train.",
                 rich_help_panel=_METHOD, metavar="FILE"),
]  # fmt: skip
BandWeights = Annotated[
    str,
    typer.Option("--band-weights", help="auto, built-up (the visible bands decide) or equal.",
                 rich_help_panel=_METHOD, metavar="NAME"),
]  # fmt: skip
Grid = Annotated[
    str,
    typer.Option("--grid", help="before: keep the earlier image's grid; utm: 10 m UTM grid for both.",
                 rich_help_panel=_METHOD, metavar="NAME"),
]  # fmt: skip
MaxResidual = Annotated[
    float,
    typer.Option("--max-residual", help="Largest registration residual that is still compared, in pixels.",
                 rich_help_panel=_METHOD, min=0.01, max=10.0),
]  # fmt: skip
Strict = Annotated[
    bool,
    typer.Option("--strict/--no-strict", help="Treat every quality warning as a refusal (exit 6).",
                 rich_help_panel=_METHOD),
]  # fmt: skip
Scale = Annotated[
    Optional[float],  # noqa: UP045
    typer.Option("--scale", help="reflectance = number * scale + offset, both dates.",
                 rich_help_panel=_RADIOMETRY),
]  # fmt: skip
Offset = Annotated[
    Optional[float],  # noqa: UP045
    typer.Option("--offset", help="Offset in reflectance, both dates; -0.1 since processing baseline 04.00.",
                 rich_help_panel=_RADIOMETRY),
]  # fmt: skip
BeforeOffset = Annotated[
    Optional[float],  # noqa: UP045
    typer.Option("--before-offset", help="Offset of the earlier image alone.", rich_help_panel=_RADIOMETRY),
]
AfterOffset = Annotated[
    Optional[float],  # noqa: UP045
    typer.Option("--after-offset", help="Offset of the later image alone.", rich_help_panel=_RADIOMETRY),
]
Nodata = Annotated[
    Optional[float],  # noqa: UP045
    typer.Option(
        "--nodata", help="Stored number that means no data, both dates.", rich_help_panel=_RADIOMETRY
    ),
]
Memory = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--memory", help="Memory to stay within, such as 1GB; what is more is kept on disk "
                 "(default: a quarter of the machine's).",
                 rich_help_panel=_MACHINE, envvar="CHANGEDET_MEMORY", metavar="SIZE"),
]  # fmt: skip
Jobs = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option("--jobs", help="Threads that compute at a time (default: one for each processor).",
                 rich_help_panel=_MACHINE, envvar="CHANGEDET_JOBS", min=1, max=512),
]  # fmt: skip
ScratchFolder = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--scratch", help="Folder for what does not fit into the memory (default: the "
                 "temporary folder).", rich_help_panel=_MACHINE, envvar="CHANGEDET_SCRATCH", metavar="DIR"),
]  # fmt: skip
Out = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--out", "-o", help="Folder for the results; ./changedet-runs/<name>-<date> by default.",
                 rich_help_panel=_OUTPUT, metavar="DIR"),
]  # fmt: skip
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite/--no-overwrite", help="Replace an earlier run in the output folder.",
                 rich_help_panel=_OUTPUT),
]  # fmt: skip
KeepImages = Annotated[
    Optional[bool],  # noqa: UP045
    typer.Option("--keep-images/--no-keep-images",
                 help="Write before.tif and after.tif (default: below 25 Mpx).",
                 rich_help_panel=_OUTPUT),
]  # fmt: skip
RedactCoordinates = Annotated[
    Optional[bool],  # noqa: UP045
    typer.Option("--redact-coordinates/--no-redact-coordinates",
                 help="Leave what says where the site is out of plates and report; write no KMZ.",
                 rich_help_panel=_OUTPUT),
]  # fmt: skip
ExitCode = Annotated[
    bool,
    typer.Option("--exit-code/--no-exit-code", help="Exit with 1 when something was flagged.",
                 rich_help_panel=_OUTPUT),
]  # fmt: skip
AsJson = Annotated[
    bool,
    typer.Option(
        "--json", help="Print one JSON document on stdout, also on failure.", rich_help_panel=_OUTPUT
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but results and errors.")]
Verbose = Annotated[int, typer.Option("--verbose", "-v", count=True, help="Say more; -vv shows tracebacks.")]
ShowProgress = Annotated[
    Optional[bool],  # noqa: UP045
    typer.Option("--progress/--no-progress", help="Progress bar on stderr (default: when it is a terminal)."),
]
RunFolder = Annotated[Path, typer.Argument(help="Run folder written by changedet.", metavar="DIR")]
Cache = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--cache", help="Folder that keeps loaded scenes (default: ~/.cache/changedet).",
                 envvar="CHANGEDET_CACHE", metavar="DIR"),
]  # fmt: skip
State = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--state", help="State file with verdicts (default: verdicts.gpkg beside the runs).",
                 envvar="CHANGEDET_STATE", metavar="FILE"),
]  # fmt: skip
Reviewer = Annotated[
    str, typer.Option("--reviewer", help="Who judges.", envvar="CHANGEDET_REVIEWER", metavar="NAME")
]
ReviewedSite = Annotated[
    str, typer.Option("--site", help="Site by its name, as review status shows it.", metavar="NAME")
]
