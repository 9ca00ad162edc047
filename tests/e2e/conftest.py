"""A real JupyterLab server and a real headless Chromium, shared by the tests of this folder."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from jupyterlab_page import LabPage, LabServer, notebook
from playwright.sync_api import Browser, sync_playwright

BUILD = Path(__file__).resolve().parents[2] / "build"
HERE = Path(__file__).resolve().parent


def pytest_collection_modifyitems(items):
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.timeout(1200))  # over what a page is waited for


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Keep a picture of the page when a test fails."""
    report = yield
    page = getattr(item, "funcargs", {}).get("page")
    if report.when == "call" and report.failed and isinstance(page, LabPage):
        picture = page.screenshot(BUILD / "e2e" / f"{item.name}.png")
        report.sections.append(("screenshot", str(picture)))
    return report


@pytest.fixture(scope="session")
def ipykernel73() -> Path:
    """The last ipykernel that hands a widget's messages to any shell, in a folder of its own."""
    folder = BUILD / "ipykernel73"
    if not (folder / "ipykernel").exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        subprocess.run([*pip, "--target", str(folder), "ipykernel==7.3.*"], check=True)
    return folder


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """One JupyterLab server for all tests; its notebooks lie in a temporary folder."""
    with LabServer(tmp_path_factory.mktemp("lab")) as server:
        yield server


@pytest.fixture(scope="module")
def browser():
    """One headless Chromium for a module's tests: the system's, else Playwright's own.

    Not for longer: while Playwright is open an event loop runs in this thread, and the tests of
    other modules start their own.
    """
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next((found for name in names if (found := shutil.which(name))), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


@pytest.fixture
def page(lab: LabServer, browser: Browser):
    """A browser tab; the kernels that it started are gone when the test ends."""
    context = browser.new_context(viewport={"width": 1280, "height": 1600})
    yield LabPage(lab, context.new_page())
    context.close()
    lab.shut_down_kernels()


@pytest.fixture
def write_notebook(lab: LabServer, tmp_path_factory):
    """Write a notebook of code cells into a folder of its own; return its path under the server."""

    def write(*cells: str, kernel: str = "python3") -> str:
        folder = lab.root / tmp_path_factory.mktemp("notebook").name
        folder.mkdir()
        notebook(*cells, kernel=kernel, path=folder / "test.ipynb")
        return f"{folder.name}/test.ipynb"

    return write
