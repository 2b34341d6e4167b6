"use strict";
{
  const root = document.documentElement;
  const byId = (id) => document.getElementById(id);
  const said = byId("said");

  // The theme: as the system has it, until somebody says otherwise.
  const themes = { "": "as the system", light: "light", dark: "dark" };
  const button = byId("theme");
  const remember = (name) => {
    // A page in a file may have nowhere to remember it.
    try { localStorage.setItem("kfcheck-theme", name); } catch { /* then it doesn't */ }
  };
  const remembered = () => {
    try { return localStorage.getItem("kfcheck-theme") ?? ""; } catch { return ""; }
  };
  const wear = (name) => {
    if (name) root.dataset.theme = name; else delete root.dataset.theme;
    button.textContent = `Theme: ${themes[name]}`;
  };
  wear(Object.hasOwn(themes, remembered()) ? remembered() : "");
  button.hidden = false;
  button.addEventListener("click", () => {
    const names = Object.keys(themes);
    const next = names[(names.indexOf(root.dataset.theme ?? "") + 1) % names.length];
    remember(next);
    wear(next);
  });

  // What a link leads to is unfolded, shown and read out.
  const show = (id) => {
    const target = id && byId(id);
    if (!target || target === byId("main")) return;
    if (target.hidden) reset();
    for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
    for (const before of document.querySelectorAll(".shown")) before.classList.remove("shown");
    target.classList.add("shown");
    target.scrollIntoView({ block: "start" });
    (target.querySelector(":scope > summary") ?? target).focus({ preventScroll: true });
  };
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href]");
    const href = link?.getAttribute("href") ?? "";
    if (!href.startsWith("#") || link.classList.contains("jump")) return;
    event.preventDefault();
    history.pushState(null, "", href);
    show(href.slice(1));
  });
  const follow = () => show(decodeURIComponent(location.hash.slice(1)));
  addEventListener("popstate", follow);

  // Copying.
  const copied = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      const done = document.execCommand("copy");
      area.remove();
      return done;
    }
  };
  for (const copy of document.querySelectorAll("button.copy")) {
    copy.hidden = false;
    copy.addEventListener("click", async () => {
      const code = copy.parentElement.querySelector("code");
      const done = await copied(code.textContent);
      copy.focus();
      if (!done) getSelection().selectAllChildren(code);
      copy.textContent = done ? "Copied" : "Press Ctrl-C";
      said.textContent = done ? "Copied." : "The command is selected; press Ctrl-C.";
    });
    copy.addEventListener("blur", () => {
      copy.textContent = "Copy";
      said.textContent = "";
    });
  }

  // The filters of the checks.
  const checks = [...byId("checks").children];
  const chips = [...document.querySelectorAll("#filters button")];
  const words = byId("filter");
  const filter = () => {
    const status = chips.find((chip) => chip.getAttribute("aria-pressed") === "true").dataset.status;
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const check of checks) {
      const text = check.textContent.toLowerCase();
      const fits = (!status || check.dataset.status === status) && wanted.every((word) => text.includes(word));
      check.hidden = !fits;
      count += fits ? 1 : 0;
    }
    byId("shown").textContent = `${count} of ${checks.length} shown`;
  };
  const press = (pressed) => {
    for (const chip of chips) chip.setAttribute("aria-pressed", String(chip === pressed));
    filter();
  };
  const reset = () => {
    words.value = "";
    press(chips[0]);
  };
  for (const chip of chips) chip.addEventListener("click", () => press(chip));
  words.addEventListener("input", filter);
  byId("filters").hidden = false;
  filter();

  // Paper can't unfold anything.
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open])")];
    for (const details of folded) details.open = true;
  });
  addEventListener("afterprint", () => {
    for (const details of folded) details.open = false;
  });

  if (location.hash) follow();
}
