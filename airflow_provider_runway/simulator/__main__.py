"""The command ``python -m airflow_provider_runway.simulator``."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sqlite3
import sys
from dataclasses import fields
from pathlib import Path

from airflow_provider_runway.simulator.server import PortInUseError, authority, listen
from airflow_provider_runway.simulator.service import Service
from airflow_provider_runway.simulator.settings import ALEPH_CALLBACKS, Settings


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"must be an integer from 0 to 65535, got {text}")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    default = Settings()
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_runway.simulator",
        description="A local kie.ai: Runway's video models without a key, the internet or a bill.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on")
    add("--port", type=_port, default=8089, help="port to listen on; 0 takes a free one")
    add("--api-key", action="append", dest="api_keys", metavar="KEY", help="accepted key; default: any")
    add("--separate-accounts", action="store_true", help="each key is an account of its own")
    add("--balance", type=float, default=default.balance, help="credits at the start")
    add("--speed", type=float, default=default.speed, help="all durations of a task are divided by it")
    for name in ("waiting", "queueing", "generate", "extend", "aleph", "invisible", "callback_retry"):
        option = name.replace("_", "-")
        add(f"--{option}-seconds", type=float, default=getattr(default, f"{name}_seconds"), metavar="S")
    add("--spread", type=float, default=default.spread, help="random spread of the durations, from 0 to 1")
    add("--seed", type=int, default=default.seed, help="seed of that spread")
    add("--running-limit", type=int, default=default.running_limit, help="tasks at once; 0: no limit")
    add("--rate-limit", type=int, default=default.rate_limit, help="creations in a window; 0: no limit")
    add("--rate-window", type=float, default=default.rate_window, metavar="S", help="that window")
    add("--moderation-marker", default=default.moderation_marker, help="a prompt with it in it fails later")
    add("--webhook-key", help="key that signs the callbacks")
    add(
        "--aleph-callback",
        choices=ALEPH_CALLBACKS,
        default=default.aleph_callback,
        help="where an Aleph callback names its task",
    )
    add("--state-file", type=Path, help="keeps tasks and balance across restarts")
    add(
        "--files-dir",
        type=Path,
        help="keeps uploads and videos; default: beside the state file, or temporary",
    )
    add(
        "--no-render", action="store_false", dest="render", help="serve one tiny clip instead of drawn videos"
    )
    return parser


async def _serve(service: Service, host: str, port: int) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    runner, port = await listen(service, host, port)
    print(f"kie.ai simulator listening on http://{authority(host, port)}", flush=True)
    await stopping.wait()
    await runner.cleanup()


def main(arguments: list[str] | None = None) -> int:
    """Serve until interrupted.

    :param arguments: of the command line; default: the process's.
    :return: the exit code, 1 where it could not start.
    """
    parser = _parser()
    options = vars(parser.parse_args(arguments))
    options["api_keys"] = frozenset(options["api_keys"] or ())
    try:
        settings = Settings(**{field.name: options[field.name] for field in fields(Settings)})
    except ValueError as error:
        parser.error(str(error))
    try:
        service = Service(settings)
    except (OSError, sqlite3.DatabaseError) as error:
        print(f"The simulator's files cannot be used: {error}", file=sys.stderr)
        return 1
    except ImportError as error:
        print(error, file=sys.stderr)
        return 1
    try:
        asyncio.run(_serve(service, options["host"], options["port"]))
    except PortInUseError:
        print(
            f"Port {options['port']} on {options['host']} is already in use: choose another with --port.",
            file=sys.stderr,
        )
        return 1
    # A host's name that cannot be looked up at all is a UnicodeError.
    except (OSError, UnicodeError) as error:
        print(f"Cannot listen on {authority(options['host'], options['port'])}: {error}", file=sys.stderr)
        return 1
    finally:
        service.close()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        # Ctrl-C before it serves, or once more while it ends.
        sys.exit(130)
