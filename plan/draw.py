"""A timeline as a picture: text for a terminal, SVG for a page, PNG for a slide.

Text and SVG are written by hand, because they are a few lines and must work wherever shoal does; PNG takes matplotlib, if it
is there. Text says direction by an arrow, so it reads the same without colours; with markup=True it holds Rich's
markup, for the caller's console to show or to drop. Actions shorter than a column may be covered by their neighbours.

    rank 0 0>1>2>3>.........0<<<1<<<2<<<3<<<
    rank 1 ..0>1>2>3>...0<<<1<<<2<<<3<<<....
"""

from __future__ import annotations

from html import escape
from pathlib import Path

from ..core.errors import PlatformError
from .schedule import KINDS, Action
from .timeline import Span, Timeline

COLOURS = {"forward": "#86b6e8", "backward": "#f0b27a", None: "#a9cf8f"}
STYLES = {"forward": "black on bright_blue", "backward": "black on yellow", None: "black on green"}
ARROWS = {"forward": ">", "backward": "<", None: "U"}
ROW, LABEL = 24, 60  # of SVG: height of a rank, room for its name


def text(timeline: Timeline, width: int = 80, markup: bool = False) -> str:
    """The rows, and below them the facts."""
    room = len(_names(timeline)[0])
    return "\n".join([*rows(timeline, width, markup), f"{'':<{room}}{facts(timeline)}"])


def rows(timeline: Timeline, width: int = 80, markup: bool = False) -> list[str]:
    """One line of `width` characters a rank: micro-batches forward 0>>>, backward 0<<<, updates UUUU, waiting .... ."""
    names = _names(timeline)
    columns = max(1, width - len(names[0]))
    return [name + _row(timeline, rank, columns, markup) for rank, name in enumerate(names)]


def _names(timeline: Timeline) -> list[str]:
    """What stands in front of the rows, of one width."""
    names = [f"rank {rank} " for rank in range(timeline.ranks)]
    return [name.ljust(len(names[-1])) for name in names]


def facts(timeline: Timeline) -> str:
    return f"{timeline.makespan:.4g} {timeline.unit}, bubble {timeline.bubble:.1%}"


def _row(timeline: Timeline, rank: int, columns: int, markup: bool) -> str:
    cells: list[tuple[str, str]] = [(".", "")] * columns
    scale = columns / timeline.makespan if timeline.makespan else 0.0
    for span in timeline.of(rank):
        first, last = (round((time - timeline.start) * scale) for time in (span.start, span.stop))
        direction = KINDS[span.action.kind].direction
        number = str(span.action.micro_batch)[-max(1, last - first) :] if direction else ""
        label = number.ljust(last - first, ARROWS[direction])
        cells[first:last] = [(character, STYLES[direction]) for character in label[: last - first]]
    if not markup:
        return "".join(character for character, _ in cells)
    return "".join(f"[{style}]{character}[/]" if style else character for character, style in cells)


def svg(timeline: Timeline, width: int = 960) -> str:
    """The text of an SVG file: a row a rank, a box an action, its name inside where there is room and on hovering."""
    scale = (width - LABEL) / timeline.makespan if timeline.makespan else 0.0
    height = ROW * (timeline.ranks + 1)
    boxes = [_box(span, timeline, scale) for span in timeline.spans]
    names = [f'<text x="4" y="{ROW * rank + 16}">rank {rank}</text>' for rank in range(timeline.ranks)]
    last = f'<text x="{LABEL}" y="{ROW * timeline.ranks + 16}">{escape(facts(timeline))}</text>'
    look = 'font-family="sans-serif" font-size="11" style="background:#fff"'  # black on white on a dark page too
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {look}>'
    return "\n".join([head, *names, *boxes, last, "</svg>\n"])


def _box(span: Span, timeline: Timeline, scale: float) -> str:
    start = timeline.start
    x, w = LABEL + (span.start - start) * scale, (span.stop - span.start) * scale
    name, colour = escape(str(span.action)), COLOURS[KINDS[span.action.kind].direction]
    label = f'<text x="{x + 3:.2f}" y="{ROW * span.rank + 16}">{name}</text>' if w > 8 * len(name) else ""
    title = f"<title>{name}, {span.start - start:.4g} to {span.stop - start:.4g} {timeline.unit}</title>"
    box = f'<rect x="{x:.2f}" y="{ROW * span.rank + 2}" width="{w:.2f}" height="{ROW - 4}" fill="{colour}" stroke="white"/>'
    return f"<g>{title}{box}{label}</g>"


def png(timeline: Timeline, path: Path) -> None:
    """The same picture as a PNG file; PlatformError where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError as missing:
        raise PlatformError(
            "a PNG needs matplotlib, which is not installed", "install shoal[bench], or write an SVG"
        ) from missing
    figure = Figure(figsize=(10, 0.4 * timeline.ranks + 0.8), layout="constrained")
    axes = figure.add_subplot(xlabel=timeline.unit, title=facts(timeline))
    for span in timeline.spans:
        start = span.start - timeline.start
        axes.barh(span.rank, span.stop - span.start, left=start, color=_colour(span.action), edgecolor="white")
    axes.set_yticks(range(timeline.ranks), [f"rank {rank}" for rank in range(timeline.ranks)])
    axes.invert_yaxis()
    figure.savefig(path, format="png")


def _colour(action: Action) -> str:
    return COLOURS[KINDS[action.kind].direction]
