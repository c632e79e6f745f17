"""Downloading: ``RunwayHook.download_video`` beside ``curl``, from one server, onto one disk."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.processes import environment, run_module
from benchmarks.tables import Found, table


@contextlib.contextmanager
def file_server(file: Path) -> Iterator[str]:
    """Serve one file straight from the kernel's memory; give its URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "video/mp4")
            self.send_header("Content-Length", str(file.stat().st_size))
            self.end_headers()
            with file.open("rb") as source:
                self.connection.sendfile(source)

        def log_message(self, *_: Any) -> None:
            """Be silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/video.mp4"
        server.shutdown()


def run(*, mebibytes: int, rounds: int) -> Found:
    """
    Download a file with each side in turn and return the table.

    :param mebibytes: Its size.
    :param rounds: How often; the median counts.
    """
    curl = shutil.which("curl")
    times: dict[str, list[float]] = {"ours": [], "curl": []}
    cpu: dict[str, list[float]] = {"ours": [], "curl": []}
    growth = []
    with tempfile.TemporaryDirectory(prefix="runway-benchmark-") as name:
        folder = Path(name)
        source, target = folder / "source.mp4", folder / "target.mp4"
        with source.open("wb") as file:
            # An MP4 to whoever looks at its boxes: one that says so, and one of all the rest.
            file.write(b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom")
            file.write((8 + mebibytes * 1024 * 1024).to_bytes(4, "big") + b"mdat")
            for _ in range(mebibytes):
                file.write(os.urandom(1024 * 1024))
        with file_server(source) as url:
            env = environment(folder)
            sides: list[tuple[str, Callable[[], dict[str, float]]]] = [
                ("ours", lambda: _ours(url, target, env))
            ]
            if curl:
                sides.append(("curl", lambda: _curl(curl, url, target)))
            for number in range(rounds):
                # Who goes first is at a disadvantage: the kernel has pages to free.
                for side, download in sides if number % 2 else reversed(sides):
                    done = download()
                    target.unlink()
                    times[side].append(done["seconds"])
                    cpu[side].append(done["cpu"])
                    growth.append(done.get("growth", 0.0))
                print(f"  {times} {cpu} {max(growth)}", file=sys.stderr, flush=True)
    ratios = [curl_time / our_time for our_time, curl_time in zip(times["ours"], times["curl"], strict=False)]
    spent = [ours / theirs for ours, theirs in zip(cpu["ours"], cpu["curl"], strict=False)]
    rows = [
        [
            "`RunwayHook.download_video`",
            f"{median(ratios):.2f}" if ratios else "no curl here",
            f"{median(spent):.2f}" if spent else "",
            f"{max(growth) / 1024 / 1024:.1f} MiB",
        ]
    ]
    head = ["", "throughput ÷ `curl`", "CPU ÷ `curl`", "peak memory growth"]
    conditions = (
        f"A file of {mebibytes} MiB from one server on this machine, in turn with `curl`; medians of "
        f"{rounds} rounds. Meanwhile the hook also computes the SHA-256 and checks the MP4's boxes."
    )
    facts = {"throughput": rows[0][1], "memory": rows[0][3]}
    return Found(f"### A download beside curl\n\n{conditions}\n\n{table(head, rows)}", facts)


def _ours(url: str, target: Path, env: dict[str, str]) -> dict[str, float]:
    return run_module("benchmarks.downloading", {"url": url, "path": str(target)}, env, timeout=600)


def _curl(curl: str, url: str, target: Path) -> dict[str, float]:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    subprocess.run([curl, "-sS", "--noproxy", "*", "-o", str(target), url], check=True)
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "seconds": seconds,
        "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
    }


def measure(url: str, path: str) -> dict[str, float]:
    """Download once and return seconds, CPU seconds and by how many bytes the process's memory grew."""
    os.environ["AIRFLOW_CONN_RUNWAY_DEFAULT"] = json.dumps(
        {"conn_type": "runway", "password": "key-of-nobody", "extra": {"allow_private_hosts": True}}
    )
    from airflow_provider_runway.hooks.runway import RunwayHook

    hook = RunwayHook()
    # What a download imports is not to be counted.
    with contextlib.suppress(Exception):
        RunwayHook(patience=0).download_video("http://127.0.0.1:9/video.mp4", path)
    before, cpu, began = _most_memory(), time.process_time(), time.perf_counter()
    hook.download_video(url, path)
    return {
        "seconds": time.perf_counter() - began,
        "cpu": time.process_time() - cpu,
        "growth": _most_memory() - before,
    }


def _most_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    what = json.loads(sys.argv[1])
    print(json.dumps(measure(what["url"], what["path"])))


if __name__ == "__main__":
    main()
