"""What the server costs: `qbg serve` under load beside `qbg remove` on the same pictures, and `rembg s`.

    python benches/serve.py [--model qbg-base] [--pictures DIR] [--seconds 15] [--rounds 3]
                            [--connections 1,8,64,256] [--rembg PYTHON] [--output R.json]

Issued: POST requests with one picture each, in turn, by wrk (which has to be installed) on loopback and on
the same cores, so its own time is the server's loss. Who is told 429 waits as long as Retry-After says.
Timed: wrk's window; counted are answers with status 200 only, but wrk's percentiles know no status: where
there are 429s they tell nothing of pictures. Left out: the network between machines.

`--rembg` is a Python that has rembg[cpu,cli]: its server is measured with the same pictures and model.
Settings are the defaults, but for `--queue`. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import measure
from qbg.bench import system

SAMPLES = measure.ROOT / "python" / "qbg" / "bench" / "samples"
START_S = 120
SETTLE_S = 1.0

SCRIPT = """
local files = { %(files)s }
local form = %(form)s
local bodies, number, wait_ms = {}, 0, 0
ok, busy, other = 0, 0, 0
local threads = {}

function setup(thread) table.insert(threads, thread) end

function init(args)
  for i, name in ipairs(files) do
    local stream = io.open(name, "rb")
    local body = stream:read("*a")
    stream:close()
    local headers = { ["Content-Type"] = "image/jpeg" }
    if form then
      headers["Content-Type"] = "multipart/form-data; boundary=edge"
      body = "--edge\\r\\nContent-Disposition: form-data; name=\\"file\\"; filename=\\"x.jpg\\"\\r\\n" ..
        "Content-Type: image/jpeg\\r\\n\\r\\n" .. body .. "\\r\\n--edge\\r\\n" ..
        "Content-Disposition: form-data; name=\\"model\\"\\r\\n\\r\\n%(model)s\\r\\n--edge--\\r\\n"
    end
    bodies[i] = wrk.format("POST", "%(path)s", headers, body)
  end
end

