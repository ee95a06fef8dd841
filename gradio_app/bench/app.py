# ruff: noqa: E501  (the scripts have long lines)
"""Latency of the page in headless Chromium: first page, class switch, hover, preview, apply, gallery.

The page runs in a separate process (`inficond launch`) on the built-in demo and on a project of 5,000 images,
which repeats the demo's images under other names. Results are medians. Needs the `test` extra and Chromium.
"""

import argparse
import io
import shutil
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from inficond.core.errors import InputError
from inficond.gradio_app.bench.page_process import page_process

if TYPE_CHECKING:
    from inficond.core import Project
    from inficond.core.cli.output import Output

SUMMARY = "latency of the page in headless Chromium"
LARGE = 5000
MAP_POINTS = 100_000
"""Generated points of the map whose frames are counted."""
TARGETS = {
    "first page": 1500.0,
    "class switch": 120.0,
    "hover": 16.0,
    "brush": 16.0,
    "preview": 150.0,
    "apply": 400.0,
    "gallery opens": 1000.0,
    "map recolours": 120.0,
}
"""Maximum of each median, in milliseconds."""
FRAMES, KILOBYTES = 50, 300
"""Minimum frame rate of scrolling in the gallery and of moving the map, and maximum size of the first page."""
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip

IN_PAGE = """
window.bench = {
  frame: () => new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r))),
  async until(event, act) {
    const { store } = window.inficond;
    const t = performance.now();
    const done = new Promise((r) => { const off = store.on(event, () => { off(); r(); }); });
    act();
    await done;
    document.body.getBoundingClientRect();
    return performance.now() - t;
  },
  now(act) {
    const t = performance.now();
    act();
    document.body.getBoundingClientRect();
    return performance.now() - t;
  },
  async rest() {
    const { store } = window.inficond;
    for (let i = 0; i < 400 && document.querySelector("[data-waiting]"); i++) await new Promise((r) => setTimeout(r, 25));
    await new Promise((r) => setTimeout(r, 150));
  },
};
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's arguments."""
    parser.add_argument("--project", metavar="DIR", help="project to serve (default: the demo)")
    parser.add_argument(
        "--events", type=int, default=30, metavar="N", help="events of each kind (default 30)"
    )
    parser.add_argument("--only-map", action="store_true", help="measure only the map of the images")
    parser.add_argument("--no-large", action="store_true", help=f"omit the project of {LARGE:,} images")


def run(args: argparse.Namespace, out: "Output") -> int:
    """Measure and print."""
    from inficond.core import Project

    if args.events < 3:
        raise InputError(f"--events must be at least 3, not {args.events}")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise InputError("this benchmark needs Playwright: pip install 'inficond[test]'") from None
    if args.project is None:
        from inficond.core.demo import demo_project

        source = demo_project()
    else:
        source = Path(args.project)
    project = Project.open(source)
    results = {}
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("chromium-browser"), args=FLAGS
        )
        small = Path(scratch) / "small"
        shutil.copytree(source, small, ignore=shutil.ignore_patterns("history.sqlite*"))
        cases = [(project.name, small)]
        if not args.no_large:
            cases.append((f"{LARGE:,} images", enlarge(project, Path(scratch) / "large", LARGE)))
        for name, folder in cases:
            with page_process(folder) as server:
                results[name] = measure(browser, server.url, args.events, args.only_map)
        browser.close()
    for name, found in results.items():
        out.say(name)
        for what, value in found["milliseconds"].items():
            bound = TARGETS[what]
            out.say(
                f"  {what:16} {value:8.1f} ms   (at most {bound:g}{'' if value <= bound else ', missed'})"
            )
        if "map" in found:
            moved = found["map"]
            low = "" if moved["frames_per_second"] >= FRAMES else ", missed"
            out.say(
                f"  map moves        {moved['frames_per_second']:8.1f} frames/s   ({MAP_POINTS:,} points, drawn in "
                f"{moved['draw_milliseconds']:.1f} ms; at least {FRAMES}{low})"
            )
        if args.only_map:
            continue
        frames, kilobytes = found["frames_per_second"], found["bytes"] / 1000
        low = "" if frames >= FRAMES else ", missed"
        heavy = "" if kilobytes <= KILOBYTES else ", missed"
        out.say(f"  gallery scrolls  {frames:8.1f} frames/s   (at least {FRAMES}{low})")
        out.say(f"  first page       {kilobytes:8.0f} kB without images   (at most {KILOBYTES}{heavy})")
        out.say(f"  memory           {found['heap_growth_mb']:8.1f} MB more after 500 interactions")
    out.result(results)
    return 0


