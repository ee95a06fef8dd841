"""Serve an exported student over HTTP.

POST a picture, or a form with one file, to /predict; GET /health for its state.

examples:
  inficond serve student.onnx
  inficond serve student.onnx --host 0.0.0.0 --allow-host student.example
"""

import argparse
import contextlib

from inficond.core.cli.command import given_path
from inficond.core.cli.output import Output
from inficond.core.errors import InputError

LARGEST_BATCH = 4096
SUMMARY = "serve an exported student over HTTP"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "student", type=given_path, metavar="STUDENT.onnx", help="file of `inficond export student`"
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: this machine only)"
    )
    parser.add_argument("--port", type=int, default=8080, help="default: 8080")
    parser.add_argument(
        "--allow-host", action="append", default=[], metavar="NAME",
        help="answer requests addressed to this host name too, such as the name of a proxy; repeatable",
    )  # fmt: skip
    parser.add_argument(
        "--provider", default="auto", help="cpu, cuda, tensorrt… (default: the first that works)"
    )
    parser.add_argument(
        "--batch", type=int, default=8, help="largest number of pictures in a batch (default: 8)"
    )


def run(args: argparse.Namespace, out: Output) -> None:
    """Serve until interrupted."""
    if not 1 <= args.batch <= LARGEST_BATCH:
        raise InputError(f"--batch is {args.batch}: give a number from 1 to {LARGEST_BATCH:,}")
    from inficond.core.models.predictor import load_predictor

    predictor = load_predictor(args.student, args.provider)
    import uvicorn

    from inficond.core.serving.connections import ConnectionPool, connection_limit, limit_connections
    from inficond.core.serving.ports import open_port
    from inficond.core.serving.service import build_service

    listener = open_port(args.host, args.port)
    host = f"[{args.host}]" if ":" in args.host else args.host
    url = f"http://{host}:{listener.getsockname()[1]}"
    out.say(f"{args.student.name} ({predictor.provider}): {url}/predict")
    out.result({"url": url, "provider": predictor.provider})
    service = build_service(predictor, args.batch, args.host, tuple(args.allow_host))
    config = uvicorn.Config(
        service, log_level="warning", timeout_graceful_shutdown=5, server_header=False,
    )  # fmt: skip
    config.load()
    limit_connections(config, ConnectionPool(connection_limit()))
    with listener, contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])
