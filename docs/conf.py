"""How Sphinx builds the site: ``make docs``."""

from __future__ import annotations

from importlib import metadata
from typing import Any

from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.util import logging

project = "pmsim"
author = "The pmsim authors"
copyright = author
release = metadata.version("pmsim")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
]
suppress_warnings = ["ref.python"]  # a short name in a docstring may be that of several things
exclude_patterns = ["_build", "_generate"]

html_theme = "furo"
html_title = "pmsim"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_show_copyright = False
html_show_sphinx = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#1f5fa8", "color-brand-content": "#1f5fa8"},
}
pygments_style = "friendly"
pygments_dark_style = "github-dark"

myst_heading_anchors = 3
myst_enable_extensions = ["smartquotes"]

add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True  # attributes are described by their class, and once
# A name in single backticks is one of pmsim's wherever there is such a name.
default_role = "py:obj"


def setup(app: Sphinx) -> None:
    """Let Sphinx call what follows."""
    app.connect("missing-reference", find_by_last_names)


def find_by_last_names(app: Sphinx, env: Any, node: pending_xref, shown: Any) -> Any:
    """Resolve ``Pmalloc.create_pool``, said anywhere, if only one object's name ends so.

    Docstrings name things of other packages, too, which lead nowhere. Pages written by hand must
    not: they say the names of pmsim's things alone, and of those that are there.
    """
    if node.get("refdomain") != "py":
        return None
    domain = env.get_domain("py")
    target, page = node["reftarget"], node["refdoc"]
    found = [name for name in domain.objects if name.endswith(f".{target}")]
    if len(found) == 1:
        return domain.resolve_xref(env, page, app.builder, "obj", found[0], node, shown)
    if not page.startswith("reference/"):
        message = "no name of pmsim's ends in %r, or more than one does"
        logging.getLogger(__name__).warning(message, target, location=node)
    return None
