"""One file, `overread.toml`, and one `OVERREAD_…` variable for every key in it; the variable wins."""

import difflib
import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from inference.settings import ResultSettings, WorkerSettings
from listener.errors import ListenerError
from listener.notify.settings import NotifySettings
from listener.scu.query.archive_settings import ArchiveSettings
from listener.scu.settings import DestinationSettings, ProfileSettings
from listener.settings import ListenerSettings, check_listener_settings
from listener.web.settings import WebSettings, check_web_settings
from overread.errors import InvalidSettings
from overread.logs import LogSettings
from overread.settings_lines import line_of
from overread.settings_words import PATTERNS_IN_WORDS, place_in_words
from storage.domain.viewer_profile import PROFILES, ViewerProfile
from storage.settings import (
    AuditSettings,
    DatabaseSettings,
    JobSettings,
    MonitoringSettings,
    SpoolSettings,
    StudySettings,
)
from storage.workitem_settings import WorkitemSettings

CONFIG_VARIABLE = "OVERREAD_CONFIG"
_PREFIX = "OVERREAD_"
_DEFAULT_FILE = Path("overread.toml")


class Settings(BaseSettings):
    """Everything that can be set; each section belongs to the room that reads it."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_prefix=_PREFIX,
        env_nested_delimiter="_",
        env_nested_max_split=1,
    )

    data_dir: Path = Field(
        default=Path("/var/lib/overread"),
        description="Spool, received objects, results, algorithms and the embedded PostgreSQL live here.",
    )
    run_dir: str = Field(
        default="",
        description="Each role leaves a sign of life in this folder for `overread health`; empty: none is left.",
    )
    database: DatabaseSettings = DatabaseSettings()
    spool: SpoolSettings = SpoolSettings()
    listener: ListenerSettings = ListenerSettings()
    web: WebSettings = WebSettings()
    study: StudySettings = StudySettings()
    jobs: JobSettings = JobSettings()
    audit: AuditSettings = AuditSettings()
    monitoring: MonitoringSettings = MonitoringSettings()
    worker: WorkerSettings = WorkerSettings()
    results: ResultSettings = ResultSettings()
    ups: WorkitemSettings = WorkitemSettings()
    logs: LogSettings = LogSettings()
    destinations: tuple[DestinationSettings, ...] = Field(
        default=(), description="Where results go; with no entry, results stay in storage and are sent nowhere."
    )

    archives: tuple[ArchiveSettings, ...] = Field(
        default=(), description="What is fetched comes from here; nothing is asked of them by itself."
    )

    @model_validator(mode="after")
    def _archive_names_differ(self) -> "Settings":
        names = [archive.name for archive in self.archives]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two [[archives]] are named {name}; give each its own name")
        return self

    @model_validator(mode="after")
    def _destination_names_differ(self) -> "Settings":
        names = [destination.name for destination in self.destinations]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two [[destinations]] are named {name}; give each its own name")
        return self

    profiles: tuple[ProfileSettings, ...] = Field(
        default=(), description="They stand beside those of this release; a key that is not set is as in `based_on`."
    )

    def viewer_profiles(self) -> dict[str, ViewerProfile]:
        """Every profile that a destination may have, by its name."""
        return PROFILES | {profile.name: profile.viewer_profile() for profile in self.profiles}

    @model_validator(mode="after")
    def _profiles_are_known(self) -> "Settings":
        names = [profile.name for profile in self.profiles]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two [[profiles]] are named {name}; give each its own name")
        known = self.viewer_profiles()
        for destination in self.destinations:
            if destination.profile not in known:
                raise ValueError(
                    f"the [[destinations]] entry {destination.name} has the profile {destination.profile}, which is "
                    f"none of {', '.join(known)}; correct it, or add it to [[profiles]]"
                )
        return self

    @model_validator(mode="after")
    def _routes_lead_somewhere(self) -> "Settings":
        names = {destination.name for destination in self.destinations}
        for route in self.listener.routes:
            for name in sorted(set(route.destinations) - names):
                raise ValueError(
                    f"the [[listener.routes]] entry of {route.ae_title or 'the web'} leads to {name}, which is none of "
                    "the [[destinations]]; correct the name"
                )
        return self

    @model_validator(mode="after")
    def _priors_come_from_somewhere(self) -> "Settings":
        names = {archive.name for archive in self.archives}
        for route in self.listener.routes:
            if route.priors and route.priors.archive not in names:
                raise ValueError(
                    f"the [[listener.routes]] entry of {route.ae_title or 'the web'} asks {route.priors.archive} for "
                    "priors, which is none of the [[archives]]; correct the name"
                )
        return self

    @model_validator(mode="after")
    def _counts_are_asked_of_somebody(self) -> "Settings":
        names = {destination.name for destination in self.destinations}
        for name in sorted(self.study.patience().counting() - names):
            raise ValueError(f"[study] count_at names {name}, which is none of the [[destinations]]; correct the name")
        return self

    notify: tuple[NotifySettings, ...] = Field(
        default=(), description="With no entry, nobody but the destinations is told."
    )

    @model_validator(mode="after")
    def _receivers_differ(self) -> "Settings":
        names = [receiver.name for receiver in self.notify]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two [[notify]] entries are named {name}; give each its own name")
        known = {destination.name for destination in self.destinations}
        for receiver in self.notify:
            if receiver.report_at and receiver.report_at not in known:
                raise ValueError(
                    f"the [[notify]] entry {receiver.name} has report_at = {receiver.report_at}, which is none of the "
                    "[[destinations]]; correct the name"
                )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Variables before the file; nothing else is read."""
        return env_settings, init_settings


