"""All settings: environment variables `ANALYTICS_*`, then `analytics.toml` in the home, then defaults."""

import json
import os
import tomllib
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from resources.errors import InvalidInput
from resources.monitoring.server.connection import READ_TIMEOUT_SECONDS
from resources.monitoring.server.failures import without_secrets
from resources.partition import parse_day

PREFIX = "ANALYTICS_"
URL = r"^https?://[^\s@?#]+$"
LABEL = r"^[a-zA-Z_][a-zA-Z0-9_]*$"

Pairs = tuple[tuple[str, str], ...]
"""A table of names and texts; in the environment a JSON object."""
FILE_NAME = "analytics.toml"


class Settings(BaseModel):
    """Every setting, with unit, range and default. A wrong or unknown one stops the start-up."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    home: Path = Field(Path("novacron-home"), description="Folder that holds everything that is written.")
    source: Literal["files", "simulated", "prometheus", "victoriametrics"] = Field(
        "files",
        description="Where samples come from. Tenants with imported traces always read those.",
    )
    first_day: date | None = Field(
        None,
        description="First day of the grid (YYYY-MM-DD). Unset: the first day that the source has samples of; "
        "must be set where the source is a server.",
    )
    prometheus_url: str | None = Field(
        None, pattern=URL, description="Where Prometheus answers, such as http://prometheus:9090, without credentials."
    )
    victoriametrics_url: str | None = Field(
        None, pattern=URL, description="Where VictoriaMetrics answers, such as http://victoria:8428."
    )
    source_read_method: Literal["auto", "remote-read-chunks", "remote-read-samples", "query"] = Field(
        "auto", description="How Prometheus is read; auto takes the first of these that it offers."
    )
    source_bearer_token_file: Path | None = Field(
        None, description="File with a bearer token, read again for every request."
    )
    source_username: str | None = Field(None, description="User name for basic authentication.")
    source_password_file: Path | None = Field(None, description="File with the password for basic authentication.")
    source_ca_file: Path | None = Field(
        None, description="File (PEM) with the authorities that may sign for the server."
    )
    source_headers: Pairs = Field(
        (), repr=False, description="More request headers, such as X-Scope-OrgID; their values are never shown."
    )
    source_read_timeout_seconds: float = Field(
        READ_TIMEOUT_SECONDS,
        gt=0,
        le=3600,
        description="Seconds without a byte after which a request is given up; longer than the server gives a query "
        "(Prometheus: 120), so that its own words arrive.",
    )
    source_request_timeout_seconds: float = Field(600, gt=0, le=86_400, description="Seconds a whole request may take.")
    source_attempts: int = Field(5, ge=1, le=20, description="Times a request is tried when it fails in passing.")
    source_concurrency: int = Field(2, ge=1, le=64, description="Requests to the source at one time, a count.")
    source_chunk_samples: int = Field(
        2_000_000, ge=1_000, le=50_000_000, description="Samples that one request should bring, a count."
    )
    source_max_entities: int = Field(
        100_000,
        ge=1,
        le=10_000_000,
        description="VMs, nodes, or series that name neither, that the source may list for one tenant and day before "
        "it is refused, a count. (Prometheus lists those of the whole block of days.)",
    )
    source_interval_seconds: int | None = Field(
        None, ge=1, le=3600, description="Seconds between two samples of a series. Unset: measured from the samples."
    )
    source_partial_answers: Literal["refuse", "accept"] = Field(
        "refuse",
        description="What to do when the source warns that its answer is not whole: fail and keep what was stored, "
        "or store it with the warnings.",
    )
    source_fewer_samples: Literal["refuse", "accept"] = Field(
        "refuse",
        description="What to do when the source has fewer samples than are stored, as after its retention: fail and "
        "keep what was stored, or overwrite it.",
    )
    max_new_tenants: int = Field(
        20, ge=1, le=10_000, description="New tenants that discovery registers at once, a count; the rest wait."
    )
    inventory: Literal["auto", "none", "file", "prometheus", "libvirt"] = Field(
        "auto",
        description="Where VM sizes come from; auto: with the samples, or inventory_file, or what a libvirt exporter "
        "tells the source. Any other holds for tenants with imported traces, too.",
    )
    inventory_file: Path | None = Field(None, description="CSV or JSON file with VM sizes.")
    inventory_queries: Pairs = Field(
        (), description="PromQL expression by column (vcpus, memory_bytes, disk_bytes, state), in place of libvirt's."
    )
    inventory_vm_label: str = Field("uuid", pattern=LABEL, description="Label of these queries that holds the VM's id.")
    inventory_name_label: str = Field("domain", pattern=LABEL, description="Label that holds the VM's name.")
    libvirt_uri: str | None = Field(
        None, repr=False, description="Where libvirt answers, such as qemu+ssh://node/system."
    )
    resolution_seconds: int = Field(
        300, ge=60, le=3600, description="Width of a bucket of the sample tables, in seconds; must divide an hour."
    )
    minimum_coverage: float = Field(
        0.7, ge=0, le=1, description="Share of expected samples below which an analysis says insufficient_data."
    )
    low_coverage: Literal["warn", "block"] = Field(
        "warn", description="Whether a day below minimum_coverage is a warning, or nothing is made from it."
    )
    max_partitions_per_run: int = Field(
        10, ge=1, le=100, description="Partitions that one run of a backfill computes, a count."
    )
    run_workers: int = Field(
        2, ge=1, le=64, description="Processes in which `run` and `demo` compute tenants side by side, a count."
    )
    query_max_rows: int = Field(1_000_000, ge=1, le=100_000_000, description="Rows a query may return, a count.")
    query_timeout_seconds: int = Field(60, ge=1, le=3600, description="Seconds a query may run.")
    query_memory_mb: int = Field(1024, ge=64, le=1_000_000, description="Memory a query may use, in MB.")
    query_threads: int = Field(
        1,
        ge=1,
        le=256,
        description="Threads a query may use, a count; with more than 1, sums may differ in their last digits.",
    )
    asset_owner: str = Field(
        "team:novacron-operations",
        pattern=r"^(team:[A-Za-z0-9_-]+|[^@\s]+@[^@\s]+\.[^@\s]+)$",
        description="Owner shown on every asset: team:NAME or an e-mail address.",
    )
    simulated_seed: int = Field(42, ge=0, le=2**31 - 1, description="Seed of the simulated fleet.")
    simulated_tenants: int = Field(3, ge=1, le=200, description="Tenants of the simulated fleet, a count.")
    simulated_vms: int = Field(20, ge=1, le=10_000, description="VMs of each simulated tenant, a count.")
    simulated_first_day: date = Field(date(2026, 1, 1), description="Day the simulated fleet starts (YYYY-MM-DD).")
    simulated_days: int = Field(28, ge=1, le=400, description="Days the simulated fleet runs.")
    simulated_interval_seconds: int = Field(
        60, ge=1, le=300, description="Seconds between two samples of a simulated series; must divide a day."
    )

    @field_validator("*", mode="before")
    @classmethod
    def _is_no_truth_value(cls, value: Any) -> Any:
        if isinstance(value, bool):  # would pass as 1 or 0
            raise ValueError("true and false are not values of it")
        return value

    @field_validator("source_headers", "inventory_queries", mode="before")
    @classmethod
    def _is_a_table(cls, value: Any) -> Any:
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except json.JSONDecodeError as error:
                raise ValueError("it is not a JSON object") from error
        if isinstance(value, tuple):
            return value
        if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
            raise ValueError("it is not a table of names and texts")
        return tuple(sorted(value.items()))

    @field_validator("first_day", "simulated_first_day", mode="before")
    @classmethod
    def _is_a_day(cls, value: Any) -> Any:
        if isinstance(value, str):
            try:
                return parse_day(value)
            except InvalidInput as error:
                raise ValueError(str(error).rstrip(".")) from error
        if value is not None and not isinstance(value, date):  # a number would pass as seconds since 1970
            raise ValueError("it is not a day")
        return value

    @field_validator("resolution_seconds")
    @classmethod
    def _divides_an_hour(cls, value: int) -> int:
        if 3600 % value:
            raise ValueError("an hour must be a whole number of buckets")
        return value

    @field_validator("simulated_interval_seconds")
    @classmethod
    def _divides_a_day(cls, value: int) -> int:
        if 86_400 % value:
            raise ValueError("a day must be a whole number of samples")
        return value

    @property
    def is_live(self) -> bool:
        """Whether samples come from a server, which may be down, behind or forgetful."""
        return self.source in ("prometheus", "victoriametrics")

    @property
    def inventory_root(self) -> Path:
        """Where sizes that were observed, and cannot be asked for again, are kept."""
        return self.home / "inventory"

    @property
    def lake_root(self) -> Path:
        return self.home / "lake"

    @property
    def traces_root(self) -> Path:
        """Where imported trace files are kept."""
        return self.home / "traces"

    @property
    def pipelines_folder(self) -> Path:
        """Where an operator puts pipeline files besides the built-in ones."""
        return self.home / "pipelines"

    @property
    def dagster_home(self) -> Path:
        return self.home / "dagster"


def load_settings(home: Path | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """Return the settings in force; `home` (a command's `--home`) beats the environment, that beats the file.

    Raises:
        InvalidInput: a setting is unknown or out of range (named with its value and where it was
            set), or the home's file cannot be read.
    """
    values = given_settings(home, environment)
    try:
        return Settings.model_validate({name: value for name, (value, _) in values.items()})
    except ValidationError as error:
        raise InvalidInput("\n".join(_explain(problem, values) for problem in error.errors())) from None


def given_settings(
    home: Path | None = None, environment: Mapping[str, str] | None = None
) -> dict[str, tuple[Any, str]]:
    """Return the settings that somebody set, and `home`: name -> (value as given, where it was set).

    Raises:
        InvalidInput: one does not exist, or the home's file cannot be read.
    """
    environment = os.environ if environment is None else environment
    given: dict[str, tuple[Any, str]] = {
        name.removeprefix(PREFIX).lower(): (value, f"environment variable {name}")
        for name, value in environment.items()
        if name.startswith(PREFIX)
    }
    if home is not None:
        given["home"] = (str(home), "--home")
    named, origin = given.get("home", (str(Settings.model_fields["home"].default), "default"))
    if not named:
        raise InvalidInput(f"setting home = '' ({origin}) is no folder. Name one, or do not set it.")
    try:
        place = Path(named).expanduser().absolute()
    except RuntimeError as error:
        raise InvalidInput(f"setting home = {named!r} ({origin}): {error} Write the folder out.") from error
    values = {**_read_file(place / FILE_NAME), **given, "home": (str(place), origin)}
    for name, (value, where) in values.items():
        if name.endswith("_file") and isinstance(value, str):
            values[name] = (str(place / Path(value).expanduser()), where)  # a relative one lies in the home
    _refuse_unknown(values)
    return values


def _read_file(path: Path) -> dict[str, tuple[Any, str]]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"cannot read {path}: {error}. Mend its permissions or remove it.") from error
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(f"{path} is not TOML: {error}.") from error
    if "home" in values:
        raise InvalidInput(f"{path} sets home, but lies in it. Use --home or ANALYTICS_HOME.")
    return {name: (value, str(path)) for name, value in values.items()}


def _refuse_unknown(values: Mapping[str, tuple[Any, str]]) -> None:
    for name, (_, origin) in values.items():
        if name in Settings.model_fields:
            continue
        # The value is not shown: it may be a secret under a name of its own.
        said = f"setting {name} ({origin}) does not exist."
        if f"{name}_file" in Settings.model_fields:
            raise InvalidInput(f"{said} Write its value into a file, and set {name}_file to the path of that file.")
        raise InvalidInput(f"{said} Settings are: {', '.join(sorted(Settings.model_fields))}.")


def _explain(problem: Any, values: Mapping[str, tuple[Any, str]]) -> str:
    name = str(problem["loc"][0])
    value, origin = values.get(name, ("", "default"))
    field = Settings.model_fields[name]
    return (
        f"setting {name} = {shown(name, value)!r} ({origin}) is wrong: {problem['msg']}. "
        f"Allowed: {describe_range(name)}. {field.description}"
    )


def shown(name: str, value: Any) -> Any:
    """Return a setting's value as it may be printed: without the secrets that headers and addresses may hold."""
    if name == "source_headers" and value:
        if isinstance(value, dict):
            value = [[*pair] for pair in value.items()]
        if isinstance(value, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in value):
            return {str(key): "***" for key, _ in value}
        return "***"
    if name.endswith(("_url", "_uri")) and value is not None:
        return without_secrets(str(value))
    return value


def describe_range(name: str) -> str:
    """Return the allowed values of the setting `name` as text, such as `1 to 100`."""
    schema = Settings.model_json_schema()["properties"][name]
    options = [schema, *schema.get("anyOf", [])]
    if Settings.model_fields[name].annotation == Pairs:
        return "a table of names and texts"
    for option in options:
        if "enum" in option:
            return ", ".join(str(value) for value in option["enum"])
        if "maximum" in option:
            low = f"above {option['exclusiveMinimum']:g}, up" if "exclusiveMinimum" in option else option["minimum"]
            return f"{low} to {option['maximum']:g}" if isinstance(low, str) else f"{low} to {option['maximum']}"
        if option.get("format") == "date":
            return "a day as YYYY-MM-DD"
        if option.get("format") == "path":
            return "a file" if name.endswith("_file") else "a folder"
        if "pattern" in option:
            return f"text that matches {option['pattern']}"
    return str(schema.get("type", "text"))
