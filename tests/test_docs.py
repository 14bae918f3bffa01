"""The documentation says what the code does: names, signatures, commands, keys, links, examples, files of a run."""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer
import yaml
from PIL import Image
from pydantic import BaseModel

from vesselbench import hookspecs
from vesselbench.cli import app
from vesselbench.commands.curve import sorted_words
from vesselbench.config import DataConfig, Recipe
from vesselbench.curve import parse_fractions
from vesselbench.data.read import load_example, read_samples
from vesselbench.evaluation.score import score
from vesselbench.plugins import HOOKS, Catalogue, add_commands, load_catalogue
from vesselbench.recipes import explain_key, load_recipe, part_of, validate_options
from vesselbench.rundir import check_set_name
from vesselbench.testing import tiny_examples
from vesselbench.types import Prediction

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(DOCS := ROOT / "docs").glob("*.md")])
EVERY_PAGE = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
PLANNED = "(planned)"
KEY = re.compile(r"(?:data|train|evaluation|model)\.(?!jsonl?\b|py\b)[a-z_0-9.]+(?=$|[=:])")


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of one language on a page."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def prose(page: Path) -> list[str]:
    """The lines of a page outside its fenced blocks."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL).splitlines()


def spans(page: Path) -> Iterator[str]:
    """Code spans of the prose; lines that speak of what is planned are left out."""
    for line in prose(page):
        if PLANNED not in line:
            yield from re.findall(r"`([^`]+)`", line)


def command_lines(page: Path) -> list[str]:
    """Commands of the page's `sh` blocks, comments taken away."""
    lines = "".join(blocks(page, "sh")).splitlines()
    return [shown for line in lines if (shown := shlex.join(shlex.split(line, comments=True)))]


def reference() -> ModuleType:
    """docs/make_reference.py as a module."""
    spec = importlib.util.spec_from_file_location("make_reference", DOCS / "make_reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def per_page(found: Any) -> list[Any]:
    return [
        pytest.param(page, item, id=f"{page.name}: {item}") for page in PAGES for item in dict.fromkeys(found(page))
    ]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Iterator[Path]:
    """A folder on sys.path where the two plugins of the documentation lie, with their entry points."""
    folder = tmp_path_factory.mktemp("site")
    for page, module in (("add-a-model.md", "vesselbench_halfnet"), ("hooks.md", "vesselbench_extras")):
        code = blocks(DOCS / page, "python")
        code = code[:1] if module == "vesselbench_halfnet" else code
        (folder / f"{module}.py").write_text("\n".join(code))
        entries = tomllib.loads(blocks(DOCS / page, "toml")[0])["project"]["entry-points"]["vesselbench"]
        information = folder / f"{module}-0.1.0.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 0.1.0\n")
        listed = "".join(f"{name} = {value}\n" for name, value in entries.items())
        (information / "entry_points.txt").write_text(f"[vesselbench]\n{listed}")
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def catalogue(site) -> Catalogue:
    return load_catalogue()


