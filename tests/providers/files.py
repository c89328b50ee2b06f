"""Small imagery files for tests, as the producers write them."""

import numpy as np
import rasterio
from affine import Affine

from changedet.bands import SENTINEL2_BANDS

BANDS_10M = ("B02", "B03", "B04", "B08")
BANDS_20M = ("B05", "B06", "B07", "B8A", "B11", "B12")
BANDS_60M = ("B01", "B09")
ORDER = [band.name for band in SENTINEL2_BANDS]
LEFT, TOP = 300000, 4900020
SIDE_M = 960


def level(band):
    """Mean of the stored numbers: brighter with the wavelength, so that nothing looks like a cloud."""
    return 1350 + 250 * ORDER.index(band)


def numbers(band, resolution_m, seed=0):
    """Stored numbers of a smooth surface; the level differs from band to band."""
    size = SIDE_M // resolution_m
    rows, columns = (np.mgrid[:size, :size] + 0.5) * resolution_m
    texture = 300 * np.sin(rows / 90.0 + seed) * np.cos(columns / 110.0)
    return np.round(level(band) + texture).astype(np.uint16)


def write(path, array, *, resolution_m=10, crs="EPSG:32633", tags=None, **more):
    """Write a raster; `array` is (y, x) or (band, y, x)."""
    planes = array if array.ndim == 3 else array[None]
    descriptions = more.pop("descriptions", None)
    scaling = more.pop("scaling", None)
    profile = {
        "driver": "JP2OpenJPEG" if path.suffix == ".jp2" else "GTiff",
        "count": planes.shape[0], "height": planes.shape[1], "width": planes.shape[2],
        "dtype": planes.dtype.name, "crs": crs,
        "transform": Affine(resolution_m, 0, LEFT, 0, -resolution_m, TOP),
    }  # fmt: skip
    if path.suffix == ".jp2":
        profile |= {"QUALITY": "100", "REVERSIBLE": "YES"}
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(path, "w", **(profile | more)) as target:
        target.write(planes)
        target.update_tags(**(tags or {}))
        if descriptions:
            target.descriptions = descriptions
        if scaling:
            target.scales, target.offsets = ((value,) * planes.shape[0] for value in scaling)
    return path


def write_folder(folder, bands=BANDS_10M, *, stem="T33TUN_20230514T100601", suffix=".tif", **more):
    """Write a folder of band files at their own resolutions."""
    for band in bands:
        resolution = 10 if band in BANDS_10M else 20 if band in BANDS_20M else 60
        write(folder / f"{stem}_{band}{suffix}", numbers(band, resolution), resolution_m=resolution, **more)
    return folder


