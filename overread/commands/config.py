"""`overread config`: validate the settings and show what is in force."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from overread.settings import Settings, config_path, load_settings, read_settings
from overread.settings_warnings import warnings_of


@click.group()
def config() -> None:
    """Check and show the settings."""


@config.command()
def check() -> None:
    """Validate the settings file and the variables: exit 0, or name each mistake with its line, and exit 1.

    What is valid and may not be meant is a warning.
    """
    settings, mistakes = read_settings()
    if settings is None or mistakes:
        for mistake in mistakes:
            click.echo(f"overread: {mistake}", err=True)
        raise click.exceptions.Exit(1)
    where = config_path()
    click.echo(f"{where if where else 'Defaults and variables'}: valid.")
    for destination in settings.destinations:
        click.echo(f"Results go to {destination.name}: {destination.address}.")
    if not settings.destinations:
        click.echo("No [[destinations]]: results stay in storage and are sent nowhere.")
    for sentence in warnings_of(settings):
        click.echo(f"overread: warning: {sentence}", err=True)


@config.command()
def show() -> None:
    """Print every setting in force as TOML, secrets masked."""
    for line in _toml(_masked(load_settings())):
        click.echo(line)


def _masked(settings: Settings) -> dict[str, Any]:
    values = settings.model_dump(mode="json", exclude_none=True)  # TOML has no word for what is not set
    for key in ("url", "owner_url"):
        url = urlsplit(values["database"][key])
        if url.password:
            values["database"][key] = url._replace(netloc=url.netloc.replace(f":{url.password}@", ":…@")).geturl()
    return values


def _toml(values: dict[str, Any]) -> list[str]:
    """The few shapes that settings have: plain keys, sections, lists of sections."""
    lines = [f"{key} = {_value(value)}" for key, value in values.items() if not _is_section(value)]
    for key, value in values.items():
        if isinstance(value, dict):
            lines += ["", f"[{key}]"]
            lines += [f"{name} = {_value(entry)}" for name, entry in value.items() if not _is_section(entry)]
            for name, entry in value.items():
                lines += _sections(f"{key}.{name}", entry)
        else:
            lines += _sections(key, value)
    return lines


def _is_section(value: Any) -> bool:  # noqa: ANN401 - whatever a setting holds
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(entry, dict) for entry in value))


def _sections(name: str, value: Any) -> list[str]:  # noqa: ANN401
    lines: list[str] = []
    if _is_section(value) and isinstance(value, list):
        for entry in value:
            lines += ["", f"[[{name}]]", *(f"{key} = {_value(part)}" for key, part in entry.items())]
    return lines


def _value(value: Any) -> str:  # noqa: ANN401
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_value(entry) for entry in value)}]"
    text = str(value) if not isinstance(value, Path) else value.as_posix()
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
