import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable

import matplotlib
import pytest

from punie.evaluation.charts import COLOURS, INK, Axis, Bar, Line, bar_chart, line_chart
from punie.training.errors import TrainingError

_LIGHT, _DARK = "#ffffff", "#0d1117"


def _lines() -> str:
    wide = Line("with band", [1, 10, 100], [3.0, 2.0, 1.0], [2.5, 1.8, 0.9], [3.5, 2.2, 1.1])
    return line_chart(
        "Loss", Axis("step", log=True), Axis("loss"), [wide, Line("other", [1, 2], [1.0, 2.0])]
    )


def _bars() -> str:
    series = [("base", [Bar(0.5, 0.4, 0.6), Bar(0.2)]), ("tuned", [Bar(1.0, 0.9, 1.0), Bar(0.7)])]
    return bar_chart("Right", Axis("share", percent=True), ["calls", "direct"], series)


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colour", [INK, *COLOURS])
def test_colours_are_readable_on_a_light_and_on_a_dark_page(colour: str) -> None:
    assert _contrast(colour, _LIGHT) >= 3
    assert _contrast(colour, _DARK) >= 3


def test_a_chart_holds_its_texts_and_no_background_or_date() -> None:
    for text, words in (
        (_lines(), ("Loss", "with band", "other", "step")),
        (_bars(), ("Right", "base", "tuned", "calls", "60%")),
    ):
        root = ElementTree.fromstring(text)
        said = {each.text for each in root.iter("{http://www.w3.org/2000/svg}text")}
        assert set(words) <= said
        assert INK in text
        for absent in ("date", "Matplotlib v", "fill: #ffffff", "fill: #000000"):
            assert absent not in text


@pytest.mark.parametrize("drawn", [_lines, _bars])
def test_names_of_series_stand_below_all_that_is_drawn(drawn: Callable[[], str]) -> None:
    root = ElementTree.fromstring(drawn())
    texts = root.iter("{http://www.w3.org/2000/svg}text")
    heights = {each.text: float(each.attrib["y"]) for each in texts if "y" in each.attrib}
    series = {"with band", "other", "base", "tuned"} & set(heights)
    highest = min(heights[name] for name in series)
    assert len(series) == 2
    assert all(height < highest for name, height in heights.items() if name not in series)


def test_equal_data_give_equal_bytes_whatever_the_process_and_its_settings() -> None:
    code = "from tests.evaluation.test_charts import _bars, _lines; print(_lines() + _bars())"
    other = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    with matplotlib.rc_context({"font.size": 30.0, "axes.facecolor": "red"}):
        assert _lines() + _bars() + "\n" == other
        assert matplotlib.rcParams["font.size"] == 30.0


def test_a_point_without_a_number_is_a_gap() -> None:
    broken = Line("broken", [1, 2, 3], [1.0, float("nan"), 3.0])
    endless = Line("broken", [1, 2, 3], [1.0, float("inf"), 3.0])
    drawn = [line_chart("Loss", Axis("step"), Axis("loss"), [each]) for each in (broken, endless)]
    assert drawn[0] == drawn[1]
    assert "nan" not in drawn[0]


def test_series_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="different length"):
        line_chart("", Axis(""), Axis(""), [Line("a", [1, 2], [1.0])])
    with pytest.raises(ValueError, match="1 bars for 2 labels"):
        bar_chart("", Axis(""), ["a", "b"], [("s", [Bar(1)])])
    with pytest.raises(ValueError, match="needs a line"):
        line_chart("", Axis(""), Axis(""), [])


def test_what_is_missing_is_told_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(TrainingError, match="install Punie with its extra `training`"):
        _bars()