def measure(browser: Any, url: str, events: int, only_map: bool = False) -> dict[str, Any]:
    """Take all measurements on one page.

    Parameters
    ----------
    browser : playwright Browser
    url : str
    events : int
        Number of events of each kind.
    only_map : bool
        Measure only the map.

    Returns
    -------
    dict
        `milliseconds` (medians), `bytes`, `frames_per_second`, `heap_growth_mb`, `map`; with `only_map` only
        `milliseconds` and `map`.
    """
    first, weight, page = [], 0, None
    for _ in range(4):  # the first visit warms the server up and is not counted
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        page = context.new_page()
        page.add_init_script("localStorage.setItem('inficond.guided', 'yes')")
        page.goto(url)
        page.wait_for_function(
            "() => performance.getEntriesByName('inficond-drawn').length > 0", timeout=60_000
        )
        first.append(page.evaluate("() => performance.getEntriesByName('inficond-drawn')[0].startTime"))
        weight = page.evaluate(
            """() => [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
              .filter((e) => e.startTime <= performance.getEntriesByName('inficond-drawn')[0].startTime)
              .filter((e) => !/\\.(webp|jpg|png)/.test(e.name)).reduce((n, e) => n + e.transferSize, 0)"""
        )
        if len(first) < 4:
            context.close()
    assert page is not None
    page.evaluate(IN_PAGE)
    if only_map:
        found_map = _map(page, events)
        page.context.close()
        return found_map
    page.wait_for_function(
        "() => window.inficond.store.state.parts['tuning.missing'] !== undefined", timeout=120_000
    )
    median = _medians(page, events)
    found = {"first page": statistics.median(first[1:]), **median}
    fps = page.evaluate(SCROLL)
    growth = _memory(page)
    moved = _map(page, events)
    page.context.close()
    found = {**found, **moved["milliseconds"]}
    return {
        "map": moved["map"],
        "milliseconds": found,
        "bytes": weight,
        "frames_per_second": fps,
        "heap_growth_mb": growth,
    }


