"""Nested frozen dataclasses to and from plain dictionaries, with errors a person can act on."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import reprlib
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, Union

T = TypeVar("T")

_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 2, 60, 60
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxset = _SHORT.maxdict = 4


class ScenarioError(ValueError):
    """A scenario, a catalogue entry or a configuration value that cannot be used."""


def closest(name: str, valid: Iterable[str]) -> str | None:
    """Return the name that was probably meant: one that begins so, or is spelt much like it."""
    names = sorted(valid)
    longer = [one for one in names if len(name) > 2 and one.startswith(name)]
    near = longer or difflib.get_close_matches(name[:60], names, n=1)
    return near[0] if near else None


def unknown_key_message(key: str, valid: list[str], where: str) -> str:
    """Return the one-line error for a misspelt key, naming the nearest valid one."""
    near = closest(key, valid)
    hint = f"; did you mean {near!r}?" if near else ""
    known = ", ".join(sorted(valid))
    return f"{where}: unknown key {shown(key)}{hint} ({f'valid: {known}' if valid else 'none'})"


def shown(value: Any) -> str:
    """Return a value for a message, cut to a length that a person reads."""
    return _SHORT.repr(value)


def read_yaml(path: Path) -> Any:
    """Return the plain values of a YAML file; tags of any language are refused.

    Raises:
        ScenarioError: If the file cannot be read, is no YAML, or has a key twice.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        """A safe loader that refuses repeated keys, of which YAML silently keeps the last."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            repeated = [key for key in keys if keys.count(key) > 1 and key != "<<"]
            if repeated:
                problem = f"key {shown(repeated[0])} occurs twice"
                raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
            return super().construct_mapping(node, deep)

    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader)
    except RecursionError:
        raise ScenarioError(f"{path}: cannot be read as YAML: nested too deeply") from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        reason = " ".join(text.split())[:200]
        raise ScenarioError(f"{path}: cannot be read as YAML: {reason}") from None


def build(cls: type[T], data: Mapping[str, Any], where: str) -> T:
    """Build dataclass ``cls`` from a mapping, recursively.

    Args:
        cls: A (frozen) dataclass type; nested dataclasses, tuples and dicts are converted.
        data: Plain values, as read from YAML.
        where: Name of the source, used in errors.

    Raises:
        ScenarioError: On an unknown or missing key, or a value of the wrong type.
    """
    if not isinstance(data, Mapping):
        raise ScenarioError(f"{where}: expected a mapping, got {type(data).__name__}")
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}  # type: ignore[arg-type]
    for key in data:
        if key not in fields:
            raise ScenarioError(unknown_key_message(str(key), list(fields), where))
    needed = [
        name
        for name, field in fields.items()
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    missing = [name for name in needed if name not in data]
    if missing:
        which = "are" if len(missing) > 1 else "is"
        raise ScenarioError(f"{where}: {', '.join(missing)} {which} missing")
    values = {k: _convert(hints[k], v, f"{where}: {k}") for k, v in data.items()}
    try:
        return cls(**values)
    except TypeError as error:
        raise ScenarioError(f"{where}: {error}") from None
    except ScenarioError as error:
        text = str(error)
        if text.startswith(where):
            raise
        own = where.rsplit(": ", 1)[-1]  # a part that names itself need not be named twice
        raise ScenarioError(f"{where}: {text.removeprefix(f'{own}: ')}") from None


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(hint)
    if origin in (Union, types.UnionType):
        options = typing.get_args(hint)
        if value is None and type(None) in options:
            return None
        rest = [o for o in options if o is not type(None)]
        lists = [o for o in rest if typing.get_origin(o) is tuple]
        listed = isinstance(value, (list, tuple)) and lists
        return _convert(lists[0] if listed else rest[0], value, where)
    if dataclasses.is_dataclass(hint):
        if isinstance(value, typing.cast(type, hint)):
            return value
        return build(typing.cast("type[Any]", hint), value, where)
    if origin is tuple:
        return _convert_tuple(typing.get_args(hint), value, where)
    if origin in (dict, Mapping):
        return _convert_mapping(typing.get_args(hint), value, where)
    return _convert_scalar(hint, value, where)


def _convert_tuple(args: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if isinstance(value, str) or not isinstance(value, (list, tuple)):
        raise ScenarioError(f"{where}: expected a list, got {shown(value)}")
    if len(args) == 2 and args[1] is Ellipsis:
        return tuple(_convert(args[0], v, f"{where}[{i}]") for i, v in enumerate(value))
    if len(args) != len(value):
        raise ScenarioError(f"{where}: expected {len(args)} values, got {len(value)}")
    return tuple(
        _convert(a, v, f"{where}[{i}]") for i, (a, v) in enumerate(zip(args, value, strict=True))
    )


def _convert_mapping(args: tuple[Any, ...], value: Any, where: str) -> dict[Any, Any]:
    if not isinstance(value, Mapping):
        raise ScenarioError(f"{where}: expected a mapping, got {shown(value)}")
    return {
        _convert(args[0], k, where): _convert(args[1], v, f"{where}.{k}") for k, v in value.items()
    }


def _convert_scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is Any:
        return value
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            raise ScenarioError(f"{where}: the number is too large") from None
        if number != number:
            raise ScenarioError(f"{where}: expected a number, got NaN")
        return number
    if hint is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if hint is bool and isinstance(value, bool):
        return value
    if hint is str and isinstance(value, str):
        return value
    name = getattr(hint, "__name__", str(hint))
    raise ScenarioError(f"{where}: expected {name}, got {shown(value)}")


def plain(value: Any, *, defaults: bool = True) -> Any:
    """Return ``value`` as JSON-compatible lists, dictionaries and scalars, with stable order.

    Args:
        value: A dataclass, a container of some, or a scalar.
        defaults: Whether fields of dataclasses are there that have their default value.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            f.name: plain(getattr(value, f.name), defaults=defaults)
            for f in dataclasses.fields(value)
            if defaults or not _is_default(f, getattr(value, f.name))
        }
    if isinstance(value, Mapping):
        return {str(k): plain(v, defaults=defaults) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v, defaults=defaults) for v in value]
    return value


def _is_default(field: dataclasses.Field[Any], value: Any) -> bool:
    if field.default is not dataclasses.MISSING:
        default = field.default
    elif field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    else:
        return False
    return bool(plain(value) == plain(default))


def stable_hash(value: Any, length: int = 12) -> str:
    """Return a hexadecimal SHA-256 prefix of the canonical JSON of ``value``."""
    text = json.dumps(plain(value), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:length]
