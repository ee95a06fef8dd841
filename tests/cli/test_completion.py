"""Completion scripts of `inficond --print-completion SHELL`."""

import shutil
import subprocess
import sys

import pytest

from inficond.core.cli.completion import SHELLS
from inficond.core.cli.main import main


def script(shell: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "inficond.core.cli.main", "--print-completion", shell],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


@pytest.fixture(scope="module")
def bash() -> str:
    return script("bash")


def completed(bash: str, *words: str) -> set[str]:
    """Return the completions that bash offers after these words."""
    quoted = " ".join(f"'{w}'" for w in words)
    ask = (
        f"COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; COMP_TYPE=9\n"
        "$(complete -p inficond | sed 's/.*-F \\([^ ]*\\).*/\\1/')\n"
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", f"{bash}\n{ask}"], capture_output=True, text=True, check=True)
    return {line.strip() for line in done.stdout.split("\n") if line.strip()}


def test_commands_and_options_are_completed(bash: str) -> None:
    assert {"distill", "demo", "doctor"} <= completed(bash, "inficond", "d")
    assert completed(bash, "inficond", "lau") == {"launch"}
    assert "--teacher" in completed(bash, "inficond", "distill", "--te")
    assert {"solver", "visitors"} <= completed(bash, "inficond", "bench", "")


@pytest.mark.parametrize("shell", [s for s in SHELLS if s != "bash"])
def test_other_shells_get_a_script(shell: str) -> None:
    said = script(shell)
    assert "distill" in said
    if shell == "zsh" and shutil.which("zsh"):
        subprocess.run(["zsh", "-n"], input=said, text=True, check=True)


def test_an_unknown_shell_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--print-completion", "cmd"])
    assert stop.value.code == 2
    said = capsys.readouterr().err.strip()
    assert "bash" in said
    assert "\n" not in said
