"""Impossible values are told at the start; harmless variants are mended in silence."""

import json
from typing import Any, get_args

import pytest
from pydantic import SecretStr

from app.settings import Settings
from engine.errors import Misconfigured
from engine.settings.loading import load_settings

PG = "postgresql://u:p@h/db"
REFUSED = {
    (
        "DATABASE_URL",
        "h:5432/db",
    ): "it must begin with postgresql://, or with sqlite:/// and name a file",
    ("DATABASE_URL", "mysql://h/db"): "it must begin with postgresql://",
    ("DATABASE_URL", "jdbc:postgresql://h/db"): "it must begin with postgresql://",
    ("DATABASE_URL", "sqlite://app.db"): "it must begin with",
    ("DATABASE_URL", "sqlite:///:memory:"): "name a file",
    ("DATABASE_URL", f"{PG}?sslmode=on"): "sslmode must be one of disable allow prefer require",
    ("DATABASE_URL", f"{PG}?schema=public"): "its parameter schema is not known",
    ("DATABASE_URL", f"{PG}?sslmode=require&conection_limit=5"): "its parameter conection_limit is",
    (
        "DATABASE_URL",
        f"{PG}?target_session_attrs=master",
    ): "target_session_attrs must be one of any",
    ("DATABASE_URL", f"{PG}?connect_timeout=soon"): "connect_timeout must be whole seconds",
    (
        "DATABASE_URL",
        f"{PG}?sslrootcert=/no/such.crt",
    ): "the file /no/such.crt of sslrootcert is not",
    ("DATABASE_URL", "postgresql://u:p@h:70000/db"): "its port is not 1 to 65535",
    ("DATABASE_URL", "postgresql://u:p?w@h/db"): "in a password write %2F for / and %3F for ?",
    ("DATABASE_URL", "postgresql://u:p@h/d b"): "it has a space or a #",
    (
        "REDIS_URL",
        "localhost:6379",
    ): "it must begin with redis://, rediss:// or unix://, or be none",
    ("REDIS_URL", "http://h:6379"): "it must begin with redis://",
    ("REDIS_URL", "redis+sentinel://h:26379/mymaster"): "Sentinel and Cluster are not supported",
    ("REDIS_URL", "redis-sentinel://h/0"): "Sentinel and Cluster are not supported",
    ("REDIS_URL", "redis+cluster://h"): "Sentinel and Cluster are not supported",
    ("REDIS_URL", "redis://h:6379/cache"): "after the host comes the number of a database",
    ("REDIS_URL", "redis://h:0/0"): "its port is not 1 to 65535",
    (
        "OPENAI_BASE_URL",
        "api.openai.com/v1",
    ): "it must begin with http:// or https:// and name a host",
    ("OPENAI_BASE_URL", "https:///v1"): "name a host",
    (
        "OPENAI_BASE_URL",
        "https://h/v1/chat/completions",
    ): "it must end before the name of an endpoint",
    ("OPENAI_BASE_URL", "https://me:pw@h/v1"): "it may not carry a user or a password",
    ("OPENAI_BASE_URL", "http://h:99999/v1"): "its port is not 1 to 65535",
    ("BATCH_OPENAI_BASE_URL", "h/v1"): "it must begin with http://",
    ("OPENAI_API_KEY", "sk-one\nsk-two"): "it has a space, a line end or a letter that no key has",
    ("OPENAI_API_KEY", "Bearer sk-one"): "it has a space",
    ("OPENAI_API_KEY", "“sk-one”"): "a letter that no key has",
    ("METRICS_TOKEN", "a b"): "it has a space",
    ("PORT", "70000"): "less than or equal to 65535",
    ("PORT", "-1"): "greater than or equal to 0",
    ("WORKER_METRICS_PORT", "65536"): "less than or equal to 65535",
    ("REQUEST_TIMEOUT", "0"): "greater than 0",
    ("REQUEST_TIMEOUT", "inf"): "finite number",
    ("WEBHOOK_WAITS", "[5, -1]"): "greater than or equal to 0",
    ("SIMULATED_ERROR_RATE", "1.5"): "less than or equal to 1",
    ("MODEL_FALLBACKS", '[{"base_url": "h/v1"}]'): "it must begin with http://",
}
BARE = "sk-one"


def problems() -> list[str]:
    with pytest.raises(Misconfigured) as raised:
        load_settings(Settings)
    return raised.value.problems


@pytest.mark.parametrize(("given", "said"), REFUSED.items(), ids=map("=".join, REFUSED))
def test_an_impossible_value_is_told_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, given: tuple[str, str], said: str
) -> None:
    monkeypatch.setenv(*given)
    [problem] = problems()
    assert problem.startswith(given[0])
    assert said in problem
    assert problem.endswith(".")
    assert "Value error" not in problem
    assert "u:p" not in problem


