"""The one place that draws: lines with bands and bars with error bars, as SVG.

Equal data give equal bytes, so that a picture changes in a repository only when its figures do.
The background is left out and all colours are of middle brightness: a chart is readable on a light
and on a dark page. No window is ever opened.
"""

import importlib.util
import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from punie.training.errors import TrainingError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK = "#7b828c"
"""Colour of texts, axes and error bars."""

COLOURS = ("#2f81d6", "#d9641e", "#2a9461", "#b565c9", "#b07d12", "#d4526e")
"""Colours of the series in order; told apart by people who see few colours, by marks too."""

_MARKS = ("o", "s", "^", "D", "v", "P")
_SIZE = (7.2, 4.0)
_LEGEND_LETTERS = 90
_LETTERS = 100
"""So many letters and gaps of labels fit side by side."""
_SETTINGS: dict[Any, object] = {
    "svg.hashsalt": "punie",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10.0,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": INK,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 4.5,
}


@dataclass(frozen=True)
class Line:
    """A series of points, with a band around it where `low` and `high` are given.

    A point whose `y` is no finite number is a gap.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()


@dataclass(frozen=True)
class Bar:
    """A bar of height `value`; its error bar reaches from `low` to `high` where they are given."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Axis:
    """What an axis tells; `percent` for shares from 0 to 1, `log` for a logarithmic scale.

    It ends a little above `top` if that is given, else where the data do.
    """

    label: str
    percent: bool = False
    log: bool = False
    top: float | None = None


def can_draw() -> bool:
    """Tell whether what draws is installed, without loading it."""
    return importlib.util.find_spec("matplotlib") is not None


def line_chart(title: str, x: Axis, y: Axis, lines: Sequence[Line]) -> str:
    """Draw lines over a common axis; return the SVG.

    Raises:
        TrainingError: matplotlib is not installed.
        ValueError: there is nothing to draw, or a line's sequences differ in length.
    """
    if not lines:
        raise ValueError("a chart needs a line")
    for line in lines:
        band = {len(line.low), len(line.high)} - {0}
        if len(line.x) != len(line.y) or (band and band != {len(line.x)}):
            raise ValueError(f"the line {line.name!r} has sequences of different length")
    with _axes(title, x, y) as (axes, out):
        for number, line in enumerate(lines):
            colour = COLOURS[number % len(COLOURS)]
            # Many points are a curve, few are measurements.
            mark = _MARKS[number % len(_MARKS)] if len(line.x) <= 24 else ""
            heights = [value if math.isfinite(value) else math.nan for value in line.y]
            axes.plot(line.x, heights, color=colour, marker=mark, label=line.name)
            if line.low and line.high:
                axes.fill_between(
                    line.x, line.low, line.high, color=colour, alpha=0.18, linewidth=0
                )
    return out.getvalue().decode()


def bar_chart(
    title: str, y: Axis, labels: Sequence[str], series: Sequence[tuple[str, Sequence[Bar]]]
) -> str:
    """Draw a group of bars for each label, one of every series; return the SVG.

    Raises:
        TrainingError: matplotlib is not installed.
        ValueError: there is nothing to draw, or a series has not one bar for each label.
    """
    if not labels or not series:
        raise ValueError("a chart needs a bar")
    for name, bars in series:
        if len(bars) != len(labels):
            raise ValueError(f"the series {name!r} has {len(bars)} bars for {len(labels)} labels")
    width = 0.8 / len(series)
    with _axes(title, Axis(""), y) as (axes, out):
        for number, (name, bars) in enumerate(series):
            places = [at - 0.4 + (number + 0.5) * width for at in range(len(labels))]
            colour = COLOURS[number % len(COLOURS)]
            heights = [bar.value for bar in bars]
            axes.bar(places, heights, width * 0.92, color=colour, label=name)
            for place, bar in zip(places, bars, strict=True):
                if bar.low is None or bar.high is None:
                    continue
                reach = [[max(0.0, bar.value - bar.low)], [max(0.0, bar.high - bar.value)]]
                axes.errorbar([place], [bar.value], yerr=reach, ecolor=INK, capsize=3, fmt="none")
        axes.set_xticks(range(len(labels)), list(labels))
        if sum(map(len, labels)) + 2 * len(labels) > _LETTERS:
            # They would run into each other.
            axes.tick_params(axis="x", labelrotation=30)
            for label in axes.get_xticklabels():
                label.set(horizontalalignment="right", rotation_mode="anchor")
        axes.grid(visible=False, axis="x")
    return out.getvalue().decode()


@contextmanager
def _axes(title: str, x: Axis, y: Axis) -> Iterator[tuple["Axes", io.BytesIO]]:
    """Yield axes to draw on and what receives the picture afterwards.

    Where there are several series their names stand below the axes, where no bar or line can be.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
        from matplotlib.ticker import PercentFormatter
    except ImportError as error:
        raise TrainingError(
            "Charts are drawn with matplotlib, which is not installed; install Punie with its "
            "extra `training`."
        ) from error
    out = io.BytesIO()
    with matplotlib.rc_context():
        # Not the settings of whoever draws: equal data give equal pictures everywhere.
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        # A figure of its own belongs to no screen, as one of pyplot would.
        figure = Figure(figsize=_SIZE, layout="constrained")
        axes = figure.subplots()
        axes.set_title(title)
        for name, axis, formatted in (("x", x, axes.xaxis), ("y", y, axes.yaxis)):
            if axis.log:
                axes.set(**{f"{name}scale": "log"})
            if axis.percent:
                formatted.set_major_formatter(PercentFormatter(1.0))
        axes.set(xlabel=x.label, ylabel=y.label)
        yield axes, out
        handles, names = axes.get_legend_handles_labels()
        if len(names) > 1:
            # What precedes a name takes the room of some six letters.
            columns = max(1, min(len(names), _LEGEND_LETTERS // (6 + max(map(len, names)))))
            figure.legend(handles, names, loc="outside lower center", ncols=columns)
        if y.top is not None:
            # With room for the ends of error bars.
            axes.set_ylim(0, y.top * 1.03)
        figure.savefig(
            out, format="svg", transparent=True, metadata={"Date": None, "Creator": None}
        )
