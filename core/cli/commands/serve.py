"""Serve an exported student over HTTP: POST a picture to /predict, ask /health how it is."""

import argparse
import contextlib
from pathlib import Path

from inficond.core.cli.output import Output

SUMMARY = "serve an exported student over HTTP"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("student", type=Path, metavar="STUDENT.onnx", help="from `inficond export student`")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: this machine only)"
    )
    parser.add_argument("--port", type=int, default=8080, help="default: 8080")
    parser.add_argument(
        "--provider", default="auto", help="cpu, cuda, tensorrt… (default: the best that runs)"
    )
    parser.add_argument("--batch", type=int, default=8, help="most pictures run at once (default: 8)")


def run(args: argparse.Namespace, out: Output) -> None:
    """Serve until interrupted."""
    from inficond.core.models.predictor import load_predictor

    predictor = load_predictor(args.student, args.provider)
    import uvicorn

    from inficond.core.serving.ports import open_port
    from inficond.core.serving.service import build_service

    listener = open_port(args.host, args.port)
    host = f"[{args.host}]" if ":" in args.host else args.host
    url = f"http://{host}:{listener.getsockname()[1]}"
    out.say(f"{args.student.name} ({predictor.provider}): {url}/predict")
    out.result({"url": url, "provider": predictor.provider})
    server = uvicorn.Server(uvicorn.Config(build_service(predictor, args.batch), log_level="warning"))
    with listener, contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
