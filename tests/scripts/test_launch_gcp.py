"""scripts/launch_gcp.sh with a stand-in for gcloud: what is asked of it, and that no machine is left behind.

The stand-in writes down how it was called, keeps "machines" as folders, and runs in them what `ssh` sends,
with stand-ins for sudo and for reproduce.sh: so the quoting is tested by a shell. Nothing is rented.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SKIPPED: a shell script of POSIX systems")

SCRIPT = ROOT / "scripts" / "launch_gcp.sh"

GCLOUD = f"""#!{sys.executable}
import json, os, pathlib, shutil, subprocess, sys
arguments, cloud, fail = sys.argv[1:], pathlib.Path(os.environ["CLOUD"]), os.environ.get("FAIL", "").split()
with open(cloud / "calls", "a") as calls:
    calls.write(json.dumps(arguments) + "\\n")
def value(name):
    return next(word.split("=", 1)[1] for word in arguments if word.startswith(name + "="))
verb = arguments[2] if arguments[1] == "instances" else arguments[1]
machines = cloud / "machines"
if verb in fail:
    sys.exit(1)
if verb == "create":
    if "create-half" not in fail and (machines / arguments[3]).exists():
        sys.exit(1)
    (machines / arguments[3]).mkdir(parents=True)
    (machines / arguments[3] / ".labels").write_text(value("--labels"))
    sys.exit(1 if "create-half" in fail else 0)
elif verb == "list":
    wanted = value("--filter").split(" AND ")
    name = wanted[0].removeprefix("name=")
    if (machines / name).exists():
        label = (machines / name / ".labels").read_text()
        if len(wanted) == 1 or wanted[1].removeprefix("labels.") == label:
            print(name)
elif verb == "delete":
    shutil.rmtree(machines / arguments[3])
elif verb == "ssh":
    if "cat " in arguments[-1] and "gone" in fail:
        sys.exit(255)
    if "cat " in arguments[-1] and "taken" in fail:
        shutil.rmtree(machines / arguments[2], ignore_errors=True)
        sys.exit(255)
    sys.exit(subprocess.call(["bash", "-c", arguments[-1]], cwd=machines / arguments[2]))
elif verb == "scp":
    paths = [word for word in arguments[2:] if not word.startswith("--")]
    def local(path):
        name, colon, rest = path.partition(":")
        return machines / name / rest if colon else pathlib.Path(path)
    for source in map(local, paths[:-1]):
        target = local(paths[-1])
        if source.is_dir():
            shutil.copytree(source, target / source.name)
        else:
            shutil.copy(source, target)
"""

REPRODUCE = f"""#!{sys.executable}
import json, os, sys
os.mkdir("results")
json.dump(sys.argv[1:], open("results/arguments.json", "w"))
print("reproduced")
sys.exit(int(os.environ.get("RUN", "0")))
"""


class Cloud:
    """A folder with stand-ins, and the script run against them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.scripts, programs = folder / "house" / "scripts", folder / "programs"
        for path in (self.scripts, programs, folder / "cloud" / "machines"):
            path.mkdir(parents=True)
        shutil.copy(SCRIPT, self.scripts)
        for path, text in (
            (programs / "gcloud", GCLOUD),
            (programs / "sudo", "#!/bin/sh\nexit 0\n"),
            (self.scripts / "reproduce.sh", REPRODUCE),
            (self.scripts / "make_dataset.py", ""),
            (self.scripts / "download_coco.sh", ""),
        ):
            path.write_text(text)
            path.chmod(0o755)
        self.wheel = folder / "qbg-1.whl"
        self.wheel.write_bytes(b"wheel")
        self.environment = {
            **os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "CLOUD": str(folder / "cloud"),
        }  # fmt: skip

    def run(self, *options: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.scripts / "launch_gcp.sh"), "--project", "my-project", "--poll", "0"]
        command += ["--results", "fetched", *map(str, options)]
        return subprocess.run(
            command,
            cwd=self.folder,
            env={**self.environment, **more},
            capture_output=True,
            text=True,
            timeout=55,
        )

    @property
    def calls(self) -> list[list[str]]:
        log = self.folder / "cloud" / "calls"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def verbs(self) -> list[str]:
        """What gcloud was asked for, looks at the run counted once."""
        words = [call[2] if call[1] == "instances" else call[1] for call in self.calls]
        return [word for at, word in enumerate(words) if at == 0 or word != words[at - 1]]

    @property
    def machines(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "cloud" / "machines").iterdir())


@pytest.fixture
def cloud(tmp_path: Path) -> Cloud:
    return Cloud(tmp_path)


def test_without_yes_nothing_is_asked(cloud: Cloud) -> None:
    before = sorted(cloud.folder.rglob("*"))
    done = cloud.run("--wheel", cloud.wheel)
    assert done.returncode == 0, done.stderr
    assert sorted(cloud.folder.rglob("*")) == before
    printed = [shlex.split(line) for line in done.stdout.splitlines() if line.startswith("gcloud")]
    assert [line[2:4] if line[2] == "instances" else line[2] for line in printed] == [
        ["instances", "create"], "ssh", "scp", "ssh", "ssh", "scp", "scp", ["instances", "delete"],
    ]  # fmt: skip
    assert "your price list decides" in done.stdout
    assert "reproduce.sh" in done.stdout


