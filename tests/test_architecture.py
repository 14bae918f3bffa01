"""The rules that hold the house up: sizes, import directions, a command line without torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[1]
CODE = sorted(
    p for folder in ("vesselbench", "plugins", "benchmarks", "tests", "docs") for p in (ROOT / folder).rglob("*.py")
)
PACKAGE = [path for path in CODE if path.parts[len(ROOT.parts)] in ("vesselbench", "plugins")]
MOST_LINES = 350
MOST_LINES_OF_A_FUNCTION = 60


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_the_size_budget_has_files_to_measure():
    assert len(PACKAGE) > 30


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_and_no_function_is_over_the_size_budget(path):
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= MOST_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < MOST_LINES_OF_A_FUNCTION, f"{node.name} is too long"


def test_imports_go_one_way():
    done = run("-c", "from importlinter.cli import lint_imports_command; lint_imports_command()")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


@pytest.mark.parametrize("package", ["vesselbench", "vesselbench_monai", "vesselbench_sa2va"])
def test_no_module_needs_one_that_needs_it_not_even_for_its_types(package):
    graph = grimp.build_graph(package, exclude_type_checking_imports=False)
    TopologicalSorter({name: graph.find_modules_directly_imported_by(name) for name in graph.modules}).prepare()


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["plugins", "--json"], ["config", "unet"]])
def test_the_command_line_answers_without_importing_torch(words):
    script = (
        "import sys; from vesselbench.cli import main; sys.argv = ['vesselbench', *sys.argv[1:]]\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "print(sorted({'torch', 'deepspeed', 'monai', 'transformers'} & set(sys.modules)))"
    )
    done = run("-c", script, *words)
    assert done.stdout.strip().endswith("[]"), done.stdout[-500:] + done.stderr


def test_comparing_and_reporting_import_no_torch():
    done = run("-c", "import sys, vesselbench.compare, vesselbench.report; print('torch' in sys.modules)")
    assert done.stdout.strip() == "False", done.stderr


@pytest.mark.parametrize(
    "word", ["raise NotImplementedError", "trust_remote_code=True", "strict=False", "pickle.load("]
)
def test_the_package_holds_no_stub_and_no_loose_load(word):
    assert [str(p.name) for p in PACKAGE if word in p.read_text(encoding="utf-8")] == []


def test_only_the_command_line_prints():
    printing = [
        str(path.relative_to(ROOT))
        for path in PACKAGE
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert printing == []
