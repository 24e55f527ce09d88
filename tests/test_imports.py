"""Who may import whom, read from the sources and from a fresh interpreter, compared with the house's picture.

cli -> { remover, bench, report, models, engine }; remover -> { engine, models, _native }; bench -> { remover,
report's types }; report reads records and documents only.
"""

from __future__ import annotations

import ast
import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT

PACKAGE = ROOT / "python" / "qbg"
HEAVY = ("numpy", "onnxruntime", "openvino", "rich", "typer", "PIL", "qbg.cli", "qbg.bench", "qbg.report")

RENDERERS = ("terminal", "markdown", "html", "svg", "console", "bench_console")

# For each part of the package: the parts it must never import, in whatever function.
FORBIDDEN = {
    "errors": ("qbg",),
    "options": ("qbg.cli", "qbg.report", "qbg.remover", "qbg.engine", "qbg.models", "qbg._native"),
    "recipe": ("qbg.cli", "qbg.report", "qbg.remover", "qbg.engine", "qbg.models", "qbg._native"),
    "engine": ("qbg.cli", "qbg.report", "qbg.remover", "rich", "typer", "PIL"),
    "models": ("qbg.cli", "qbg.report", "qbg.remover", "rich", "typer"),
    "remover": ("qbg.cli", "qbg.report", "rich", "typer"),
    "bench": ("qbg.cli", "rich", "typer", *(f"qbg.report.{name}" for name in RENDERERS)),
    "elastic": ("qbg.cli", "qbg.report", "qbg.serve", "rich", "typer"),
    "compat": ("qbg.cli", "qbg.report", "qbg.serve", "qbg.cluster", "rich", "typer"),
    "serve": ("qbg.cli", "qbg.report", "qbg.compat", "qbg.cluster", "rich", "typer"),
    "cluster": ("qbg.cli", "qbg.report", "qbg.compat", "qbg.serve", "rich", "typer"),
    "ray": ("qbg.cli", "qbg.cluster", "ray", "pyarrow"),
    "trial": ("qbg",),
    "report": ("qbg.bench", "qbg.cli", "qbg.remover", "qbg.engine", "qbg.models", "onnxruntime", "typer"),
}


def imported(path: Path) -> set[str]:
    """Modules that a file imports at run time, `if TYPE_CHECKING:` left out."""
    names: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for other in node.orelse:
                visit(other)
            return
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text(encoding="utf-8")))
    return names


def files_of(part: str) -> list[Path]:
    """The files of a module or a subpackage."""
    return sorted((PACKAGE / part).rglob("*.py")) or [PACKAGE / f"{part}.py"]


@pytest.mark.parametrize("part", FORBIDDEN)
def test_direction_of_dependence(part: str) -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for path in files_of(part)
        for name in imported(path)
        for banned in FORBIDDEN[part]
        if name == banned or name.startswith(f"{banned}.")
    ]
    assert not wrong


def loaded_by(statement: str) -> set[str]:
    """Modules in a fresh interpreter after `statement`."""
    program = f"import sys, json\n{statement}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True, timeout=30
    )
    return set(json.loads(done.stdout))


def test_import_qbg_is_light() -> None:
    loaded = loaded_by("import qbg")
    assert "qbg" in loaded
    assert not loaded & set(HEAVY)


def test_help_loads_no_network_library() -> None:
    loaded = loaded_by("import qbg.cli")
    assert not loaded & {"numpy", "onnxruntime", "openvino", "PIL"}


def test_models_are_found_without_the_network() -> None:
    loaded = loaded_by("import qbg.models")
    assert not loaded & {"numpy", "onnxruntime", "urllib.request", "http.client", "ssl"}


def test_all_names_that_qbg_promises_are_there() -> None:
    import qbg

    assert len(set(qbg.__all__)) == len(qbg.__all__)
    assert {name for name in qbg.__all__ if not hasattr(qbg, name)} == set()
    assert set(qbg.__all__) <= set(dir(qbg))


def test_core_never_names_python() -> None:
    core = ROOT / "rust" / "core"
    texts = {path: path.read_text(encoding="utf-8").lower() for path in core.rglob("*.rs")}
    texts[core / "Cargo.toml"] = (core / "Cargo.toml").read_text(encoding="utf-8").lower()
    assert len(texts) > 5
    assert [str(path) for path, text in texts.items() if "pyo3" in text] == []


def test_one_version_everywhere() -> None:
    import qbg
    from qbg import _native

    assert qbg.__version__ == _native.__version__ == importlib.metadata.version("qbg")


def test_the_wheel_holds_the_model_and_its_licence() -> None:
    import hashlib

    import qbg
    from qbg.models import DEFAULT, MODELS

    data = Path(qbg.__file__).parent / "models" / "data"
    digest = hashlib.sha256((data / f"{DEFAULT}.onnx").read_bytes()).hexdigest()
    assert digest == MODELS[DEFAULT].sha256
    assert "Apache License" in (data / f"{DEFAULT}.NOTICE.md").read_text(encoding="utf-8")
    assert "Apache License" in (data / "LICENSE-APACHE-2.0").read_text(encoding="utf-8")
    assert (data.parents[1] / "py.typed").exists()
