function make(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

const WORDS = { pause: "Pause", resume: "Resume", stop: "Stop" };
const HINTS = {
  pause: "Start no further trials; those that run go on",
  resume: "Start trials again",
  stop: "End the sweep: running trials stop at their next report",
};

const PATIENT_LOOKS = 16; // of two a second

function isDark() {
  const body = document.body;
  const light = body.dataset.jpThemeLight;
  if (light !== undefined) return light === "false";
  if (body.classList.contains("vscode-dark")) return true;
  if (body.classList.contains("vscode-light")) return false;
  if (document.documentElement.getAttribute("theme") === "dark") return true;
  return window.matchMedia("(prefers-color-scheme: dark)").matches;
}

function watchTheme(model) {
  const tell = () => {
    const dark = isDark();
    document.body.classList.toggle("nbtune-dark", dark);
    const theme = dark ? "dark" : "light";
    if (model.get("theme") !== theme) {
      model.set("theme", theme);
      model.save_changes();
    }
  };
  const observer = new MutationObserver(tell);
  const attributeFilter = ["data-jp-theme-light", "class", "theme"];
  observer.observe(document.body, { attributes: true, attributeFilter });
  observer.observe(document.documentElement, { attributes: true, attributeFilter });
  tell();
  return () => observer.disconnect();
}

/* A FigureWidget fits its place only when the window changes: tell it when its place does. */
function watchWidth(model, el) {
  let width = 0;
  const fit = () => window.dispatchEvent(new Event("resize"));
  const observer = new ResizeObserver(() => {
    if (!el.clientWidth || Math.abs(el.clientWidth - width) < 2) return;
    width = el.clientWidth;
    fit();
    const rounded = Math.round(width / 40) * 40;
    if (model.get("width") !== rounded) {
      model.set("width", rounded);
      model.save_changes();
    }
  });
  observer.observe(el);
  // Plotly says so before the figure is in its place, and is deaf until a moment later.
  const soon = () => [0, 150, 600, 1500].forEach((delay) => setTimeout(fit, delay));
  document.addEventListener("plotlywidget-after-render", soon);
  return () => {
    observer.disconnect();
    document.removeEventListener("plotlywidget-after-render", soon);
  };
}

/* Each redraw would break off a brush that is being drawn: none while the pointer is over the
   parallel coordinates. Said again while it stays, for the kernel forgets it after a few seconds. */
function watchPointer(model, el) {
  let over = false;
  let said = 0;
  const look = (event) => {
    const figure = el.closest(".nbtune-dashboard")?.querySelector(".nbtune-figure");
    const box = figure?.querySelector(".parcoords-control-view")?.getBoundingClientRect();
    const inside = Boolean(box) && figure.contains(event.target)
      && event.clientY > box.top - 20 && event.clientY < box.bottom + 20;
    const dragging = over && event.buttons > 0;
    const now = inside || dragging;
    if (now === over && (!over || Date.now() - said < 1000)) return;
    over = now;
    said = Date.now();
    model.send({ do: "hold", on: over });
  };
  const types = ["pointermove", "pointerdown", "pointerup"];
  types.forEach((type) => document.addEventListener(type, look, { capture: true, passive: true }));
  return () => types.forEach((type) => document.removeEventListener(type, look, { capture: true }));
}

/* Ask for a picture where no live figure comes: anywidget 0.11 gives up on a module that takes the
   page over two seconds. Its figure may yet be drawn, but hears of no change: it lacks the mark that
   the kernel sends with the first one. */
function watchFigure(model, el) {
  let looks = 0;
  const look = () => {
    const dashboard = el.closest(".nbtune-dashboard");
    const live = Boolean(dashboard?.querySelector(".js-plotly-plot")?._fullLayout?.meta);
    // Time counts from when the figure was sent, and while the page shows it.
    if (!live && (dashboard?.children.length ?? 0) > 3 && el.clientWidth) looks += 1;
    const wanted = !live && looks > PATIENT_LOOKS;
    if (live) clearInterval(timer);
    if (model.get("wants_picture") === wanted) return;
    model.set("wants_picture", wanted);
    model.save_changes();
  };
  const timer = setInterval(look, 500);
  return () => clearInterval(timer);
}

function warningsOf(texts) {
  const [latest, ...others] = [...texts].reverse();
  if (!others.length) return [make("div", "", latest)];
  const box = make("details");
  const more = `${others.length} more warning${others.length > 1 ? "s" : ""}`;
  box.append(make("summary", "", `${latest} (and ${more})`), ...others.map((t) => make("div", "", t)));
  return [box];
}

function alertOf(alert) {
  const box = make("div", "nbt-alert");
  box.setAttribute("role", "alert");
  box.append(make("div", "nbt-alert-title", alert.title));
  if (alert.message) box.append(make("div", "nbt-alert-message", alert.message));
  if (alert.traceback) box.append(make("pre", "nbt-pre", alert.traceback));
  return box;
}

function render({ model, el }) {
  el.classList.add("nbtune", "nbt-head");
  const name = make("span", "nbt-name");
  const state = make("span", "nbt-state");
  const progress = make("span", "nbt-progress");
  const buttons = make("span", "nbt-buttons");
  const line = make("div", "nbt-line");
  const title = make("span", "nbt-title");
  const right = make("span", "nbt-right");
  title.append(name, state);
  right.append(progress, buttons);
  line.append(title, right);
  const bar = make("div", "nbt-bar");
  const under = make("div", "nbt-under");
  const counts = make("div", "nbt-counts");
  const budgets = make("div", "nbt-counts nbt-budgets");
  const alert = make("div");
  const warnings = make("div", "nbt-warnings");
  warnings.setAttribute("role", "status");
  under.append(counts, budgets);
  el.append(line, bar, under, alert, warnings);
  let shown = {};
  let pressed = null;

  function drawButtons(content) {
    const key = JSON.stringify([content.actions, pressed]);
    if (shown.buttons === key) return;
    shown.buttons = key;
    buttons.replaceChildren(
      ...content.actions.map((action) => {
        const button = make("button", `nbt-button nbt-${action}`, WORDS[action]);
        button.type = "button";
        button.title = HINTS[action];
        button.disabled = pressed !== null;
        button.addEventListener("click", () => {
          pressed = action;
          model.send({ do: action });
          drawButtons(model.get("content"));
          // Should the message get lost (a busy kernel), the button comes back.
          setTimeout(() => { pressed = null; drawButtons(model.get("content")); }, 4000);
        });
        return button;
      }),
    );
  }

  function draw() {
    const content = model.get("content");
    if (!content.name) return;
    if (shown.state !== content.state) pressed = null;
    shown.state = content.state;
    name.textContent = content.name;
    const state_words = make("span", `nbt-word nbt-is-${content.state}`, content.standing);
    state.replaceChildren(state_words, ...[content.why, content.plan].filter(Boolean).map((t) => ` · ${t}`));
    progress.textContent = content.progress;
    drawButtons(content);
    const segments = JSON.stringify([content.bar, content.counts]);
    if (shown.segments !== segments) {
      shown.segments = segments;
      bar.replaceChildren(...content.bar.map(([status, share]) => {
        const segment = make("span", `nbt-segment nbt-fill-${status}`);
        segment.style.width = `${100 * share}%`;
        return segment;
      }));
      bar.setAttribute("role", "img");
      bar.setAttribute("aria-label", content.counts.map((c) => c[1]).join(", ") || "no trials yet");
      counts.replaceChildren(...content.counts.map(([status, words]) => {
        const item = make("span", "nbt-count");
        item.append(make("i", `nbt-dot nbt-fill-${status}`), words);
        return item;
      }));
    }
    const left = JSON.stringify(content.budgets);
    if (shown.left !== left) {
      shown.left = left;
      budgets.replaceChildren(...(content.budgets ?? []).map(([words, first]) => {
        const item = make("span", first ? "nbt-first" : "", words);
        if (first) item.title = "This one will end the sweep, at the pace so far";
        return item;
      }));
    }
    const warned = JSON.stringify(content.warnings ?? []);
    if (shown.warned !== warned) {
      shown.warned = warned;
      warnings.replaceChildren(...(content.warnings?.length ? warningsOf(content.warnings) : []));
    }
    const trouble = JSON.stringify(content.alert);
    if (shown.trouble !== trouble) {
      shown.trouble = trouble;
      alert.replaceChildren(...(content.alert ? [alertOf(content.alert)] : []));
    }
  }

  model.on("change:content", draw);
  draw();
  const forget = [watchTheme, watchWidth, watchPointer, watchFigure].map((watch) => watch(model, el));
  return () => {
    model.off("change:content", draw);
    forget.forEach((stop) => stop());
  };
}

export default { render };
