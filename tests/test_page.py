"""The page of `kws serve`, in a real browser, with words played into a virtual microphone."""

import base64
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager, suppress
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import soundfile
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from telling import find, need

import kws
from export.training.vocabulary import KEYWORDS

ROOT = Path(__file__).parent.parent
WORDS = ROOT / "tests" / "words"
RATE = 16_000
PATIENCE_S = 60
"""How long a busy machine may take for what is done at once."""
TOKEN = "nobody guesses this".replace(" ", "-")

SETTINGS = """
[record]
folder = "kept"

[[sink]]
type = "jsonl"
path = "facts.jsonl"

[http]
port = {port}
"""


def until(condition, what="it never came", patience_s=PATIENCE_S):
    """Wait until something is so, and return it."""
    deadline = time.monotonic() + patience_s
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert found, what
    return found


class Served:
    """`kws serve` with the bundled model in another process."""

    def __init__(self, folder, env, more=""):
        with closing(socket.create_server(("127.0.0.1", 0))) as free:
            self.port = free.getsockname()[1]
        self.folder, self.env = folder, env
        self.url = f"http://127.0.0.1:{self.port}/"
        self.config, self.kept = folder / "kws.toml", folder / "kws.thresholds.json"
        self.config.write_text(SETTINGS.format(port=self.port) + more)
        self.begin()

    def begin(self):
        command = [sys.executable, "-m", "kws", "serve", "--config", str(self.config)]
        with (self.folder / "err").open("a") as err:
            self.process = subprocess.Popen(command, cwd=ROOT, env=self.env, stderr=err)
        until(self.hears, (self.folder / "err").read_text())

    def hears(self):
        with suppress(OSError):
            return self.ask("GET", "/healthz", Authorization=f"Bearer {TOKEN}")[0] == 200
        return False

    def ask(self, method, path, body=None, **headers):
        """Return the status and the JSON that is answered."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, PATIENCE_S)) as connection:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

    def heard(self):
        """The words that were told, in order."""
        path = self.folder / "facts.jsonl"
        text = path.read_text() if path.exists() else ""
        facts = [json.loads(line) for line in text.splitlines(keepends=True) if line[-1] == "\n"]
        return [fact["keyword"] for fact in facts if fact["type"] == "detection"]

    def thresholds(self):
        """The thresholds that are kept."""
        return json.loads(self.kept.read_text())["thresholds"] if self.kept.exists() else {}

    def end(self, how=signal.SIGKILL):
        self.process.send_signal(how)
        self.process.wait(PATIENCE_S)


@contextmanager
def serving(folder, env, more=""):
    served = Served(folder, env, more)
    try:
        yield served
    finally:
        served.end()


@pytest.fixture(scope="module")
def served(pulse, tmp_path_factory):
    with serving(tmp_path_factory.mktemp("served"), pulse.env) as it:
        yield it


@pytest.fixture(scope="module")
def chromium(request):
    """A browser without a screen, for all tests here."""
    need(request, "chromium chromium-driver", "chromium", "chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = find("chromium")
    options.add_argument("--headless=new")
    options.add_argument("--disable-dev-shm-usage")
    options.add_argument("--mute-audio")
    if os.name == "posix" and os.geteuid() == 0:
        options.add_argument("--no-sandbox")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(find("chromedriver")))
    driver.set_script_timeout(PATIENCE_S)
    try:
        yield driver
    finally:
        driver.quit()


class Page:
    """The page in the browser."""

    def __init__(self, driver, served):
        self.driver, self.served = driver, served

    def open(self):
        self.driver.get(self.served.url)
        return self

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def find(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    @property
    def connection(self):
        return self.run("return document.body.dataset.connection")

    def live(self):
        """Wait until it shows what is heard."""
        until(lambda: self.connection == "live" and self.words() == len(KEYWORDS))
        return self

    def words(self):
        return self.run("return document.querySelectorAll('.strip').length")

    def heard(self):
        """The words in the list of events, in order."""
        script = "return [...document.querySelectorAll('#events li')].map(e => e.dataset.keyword)"
        return self.run(script)[::-1]

    def handle(self, keyword):
        return self.find(f".strip[data-keyword={keyword}] [role=slider]")

    def threshold(self, keyword):
        return float(self.handle(keyword).get_attribute("aria-valuenow"))

    def drag(self, keyword, pixels, *, by_handle=True):
        """Drag a threshold down by so many pixels, with a real pointer."""
        handle = self.handle(keyword)
        self.run("arguments[0].scrollIntoView({block: 'center'})", handle)
        moves = ActionChains(self.driver, duration=50)
        moves.move_to_element(handle)
        if not by_handle:
            moves.move_by_offset(-handle.size["width"] - 20, 0)
        moves.click_and_hold()
        for _ in range(10):
            moves.move_by_offset(0, round(pixels / 10))
        moves.release().perform()

    def kept(self, keyword):
        """Wait until the threshold that is shown is kept in the file; return it."""
        shown = self.threshold(keyword)
        until(lambda: self.served.thresholds().get(keyword) == shown, f"{keyword}={shown}")
        return shown


@pytest.fixture
def page(chromium, served):
    """The page, with the model's own thresholds."""
    (card,) = served.ask("GET", "/v1/models")[1]
    levels = {name: level["value"] for name, level in card["thresholds"].items()}
    assert served.ask("POST", "/v1/thresholds", json.dumps(levels))[0] == 200
    return Page(chromium, served).open().live()


