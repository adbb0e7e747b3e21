"""The sections for running it: `alerts`, `sweep`, `control`, `tracing`, `metrics`, `log`."""

from typing import Annotated, Literal

from pydantic import Field

from ostiary.config.fields import FilePath, Host, Port, Text, Whole
from ostiary.config.section import Section
from ostiary.config.urls import HttpUrl


class AlertsSettings(Section):
    """Who is told of an incident."""

    webhook_url: Annotated[HttpUrl | None, Field(repr=False)] = None
    """Where each incident is posted as JSON."""

    webhook_secret_path: FilePath | None = None
    """The file of the secret that signs those posts (HMAC-SHA256 in `X-Ostiary-Signature`)."""

    room: Text | None = None
    """A Matrix room for a notice of each incident."""

    access_token_path: FilePath | None = None
    """The file of the access token that posts there."""


class SweepSettings(Section):
    """How gently `ostiary sweep` scans what is stored already."""

    rate: Annotated[Whole, Field(ge=1, le=1_000_000)] = 50
    """Files a second at most."""

    concurrency: Annotated[Whole, Field(ge=1, le=1000)] = 4
    """Files at the same time."""


class ControlSettings(Section):
    """How commands reach a running server."""

    socket: FilePath | None = None
    """A unix socket, mode 0600; null: beside the ledger."""


class TracingSettings(Section):
    """OpenTelemetry."""

    otlp_endpoint: Annotated[HttpUrl | None, Field(repr=False)] = None
    """Where traces go."""


class MetricsSettings(Section):
    """Where Prometheus reaches `/metrics`."""

    host: Host = "127.0.0.1"
    """The interface to listen on."""

    port: Port = 9000
    """The port to listen on; 0 lets the system choose one."""


class LogSettings(Section):
    """What is logged, and how."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least important lines that are written. One line for each decision is info."""

    format: Literal["console", "json"] = "console"
    """`console` for people, `json` for machines."""
