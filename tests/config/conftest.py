"""What the configuration's tests share: a way to load a text as a file, and to see why it won't."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from ostiary.config.load import load
from ostiary.config.settings import Settings
from ostiary.errors import ConfigError

Loading = Callable[..., Settings]
Complaining = Callable[..., list[str]]


@pytest.fixture(scope="session")
def load_text(tmp_path_factory: pytest.TempPathFactory) -> Loading:
    """Return a function that loads a text, written to a file called ostiary.yaml."""
    file = tmp_path_factory.mktemp("config") / "ostiary.yaml"

    def loading(text: str | bytes = "", environ: Mapping[str, str] | None = None) -> Settings:
        file.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
        return load(file, environ or {})

    return loading


@pytest.fixture(scope="session")
def problems(load_text: Loading) -> Complaining:
    """Return a function that gives the problems of a text that does not load, without the folder."""

    def complaining(text: str | bytes = "", environ: Mapping[str, str] | None = None) -> list[str]:
        with pytest.raises(ConfigError) as raised:
            load_text(text, environ)
        return [line[line.find("ostiary.yaml") :] if "/" in line.split(":")[0] else line
                for line in str(raised.value).splitlines()]  # fmt: skip

    return complaining


@pytest.fixture
def fixtures() -> Path:
    """Return the folder of whole configuration files."""
    return Path(__file__).parent / "fixtures"
