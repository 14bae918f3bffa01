"""The Catalogue: every model, data set format, metric and tracker that the installed plugins register."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint, distributions
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import pluggy

from vesselbench import hookspecs
from vesselbench.errors import UserError
from vesselbench.hookspecs import DatasetFormat, Metric, ModelPlugin, Tracker

if TYPE_CHECKING:
    import typer

ITEM = TypeVar("ITEM")
HOOKS = ("register_models", "register_datasets", "register_metrics", "register_trackers", "register_commands")
BUILTIN = "builtin"
Found = dict[str, tuple[Distribution, EntryPoint]]


def nearest(name: str, known: Mapping[str, Any] | list[str]) -> str:
    """A hint that names the nearest known name, or all of them when none is near."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(known)) or 'none'}"


def is_trained(plugin: ModelPlugin) -> bool:
    """Whether a model has something to train; else the validation set chooses its settings (`ModelWithChoices`)."""
    return not hasattr(plugin, "choices")


class Table(Mapping[str, ITEM], Generic[ITEM]):
    """Registered things by name; an unknown name is a UserError with the nearest one."""

    def __init__(self, kind: str, needs: tuple[str, ...] = ()) -> None:
        self.kind, self.needs = kind, needs
        self._items: dict[str, ITEM] = {}
        self.owners: dict[str, str] = {}

    def add(self, owner: str, item: ITEM) -> None:
        name = getattr(item, "name", None)
        if not isinstance(name, str) or not name:
            raise TypeError(f"the {self.kind} {item!r} has no name")
        lacking = [attribute for attribute in self.needs if not hasattr(item, attribute)]
        if lacking:
            raise TypeError(f"the {self.kind} {name!r} lacks {', '.join(lacking)}")
        if name in self._items:
            raise UserError(
                f"two plugins register the {self.kind} {name!r}: {self.owners[name]} and {owner}",
                "uninstall one, or choose with VESSELBENCH_PLUGINS=name,name",
            )
        self._items[name] = item
        self.owners[name] = owner

    def drop(self, owner: str) -> None:
        """Forget everything that `owner` has registered."""
        for name in [name for name, whose in self.owners.items() if whose == owner]:
            del self._items[name], self.owners[name]

    def __getitem__(self, name: str) -> ITEM:
        if name not in self._items:
            raise UserError(f"no {self.kind} named {name!r}", nearest(name, self._items))
        return self._items[name]

    def __contains__(self, name: object) -> bool:
        return name in self._items

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)


@dataclass(frozen=True)
class PluginRecord:
    """One entry point: what it is, what it implements, what it registers, or why it was left out."""

    name: str
    distribution: str
    version: str
    hooks: tuple[str, ...] = ()
    registers: tuple[str, ...] = ()
    error: str | None = None


@dataclass(frozen=True)
class Catalogue:
    """The value that `load_catalogue` builds; there is no module-level registry."""

    models: Table[ModelPlugin]
    datasets: Table[DatasetFormat]
    metrics: Table[Metric]
    trackers: Table[type[Tracker]]
    plugins: tuple[PluginRecord, ...]


def load_catalogue(wanted: str | None = None) -> Catalogue:
    """Load the entry points of the group ``vesselbench``.

    `wanted` (default: the environment's VESSELBENCH_PLUGINS) is a comma-separated list of entry-point names to load;
    the built-in one is always loaded. A plugin that fails to import is recorded with its error and left out.
    Raises UserError for a misspelt hook, an unknown name in `wanted` and two owners of one name.
    """
    manager, found, failed = _open(wanted)
    return _collect(manager, found, failed)


def add_commands(cli: typer.Typer) -> list[str]:
    """Let every plugin add its typer commands to `cli`; nothing else of a plugin is asked for (raises as above).

    Returns one message per plugin whose hook failed.
    """
    manager, _, _ = _open(None)
    failed = []
    for name, _ in manager.list_name_plugin():
        try:
            _hook_of_one(manager, name, "register_commands")(cli=cli)
        except Exception as error:  # noqa: BLE001 - as at import: a foreign hook must not kill the command line
            failed.append(f"plugin {name}: its commands were left out: {type(error).__name__}: {error}")
    return failed


