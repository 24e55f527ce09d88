"""The HTML report, read back with a parser: structure, labels, escaping, and nothing from outside."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from documents import PIXEL, bar_chart, document, everything, facts, labels_of, line_chart, series, table
from qbg.report import html, style
from qbg.report.document import LABELS, MEASURED, Marker, Row, Section, Strip
from qbg.report.words import INVALID, MEANINGS, plain

VOID = {"meta", "img"}


class Page(HTMLParser):
    """A page as a list of (path of tags, attributes) and of the texts in each path; unbalanced tags fail."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs)
        path = "/".join([*self.open, tag])
        self.elements.append((path, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(("/".join(self.open), data))

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for path, attributes in self.elements if path.rpartition("/")[2] == tag]

    def text(self, tag: str) -> list[str]:
        return [text for path, text in self.texts if tag in path.split("/")]

    @property
    def tags(self) -> set[str]:
        return {path.rpartition("/")[2] for path, _ in self.elements}


def render(**fields: object) -> Page:
    return Page(html.render(everything(**fields)))


KNOWN = {
    *("html", "head", "meta", "title", "style", "body", "main", "header", "h1", "h2", "h3", "p", "aside"),
    *("ul", "li", "div", "span", "dl", "dt", "dd", "nav", "a", "section", "table", "caption", "thead"),
    *("tbody", "tr", "th", "td", "sup", "figure", "figcaption", "img", "code", "footer"),
    *("svg", "desc", "g", "path", "rect", "text", "defs", "pattern"),
}


def test_one_page_that_loads_and_runs_nothing() -> None:
    text = html.render(everything())
    page = Page(text)
    assert text.startswith("<!DOCTYPE html>")
    assert page.tags <= KNOWN
    assert len(page.all("main")) == len(page.all("h1")) == 1
    for word in ("http:", "https:", "//", "@import", "javascript:", "<script"):
        assert word not in text.replace(PIXEL, "")
    for _, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")]
        assert attributes.get("href", "#").startswith("#")
        assert attributes.get("src", PIXEL).startswith("data:image/")
    assert not [item for item in re.findall(r"url\(([^)]*)\)", text) if not item.startswith("#")]
    policy = [item["content"] for item in page.all("meta") if item.get("http-equiv")]
    assert policy
    assert policy[0].startswith("default-src 'none';")


def test_ids_are_unique_and_links_lead_somewhere() -> None:
    page = render()
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)
    targets = {item["href"][1:] for item in page.all("a")}
    targets |= {name for _, item in page.elements for name in item.get("aria-labelledby", "").split()}
    assert targets <= set(ids)


def test_every_row_has_its_label() -> None:
    text = html.render(everything())
    bodies = "".join(re.findall(r"<tbody.*?</tbody>", text, re.S))
    for label, count in labels_of(everything()).items():
        assert count
        assert bodies.count(f'class="badge badge-{label}"') == count
        assert bodies.count(f">{label}</span>") == count


def test_legend_explains_all_five() -> None:
    page = render()
    assert "".join(page.text("dt")) == "".join(LABELS)
    assert page.text("dd") == [MEANINGS[label] for label in LABELS]


def test_tables_are_accessible() -> None:
    page = render()
    scopes = [item.get("scope") for item in page.all("th")]
    assert set(scopes) == {"col", "row"}
    assert "Scaling" in page.text("caption")
    assert all(item.get("tabindex") == "0" for item in page.all("div") if item.get("class") == "scroll")
    for item in page.all("svg"):
        assert item["role"] == "img"
    assert all(item["alt"] for item in page.all("img"))
    assert page.all("html")[0]["lang"] == "en"


def test_notes_share_numbers() -> None:
    text = html.render(everything())
    first = text[text.index('id="part1"') : text.index('id="part2"')]
    # Row one has notes 1 and 2, row two shares note 2.
    assert re.findall(r'<a href="#part1-table0-note(\d)">', first) == ["1", "2", "2"]
    assert re.findall(r'<li id="part1-table0-note(\d)">', first) == ["1", "2"]
    assert "Not like for like." in first


def test_invalid_comes_before_everything() -> None:
    page = Page(html.render(everything(valid=False, reasons=("masks differ; rebuild",))))
    body = [text for path, text in page.texts if "body" in path.split("/") and text.strip()]
    assert body[0] == INVALID
    assert body.index("masks differ; rebuild") < body.index("qbg bench")
    assert page.text("title")[0].startswith(INVALID)
    assert [item for item in page.all("div") if item.get("role") == "alert"]
    fine = html.render(everything(reasons=("it was not quiet",)))
    assert INVALID not in fine
    assert "it was not quiet" in fine


