"""A student of the demo project, and a real server in a thread."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI

from inficond.core import Project
from inficond.core.demo import demo_project
from inficond.core.models.predictor import Predictor, load_predictor
from inficond.core.onnx_student.export import export_student
from inficond.core.serving import connections


@pytest.fixture(scope="session")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported student of the demo project."""
    file = tmp_path_factory.mktemp("service") / "student.onnx"
    export_student(Project.open(demo_project()), file)
    return file


@pytest.fixture(scope="session")
def predictor(student: Path) -> Predictor:
    return load_predictor(student, "cpu", 1)


@contextmanager
def running(app: FastAPI) -> Iterator[int]:
    """Serve an application; yields the port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        config = uvicorn.Config(app, log_level="error")
        config.load()
        connections.limit_connections(config, connections.ConnectionPool(50), connections.HEADER_SECONDS)
        server = uvicorn.Server(config)
        ready = threading.Event()
        app.router.on_startup.append(ready.set)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(30)


@pytest.fixture
def serve() -> Callable[[FastAPI], object]:
    """Context manager that serves an application on loopback."""
    return running