def _open(wanted: str | None) -> tuple[pluggy.PluginManager, Found, dict[str, str]]:
    wanted = os.environ.get("VESSELBENCH_PLUGINS") if wanted is None else wanted
    found = _entry_points()
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    failed: dict[str, str] = {}
    for name in _chosen(wanted, found):
        _, entry = found[name]
        try:
            manager.register(entry.load(), name=name)
        except Exception as error:  # noqa: BLE001 - whatever a foreign module raises at import is reported, not fatal
            failed[name] = f"{type(error).__name__}: {error}"
    _refuse_misspelt_hooks(manager)
    return manager, found, failed


def _entry_points() -> Found:
    """Entry points by name; one distribution found twice on sys.path counts once."""
    found: Found = {}
    for distribution in distributions():
        for entry in distribution.entry_points:
            if entry.group != hookspecs.PROJECT:
                continue
            if entry.name in found and found[entry.name][0].name != distribution.name:
                first = found[entry.name][0].name
                raise UserError(
                    f"two distributions offer a plugin named {entry.name!r}: {first} and {distribution.name}",
                    f"pip uninstall {first} or {distribution.name}",
                )
            found.setdefault(entry.name, (distribution, entry))
    return found


def _chosen(wanted: str | None, found: Mapping[str, Any]) -> list[str]:
    if wanted is None:
        return sorted(found)
    names = [name.strip() for name in wanted.split(",") if name.strip()]
    for name in names:
        if name not in found:
            raise UserError(f"VESSELBENCH_PLUGINS names {name!r}, which is not installed", nearest(name, list(found)))
    return sorted({BUILTIN, *names})


def _refuse_misspelt_hooks(manager: pluggy.PluginManager) -> None:
    for name, plugin in manager.list_name_plugin():
        for attribute in dir(plugin):
            if manager.parse_hookimpl_opts(plugin, attribute) is not None and attribute not in HOOKS:
                raise UserError(
                    f"plugin {name!r} implements an unknown hook {attribute!r}", nearest(attribute, list(HOOKS))
                )
    manager.check_pending()


def _collect(manager: pluggy.PluginManager, found: Found, failed: dict[str, str]) -> Catalogue:
    models: Table[ModelPlugin] = Table("model", ("Config", "build", "collator"))
    datasets: Table[DatasetFormat] = Table("data set format", ("read",))
    metrics: Table[Metric] = Table("metric", ("better", "version", "kind", "__call__"))
    trackers: Table[type[Tracker]] = Table("tracker", ("start", "log", "finish"))
    tables: dict[str, Table[Any]] = dict(zip(HOOKS[:-1], (models, datasets, metrics, trackers), strict=True))
    records = []
    for name in sorted([plugin for plugin, _ in manager.list_name_plugin()] + list(failed)):
        distribution, _ = found[name]
        hooks = _hooks_of(manager, name) if name not in failed else ()
        try:
            for hook in hooks:
                if hook in tables:
                    _register(manager, name, hook, tables[hook])
        except UserError:  # two owners of a name
            raise
        except Exception as error:  # noqa: BLE001 - as at import: reported, and nothing of the plugin is used
            failed[name] = f"{type(error).__name__}: {error}"
            for table in tables.values():
                table.drop(name)
        registers = tuple(f"{t.kind} {item}" for t in tables.values() for item in t if t.owners[item] == name)
        records.append(PluginRecord(name, distribution.name, distribution.version, hooks, registers, failed.get(name)))
    return Catalogue(models, datasets, metrics, trackers, tuple(records))


def _hooks_of(manager: pluggy.PluginManager, name: str) -> tuple[str, ...]:
    callers = manager.get_hookcallers(manager.get_plugin(name)) or []
    return tuple(sorted(caller.name for caller in callers))


def _register(manager: pluggy.PluginManager, name: str, hook: str, table: Table[Any]) -> None:
    def register(item: Any) -> None:
        table.add(name, item)

    _hook_of_one(manager, name, hook)(register=register)


def _hook_of_one(manager: pluggy.PluginManager, name: str, hook: str) -> pluggy.HookCaller:
    """A hook that calls one plugin only."""
    others = [plugin for other, plugin in manager.list_name_plugin() if other != name]
    return manager.subset_hook_caller(hook, remove_plugins=others)
