"""How Sphinx makes the site from what `convert.py` wrote. Nothing is executed, nothing is fetched."""

import json
import re
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from myst_nb.sphinx_ import HideCodeCellNode
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging

logger = logging.getLogger(__name__)

project = "How neural networks train"
author = "the Butterfly companion contributors"
html_title = project
html_theme = "furo"
extensions = ["myst_nb"]
language = "en"

nb_execution_mode = "off"
nb_render_markdown_format = "myst"
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

html_static_path = ["static"]
html_css_files = ["book.css"]
html_js_files = [("book.js", {"defer": "defer"})]
html_favicon = "static/favicon.svg"
html_math_renderer = "mathml"
html_show_search_summary = False  # it would fetch pages, which a browser refuses for local files
html_copy_source = html_show_sourcelink = html_show_sphinx = html_show_copyright = html_use_index = False

LEDGER = Path(__file__).parents[1] / "figures" / "reference" / "laptop" / "claims.json"
CLAIMS = {claim["id"] for claim in json.loads(LEDGER.read_text())}
ID = re.compile(r"\b([A-Z]{1,2}\d\d[a-z]?(?:@[\w-]+)?)(?![\w@])")


class LinkClaims(SphinxPostTransform):
    """Where prose names a claim, link to its row of the ledger."""

    default_priority = 900
    formats = ("html",)

    def run(self, **_: Any) -> None:
        for text in list(self.document.findall(nodes.Text)):
            if not _within(text, nodes.literal, nodes.reference, nodes.title, nodes.literal_block, nodes.raw):
                parts = ID.split(text.astext())  # every second part is an id
                if CLAIMS.intersection(parts[1::2]):
                    text.parent.replace(
                        text, [_linked(part) if i % 2 else nodes.Text(part) for i, part in enumerate(parts)]
                    )


def _within(node: nodes.Node, *kinds: type) -> bool:
    while node.parent is not None:
        node = node.parent
        if isinstance(node, kinds):
            return True
    return False


def _linked(id: str) -> nodes.Node:
    if id not in CLAIMS:
        return nodes.Text(id)
    return nodes.reference("", id, internal=True, refuri=f"ledger.html#{id}", classes=["claim"])


class NameFolds(SphinxPostTransform):
    """Say what is folded: code alone, or code with what it drew at the notebook's small parameters."""

    default_priority = 950
    formats = ("html",)

    def run(self, **_: Any) -> None:
        for fold in self.document.findall(HideCodeCellNode):
            whole = "content" in fold["prompt_show"]
            name = "The same at the notebook's small parameters, with its code" if whole else "Code"
            fold["prompt_show"] = fold["prompt_hide"] = name


def _mathml(node: nodes.Element, block: bool) -> str:
    try:
        return tex2mathml(node.astext(), as_block=block)
    except MathError as error:
        logger.warning("%s in %s", error, node.astext(), location=node)
        return escape(node.astext())


def _inline(writer: Any, node: nodes.Element) -> None:
    long = " long" if len(node.astext()) > 40 else ""  # a line of its own, which scrolls where it does not fit
    writer.body.append(f'<span class="math{long}">{_mathml(node, block=False)}</span>')
    raise nodes.SkipNode


def _block(writer: Any, node: nodes.Element) -> None:
    writer.body.append(f'<div class="math">{_mathml(node, block=True)}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    """Register the above."""
    app.add_html_math_renderer("mathml", inline_renderers=(_inline, None), block_renderers=(_block, None))
    app.add_post_transform(LinkClaims)
    app.add_post_transform(NameFolds)
