"""Charts as SVG, read back with an XML parser: every mark lies where the ticks beside it say it should.

The ticks' own places are the yardstick, so a wrong scale or a swapped axis shows, whatever code computed it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from documents import CHARTS, bar_chart, histogram, line_chart, series, stacked_chart
from qbg.report import svg
from qbg.report.document import LABELS, MEASURED, PROJECTED, SIMULATED, Chart, Marker
from qbg.report.letters import text_width

Element = ElementTree.Element
SIZES = {"full": svg.FULL, "half": svg.HALF, "narrow": svg.NARROW}
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def parse(chart: Chart, size: svg.Size = svg.HALF) -> Element:
    return ElementTree.fromstring(svg.draw(chart, size, name="t"))


def classed(root: Element, name: str) -> list[Element]:
    return [item for item in root.iter() if name in item.get("class", "").split()]


def numbers(text: str) -> list[float]:
    return [float(item) for item in NUMBER.findall(text)]


def ruler(root: Element, side: str, *, log: bool) -> tuple[float, float]:
    """Slope and offset that turn a value (or its logarithm) into pixels, from the outermost two ticks."""
    ticks = classed(root, f"{side}-tick")
    places = []
    for tick in (ticks[0], ticks[-1]):
        path = tick.find("path")
        assert path is not None
        x, y = numbers(path.get("d", ""))[:2]
        value = float(tick.get("data-value", ""))
        places.append((math.log(value) if log else value, y if side == "y" else x))
    (value0, px0), (value1, px1) = places
    slope = (px1 - px0) / (value1 - value0)
    return slope, px0 - slope * value0


def place(root: Element, side: str, value: float, *, log: bool = False) -> float:
    slope, offset = ruler(root, side, log=log)
    return offset + slope * (math.log(value) if log else value)


def rectangles(root: Element) -> list[tuple[float, float, float, float]]:
    """x, y, width, height of each bar in the plot, legend left out."""
    keys = {id(item) for key in classed(root, "key") for item in key.iter()}
    return [
        (
            float(item.get("x", "")),
            float(item.get("y", "")),
            float(item.get("width", "")),
            float(item.get("height", "")),
        )
        for item in classed(root, "bar")
        if id(item) not in keys
    ]


def of_series(root: Element) -> list[Element]:
    return classed(root, "series")


def test_kinds_are_the_documents() -> None:
    for kind in CHARTS:
        assert f"`{kind}`" in (Chart.__doc__ or "")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", CHARTS)
def test_names_itself_for_who_cannot_see_it(kind: str, size: str) -> None:
    chart = CHARTS[kind](caption="It bends & breaks.")
    root = parse(chart, SIZES[size])
    assert root.tag == "svg"
    assert root.get("role") == "img"
    title, desc = root[0], root[1]
    assert (title.tag, title.text) == ("title", chart.title)
    assert desc.tag == "desc"
    assert (desc.text or "").startswith("It bends & breaks.")
    assert root.get("aria-labelledby", "").split() == [title.get("id"), desc.get("id")]
    ids = [item.get("id") for item in root.iter() if item.get("id")]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("log", [False, True])
def test_points_lie_where_the_ticks_say(size: str, log: bool) -> None:
    chart = line_chart(log_x=log, log_y=log)
    root = parse(chart, SIZES[size])
    shown = {group.get("class", "").split()[2]: group for group in of_series(root)}
    for one in chart.series[:3]:
        assert one.label
        points = classed(shown[one.label], "point")
        assert len(points) == len(one.x)
        for point, x, y in zip(points, one.x, one.y, strict=True):
            at = numbers(point.get("transform", ""))
            assert at[0] == pytest.approx(place(root, "x", x, log=log), abs=0.05)
            assert at[1] == pytest.approx(place(root, "y", y, log=log), abs=0.05)
            hint = point.find("title")
            assert hint is not None
            assert one.label in (hint.text or "")


def test_lines_go_through_their_points() -> None:
    chart = line_chart()
    root = parse(chart)
    groups = {group.get("class", ""): group for group in of_series(root)}
    law = next(group for name, group in groups.items() if PROJECTED in name)
    line = classed(law, "line")[0]
    assert "dashed" in line.get("class", "").split()
    corners = numbers(line.get("d", ""))
    for index, point in enumerate(classed(law, "point")):
        assert numbers(point.get("transform", "")) == pytest.approx(corners[2 * index : 2 * index + 2])
    measured = next(group for name, group in groups.items() if MEASURED in name)
    assert "dashed" not in classed(measured, "line")[0].get("class", "").split()
    ideal = next(group for name, group in groups.items() if "guide" in name)
    assert not classed(ideal, "point")


def test_whiskers_reach_from_low_to_high() -> None:
    chart = line_chart(log_x=False, log_y=False)
    root = parse(chart)
    whiskers = classed(root, "whisker")
    one = chart.series[0]
    assert len(whiskers) == len(one.x)
    for whisker, low, high in zip(whiskers, one.low, one.high, strict=True):
        d = whisker.get("d", "")
        # M left high h width  M x high V low  M left low h width
        _, top, _, _, top_again, bottom, _, bottom_again, _ = numbers(d)
        assert top == top_again == pytest.approx(place(root, "y", high), abs=0.05)
        assert bottom == bottom_again == pytest.approx(place(root, "y", low), abs=0.05)


def test_many_intervals_are_a_band() -> None:
    xs = tuple(float(x) for x in range(60))
    one = series(x=xs, y=xs, low=tuple(x - 1 for x in xs), high=tuple(x + 1 for x in xs))
    root = parse(line_chart(series=(one,), log_x=False, log_y=False))
    assert not classed(root, "whisker")
    assert not classed(root, "point")
    assert len(numbers(classed(root, "interval")[0].get("d", ""))) == 4 * len(xs)


def test_bars_are_as_high_as_their_values() -> None:
    root = parse(bar_chart(), svg.FULL)
    bars = rectangles(root)
    zero = place(root, "y", 0.0)
    assert [bar[3] for bar in bars] == pytest.approx([n * bars[0][3] for n in (1, 2, 4, 8)], abs=0.05)
    for (_, top, _, height), value in zip(bars, (2.0, 4.0, 8.0, 16.0), strict=True):
        assert top + height == pytest.approx(zero, abs=0.05)
        assert top == pytest.approx(place(root, "y", value), abs=0.05)
    middles = [x + width / 2 for x, _, width, _ in bars]
    names = {item.text: float(item.get("x", "")) for item in classed(root, "category")}
    assert middles == pytest.approx([names[name] for name in bar_chart().categories], abs=0.05)
    assert [item.text for item in classed(root, "value")] == ["2", "4", "8", "16"]


def test_negative_bars_hang_from_zero() -> None:
    one = series(x=(0.0, 1.0), y=(-3.0, 6.0))
    root = parse(bar_chart(series=(one,), categories=("a", "b")))
    zero = place(root, "y", 0.0)
    (_, down_top, _, down), (_, up_top, _, up) = rectangles(root)
    assert down_top == pytest.approx(zero, abs=0.05)
    assert up_top + up == pytest.approx(zero, abs=0.05)
    assert up == pytest.approx(2 * down, abs=0.05)


def test_grouped_bars_stand_side_by_side() -> None:
    both = tuple(series(name, MEASURED, x=(0.0, 1.0), y=(3.0, 4.0)) for name in ("a", "b"))
    bars = rectangles(parse(bar_chart(series=both, categories=("one", "two"))))
    spans = sorted((x, x + width) for x, _, width, _ in bars)
    assert len(spans) == 4
    assert all(after[0] >= before[1] for before, after in pairwise(spans))


def test_stacks_add_up() -> None:
    chart = stacked_chart()
    root = parse(chart)
    bars = rectangles(root)
    for which in (0, 1):
        stack = [bars[2 * index + which] for index in range(3)]
        assert len({x for x, _, _, _ in stack}) == 1
        bottom = place(root, "y", 0.0)
        for (_, top, _, height), one in zip(stack, chart.series, strict=True):
            assert top + height == pytest.approx(bottom, abs=0.05)
            assert place(root, "y", 0.0) - height == pytest.approx(place(root, "y", one.y[which]), abs=0.05)
            bottom = top
        total = sum(one.y[which] for one in chart.series)
        assert bottom == pytest.approx(place(root, "y", total), abs=0.05)
    assert [item.text for item in classed(root, "value")] == ["55", "110"]


@pytest.mark.parametrize("kind", ["bars", "stacked"])
def test_long_names_lay_the_bars_down(kind: str) -> None:
    names = ("a-name-of-one-word-that-is-too-long-to-stand-below-a-bar", "another")
    parts = tuple(series(name, MEASURED, x=(0.0, 1.0), y=(2.0, 6.0)) for name in ("a", "b"))
    root = parse(
        Chart(kind=kind, title="t", x_title="", y_title="$", series=parts, categories=names), svg.NARROW
    )
    assert not classed(root, "y-tick")
    bars = rectangles(root)
    zero = place(root, "x", 0.0)
    for x, _, width, _ in bars:
        assert width > 0
        assert x >= zero - 0.05
    assert bars[1][2] == pytest.approx(3 * bars[0][2], abs=0.05)
    if kind == "stacked":
        assert bars[2][0] == pytest.approx(bars[0][0] + bars[0][2], abs=0.05)
    else:
        assert bars[2][0] == bars[0][0] == pytest.approx(zero, abs=0.05)
        assert bars[2][1] > bars[0][1]
    assert bars[0][0] + bars[0][2] == pytest.approx(place(root, "x", 2.0), abs=0.05)


@pytest.mark.parametrize("size", SIZES)
def test_histogram_bins_lie_between_their_edges(size: str) -> None:
    chart = histogram()
    root = parse(chart, SIZES[size])
    bars = rectangles(root)
    counts = [count for count in chart.series[0].y if count]
    assert len(bars) == len(counts)
    lefts = [left for left, count in zip(chart.edges, chart.series[0].y, strict=False) if count]
    for (x, top, width, height), left, count in zip(bars, lefts, counts, strict=True):
        assert x == pytest.approx(place(root, "x", left, log=True), abs=0.05)
        assert x + width == pytest.approx(place(root, "x", 2 * left, log=True), abs=1.05)
        assert top == pytest.approx(place(root, "y", count), abs=0.05)
        assert height / bars[0][3] == pytest.approx(count / counts[0], rel=1e-3)


def flag_boxes(root: Element) -> list[tuple[float, float, float, float, float]]:
    """Of each marker: x of its line, top of its line, and left, right, top of its name."""
    found = []
    for flag in classed(root, "flag"):
        line, text = flag.find("path"), flag.find("text")
        assert line is not None
        assert text is not None
        x, top, _ = numbers(line.get("d", ""))
        start, width = float(text.get("x", "")), text_width(text.text or "", svg.TEXT_PX)
        left = start - width if text.get("text-anchor") == "end" else start
        found.append((x, top, left, left + width, float(text.get("y", "")) - 11))
    return found


@given(st.lists(st.floats(100, 1600), min_size=1, max_size=8), st.sampled_from(sorted(SIZES)), st.booleans())
def test_names_of_markers_never_touch(places: list[float], size: str, log: bool) -> None:
    marks = tuple(Marker(x=x, name=f"P{index} {x:.0f} ms") for index, x in enumerate(places))
    root = parse(histogram(markers=marks, log_x=log), SIZES[size])
    boxes = flag_boxes(root)
    assert len(boxes) == len(marks)
    width = SIZES[size].width_px
    for index, (x, _, left, right, top) in enumerate(boxes):
        assert left >= -0.05
        assert right <= width + 0.05
        for other, (other_x, other_line, other_left, other_right, other_top) in enumerate(boxes):
            if other == index:
                continue
            if abs(other_top - top) < svg.LINE_PX - 0.1:
                assert right <= other_left or other_right <= left
            if other_line < top + 1 and abs(other_x - x) > 0.1:  # the other line passes this name's height
                assert not left < other_x < right
    for flag in classed(root, "flag"):
        line = flag.find("path")
        assert line is not None
        at = numbers(line.get("d", ""))[0]
        assert at == pytest.approx(place(root, "x", float(flag.get("data-value", "")), log=log), abs=0.05)


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("kind", CHARTS)
def test_labels_are_written_beside_the_series(kind: str, label: str) -> None:
    chart = CHARTS[kind]()
    one = chart.series[0]
    fields = {name: getattr(one, name) for name in ("name", "x", "y", "low", "high", "dashed")}
    chart = CHARTS[kind](series=(type(one)(label=label, **fields), *chart.series[1:]))
    root = parse(chart)
    keys = [item.text or "" for key in classed(root, "key") for item in key.iter("text")]
    keys += [item.text or "" for item in classed(root, "soft")]  # where all have the same one
    assert label in " ".join(keys)


def test_a_common_label_is_said_once() -> None:
    root = parse(stacked_chart())
    texts = [item.text for item in root.iter("text")]
    assert texts.count("all measured") == 1
    assert {"decode", "infer", "encode"} <= set(texts)


def test_labels_differ_in_more_than_color() -> None:
    drawn = set()
    for label in LABELS:
        root = parse(line_chart(series=(series(label=label),)))
        point = classed(root, "point")[0]
        drawn.add((point.get("d"), point.get("class")))
    assert len(drawn) == len(LABELS)
    fills = {
        classed(parse(bar_chart(series=(series(label=label, x=(0.0,), y=(1.0,)),))), "bar")[0].get("class")
        for label in LABELS
    }
    assert len(fills) == len(LABELS)


def test_patterns_are_there_for_who_refers_to_them() -> None:
    root = parse(bar_chart(series=(series("s", SIMULATED, x=(0.0,), y=(1.0,)),)))
    ids = {item.get("id") for item in root.iter("pattern")}
    used = {item.get("fill", "")[5:-1] for item in root.iter("rect")}
    assert used == ids
    assert len(ids) == 1


@pytest.mark.parametrize(
    ("chart", "words"),
    [
        (line_chart(kind="pie"), "no such kind: `pie`"),
        (line_chart(series=(series(y=(1.0,)),)), "unequal length"),
        (line_chart(series=(series(low=(1.0,)),)), "unequal length"),
        (line_chart(series=(series(label="felt"),)), "no such label: `felt`"),
        (bar_chart(categories=("only",)), "leaves the categories"),
        (stacked_chart(log_y=True), "logarithmic"),
        (stacked_chart(series=(series(x=(0.0,), y=(-1.0,)),)), "negative"),
        (histogram(edges=(1.0, 2.0)), "one edge more"),
        (histogram(edges=(1.0, 2.0, 2.0, 3.0, 4.0)), "ascend"),
        (histogram(series=()), "one series"),
    ],
)
def test_unsound_charts_are_refused(chart: Chart, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        svg.draw(chart)


@pytest.mark.parametrize("kind", ["line", "bars", "stacked", "area"])
def test_nothing_to_show(kind: str) -> None:
    for none in ((), (series(x=(), y=()),), (series(x=(float("nan"),), y=(1.0,)),)):
        root = parse(CHARTS[kind](series=none, categories=()))
        assert "nothing to show" in [item.text for item in root.iter("text")]


def test_what_cannot_be_drawn_is_said() -> None:
    one = series(x=(1.0, 2.0, 4.0, 8.0), y=(1.0, float("nan"), 3.0, -1.0))
    root = parse(line_chart(series=(one,)))
    assert len(classed(of_series(root)[0], "point")) == 2
    # The line breaks there instead of leaping over it.
    assert classed(of_series(root)[0], "line")[0].get("d", "").count("M") == 2
    assert "2 values can't be drawn" in (root[1].text or "")


def coordinates(root: Element) -> Iterable[float]:
    for item in root.iter():
        for key in ("x", "y", "width", "height", "transform"):
            yield from numbers(item.get(key, "")) if item is not root else ()
        if item.get("class") != "hatch" and item.tag == "path":
            yield from numbers(item.get("d", ""))


VALUES = st.floats(allow_nan=True, allow_infinity=True)


@given(
    st.sampled_from(["line", "area", "bars"]),
    st.lists(st.tuples(VALUES, VALUES, VALUES, VALUES), max_size=8),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_any_numbers_give_a_picture(
    kind: str, rows: list[tuple[float, float, float, float]], log_x: bool, log_y: bool, zero: bool
) -> None:
    xs, ys, lows, highs = (tuple(row[index] for row in rows) for index in range(4))
    one = series(x=xs, y=ys, low=lows, high=highs)
    chart = line_chart(kind=kind, series=(one,), log_x=log_x, log_y=log_y, y_from_zero=zero)
    drawn = svg.draw(chart)
    root = ElementTree.fromstring(drawn)
    height = float(root.get("viewBox", "").split()[3])
    assert all(-20 <= value <= max(svg.HALF.width_px, height) + 20 for value in coordinates(root))


@given(st.text(max_size=40))
def test_any_words_stay_words(text: str) -> None:
    chart = bar_chart(
        title=text,
        x_title=text,
        y_title=text,
        caption=text,
        categories=(text, "b", "c", "d"),
        series=(series(text, MEASURED, x=(0.0, 1.0), y=(1.0, 2.0)), series(text, None, x=(2.0,), y=(1.0,))),
    )
    tags = {item.tag for item in parse(chart).iter()}
    assert tags <= {"svg", "title", "desc", "g", "path", "rect", "text"}
