"""What stands in deploy/: the commands in it are run, the rest is held against what it has to be."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from conftest import ROOT, digests, qbg_command

DEPLOY = ROOT / "deploy"


@pytest.fixture
def environment(quick_model: Path, tmp_path: Path) -> dict[str, str]:
    """A PATH where `qbg` is the installed one with a network that takes microseconds."""
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    command = " ".join(qbg_command())
    script = bin_ / "qbg"
    script.write_text(f'#!/bin/sh\nshift\nexec {command} remove -m "{quick_model}" "$@"\n')
    script.chmod(0o755)
    return {**os.environ, "PATH": f"{bin_}:{os.environ['PATH']}"}


def test_the_tasks_of_a_slurm_array_do_all_of_it(environment, photos, tmp_path):
    for index in range(3, 6):  # an array may begin anywhere
        task = {"SLURM_ARRAY_TASK_ID": str(index), "SLURM_ARRAY_TASK_MIN": "3", "SLURM_ARRAY_TASK_COUNT": "3"}
        done = subprocess.run(
            [DEPLOY / "slurm" / "array.sh", photos, tmp_path / "out"],
            env={**environment, **task, "SLURM_CPUS_PER_TASK": "1"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    assert len(digests(tmp_path / "out")) == len(list(photos.glob("*.jpg")))
    assert len(list((tmp_path / "out.journal").iterdir())) == 3


def test_the_pods_of_an_indexed_job_do_all_of_it(environment, photos, tmp_path):
    yaml = pytest.importorskip("yaml", reason="SKIPPED: no PyYAML")
    job = yaml.safe_load((DEPLOY / "kubernetes" / "shards.yaml").read_text())
    container = job["spec"]["template"]["spec"]["containers"][0]
    parts = job["spec"]["completions"]
    [script] = container["args"]
    assert f"/{parts}" in script
    (tmp_path / "photos").mkdir()
    for path in photos.glob("*.jpg"):
        (tmp_path / "photos" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "photos" / "bad.jpg").write_bytes(b"no picture")
    script = script.replace("/data/", f"{tmp_path}/").replace(f"/{parts}", "/2")
    (tmp_path / "journal").mkdir()
    for index in range(2):
        pod = {**environment, "JOB_COMPLETION_INDEX": str(index)}
        done = subprocess.run([*container["command"], script], env=pod, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert len(digests(tmp_path / "cutouts")) == len(list(photos.glob("*.jpg")))


def test_manifests_are_yaml_and_run_as_nobody(tmp_path):
    yaml = pytest.importorskip("yaml", reason="SKIPPED: no PyYAML")
    kinds = []
    for path in (DEPLOY / "kubernetes").glob("*.yaml"):
        for part in yaml.safe_load_all(path.read_text()):
            kinds.append(part["kind"])
            pod = part["spec"].get("template", {}).get("spec")
            if pod is None:
                continue
            assert pod["securityContext"]["runAsNonRoot"] is True
            for container in pod["containers"]:
                assert container["securityContext"]["readOnlyRootFilesystem"] is True
                assert container["resources"]["requests"] == container["resources"]["limits"]
    assert sorted(kinds) == ["Deployment", "Job", "PodDisruptionBudget", "Service"]


def test_the_image_is_built_in_two_stages_and_runs_as_nobody():
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    stages = [line for line in lines if line.startswith("FROM ")]
    assert len(stages) == 2
    assert all("." not in stage.split()[1].partition(":")[0] for stage in stages)  # no registry's host
    last = lines[lines.index(stages[1]) :]
    assert any(re.fullmatch(r"USER \d+", line) for line in last)
    pinned = next(line for line in lines if "maturin==" in line).partition("maturin==")[2].split()[0]
    assert f"maturin=={pinned}" in (ROOT / "requirements-dev.txt").read_text().split()


def test_the_unit_starts_what_there_is(qbg):
    [line] = re.findall(
        r"^ExecStart=\S*/qbg (.*)$", (DEPLOY / "systemd" / "qbg.service").read_text(), re.MULTILINE
    )
    command, *flags = line.split()
    shown = qbg(command, "--help")
    assert shown.code == 0
    assert all(flag in shown.out for flag in flags if flag.startswith("--"))