def _medians(page: Any, events: int) -> dict[str, float]:
    """Return the median of each kind of event, in milliseconds."""

    def repeat(script: str, n: int = events) -> float:
        return statistics.median(page.evaluate(script, i) for i in range(n))

    out = {
        "class switch": repeat(
            """async (i) => { const { store } = inficond; await bench.rest();
              const c = store.state.parts['performance.table'].classes.map((x) => x.name).filter((x) => x !== store.state.selection.cls);
              return bench.until('drawn', () => store.select({ cls: c[i % c.length], subset: null })); }"""
        ),
        "hover": repeat(
            """async (i) => { const rows = inficond.store.state.parts['influence.rows'].rows; await bench.frame();
              const name = rows[i % Math.min(rows.length, 20)].name;
              return bench.now(() => { inficond.store.state.hover = name; inficond.store.emit('hover', name); }); }"""
        ),
        "brush": repeat(
            """async (i) => { const { store } = inficond; store.state.hover = null; await bench.frame();
              const rows = new Set(Array.from({ length: 100 }, (_, k) => (k * 7 + i * 13) % 480));
              const b = { concept: store.state.parts['influence.rows'].rows[0].name, low: 0, high: 1, at: [20, 20 + i], rows };
              return bench.now(() => { store.state.brush = b; store.emit('brush', b); }); }"""
        ),
        "preview": repeat(
            """async (i) => { const { store } = inficond; store.state.brush = null; await bench.rest();
              const { rows } = store.state.parts['tuning.state'], row = rows[i % Math.min(6, rows.length)];
              return bench.until('preview', () => store.propose(row.name, { kind: 'set', value: 0.01 * (i + 1) })); }"""
        ),
        "apply": repeat(
            """async (i) => { const { store } = inficond; store.dropPending(); await bench.rest();
              const { rows } = store.state.parts['tuning.state'], row = rows[i % Math.min(6, rows.length)];
              store.state.pending = [{ kind: 'set', concept: row.name, value: 0.01 * (i + 1) }];
              return bench.until('drawn', () => store.apply()); }"""
        ),
        "gallery opens": repeat(
            """async (i) => { const { store } = inficond; await store.select({ scope: null, subset: null }); await bench.rest();
              return bench.until('drawn', () => store.select({ scope: 'all' })); }""",
            7,
        ),
    }
    page.evaluate("() => bench.rest()")
    return out


def _map(page: Any, events: int) -> dict[str, Any]:
    """Measure the map: a class switch until it is recoloured, and frames while many points are moved."""
    page.click('button[aria-label="Map of the images"]')
    page.wait_for_function("() => performance.getEntriesByName('inficond-map').length > 0", timeout=60_000)
    times = [page.evaluate(RECOLOUR, i) for i in range(events)]
    page.click('button[aria-label="Enlarge the map"]')
    moved = max((page.evaluate(MOVE, MAP_POINTS) for _ in range(3)), key=lambda m: m["frames_per_second"])
    return {"milliseconds": {"map recolours": statistics.median(times)}, "map": moved}


RECOLOUR = """async (i) => {
  const { store } = inficond;
  await bench.rest();
  const n = () => performance.getEntriesByName('inficond-map').length;
  const before = n();
  const names = store.state.parts['performance.table'].classes.map((c) => c.name);
  const others = names.filter((name) => name !== store.state.selection.cls);
  const t = performance.now();
  store.select({ cls: others[i % others.length], subset: null });
  while (n() === before) await new Promise((done) => setTimeout(done, 1));
  return performance.now() - t;
}"""
"""Script that selects a class and returns the milliseconds until the map has its colours."""
MOVE = """async (n) => {
  const { map } = inficond, { scene } = map;
  let seed = 1;
  const random = () => (seed = (seed * 48271) % 2147483647) / 2147483647;
  const near = () => (random() + random() + random() - 1.5) / 6;
  const x = new Float32Array(n), y = new Float32Array(n);
  for (let i = 0; i < n; i++) {
    x[i] = Math.min(1, Math.max(0, 0.2 + 0.15 * (i % 5) + near()));
    y[i] = Math.min(1, Math.max(0, 0.2 + 0.15 * (i % 4) + near()));
  }
  scene.points = map.indexed(x, y);
  scene.look = { ...scene.look, codes: Uint8Array.from(x, (_, i) => i % 4), levels: new Uint8Array(n).fill(2) };
  scene.n = n;
  map.showAll();
  await bench.frame();
  map.statistics.frames = map.statistics.milliseconds = 0;
  let frames = 0;
  const start = performance.now();
  await new Promise((done) => {
    const go = () => {
      frames++;
      map.pan(Math.sin(frames / 9) * 12, Math.cos(frames / 7) * 8);
      map.zoom(frames % 60 < 30 ? 1.02 : 1 / 1.02);
      if (performance.now() - start > 2500) done(); else requestAnimationFrame(go);
    };
    requestAnimationFrame(go);
  });
  const seconds = (performance.now() - start) / 1000;
  return {
    frames_per_second: map.statistics.frames / seconds,
    draw_milliseconds: map.statistics.milliseconds / map.statistics.frames,
  };
}"""
"""Script that moves and zooms a map of generated points, and returns its frame rate."""
SCROLL = """async () => {
  const wall = document.querySelector('#view-instances .gallery');
  wall.scrollTop = 0;
  await bench.frame();
  let frames = 0;
  const start = performance.now();
  await new Promise((done) => {
    const go = () => {
      frames++;
      wall.scrollTop += 60;
      if (performance.now() - start > 2000) done(); else requestAnimationFrame(go);
    };
    requestAnimationFrame(go);
  });
  return (1000 * frames) / (performance.now() - start);
}"""