def test_works_without_gcloud_until_yes(cloud: Cloud) -> None:
    (cloud.folder / "programs" / "gcloud").unlink()
    for name in ("bash", "env", "date", "dirname", "sed", "awk"):
        (cloud.folder / "programs" / name).symlink_to(str(shutil.which(name)))
    cloud.environment["PATH"] = str(cloud.folder / "programs")  # a real one may be on the other path
    assert cloud.run("--wheel", cloud.wheel).returncode == 0
    done = cloud.run("--yes", "--wheel", cloud.wheel)
    assert done.returncode == 3
    assert "gcloud is missing" in done.stderr


def test_runs_fetches_and_deletes(cloud: Cloud) -> None:
    options = ["--yes", "--wheel", cloud.wheel, "--price-per-hour", "2", "--max-run-duration", "90m"]
    odd = 'it\'s "odd" $HOME; exit 7 #'
    done = cloud.run(*options, "--", "--count", "100", "--model", odd)
    assert done.returncode == 0, done.stderr
    assert cloud.verbs() == ["list", "create", "ssh", "scp", "ssh", "scp", "delete"]
    assert cloud.machines == []
    fetched = cloud.folder / "fetched"
    assert "reproduced" in (fetched / "log.txt").read_text()
    arguments = json.loads((fetched / "results" / "arguments.json").read_text())
    assert arguments[:2] == ["--wheel", "qbg-1.whl"]
    assert arguments[-6:] == ["--price-per-hour", "2", "--count", "100", "--model", odd]
    assert "at most 3.00 dollars" in done.stdout


def test_every_machine_ends_by_itself(cloud: Cloud) -> None:
    assert cloud.run("--yes", "--wheel", cloud.wheel, "--spot").returncode == 0
    create = next(call for call in cloud.calls if "create" in call)
    assert {
        "--max-run-duration=4h",
        "--instance-termination-action=DELETE",
        "--boot-disk-auto-delete",
        "--provisioning-model=SPOT",
        "--machine-type=c4d-highcpu-384",
        "--boot-disk-type=hyperdisk-balanced",
        "--no-service-account",
        "--no-scopes",
        "--project=my-project",
    } <= set(create)
    assert all("--project=my-project" in call for call in cloud.calls)


@pytest.mark.parametrize("step", ["ssh", "scp", "gone"])
def test_deleted_whatever_fails(cloud: Cloud, step: str) -> None:
    done = cloud.run("--yes", "--wheel", cloud.wheel, FAIL=step)
    assert done.returncode == 1, done.stderr
    assert cloud.verbs()[-1] == "delete"
    assert cloud.machines == []


def test_a_failed_run_is_fetched_and_deleted(cloud: Cloud) -> None:
    done = cloud.run("--yes", "--wheel", cloud.wheel, RUN="1")
    assert done.returncode == 1
    assert "exit code 1" in done.stderr
    assert (cloud.folder / "fetched" / "results" / "arguments.json").exists()
    assert cloud.machines == []


