"""The page of several recipes: the table, and what was not run."""

from typing import TYPE_CHECKING

from frugalseg.experiments.published import EXPLANATION
from frugalseg.report.page import Page

if TYPE_CHECKING:
    from frugalseg.experiments.table import Table

MEANING = (
    "Each method has three lines: what was measured here, as mean ± sample standard deviation over runs with different "
    "seeds; what the paper has published; and how far the first is from the second. A dash stands where nothing was "
    "measured or published."
)


def table_page(table: "Table") -> Page:
    """The table as a page; each recipe has a page of its own beside it."""
    done = sum(len(result.runs) for result in table.found.values())
    page = Page("Methods by benchmarks", lead=f"{len(table.found)} of {len(table.titles)} recipes, {done} rows in all.")
    header, *rows = table.lines()
    page.table(header, rows, caption="mIoU in per cent, as the paper counts it.").text(MEANING, EXPLANATION)
    pages = [(table.titles[name], f"{name}/index.html") for name in table.found]
    page.heading("The pages of the recipes").table(("recipe", "page, beside this one"), pages)
    out = [(table.titles[name], "all", why) for name, why in table.left_out.items()]
    for name, result in table.found.items():
        out += [(table.titles[name], row, why) for row, why in result.left_out.items()]
    if out:
        page.heading("What was not run").table(("recipe", "method", "why"), out)
    return page
