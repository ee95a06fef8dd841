"""Hook of MkDocs: pages that the site has besides those in `docs`.

Documents at the top of the repository become pages, and links between them and `docs` are rewritten. The
reference of commands is made from their help texts, that of Python from docstrings.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = {
    "README.md": "index.md",
    "SECURITY.md": "security.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "core/assets/CARD.md": "card.md",
}
"""File in the repository → page of the site."""
PACKAGES = (
    "core",
    "core.facade",
    "core.project.folder",
    "core.sessions.session",
    "core.sessions.session_queries",
    "core.sessions.image_queries",
    "core.sessions.influence",
    "core.sessions.session_history",
    "core.sessions.session_saving",
    "core.sessions.concept_steps",
    "core.sessions.session_suggestions",
    "core.images",
    "core.models",
    "core.concepts",
    "core.students",
    "core.solver",
    "core.evaluation",
    "core.tuning",
    "core.tuning.actions",
    "core.tuning.focus",
    "core.tuning.preview",
    "core.tuning.suggest",
    "core.tuning.missing",
    "core.history",
    "core.history.node",
    "core.history.recipe",
    "core.history.replay",
    "core.report",
    "core.onnx_student.export",
    "core.student_page",
    "core.demo",
    "core.bundle",
    "core.tables",
    "core.errors",
    "core.progress",
)
"""Modules of the Python reference, without the name of the product.

Their functions and classes have examples, which `tests/docs/test_examples.py` runs.
"""
EXTENSIONS = (
    "Installed packages add sources, commands, benchmarks and views by entry points. Teachers, encoders and "
    "stores are named by options. [Teachers, encoders, views of your own](../extending.md) has a package "
    "with four of them."
)
SHIM = "https://unpkg.com/iframe-worker/shim"
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((?!https?:|#|mailto:)([^)\s]+)\)")
SOURCE = re.compile(r'(src(?:set)?)="(?!https?:|data:)([^"]+)"')
HREF = re.compile(r'href="(?!https?:|#)([^"#]+)\.md(#[^"]*)?"')
FENCE = re.compile(r"^```(\w+) \([^\n]*\)$", re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    for source, page in DOCUMENTS.items():
        content = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=content))
    files.append(File.generated(config, "reference/commands.md", content=commands_page()))
    files.append(File.generated(config, "reference/python.md", content=python_page()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite links to the site's pages, and fences to plain ones."""
    name = page.file.src_uri
    sources = {page: source for source, page in DOCUMENTS.items()}
    source = sources.get(name, f"docs/{name}")

    def rewritten(target: str) -> str:
        path, mark, anchor = target.partition("#")
        if not path:
            return target
        place = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        page_of = DOCUMENTS.get(place) or place.removeprefix("docs/")
        if not place.startswith("docs/") and place not in DOCUMENTS:
            return ""
        return posixpath.relpath(page_of, posixpath.dirname(name) or ".") + mark + anchor

    def link(found: re.Match[str]) -> str:
        target = rewritten(found[2])
        return f"[{found[1]}]({target})" if target and not target.startswith("edge/") else found[1]

    markdown = FENCE.sub(r"```\1", LINK.sub(link, markdown))
    markdown = SOURCE.sub(lambda found: f'{found[1]}="{rewritten(found[2])}"', markdown)

    def href(found: re.Match[str]) -> str:  # MkDocs rewrites links of Markdown, not of HTML
        return f'href="{rewritten(found[1] + ".md").removesuffix(".md")}.html{found[2] or ""}"'

    return HREF.sub(href, markdown)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Load the script that makes the search work in files from the site itself, not from another host."""
    folder = posixpath.dirname(page.file.dest_uri) or "."
    return output.replace(SHIM, posixpath.relpath("assets/iframe-worker.js", folder))


def on_post_template(output_content: str, template_name: str, config: MkDocsConfig) -> str:
    """Do the same for the page of missing addresses."""
    return output_content.replace(SHIM, "/assets/iframe-worker.js")


def commands_page() -> str:
    """Return the help texts of all commands."""
    from inficond.core.cli.main import build_parser, commands

    parts = ["# Commands", "", "`inficond COMMAND --help` prints the same texts."]
    for name in sorted(commands()):
        parts += ["", f"## inficond {name}", "", "```text", help_of(build_parser(name), name), "```"]
    return "\n".join(parts) + "\n"


def help_of(parser: Any, name: str) -> str:
    """Return the help text of a command."""
    for action in parser._subparsers._group_actions:
        if name in action.choices:
            return action.choices[name].format_help().strip()
    raise LookupError(name)


def python_page() -> str:
    """Return the page from which the reference of Python is made."""
    parts = ["# Python", "", "The public functions and classes, by package, and the protocols of extensions."]
    for package in PACKAGES:
        parts += ["", f"::: inficond.{package}"]
    parts += ["", "## Extensions", "", EXTENSIONS, "", "::: inficond.core.protocols"]
    return "\n".join(parts) + "\n"
