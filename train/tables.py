"""From tables to frozen dataclasses and back: every key is checked against a field, every value against its type.

The dataclass is the schema. Nothing is guessed: an unknown key is an error that names the nearest known one, a value of
another type is an error that names key, value and type wanted; only an integer may stand where a float is wanted. Where a
field is a dict, its keys are free and its values plain: numbers, strings, true or false, each checked by who reads it.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import field, fields, is_dataclass
from difflib import get_close_matches
from types import NoneType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from ..core.errors import UsageError
from ..core.errors import nearest as nearest

T = TypeVar("T")
NAMES = {int: "an integer", float: "a number", bool: "true or false", str: "a string", dict: "a table of plain values"}
SEVERAL = {int: "integers", float: "numbers", str: "strings"}


def at_least(least: float, default: Any) -> Any:
    """A field whose value is a number of at least this."""
    return field(default=default, metadata={"least": least})


def keys(cls: type, prefix: str = "") -> dict[str, Any]:
    """{dotted key: type} of a dataclass of dataclasses."""
    found: dict[str, Any] = {}
    for name, hint in _hints(cls).items():
        found |= keys(hint, f"{prefix}{name}.") if is_section(hint) else {prefix + name: hint}
    return found


def _hints(cls: type) -> dict[str, Any]:
    """{field: type}; a field that may be None is left out or has the other type."""
    return {
        name: next(one for one in get_args(hint) if one is not NoneType) if NoneType in get_args(hint) else hint
        for name, hint in get_type_hints(cls).items()
    }


def is_section(hint: Any) -> bool:
    return is_dataclass(hint)


def read(cls: type[T], table: dict[str, Any], prefix: str = "") -> T:
    """The dataclass that the nested table describes; what the table does not say keeps its default."""
    hints = _hints(cls)
    values: dict[str, Any] = {}
    for name, value in table.items():
        key = prefix + name
        if name not in hints:
            raise _unknown(key, list(keys(cls, prefix)))
        if value is None:  # TOML has no null; a checkpoint's JSON has, for what was left out
            continue
        if not is_section(hints[name]):
            values[name] = _checked(key, value, hints[name])
        elif isinstance(value, dict):
            values[name] = read(hints[name], value, key + ".")
        else:
            raise UsageError(f"{key} = {value!r} is not a table", f"write [{key}], then one key = value a line")
    for item in fields(cls):  # type: ignore[arg-type]
        least = item.metadata.get("least")
        if item.name in values and least is not None and not values[item.name] >= least:
            problem = f"{prefix}{item.name} = {values[item.name]} must be at least {least}"
            usual = "leave it out for the default" if item.default is None else f"the default is {item.default}"
            raise UsageError(problem, usual)
    return cls(**values)


def override(cls: type, table: dict[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """The table with every "section.key=value" applied; the text is read by the type of the key's field."""
    known = keys(cls)
    merged = deepcopy(table)
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise UsageError(f'"{setting}" is not of the form section.key=value', "for example optim.lr=0.05")
        free = known.get(key.rpartition(".")[0]) is dict
        if key not in known and not free:
            raise _unknown(key, list(known))
        *path, leaf = key.split(".")
        node = merged
        for part in path:
            node = node.setdefault(part, {})
            if not isinstance(node, dict):
                raise UsageError(f"{part} = {node!r} is not a table", f"write [{part}], then one key = value a line")
        node[leaf] = plain(text) if free else _parsed(key, text, known[key])
    return merged


def write(config: Any) -> str:
    """The configuration as TOML, every key of it that has a value."""
    sections = []
    for section in fields(config):
        inside = vars(getattr(config, section.name))
        lines = [f"{name} = {toml(value)}" for name, value in inside.items() if value is not None]
        sections.append("\n".join([f"[{section.name}]", *lines]))
    return "\n\n".join(sections) + "\n"


def flat(config: Any, prefix: str = "") -> dict[str, Any]:
    """{dotted key: value}."""
    found: dict[str, Any] = {}
    for item in fields(config):
        value = getattr(config, item.name)
        found |= flat(value, f"{prefix}{item.name}.") if is_dataclass(value) else {prefix + item.name: value}
    return found


def _unknown(key: str, known: list[str]) -> UsageError:
    """With the nearest key, or with all of the section where none is near: who wrote learning_rate means lr."""
    section, _, word = key.rpartition(".")
    inside = [one.removeprefix(f"{section}.") for one in known if section and one.startswith(f"{section}.")]
    far = inside and not get_close_matches(word, inside)
    cure = f"the keys of {section} are {', '.join(inside)}" if far else nearest(key, known)
    return UsageError(f"{key} is not a key of the configuration", cure)


def toml(value: Any) -> str:
    """The value as TOML writes it."""
    if isinstance(value, tuple):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, dict):
        pairs = [
            f"{key if re.fullmatch('[A-Za-z0-9_-]+', key) else toml(key)} = {toml(one)}" for key, one in value.items()
        ]
        return f"{{ {', '.join(pairs)} }}" if pairs else "{}"
    if isinstance(value, (bool, str)):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # the one control character of JSON's
    return repr(value)


def plain(text: str) -> Any:
    """The value of an override's text where no field states its type: as TOML reads it, else a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def wanted(hint: Any) -> str:
    """The values that a type takes, in words."""
    if get_origin(hint) is Literal:
        return f"one of {_choices(hint)}"
    if get_origin(hint) is tuple:
        item = get_args(hint)[0]
        return f"a list of {_choices(item) if get_origin(item) is Literal else SEVERAL[item]}"
    return NAMES[hint]


def _choices(hint: Any) -> str:
    return ", ".join(f'"{choice}"' for choice in get_args(hint))


def _wrong(key: str, value: Any, hint: Any) -> UsageError:
    return UsageError(f"{key} = {value!r} is not {wanted(hint)}", f"give {key} as {wanted(hint)}")


def _checked(key: str, value: Any, hint: Any) -> Any:
    """The value as TOML gave it, if it has the field's type."""
    if get_origin(hint) is Literal:
        if value in get_args(hint):
            return value
    elif get_origin(hint) is tuple:
        if isinstance(value, (list, tuple)):
            with suppress(UsageError):
                return tuple(_checked(key, item, get_args(hint)[0]) for item in value)
    elif hint is dict:
        if isinstance(value, dict) and all(type(v) in (int, float, bool, str) for v in value.values()):
            return value
    elif hint is float and type(value) in (int, float):
        return float(value)
    elif type(value) is hint:
        return value
    raise _wrong(key, value, hint)


def _parsed(key: str, text: str, hint: Any) -> Any:
    """The value of an override's text; a list is written a,b or [a,b], its strings with quotes or without."""
    try:
        if hint is bool:
            return {"true": True, "false": False}[text.lower()]
        if hint in (int, float):
            return hint(text)
        if hint is dict:
            return plain(text)
        if get_origin(hint) is tuple:
            parts = [part.strip(" \"'") for part in text.strip("[] ").split(",") if part.strip()]
            item = get_args(hint)[0]
            return [item(part) for part in parts] if item in (int, float) else parts
        return text
    except (KeyError, ValueError):
        raise _wrong(key, text, hint) from None