def test_interrupted_in_the_middle(cloud: Cloud) -> None:
    """A signal while it waits for the run: the machine goes all the same."""
    # It would take longer than this test may, and ends when its machine does.
    forever = "#!/bin/sh\nwhile [ -e run.sh ]; do sleep 0.1; done\n"
    (cloud.scripts / "reproduce.sh").write_text(forever)
    command = [str(cloud.scripts / "launch_gcp.sh"), "--project", "my-project", "--poll", "0", "--yes"]
    command += ["--wheel", str(cloud.wheel)]
    with subprocess.Popen(
        command, cwd=cloud.folder, env=cloud.environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert any("running" in line for line in process.stderr)
        process.terminate()
        process.communicate(timeout=50)
    assert process.returncode == 130
    assert cloud.machines == []


def test_a_machine_that_could_not_be_made(cloud: Cloud) -> None:
    done = cloud.run("--yes", "--wheel", cloud.wheel, FAIL="create")
    assert done.returncode == 1
    assert cloud.verbs() == ["list", "create", "list"]


def test_a_machine_that_was_made_though_create_failed(cloud: Cloud) -> None:
    done = cloud.run("--yes", "--wheel", cloud.wheel, FAIL="create-half")
    assert done.returncode == 1
    assert cloud.verbs() == ["list", "create", "list", "delete"]
    assert cloud.machines == []


def test_anothers_machine_is_left_alone(cloud: Cloud) -> None:
    mine = cloud.folder / "cloud" / "machines" / "mine"
    mine.mkdir()
    (mine / ".labels").write_text("owner=me")
    done = cloud.run("--yes", "--wheel", cloud.wheel, "--name", "mine")
    assert done.returncode == 1
    assert cloud.verbs() == ["list"]
    assert cloud.machines == ["mine"]


def test_anothers_machine_that_came_in_between(cloud: Cloud) -> None:
    """`list` saw none, `create` found one: it carries another label."""
    gcloud = cloud.folder / "programs" / "gcloud"
    race = 'if verb == "create":\n    (machines / arguments[3]).mkdir()\n'
    race += '    (machines / arguments[3] / ".labels").write_text("owner=me")\n    sys.exit(1)\n'
    gcloud.write_text(gcloud.read_text().replace("if verb in fail:", race + "if verb in fail:"))
    done = cloud.run("--yes", "--wheel", cloud.wheel, "--name", "mine")
    assert done.returncode == 1
    assert "delete" not in cloud.verbs()
    assert cloud.machines == ["mine"]


def test_a_machine_that_will_not_go_is_shouted_about(cloud: Cloud) -> None:
    done = cloud.run("--yes", "--wheel", cloud.wheel, "--name", "stays", FAIL="delete")
    assert done.returncode == 5
    assert "MAY STILL BE THERE" in done.stderr
    assert "gcloud compute instances delete stays" in done.stderr
    assert sum("delete" in call for call in cloud.calls) == 3


def test_a_machine_that_was_taken_away(cloud: Cloud) -> None:
    """As a spot machine may be, or any at the end of its time: that is no alarm, and no success either."""
    done = cloud.run("--yes", "--wheel", cloud.wheel, "--spot", FAIL="taken")
    assert done.returncode == 1
    assert "gone already" in done.stderr
    assert cloud.verbs()[-2:] == ["delete", "list"]


def test_nobody_reads_its_output(cloud: Cloud) -> None:
    """As in `launch_gcp.sh --yes | head`: the machine goes all the same."""
    command = [str(cloud.scripts / "launch_gcp.sh"), "--project", "my-project", "--poll", "0", "--yes"]
    command += ["--wheel", str(cloud.wheel)]
    with subprocess.Popen(
        command, cwd=cloud.folder, env=cloud.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.stdout.close()
        process.wait(timeout=50)
    assert "delete" in cloud.verbs()
    assert cloud.machines == []


def test_keep(cloud: Cloud) -> None:
    done = cloud.run("--yes", "--wheel", cloud.wheel, "--keep", "--name", "stays")
    assert done.returncode == 0, done.stderr
    assert cloud.machines == ["stays"]
    assert "--max-run-duration=4h" in next(call for call in cloud.calls if "create" in call)
    assert "gcloud compute instances delete stays" in done.stderr


def test_a_checkout_is_copied_as_committed(cloud: Cloud) -> None:
    house = cloud.folder / "house"
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false", "-C", str(house)]
    for line in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "a"]):
        subprocess.run([*git, *line], check=True, timeout=50)
    (house / "not-committed").write_text("x")
    rustup = cloud.folder / "programs" / "rustup"
    rustup.write_text('#!/bin/sh\necho "$@" >rustup-called\n')
    rustup.chmod(0o755)
    extra = cloud.folder / "my network.onnx"
    extra.write_bytes(b"n")
    done = cloud.run("--yes", "--copy", extra, "--keep", "--name", "stays")
    assert done.returncode == 0, done.stderr
    assert "has changes" in done.stderr
    there = cloud.folder / "cloud" / "machines" / "stays" / "qbg-run"
    assert (there / "source" / "scripts" / "reproduce.sh").exists()
    assert not (there / "source" / "not-committed").exists()
    assert (there / "rustup-called").exists()
    assert (there / "my network.onnx").exists()
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=50).stdout
    assert (cloud.folder / "fetched" / "revision.txt").read_text() == head
    arguments = json.loads((cloud.folder / "fetched" / "results" / "arguments.json").read_text())
    assert arguments[:2] == ["--install", "checkout"]


@pytest.mark.parametrize(
    "options",
    [
        ["--max-run-duration", "0h"],
        ["--max-run-duration", "forever"],
        ["--zone", "--quiet"],
        ["--machine-type", "a b"],
        ["--name", "Bad_Name"],
        ["--disk-gb", "0"],
        ["--price-per-hour", "cheap"],
        ["--wheel", "nowhere.whl"],
        ["--copy", "nowhere.onnx"],
        ["--from", "wheel"],
        ["--from", "elsewhere"],
        ["--from", "checkout"],
        ["--what"],
        ["--zone"],
    ],
)
def test_wrong_usage(cloud: Cloud, options: list[str]) -> None:
    done = cloud.run("--yes", *options)
    assert done.returncode == 2, done.stderr
    assert cloud.calls == []


def test_the_project_must_be_named(cloud: Cloud) -> None:
    command = [str(cloud.scripts / "launch_gcp.sh")]
    done = subprocess.run(command, env=cloud.environment, capture_output=True, text=True, timeout=50)
    assert done.returncode == 2
    assert "--project" in done.stderr


def test_help(cloud: Cloud) -> None:
    done = cloud.run("--help")
    assert done.returncode == 0
    assert "--max-run-duration" in done.stdout
