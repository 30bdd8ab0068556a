"""Pictures of a timeline: the same figures as text, SVG and PNG."""

import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.text import Text

from shoal.core.errors import PlatformError
from shoal.plan import Action, Costs, PipelineShape, Span, Timeline, draw, graph, simulate, table, wire


def picture(name: str, stages: int, micro_batches: int) -> Timeline:
    blocks = graph([(k, k + 1) for k in range(stages)])
    costs = Costs({"forward": [1] * stages, "backward": [2] * stages, "update": [1] * stages})
    return simulate(wire(table(name, PipelineShape(stages, micro_batches)), blocks), costs).timeline


ONE_F_ONE_B = """
rank 0 0>1>....0<<<..1<<<UU
rank 1 ..0>0<<<1>1<<<UU....
       10 s, bubble 30.0%"""


def test_text_is_one_line_a_rank() -> None:
    assert draw.text(picture("1f1b", 2, 2), width=7 + 20) == ONE_F_ONE_B.strip()


def test_a_clock_that_does_not_start_at_zero_is_moved() -> None:
    """What an executor records has the machine's clock."""
    timeline = picture("1f1b", 2, 2)
    moved = Timeline(2, [Span(s.rank, s.action, s.start + 1024, s.stop + 1024) for s in timeline.spans])
    assert draw.text(moved, 60) == draw.text(timeline, 60)
    assert draw.svg(moved) == draw.svg(timeline)


def test_every_line_is_as_wide_as_said_however_narrow() -> None:
    timeline = picture("gpipe", 3, 12)
    for width in (8, 30, 61, 200):
        assert {len(line) for line in draw.text(timeline, width).splitlines()[:-1]} == {width}
    assert "11>" in draw.text(timeline, 200)


def test_markup_adds_colours_and_nothing_else() -> None:
    timeline = picture("gpipe", 2, 3)
    coloured = Text.from_markup(draw.text(timeline, 60, markup=True))
    assert coloured.plain == draw.text(timeline, 60)
    assert {str(span.style) for span in coloured.spans} == set(draw.STYLES.values())


def test_svg_has_a_named_box_for_every_action() -> None:
    timeline = picture("1f1b", 2, 2)
    root = ElementTree.fromstring(draw.svg(timeline, width=60 + 100))
    svg = "{http://www.w3.org/2000/svg}"
    boxes = root.findall(f".//{svg}rect")
    assert len(boxes) == len(timeline.spans) == 10
    assert sum(float(box.attrib["width"]) for box in boxes) == pytest.approx(10 * 14)  # busy for 14 of 2 x 10 s
    titles = [title.text for title in root.findall(f".//{svg}title")]
    assert "B1, 7 to 9 s" in titles
    assert "rank 1" in {text.text for text in root.findall(f".//{svg}text")}


def test_svg_escapes_the_mark_of_a_replica() -> None:
    primed = Timeline(1, [Span(0, Action("forward", 0, replica=1), 0.0, 1.0)])
    titles = ElementTree.fromstring(draw.svg(primed)).findall(".//{http://www.w3.org/2000/svg}title")
    assert titles[0].text == "F0', 0 to 1 s"


def test_nothing_to_draw_is_drawn() -> None:
    assert draw.text(Timeline(1, []), 12) == "rank 0 .....\n       0 s, bubble 0.0%"
    ElementTree.fromstring(draw.svg(Timeline(1, [])))


def test_png_without_matplotlib_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(PlatformError, match=r"(?s)matplotlib.*shoal\[bench\]"):
        draw.png(picture("gpipe", 2, 2), tmp_path / "x.png")


def test_png_is_a_png(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    draw.png(picture("gpipe", 2, 2), tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
