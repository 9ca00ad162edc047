"""Make ``docs/dashboard.png``: the quickstart's sweep in JupyterLab, two thirds through."""

import re
import sys
import tempfile
from pathlib import Path

import nbformat
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

from jupyterlab_page import LabPage, LabServer, eventually, notebook  # noqa: E402


def main() -> None:
    """Run the sweep, wait until it is under way, take the picture."""
    cells = nbformat.read(ROOT / "notebooks" / "quickstart.ipynb", as_version=4).cells
    sources = [cell.source for cell in cells if cell.cell_type == "code"]
    tune = next(i for i, source in enumerate(sources) if source.startswith("%%tune"))
    sources[tune] = sources[tune].replace(" --replace", " --seed 3")
    with tempfile.TemporaryDirectory() as folder, LabServer(Path(folder)) as server:
        notebook(*sources[: tune + 1], path=server.root / "digits.ipynb")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
            )
            lab = LabPage(server, browser.new_page(viewport={"width": 1100, "height": 1700}))
            lab.open("digits.ipynb")
            lab.run_all()
            output = lab.page.locator(".jp-Cell").nth(tune)
            under_way = re.compile(r"4\d of 60 trials")
            eventually(lambda: under_way.search(output.inner_text()), every=0.05)
            output.screenshot(path=ROOT / "docs" / "dashboard.png")
            browser.close()


if __name__ == "__main__":
    main()
