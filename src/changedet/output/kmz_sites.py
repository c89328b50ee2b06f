"""All sites of a list as one KMZ file: the folders and names of the list, and what was found at each."""

from __future__ import annotations

import zipfile
from html import escape
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from changedet.batch import Fate
from changedet.errors import ChangedetError, InputFileError
from changedet.kml import FOLDER_SEPARATOR
from changedet.output import facts
from changedet.output.folder import KMZ_NAME
from changedet.output.kmz import KML_NAMESPACE, add_geometry, child, write_archive
from changedet.site_lists import kml_tree

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from changedet.batch import Outcome
    from changedet.site import Site

#: Name of the file in the folder of a batch.
SITES_KMZ_NAME = "sites.kmz"
#: Names of the folders beside those of the list.
CANDIDATES, IMAGES = "Candidates of all sites", "Images of all sites"

_TAG = f"{{{KML_NAMESPACE}}}"
#: Style of a site: identifier, colour as KML writes it (alpha, blue, green, red), width of the outline.
_STYLES = (("flagged", "ff005ed5", "3"), ("quiet", "ffe9b456", "2"), ("unknown", "ffb4b4b4", "2"))
_LONGEST_NAME = 200


def write_sites_kmz(
    folder: Path, sites: Sequence[Site], outcomes: Sequence[Outcome], *, name: str
) -> Path | None:
    """Write the sites of a batch with their candidates and images as one KMZ.

    The folders and placemarks of the list come first, as they were given: one placemark for each site, with
    its outline and what came of it. Two folders follow that repeat the tree of the list, with the candidates
    and with the images of each site, taken from the KMZ files of the run folders.

    Parameters
    ----------
    folder : Path
        Of the batch; the file is replaced when there is one.
    sites : sequence of Site
        In the order of the list.
    outcomes : sequence of Outcome
        Of the same sites.
    name : str
        Of the list.

    Returns
    -------
    Path or None
        The file; None when no run folder holds a KMZ, as when the place is withheld.

    Raises
    ------
    OutputError
        When it cannot be written.
    """
    found = [_KmzOfSite(folder / one.folder / KMZ_NAME, number) for number, one in enumerate(outcomes)]
    if not any(one.there for one in found):
        return None
    root = ET.Element("kml", xmlns=KML_NAMESPACE)
    document = ET.SubElement(root, "Document")
    child(document, "name", facts.clean(name, _LONGEST_NAME))
    child(document, "open", "1")
    child(document, "description", escape(_summary(outcomes)))
    _add_styles(document, found)
    tree = _Tree(document)
    for site, outcome in zip(sites, outcomes, strict=True):
        _add_site(tree.folder(site.folder), site, outcome)
    images: dict[str, bytes] = {}
    for heading, tag in ((CANDIDATES, "Folder"), (IMAGES, "GroundOverlay")):
        beside = _Tree(_folder(document, heading))
        for site, one in zip(sites, found, strict=True):
            if elements := one.elements(tag):
                own = _folder(beside.folder(site.folder), facts.clean(site.name, _LONGEST_NAME))
                own.extend(elements)
    for one in found:
        images |= one.images()
    path = folder / SITES_KMZ_NAME
    write_archive(path, root, images)
    return path


class _Tree:
    """Folders of KML by the names of a list, made when they are first asked for."""

    def __init__(self, parent: ET.Element) -> None:
        self._made = {"": parent}

    def folder(self, path: str) -> ET.Element:
        """Return the folder of a group, whose parts stand one in the other."""
        if path not in self._made:
            above, _, name = path.rpartition(FOLDER_SEPARATOR)
            self._made[path] = _folder(self.folder(above), facts.clean(name, _LONGEST_NAME))
        return self._made[path]


