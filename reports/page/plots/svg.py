"""A matplotlib figure as SVG: text as text, the same bytes everywhere, fit to stand in a page.

matplotlib's own SVG is of a file alone: its styles reach the whole page, its ids are those of the
next figure too, its colours suit one background.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from reports.blocks import Plot
from reports.page.plots.letters import lacking_letters
from reports.page.plots.style import FONTS, INK, MATPLOTLIB, SMALL, WIDTH

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SVG = "http://www.w3.org/2000/svg"
ElementTree.register_namespace("", SVG)
AREA = "-area-"
"""What the gid of a rectangle holds that is there for its title only."""
LARGEST = 1.25
"""How much larger than drawn it is shown at most, where there is room."""
_XLINK = "{http://www.w3.org/1999/xlink}href"
_NUMBERED = re.compile(r"(figure|patch|text|line2d|[A-Za-z]*Collection|xtick|ytick)_\d+")
_UNNAMED = re.compile(r"_child\d+")
_NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")
_ON_EITHER = "svg{color:#1f2328}@media(prefers-color-scheme:dark){svg{color:#e6edf3}}"
"""For a file: a page says itself what colour its text has, a picture has to ask."""


_OF_ALL = {
    "fill": "currentColor",
    "font-size": f"{SMALL}px",
    "stroke-linejoin": "round",
    "font-family": "",
}
"""What the root says for all below it; of the last whatever matplotlib says."""


def drawn(
    name: str,
    title: str,
    told: str,
    height: float,
    draw: Callable[[Figure], None],
    width: float = WIDTH,
) -> str:
    """One <svg> element, as wide as its place, up to `width` at the size of its letters.

    `title` and `told` are what is read to people who can't see it. All ids begin with `name`. In
    the colour of the text around it (`currentColor`) is what matplotlib draws in INK. What has both
    a gid and a label has the label as its <title>, which shows on hover.
    """
    import matplotlib.style
    from matplotlib.figure import Figure

    how = {**MATPLOTLIB, "svg.fonttype": "none", "svg.hashsalt": name}
    written = io.StringIO()
    with matplotlib.style.context(["default", how]), lacking_letters():
        figure = Figure(figsize=(width / 72, height / 72), dpi=72)
        draw(figure)
        figure.savefig(written, format="svg", metadata={"Date": None})
        titles = _titles(figure)
    root = ElementTree.fromstring(written.getvalue())  # noqa: S314  (written right here)
    _adapt(root, _as_id(name))
    _entitle(root, {f"{_as_id(name)}-{gid}": said for gid, said in titles.items()})
    return _with_words(root, _as_id(name), title, told, width)


def _titles(figure: Figure) -> dict[str, str]:
    """By gid. What has no label of its own has one that matplotlib numbers."""
    found = {str(artist.get_gid()): str(artist.get_label()) for artist in figure.findobj()}
    return {gid: said for gid, said in found.items() if said and not _UNNAMED.fullmatch(said)}


def _entitle(root: Element, titles: Mapping[str, str]) -> None:
    for parent in list(root.iter()):
        for place, element in enumerate(parent):
            key = element.attrib.get("id", "")
            if said := titles.get(key):
                if AREA in key:
                    element = parent[place] = _area(element)
                title = Element(f"{{{SVG}}}title")
                title.text = said
                element.insert(0, title)


def _area(drawn: Element) -> Element:
    """For the pointer: a page may have thousands of them, so each is told in few letters."""
    (path,) = drawn.iter(f"{{{SVG}}}path")
    numbers = [float(found[0]) for found in re.finditer(r"-?[\d.]+", path.attrib["d"])]
    x, y = numbers[::2], numbers[1::2]
    sides = {"x": min(x), "y": min(y), "width": max(x) - min(x), "height": max(y) - min(y)}
    said = {name: f"{side:.4g}" for name, side in sides.items() if abs(side) > 0.01}
    return Element(f"{{{SVG}}}rect", {**said, "opacity": "0"})


def as_file(plot: Plot) -> str:
    """A whole file, of fixed size, for light and dark backgrounds."""
    root = ElementTree.fromstring(plot.wide or plot.svg)  # noqa: S314
    _, _, width, height = root.attrib["viewBox"].split()
    del root.attrib["style"]
    root.attrib |= {"width": width, "height": height}
    style = Element(f"{{{SVG}}}style")
    style.text = _ON_EITHER
    root.insert(0, style)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{_text(root)}\n'


def _as_id(name: str) -> str:
    """No two names have one, and it needs no escapes wherever it is named."""
    return re.sub(r"[^A-Za-z0-9_-]", lambda found: f".{ord(found[0]):x}.", name)


def _adapt(root: Element, prefix: str) -> None:
    _unwrap(root)
    for element in root.iter():
        element.text = element.text if element.text and element.text.strip() else None
        element.tail = None
        _name_anew(element, prefix)
        for name in ("d", "x", "y", "width", "height", "transform"):
            if name in element.attrib:
                element.set(name, _short(element.attrib[name]))
        if element.attrib.get("transform", "").startswith("rotate(0 "):
            del element.attrib["transform"]
        if "style" in element.attrib:
            element.set("style", _styled(element.attrib["style"]))
    for group in root.iter(f"{{{SVG}}}g"):
        _say_once(group)


def _unwrap(parent: Element) -> None:
    """What matplotlib numbers for itself needs no group, and what says nothing goes."""
    kept: list[Element] = []
    for child in parent:
        _unwrap(child)
        if child.tag == f"{{{SVG}}}g" and _NUMBERED.fullmatch(child.attrib.get("id", "line2d_1")):
            kept += [child] if child.attrib.keys() - {"id"} else list(child)
        elif not _is_idle(child):
            kept.append(child)
    parent[:] = kept


def _is_idle(element: Element) -> bool:
    if element.attrib.get("style") == "fill: none":
        return True
    is_style = element.find(f"{{{SVG}}}style") is not None
    return element.tag == f"{{{SVG}}}metadata" or is_style


def _name_anew(element: Element, prefix: str) -> None:
    """Of its own, and where it names another."""
    if "id" in element.attrib:
        element.set("id", f"{prefix}-{element.attrib['id']}")
    if _XLINK in element.attrib:
        element.set("href", f"#{prefix}-{element.attrib.pop(_XLINK).removeprefix('#')}")
    if "clip-path" in element.attrib:
        element.set("clip-path", element.attrib["clip-path"].replace("#", f"#{prefix}-"))


def _short(numbers: str) -> str:
    """To a tenth of a pixel."""
    rounded = _NUMBER.sub(lambda found: f"{round(float(found[0]), 1) + 0.0:g}", numbers)
    rounded = rounded.replace("(-0 ", "(0 ")
    tight = re.sub(r"\s*([A-Za-z])\s+|\s+", lambda found: found[1] or " ", rounded).strip()
    return re.sub(r"M(\S+ [^\sMLC]+)L\1(?=M|$)", r"M\1h0", tight)  # a dot


def _styled(style: str) -> str:
    # An older matplotlib writes `font: 700 12px 'DejaVu Sans', ...`.
    style = re.sub(r"\bfont: (?:(\S+) )?(\S+px) [^;]+", r"font-weight: \1; font-size: \2", style)
    parts = dict(part.split(": ", 1) for part in style.replace(INK, "currentColor").split("; "))
    said = {n: value for n, value in parts.items() if value and _OF_ALL.get(n) not in (value, "")}
    return ";".join(f"{name}:{value}" for name, value in said.items())


def _say_once(group: Element) -> None:
    """What all marks of a group look like is said by the group."""
    marks = list(group)
    styles = {mark.attrib.get("style") for mark in marks}
    is_of_marks = len(marks) > 1 and all(mark.tag == f"{{{SVG}}}use" for mark in marks)
    if is_of_marks and len(styles) == 1 and "style" in marks[0].attrib:
        group.set("style", marks[0].attrib["style"])
        for mark in marks:
            del mark.attrib["style"]


def _with_words(root: Element, prefix: str, title: str, told: str, width: float) -> str:
    view = " ".join(f"{float(number):g}" for number in root.attrib["viewBox"].split())
    root.attrib.clear()
    root.attrib |= {
        "viewBox": view,
        "width": "100%",
        "style": f"max-width: {width * LARGEST:g}px",
        "role": "img",
        "aria-labelledby": f"{prefix}-title {prefix}-desc",
        **_OF_ALL,
        "font-family": FONTS,
    }
    for position, (tag, text) in enumerate((("title", title), ("desc", told))):
        element = Element(f"{{{SVG}}}{tag}", id=f"{prefix}-{tag}")
        element.text = text
        root.insert(position, element)
    return _text(root)


def _text(root: Element) -> str:
    return ElementTree.tostring(root, encoding="unicode")
