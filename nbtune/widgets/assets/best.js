function make(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

function code(text) {
  const chip = make("button", "nbt-code", text);
  chip.type = "button";
  chip.title = "Copy";
  chip.addEventListener("click", async () => {
    await navigator.clipboard?.writeText(text);
    chip.classList.add("nbt-copied");
    setTimeout(() => chip.classList.remove("nbt-copied"), 900);
  });
  return chip;
}

function render({ model, el }) {
  el.classList.add("nbtune", "nbt-best");

  function draw() {
    const content = model.get("content");
    if (!content.title) return;
    const value = make("div", "nbt-best-value");
    value.append(
      make("div", "nbt-caption", content.title),
      make("div", content.value ? "nbt-figure" : "nbt-figure nbt-none", content.value || "—"),
      make("div", "nbt-quiet", content.line),
    );
    const params = make("div", "nbt-params");
    for (const [name, text] of content.params || []) {
      const pair = make("div", "nbt-pair");
      pair.title = `${name} = ${text}`;
      pair.append(make("div", "nbt-term", name), make("div", "", text));
      params.append(pair);
    }
    const rest = make("div", "nbt-best-rest");
    rest.append(params);
    if (content.code) {
      const line = make("div", "nbt-hint", "In Python: ");
      line.append(code(content.code));
      rest.append(line);
    }
    el.replaceChildren(value, rest);
  }

  model.on("change:content", draw);
  draw();
  return () => model.off("change:content", draw);
}

export default { render };
