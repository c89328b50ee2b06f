"""Where a provider is and how patiently it is asked: settings files, then the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from changedet.configuration import read_settings, settings_files
from changedet.errors import InputFileError

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Every environment variable for providers begins so; the rest is ``NAME__FIELD``.
ENVIRONMENT_PREFIX = "CHANGEDET_PROVIDERS__"
_WHOLE = frozenset({"max_retries", "max_parallel"})


@dataclass(frozen=True)
class ProviderSettings:
    """Addresses and patience; addresses, which may hold a password, do not show.

    Attributes
    ----------
    url : str or None
        Address of the service; of ``stac`` it may be a path. None is the provider's own, here and below.
    token_url : str or None
        Where Sentinel Hub gives tokens.
    catalog_url : str or None
        Where Sentinel Hub lists scenes.
    process_url : str or None
        Where Sentinel Hub gives pixels.
    signing_url : str or None
        Address of the Planetary Computer that gives signatures for links.
    connect_timeout_s : float
        Seconds to wait for a connection.
    read_timeout_s : float
        Seconds to wait for the next bytes.
    total_deadline_s : float
        Seconds after which a request is given up, retries and waiting included.
    max_retries : int
        Retries of a request or a read after it failed for a reason that may pass.
    retry_delay_s : float
        Seconds before the first retry; each further one waits twice as long, at most 60 s.
    max_parallel : int
        Most reads at one time.
    max_processing_units : float or None
        Most processing units that one run may ask of a service that charges them; None = no limit.
    """

    url: str | None = field(default=None, repr=False)
    token_url: str | None = field(default=None, repr=False)
    catalog_url: str | None = field(default=None, repr=False)
    process_url: str | None = field(default=None, repr=False)
    signing_url: str | None = field(default=None, repr=False)
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 60.0
    total_deadline_s: float = 300.0
    max_retries: int = 5
    retry_delay_s: float = 1.0
    max_parallel: int = 8
    max_processing_units: float | None = None


def read_provider_settings(name: str, environment: Mapping[str, str] | None = None) -> ProviderSettings:
    """Read the settings of one provider.

    Parameters
    ----------
    name : str
        For example ``"earth-search"``: the table ``[providers.earth_search]`` (or ``earth-search``) of the
        settings files, overruled by variables such as ``CHANGEDET_PROVIDERS__EARTH_SEARCH__URL``.
    environment : mapping of str to str, optional
        The environment of the process when not given.

    Returns
    -------
    ProviderSettings
        With the defaults for what nobody set.

    Raises
    ------
    InputFileError
        When a setting has an unknown name or a value that does not fit.
    """
    environment = os.environ if environment is None else environment
    where = " and ".join(map(str, settings_files()))
    tables = read_settings().get("providers", {})
    table = tables.get(name.replace("_", "-"), {})
    found: dict[str, Any] = {}
    for key, value in table.items() if isinstance(table, dict) else ():
        field = key.replace("-", "_")
        found[field] = _value(field, value, where=f"{where}, [providers.{name}]")
    prefix = f"{ENVIRONMENT_PREFIX}{name.replace('-', '_').upper()}__"
    for variable, text in environment.items():
        if variable.startswith(prefix):
            field = variable.removeprefix(prefix).lower()
            found[field] = _value(field, text, where=variable)
    return ProviderSettings(**found)


def _value(field: str, value: object, *, where: str) -> str | float | int:
    names = {one.name for one in fields(ProviderSettings)}
    if field not in names:
        raise InputFileError(
            f"a provider has no setting {field!r}", where=where, todo=f"use one of {', '.join(sorted(names))}"
        )
    if field.endswith("url"):
        return str(value).strip()
    try:
        number = int(str(value)) if field in _WHOLE else float(str(value))
    except ValueError as error:
        raise InputFileError(f"{field} = {value!r} is not a number", where=where, todo="give one") from error
    least = 0 if field == "max_retries" else 1e-3
    if not least <= number < float("inf"):
        raise InputFileError(
            f"{field} = {number} is out of range", where=where, todo=f"give at least {least:g}"
        )
    return number
