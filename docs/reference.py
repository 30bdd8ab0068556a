"""Writes the reference pages that code states already: python docs/reference.py [--check]

Configuration keys are dataclass fields, and what they mean stands in the docstring of their section, "key: meaning."; commands are
typer's; operations are Ops with their formulas. A page that repeats them by hand would be wrong within a week.

    --check     fails where a page in docs/reference is not what would be written now
"""

from __future__ import annotations

import inspect
import re
import sys
from dataclasses import MISSING, fields
from importlib import import_module
from pathlib import Path
from typing import Any

import typer

from shoal.cli import app
from shoal.core.backend import BACKENDS
from shoal.core.errors import PlatformError
from shoal.kernels import ops
from shoal.kernels.op import Op
from shoal.kernels.registry import find
from shoal.train.choices import USUAL, choices
from shoal.train.config import FIXED_BY_CHECKPOINT, PRESETS, Config, presets
from shoal.train.data import SOURCES
from shoal.train.tables import keys, toml, wanted

PAGES = Path(__file__).with_name("reference")


def cell(text: str) -> str:
    """Text that is safe in a table of Markdown."""
    return re.sub(r"([|*_<])", r"\\\1", " ".join(text.split()))


# ---------------------------------------------------------------------------------------------------- configuration


def meanings(section: type) -> tuple[str, dict[str, str]]:
    """(what the section is, {key: meaning}) from its docstring: "key: meaning.   key, key: meaning."."""
    text = inspect.getdoc(section) or ""
    known = "|".join(item.name for item in fields(section))
    head = re.compile(rf"(?:^|\s{{3,}}|\n)((?:{known})(?:, (?:{known}))*): ")
    found, ends = {}, [*(match.start() for match in head.finditer(text)), len(text)]
    for match, end in zip(head.finditer(text), ends[1:], strict=True):
        words = " ".join(text[match.end() : end].split())
        words = words if words[1:3] == " =" else words[0].upper() + words[1:]  # x = ... is a formula
        found |= dict.fromkeys(match[1].split(", "), words)
    return " ".join(text[: ends[0]].split()), found


def default(item: Any) -> str:
    value = item.default if item.default is not MISSING else item.default_factory()
    return "see below" if value is None else f"`{toml(value)}`"


def users(section: str, key: str) -> str:
    """What takes this setting, where one key of the section chooses what the others mean."""
    takers: list[str] = []
    for chooser, known in (choices(section) if section in ("optim", "loss") else {}).items():
        names = [f"`{name}`" for name, settings in known.items() if settings.get(key, MISSING) is not MISSING]
        takers += [f"every {chooser}"] if len(names) == len(known) else names
    return f"For {', '.join(takers)}." if takers else ""


def section_page(name: str, section: type) -> list[str]:
    about, found = meanings(section)
    types = keys(section)
    lines = [
        f"## {name}",
        "",
        *([cell(about), ""] if about else []),
        "| key | values | default | |",
        "|---|---|---|---|",
    ]
    for item in fields(section):
        least, meaning = item.metadata.get("least"), found.get(item.name, "")
        takers = users(name, item.name)
        if not meaning and not takers:
            raise SystemExit(
                f'{section.__name__} does not say what {item.name} means: write "{item.name}: ..." in its docstring'
            )
        values = wanted(types[item.name]) + (f", at least {least:g}" if least is not None else "")
        fixed = "Fixed by a checkpoint." if f"{name}.{item.name}" in FIXED_BY_CHECKPOINT else ""
        words = " ".join(part for part in (cell(meaning), takers, fixed) if part)
        lines.append(f"| `{name}.{item.name}` | {cell(values)} | {default(item)} | {words} |")
    return [*lines, ""]


def chosen(section: str) -> list[str]:
    """The settings of each rule, schedule and loss with their defaults; the keys of each source."""
    if section == "data":
        rows = [f"| `{name}` | {', '.join(f'`{key}`' for key in source.takes)} |" for name, source in SOURCES.items()]
        return ["### What data.source may be", "", "| | its keys |", "|---|---|", *rows, ""]
    lines: list[str] = []
    for key, known in choices(section).items():
        lines += [f"### What {section}.{key} may be", "", "| | its settings and their defaults |", "|---|---|"]
        for name, settings in known.items():
            given = {k: v for k, v in (settings | USUAL.get(name, {})).items() if v is not MISSING}
            said = ", ".join(f"`{k} = {toml(v) if v is not None else 'none'}`" for k, v in given.items())
            lines.append(f"| `{name}` | {said or 'none'} |")
        lines.append("")
    return lines


