"""How Sphinx builds the site: the pages of this folder, and in them what the code says of itself."""

import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from sphinx.application import Sphinx  # noqa: E402

from app.version import VERSION  # noqa: E402
from docs.licences import licences  # noqa: E402
from docs.rest_reference import rest_reference  # noqa: E402
from docs.settings_reference import job_settings, service_settings  # noqa: E402

project, version, release = "NetAdapt Service", VERSION, VERSION
author, copyright = "the NetAdapt Service authors", "the NetAdapt Service authors, Apache-2.0"  # noqa: A001
extensions = ["myst_parser"]
exclude_patterns = ["__pycache__", "*.py"]
myst_heading_anchors = 3  # `page.md#a-heading`, as GitHub has it
html_theme = "furo"
html_title = project
html_show_sphinx = False
highlight_language = "sh"  # of a fence that names none: most hold commands
templates_path: list[str] = []

GENERATED = {
    "job settings": job_settings,
    "service settings": service_settings,
    "rest": rest_reference,
    "licences": licences,
}
MARK = re.compile(r"^<!-- generated: (.+) -->$", re.MULTILINE)


def fill_in(_app: Sphinx, _page: str, source: list[str]) -> None:
    """A page shows, in place of a mark, what is made from the code at that moment. KeyError: a mark that is none."""
    source[0] = MARK.sub(lambda mark: GENERATED[mark[1]](), source[0])


def list_the_others(_app: Sphinx, page: str, source: list[str]) -> None:
    """The contents end with the pages that they do not name, so that none is out of reach."""
    if page == "index":
        pages = {path.relative_to(HERE).with_suffix("").as_posix() for path in HERE.rglob("*.md")}
        named = set(re.findall(r"^[a-z][a-z0-9_/]*$", source[0], re.MULTILINE))
        source[0] = source[0].replace("<!-- the others -->", "\n".join(sorted(pages - named - {"index"})))


def setup(app: Sphinx) -> None:
    app.connect("source-read", fill_in)
    app.connect("source-read", list_the_others)