def say(served, pulse, *words):
    """Say words, the last of which is surely heard: then it is known whether the others were.

    Return what was heard.
    """
    before = len(served.heard())
    parts = [np.zeros(RATE // 2)]
    for word in words:
        parts += [soundfile.read(WORDS / word)[0], np.zeros(RATE)]
    path = served.folder / "said.wav"
    soundfile.write(path, np.concatenate(parts), RATE)
    last = Path(words[-1]).stem
    pulse.play(path).wait(PATIENCE_S)
    until(lambda: last in served.heard()[before:], f"{words}: {served.heard()[before:]}")
    return served.heard()[before:]


HEARS = {"hears well", "hears badly"}
"""Between two words a virtual microphone gives nothing but zeros, which is not well."""
YES, DOWN, ALEXA = "flite-rms/yes.opus", "flite-slt/down.opus", "flite-slt/alexa.opus"
"""Words that are surely heard: see test_words.py."""


def test_a_word_that_is_said_is_shown(page, pulse):
    """Its score rises over its threshold, level and gate move, and a screen reader tells it."""
    page.run(WATCH)
    assert say(page.served, pulse, YES) == ["yes"]
    until(lambda: page.heard() == ["yes"])
    seen = page.run("return window.seen")

    assert max(seen["score"]) >= page.threshold("yes") > 0.5
    assert max(seen["level"]) > -40
    assert {"gate open", "gate closed"} <= set(seen["gate"])
    assert seen["fired"] == ["yes"]
    told = re.fullmatch(r"yes heard, score (0\.\d+)", page.find("#told p:last-child").text)
    assert float(told[1]) >= page.threshold("yes") - 1e-3  # rounded
    assert page.find("#told").get_attribute("aria-live") == "polite"
    assert page.find("#state").text in HEARS


WATCH = """
window.seen = {score: [], level: [], gate: [], fired: []};
const look = () => {
  const score = document.querySelector(".strip[data-keyword=yes] .score").textContent;
  seen.score.push(Number(score) || 0);
  seen.level.push(Number(document.getElementById("level").getAttribute("aria-valuenow")));
  const gate = document.getElementById("gate").textContent;
  if (seen.gate.at(-1) !== gate) seen.gate.push(gate);
  const fired = document.querySelector(".strip.fired")?.dataset.keyword;
  if (fired && seen.fired.at(-1) !== fired) seen.fired.push(fired);
};
new MutationObserver(look).observe(document.body,
  {subtree: true, childList: true, characterData: true, attributes: true});
"""
"""Keeps what the page shows, whenever it changes."""


@pytest.mark.parametrize("by_handle", [True, False], ids=["handle", "line"])
def test_a_threshold_that_is_dragged_changes_what_fires(page, pulse, by_handle):
    """Over the score, the word fires no more; back under it, it does; the file keeps the value."""
    page.drag("yes", -60, by_handle=by_handle)
    assert page.kept("yes") == 1
    assert say(page.served, pulse, YES, DOWN) == ["down"]

    page.drag("yes", 40, by_handle=by_handle)
    assert 0.5 < page.kept("yes") < 0.999
    assert say(page.served, pulse, YES, DOWN) == ["yes", "down"]
    until(lambda: page.heard()[-3:] == ["down", "yes", "down"])


def test_a_finger_on_the_handle_drags_and_on_the_strip_scrolls(page):
    """A threshold that is kept must not be moved by who scrolls past it."""
    before, handle = page.threshold("left"), page.handle("left")
    page.run("scrollTo(0, 0)")
    swipe(page, handle, 0)
    dragged = page.kept("left")
    assert dragged > before
    assert page.run("return scrollY") == 0

    swipe(page, handle, -100)
    until(lambda: page.run("return scrollY") > 0)
    assert page.threshold("left") == dragged


def swipe(page, handle, aside):
    """Draw a finger up the page, beginning beside a handle."""
    box = page.run("return arguments[0].getBoundingClientRect().toJSON()", handle)
    x, y = box["x"] + box["width"] / 2 + aside, box["y"] + box["height"] / 2
    moves = [("touchMove", y - 12 * number) for number in range(1, 9)]
    for kind, at in [("touchStart", y), *moves, ("touchEnd", None)]:
        points = [] if at is None else [{"x": x, "y": at}]
        touch = {"type": kind, "touchPoints": points}
        page.driver.execute_cdp_cmd("Input.dispatchTouchEvent", touch)


def test_the_keyboard_moves_a_threshold_too(page, pulse):
    handle, name = page.handle("yes"), "yes"
    handle.send_keys(Keys.END)
    assert page.kept(name) == 1
    assert say(page.served, pulse, YES, DOWN) == ["down"]
    handle.send_keys(Keys.HOME)
    assert page.kept(name) == 0
    handle.send_keys(Keys.PAGE_UP)
    first = page.kept(name)
    handle.send_keys(Keys.ARROW_UP)
    assert 0 < first < page.kept(name)
    handle.send_keys(Keys.ARROW_DOWN)
    assert page.kept(name) == pytest.approx(first, abs=1e-5)

    back = page.find(".strip[data-keyword=yes] button")
    meant = kws.Spotter().thresholds[name]
    shown = f"{meant:.4f}" if meant > 0.9 else f"{meant:.3f}"
    assert back.get_attribute("aria-label") == f"yes: back to the model's {shown}"
    back.click()
    assert page.kept(name) == meant
    assert not back.is_displayed()
    assert say(page.served, pulse, YES, DOWN) == ["yes", "down"]


def test_who_looks_on_elsewhere_sees_it_move(page):
    """And a note tells where it is kept."""
    assert page.served.ask("POST", "/v1/thresholds", '{"stop": 0.75}')[0] == 200
    until(lambda: page.threshold("stop") == 0.75)

    page.handle("stop").send_keys(Keys.ARROW_UP)
    until(lambda: "stop fires from 0.79" in page.find("#kept").text)
    assert page.find("#kept").text.endswith(f"Kept in {page.served.kept}.")


def test_a_word_can_be_played_back(page, pulse):
    say(page.served, pulse, DOWN)
    button = until(lambda: page.driver.find_elements(By.CSS_SELECTOR, "#events button"))[0]
    assert re.fullmatch(r"Play down of \d\d:\d\d:\d\d", button.get_attribute("aria-label"))
    page.run(
        "window.played = [];"
        "for (const name of ['playing', 'ended', 'error'])"
        "  document.getElementById('player').addEventListener(name, (e) => played.push("
        "    [name, e.target.readyState, e.target.duration, e.target.src.slice(0, 5)]));"
    )
    button.click()
    until(lambda: len(page.run("return played")) == 2)
    (first, state, duration, where), (last, *_) = page.run("return played")

    assert (first, last, where) == ("playing", "ended", "blob:")
    assert state >= 3
    assert 0.5 < duration < 5
    assert not page.find("#alert").is_displayed()


def test_many_words_are_shown_in_their_order(page, pulse):
    """Pictures of that, where KWS_PICTURES names a folder for them."""
    words = [Path(word).stem for word in SPEECH]
    path = speech(page.served.folder / "speech.wav")
    for _ in range(3):  # a busy machine's sound server may drop some of what it plays
        count = len(page.heard())
        with pulse.play(path), suppress(AssertionError):
            for number, picture in enumerate(PICTURES, len(words) - len(PICTURES) + 1):
                until(lambda n=count + number: len(page.heard()) >= n, patience_s=30)
                if folder := os.environ.get("KWS_PICTURES"):
                    name, device, scheme = picture
                    take_picture(page, Path(folder) / name, device, scheme)
        if page.heard()[count:] == words:
            break

    assert page.heard()[count:] == words


SPEECH = [
    "flite-slt/alexa", "espeak-ng-en-us+f3/off", "flite-awb/stop", "flite-awb/computer",
    "espeak-ng-en-us/left", "flite-rms/go", "flite-slt/down", "flite-rms/yes",
]  # fmt: skip
LAPTOP = {"width": 1280, "height": 800, "deviceScaleFactor": 1, "mobile": False}
PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
PICTURES = [
    ("page-phone.png", PHONE, "dark"),
    ("page-laptop.png", LAPTOP, "light"),
]
"""Those of the README, each taken after one of the last words."""


def speech(path):
    """Write a recording of some words in a quiet room, and return its path."""
    parts = [np.zeros(RATE // 2)]
    for word in SPEECH:
        parts += [soundfile.read(WORDS / f"{word}.opus")[0], np.zeros(3 * RATE // 4)]
    audio = np.concatenate([*parts, np.zeros(2 * RATE)])
    noise = np.random.default_rng(1).standard_normal(len(audio)) * 4e-4
    soundfile.write(path, audio + noise, RATE)
    return path


def take_picture(page, path, device, scheme):
    feature = {"name": "prefers-color-scheme", "value": scheme}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", device)
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    time.sleep(0.3)  # until it is drawn
    taken = page.driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
    path.write_bytes(base64.b64decode(taken["data"]))
    page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


# -- what the page tells of itself ----------------------------------------------------------


def test_whatever_can_be_used_has_a_name(page):
    """As Chromium's own accessibility tree tells it to a screen reader."""
    page.find("#programs summary").click()
    until(lambda: page.driver.find_elements(By.CSS_SELECTOR, "#routes dt"))
    tree = page.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    used = {"button", "slider", "meter", "link", "region", "combobox", "textbox", "log", "table"}
    found = [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in tree
        if not node["ignored"] and node["role"]["value"] in used
    ]

    assert not [role for role, name in found if not name.strip()]
    assert len({name for role, name in found if role == "slider"}) == len(KEYWORDS)
    assert {"slider", "button", "meter", "link", "region", "log"} <= {role for role, _ in found}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(page, scheme):
    """4.5 to 1 at least, as WCAG's AA asks."""
    feature = {"name": "prefers-color-scheme", "value": scheme}
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    until(lambda: len(page.run(CONTRAST)) > 100)  # all of it has come
    found = page.run(CONTRAST)
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})

    assert not [each for each in found if each[0] < 4.5]
    ground = {"light": "rgb(244, 245, 247)", "dark": "rgb(14, 17, 22)"}
    assert {each[2] for each in found} >= {ground[scheme]}


CONTRAST = """
const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
const light = (colour) => {
  const [r, g, b] = parts(colour).map((v) => {
    const c = v / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const colour = getComputedStyle(at).backgroundColor;
    if (parts(colour)[3] !== 0) return colour;
  }
};
const found = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  if (!walker.currentNode.textContent.trim() || !element.checkVisibility()) continue;
  const [text, under] = [getComputedStyle(element).color, ground(element)];
  const [a, b] = [light(text), light(under)].sort((x, y) => y - x);
  found.push([(a + 0.05) / (b + 0.05), walker.currentNode.textContent.trim(), under]);
}
return found;
"""
"""Each text's contrast, the text itself, and the colour behind it."""


def test_it_fits_a_small_phone(page):
    """Nothing is wider than 360 pixels; what a finger must hit is 44 high and wide."""
    size = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        width = page.run("return document.documentElement.scrollWidth")
        targets = page.run(
            "return [...document.querySelectorAll('[role=slider], #events button')]"
            ".map((e) => e.getBoundingClientRect()).map((b) => [b.width, b.height, b.right])"
        )
    finally:
        page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

    assert width <= 360
    assert len(targets) > len(KEYWORDS)
    assert all(wide >= 44 and high >= 44 and right <= 360 for wide, high, right in targets)


def test_who_wants_little_motion_gets_little(page):
    """It is drawn once a second then, else many times."""
    count = (
        "const done = arguments[0], whole = CanvasRenderingContext2D.prototype.clearRect;"
        "let drawn = 0;"
        "CanvasRenderingContext2D.prototype.clearRect = function (...given) {"
        "  drawn += 1; whole.apply(this, given); };"
        "setTimeout(() => { CanvasRenderingContext2D.prototype.clearRect = whole; done(drawn); },"
        "  2500);"
    )
    before = page.driver.execute_async_script(count)
    feature = {"name": "prefers-reduced-motion", "value": "reduce"}
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    little = page.driver.execute_async_script(count)
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})

    assert 0 < little <= 3 * len(KEYWORDS) < before


def test_the_model_card_and_the_health_are_told(page):
    until(lambda: "kws-en-13" in page.find("#cards").text)
    text = page.find("#cards").text

    assert "Apache-2.0" in text
    assert re.search(r"verifier\s+verifier\.onnx", text)
    assert re.search(r"alexa\s+wake word\s+0\.\d+\n", text)
    assert re.search(r"computer, jarvis, alexa\s+\d\.\d+ \(\d\.\d+ to \d\.\d+\), \d+ in ", text)
    until(lambda: re.search(r"microphone\s+hears", page.find("#microphones").text))
    assert "audio now" in page.find("#microphones").text


def test_nothing_comes_from_elsewhere(page):
    """And the browser has nothing to complain about: neither errors nor refused styles."""
    names = page.run("return performance.getEntriesByType('resource').map((each) => each.name)")

    assert len(names) > 8
    assert all(name.startswith(page.served.url) for name in names)
    assert not [line for line in page.driver.get_log("browser") if line["level"] == "SEVERE"]


# -- doors, and what lasts ------------------------------------------------------------------


def test_a_foreign_page_changes_no_threshold(page):
    """A real browser sends its request; it is refused."""
    before, kept = page.served.ask("GET", "/v1/thresholds"), page.served.thresholds()
    foreign = ThreadingHTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler)
    foreign.RequestHandlerClass.log_message = lambda *_: None
    threading.Thread(target=foreign.serve_forever, daemon=True).start()
    page.driver.get(f"http://127.0.0.1:{foreign.server_address[1]}/nothing")
    said = page.driver.execute_async_script(
        "const [url, done] = arguments;"
        "fetch(url, {method: 'POST', mode: 'no-cors', body: '{\"go\": 0}'})"
        "  .then((answer) => done(answer.type), (error) => done(String(error)));",
        f"{page.served.url}v1/thresholds",
    )
    foreign.shutdown()
    foreign.server_close()

    assert said == "opaque"  # it was answered, in a way that the page can't see
    assert page.served.ask("GET", "/v1/thresholds") == before
    assert page.served.thresholds() == kept


def test_thresholds_outlive_the_daemon_and_a_dead_one_does_not_look_alive(page, pulse):
    """The page says that the connection is lost, and finds the next daemon by itself."""
    page.handle("yes").send_keys(Keys.END)
    page.kept("yes")
    page.served.process.send_signal(signal.SIGSTOP)
    until(lambda: page.connection == "lost")
    page.served.process.send_signal(signal.SIGCONT)
    until(lambda: page.connection == "live")
    page.served.process.send_signal(signal.SIGHUP)
    until(lambda: "read again" in (page.served.folder / "err").read_text())
    assert page.served.ask("GET", "/v1/thresholds")[1]["thresholds"]["yes"] == 1

    page.served.end(signal.SIGTERM)
    until(lambda: page.connection == "lost")
    assert page.find("#state").text == "connection lost"
    assert "No connection to kws since" in page.find("#alert").text
    assert page.handle("yes").get_attribute("aria-disabled") == "true"
    page.handle("yes").send_keys(Keys.HOME)
    assert page.threshold("yes") == 1
    page.served.begin()
    page.live()
    assert page.threshold("yes") == 1
    assert say(page.served, pulse, YES, ALEXA) == ["alexa"]
    until(lambda: page.heard() == ["alexa"])  # what the last daemon kept is not this one's to give


def test_a_deaf_microphone_does_not_look_well(page, pulse):
    """The page says so, and why, until it hears again."""
    pulse.unplug()
    try:
        until(lambda: page.find("#state").text == "deaf")
        until(lambda: "is gone" in page.find("#microphones").text)
        until(lambda: page.find("#decibels").text == "no audio")
    finally:
        pulse.plug()
    until(lambda: page.find("#state").text in HEARS)


def test_of_several_microphones_one_is_chosen(chromium, pulse, tmp_path):
    """Each word is told with the one that heard it."""
    two = '[[microphone]]\nname = "desk"\n[[microphone]]\nname = "door"\n'
    with serving(tmp_path, pulse.env, two) as served:
        page = Page(chromium, served).open().live()
        names = [each.text for each in page.driver.find_elements(By.TAG_NAME, "option")]
        page.find("#microphone").send_keys("door")
        with pulse.play(speech(tmp_path / "speech.wav")):
            until(lambda: {each.text for each in places(page)} == {"desk", "door"})
            until(lambda: page.driver.find_elements(By.CSS_SELECTOR, ".strip.fired"))

    assert names == ["desk", "door"]
    assert page.find("#choose").is_displayed()


def places(page):
    return page.driver.find_elements(By.CSS_SELECTOR, "#events .where")


def test_the_page_asks_for_the_token(chromium, pulse, tmp_path):
    """Wrong ones are refused; the right one is known until the tab is closed."""
    (tmp_path / "token").write_text(TOKEN)
    with serving(tmp_path, pulse.env, 'token_file = "token"\n') as served:
        page = Page(chromium, served).open()
        until(page.find("#ask").is_displayed)
        assert page.connection == "waiting"
        page.find("#token").send_keys("something else", Keys.ENTER)
        until(lambda: "not the token" in page.find("#ask-why").text)
        page.find("#token").send_keys(TOKEN, Keys.ENTER)
        page.live()
        page.handle("yes").send_keys(Keys.END)
        assert page.kept("yes") == 1
        page.open().live()

        assert not page.find("#ask").is_displayed()
        assert served.ask("POST", "/v1/thresholds", '{"yes": 0}')[0] == 401
        for path in "/v1/models", "/v1/detections", "/v1/recordings/x":
            assert served.ask("GET", path)[0] == 401
