"""Normalises addresses as people, clouds and other drivers write them.

Each function returns the address, or raises `ValueError` with the fault and the remedy.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from pydantic import AfterValidator, BaseModel

NO_REDIS = "none"
MASK = "********"

CHOICES = {
    "sslmode": "disable allow prefer require verify-ca verify-full",
    "target_session_attrs": "any primary standby prefer-standby read-write read-only",
    "channel_binding": "disable prefer require",
    "gssencmode": "disable prefer",
    "pgbouncer": "true false",  # Prisma's word, which Supabase's addresses have
}
FILES = {"sslcert", "sslcrl", "sslkey", "sslrootcert"}
UNUSED = {"channel_binding", "client_encoding", "gssencmode", "sslsni", "keepalives"} | {
    *("keepalives_count", "keepalives_idle", "keepalives_interval")
}
"""Parameters of libpq that asyncpg lacks; their common values change nothing here."""
KNOWN = {*CHOICES, *FILES, *UNUSED} | {
    *("application_name", "connect_timeout", "database", "dbname", "gsslib", "host", "krbsrvname"),
    *("options", "passfile", "password", "port", "sslnegotiation", "sslpassword", "user"),
    *("ssl_max_protocol_version", "ssl_min_protocol_version"),
}
SYNONYMS = {
    **dict.fromkeys([("ssl", "true"), ("ssl", "on"), ("ssl", "1")], ("sslmode", "require")),
    **{("ssl", mode): ("sslmode", mode) for mode in CHOICES["sslmode"].split()},
    ("statement_cache_size", "0"): ("pgbouncer", "true"),
    ("prepared_statement_cache_size", "0"): ("pgbouncer", "true"),
}
"""Parameters of asyncpg and SQLAlchemy, in libpq's words."""


class Discreet(BaseModel):
    """A model that shows no password of an address where it is printed."""

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, mask_secrets(value) if isinstance(value, str) else value


def mask_secrets(value: str) -> str:
    """Return the text without passwords of URLs; secrets of their own type mask themselves."""
    value = re.sub(r"(://[^:@/]*):.+@", rf"\1:{MASK}@", value)
    return re.sub(r"(?i)([?&][^=&]*(?:password|secret|key|token)=)[^&]+", rf"\1{MASK}", value)


def database_url(url: str) -> str:
    """Return `postgresql://…` with the parameters that asyncpg reads, or `sqlite:///…`."""
    scheme, _, rest = url.partition("://")
    head, _, query = rest.partition("?")
    match scheme.partition("+")[0]:
        case "sqlite" if rest.startswith("/") and head not in ("/", "/:memory:"):
            return f"sqlite://{rest}"
        case "postgres" | "postgresql":
            parameters = urlencode(dict(_parameters(query)))
            return _checked(f"postgresql://{_quoted(head)}?{parameters}".rstrip("?"))
    raise ValueError("it must begin with postgresql://, or with sqlite:/// and name a file")


def redis_url(url: str) -> str:
    """Return `redis://…`, `rediss://…`, `unix://…` or `none`."""
    scheme, _, rest = re.sub("^valkey", "redis", url).partition("://")
    if re.search("sentinel|cluster", scheme):
        raise ValueError("Sentinel and Cluster are not supported: name one server, or a proxy")
    if url != NO_REDIS and scheme not in ("redis", "rediss", "unix"):
        raise ValueError("it must begin with redis://, rediss:// or unix://, or be none")
    head, mark, query = rest.partition("?")
    if scheme != "unix" and not re.fullmatch(r"[^/]*(/\d*)?", _quoted(head)):
        raise ValueError("after the host comes the number of a database, or nothing")
    # Heroku's and Celery's names for redis-py's none, optional and required.
    query = re.sub(r"(?<=ssl_cert_reqs=)CERT_\w+", lambda found: found[0][5:].lower(), query)
    return url if url == NO_REDIS else _checked(f"{scheme}://{_quoted(head)}{mark}{query}")


def http_url(url: str) -> str:
    """Return `http://…` or `https://…` without a slash at its end."""
    parts = urlsplit(_checked(url))
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("it must begin with http:// or https:// and name a host")
    if "@" in parts.netloc:
        raise ValueError("it may not carry a user or a password: keys have settings of their own")
    path = parts.path.rstrip("/")
    if path.endswith(("/completions", "/embeddings", "/models")):
        raise ValueError("it must end before the name of an endpoint, as https://host/v1 does")
    return parts._replace(path=path).geturl()


DatabaseUrl = Annotated[str, AfterValidator(database_url)]
RedisUrl = Annotated[str, AfterValidator(redis_url)]
HttpUrl = Annotated[str, AfterValidator(http_url)]


def _parameters(query: str) -> Iterator[tuple[str, str]]:
    for given in parse_qsl(query):
        name, value = SYNONYMS.get(given, given)
        if name not in KNOWN:
            raise ValueError(f"its parameter {name} is not known: leave it out, or use options=-c")
        if name in CHOICES and value not in CHOICES[name].split():
            raise ValueError(f"{name} must be one of {CHOICES[name]}")
        if name == "connect_timeout" and not value.isdecimal():
            raise ValueError("connect_timeout must be whole seconds")
        if name in FILES and value != "system" and not Path(value).is_file():
            raise ValueError(f"the file {value} of {name} is not there")
        if name not in UNUSED:
            yield name, value


def _quoted(head: str) -> str:
    """Quote characters that a password may have and an address may not, but none twice."""
    user, at, place = head.rpartition("@")
    return quote(user, safe=":%") + at + place


def _checked(url: str) -> str:
    if re.search(r"[\s#\x00-\x1f]", url):
        raise ValueError("it has a space or a #: in a password write %20 and %23")
    if not all(map(_has_a_port, urlsplit(url).netloc.rpartition("@")[2].split(","))):
        raise ValueError("its port is not 1 to 65535; in a password write %2F for / and %3F for ?")
    return url


def _has_a_port(host: str) -> bool:
    try:
        return urlsplit(f"//{host}").port != 0
    except ValueError:
        return False
