"""The `web` section: where clients reach the scanner API."""

from typing import Annotated

from pydantic import Field

from ostiary.config.fields import Host, Port, Whole
from ostiary.config.section import NotYet, Section
from ostiary.config.urls import BaseUrl


class WebSettings(Section):
    """Where clients, or the reverse proxy in front, reach the API, `/health` and `/ready`."""

    host: Host = "127.0.0.1"
    """The interface to listen on; `0.0.0.0` for all."""

    port: Port = 8080
    """The port to listen on; 0 lets the system choose one."""

    workers: Annotated[Whole, Field(ge=1, le=1024), NotYet(unless=(1,))] = 1
    """Processes on this machine that share the port."""

    public_url: Annotated[BaseUrl | None, NotYet()] = None
    """Where clients reach us from outside; `ostiary check` tries the way through the proxy."""
