"""The files for clusters can be read, and name options that there are."""

from pathlib import Path

import pytest
import typer
import yaml

import changedet.cli as command_line

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
#: What the Helm chart of Dask knows of a worker and of a scheduler.
CHART = {
    "scheduler": {"name", "image", "replicas", "serviceType", "servicePort", "extraArgs", "resources"},
    "worker": {"name", "image", "replicas", "env", "extraArgs", "resources", "mounts", "threads_per_worker"},
    "jupyter": {"enabled"},
}


def read(name):
    return yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))


def options_of(name):
    """Options of a command of Dask or of ours."""
    if name in {"scheduler", "worker"}:
        module = pytest.importorskip(f"distributed.cli.dask_{name}")
        return {text for one in module.main.params for text in (*one.opts, *one.secondary_opts)}
    command = typer.main.get_command(command_line.app).commands[name]
    return {text for one in command.params for text in one.opts}


@pytest.mark.parametrize("service", ["scheduler", "worker", "run"])
def test_services_call_what_there_is(service):
    found = read("compose.yaml")["services"][service]
    name, *rest = found["command"]
    given = {word for word in rest if word.startswith("--")}
    assert given
    assert given <= options_of(name)
    assert found["volumes"] == ["./work:/work"]
    assert "ports" not in found


def test_the_run_asks_the_scheduler_that_is_started():
    services = read("compose.yaml")["services"]
    port = services["scheduler"]["command"][2]
    address = f"tcp://scheduler:{port}"
    assert services["worker"]["command"][1] == services["run"]["command"][-1] == address
    assert set(services["run"]["depends_on"]) <= services.keys()


def test_no_account_stands_in_the_files():
    environment = read("compose.yaml")["services"]["worker"]["environment"]
    assert environment["SH_CLIENT_SECRET"] == "${SH_CLIENT_SECRET:-}"
    secret = {one["name"]: one for one in read("dask-values.yaml")["worker"]["env"]}["SH_CLIENT_SECRET"]
    assert "value" not in secret
    assert secret["valueFrom"]["secretKeyRef"]["key"] == "SH_CLIENT_SECRET"


def test_the_values_are_those_of_the_chart():
    found = read("dask-values.yaml")
    assert found.keys() == CHART.keys()
    for part, known in CHART.items():
        assert found[part].keys() <= known
    volumes = {one["name"] for one in found["worker"]["mounts"]["volumes"]}
    assert {one["name"] for one in found["worker"]["mounts"]["volumeMounts"]} == volumes
    assert found["worker"]["image"] == found["scheduler"]["image"]
    assert found["worker"]["threads_per_worker"] == 1


def test_the_image_has_what_workers_need():
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    assert '"/source[dask]"' in text
    assert 'ENTRYPOINT ["changedet"]' in text
