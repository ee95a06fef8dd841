# ruff: noqa: E501  (lines of a table)
"""Table and plot of the solver's benchmark, for `docs/`."""

import os
import platform
from contextlib import suppress
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Any


def write(report: dict[str, Any], folder: Path) -> None:
    """Write `bench-solver.md`, and `bench-solver.png` where matplotlib is installed."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bench-solver.md").write_text(_table(report), encoding="utf-8")
    _plot(report, folder / "bench-solver.png")


def _setting() -> str:
    """When, on what and with which versions."""
    cpu = platform.processor() or platform.machine()
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        cpu = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), cpu)
    found = []
    for name in ("numpy", "numba", "scipy", "skglm", "adelie", "glum", "scikit-learn", "torch"):
        with suppress(metadata.PackageNotFoundError):
            found.append(f"{name} {metadata.version(name)}")
    return (
        f"{date.today().isoformat()}, {cpu} ({platform.machine()}), {os.cpu_count()} processors, "
        f"Python {platform.python_version()}, {', '.join(found)}."
    )


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:,.0f} ms" if seconds < 10 else f"{seconds:,.0f} s"


def _table(report: dict[str, Any]) -> str:
    lines = [
        "# The solver beside others",
        "",
        f"Made by `inficond bench solver`; medians of {report['repeats']} to {report['turns']} runs of ours and 3 to {report['turns']} of others, taken in turns (one run of what",
        f"takes twice the best other's time or more) of processor time, one thread each, preparation included, to (F − F*)/F* ≤ {report['wanted']:g} of the worst",
        "class. Ratios depend on machine and moment too, less than milliseconds do.",
        "",
        _setting(),
        "",
        "| instance | NEC | ours | ours, certified to 1e-4 | best other | ratio | the others |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in report["instances"].values():
        medians = row["medians"]
        others = {n: t for n, t in sorted(medians.items(), key=lambda i: i[1]) if n != "ours"}
        told = [f"{n} {_ms(t)}" for n, t in others.items() if n != row["best_peer"]]
        notes: dict[str, list[str]] = {}
        for name, note in row["notes"].items():
            notes.setdefault(note, []).append(name)
        told += [f"{', '.join(names)}: {note}" for note, names in notes.items()]
        best = f"{row['best_peer']} {_ms(medians[row['best_peer']])}" if row["best_peer"] else "none"
        ours = _ms(medians["ours"]) if "ours" in medians else "not reached"
        ratio = f"{row['ratio']:.1f}×" if row["ratio"] else "–"
        lines.append(
            f"| {row['title']} | {row['nec']:.0f} | {ours} | {_ms(row['certified'])} | {best} | {ratio} | {'; '.join(told)} |"
        )
    if "threads" in report:
        lines += [
            "",
            "| two threads against one | one | two | ratio | the machine itself |",
            "|---|---|---|---|---|",
        ]
        for name, row in report["threads"].items():
            lines.append(
                f"| ({name}) | {_ms(row['one'])} | {_ms(row['two'])} | {row['ratio']:.2f}× | {row['machine']:.2f}× |"
            )
    if "refit" in report:
        lines += [
            "",
            "| one class, five bounds changed | preview (suboptimality) | to 1e-4 | certified to 1e-4 | glum, warm | ratio |",
            "|---|---|---|---|---|---|",
        ]
        for name, row in report["refit"].items():
            glum = _ms(row["glum"]) if "glum" in row else "not installed"
            ratio = f"{row['ratio']:.0f}×" if "ratio" in row else "–"
            lines.append(
                f"| ({name}) | {row['preview'] * 1e3:.2f} ms ({row['preview_suboptimality']:.0e}) | "
                f"{row['refit'] * 1e3:.1f} ms | {row['certified'] * 1e3:.1f} ms | {glum} | {ratio} |"
            )
    if "first" in report:
        lines += [
            "",
            f"The first fit of a process takes {report['first']['cold']:.2f} s of processor time more than the second, imports included and",
            f"the compiled code cached; {report['first']['warmed']:.2f} s more after `warm_up()`.",
        ]
    if report["instances"]:
        lines += ["", "![time against suboptimality](bench-solver.png)"]
    return "\n".join(lines) + "\n"


def _plot(report: dict[str, Any], path: Path) -> None:
    """Time against suboptimality, a panel per instance."""
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot as plt
        from matplotlib.ticker import NullFormatter
    except ModuleNotFoundError:
        return
    rows = list(report["instances"].values())
    if not rows:
        return
    figure, axes = plt.subplots(
        1, len(rows), figsize=(3.6 * len(rows), 3.4), squeeze=False, layout="constrained"
    )
    names = sorted({n for row in rows for n in row["curves"]})
    colours = {n: f"C{i}" for i, n in enumerate(names)}
    for axis, row in zip(axes[0], rows):
        for name, points in row["curves"].items():
            shown = [(p["seconds"], max(p["suboptimality"], 1e-9)) for p in points]
            if shown:
                axis.plot(*zip(*shown), "o-", label=name, color=colours[name], lw=2 if name == "ours" else 1)
        axis.axhline(report["wanted"], color="0.6", lw=0.8, ls="--")
        axis.set(xscale="log", yscale="log", title=row["title"], xlabel="seconds, one thread")
        axis.xaxis.set_minor_formatter(NullFormatter())  # else they overlap where a panel spans one decade
        axis.title.set_fontsize(9)
    axes[0, 0].set_ylabel("(F − F*) / F*, worst class")
    handles = [plt.Line2D([], [], marker="o", color=colours[n], label=n) for n in names]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(names), frameon=False, fontsize=9)
    figure.savefig(path, dpi=110)
    plt.close(figure)