def load_settings() -> Settings:
    """Read the file named by OVERREAD_CONFIG (or ``overread.toml`` here, if there is one) and the variables.

    Raises:
        InvalidSettings: with one sentence that names the file or variable, the key and what to change.
    """
    settings, mistakes = read_settings()
    if settings is None or mistakes:
        more = f" There is more; `overread config check` names all {len(mistakes)}." if mistakes[1:] else ""
        raise InvalidSettings(f"{mistakes[0]}{more}")
    return settings


def read_settings() -> tuple[Settings | None, list[str]]:
    """The settings, and every mistake that can be told at once; some show only when others are mended."""
    path = config_path()
    mistakes = list(_unknown_variables(os.environ))
    text, from_file = "", dict[str, Any]()
    try:
        if path is not None:
            text, from_file = _read(path)
        settings = Settings(**from_file)
    except InvalidSettings as error:
        return None, [*mistakes, str(error)]
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
        told = [_sentence(each, path if from_file else None, text) for each in problems if not _is_told(each)]
        return None, [*mistakes, *told]
    except SettingsError:
        return None, [*mistakes, *_broken_variables(os.environ)]
    return settings, [*mistakes, *_open_doors(settings)]


def config_path() -> Path | None:
    """The settings file in force, or ``None`` when only variables and defaults are."""
    named = os.environ.get(CONFIG_VARIABLE)
    if named:
        return Path(named)
    return _DEFAULT_FILE if _DEFAULT_FILE.exists() else None


def known_variables() -> dict[str, str]:
    """Every variable this release reads, with the key it sets, such as ``listener.port``."""
    known = {}
    for name, field in Settings.model_fields.items():
        known[f"{_PREFIX}{name.upper()}"] = name
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            for key in section.model_fields:
                known[f"{_PREFIX}{name.upper()}_{key.upper()}"] = f"{name}.{key}"
    return known


def _is_json(key: str) -> bool:
    """Whether a key's variable is written as JSON: sections and lists are."""
    section, _, name = key.partition(".")
    field = Settings.model_fields[section]
    if name:
        return bool(get_args(field.annotation.model_fields[name].annotation))  # type: ignore[union-attr]
    return bool(get_args(field.annotation)) or section not in ("data_dir", "run_dir")


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
        return text, tomllib.loads(text)
    except FileNotFoundError:
        raise InvalidSettings(f"{path} does not exist; create it or correct {CONFIG_VARIABLE}.") from None
    except OSError as error:
        raise InvalidSettings(
            f"{path} cannot be read ({error.strerror}); correct its permissions or {CONFIG_VARIABLE}."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidSettings(f"{path} is not valid TOML: {error}.") from None


def _unknown_variables(environment: Mapping[str, str]) -> Iterator[str]:
    known = [*known_variables(), CONFIG_VARIABLE]
    for name in sorted(environment):
        if name.startswith(_PREFIX) and name not in known:
            yield f"The variable {name} sets nothing{_did_you_mean(name, known)}; correct or unset it."


def _is_told(problem: ErrorDetails) -> bool:
    """Whether this is the key that an unknown variable would set: its variable has been named."""
    return "_".join([_PREFIX.rstrip("_"), *map(str, problem["loc"])]).upper() in {*os.environ} - {*known_variables()}


def _broken_variables(environment: Mapping[str, str]) -> Iterator[str]:
    for name, key in known_variables().items():
        if name in environment and _is_json(key):
            try:
                json.loads(environment[name])
            except ValueError:
                yield f"The variable {name} is not valid JSON; correct it."


def _open_doors(settings: Settings) -> Iterator[str]:
    try:
        check_listener_settings(settings.listener)
    except ListenerError as error:
        yield str(error)
    try:
        check_web_settings(settings.web)
    except ListenerError as error:
        yield str(error)


def _sentence(problem: ErrorDetails, path: Path | None, text: str) -> str:
    """A problem as one sentence; what was typed is not repeated, for it may be a secret."""
    # A union's parts name themselves after pydantic's inner workings; an administrator wants the key only.
    location = [part for part in problem["loc"] if not re.search(r"[^A-Za-z0-9_]", str(part))]
    key = ".".join(map(str, location))
    reason = problem["msg"].removeprefix("Value error, ").rstrip(".")
    if problem["type"] == "string_pattern_mismatch":
        reason = PATTERNS_IN_WORDS[problem["ctx"]["pattern"]]
    if not key:
        return f"{path or 'The settings'}: {reason}."
    variable = next((name for name, known in known_variables().items() if known == key and name in os.environ), None)
    line = line_of(text, location)
    place = place_in_words(location)
    in_file = f"{place} in {path}{f', line {line},' if line else ''}" if path else place
    where = f"The variable {variable}" if variable else in_file
    if problem["type"] == "extra_forbidden":
        return f"{where} is not a setting{_did_you_mean(key, list(known_variables().values()))}; correct or remove it."
    return f"{where} is not valid: {reason[0].lower()}{reason[1:]}; correct it."


def _did_you_mean(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    return f" (did you mean {close[0]}?)" if close else ""
