"""Writes docs/reference/configuration.md from the settings, so that the page cannot lag behind them.

Run as ``python -m overread.configuration_page > docs/reference/configuration.md``.
"""

import inspect
import json
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from overread.settings import Settings

_INTRODUCTION = """\
# Settings

One file, `overread.toml`: the one that the variable `OVERREAD_CONFIG` names, or else the one in the current folder.
Every key can also be set by the variable beside it, which wins over the file. Keys and variables that do not exist
are refused. `overread config check` validates, `overread config show` prints what is in force.

This page is made from the code by `python -m overread.configuration_page`.
"""


def page() -> str:
    """The whole page as Markdown."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield _INTRODUCTION
    plain = {name: field for name, field in Settings.model_fields.items() if not _section_of(field)}
    yield from _table("Top level", "OVERREAD_", plain)
    for name, field in Settings.model_fields.items():
        section = _section_of(field)
        if section is None:
            continue
        if get_args(field.annotation):
            yield from _list_section(name, section, field.description or "", f"`OVERREAD_{name.upper()}` as JSON")
        else:
            yield from _section(name, section)


def _section(name: str, section: type[BaseModel]) -> Iterator[str]:
    doc = inspect.cleandoc(section.__doc__ or "")
    keys = {key: field for key, field in section.model_fields.items() if not _section_of(field)}
    yield from _table(f"`[{name}]`", f"OVERREAD_{name.upper()}_", keys, doc)
    for key, field in section.model_fields.items():
        inner = _section_of(field)
        if inner is not None:
            variable = f"`OVERREAD_{name.upper()}_{key.upper()}` as JSON"
            yield from _list_section(f"{name}.{key}", inner, field.description or "", variable)


def _list_section(name: str, section: type[BaseModel], why: str, variable: str) -> Iterator[str]:
    doc = f"{inspect.cleandoc(section.__doc__ or '')} {why} Variable: {variable}."
    yield from _table(f"`[[{name}]]`", None, section.model_fields, doc)


def _table(title: str, prefix: str | None, fields: dict[str, FieldInfo], introduction: str = "") -> Iterator[str]:
    yield f"## {title}\n"
    if introduction:
        yield f"{introduction}\n"
    yield "| key | default | " + ("variable | " if prefix else "") + "consequence |"
    yield "| --- | --- | " + ("--- | " if prefix else "") + "--- |"
    for key, field in fields.items():
        variable = f"`{prefix}{key.upper()}` | " if prefix else ""
        yield f"| `{key}` | {_default(field)} | {variable}{field.description} |"
    yield ""


def _section_of(field: FieldInfo) -> type[BaseModel] | None:
    """The settings class behind a section or a list of sections, or ``None`` for a plain key."""
    for candidate in (field.annotation, *get_args(field.annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            section: type[BaseModel] = candidate
            return section
    return None


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "(required)"
    value: Any = field.default
    if value is None:
        return "(not set)"
    return f"`{json.dumps(value, default=str)}`"


if __name__ == "__main__":
    print(page())
