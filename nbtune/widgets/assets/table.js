function make(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

function statusWord(status) {
  const word = make("span", `nbt-word nbt-is-${status}`);
  word.append(make("i", `nbt-dot nbt-fill-${status}`), status);
  return word;
}

function pairs(rows, className) {
  const list = make("div", className);
  for (const [name, text] of rows) {
    const pair = make("div", "nbt-pair");
    pair.title = `${name} = ${text}`;
    pair.append(make("div", "nbt-term", name), make("div", "", text));
    list.append(pair);
  }
  return list;
}

function section(caption, content) {
  const box = make("div", "nbt-section");
  box.append(make("div", "nbt-caption", caption), content);
  return box;
}

function scrolled(className, text, toEnd) {
  const pre = make("pre", className, text);
  if (toEnd) requestAnimationFrame(() => { pre.scrollTop = pre.scrollHeight; });
  return pre;
}

function render({ model, el }) {
  el.classList.add("nbtune", "nbt-trials");
  const brushed = make("div", "nbt-brushed");
  const scroller = make("div", "nbt-scroller");
  const table = make("table", "nbt-table");
  const head = make("thead");
  const body = make("tbody");
  const more = make("div", "nbt-quiet nbt-more");
  const panel = make("div");
  table.append(head, body);
  scroller.append(table);
  el.append(brushed, scroller, more, panel);
  table.setAttribute("aria-label", "Trials, best first");
  let drawn = "";
  let header = "";

  const selected = () => model.get("panel").number ?? null;
  const select = (trial) => model.send({ do: "select", trial });

  function move(row, offset) {
    const rows = [...body.children];
    const next = rows[rows.indexOf(row) + offset];
    if (!next) return;
    next.focus();
    if (selected() !== null) select(Number(next.dataset.trial));
  }

  function press(event, row) {
    const trial = Number(row.dataset.trial);
    const act = {
      ArrowDown: () => move(row, 1),
      ArrowUp: () => move(row, -1),
      Enter: () => select(trial),
      " ": () => select(trial),
      Escape: () => select(null),
    }[event.key];
    if (!act) return;
    // JupyterLab would move to another cell.
    event.preventDefault();
    event.stopPropagation();
    act();
  }

  function makeRow(content, [trial, values, cells, status, note], index) {
    const row = make("tr", content.best.includes(trial) ? "nbt-is-best" : "");
    row.dataset.trial = trial;
    row.tabIndex = index === 0 ? 0 : -1;
    const state = make("td");
    state.append(statusWord(status));
    const why = make("td", "nbt-note", note);
    why.title = note;
    row.append(make("td", "nbt-num", String(trial)));
    row.append(...values.map((value) => make("td", "nbt-num nbt-value", value)), state, why);
    cells.forEach((cell, i) => row.append(make("td", content.numeric[i] ? "nbt-num" : "", cell)));
    row.addEventListener("click", () => select(trial === selected() ? null : trial));
    row.addEventListener("keydown", (event) => press(event, row));
    return row;
  }

  function makeHeader(content) {
    const key = JSON.stringify([content.metrics, content.names, content.numeric]);
    if (key === header) return;
    header = key;
    const row = make("tr");
    row.append(make("th", "nbt-num", "trial"));
    row.append(...content.metrics.map((metric) => make("th", "nbt-num", metric)));
    row.append(make("th", "", "status"), make("th", "nbt-note", "reason"));
    content.names.forEach((name, i) => {
      const cell = make("th", content.numeric[i] ? "nbt-num" : "");
      const text = make("span", "nbt-name-cell", name);
      text.title = name;
      cell.append(text);
      row.append(cell);
    });
    head.replaceChildren(row);
  }

  function mark() {
    for (const row of body.children) {
      row.setAttribute("aria-selected", String(Number(row.dataset.trial) === selected()));
    }
  }

  function drawTable() {
    const content = model.get("content");
    if (!content.rows) return;
    table.hidden = content.rows.length === 0;
    makeHeader(content);
    const key = JSON.stringify([content.rows, content.best]);
    if (key !== drawn) {
      drawn = key;
      const focused = body.contains(document.activeElement)
        ? document.activeElement.dataset.trial : undefined;
      body.replaceChildren(...content.rows.map((row, i) => makeRow(content, row, i)));
      if (focused !== undefined) body.querySelector(`[data-trial="${focused}"]`)?.focus();
    }
    more.textContent = content.more;
    mark();
  }

  function drawPanel() {
    const content = model.get("panel");
    mark();
    if (content.number === undefined) {
      panel.replaceChildren();
      return;
    }
    const box = make("div", "nbt-panel");
    const line = make("div", "nbt-panel-line");
    const title = make("span", "nbt-title");
    title.append(make("span", "nbt-name", `Trial ${content.number}`), statusWord(content.status));
    if (content.why) title.append(make("span", "nbt-quiet", content.why));
    const buttons = make("span", "nbt-buttons");
    if (content.kill) {
      const kill = make("button", "nbt-button nbt-stop", "Kill this trial");
      kill.type = "button";
      kill.addEventListener("click", () => {
        kill.disabled = true;
        model.send({ do: "kill", trial: content.number });
      });
      buttons.append(kill);
    }
    const close = make("button", "nbt-button nbt-close", "Close");
    close.type = "button";
    close.addEventListener("click", () => select(null));
    buttons.append(close);
    line.append(title, buttons);
    box.append(line, pairs([...content.facts, ...content.metrics], "nbt-params"));
    if (content.failure) box.append(make("div", "nbt-alert-message nbt-failure", content.failure));
    if (content.traceback) {
      box.append(section("traceback", scrolled("nbt-pre", content.traceback, true)));
    }
    box.append(section("params", pairs(content.params, "nbt-params")));
    if (content.chosen) {
      box.append(section("why this one", make("div", "nbt-chosen", content.chosen)));
    }
    const log = content.log ? scrolled("nbt-pre nbt-log", content.log, true)
      : make("div", "nbt-quiet", "This trial has printed nothing.");
    box.append(section("log", log));
    const hint = make("div", "nbt-hint", "In Python: ");
    hint.append(make("code", "nbt-code", content.code));
    box.append(hint);
    panel.replaceChildren(box);
  }

  function drawBrushed() {
    const content = model.get("brushed");
    if (!content.text) {
      brushed.replaceChildren();
      return;
    }
    const clear = make("button", "nbt-link", "Show all");
    clear.type = "button";
    clear.addEventListener("click", () => model.send({ do: "unbrush" }));
    brushed.replaceChildren(
      make("span", "", content.text), make("code", "nbt-code", content.code), clear);
  }

  const watch = [["content", drawTable], ["panel", drawPanel], ["brushed", drawBrushed]];
  for (const [name, draw] of watch) {
    model.on(`change:${name}`, draw);
    draw();
  }
  return () => watch.forEach(([name, draw]) => model.off(`change:${name}`, draw));
}

export default { render };
