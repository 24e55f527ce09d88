"""The page in a real browser without a window: drop three photos, look, change, download; held against the
command line's output. Slow; needs selenium (pip) and chromium with its driver (Debian: chromium-driver).
"""

from __future__ import annotations

import base64
import io
import shutil
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import qbg
from test_serve import serving

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

SPARED = 2
"""Levels: a browser keeps colors multiplied by alpha where it draws on them."""


@pytest.fixture(scope="module")
def site(quick_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("page"), "-m", quick_model) as server:
        yield f"http://127.0.0.1:{server.port}/"


@pytest.fixture
def browser(site: str, tmp_path: Path) -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver", reason="SKIPPED: no selenium: pip install selenium")
    driver = shutil.which("chromedriver")
    if driver is None or shutil.which("chromium") is None:
        pytest.skip("SKIPPED: no chromium with its driver (Debian: chromium-driver)")
    options = webdriver.ChromeOptions()
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1200,1000"):
        options.add_argument(flag)
    options.add_experimental_option("prefs", {"download.default_directory": str(tmp_path)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    made = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        made.get(site)
        yield made
        complaints = [line for line in made.get_log("browser") if line["level"] == "SEVERE"]
        assert complaints == []
    finally:
        made.quit()


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def element(browser: Any, selector: str) -> Any:
    return browser.find_element("css selector", selector)


def add(browser: Any, paths: list[Path]) -> None:
    element(browser, "#files").send_keys("\n".join(map(str, paths)))
    until(lambda: element(browser, "#status").text == f"{len(paths)} of {len(paths)} done")


def downloaded(folder: Path, name: str) -> bytes:
    until(lambda: (folder / name).is_file() and not list(folder.glob("*.crdownload")))
    data = (folder / name).read_bytes()
    (folder / name).unlink()
    return data


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGBA")).astype(int)


def test_three_photos_come_back_as_the_command_line_makes_them(browser, photos, quick_model, tmp_path):
    paths = sorted(photos.glob("*.jpg"))[:3]
    add(browser, paths)
    element(browser, "#zip").click()
    archive = zipfile.ZipFile(io.BytesIO(downloaded(tmp_path, "cutouts.zip")))
    assert archive.testzip() is None
    with qbg.Remover(quick_model) as remover:
        for path in paths:
            assert archive.read(f"{path.stem}.png") == remover.encoded(path)
        element(browser, "#list li:nth-child(2) button").click()
        assert element(browser, "#name").text == paths[1].name
        element(browser, "#download").click()
        assert downloaded(tmp_path, f"{paths[1].stem}.png") == remover.encoded(paths[1])


def test_a_color_behind_and_the_brush_with_undo(browser, photos, quick_model, tmp_path):
    path = sorted(photos.glob("*.jpg"))[0]
    add(browser, [path])
    with qbg.Remover(quick_model) as remover:
        bare, on_white = pixels(remover.encoded(path)), pixels(remover.encoded(path, background="white"))
    original = np.asarray(Image.open(path).convert("RGB")).astype(int)

    def made() -> np.ndarray:
        element(browser, "#download").click()
        return pixels(downloaded(tmp_path, f"{path.stem}.png"))

    element(browser, "input[name=background][value=color]").click()
    assert np.abs(made() - on_white).max() <= SPARED
    element(browser, "input[name=background][value=none]").click()
    # By keyboard alone: the brush begins in the middle.
    middle = (bare.shape[0] // 2, bare.shape[1] // 2)
    element(browser, "input[name=brush][value=erase]").click()
    element(browser, "#after").send_keys(" ")
    assert made()[middle][3] == 0
    element(browser, "input[name=brush][value=keep]").click()
    element(browser, "#after").send_keys(" ")
    kept = made()[middle]
    assert kept[3] == 255
    assert np.abs(kept[:3] - original[middle]).max() <= SPARED
    element(browser, "#undo").click()
    assert made()[middle][3] == 0
    element(browser, "#redo").click()
    assert made()[middle][3] == 255
    element(browser, "#after").send_keys("zz")
    element(browser, "#download").click()
    assert downloaded(tmp_path, f"{path.stem}.png")[:8] == b"\x89PNG\r\n\x1a\n"
    assert not element(browser, "#undo").is_enabled()


def test_what_fails_is_told_and_the_others_go_on(browser, photos, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no picture")
    element(browser, "#files").send_keys(f"{bad}\n{sorted(photos.glob('*.jpg'))[0]}")
    until(lambda: element(browser, "#status").text == "2 of 2 done, 1 failed")
    assert "not an image" in element(browser, "#list li.bad .state").text
    # The browser itself notes every answer that isn't 2xx; that one is expected.
    browser.get_log("browser")


def test_photos_may_be_dropped_and_pasted(browser, photos, quick_model, tmp_path):
    path = sorted(photos.glob("*.jpg"))[0]
    for number, kind in enumerate(("drop", "paste"), 1):
        browser.execute_script(
            """
            const [kind, text] = arguments;
            const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
            const data = new DataTransfer();
            data.items.add(new File([bytes], `${kind}.jpg`, { type: "image/jpeg" }));
            const event = kind === "drop"
              ? new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true })
              : new ClipboardEvent("paste", { clipboardData: data, bubbles: true });
            document.body.dispatchEvent(event);
            """,
            kind,
            base64.b64encode(path.read_bytes()).decode(),
        )
        until(lambda number=number: element(browser, "#status").text == f"{number} of {number} done")
    element(browser, "#zip").click()
    archive = zipfile.ZipFile(io.BytesIO(downloaded(tmp_path, "cutouts.zip")))
    with qbg.Remover(quick_model) as remover:
        wanted = remover.encoded(path)
    assert {archive.read(name) for name in ("drop.png", "paste.png")} == {wanted}


def test_a_picture_behind_and_a_copy_to_the_clipboard(browser, site, photos, quick_model, tmp_path):
    path, other = sorted(photos.glob("*.jpg"))[:2]
    add(browser, [path])
    element(browser, "#backdrop").send_keys(str(other))
    until(lambda: element(browser, "input[name=background][value=image]").is_selected())
    time.sleep(0.2)  # until it is decoded
    element(browser, "#download").click()
    made = pixels(downloaded(tmp_path, f"{path.stem}.png"))
    with qbg.Remover(quick_model) as remover:
        wanted = pixels(remover.encoded(path, background_image=other))
    assert (made[..., 3] == 255).all()
    # The browser reduces pictures in its own way; that it is the same picture in the same place is enough.
    assert np.abs(made - wanted).mean() < 6
    grant = {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"], "origin": site.rstrip("/")}
    browser.execute_cdp_cmd("Browser.grantPermissions", grant)
    element(browser, "#copy").click()
    until(lambda: element(browser, "#status").text == f"{path.name} is on the clipboard")
    kinds = browser.execute_async_script(
        "const done = arguments[0];"
        "navigator.clipboard.read().then((items) => done(items[0].types), (error) => done([error.message]))"
    )
    assert kinds == ["image/png"]


def test_it_fits_a_phone_and_every_control_has_a_name(browser, photos):
    add(browser, [sorted(photos.glob("*.jpg"))[0]])
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True},
    )
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 360
    nameless = browser.execute_script(
        "return [...document.querySelectorAll('button, input, canvas[tabindex]')].filter((part) => "
        "!(part.labels?.length || part.getAttribute('aria-label') || part.textContent.trim()))"
        ".map((part) => part.outerHTML)"
    )
    assert nameless == []
