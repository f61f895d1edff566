"""Plots as SVG that stands in a page: text stays text, nothing is loaded, nothing runs.

Each takes what its table on the page shows. Drawn by matplotlib, the extra `report`, without a screen and without
what users have set for their own plots. The same numbers give the same SVG.
"""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any, Final

import matplotlib as mpl
from cycler import cycler
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from wgtwo_pipeline.markup import text
from wgtwo_pipeline.report.period import Period

WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_WIDTH: Final = 9.0
_MOST_BARS: Final = 20
_MOST_TICKS: Final = 12
_COLOURS: Final = mpl.color_sequences["tab20"]
"""Pairs of a dark and a light one."""
_STYLE: Final = {
    "svg.fonttype": "none",
    "svg.hashsalt": "wgtwo-pipeline",
    "text.parse_math": False,  # a name with dollar signs is a name
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=[*_COLOURS[::2], *_COLOURS[1::2]]),
}


def stacked_days(title: str, period: Period, series: Mapping[str, Mapping[date, int]]) -> str:
    """A bar a day, of a part for each name."""

    def draw(axes: Axes) -> None:
        days = list(period.days())
        places = range(len(days))
        _stack(axes, places, days, series)
        step = -(-len(days) // _MOST_TICKS)
        axes.set_xticks(places[::-step], [f"{day:%m-%d}" for day in days[::-step]])

    return _svg(title, draw)


def stacked(title: str, places: Sequence[str], series: Mapping[str, Mapping[int, int]]) -> str:
    """A bar for each place, of a part for each name."""

    def draw(axes: Axes) -> None:
        _stack(axes, range(len(places)), range(len(places)), series)
        axes.set_xticks(range(len(places)), places, rotation=30, ha="right")

    return _svg(title, draw)


def shares(title: str, bounds: Sequence[str], series: Mapping[str, Sequence[float]]) -> str:
    """For each name a line: which share is not above each bound."""

    def draw(axes: Axes) -> None:
        for name, values in series.items():
            axes.plot(range(len(bounds)), values, marker="o", markersize=3, label=name)
        axes.set_xticks(range(len(bounds)), bounds, rotation=30, ha="right")
        axes.set_ylim(-0.02, 1.05)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:.0%}"))
        _legend(axes, len(series))

    return _svg(title, draw)


def weeks(title: str, counts: Mapping[tuple[int, int], int]) -> str:
    """Seven rows of 24 hours; the darker, the more. Keys are the day of the week (1 is Monday) and the hour."""

    def draw(axes: Axes) -> None:
        cells = [[counts.get((day, hour), 0) for hour in range(24)] for day in range(1, 8)]
        mesh = axes.pcolormesh(cells, cmap="Blues", vmin=0, edgecolors="white", linewidth=1)
        axes.set_yticks([number + 0.5 for number in range(7)], WEEKDAYS)
        axes.set_xticks(range(0, 25, 3), [f"{hour:02d}" for hour in range(0, 25, 3)])
        axes.invert_yaxis()
        bar = axes.figure.colorbar(mesh, ax=axes, format=FuncFormatter(_thousands))
        assert bar.solids is not None
        bar.solids.set(rasterized=False, edgecolor="face")  # a picture would be no SVG
        bar.outline.set_visible(False)

    return _svg(title, draw)


def bars(title: str, counts: Sequence[tuple[str, int]]) -> str:
    """A bar for each name, one below the other; the first twenty."""

    def draw(axes: Axes) -> None:
        shown = counts[:_MOST_BARS]
        axes.barh(range(len(shown)), [count for _, count in shown])
        axes.set_yticks(range(len(shown)), [name for name, _ in shown])
        axes.invert_yaxis()
        axes.xaxis.set_major_formatter(FuncFormatter(_thousands))
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))

    return _svg(title, draw, 0.8 + 0.25 * min(len(counts), _MOST_BARS))


def _stack(
    axes: Axes, places: Sequence[float], keys: Sequence[Any], series: Mapping[str, Mapping[Any, int]]
) -> None:
    below = [0] * len(keys)
    for name, counts in series.items():
        heights = [counts.get(key, 0) for key in keys]
        drawn = [at for at, height in enumerate(heights) if height]
        axes.bar(
            [places[at] for at in drawn],
            [heights[at] for at in drawn],
            bottom=[below[at] for at in drawn],
            width=0.85,
            label=name,
        )
        below = [low + height for low, height in zip(below, heights, strict=True)]
    axes.set_xlim(-0.6, len(keys) - 0.4)
    axes.yaxis.set_major_formatter(FuncFormatter(_thousands))
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    _legend(axes, len(series))


def _legend(axes: Axes, names: int) -> None:
    if names > 1:
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, fontsize=8)


def _thousands(number: float, _: int | None = None) -> str:
    return f"{number:,.0f}"


def _svg(title: str, draw: Callable[[Axes], None], height: float = 2.8) -> str:
    with style.context(["default", _STYLE]):
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        draw(figure.add_subplot())
        out = io.StringIO()
        figure.savefig(
            out,
            format="svg",
            transparent=True,
            metadata={"Date": None, "Creator": None, "Type": None, "Format": None},
        )
    return _inline(title, out.getvalue())


def _inline(title: str, svg: str) -> str:
    """The element alone, with identifiers that no other of the page has."""
    own = re.sub(r"\W+", "-", title.lower())
    element = svg[svg.index("<svg") :]
    element = re.sub(r"\s*<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    element = re.sub(r'\b(id="|href="#|url\(#)', rf"\g<1>{own}-", element)
    return element.replace("<svg", f'<svg role="img" aria-label="{text(title)}"', 1)