def configuration() -> str:
    lines = [
        "# Configuration",
        "",
        "<!-- written by docs/reference.py from train/config.py and train/choices.py -->",
        "",
        "A configuration is a TOML file or a preset, and overrides: `shoal train PRESET_OR_FILE section.key=value ...`.",
        "Every key that there is stands here. An unknown key is an error that names the nearest one, and so is a value of",
        "another type, or a setting that means nothing to what was chosen. `--print-config` shows all of a run; the run",
        "folder keeps it as `config.toml`.",
        "",
        "Lists are written `[3, 1]`, and on the command line also `3,1`; tables `{ pipeline = 2 }`, or key by key:",
        "`parallel.mesh.pipeline=2`. A key that is fixed by a checkpoint gives its numbers their meaning and cannot change",
        "with `--resume`.",
        "",
    ]
    for item in fields(Config):
        lines += section_page(item.name, type(getattr(Config(), item.name)))
        if item.name in ("data", "optim", "loss"):
            lines += chosen(item.name)
    lines += ["## Presets", "", "| preset | |", "|---|---|"]
    for name in presets():
        first = (PRESETS / f"{name}.toml").read_text(encoding="utf-8").splitlines()[0]
        lines.append(f"| `{name}` | {cell(first.lstrip('# '))} |")
    return "\n".join(lines) + "\n"


# ---------------------------------------------------------------------------------------------------- commands


def command_page(path: str, command: Any) -> list[str]:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option" and one.name != "help"]
    words = [one.metavar or (one.name.upper() if one.required else f"[{one.name.upper()}]") for one in arguments]
    text = inspect.cleandoc(command.help or "")
    usage = " ".join([path, *["[OPTIONS]"] * bool(options), *words])
    lines = [f"## {path}", "", "```", usage, "```", "", *(cell(line) for line in text.splitlines()), ""]
    if command.params:
        lines += ["| | default | |", "|---|---|---|"]
        lines += [f"| `{word}` |  | {cell(one.help or '')} |" for word, one in zip(words, arguments, strict=True)]
        lines += [option(one) for one in options] + [""]
    return lines


def option(one: Any) -> str:
    flag = one.is_flag or isinstance(one.default, bool)
    value = "" if flag else f" {one.metavar or 'VALUE'}"
    default = "" if flag or one.default in (None, "") else f"`{one.default}`"
    return f"| `{one.opts[0]}{value}` | {default} | {cell(one.help or '')} |"


def commands() -> str:
    lines = [
        "# Commands",
        "",
        "<!-- written by docs/reference.py from cli/ -->",
        "",
        "Results go to stdout, progress and errors to stderr. Every command has `--help`.",
        "What exit codes mean: [Exit codes and cures](../errors.md).",
        "",
    ]
    for name, command in typer.main.get_group(app).commands.items():
        inner = getattr(command, "commands", None)
        for path, one in [(f"{name} {k}", v) for k, v in inner.items()] if inner else [(name, command)]:
            lines += command_page(f"shoal {path}", one)
    return "\n".join(lines).rstrip() + "\n"


# ---------------------------------------------------------------------------------------------------- operations


def exists(op: Op, backend: str) -> bool:
    try:
        find(op.file, op.name, backend)
    except PlatformError:
        return False
    return True


def operations() -> str:
    lines = [
        "# Operations",
        "",
        "<!-- written by docs/reference.py from kernels/ops/ -->",
        "",
        *(inspect.getdoc(ops) or "").split("\n\n")[1].splitlines(),
        "How an operation is called, and how one is added: [Kernels](../kernels.md).",
        "",
    ]
    known = [thing for thing in vars(ops).values() if isinstance(thing, Op)]
    for file in sorted({op.file for op in known}):
        module = import_module(f"{ops.__name__}.{file}")
        lines += [f"## {file}", "", (inspect.getdoc(module) or "").split("\n\n")[0], ""]
        for op in (op for op in known if op.file == file):
            backends = ", ".join(backend for backend in BACKENDS if exists(op, backend))
            lines += [
                f"### {op.name}",
                "",
                f"Backends: {backends}.",
                "",
                "```",
                inspect.cleandoc(op.__doc__ or ""),
                "```",
                "",
            ]
    return "\n".join(lines).rstrip() + "\n"


WRITTEN = {"configuration": configuration, "commands": commands, "operations": operations}


def main() -> None:
    for name, write in WRITTEN.items():
        path, text = PAGES / f"{name}.md", write()
        if "--check" in sys.argv and (not path.exists() or path.read_text(encoding="utf-8") != text):
            raise SystemExit(f"docs/reference/{name}.md is not what the code says; run python docs/reference.py")
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