function request()
  number = number + 1
  return bodies[(number - 1) %% #bodies + 1]
end

function delay()
  local ms = wait_ms
  wait_ms = 0
  return ms
end

function response(status, headers, body)
  if status == 200 then ok = ok + 1
  elseif status == 429 then
    busy = busy + 1
    wait_ms = 1000 * tonumber(headers["retry-after"] or headers["Retry-After"] or 1)
  else other = other + 1 end
end

function done(summary, latency, requests)
  local ok, busy, other = 0, 0, 0
  for _, thread in ipairs(threads) do
    ok, busy, other = ok + thread:get("ok"), busy + thread:get("busy"), other + thread:get("other")
  end
  local e = summary.errors
  io.write(string.format('\\nRESULT {"ok": %%d, "busy": %%d, "other": %%d, "socket": %%d, "seconds": %%f, ' ..
    '"p50_s": %%f, "p99_s": %%f}\\n', ok, busy, other, e.connect + e.read + e.write + e.timeout,
    summary.duration / 1e6, latency:percentile(50) / 1e6, latency:percentile(99) / 1e6))
end
"""


def main() -> int:
    """Measures and prints; writes a record if asked."""
    options = arguments()
    if shutil.which("wrk") is None:
        print("wrk is not installed (Debian: apt-get install wrk)", file=sys.stderr)
        return 2
    pictures = sorted(Path(options.pictures).glob("*.jpg"))
    connections = [int(text) for text in options.connections.split(",")]
    record: dict[str, Any] = {
        "machine": measure.machine(sorted(os.sched_getaffinity(0))),
        "model": options.model,
        "pictures": len(pictures),
        "picture_bytes": sum(path.stat().st_size for path in pictures),
        "seconds": options.seconds,
        "queue": options.queue,
        "rounds": [],
    }
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        copies = work / "in"
        copies.mkdir()
        for number in range(options.copies):
            for path in pictures:
                shutil.copy(path, copies / f"{number:03d}-{path.name}")
        for number in range(options.rounds):
            found: dict[str, Any] = {"remove": remove(options.model, copies, work / "out")}
            print(f"round {number}: qbg remove {found['remove']:.2f} images/s")
            with serving(options) as (pid, port):
                target = {"path": f"/v1/cutout?model={options.model}", "form": "false"}
                load(work, pictures, port, 2, 3.0, options.model, target)  # warm
                before = rss(pid)
                found["qbg"] = {}
                for count in connections:
                    result = load(work, pictures, port, count, options.seconds, options.model, target)
                    result["rss_bytes"] = rss(pid)
                    found["qbg"][str(count)] = result
                    tell(f"  qbg serve, {count} connections", result, found["remove"])
                found["rss_before_bytes"] = before
            if options.rembg:
                with rembg(options) as (pid, port):
                    target = {"path": "/api/remove", "form": "true"}
                    load(work, pictures, port, 1, 3.0, options.model, target)
                    found["rembg"] = {}
                    for count in connections:
                        result = load(work, pictures, port, count, options.seconds, options.model, target)
                        result["rss_bytes"] = rss(pid)
                        found["rembg"][str(count)] = result
                        tell(f"  rembg s, {count} connections", result, found["remove"])
            record["rounds"].append(found)
    record["ratios"] = ratios(record["rounds"], connections)
    for name, value in record["ratios"].items():
        print(f"{name}: {value:.3f}")
    if options.output:
        Path(options.output).write_text(json.dumps(record, indent=1) + "\n")
    return 0


def ratios(rounds: list[dict[str, Any]], connections: list[int]) -> dict[str, float]:
    """Medians over rounds of images per second, over `qbg remove` and over rembg."""
    found = {}
    for count in connections:
        key = str(count)
        rates = [one["qbg"][key]["images_per_s"] / one["remove"] for one in rounds]
        found[f"serve/remove, {count} connections"] = statistics.median(rates)
        if all("rembg" in one for one in rounds):
            over = [
                one["qbg"][key]["images_per_s"] / max(one["rembg"][key]["images_per_s"], 1e-9)
                for one in rounds
            ]
            found[f"serve/rembg, {count} connections"] = statistics.median(over)
    return found


def remove(model: str, source: Path, target: Path) -> float:
    """Images per second of the command, after the model was loaded."""
    done = subprocess.run(
        [sys.executable, "-m", "qbg", "remove", "-m", model, "--overwrite", "--json", "-q", source, target],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(json.loads(done.stdout)["images_per_s"])


def load(
    work: Path,
    pictures: list[Path],
    port: int,
    connections: int,
    seconds: float,
    model: str,
    target: dict[str, str],
) -> dict[str, Any]:
    """One window of wrk."""
    script = work / "script.lua"
    files = ", ".join(f'"{path}"' for path in pictures)
    script.write_text(SCRIPT % {"files": files, "model": model, **target})
    done = subprocess.run(
        [
            *("wrk", "-t", "1", "-c", str(connections), "-d", f"{seconds:g}s", "--timeout", "60s"),
            *("-s", str(script), f"http://127.0.0.1:{port}"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    result: dict[str, Any] = json.loads(done.stdout.partition("RESULT ")[2].splitlines()[0])
    result["images_per_s"] = result["ok"] / result["seconds"]
    time.sleep(SETTLE_S)
    return result


def tell(name: str, result: dict[str, Any], reference: float) -> None:
    """A line."""
    rate = result["images_per_s"]
    print(
        f"{name}: {rate:.2f} images/s ({rate / reference:.3f} of remove), p50 {result['p50_s']:.3f} s, "
        f"p99 {result['p99_s']:.3f} s, 429: {result['busy']}, other: {result['other']}, "
        f"socket errors: {result['socket']}, {(result['rss_bytes'] or 0) / 2**20:.0f} MiB",
        flush=True,
    )


@contextmanager
def serving(options: argparse.Namespace) -> Iterator[tuple[int, int]]:
    """`qbg serve`; its process and port."""
    more = [] if options.queue is None else ["--queue", str(options.queue)]
    command = [sys.executable, "-m", "qbg", "serve", "-p", "8765", "-m", options.model, *more]
    with running(command, 8765, "/readyz") as pid:
        yield pid, 8765


@contextmanager
def rembg(options: argparse.Namespace) -> Iterator[tuple[int, int]]:
    """`rembg s` without its page."""
    command = [options.rembg, "-c", "from rembg.cli import main; main()", "s", "-p", "8766", "--no-ui"]
    with running([*command, "-h", "127.0.0.1", "-l", "warning"], 8766, "/api") as pid:
        yield pid, 8766


@contextmanager
def running(command: list[str], port: int, path: str) -> Iterator[int]:
    """A server, once it answers, and its end."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + START_S
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > end:
                    raise
                time.sleep(0.2)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()


def rss(pid: int) -> int | None:
    """Resident memory of another process."""
    words = (system.text(Path(f"/proc/{pid}/statm")) or "").split()
    return int(words[1]) * os.sysconf("SC_PAGE_SIZE") if len(words) > 1 else None


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="qbg-base")
    parser.add_argument("--pictures", default=str(SAMPLES))
    parser.add_argument("--copies", type=int, default=16, help="of each picture, for qbg remove")
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", default="1,8,64,256")
    parser.add_argument("--queue", type=int, default=None)
    parser.add_argument("--rembg", default=None, metavar="PYTHON")
    parser.add_argument("--output", default=None)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
