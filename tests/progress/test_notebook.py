"""Progress in notebooks, with and without widgets."""

import sys
from types import SimpleNamespace

import pytest

from inficond.core.progress import NO_WIDGETS, Bars


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process looks like the kernel of a notebook."""
    shell = SimpleNamespace(config={"IPKernelApp": {}})
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))  # type: ignore[arg-type]


def work(progress: Bars) -> None:
    for stage in ("encoding", "fitting"):
        progress.start(stage, total=2)
        progress.advance(2)
    progress.clear()


@pytest.mark.usefixtures("notebook")
def test_a_notebook_without_widgets_is_told_once_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ipywidgets", None)  # cannot be imported
    work(Bars())
    said = capsys.readouterr()
    assert said.out == NO_WIDGETS + "\n"
    assert "pip install ipywidgets" in said.out
    assert "fitting" in said.err, "the bars are text"


def test_a_terminal_is_told_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    work(Bars())
    assert capsys.readouterr().out == ""
