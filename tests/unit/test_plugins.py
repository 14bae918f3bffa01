from __future__ import annotations

import subprocess
import sys
import types

import pluggy
import pytest

from vesselbench import UserError, hookimpl, hookspecs
from vesselbench.plugins import Catalogue, Table, _refuse_misspelt_hooks, add_commands, load_catalogue, nearest


class Thing:
    def __init__(self, name: str) -> None:
        self.name = name


def install(folder, name: str, body: str, entry: str) -> None:
    """A distribution as pip would leave it: a module and its metadata."""
    (folder / f"{name}.py").write_text(body)
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[vesselbench]\n{entry} = {name}\n")


MODEL = """
from vesselbench import hookimpl
class Model:
    name = {name!r}
    Config = build = collator = None
@hookimpl
def register_models(register):
    register(Model())
"""
RAISING = """
from vesselbench import hookimpl
class Nothing:
    name, read = "nothing", None
@hookimpl
def register_datasets(register):
    register(Nothing())
@hookimpl
def register_metrics(register):
    class Metric:
        name = "half_a_metric"
    register(Metric())
@hookimpl
def register_commands(cli):
    raise OSError("no weather today")
"""


def test_two_owners_of_a_name_are_refused_and_both_are_named():
    table: Table[Thing] = Table("model")
    table.add("first", Thing("unet"))
    with pytest.raises(UserError, match="'unet': first and second"):
        table.add("second", Thing("unet"))


def test_an_unknown_name_is_answered_with_the_nearest_one():
    table: Table[Thing] = Table("model")
    table.add("first", Thing("sa2va"))
    with pytest.raises(UserError) as caught:
        table["sa2av"]
    assert caught.value.message == "no model named 'sa2av'"
    assert caught.value.hint == "did you mean 'sa2va'?"


def test_nearest_lists_everything_when_nothing_is_near():
    assert nearest("zzz", ["b", "a"]) == "known: a, b"


def test_the_catalogue_holds_both_in_tree_models_and_all_formats():
    catalogue = load_catalogue("monai,sa2va")
    assert set(catalogue.models) >= {"unet", "sa2va"}
    assert set(catalogue.datasets) >= {"phantom", "pairs", "coco", "sa2va", "labelme"}
    assert set(catalogue.metrics) >= {"dice", "iou", "pixel_accuracy"}
    assert [plugin.error for plugin in catalogue.plugins] == [None] * len(catalogue.plugins)


def test_the_environment_limits_which_plugins_are_loaded(monkeypatch):
    monkeypatch.setenv("VESSELBENCH_PLUGINS", "monai")
    catalogue = load_catalogue()
    assert "unet" in catalogue.models
    assert "sa2va" not in catalogue.models
    assert "phantom" in catalogue.datasets, "the built-in things are always there"


def test_a_plugin_that_is_not_installed_cannot_be_asked_for():
    with pytest.raises(UserError, match="'monia'") as caught:
        load_catalogue("monia")
    assert caught.value.hint == "did you mean 'monai'?"


def test_a_misspelt_hook_is_an_error_that_names_the_right_one():
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    plugin = types.SimpleNamespace()

    @hookimpl
    def register_model(register):
        """Misspelt."""

    plugin.register_model = register_model
    manager.register(plugin, name="clumsy")
    with pytest.raises(UserError, match="'clumsy' implements an unknown hook 'register_model'") as caught:
        _refuse_misspelt_hooks(manager)
    assert "register_models" in caught.value.hint


def test_a_plugin_that_does_not_import_is_reported_and_left_out(tmp_path, monkeypatch):
    install(tmp_path, "broken_plugin", "import a_module_that_is_not_there\n", "broken")
    monkeypatch.syspath_prepend(tmp_path)
    catalogue: Catalogue = load_catalogue()
    (record,) = [plugin for plugin in catalogue.plugins if plugin.name == "broken"]
    assert record.error == "ModuleNotFoundError: No module named 'a_module_that_is_not_there'"
    assert "unet" in catalogue.models


def test_a_plugin_whose_hook_fails_is_reported_and_nothing_of_it_is_used(tmp_path, monkeypatch):
    install(tmp_path, "raising_plugin", RAISING, "raising")
    monkeypatch.syspath_prepend(tmp_path)
    catalogue = load_catalogue()
    (record,) = [plugin for plugin in catalogue.plugins if plugin.name == "raising"]
    assert record.error == "TypeError: the metric 'half_a_metric' lacks better, version, kind, __call__"
    assert record.registers == ()
    assert "nothing" not in catalogue.datasets
    assert add_commands(None) == ["plugin raising: its commands were left out: OSError: no weather today"]


def test_a_name_clash_between_distributions_ends_the_command_with_code_2(tmp_path):
    install(tmp_path, "other_unet", MODEL.format(name="unet"), "other")
    done = subprocess.run(
        [sys.executable, "-m", "vesselbench", "plugins"],
        env={"PYTHONPATH": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "two plugins register the model 'unet': monai and other" in done.stderr
    assert "Traceback" not in done.stderr
