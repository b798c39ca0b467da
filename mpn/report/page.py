"""The page report.html, which needs nothing but itself, for `evaluate` and for `score`.

The page holds its scripts, styles, numbers, pictures and films; its Content-Security-Policy lets it
run no other script (they are named by their hashes) and load nothing from anywhere. Films that
would make it too large lie beside it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from mpn.errors import DataError, MpnError
from mpn.io.atomic import write_atomically
from mpn.io.text import duration
from mpn.report import view
from mpn.report.model import Report
from mpn.report.payload import film_data, page_data

EMBED_BYTES = 40_000_000  # of films in the page itself; more makes browsers slow to open it
KINDS = ("evaluate", "score")
NO_CONNECTION = "connect-src 'none'"  # of the policy
_HERE = Path(__file__).parent
SCRIPTS = (
    "basics",
    "film",
    "curve",
    "listing",
    "timeline",
    "keys",
    "charts",
    "insides",
    "teach",
    "start",
)
STYLES = ("base", "timeline", "sections")


def write_report(path: str | Path, report: Report, embed_bytes: int = EMBED_BYTES) -> Path:
    """Write the page, whole or not at all, and return its path.

    Without films the curves work alone.

    Args:
        path: report.html.
        report: what is on the page.
        embed_bytes: films are put into the page in the order of the videos while they fit in; the
            others are copied into NAME-files/ beside it, and the page says so.

    Raises:
        DataError: the report's parts do not fit one another, or a film is missing.
        MpnError: the page cannot be written.
    """
    path = Path(path)
    if report.kind not in KINDS:
        raise DataError(f"report of kind {report.kind!r}; expected one of {', '.join(KINDS)}")
    beside = path.with_name(f"{path.stem}-files")
    embedded, outside, films = _share_out(report, embed_bytes, beside)
    notes = list(report.notes)
    if outside:
        size = sum(source.stat().st_size for source, _ in outside)
        notes.append(
            f"{len(outside)} of {len(outside) + len(embedded)} films ({size / 1e6:.0f} "
            f"MB) are in the folder {beside.name}: keep it beside this page"
        )
    page = render(report, page_data(report, films), embedded, notes)
    _copy(beside, outside)
    # Names of files may hold bytes that are no text: they become question marks.
    write_atomically(path, page.encode("utf-8", "replace"))
    return path


def _share_out(
    report: Report, embed_bytes: int, beside: Path
) -> tuple[list[tuple[str, Path]], list[tuple[Path, Path]], list[dict[str, Any] | None]]:
    """Share out the films between the page and the folder beside it.

    Returns:
        Films for the page (element and file), films beside it (from and to), and what the scripts
        read of each.
    """
    embedded: list[tuple[str, Path]] = []
    outside: list[tuple[Path, Path]] = []
    films: list[dict[str, Any] | None] = []
    room = embed_bytes
    for index, trace in enumerate(report.traces):
        if trace.film is None:
            films.append(None)
            continue
        source, name = Path(trace.film.path), f"film-{index:03d}"
        if not source.is_file():
            raise DataError(
                f"{source}: the film of video {trace.name!r} is missing; write it before the report"
            )
        size = source.stat().st_size
        if size <= room:
            room -= size
            embedded.append((name, source))
            films.append(film_data(trace.film, element=name))
        else:
            target = beside / f"{name}{source.suffix}"
            outside.append((source, target))
            films.append(film_data(trace.film, href=quote(f"{beside.name}/{target.name}")))
    return embedded, outside, films


def _copy(beside: Path, outside: list[tuple[Path, Path]]) -> None:
    """Copy films into the folder beside the page; those of an earlier report go."""
    try:
        for old in beside.glob("film-*.webm"):
            if old.resolve() not in [source.resolve() for source, _ in outside]:
                old.unlink()
        for source, target in outside:
            beside.mkdir(parents=True, exist_ok=True)
            if not (target.exists() and target.samefile(source)):
                shutil.copyfile(source, target)
    except OSError as error:
        raise MpnError(
            f"cannot write the films to {beside}: {error.strerror}; give another folder"
        ) from error


def render(
    report: Report,
    data: dict[str, Any],
    films: Sequence[tuple[str, Path]] = (),
    notes: list[str] | None = None,
) -> str:
    """Render the page as text.

    Args:
        report: what is on the page.
        data: of `page_data`.
        films: element and file of each that goes into the page.
        notes: those of the page; None: the report's.
    """
    environment = templates()
    environment.filters |= {"data_uri": data_uri, "path": quote}
    environment.filters |= {"duration": duration, "galleries": view.galleries}
    charts = asset("uplot/uPlot.iife.min.js")
    script = (
        "(() => {\n'use strict';\n" + "\n".join(asset(f"{name}.js") for name in SCRIPTS) + "\n})();"
    )
    theme = asset("theme.js")
    style = asset("uplot/uPlot.min.css") + "\n".join(asset(f"{name}.css") for name in STYLES)
    return environment.get_template("report.html.j2").render(
        report=report,
        notes=report.notes if notes is None else notes,
        highlights=report.highlights or view.highlights(report),
        summary=view.summary(report),
        videos=view.videos(report),
        sections=view.sections(report),
        matrix=view.matrix_tables(report.matrix),
        policy=policy([theme, charts, script], style),
        licence=asset("uplot/LICENSE"),
        theme=Markup(theme),
        charts=Markup(charts),
        script=Markup(script),
        style=Markup(style),
        data=htmlsafe_json_dumps(data, dumps=_dumps),
        films=[(name, Markup(_base64(source.read_bytes()))) for name, source in films],
    )


def templates() -> Environment:
    """Give the templates of our pages; what is put into them is text, never markup."""
    return Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _dumps(value: Any, **_: Any) -> str:
    """Write JSON without NaN: what is left of it would be no JSON that a browser reads."""
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def asset(name: str) -> str:
    """Read a script or style of ours, or of the chart library, fit to stand in a page.

    Args:
        name: in the folder of assets.

    Raises:
        MpnError: it would end the element that it stands in.
    """
    text = (_HERE / "assets" / name).read_text("utf-8")
    if "</script" in text or "</style" in text:
        raise MpnError(
            f"{name} would end the element that it stands in; it cannot be put into the page"
        )
    return text


def policy(scripts: list[str], style: str) -> str:
    """Return a page's policy: nothing from elsewhere, no script or style but these.

    Args:
        scripts: that stand in the page.
        style: likewise.
    """
    hashes = " ".join(f"'sha256-{_digest(text)}'" for text in scripts)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'sha256-{_digest(style)}'; img-src "
        f"data: blob:; media-src data: blob: 'self'; {NO_CONNECTION}; base-uri 'none'; form-action "
        "'none'"
    )


def _digest(text: str) -> str:
    return _base64(hashlib.sha256(text.encode()).digest())


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def data_uri(picture: bytes, kind: str = "png") -> str:
    """Make an address that holds a picture.

    Args:
        picture: the file's content.
        kind: png or jpeg.
    """
    return f"data:image/{kind};base64,{_base64(picture)}"