def write_vrt(path, source, size=SIDE_M // 10):
    """Write a virtual raster of one band that names a source."""
    path.write_text(
        f'''<VRTDataset rasterXSize="{size}" rasterYSize="{size}"><SRS>EPSG:32633</SRS>
        <GeoTransform>{LEFT},10,0,{TOP},0,-10</GeoTransform><VRTRasterBand dataType="UInt16" band="1">
        <SimpleSource><SourceFilename relativeToVRT="0">{source}</SourceFilename><SourceBand>1</SourceBand>
        </SimpleSource></VRTRasterBand></VRTDataset>'''
    )
    return path


_PRODUCT_XML = """<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<n1:Level-{level}_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_Level-{level}.xsd">
  <n1:General_Info>
    <Product_Info>
      <PRODUCT_START_TIME>2023-05-14T10:06:01.024Z</PRODUCT_START_TIME>
      <PRODUCT_URI>{name}.SAFE</PRODUCT_URI>
      <PROCESSING_LEVEL>{level_words}</PROCESSING_LEVEL>
      <PROCESSING_BASELINE>{baseline}</PROCESSING_BASELINE>
      <Datatake datatakeIdentifier="GS2A_20230514T100601_041212_N{baseline}">
        <SPACECRAFT_NAME>Sentinel-2A</SPACECRAFT_NAME>
        <DATATAKE_SENSING_START>2023-05-14T10:06:01.024Z</DATATAKE_SENSING_START>
        <SENSING_ORBIT_NUMBER>22</SENSING_ORBIT_NUMBER>
      </Datatake>
    </Product_Info>
    <Product_Image_Characteristics>
      <Special_Values>
        <SPECIAL_VALUE_TEXT>NODATA</SPECIAL_VALUE_TEXT><SPECIAL_VALUE_INDEX>0</SPECIAL_VALUE_INDEX>
      </Special_Values>
      <Special_Values>
        <SPECIAL_VALUE_TEXT>SATURATED</SPECIAL_VALUE_TEXT><SPECIAL_VALUE_INDEX>65535</SPECIAL_VALUE_INDEX>
      </Special_Values>
      {radiometry}
    </Product_Image_Characteristics>
  </n1:General_Info>
</n1:Level-{level}_User_Product>
"""

_TILE_XML = """<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<n1:Level-{level}_Tile_ID xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/S2_PDI_Level-{level}_Tile.xsd">
  <n1:General_Info><TILE_ID>S2A_OPER_MSI_L{level}_TL_2APS_20230514T150000_A041212_T33TUN_N{baseline}</TILE_ID></n1:General_Info>
  <n1:Geometric_Info><Tile_Angles><Mean_Sun_Angle>
    <ZENITH_ANGLE unit="deg">27.5</ZENITH_ANGLE><AZIMUTH_ANGLE unit="deg">151.25</AZIMUTH_ANGLE>
  </Mean_Sun_Angle></Tile_Angles></n1:Geometric_Info>
</n1:Level-{level}_Tile_ID>
"""


def write_safe(parent, *, level="2A", baseline="05.09", shift=-1000, scl=None):
    """Write a product folder; `shift` is the offset in stored numbers, None = the metadata name none."""
    code = baseline.replace(".", "")
    name = f"S2A_MSIL{level}_20230514T100601_N{code}_R022_T33TUN_20230514T150000"
    folder = parent / f"{name}.SAFE"
    boa = level == "2A"
    divisor = "BOA_QUANTIFICATION_VALUE" if boa else "QUANTIFICATION_VALUE"
    element = "BOA_ADD_OFFSET" if boa else "RADIO_ADD_OFFSET"
    radiometry = f'<{divisor} unit="none">10000</{divisor}>'
    if boa:
        radiometry = f"<QUANTIFICATION_VALUES_LIST>{radiometry}</QUANTIFICATION_VALUES_LIST>"
    if shift is not None:
        rows = "".join(f'<{element} band_id="{i}">{shift}</{element}>' for i in range(13))
        radiometry += f"<{element}_LIST>{rows}</{element}_LIST>"
    folder.mkdir(parents=True)
    words = {"level": level, "level_words": f"Level-{level}", "name": name, "baseline": baseline}
    (folder / f"MTD_MSIL{level}.xml").write_text(_PRODUCT_XML.format(radiometry=radiometry, **words))
    granule = folder / "GRANULE" / f"L{level}_T33TUN_A041212_20230514T100559"
    granule.mkdir(parents=True)
    (granule / "MTD_TL.xml").write_text(_TILE_XML.format(**words))
    _write_pixels(granule / "IMG_DATA", boa, scl)
    return folder


def _write_pixels(folder, boa, scl):
    stem = "T33TUN_20230514T100601"
    if not boa:
        write_folder(folder, (*BANDS_10M, *BANDS_20M, *BANDS_60M, "B10"), stem=stem, suffix=".jp2")
        return
    for resolution, bands in ((10, BANDS_10M), (20, (*BANDS_10M[:3], *BANDS_20M)), (60, BANDS_60M)):
        for band in bands:
            path = folder / f"R{resolution}m" / f"{stem}_{band}_{resolution}m.jp2"
            write(path, numbers(band, resolution), resolution_m=resolution)
    codes = np.full((SIDE_M // 20, SIDE_M // 20), 4, np.uint8) if scl is None else scl
    write(folder / "R20m" / f"{stem}_SCL_20m.jp2", codes, resolution_m=20)
    mask = folder.parent / "QI_DATA" / "MSK_DETFOO_B02.jp2"
    write(mask, np.ones((SIDE_M // 10, SIDE_M // 10), np.uint8))