@pytest.mark.parametrize(
    "given", [BARE + "\n", BARE + "\r\n", f" {BARE} ", f'"{BARE}"', f"'{BARE}'\n", f'" {BARE} "']
)
def test_spaces_and_quotes_around_a_copied_value_are_left_out(
    monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", given)
    monkeypatch.setenv("OPENAI_BASE_URL", given.replace(BARE, "http://h/v1"))
    monkeypatch.setenv("REDIS_URL", given.replace(BARE, "redis://h"))
    monkeypatch.setenv("DATABASE_URL", given.replace(BARE, PG))
    monkeypatch.setenv("MODEL_FALLBACKS", json.dumps([{"api_key": given}]))
    settings = load_settings(Settings)
    assert settings.openai_api_key == SecretStr(BARE)
    assert settings.model_fallbacks[0].api_key == SecretStr(BARE)
    urls = settings.openai_base_url, settings.redis_url, settings.database_url
    assert urls == ("http://h/v1", "redis://h", PG)


@pytest.mark.parametrize("blank", [" ", "\n", '""', "''"])
def test_a_blank_value_is_not_set(monkeypatch: pytest.MonkeyPatch, blank: str) -> None:
    for name in ("OPENAI_API_KEY", "DATABASE_URL", "OPENAI_BASE_URL", "DEFAULT_MODEL", "PORT"):
        monkeypatch.setenv(name, blank)
    assert load_settings(Settings) == Settings()


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("postgres://u:p@h/db", PG),
        ("postgresql+psycopg2://u:p@h/db", PG),
        ("postgresql+asyncpg://u:p@h/db?ssl=require", f"{PG}?sslmode=require"),
        (f"{PG}?sslmode=require&channel_binding=require", f"{PG}?sslmode=require"),
        (f"{PG}?statement_cache_size=0", f"{PG}?pgbouncer=true"),
        (f"{PG}?sslmode=", PG),
        ("postgres://u:p@s/s#w@h/db", "postgresql://u:p%40s%2Fs%23w@h/db"),
        ("postgres://u:p%40w@h/db", "postgresql://u:p%40w@h/db"),
        ("postgres://u@a:1,b:2/db", "postgresql://u@a:1,b:2/db"),
        ("postgres://u@[::1]:5432/db", "postgresql://u@[::1]:5432/db"),
        ("sqlite+aiosqlite:///app.db", "sqlite:///app.db"),
    ],
)
def test_the_urls_of_clouds_and_drivers_are_brought_into_one_form(given: str, meant: str) -> None:
    assert Settings(_env_file=None, database_url=given).database_url == meant


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("rediss://:p#w@h:6380/1", "rediss://:p%23w@h:6380/1"),
        ("valkeys://h", "rediss://h"),
        ("redis://valkey:6379", "redis://valkey:6379"),
        ("rediss://h?ssl_cert_reqs=none", "rediss://h?ssl_cert_reqs=none"),
        ("rediss://h?ssl_cert_reqs=CERT_NONE", "rediss://h?ssl_cert_reqs=none"),
        ("unix:///run/redis.sock?db=1", "unix:///run/redis.sock?db=1"),
        ("none", "none"),
    ],
)
def test_addresses_of_redis_too(given: str, meant: str) -> None:
    assert Settings(_env_file=None, redis_url=given).redis_url == meant


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"queue_target": 3.0, "queue_interval": 2.0}, "QUEUE_TARGET"),
        ({"model_slot_target": 30.0}, "MODEL_SLOT_TARGET"),
        ({"simulated_error_rate": 0.6, "simulated_rate_limit_rate": 0.6}, "SIMULATED_ERROR_RATE"),
    ],
)
def test_values_that_rule_each_other_out_are_told(
    monkeypatch: pytest.MonkeyPatch, first: dict[str, float], second: str
) -> None:
    for name, value in first.items():
        monkeypatch.setenv(name.upper(), str(value))
    [problem] = problems()
    assert problem.startswith(second)


def numbers() -> list[str]:
    return [
        name
        for name, field in Settings.model_fields.items()
        if name != "simulated_seed"  # any number is one
        and {int, float} & {field.annotation, *get_args(field.annotation)}
    ]


@pytest.mark.parametrize("name", numbers())
@pytest.mark.parametrize("value", ["-1", "nan"])
def test_no_number_may_be_negative_or_none(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name.upper(), value)
    [problem] = problems()
    assert problem.startswith(name.upper())


SECRET = "hush"
WITH_PASSWORDS: dict[str, Any] = {
    "database_url": f"postgresql://me:{SECRET}@h/db?sslpassword={SECRET}",
    "redis_url": f"redis://:{SECRET}@h",
    "openai_base_url": f"http://h/v1?api-key={SECRET}",
    "model_fallbacks": ({"base_url": f"http://h/v1?key={SECRET}", "api_key": SECRET},),
}


def test_no_password_of_an_address_is_in_what_is_printed_of_the_settings() -> None:
    settings = Settings(_env_file=None, **WITH_PASSWORDS)
    assert SECRET not in f"{settings!r} {settings}"
    assert SECRET in settings.sql_url


def test_no_value_is_in_the_traceback_of_a_refused_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"mysql://me:{SECRET}@h/db")
    with pytest.raises(Misconfigured) as raised:
        load_settings(Settings)
    assert SECRET not in f"{raised.value.__cause__}{raised.value}"
