"""The licences of what we depend on, by the metadata of what is installed: `python -m docs.licences` prints them.

A package states its licence as an SPDX expression, in a field of free text, or by classifiers (PEP 639 and before); the
first of these that is there counts.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from importlib.metadata import Distribution, distributions
from pathlib import Path

from docs.json_schema import table

ROOT = Path(__file__).resolve().parents[1]
LONGEST = 60
"""Characters of a field of free text that names a licence: others hold the whole of it."""


def licences() -> str:
    """Every package that constraints.txt pins and that is installed, with who asks for it."""
    asked, here = declared(), {canonical(each.name): each for each in distributions()}
    rows = [(f"`{name}`", licence(here[name]), asked.get(name)) for name in sorted(pinned() & here.keys())]
    return table(["package", "licence", "asked for by"], rows)


def pinned() -> set[str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return {canonical(line.partition("==")[0]) for line in lines if "==" in line}


def declared() -> Mapping[str, str]:
    """What pyproject.toml names, and where: an extra, or `always`. Everything else is brought along by these."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = {"always": project["dependencies"], **project["optional-dependencies"]}
    return dict(_of_groups(groups, ours=project["name"]))


def licence(package: Distribution) -> str:
    """As short as the package says it; never empty."""
    classes = _said(package, "Classifier")
    classifiers = [each.rpartition(" :: ")[2] for each in classes if each.startswith("License")]
    free = "".join(_said(package, "License")).strip()
    named = free if free != "UNKNOWN" and len(free) <= LONGEST and "\n" not in free else ""
    return "".join(_said(package, "License-Expression")) or named or ", ".join(classifiers) or "as its own files say"


def _said(package: Distribution, field: str) -> list[str]:
    return [str(value) for value in package.metadata.get_all(field) or ()]


def canonical(name: str) -> str:
    """PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _of_groups(groups: Mapping[str, list[str]], *, ours: str) -> Iterator[tuple[str, str]]:
    for group, requirements in groups.items():
        for requirement in requirements:
            name = canonical(re.split(r"[\[<>=!~; ]", requirement)[0])
            if name != ours:
                yield name, group if group == "always" else f"extra `{group}`"


if __name__ == "__main__":
    print(licences())
