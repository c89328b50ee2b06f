"""The Sentinel Hub stand-in, driven by the real client."""

import re
from contextlib import suppress

import numpy as np
import pytest
import requests
from sentinelhub import (
    CRS,
    BBox,
    DataCollection,
    MimeType,
    SentinelHubCatalog,
    SentinelHubDownloadClient,
    SentinelHubRequest,
    SHConfig,
)
from sentinelhub.exceptions import DownloadFailedException, OutOfRequestsException, SHRateLimitWarning
from tests.world import evalscript
from tests.world.granules import reprocessed, split
from tests.world.plumbing import Refusal
from tests.world.sentinel_hub import quota_used_up, rate_limited
from tests.world.world import World

SCRIPT = """//VERSION=3
function setup() {
  return {input: [{bands: ["B04", "B11", "SCL", "dataMask"], units: "DN"}],
          output: {bands: 4, sampleType: "UINT16"}};
}
function evaluatePixel(sample) { return [sample.B04, sample.B11, sample.SCL, sample.dataMask]; }
"""
TWO_OUTPUTS = """//VERSION=3
function setup() {
  return {input: ["VV", "VH", "dataMask"],
          output: [{id: "gamma", bands: 2, sampleType: "FLOAT32"},
                   {id: "mask", bands: 1, sampleType: "UINT8"}]};
}
function evaluatePixel(s) { return {gamma: [s.VV, s.VH], mask: [s.dataMask]}; }
"""
RTC = {"processing": {"orthorectify": True, "backCoeff": "GAMMA0_TERRAIN", "demInstance": "COPERNICUS_30"}}


@pytest.fixture(autouse=True)
def fresh_client(monkeypatch):
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    SentinelHubDownloadClient.clear_cache()
    yield
    SentinelHubDownloadClient.clear_cache()


def config(world, **changes):
    service = world.sentinel_hub_service
    settings = {
        "sh_client_id": service.client_id,
        "sh_client_secret": service.client_secret,
        "max_retries": 2,
        "sh_base_url": world.sentinel_hub,
        "sh_token_url": f"{world.sentinel_hub}/oauth/token",
    }
    return SHConfig(use_defaults=True, **(settings | changes))


def collection(world, base=DataCollection.SENTINEL2_L2A):
    with suppress(ValueError):
        # ports come again, and with them addresses for which there is a collection already
        return DataCollection(base.value.derive(service_url=world.sentinel_hub))
    return base.define_from(f"{base.name}_{world.unique}", service_url=world.sentinel_hub)


def box(scene):
    return BBox(scene.grid.boundingbox.bbox, CRS("32652"))


def process(world, scene, script=SCRIPT, *, outputs=("default",), settings=None, **data):
    base = data.pop("base", DataCollection.SENTINEL2_L2A)
    day = f"{scene.time:%Y-%m-%d}" if base is DataCollection.SENTINEL2_L2A else "2023-05-20"
    source = SentinelHubRequest.input_data(collection(world, base), time_interval=(day, day), **data)
    responses = [SentinelHubRequest.output_response(name, MimeType.TIFF) for name in outputs]
    settings, size = settings or config(world), (scene.grid.shape[1], scene.grid.shape[0])
    request = SentinelHubRequest(script, [source], responses, bbox=box(scene), size=size, config=settings)
    return request.get_data(max_threads=1)[0]


def send(world, path, payload):
    """A request with a good token, past the client and its checks."""
    service = world.sentinel_hub_service
    form = {
        "grant_type": "client_credentials",
        "client_id": service.client_id,
        "client_secret": service.client_secret,
    }
    token = requests.post(f"{world.sentinel_hub}/oauth/token", data=form, timeout=10).json()["access_token"]
    headers = {"authorization": f"Bearer {token}", "accept": "image/tiff"}
    return requests.post(f"{world.sentinel_hub}{path}", json=payload, headers=headers, timeout=10)


