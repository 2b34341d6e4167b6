"""Tries the page of a report in Chromium: `browser.py PAGE EXPECTED WIDTH-THEME…`, where EXPECTED is JSON
that says what has to be on it. Writes pictures of it beside the page. Ends with what is wrong, or with nothing.
"""

import base64
import json
import re
import sys
import tempfile
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

FLAGS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-dev-shm-usage
    --disable-background-networking --disable-component-update --disable-sync --disable-extensions""".split()

page, expected = Path(sys.argv[1]).resolve(), json.loads(Path(sys.argv[2]).read_text())
address = page.as_uri()


def start(profile):
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in [*FLAGS, f"--user-data-dir={profile}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))


def squeezed(text):
    return re.sub(r"\s+", " ", text).strip()


class Visit:
    """The page at one width, in one theme."""

    def __init__(self, browser, width, theme):
        self.browser, self.width, self.theme = browser, width, theme
        self.do("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 500)
        features = [{"name": "prefers-color-scheme", "value": theme}, {"name": "prefers-reduced-motion", "value": "reduce"}]
        self.do("Emulation.setEmulatedMedia", features=features)
        browser.get("about:blank")
        browser.get(address)

    def do(self, command, **parameters):
        return self.browser.execute_cdp_cmd(command, parameters)

    def js(self, script, *values):
        return self.browser.execute_script(script, *values)

    def all(self, selector):
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def shown(self, selector):
        return [element for element in self.all(selector) if element.is_displayed()]

    def require(self, fact, what):
        assert fact, f"at {self.width} in {self.theme}: {what}"

    def picture(self):
        height = self.js("return document.documentElement.scrollHeight")
        clip = {"x": 0, "y": 0, "width": self.width, "height": min(height, 3000), "scale": 1}
        shot = self.do("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        name = f"{page.stem}-{self.width}-{self.theme}.png"
        page.with_name(name).write_bytes(base64.b64decode(shot["data"]))

    def fits(self):
        wide = self.js("return document.documentElement.scrollWidth - document.documentElement.clientWidth")
        self.require(wide <= 0, f"{wide} pixels are to the right of the screen")
        spilled = self.js(
            """return [...document.querySelectorAll('.hop')].filter(hop => hop.getBoundingClientRect().width).flatMap(hop => {
                const room = hop.querySelector('rect').getBoundingClientRect();
                return [...hop.querySelectorAll('text')].filter(text =>
                    text.getBoundingClientRect().right > room.right + 1).map(text => text.textContent);
            })"""
        )
        self.require(not spilled, f"text leaves its box: {spilled}")

    def says_all(self):
        text = squeezed(self.js("return document.body.textContent"))
        for finding in expected["findings"]:
            said = [finding["name"], finding["message"], finding["check"]]
            said += [seen["value"] for seen in finding["evidence"]]
            for part in said:
                self.require(squeezed(part) in text, f"{finding['id']} is not told: {part}")
            links = self.shown(f'a[href="#{finding["id"]}"]')
            self.require(links, f"nothing leads to {finding['id']}")

    def cause_is_first(self):
        first = self.js("return document.querySelector('main .card').id")
        self.require(first == expected["cause"], f"{first} is first")
        place = self.js("return document.querySelector('main .card').getBoundingClientRect().top")
        self.require(place < 700, f"the root cause begins at {place}")

    def hops_lead_to_evidence(self):
        for kind in ["broken", "suffers"]:
            for with_keys in [False, True]:
                hop = self.shown(f".hop.{kind}")[0]
                target = hop.get_dom_attribute("href").removeprefix("#")
                self.js("document.querySelectorAll('details').forEach(details => details.open = false)")
                self.js("arguments[0].scrollIntoView({block: 'center'})", hop)
                if with_keys:
                    self.js("arguments[0].focus()", hop)
                    self.browser.switch_to.active_element.send_keys(Keys.ENTER)
                else:
                    hop.click()
                self.require(self.js("return location.hash") == f"#{target}", f"{kind} does not lead to {target}")
                seen = next(finding for finding in expected["findings"] if finding["id"] == target)
                body = [element for element in self.all(f"#{target} .inside") if element.is_displayed()]
                self.require(body, f"{target} stays folded")
                for evidence in seen["evidence"]:
                    self.require(squeezed(evidence["value"]) in squeezed(body[0].text), f"no evidence of {target}")
                top = self.js("return document.getElementById(arguments[0]).getBoundingClientRect().top", target)
                self.require(-5 < top < 900, f"{target} is at {top}, out of sight")
        quiet = self.shown(".hop.healthy")
        if quiet:
            self.js("arguments[0].scrollIntoView({block: 'center'})", quiet[0])
            quiet[0].click()
            self.require(self.shown("tr.shown"), "a healthy hop leads to no row")

    def filters(self):
        rows = lambda: [row.get_dom_attribute("data-status") for row in self.shown("#checks > li")]
        statuses = [check["status"] for check in expected["checks"]]
        self.require(sorted(rows()) == sorted(statuses), "not all checks are there")
        for status in sorted(set(statuses)):
            self.shown(f'#filters [data-status="{status}"]')[0].click()
            self.require(rows() == [status] * statuses.count(status), f"the filter {status} shows {rows()}")
        self.shown('#filters [data-status=""]')[0].click()
        field = self.shown("#filter")[0]
        wanted = expected["checks"][0]["id"]
        field.send_keys(wanted.upper())
        ids = [row.get_dom_attribute("id") for row in self.shown("#checks > li")]
        self.require(wanted in ids and len(ids) < len(statuses), f"{wanted} leaves {ids}")
        field.send_keys(" nothing-of-the-kind")
        self.require(rows() == [], "what fits nothing shows something")
        # A link to what is filtered away takes the filter off.
        cause = next(finding for finding in expected["findings"] if finding["id"] == expected["cause"])
        self.js("arguments[0].scrollIntoView({block: 'center'})", self.shown(f"#{cause['id']} .check a")[0])
        self.shown(f"#{cause['id']} .check a")[0].click()
        self.require(self.shown(f"#checks > li[id='{cause['check']}']"), "a check can't be reached")
        self.require(len(rows()) == len(statuses), "the filter stays")

    def copies(self):
        self.do("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
        button = self.shown(".cause .copy")[0]
        command = self.js("return arguments[0].parentElement.querySelector('code').textContent", button)
        remedy = next(f for f in expected["findings"] if f["id"] == expected["cause"])["remedies"][0]["command"]
        joined = squeezed(re.sub(r"\\\n", " ", command))
        self.require(joined == squeezed(remedy), f"another command is shown: {command}")
        told = lambda text: WebDriverWait(self.browser, 10).until(lambda _: button.text == text)
        self.js("arguments[0].scrollIntoView({block: 'center'})", button)
        button.click()
        told("Copied")
        clipboard = self.browser.execute_async_script(
            "const done = arguments[0]; navigator.clipboard.readText().then(done, error => done(String(error)))"
        )
        self.require(clipboard == command, f"the clipboard has {clipboard}")
        self.browser.switch_to.active_element.send_keys(Keys.TAB)
        told("Copy")
        # Where there is no clipboard, the old way; and where that is refused, it is selected.
        self.js("navigator.clipboard.writeText = () => Promise.reject(); document.execCommand = () => false")
        button.click()
        told("Press Ctrl-C")
        self.require(self.js("return getSelection().toString()").strip() == command.strip(), "nothing is selected")

    def themes(self):
        colour = lambda: self.js("return getComputedStyle(document.body).backgroundColor")
        light, dark = "rgb(246, 247, 249)", "rgb(16, 18, 21)"
        self.require(colour() == {"light": light, "dark": dark}[self.theme], f"the page is {colour()}")
        button = self.shown("#theme")[0]
        seen = []
        for _ in range(3):
            button.click()
            seen.append(colour())
        self.require(seen[:2] == [light, dark], f"the button makes it {seen}")

    def can_be_read(self):
        """The contrast of text on what is behind it, as WCAG counts it."""
        weak = self.js(
            """const light = (text) => {
                const [r, g, b] = text.match(/[\\d.]+/g).map(Number).map(v => v / 255)
                    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
                return 0.2126 * r + 0.7152 * g + 0.0722 * b;
            };
            const behind = (at) => {
                for (; at; at = at.parentElement) {
                    const colour = getComputedStyle(at).backgroundColor;
                    if (!/, 0\\)$/.test(colour)) return colour;
                }
            };
            const weak = [];
            const judge = (what, text, ground) => {
                const [a, b] = [light(text), light(ground)].sort((x, y) => y - x);
                const contrast = (a + 0.05) / (b + 0.05);
                if (contrast < 4.5) weak.push(`${what} ${text} on ${ground}: ${contrast.toFixed(2)}`);
            };
            for (const at of document.querySelectorAll('h1, h2, p, dt, dd, a, button, .label, .of, .status, .state, code, th, td, .lead')) {
                if (at.closest('svg') || !at.getClientRects().length || at.tabIndex < 0 && at.id === 'said') continue;
                judge(at.className || at.tagName, getComputedStyle(at).color, behind(at));
            }
            for (const hop of document.querySelectorAll('.hop')) {
                for (const text of hop.querySelectorAll('text')) {
                    judge('hop', getComputedStyle(text).fill, getComputedStyle(hop.querySelector('rect')).fill);
                }
            }
            return [...new Set(weak)];"""
        )
        self.require(not weak, f"hard to read: {weak}")

    def is_labelled(self):
        nameless = self.js(
            """return [...document.querySelectorAll('a, button, input, svg[role], section')].filter(at =>
                !(at.textContent.trim() || at.ariaLabel || at.closest('label')?.textContent.trim())).map(at => at.outerHTML)"""
        )
        self.require(not nameless, f"without a name: {nameless}")
        twice = self.js(
            """const ids = [...document.querySelectorAll('[id]')].map(at => at.id);
            return ids.filter((id, at) => ids.indexOf(id) !== at)"""
        )
        self.require(not twice, f"the same id twice: {twice}")

    def is_harmless(self):
        title = self.js("return document.title")
        self.require(title != "hurt" and len(self.all("script")) == 1, "a name was run")
        self.require(not self.all("img"), "a name is an element")


def reads_without_scripts(browser):
    """What is on the page can be read, and what only works with scripts isn't there."""
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    browser.get(address)
    shown = lambda selector: [at for at in browser.find_elements(By.CSS_SELECTOR, selector) if at.is_displayed()]
    assert shown(".cause .evidence"), "without scripts the root cause is not shown"
    assert not shown("#filters") and not shown(".copy") and not shown("#theme"), "buttons without a use"
    folded = shown("details.card > summary")
    folded[0].click()
    assert shown("details.card[open] .inside"), "without scripts nothing unfolds"
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def asked(browser):
    """Every address that was asked for."""
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            yield message["params"]["request"]["url"]


with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
    browser = start(profile)
    try:
        browser.get("about:blank")
        # What the browser's own first page asks for.
        browser.get_log("performance")
        for look in sys.argv[3:]:
            width, theme = look.split("-")
            visit = Visit(browser, int(width), theme)
            visit.picture()
            visit.fits()
            visit.is_harmless()
            visit.says_all()
            visit.cause_is_first()
            visit.is_labelled()
            visit.can_be_read()
            visit.hops_lead_to_evidence()
            visit.fits()
            visit.filters()
            visit.copies()
            visit.themes()
        reads_without_scripts(browser)
        errors = [entry for entry in browser.get_log("browser") if entry["level"] != "INFO"]
        assert not errors, f"the console says: {errors}"
        others = {url for url in asked(browser) if url.split("#")[0] not in (address, "about:blank", "data:,")}
        assert not others, f"the page asks for {others}"
    except AssertionError as wrong:
        sys.exit(str(wrong))
    finally:
        browser.quit()
