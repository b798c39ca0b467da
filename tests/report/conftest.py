"""A browser, and the page in it. What it takes is only imported when a test asks for it: it need
not be installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mpn.report.page import write_report
from tests.helpers import pages
from tests.helpers.shared_files import made_once


@pytest.fixture(scope="module", autouse=True)
def quick(coarse_flow: None) -> None:
    """What a page shows of motion is asked here, not what the flow finds."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from tests.helpers import browser as chromium

    with chromium.playwright.sync_playwright() as manager:
        running = manager.chromium.launch(
            executable_path=chromium.CHROMIUM, args=chromium.ARGUMENTS
        )
        yield running
        running.close()


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def make(folder: Path) -> None:
        write_report(folder / "report.html", pages.evaluation(folder))

    return made_once(tmp_path_factory, "report", make) / "report.html"


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    from tests.helpers.browser import View, complains

    contexts, views, own = [], [], ["file:", "data:", "blob:"]

    def opened(
        path: Path | str, width: int = 1280, height: int = 860, theme: str = "light", **options: Any
    ) -> Any:
        """The page of a file, or at the address of a server of the test."""
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=theme, **options
        )
        contexts.append(context)
        view = View(context.new_page())
        views.append(view)
        view.page.on(
            "console", lambda said: view.complaints.append(said.text) if complains(said) else None
        )
        view.page.on("pageerror", lambda error: view.complaints.append(str(error)))
        view.page.on("request", lambda request: view.requests.append(request.url))
        if isinstance(path, str):
            own.append(path)
        view.page.goto(path if isinstance(path, str) else path.as_uri())
        return view

    yield opened
    complaints = [complaint for view in views for complaint in view.complaints]
    loaded = [url for view in views for url in view.requests if not url.startswith(tuple(own))]
    for context in contexts:
        context.close()
    assert complaints == []
    assert loaded == []


@pytest.fixture
def view(report: Path, open_page: Callable[..., Any]) -> Any:
    """The page with its film loaded and drawn, at the peak of its strongest event."""
    opened = open_page(report)
    opened.shows(opened.row())
    return opened