def payload(scene):
    data = {
        "type": "sentinel-2-l2a",
        "dataFilter": {"timeRange": {"from": "2023-05-16T00:00:00Z", "to": "2023-05-16T23:59:59Z"}},
    }
    crs = "http://www.opengis.net/def/crs/EPSG/0/32652"
    bounds = {"properties": {"crs": crs}, "bbox": list(scene.grid.boundingbox.bbox)}
    responses = [{"identifier": "default", "format": {"type": "image/tiff"}}]
    return {
        "input": {"bounds": bounds, "data": [data]},
        "evalscript": SCRIPT,
        "output": {"width": 64, "height": 64, "responses": responses},
    }


def test_a_process_request_renders_the_truth(world, days):
    for scene in days:
        image = process(world, scene)
        assert (image.shape, image.dtype) == ((64, 64, 4), np.uint16)
        for index, band in enumerate(("B04", "B11")):
            assert np.abs(image[..., index] - world.truth(scene, band) * 1e4).max() <= 1
        assert (image[..., 2] == world.truth(scene, "SCL")).all()
        assert (image[..., 3] == 1).all()
    assert len(world.requests("*/oauth/token")) == 1
    assert len(world.requests("*/process", "POST")) == 3


def test_numbers_as_stored_when_they_are_not_harmonised(world, days):
    for scene, added in ((days[0], 0), (days[1], 1000)):
        image = process(world, scene, other_args={"processing": {"harmonizeValues": False}})
        assert np.abs(image[..., 0] - added - world.truth(scene, "B04") * 1e4).max() <= 1


def test_outside_the_data_the_mask_is_zero(days):
    north, _ = split(days[1])
    with World([north]) as world:
        image = process(world, days[1])
    mask = image[..., 3].astype(bool)
    assert mask[:32].all()
    assert not mask[-20:].any()
    assert (image[~mask] == 0).all()


def test_a_split_pass_is_fused_and_a_reprocessed_one_comes_once(days):
    with World([*split(days[1]), *reprocessed(days[0])]) as world:
        assert (process(world, days[1])[..., 3] == 1).all()
        names = [i["id"] for i in SentinelHubCatalog(config(world)).search(
            "sentinel-2-l2a", time=("2021-05-01", "2021-06-01"), bbox=box(days[1]))]  # fmt: skip
    assert len(names) == 1
    assert "_N0510_" in names[0]


def test_radar_comes_as_a_tar_of_two(world, days):
    base = DataCollection.SENTINEL1_IW_DES
    files = process(world, days[2], TWO_OUTPUTS, outputs=("gamma", "mask"), base=base, other_args=RTC)
    gamma, mask = files["gamma.tif"], files["mask.tif"]
    assert gamma.dtype == np.float32
    assert (mask == 1).all()
    for index, name in enumerate(("VV", "VH")):
        inner = (slice(2, -2), slice(2, -2))
        assert np.abs(gamma[..., index] - world.truth(days[2], name))[inner].mean() < 0.006
    plain = process(world, days[2], TWO_OUTPUTS, outputs=("gamma", "mask"), base=base)["gamma.tif"]
    np.testing.assert_allclose(plain[:, 6:], gamma[:, :-6])


def test_the_catalogue_pages_and_filters(world, days):
    catalog = SentinelHubCatalog(config(world))
    when = ("2021-01-01", "2024-01-01")
    features = list(catalog.search("sentinel-2-l2a", time=when, bbox=box(days[0]), limit=2))
    assert [f["properties"]["datetime"][:10] for f in features] == ["2023-05-21", "2023-05-16", "2021-05-21"]
    assert [e.request.json().get("next") for e in world.requests("*/search")] == [None, 2]
    none = catalog.search("sentinel-2-l2a", time=when, bbox=box(days[0]), filter="eo:cloud_cover < 1")
    assert list(none) == []
    radar = collection(world, DataCollection.SENTINEL1_IW_DES)
    assert len(list(catalog.search(radar, time=when, bbox=box(days[0])))) == 3
    with pytest.raises(DownloadFailedException, match="unknown collection: sentinel-9"):
        list(catalog.search("sentinel-9", time=when, bbox=box(days[0])))
    with pytest.raises(DownloadFailedException, match="bbox or intersects"):
        list(catalog.search("sentinel-2-l2a", time=when))