def test_each_chart_comes_in_sizes_that_the_style_chooses_from() -> None:
    page = render()
    sizes = [item.get("class") for item in page.all("div") if item.get("class") in ("full", "half", "narrow")]
    # Alone in its row: three sizes; two in a row: two each. Charts: one; four in two rows; an empty one.
    assert sizes == ["full", "half", "narrow"] + ["half", "narrow"] * 4 + ["full", "half", "narrow"]
    assert "It bends." in page.text("figcaption")


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/a.png",
        "a.png",
        "javascript:alert(1)",
        "data:text/html;base64,AAAA",
        "data:image/svg+xml;base64,AAAA",
        "data:image/png,AAAA",
        'data:image/png;base64,AA"onload="alert(1)',
        "data:image/png;base64,",
        "data:image/png;base64,AAAA\n",
        "",
    ],
)
def test_pictures_from_elsewhere_are_refused(url: str) -> None:
    strip = Strip(title="a", images=((url, "photo"),))
    with pytest.raises(ValueError, match="PNG or JPEG"):
        html.render(document(Section(title="Gate", strips=(strip,))))


def test_pictures_are_embedded_as_they_are() -> None:
    jpeg = PIXEL.replace("png", "jpeg")
    strip = Strip(title="a", images=((PIXEL, "photo"), (jpeg, "mask")))
    page = Page(html.render(document(Section(title="Gate", strips=(strip,)))))
    assert [(item["src"], item["alt"]) for item in page.all("img")] == [(PIXEL, "photo"), (jpeg, "mask")]


@given(st.text(max_size=40))
def test_words_from_outside_stay_words(text: str) -> None:
    row = Row(cells=(text, text), label=MEASURED, notes=(text,))
    part = Section(
        title=text,
        text=(text,),
        tables=(
            facts(a=text),
            table(columns=(text, text), numeric=(True, False), rows=(row,), notes=(text,)),
        ),
        charts=(
            line_chart(title=text, caption=text, markers=(Marker(x=2.0, name=text),)),
            bar_chart(series=(series(text, MEASURED, x=(0.0,), y=(1.0,)),), categories=(text, text)),
        ),
        strips=(Strip(title=text, images=((PIXEL, text),)),),
    )
    page = Page(html.render(document(part, part, title=text, verdict=text, reasons=(text,))))
    assert page.tags <= KNOWN
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert page.all("img")[0]["alt"] == plain(text)
    shown = "".join(page.text("h1"))
    assert shown == plain(text)
    cells = "".join(page.text("td"))
    assert plain(text).replace("`", "") in cells.replace("`", "")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mb", r"a\x1b[31mb"),
        ("caf\udce9.jpg", r"caf\xe9.jpg"),
        ("\ud800", r"\ud800"),
        ("two\nlines\ttab", "two lines tab"),
        ("evil\u202egpj.exe", r"evil\u202egpj.exe"),
        ("\x00\ufffe", r"\x00\ufffe"),
    ],
)
def test_letters_that_do_harm_are_spelled_out(text: str, shown: str) -> None:
    assert plain(text) == shown
    assert shown in "".join(Page(html.render(document(title=text))).text("h1"))


def test_code_between_backticks() -> None:
    assert html.prose("run `a <b>` now") == "run <code>a &lt;b&gt;</code> now"
    assert html.prose("one ` alone") == "one ` alone"


def test_unsound_tables_are_refused() -> None:
    for bad in (
        table(rows=(Row(cells=("1",)),)),
        table(numeric=(True,)),
        table(rows=(Row(cells=("1", "2", "3"), label="felt"),)),
    ):
        with pytest.raises(ValueError, match=r"column|label"):
            html.render(document(Section(title="s", tables=(bad,))))


def test_large_tables_are_fine() -> None:
    rows = tuple(Row(cells=(str(n), "x", "y"), label=MEASURED) for n in range(3000))
    page = Page(html.render(document(Section(title="s", tables=(table(rows=rows),)))))
    assert len(page.all("tr")) == 3001


def palette(sheet: str) -> dict[str, str]:
    return dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6})", sheet))


def luminance(color: str) -> float:
    """WCAG 2.1, relative luminance of sRGB."""
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_both_schemes_can_be_read(dark: bool) -> None:
    sheet = style.sheet()
    split = sheet.index("(prefers-color-scheme: dark)")
    colors = palette(sheet[split:] if dark else sheet[:split])
    assert colors.keys() == palette(sheet[:split]).keys()
    assert (luminance(colors["page"]) < 0.05) == dark
    for name in ("ink", "soft", "link", *LABELS, "good"):
        for ground in ("page", "card", "strong"):
            assert contrast(colors[name], colors[ground]) >= 4.5, (name, ground)
    for name in [f"s{number}" for number in range(1, 9)] + ["guide"]:
        assert contrast(colors[name], colors["page"]) >= 3, name
    assert contrast(colors["bad"], colors["bad-page"]) >= 4.5
    assert contrast(colors["doubt"], colors["doubt-page"]) >= 4.5


def test_every_color_that_is_used_is_there() -> None:
    sheet = style.sheet()
    used = set(re.findall(r"var\(--([a-z0-9-]+)\)", sheet))
    assert used - {"b", "c"} <= palette(sheet).keys()
    assert sheet.count("{") == sheet.count("}")
