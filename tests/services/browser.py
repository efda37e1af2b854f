"""A person at the pages of Airflow and MLflow: Debian's Chromium, driven by Playwright.

NEXTCLICK_PICTURES names a folder where what the person saw is kept: `docs/pictures` for the README.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect, sync_playwright

from tests.services.platform import MODEL, Platform

SIZE = {"width": 1400, "height": 1000}
PATIENCE_MS = 60_000
FIRST = "Run Parameters"
"""The form's first section: what most runs change."""


class Browser:
    """One window, logged in to Airflow as the reviewer."""

    def __init__(self, page: Page, platform: Platform, pictures: Path) -> None:
        self.page, self.platform, self.pictures = page, platform, pictures

    def log_in(self, user: str = "reviewer") -> None:
        self.page.goto(self.platform.url("AIRFLOW"))
        self.page.fill('input[name="username"]', user)
        self.page.fill('input[name="password"]', self.platform.password(user))
        self.page.keyboard.press("Enter")
        expect(self.page.get_by_text("Welcome")).to_be_visible()

    def trigger(self, dag: str, **values: Any) -> None:
        """By the DAG's form; a setting's field is found by its name, its section is opened where it is folded."""
        self.page.goto(f"{self.platform.url('AIRFLOW')}/dags/{dag}")
        self.page.get_by_role("button", name="Trigger").first.click()
        form = self.page.get_by_role("dialog")
        expect(form.get_by_text(FIRST)).to_be_visible()
        for key, value in values.items():
            self.fill(form, key, value)
        top = form.get_by_role("button", name=FIRST)
        if top.get_attribute("aria-expanded") != "true":
            top.click()
        form.get_by_text("Trigger Dag").scroll_into_view_if_needed()
        self.keep(f"form_{dag}")
        form.get_by_role("button", name="Trigger").click()
        expect(form).to_be_hidden()

    def fill(self, form: Locator, key: str, value: Any) -> None:
        """The form shows one section at a time: the setting's own, or the first one."""
        named = self.page.locator(f'[name="element_{key}"]')
        field = form.locator(".chakra-field__root").filter(has=named)
        for section in (key.partition(".")[0], FIRST):
            if field.is_visible():
                break
            if (heading := form.get_by_role("button", name=section, exact=True)).count():
                heading.click()
                self.page.wait_for_timeout(1000)  # it unfolds
        choice = field.get_by_role("combobox")
        if choice.count():
            choice.click()
            self.page.get_by_role("option", name=str(value)).first.click()
        else:
            field.locator(named).fill(str(value))
            field.locator(named).press("Tab")

    def answer(self, option: str, why: str | None = None) -> None:
        """The approval is found as a person finds it: home page, Required Actions, the one that waits."""
        self.page.goto(self.platform.url("AIRFLOW"))
        self.page.get_by_text("Required Actions").first.click()
        self.keep("required_actions")
        self.page.get_by_text(f"Promote {MODEL}").first.click()
        expect(self.page.get_by_role("button", name=option)).to_be_enabled()
        self.keep("review")
        if why:
            self.page.locator('input[name="element_why"]').fill(why)
        self.page.get_by_role("button", name=option).click()

    def version(self, number: int) -> Page:
        """The version's page in MLflow."""
        self.page.goto(f"{self.platform.url('MLFLOW')}/#/models/{MODEL}/versions/{number}")
        expect(self.page.get_by_text(f"Version {number}", exact=True).first).to_be_visible()
        close = self.page.get_by_role("button", name="Close")
        if close.count():
            close.first.click()  # the assistant's pane, which takes a third of the page
        return self.page

    def keep(self, name: str) -> None:
        self.page.wait_for_timeout(1500)  # what fades in has faded in
        self.page.screenshot(path=self.pictures / f"{name}.png")


@contextmanager
def opened(platform: Platform, folder: Path) -> Iterator[Browser]:
    """Skips the test where there is no Chromium."""
    binary = shutil.which("chromium")
    if binary is None:
        pytest.skip("there is no Chromium on this machine (Debian: apt install chromium)")
    pictures = Path(os.environ.get("NEXTCLICK_PICTURES") or folder)
    pictures.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as play:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        chromium = play.chromium.launch(executable_path=binary, args=arguments)
        page = chromium.new_context(viewport=SIZE).new_page()  # type: ignore[arg-type]
        page.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        yield Browser(page, platform, pictures)
        chromium.close()