def test_rate_limits_count_in_milliseconds(world, days):
    world.add_faults(rate_limited("/sentinel-hub", "40").first(1))
    with pytest.warns(SHRateLimitWarning):
        assert process(world, days[1]).any()
    first, second = world.requests("*/process")
    assert (first.status, second.status) == (429, 200)
    assert 0.03 <= second.started_s - first.finished_s < 2


def test_endless_rate_limits_end_with_the_retries(world, days):
    world.add_faults(rate_limited("/sentinel-hub", "5"))
    with pytest.warns(SHRateLimitWarning), pytest.raises(OutOfRequestsException):
        process(world, days[1])
    assert len(world.requests("*/process")) == 2


def test_a_used_up_quota_is_403(world, days):
    world.add_faults(quota_used_up("/sentinel-hub"))
    with pytest.raises(DownloadFailedException, match="Insufficient processing units") as caught:
        process(world, days[1])
    assert caught.value.request_exception.response.status_code == 403


def test_a_worthless_token_is_401(world, days):
    settings = config(world)
    process(world, days[1], settings=settings)
    world.sentinel_hub_service.revoke()
    with pytest.raises(DownloadFailedException, match="not authorized"):
        process(world, days[1], settings=settings)
    assert world.requests("*/process")[-1].status == 401


def test_short_lived_tokens_are_asked_for_again(world, days):
    world.sentinel_hub_service.token_life_s = 60
    settings = config(world)
    for _ in range(2):
        process(world, days[1], settings=settings)
    assert len(world.requests("*/oauth/token")) >= 3


def test_a_wrong_secret_is_refused(world, days):
    from oauthlib.oauth2 import InvalidClientError

    with pytest.raises(InvalidClientError):
        process(world, days[1], settings=config(world, sh_client_secret="wrong"))
    refused = requests.post(f"{world.sentinel_hub}/oauth/token", data={"grant_type": "password"}, timeout=10)
    assert refused.status_code == 400


def test_the_answer_says_what_it_cost(world, days):
    answer = send(world, "/api/v1/process", payload(days[1]))
    assert float(answer.headers["x-processingunits-spent"]) == pytest.approx(64 * 64 / 512**2)


@pytest.mark.parametrize(
    ("path", "value", "text"),
    [
        (("output", "width"), 2501, "width and height are 1 to 2500"),
        (("output", "width"), 0, "no usable width"),
        (("output", "heigth"), 5, "unknown key in output: heigth"),
        (("output", "responses", 0, "format"), {"type": "image/png"}, "is not rendered here"),
        (("output", "responses", 0, "identifier"), "other", "no output other"),
        (("input", "bounds", "bbox"), [5, 5, 1, 1], "bounds are not understood"),
        (("input", "bounds", "properties", "crs"), "EPSG:32652", "bounds are not understood"),
        (("input", "data", 0, "type"), "sentinel-2", "'sentinel-2' is unknown"),
        (("input", "data"), [], "list of one"),
        (("input", "data", 0, "dataFilter"), {}, "timeRange with from and to"),
        (("input", "data", 0, "dataFilter", "maxcc"), 5, "unknown key in dataFilter: maxcc"),
        (("input", "data", 0, "dataFilter", "mosaickingOrder"), "first", "'first' is unknown"),
        (("input", "data", 0, "processing"), {"harmoniseValues": True}, "unknown key in processing"),
        (("input", "data", 0, "processing"), {"backCoeff": "BETA0"}, "unknown key in processing: backCoeff"),
        (("input", "data", 0, "type"), "sentinel-2-l1c", "band SCL is not in the collection"),
        (("evalscript",), "function setup() {}", "does not begin with //VERSION=3"),
        (("mode",), 1, "unknown key in the body: mode"),
    ],
)
def test_a_slip_in_a_process_request_is_refused(world, days, path, value, text):
    body = payload(days[1])
    at = body
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    answer = send(world, "/api/v1/process", body)
    assert answer.status_code == 400
    assert text in answer.json()["message"]


