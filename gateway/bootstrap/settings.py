"""`joulegate.yaml`: the facts of one deployment, read strictly. Rules stand in policies, numbers in profiles.

Every key has its meaning here, and `joulegate schema` prints this module as a JSON schema for editors. Paths in the
file are relative to the file, so that it means the same wherever it is read from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, StringConstraints, field_validator, model_validator

from gateway.domain.documents import Section, Source, read
from gateway.domain.faults import BadDocument

SCHEMA: Final = "joulegate.settings/1"
ADMIN_TOKEN_CHARACTERS_MIN = 16  # what a person would still type; 128 bits of hex are twice that

Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
ModelName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@/-]{0,127}$")]
Port = Annotated[int, Field(ge=0, le=65535)]
Positive = Annotated[int, Field(ge=1)]


class Listen(Section):
    """Where the data port listens. Port 0 takes a free one; `serve` prints which."""

    host: str = "127.0.0.1"
    port: Port = 8080


class Admin(Section):
    """Where metrics, probes, the admin API and the page listen. Without a token the gateway refuses to start."""

    host: str = "127.0.0.1"
    port: Port = 8081
    token: SecretStr

    @field_validator("token")
    @classmethod
    def _long_enough(cls, token: SecretStr) -> SecretStr:
        if len(token.get_secret_value()) < ADMIN_TOKEN_CHARACTERS_MIN:
            raise ValueError(f"shorter than {ADMIN_TOKEN_CHARACTERS_MIN} characters; `openssl rand -hex 16` makes one")
        return token


class Redis(Section):
    """Where budgets live. Without `url` an embedded Valkey in `data_dir` is started: same code, same scripts."""

    url: SecretStr | None = None

    @field_validator("url")
    @classmethod
    def _known_scheme(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and urlsplit(url.get_secret_value()).scheme not in {"redis", "rediss", "unix"}:
            raise ValueError("must begin with redis://, rediss:// or unix://")
        return url


class Site(Section):
    """A place with a power bill: it owns PUE, grid zone, tariff and cap; profiles may not.

    usd_per_kwh: an explicit 0 where electricity is part of the capacity's price.
    """

    name: Id
    pue: Annotated[Decimal, Field(ge=1, le=10)]
    usd_per_kwh: Annotated[Decimal, Field(ge=0)]
    zone: str | None = Field(
        default=None, description="of the grid tables that ship: a country or a state of the USA, e.g. DE, US-CA"
    )
    power_cap_watts: Positive | None = None
    grid_g_per_kwh: Annotated[Decimal, Field(ge=0)] | None = Field(
        default=None, description="your own, before the table's"
    )
    grid_source: str | None = None

    @model_validator(mode="after")
    def _sourced(self) -> Self:
        if self.grid_g_per_kwh is not None and self.grid_source is None:
            raise ValueError("grid_g_per_kwh needs grid_source: whose figure is it?")
        return self


class Model(Section):
    """One model on one backend. What is left out comes from its profile."""

    upstream: str | None = Field(default=None, description="its name there; left out: the same name")
    profile: str | None = Field(default=None, description="left out: the backend's")
    tier: Id = "default"
    encoding: str | None = None
    context_tokens_max: Positive | None = None
    output_tokens_max: Positive | None = None
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] | None = None
    drop_fields: frozenset[str] = frozenset()
    include_usage: bool = Field(default=True, description="false: it refuses `stream_options`")


class AttemptTimeouts(Section):
    """Milliseconds one attempt may take: to connect, to the first byte, between bytes, in all."""

    connect_ms: Positive = 3_000
    first_byte_ms: Positive = 300_000
    idle_ms: Positive = 60_000
    total_ms: Positive = 900_000


class BackendLimits(Section):
    """What one deployment takes at once."""

    concurrent: Positive = 256


class Backend(Section):
    """One deployment: its models share in-flight counts, power and health."""

    name: Id
    url: str
    api_key: SecretStr | None = None
    headers: dict[str, SecretStr] = Field(default_factory=dict)
    dialect: Literal["openai"] = "openai"
    site: Id | None = None
    profile: str | None = Field(default=None, description="default for its models")
    models: dict[ModelName, Model]
    on_disconnect: Literal["cancel", "drain"] = "cancel"
    resend_after_send: bool = True
    timeouts: AttemptTimeouts = AttemptTimeouts()
    limits: BackendLimits = BackendLimits()
    ca_file: Path | None = None
    simulated: bool = False

    @field_validator("url")
    @classmethod
    def _plain_http(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("must be an http:// or https:// address, e.g. http://10.0.0.5:8000/v1")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("must carry no user, password, query or fragment; a key belongs into `api_key`")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _priced(self) -> Self:
        if not self.models:
            raise ValueError("`models` is empty: name at least one model it serves")
        bare = [name for name, model in self.models.items() if not (model.profile or self.profile)]
        if bare:
            raise ValueError(
                f"model {bare[0]} has no profile, so nothing says what it costs: set `profile` there or here"
            )
        return self


class RequestLimits(Section):
    """Hard bounds of one request at the door."""

    body_bytes: Positive = 10 * 1024 * 1024
    messages: Positive = 2_048
    content_parts: Positive = 4_096
    json_depth: Annotated[int, Field(ge=4, le=128)] = 64
    choices: Positive = 16
    concurrent_requests: Positive = 4_096
    answer_bytes: Positive = 32 * 1024 * 1024
    counted_bytes: Positive = 4 * 1024 * 1024


class Tenancy(Section):
    """`root`: what one Redis slot holds together. Every budget must fit inside one root."""

    root: Literal["platform", "org", "team"] = "org"


class Records(Section):
    """How much disk usage records may take; the oldest go first."""

    keep_days: Positive = 400
    max_mib: Positive = 4_096


class Settings(Section):
    """The whole of `joulegate.yaml`."""

    schema_: Literal["joulegate.settings/1"] = Field(default=SCHEMA, alias="schema")
    listen: Listen = Listen()
    admin: Admin
    redis: Redis = Redis()
    key_pepper: SecretStr | None = None
    data_dir: Path = Path("data")
    policies: tuple[str, ...] = Field(description="files or patterns, relative to this file")
    profiles: tuple[str, ...] = Field(default=(), description="directories searched before the shipped profiles")
    sites: tuple[Site, ...] = ()
    backends: tuple[Backend, ...]
    limits: RequestLimits = RequestLimits()
    attempts: Annotated[int, Field(ge=1, le=3)] = 3
    tenancy: Tenancy = Tenancy()
    records: Records = Records()
    workers: Annotated[int, Field(ge=1, le=256)] = 1
    drain_seconds: Annotated[int, Field(ge=0, le=3_600)] = 30

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if not self.backends:
            raise ValueError("`backends` is empty: there is nowhere to send a request")
        if not self.policies:
            raise ValueError("`policies` is empty: no file says which models clients may name")
        if self.redis.url is not None and self.key_pepper is None:
            raise ValueError("`key_pepper` is required with `redis.url`: every gateway on that Redis must share it")
        return self


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """Settings and where they stand, so that a fault found later can still name its line."""

    path: Path
    settings: Settings
    source: Source

    def place(self, path: Path) -> Path:
        """A path of the file as this process can open it."""
        return path if path.is_absolute() else self.path.parent / path

    @property
    def data_dir(self) -> Path:
        """Where keys' pepper, the embedded Valkey and the records live."""
        return self.place(self.settings.data_dir)


