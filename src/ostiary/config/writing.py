"""A configuration as YAML text, with remarks beside its keys. Pure.

Writes what `ostiary.config.document` reads back as the same values, whatever the texts hold.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import yaml

from ostiary.config.document import Value

_HOW_FAR: Final = float("inf")  # no line is ever folded


class _Dumper(yaml.SafeDumper):
    """Quotes every text that is not plain ASCII, and never writes an alias."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002  (PyYAML's signature)
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None if text.isascii() and text.isprintable() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def document(head: Iterable[str], data: Mapping[str, Value], remarks: Mapping[tuple[str, str], str]) -> str:
    """Return the sections, a line a key; `head` stands above them, and each remark behind its key."""
    lines = [f"# {line}".rstrip() for line in head]
    for section, keys in data.items():
        if isinstance(keys, dict):
            lines += ["", f"{section}:"]
            lines += [f"  {_pair(key, value)}{_remark(remarks, section, key)}" for key, value in keys.items()]
        else:
            lines += ["", _pair(section, keys)]
    return "\n".join(lines) + "\n"


def _remark(remarks: Mapping[tuple[str, str], str], section: str, key: str) -> str:
    return f"  # {remarks[section, key]}" if (section, key) in remarks else ""


def _pair(key: str, value: Value) -> str:
    written = yaml.dump([value], Dumper=_Dumper, default_flow_style=True, sort_keys=False, width=_HOW_FAR)
    return f"{key}: {written.strip()[1:-1]}"