GAMMA = TWO_OUTPUTS.replace("dataMask", "shadowMask")


@pytest.mark.parametrize(
    ("script", "processing", "text"),
    [
        (TWO_OUTPUTS, {"backCoeff": "GAMMA0_TERRAIN"}, "GAMMA0_TERRAIN needs orthorectify and demInstance"),
        (TWO_OUTPUTS, {"backCoeff": "GAMMA0_TERRAIN", "orthorectify": True}, "needs orthorectify and dem"),
        (TWO_OUTPUTS, {"backCoeff": "SIGMA"}, "backCoeff 'SIGMA' is unknown"),
        (TWO_OUTPUTS, {"orthorectify": "true"}, "orthorectify is true or false"),
        (TWO_OUTPUTS, RTC["processing"] | {"demInstance": "SRTM"}, "demInstance 'SRTM' is unknown"),
        (TWO_OUTPUTS, {"harmonizeValues": True}, "unknown key in processing: harmonizeValues"),
        (GAMMA, {}, "shadowMask needs orthorectify"),
        (
            TWO_OUTPUTS.replace("FLOAT32", "UINT16"),
            RTC["processing"],
            "power does not fit into samples",
        ),
        (TWO_OUTPUTS.replace("VV", "HH"), {}, "band HH is not in the collection"),
    ],
)
def test_a_slip_in_a_radar_request_is_refused(world, days, script, processing, text):
    body = payload(days[1])
    body["input"]["data"][0] |= {"type": "sentinel-1-grd", "processing": processing}
    answer = send(world, "/api/v1/process", body | {"evalscript": script})
    assert answer.status_code == 400
    assert text in answer.json()["message"]


def test_wrong_doors(world):
    assert requests.get(f"{world.sentinel_hub}/api/v1/process", timeout=10).status_code == 405
    assert requests.post(f"{world.sentinel_hub}/api/v2/process", timeout=10).status_code == 404
    assert requests.post(f"{world.sentinel_hub}/api/v1/process", timeout=10).status_code == 401


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ('"B04", "B11", "SCL"', '"B04", "B11", "B99"', "band B99 is not in the collection"),
        ("sample.B04", "sample.B08", "returned but not in the input: B08"),
        ("sample.B04", "2 * sample.B04", "only bands as they are"),
        ("bands: 4", "bands: 3", "3 bands declared and 4 returned"),
        ('"UINT16"', '"AUTO"', "sample type AUTO of output default"),
        ("function setup", "function start", "lacks a function setup"),
        ("evaluatePixel", "evaluate", "lacks a function evaluatePixel"),
        ("output: {bands: 4", 'mosaicking: "ORBIT", output: {bands: 4', "mosaicking ORBIT"),
        ('units: "DN"', 'units: ["DN", "DN"]', "2 units for 4 bands"),
        ("output: {", 'output: {id: "a", ', "['a'] are declared and ['default'] returned"),
    ],
)
def test_a_slip_in_an_evalscript_is_refused(old, new, text):
    allowed = frozenset({"B04", "B08", "B11", "SCL", "dataMask"})
    assert evalscript.read(SCRIPT, allowed).outputs[0].bands == ("B04", "B11", "SCL", "dataMask")
    with pytest.raises(Refusal, match=re.escape(text)):
        evalscript.read(SCRIPT.replace(old, new), allowed)