def read_settings(path: Path, env: Mapping[str, str]) -> SettingsFile:
    """The file at `path`. Raises BadDocument with file, line and remedy."""
    source = read(read_text(path), file=str(path), env=env)
    settings = source.validate(Settings)
    faults = [source.fault(spot, what) for spot, what in _misnamed(settings)]
    if faults:
        raise BadDocument("\n".join(faults))
    return SettingsFile(path, settings, source)


def _misnamed(settings: Settings) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Where a name stands twice or names nothing, and what is wrong with it."""
    sites = [site.name for site in settings.sites]
    backends = [backend.name for backend in settings.backends]
    for what, names in (("sites", sites), ("backends", backends)):
        for index, name in enumerate(names):
            if name in names[:index]:
                yield (what, index, "name"), f"there is another one named {name}"
    for index, backend in enumerate(settings.backends):
        if backend.site is not None and backend.site not in sites:
            known = f"declared under `sites`: {', '.join(sites)}" if sites else "`sites` declares none"
            yield ("backends", index, "site"), f"there is no site '{backend.site}'; {known}"


def read_text(path: Path) -> str:
    """A document's text. Raises BadDocument when it is missing, unreadable or no UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BadDocument(f"{path}: there is no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadDocument(f"{path}: can not be read: {error}") from None