def _memory(page: Any) -> float:
    """Return the growth of the JavaScript heap over 500 interactions in MB, after garbage collection."""
    client = page.context.new_cdp_session(page)

    def heap() -> float:
        client.send("HeapProfiler.collectGarbage")
        return client.send("Runtime.getHeapUsage")["usedSize"] / 2**20

    script = """async (n) => {
      const { store } = inficond;
      const classes = store.state.parts['performance.table'].classes.map((c) => c.name);
      for (let i = 0; i < n; i++) {
        if (i % 5 === 0) await store.select({ cls: classes[(i / 5) % classes.length], subset: null, scope: null });
        else if (i % 5 === 1) await store.select({ image: store.state.parts['instances.ids'].ids[i] });
        else if (i % 5 === 2) { store.hover(store.state.parts['influence.rows'].rows[0].name); await bench.frame(); }
        else if (i % 5 === 3) await store.select({ image: null });
        else { store.hover(null); await bench.frame(); }
      }
    }"""
    page.evaluate(script, 50)
    before = heap()
    page.evaluate(script, 500)
    return heap() - before


def enlarge(project: "Project", folder: Path, size: int) -> Path:
    """Create a project of `size` images, which repeats the images of another under new names."""
    from PIL import Image

    from inficond.core.project.image_table import ImageRow
    from inficond.core.project.writer import ImageBlock, ProjectContents, write_project

    n = len(project)
    rows = np.arange(size) % n
    small: dict[int, bytes] = {}

    def thumbnail(row: int) -> bytes:
        if row not in small:
            with Image.open(io.BytesIO(project.thumbnail_bytes(row))) as picture:
                picture.thumbnail((160, 160))
                out = io.BytesIO()
                picture.convert("RGB").save(out, "JPEG", quality=80)
            small[row] = out.getvalue()
        return small[row]

    def taken(one: Callable[[int], np.ndarray]) -> np.ndarray:
        each = np.stack([one(i) for i in range(n)])
        return each[rows]

    regions = assignment = None
    if project.grid is not None:
        regions = np.asarray(project.region_embeddings)[rows]
        assignment = taken(lambda i: project.assignment(i).ravel())
    return write_project(
        folder,
        ProjectContents(
            images=[
                ImageRow(id=f"{i // n}/{project.image_ids[r]}", path=str(project.image_path(int(r))))
                for i, r in enumerate(rows)
            ],
            T=np.asarray(project.T)[rows],
            labels=None if project.labels is None else np.asarray(project.labels)[rows],
            concepts=project.concepts,
            concept_groups=project.concept_groups,
            concept_embeddings=None
            if project.concept_embeddings is None
            else np.asarray(project.concept_embeddings),
            classes=project.classes,
            is_validation=np.asarray(project.is_validation)[rows],
            students=project.students,
            name=f"{size:,} images",
            config={k: project.config[k] for k in ("encoder", "teacher") if k in project.config},
        ),
        [
            ImageBlock(
                X=np.asarray(project.X)[rows],
                regions=regions,
                assignment=assignment,
                thumbnails=[thumbnail(int(r)) for r in rows],
            )
        ],
        grid=project.grid,
    )
