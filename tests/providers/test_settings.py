"""Settings of providers, the register, and what a provider says of itself without asking anybody."""

from datetime import UTC, datetime
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from changedet.errors import InputFileError, UsageError
from changedet.providers import registry
from changedet.providers.base import ProviderInfo, SearchQuery
from changedet.providers.registry import BUILT_IN, open_provider, provider_names
from changedet.providers.settings import ProviderSettings, read_provider_settings
from changedet.site import Site


def test_files_and_environment_are_read_in_this_order(workplace, monkeypatch):
    assert read_provider_settings("earth-search") == ProviderSettings()
    (workplace / "changedet.toml").write_text(
        '[providers.earth_search]\nurl = "https://one.example/v1"\nmax_retries = 2\n'
    )
    assert read_provider_settings("earth-search").url == "https://one.example/v1"
    monkeypatch.setenv("CHANGEDET_PROVIDERS__EARTH_SEARCH__URL", "https://two.example/v1")
    found = read_provider_settings("earth-search")
    assert (found.url, found.max_retries, found.total_deadline_s) == ("https://two.example/v1", 2, 300.0)
    assert read_provider_settings("stac") == ProviderSettings()


def test_a_name_with_a_dash_is_a_table_too(workplace):
    (workplace / "changedet.toml").write_text('[providers."earth-search"]\ntotal-deadline-s = 7\n')
    assert read_provider_settings("earth-search").total_deadline_s == 7.0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ulr = 'x'", "a provider has no setting 'ulr'; use one of"),
        ("max_retries = 'often'", "max_retries = 'often' is not a number"),
        ("max_retries = -1", "out of range; give at least 0"),
        ("read_timeout_s = 0", "out of range"),
        ("read_timeout_s = inf", "out of range"),
    ],
)
def test_wrong_settings_are_named(workplace, text, said):
    (workplace / "changedet.toml").write_text(f"[providers.stac]\n{text}\n")
    with pytest.raises(InputFileError, match=said) as caught:
        read_provider_settings("stac")
    assert "changedet.toml" in str(caught.value)


def test_a_wrong_variable_is_named():
    with pytest.raises(InputFileError, match="CHANGEDET_PROVIDERS__STAC__COLOUR: a provider has no setting"):
        read_provider_settings("stac", {"CHANGEDET_PROVIDERS__STAC__COLOUR": "red"})


def test_settings_of_providers_do_not_disturb_the_commands(cli, workplace):
    (workplace / "changedet.toml").write_text('[providers.stac]\nurl = "https://stac.example/v1"\n')
    assert cli("providers") == 0
    assert "https://stac.example/v1" in cli.out
    (workplace / "changedet.toml").write_text("[providers]\ncolour = 3\n")
    assert cli("providers") == 2 or "no option 'colour'" in cli.err


@pytest.mark.parametrize("name", BUILT_IN)
def test_what_a_provider_says_costs_nothing(workplace, name):
    provider = open_provider(name)
    assert provider.name == provider.info.name == name
    assert "s2" in provider.info.sensors
    assert provider.info.title
    assert provider.info.needs


def test_an_unknown_name_is_refused_with_the_known_ones(workplace):
    with pytest.raises(
        UsageError, match="no provider 'landsat'; use one of earth-search, planetary-computer"
    ):
        open_provider("landsat")


class Elsewhere:
    name = "elsewhere"
    info = ProviderInfo("elsewhere", "An archive of somebody else", ("s2",), "nothing", ())

    def __init__(self, settings):
        self.settings = settings


def test_other_packages_bring_providers_and_do_not_replace_ours(workplace, monkeypatch):
    group = registry.ENTRY_POINT_GROUP
    points = EntryPoints(
        [EntryPoint("elsewhere", "some.module:make", group), EntryPoint("stac", "some.module:make", group)]
    )
    monkeypatch.setattr(registry, "entry_points", points.select)
    monkeypatch.setattr(EntryPoint, "load", lambda _point: Elsewhere)
    monkeypatch.setenv("CHANGEDET_PROVIDERS__ELSEWHERE__URL", "https://elsewhere.example")
    assert provider_names() == (*BUILT_IN, "elsewhere")
    assert open_provider("elsewhere").settings.url == "https://elsewhere.example"
    assert type(open_provider("stac")) is not Elsewhere


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"end": datetime(2019, 1, 1, tzinfo=UTC)}, "ends before it starts"),
        ({"max_tile_cloud": 30}, "cloud limit 30 is not within 0 and 1"),
        ({"limit": 0}, "limit 0 is not positive"),
    ],
)
def test_a_query_that_makes_no_sense_is_refused(changes, said):
    usual = {"start": datetime(2020, 1, 1, tzinfo=UTC), "end": datetime(2020, 2, 1, tzinfo=UTC)}
    with pytest.raises(UsageError, match=said):
        SearchQuery(Site.at("50, 14"), **(usual | changes))
