"""How the tests ask the servers."""

import rasterio
import requests
from pystac_client import Client

ALL = "sentinel-2-c1-l2a"
BBOX = [126.4, 38.2, 126.6, 38.4]
QUICKLY = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_HTTP_MAX_RETRY": "0"}


def found(root, **search):
    return list(Client.open(root).search(**search).items())


def item_of(world, api, collection, scene):
    """The first item of a scene as plain JSON."""
    fits = [i for i in world.items(api) if i["collection"] == collection]
    return next(i for i in fits if i["properties"]["datetime"][:10] == f"{scene.time:%Y-%m-%d}")


def post(world, path="/earth-search/v1/search", **body):
    return requests.post(f"{world.url}{path}", json=body, timeout=10)


def read(href):
    with rasterio.Env(**QUICKLY), rasterio.open(href) as source:
        return source.read(1)


def signed(world, href):
    container = "/".join(href.removeprefix(world.url).split("/")[1:3])
    token = requests.get(f"{world.signing}/{container}", timeout=10).json()["token"]
    return f"{href}?{token}"
