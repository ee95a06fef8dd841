"""The progress bar of commands: drawn on a terminal only, above it the notes."""

import io

from inficond.core.progress import Terminal


class FakeTerminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_a_bar_until_the_end() -> None:
    stream = FakeTerminal()
    progress = Terminal(stream)
    progress.start("reading images", 200, done=50)
    progress.advance(50)
    progress.note("skipped a.jpg: empty file")
    progress.start("fitting students", 2)
    progress.clear()
    written = stream.getvalue()
    assert "reading images:  25%" in written
    assert "50/200" in written
    assert "fitting students:   0%" in written
    assert "skipped a.jpg: empty file\n" in written
    assert written.split("\r")[-1] == "", "the bar is not removed at the end"


def test_other_outputs_get_notes_only() -> None:
    stream = io.StringIO()
    progress = Terminal(stream)
    progress.start("reading images", 2)
    progress.advance(2)
    progress.note("skipped a.jpg: empty file")
    assert stream.getvalue() == "skipped a.jpg: empty file\n"
    assert progress.notes == ["skipped a.jpg: empty file"]
