"""Runs qbg over a large folder with everything in its way that can be had, and checks what is there then.

    python scripts/endurance.py --count 38418 --record endurance.json

One picture in a hundred is broken. Runs are killed at random moments; in the first ones, and in the one that
meets a full disk, workers panic after every so many stages (a build of its own, which needs cargo). The full
disk is a small file system in memory, which needs the right to mount. What is missing is said. The last run
is suspended for a minute and goes to its end. Then every good picture has one whole mask, every broken one a
line, no input has changed, no temporary file is left, and the memory of the last run is flat. Ends with 1 if
not.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import io
import json
import os
import platform
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

import qbg

BROKEN_EVERY = 100
KINDS = 64
SMALL_DISK, LARGE_DISK = "24m", "4g"
KILLS = 12
PANIC_EVERY = 199  # stages; no multiple of their number, so that each has its turn
PANICKED = re.compile(r"on purpose, after (\w+)")
STAGES = 5  # at least, that panics came after
STEEPEST = 0.01  # of resident memory, per 10,000 pictures


def drawn(seed: int) -> bytes:
    """A disc before a slope, as a JPEG of 160x120."""
    draw = random.Random(seed)
    y, x = np.mgrid[0:120, 0:160]
    pixels = np.stack([x * draw.random() + y for _ in range(3)], 2).astype(np.uint8)
    center, radius = (draw.uniform(40, 120), draw.uniform(30, 90)), draw.uniform(15, 45)
    pixels[(x - center[0]) ** 2 + (y - center[1]) ** 2 < radius**2] = [draw.randrange(256) for _ in range(3)]
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=85)
    return stream.getvalue()


def broken(number: int, good: bytes) -> bytes:
    """One of five ways to be no picture."""
    ways = (b"", good[: len(good) // 2], b"no picture", good[:2], good[:200] + bytes(len(good) - 200))
    return ways[number % len(ways)]


def make_inputs(folder: Path, count: int) -> set[str]:
    """Writes them, a thousand to a folder; the names of those that are broken."""
    kinds = [drawn(seed) for seed in range(KINDS)]
    bad = set()
    for i in range(count):
        path = folder / f"{i // 1000:03}" / f"{i:06}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        data = kinds[i % KINDS]
        if i % BROKEN_EVERY == BROKEN_EVERY // 2:
            data = broken(i // BROKEN_EVERY, data)
            bad.add(path.relative_to(folder).as_posix())
        path.write_bytes(data)
    return bad


def digest(folder: Path) -> str:
    """Of all names and contents."""
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*.jpg")):
        whole.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return whole.hexdigest()


def mounted(folder: Path, options: str) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", options, "qbg-endurance", str(folder)]
    return sys.platform == "linux" and subprocess.run(command, capture_output=True).returncode == 0


def resident(process: int) -> int | None:
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * 4096
    except (OSError, IndexError):
        return None


class Runs:
    """The program, again and again."""

    def __init__(self, arguments: list[str], package: Path | None = None) -> None:
        """`package`: a folder with another build of qbg, whose workers panic."""
        self.command = [sys.executable, "-m", "qbg", *arguments]
        self.environment = dict(os.environ)
        if package is not None:
            self.environment |= {"PYTHONPATH": str(package), "QBG_PANIC_EVERY": str(PANIC_EVERY)}

    def killed_after(self, seconds: float) -> bool:
        silent = subprocess.DEVNULL
        with subprocess.Popen(self.command, stdout=silent, stderr=silent, env=self.environment) as run:
            try:
                run.wait(seconds)
            except subprocess.TimeoutExpired:
                run.kill()
            return run.wait() == -signal.SIGKILL

    def whole(self, *, suspended_s: float = 0.0) -> tuple[int, dict, list[tuple[float, int]]]:
        """To its end: exit code, summary, and resident memory by seconds."""
        began, memory = time.monotonic(), []
        with tempfile.TemporaryFile("w+") as told, tempfile.TemporaryFile("w+") as errors:
            run = subprocess.Popen(self.command, stdout=told, stderr=errors, text=True, env=self.environment)
            if suspended_s:
                time.sleep(5)
                run.send_signal(signal.SIGSTOP)
                time.sleep(suspended_s)
                run.send_signal(signal.SIGCONT)
            while run.poll() is None:
                now = resident(run.pid)
                if now:
                    memory.append((time.monotonic() - began, now))
                time.sleep(1)
            told.seek(0)
            return run.returncode, json.loads(told.read()), memory


def panicking(place: Path) -> Path | None:
    """A copy of the installed package with a native module that was built to panic; None without cargo."""
    if shutil.which("cargo") is None:
        return None
    root = Path(__file__).parents[1]
    build = ["cargo", "build", "--quiet", "--release", "--locked", "-p", "qbg-python", "--features", "faults"]
    subprocess.run([*build, "--target-dir", str(root / "target" / "faults")], cwd=root, check=True)
    package = place / "package"
    shutil.copytree(Path(qbg.__file__).parent, package / "qbg")
    module = next((package / "qbg").glob("_native*.so"))
    module.unlink()
    shutil.copyfile(root / "target" / "faults" / "release" / "lib_native.so", module)
    return package


def slope(memory: list[tuple[float, int]], images: int) -> float:
    """Growth of resident memory per 10,000 pictures, as a share of its mean, after the first fifth."""
    kept = memory[len(memory) // 5 :]
    if len(kept) < 10:
        return 0.0
    seconds, size = np.array(kept, float).T
    per_second = np.polyfit(seconds, size, 1)[0]
    rate = images / memory[-1][0]
    return float(per_second / rate * 10_000 / size.mean())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--count", type=int, default=38_418)
    parser.add_argument("--model", default=None, help="the built-in one unless named")
    parser.add_argument("--suspend", type=float, default=60.0, metavar="SECONDS")
    parser.add_argument("--record", type=Path)
    parser.add_argument("--seed", type=int, default=7)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="qbg-endurance-") as place:
        return _run(asked, Path(place))


def _run(asked: argparse.Namespace, place: Path) -> int:
    moments = random.Random(asked.seed)
    inputs, out = place / "in", place / "out"
    bad = make_inputs(inputs, asked.count)
    before = digest(inputs)
    print(f"{asked.count} pictures, {len(bad)} of them broken", flush=True)
    out.mkdir()
    disk = mounted(out, f"size={SMALL_DISK}")
    journal = place / "run.jsonl"
    command = ["remove", str(inputs), str(out), "--only-mask"]
    command += ["--journal", str(journal), "--resume", "--json", "--quiet"]
    command += ["-m", asked.model] if asked.model else []
    package = panicking(place)
    runs, wild = Runs(command), Runs(command, package)
    began = time.monotonic()
    try:
        kills = sum(wild.killed_after(moments.uniform(1, 8)) for _ in range(KILLS))
        print(f"{kills} kills, {_count(out)} done", flush=True)
        full = "no right to mount: not tried"
        if disk:
            code, summary, _ = wild.whole()
            full = str(summary["stopped"])
            print(f"full disk: ended with {code}, {full}, {_count(out)} done", flush=True)
            subprocess.run(["mount", "-o", f"remount,size={LARGE_DISK}", str(out)], check=True)
        kills += sum(runs.killed_after(moments.uniform(2, 12)) for _ in range(KILLS))
        print(f"{kills} kills, {_count(out)} done", flush=True)
        code, summary, memory = runs.whole(suspended_s=asked.suspend)
        problems = _problems(inputs, out, bad, before, code, summary)
        if disk and "no room" not in full:
            problems.append(f"the disk was not full: {full}")
    finally:
        if disk:
            subprocess.run(["umount", str(out)], check=False)
    growth = slope(memory, summary["done"])
    if growth > STEEPEST:
        problems.append(f"memory grows by {growth:.2%} per 10,000 pictures")
    lines = journal.read_text(encoding="utf-8").splitlines()
    after = collections.Counter(found[1] for line in lines if (found := PANICKED.search(line)))
    if package is not None and len(after) < STAGES:
        problems.append(f"panics after {len(after)} stages only: {dict(after)}")
    report = {
        "label": "measured",
        "machine": platform.platform(),
        "cpu": _cpu(),
        "model": summary["model"],
        "engine": summary["engine"],
        "precision": summary["precision"],
        "pictures": asked.count,
        "broken": len(bad),
        "kills": kills,
        "panics": dict(after) if package is not None else "no cargo: not tried",
        "full_disk": full,
        "suspended_s": asked.suspend,
        "seconds": round(time.monotonic() - began, 1),
        "last_run": {
            "done": summary["done"],
            "skipped": summary["skipped"],
            "failed": len(summary["failed"]),
            "images_per_s": round(summary["images_per_s"], 2),
            "resident_mib": [round(size / 2**20, 1) for _, size in memory[:: max(1, len(memory) // 40)]],
            "growth_per_10000": round(growth, 5),
        },
        "journal_lines": len(lines),
        "problems": problems,
    }
    print(json.dumps(report, indent=2))
    if asked.record:
        asked.record.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 1 if problems else 0


def _count(out: Path) -> int:
    return sum(1 for _ in out.rglob("*.png"))


def _cpu() -> str:
    from qbg import _native

    return str(_native.system()["cpu"])


def _problems(inputs: Path, out: Path, bad: set[str], before: str, code: int, summary: dict) -> list[str]:
    """What isn't as it has to be."""
    problems = []
    if code != 1:
        problems.append(f"exit code {code}: broken pictures have to make it 1")
    wanted = {p.relative_to(inputs).with_suffix(".png").as_posix() for p in inputs.rglob("*.jpg")}
    wanted -= {Path(name).with_suffix(".png").as_posix() for name in bad}
    there = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}
    if lost := wanted - there:
        problems.append(f"{len(lost)} lost, such as {min(lost)}")
    if more := there - wanted:
        problems.append(f"{len(more)} that shouldn't be there, such as {min(more)}")
    torn = 0
    for name in wanted & there:
        try:
            with Image.open(out / name) as image:
                image.load()
                torn += image.size != (160, 120)
        except OSError:
            torn += 1
    if torn:
        problems.append(f"{torn} not whole")
    named = {Path(f["file"]).relative_to(inputs).as_posix() for f in summary["failed"] if f["stage"]}
    if named != bad:
        problems.append(f"{len(named ^ bad)} broken pictures are not named, or good ones are")
    if digest(inputs) != before:
        problems.append("inputs changed")
    return problems


if __name__ == "__main__":
    sys.exit(main())
