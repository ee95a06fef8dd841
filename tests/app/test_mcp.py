"""The page's functions are MCP tools with the same results."""

import ast
import asyncio
from typing import Any

import pytest

from inficond.core import Project
from inficond.core.demo import demo_project
from inficond.gradio_app.app import build_page

pytest.importorskip("mcp", reason="needs the extra `mcp`")


async def converse(url: str) -> tuple[dict[str, str], Any]:
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    async with streamablehttp_client(url) as (read, write, _), ClientSession(read, write) as client:
        await client.initialize()
        tools = {tool.name: tool.description or "" for tool in (await client.list_tools()).tools}
        name = next(n for n in tools if n.endswith("influence"))
        answer = await client.call_tool(name, {"class_name": "water bird"})
        return tools, answer.content[0].text  # type: ignore[union-attr]


def test_tools_are_listed_and_callable() -> None:
    project = Project.open(demo_project())
    page = build_page(project)
    try:
        url = page.start(mcp=True)
        tools, answer = asyncio.run(converse(url + "gradio_api/mcp/"))
    finally:
        page.close()
    for endpoint in ("classes", "influence", "preview", "apply", "undo", "predict", "distill"):
        name = next((n for n in tools if n.endswith(endpoint)), None)
        assert name, f"no tool for /{endpoint}: {sorted(tools)}"
        assert tools[name].strip(), f"/{endpoint} does not say what it does"
    weights = project.students.weights[project.classes.index("water bird")]
    found = ast.literal_eval(answer)["concepts"]  # Gradio spells a dict as Python does
    assert len(found) == int((weights != 0).sum())