@pytest.fixture
def workplace(tmp_path, monkeypatch) -> Path:
    """A working directory that holds the YAML files of all pages under the names that their first lines give."""
    for page in PAGES:
        for text in blocks(page, "yaml"):
            path = tmp_path / text.splitlines()[0].removeprefix("# ")
            assert path.suffix == ".yaml", f"{page.name}: a YAML block starts with its file name"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented_with_its_exact_arguments(hook):
    arguments = ", ".join(inspect.signature(getattr(hookspecs, hook)).parameters)
    assert f"`{hook}({arguments})`" in (DOCS / "hooks.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("protocol", ["ModelPlugin", "DatasetFormat", "Metric", "Tracker"])
def test_every_protocol_is_documented_with_its_attributes_and_methods(protocol):
    kind = getattr(hookspecs, protocol)
    text = (DOCS / "hooks.md").read_text(encoding="utf-8").split(f"## {protocol}\n")[1].split("\n## ")[0]
    wanted = [f"`{name}`" for name in kind.__annotations__]
    for name, method in vars(kind).items():
        if inspect.isfunction(method) and (name == "__call__" or not name.startswith("_")):
            wanted.append(f"`{name}({', '.join(list(inspect.signature(method).parameters)[1:])})`")
    assert len(wanted) > 1
    assert [one for one in wanted if one not in text] == []


def test_every_optional_method_that_the_harness_asks_for_is_documented():
    asked = set()
    for path in (ROOT / "vesselbench").rglob("*.py"):
        asked |= set(re.findall(r"hasattr\(plugin, \"(\w+)\"\)", path.read_text(encoding="utf-8")))
    assert len(asked) >= 3
    text = (DOCS / "hooks.md").read_text(encoding="utf-8").split("### Optional methods")[1]
    assert {name for name in asked if f"| `{name}(" not in text} == set()


def test_the_reference_of_the_keys_is_what_its_script_makes_now():
    assert (DOCS / "config.md").read_text(encoding="utf-8") == reference().reference(), "run `make docs`"


def parsed(words: list[str]) -> dict[str, Any]:
    """A command's arguments as the real command line reads them; errors as it raises them."""
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands") and (words or not command.invoke_without_command):
        assert words[0] in command.commands, f"no command {words[0]}"
        command = command.commands[words.pop(0)]
    return command.make_context(command.name, words).params


@pytest.mark.parametrize(("page", "line"), per_page(command_lines))
def test_every_command_line_is_understood_and_its_keys_validate(page, line, workplace, catalogue):
    words = shlex.split(line)
    if words[0] == "vesselbench":
        words = words[: words.index(">")] if ">" in words else words
        check_command(parsed(words[1:]), catalogue)
    elif words[0] == "make":
        assert f"\n{words[1]}:" in (ROOT / "Makefile").read_text(encoding="utf-8")
    elif words[0] == "pytest":
        assert (ROOT / words[1]).exists()
    else:
        assert words[0] in ("git", "cd", "."), f"the tests do not know what {line!r} should do"


def check_command(values: dict[str, Any], catalogue: Catalogue) -> None:
    """Load what the command would load, without doing it."""
    if "set_name" in values:
        check_set_name(values["set_name"])
    given = values.get("names") or [values[key] for key in ("name",) if key in values]
    if "fractions" in values:
        _, given, shares = sorted_words(given)
        parse_fractions([*values["fractions"].replace(",", " ").split(), *shares])
        given += [text for text in values["names"] if "=" in text]
    names = [name for name in given if "=" not in name and not name.startswith("runs/")]
    overrides = [text for text in given if "=" in text] + list(values.get("overrides") or ())
    for name in names:
        folder = name.isupper() or name.startswith("/")  # of a data set: such a command takes one in a recipe's place
        recipe, _ = load_recipe("unet" if folder else name, catalogue, values.get("config") or (), overrides)
        check_options(recipe)
        if values.get("explain"):
            assert explain_key(recipe, values["explain"], catalogue).count("\n") >= 1


def check_options(recipe: Recipe) -> None:
    validate_options(reference().FORMATS[recipe.data.format], recipe.data.options, "data.options.")


def test_every_yaml_block_is_a_recipe_or_goes_over_one(workplace, catalogue):
    paths = sorted(workplace.rglob("*.yaml"))
    assert len(paths) > 3
    for path in paths:
        whole = "model" in yaml.safe_load(path.read_text())
        recipe, _ = load_recipe(*((str(path), catalogue) if whole else ("unet", catalogue, [str(path)])))
        check_options(recipe)


@pytest.mark.parametrize(
    ("page", "span"), per_page(lambda page: [s for s in spans(page) if s.startswith("vesselbench ")])
)
def test_every_command_named_in_the_prose_exists(page, span):
    words = shlex.split(span)[1:]
    command: Any = typer.main.get_command(app)
    while words and hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    options = {name for parameter in getattr(command, "params", []) for name in parameter.opts}
    assert [word for word in words if word.startswith("-") and word not in options] == []


def known_keys(catalogue: Catalogue) -> set[str]:
    """Every dotted key of a recipe, of the models and of the built-in formats, and every part of one."""

    def walk(part: type[BaseModel], prefix: str) -> Iterator[str]:
        for name, field in part.model_fields.items():
            yield prefix + name
            if (inner := part_of(field.annotation)) is not None:
                yield from walk(inner, f"{prefix}{name}.")

    module = reference()
    keys = set(walk(module.Recipe, ""))
    keys |= {key for model in catalogue.models.values() for key in walk(model.Config, "model.")}
    return (
        keys | {key for options in module.FORMATS.values() for key in walk(options, "data.options.")} | {"model.name"}
    )


def test_every_recipe_key_named_in_the_prose_exists(catalogue):
    known = known_keys(catalogue)
    named = [(page.name, found[0]) for page in PAGES for span in spans(page) if (found := KEY.match(span))]
    assert len(named) > 30
    assert [(page, key) for page, key in named if key not in known] == []


def test_the_model_of_add_a_model_keeps_the_rules_and_is_found_by_its_entry_point(site, catalogue):
    file, check = blocks(DOCS / "add-a-model.md", "python")
    assert file.startswith("# vesselbench_halfnet.py")
    exec(compile(check, "add-a-model.md", "exec"), {})
    assert catalogue.models["halfnet"].Config(width=4).width == 4


def test_what_hooks_md_registers_works(site, catalogue, tmp_path):
    record = next(plugin for plugin in catalogue.plugins if plugin.name == "extras")
    assert record.error is None
    assert set(record.registers) == {"data set format table", "metric recall", "tracker loss_file"}
    example = tiny_examples(1)[0]
    Image.fromarray(example.image).save(tmp_path / "a.png")
    Image.fromarray(example.mask).save(tmp_path / "a_mask.png")
    (tmp_path / "table.csv").write_text("image,mask,patient\na.png,a_mask.png,7\n")
    (sample,) = read_samples(DataConfig(format="table", root=tmp_path), catalogue)
    assert sample.group == "7"
    loaded = load_example(sample)
    prediction = Prediction(sample.id, loaded.mask.astype("float32"))
    assert score(prediction, loaded, [catalogue.metrics["recall"]]).values == {"recall": 1.0}
    tracker = catalogue.trackers["loss_file"]()
    tracker.start(tmp_path)
    tracker.log(3, {"loss": 0.5})
    tracker.finish(None)
    assert (tmp_path / "loss.txt").read_text() == "3 0.5\n"
    cli = typer.Typer()
    add_commands(cli)
    assert [command.callback.__name__ for command in cli.registered_commands] == ["count"]


def anchor(heading: str) -> str:
    """The anchor that a heading gets on code-hosting sites."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", EVERY_PAGE, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_to_existing_files_and_headings(page):
    lost = []
    for target in re.findall(r"\]\(([^)\s]+)\)", "\n".join(prose(page))):
        if "://" in target:
            continue
        name, _, heading = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        headings = [anchor(line.lstrip("# ")) for line in prose(path) if line.startswith("#")] if heading else [""]
        if not path.is_file() or heading not in headings:
            lost.append(target)
    assert lost == []


def test_every_page_that_the_code_refers_to_exists():
    files = [path for folder in ("vesselbench", "plugins", "configs") for path in (ROOT / folder).rglob("*")]
    text = "".join(
        path.read_text(encoding="utf-8") for path in files if path.suffix in (".py", ".yaml", ".html", ".j2")
    )
    named = set(re.findall(r"\bdocs/[\w-]+\.md", text))
    assert named
    assert [name for name in named if not (ROOT / name).is_file()] == []


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """Two runs, trained, scored and compared, one of them reported; with a second observer."""
    folder = tmp_path_factory.mktemp("work")
    for index, example in enumerate(tiny_examples(6, (32, 32))):
        for place, pixels in (("images", example.image), ("masks", example.mask), ("second", example.mask)):
            (folder / place).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(folder / place / f"{index}.png")
    words = ["data.format=pairs", f"data.root={folder}", "data.options.observer2=second", "model.channels=[4,8]"]
    tiny = [*words, "train.steps=2", "train.batch_size=2", "train.zero_stage=1", "train.device=cpu"]
    script = (
        "import json, sys; from pathlib import Path; from vesselbench.cli import app\n"
        "for words in json.loads(sys.argv[1]):\n"
        "    run = sorted(map(str, Path('runs').glob('unet/*'))) or ['']\n"
        "    app([{'RUN': run[0], 'OTHER': run[-1]}.get(word, word) for word in words], standalone_mode=False)"
    )
    commands = [["train", "unet", *tiny], ["train", "unet", *tiny, "train.seed=1"], ["evaluate", "RUN"]]
    commands += [["evaluate", "OTHER"], ["report", "RUN", "OTHER"], ["report", "RUN"]]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    options = {"cwd": folder, "env": environment, "capture_output": True, "text": True, "timeout": 120}
    done = subprocess.run([sys.executable, "-c", script, json.dumps(commands)], **options)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder / "runs"


def test_every_file_of_a_real_run_is_documented(runs):
    page = (DOCS / "run-directory.md").read_text(encoding="utf-8")
    shown = {"panels": "panels/", "plots": "plots/", "predictions": "<id>.png", "ladder": "<16 hex>.json"}
    names = {shown.get(path.parent.name, path.name) for path in runs.rglob("*.*")}
    assert {"run.json", "<id>.png", "observer2.jsonl", "panels/"} <= names
    assert [name for name in sorted(names) if name not in page] == []


def test_every_key_of_a_real_run_is_documented(runs):
    page, other = ((DOCS / name).read_text(encoding="utf-8") for name in ("run-directory.md", "comparison.md"))
    run = max((runs / "unet").iterdir())
    (comparison,) = runs.glob("comparison/*/comparison.json")
    files = [run / "run.json", run / "split.json", *run.glob("eval/*/summary.json"), comparison]
    files += [*run.glob("checkpoints/*/meta.json"), *run.glob("*.jsonl"), *run.glob("eval/*/*.jsonl")]
    missing = [
        f"{path.name}: {key}"
        for path in files
        for line in (path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()])
        for key in json.loads(line)
        if f"`{key}`" not in page + other
    ]
    assert sorted(set(missing)) == []
    record = json.loads((run / "run.json").read_text())
    table = page.split("## run.json")[1].split("\n## ")[0]
    assert [key for key in record if f"`{key}`" not in table] == []
    assert set(yaml.safe_load((run / "config.yaml").read_text())) == set(reference().Recipe.model_fields)
