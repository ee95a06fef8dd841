"""The page's functions as API endpoints."""

from inficond.gradio_app.visitor import Visitors


def endpoints(visitors: Visitors) -> None:
    """Declare the endpoints inside the current `gr.Blocks`."""