class _KmzOfSite:
    """What the KMZ of one run folder holds, with its pictures under names of their own."""

    def __init__(self, path: Path, number: int) -> None:
        self._path, self._prefix = path, f"images/{number + 1:03d}-"
        self.document: ET.Element | None = None
        try:
            self.document = kml_tree(path).find(f"{_TAG}Document") if path.is_file() else None
        except (ChangedetError, OSError):
            # a damaged file of one site is told by its verification, and costs only its own candidates
            self.document = None
        if self.document is not None:
            _rename(self.document, self._prefix)

    @property
    def there(self) -> bool:
        """True when there is a file that can be read."""
        return self.document is not None

    def elements(self, tag: str) -> list[ET.Element]:
        """Return what stands in the document under a tag, without its name space."""
        return [] if self.document is None else list(self.document.findall(tag))

    def images(self) -> dict[str, bytes]:
        """Return the pictures by their new names."""
        if self.document is None:
            return {}
        try:
            with zipfile.ZipFile(self._path) as archive:
                names = [name for name in archive.namelist() if name.startswith("images/")]
                return {self._prefix + name.removeprefix("images/"): archive.read(name) for name in names}
        except (OSError, zipfile.BadZipFile) as error:
            raise InputFileError(
                f"is damaged ({error})", where=str(self._path), todo="make the run of this site again"
            ) from error


def _rename(document: ET.Element, prefix: str) -> None:
    """Take the name space off the tags, and let every picture have the name it gets."""
    for element in document.iter():
        element.tag = element.tag.removeprefix(_TAG)
        if element.tag == "href" and element.text:
            element.text = prefix + element.text.removeprefix("images/")
        elif element.tag == "description" and element.text:
            element.text = element.text.replace('<img src="images/', f'<img src="{prefix}')


def _add_styles(document: ET.Element, found: Sequence[_KmzOfSite]) -> None:
    for identity, colour, width in _STYLES:
        style = child(document, "Style", id=f"site-{identity}")
        icon = child(style, "IconStyle")
        child(icon, "color", colour)
        child(icon, "scale", "0.8")
        line = child(style, "LineStyle")
        child(line, "color", colour)
        child(line, "width", width)
        child(child(style, "PolyStyle"), "fill", "0")
    seen: set[str] = set()
    for one in found:
        for style in one.elements("Style"):
            if (identity := str(style.get("id"))) not in seen:
                seen.add(identity)
                document.append(style)


def _add_site(parent: ET.Element, site: Site, outcome: Outcome) -> None:
    from shapely.geometry import GeometryCollection

    placemark = child(parent, "Placemark")
    child(placemark, "name", facts.clean(site.name, _LONGEST_NAME))
    child(placemark, "Snippet", _short(outcome), maxLines="1")
    child(placemark, "description", "".join(f"<p>{escape(line)}</p>" for line in _lines(outcome)))
    style = "unknown" if outcome.candidates is None else "flagged" if outcome.candidates else "quiet"
    child(placemark, "styleUrl", f"#site-{style}")
    # an area is not seen from far above, a point is
    add_geometry(placemark, GeometryCollection([site.geometry.centroid, site.geometry]))


def _short(outcome: Outcome) -> str:
    if outcome.fate is not Fate.COMPLETE or outcome.candidates is None:
        return str(outcome.fate)
    return "none flagged" if not outcome.candidates else f"{outcome.candidates:,} flagged"


def _lines(outcome: Outcome) -> Iterator[str]:
    yield f"{_short(outcome).capitalize()}."
    if outcome.reason:
        yield facts.clean(outcome.reason, 600)
    if outcome.whole:
        yield f"Report: {facts.clean(outcome.folder, _LONGEST_NAME)}/report.html in the folder of the batch."
        yield facts.NOT_FLAGGED_NOTE


def _summary(outcomes: Sequence[Outcome]) -> str:
    flagged = sum(bool(one.candidates) for one in outcomes)
    compared = sum(one.fate is Fate.COMPLETE for one in outcomes)
    return f"{len(outcomes):,} sites, {compared:,} compared, {flagged:,} with candidates."


def _folder(parent: ET.Element, name: str) -> ET.Element:
    made = child(parent, "Folder")
    child(made, "name", name)
    return made
