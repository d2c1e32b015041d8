"""Plots read back from their SVG, whatever drew it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np

from reports.blocks import Plot
from reports.page.plots.svg import SVG


class Read:
    """A plot's SVG: `marks` are (x, y) in its own coordinates."""

    def __init__(self, plot: Plot) -> None:
        self.prefix = plot.name
        self.root = ElementTree.fromstring(plot.svg)
        self.texts = ["".join(text.itertext()) for text in self.all("text")]

    def all(self, tag: str, under: Element | None = None) -> Iterator[Element]:
        return (self.root if under is None else under).iter(f"{{{SVG}}}{tag}")

    def group(self, key: str) -> Element | None:
        found = [g for g in self.all("g") if g.attrib.get("id") == f"{self.prefix}-{key}"]
        return found[0] if found else None

    def marks(self, key: str) -> list[tuple[float, float]]:
        group = self.group(key)
        marks = self.all("use", group) if group is not None else ()
        return [(float(mark.attrib["x"]), float(mark.attrib["y"])) for mark in marks]

    def paths(self, key: str) -> list[list[tuple[float, float]]]:
        group = self.group(key)
        assert group is not None, key
        shapes = {path for defs in self.all("defs", group) for path in self.all("path", defs)}
        return [points(p.attrib["d"]) for p in self.all("path", group) if p not in shapes]

    def told(self, key: str) -> str:
        """What shows on hover."""
        group = self.group(key)
        assert group is not None, key
        title = group[0]
        assert title.tag == f"{{{SVG}}}title"
        return title.text or ""

    def areas(self) -> list[tuple[str, dict[str, float]]]:
        """What shows over each row, with where that is."""
        found = [r for r in self.all("rect") if len(r) and r.attrib.get("opacity") == "0"]
        sides = ("x", "y", "width", "height")
        return [
            (r[0].text or "", {side: float(r.attrib.get(side, 0)) for side in sides}) for r in found
        ]

    def style(self, key: str) -> dict[str, str]:
        """Of the marks under a key, all that any of them says."""
        group = self.group(key)
        assert group is not None, key
        said = [each.attrib["style"] for each in group.iter() if "style" in each.attrib]
        return dict(part.split(":") for each in said for part in each.split(";"))

    def scale(self, axes: int, axis: int = 1) -> np.poly1d:
        """From a coordinate to the figure, by what is written at the ticks of an axis: 1 is that of
        x, with its small lines, 2 that of y, with its grid."""
        found = self.group(f"axes_{axes}")
        assert found is not None
        key = f"{self.prefix}-matplotlib.axis_{2 * axes - 2 + axis}"
        (group,) = [g for g in self.all("g", found) if g.attrib.get("id") == key]
        pairs = []
        at = None
        for each in list(group):
            if axis == 1 and "x" in each.attrib and each.tag.endswith("use"):
                at = float(each.attrib["x"])
            elif axis == 2 and "d" in each.attrib:
                at = points(each.attrib["d"])[0][1]
            elif at is not None and each.tag.endswith("text") and each.text:
                share = 0.01 if each.text.endswith("%") else 1.0
                pairs.append((at, share * float(each.text.removesuffix("%"))))
                at = None
        places, figures = zip(*pairs, strict=True)
        return np.poly1d(np.polyfit(places, figures, 1))


def points(path: str) -> list[tuple[float, float]]:
    """Where a path goes; a dot, a line without a length, is one."""
    return [(float(x), float(y)) for x, y in re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", path)]
