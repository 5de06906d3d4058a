// The token strip with read-out and legend. Token text is inserted as textContent only, never as HTML.
const mounted = new WeakMap();
const ROWS = 5, MOST_ROWS = 11, SHORT_LINE = 16; // rows seen at once; cells per line of a text of short lines

export default function (component) {
  const { data, parentElement: root } = component;
  drawn_on(data.page);
  let strip = mounted.get(root);
  if (!strip) mounted.set(root, (strip = new Strip(root)));
  stick(root.getRootNode().host);
  begin_at_top(data.page, root.getRootNode().host);
  strip.component = component;
  strip.show(data);
}

// A sticky element sticks within its parent, so Streamlit's wrapper of the frame must be sticky; it gets a class name here.
function stick(host) {
  host?.closest(".st-key-frame")?.parentElement.classList.add("frame-wrapper");
}

// A page that is turned to begins at its top: Streamlit would leave it scrolled to where the page before was.
let page_shown = null;
function begin_at_top(page, host) {
  if (page_shown !== null && page_shown !== page) host?.closest("[data-testid=stMain]")?.scrollTo({ top: 0, behavior: "instant" });
  page_shown = page;
}

class Strip {
  constructor(root) {
    this.root = root;
    this.wrap = root.querySelector(".wrap");
    this.box = root.querySelector(".strip");
    this.tip = root.querySelector(".tip");
    this.readout = root.querySelector(".readout");
    this.legend = root.querySelector(".legend");
    this.matches = root.querySelector(".matches");
    this.level = root.querySelector(".level");
    this.live = root.querySelector(".live");
    this.level.onclick = () => this.send("level", this.data.level === "word" ? "token" : "word");
    this.cells = [];
    this.token = this.layer = -1;
    this.pending = null;
    this.timer = 0;
    this.box.addEventListener("click", (event) => {
      const cell = event.target.closest(".token");
      if (cell) this.select(this.piece(+cell.dataset.cell), this.layer, true, true, true);
    });
    this.box.addEventListener("keydown", (event) => this.key(event));
    this.box.addEventListener("mouseover", (event) => this.hint(event.target.closest?.(".token")));
    this.box.addEventListener("focusin", (event) => this.hint(event.target.closest?.(".token")));
    this.box.addEventListener("scroll", () => this.fade());
    for (const leave of ["mouseleave", "focusout", "scroll"]) {
      this.box.addEventListener(leave, () => (this.tip.hidden = true));
    }
  }

  send(event, value) {
    send_event(event, () => this.component.setTriggerValue(event, value));
  }

  show(data) {
    const had_focus = this.box.contains(this.box.getRootNode().activeElement);
    this.data = data;
    for (const [name, value] of Object.entries(data.colors)) this.wrap.style.setProperty("--" + name, value);
    const coloured = this.signature !== data.signature && this.build(); // drops the pending selection
    // The app's answer to an older selection must not undo a newer one that is still being sent.
    const answered = !this.pending || (this.pending.token === data.token && this.pending.layer === data.layer);
    if (answered) this.pending = null;
    if (answered || this.token < 0) this.mark(data.token, data.layer, had_focus, coloured);
    this.mark_found();
    this.draw_readout();
    this.draw_matches();
    this.level.hidden = !data.levels;
    this.level.setAttribute("aria-pressed", data.level === "word");
    this.draw_legend();
  }

  // Draw another text or colouring; returns whether the text is the same as before.
  build() {
    const { labels, fill, palette, badges, badge_room, breaks, indents, white, starts, tokens, first_generated } = this.data;
    const shown = labels.join("\0"), same = shown === this.shown;
    this.shown = shown;
    this.cell_of = labels.flatMap((_, i) => Array((starts[i + 1] ?? tokens) - starts[i]).fill(i));
    const cells = document.createDocumentFragment();
    this.cells = labels.map((label, i) => {
      const cell = element("span", "token", indents[i] ? label.replace(/[␣⇥]+(×\d+)?$/, "") : label);
      cell.role = "option";
      cell.dataset.cell = i;
      cell.dataset.token = starts[i];
      cell.tabIndex = -1;
      cell.setAttribute("aria-label", this.describe(i));
      cell.setAttribute("aria-selected", "false");
      if (fill[i] < 0) cell.classList.add(fill[i] === -1 ? "hatched" : "empty");
      else {
        cell.style.setProperty("--fill", palette[fill[i]][0]);
        cell.style.setProperty("--on-fill", palette[fill[i]][1]);
      }
      if (white[i]) cell.classList.add("white");
      if (starts[i] >= first_generated) cell.classList.add("generated");
      if (badge_room[i]) {
        const badge = element("span", "badge", badges[i]);
        badge.style.minWidth = `${badge_room[i]}ch`; // in every layer the same, so that no row moves
        cell.append(badge);
      }
      if (starts[i] >= first_generated && !(starts[i - 1] >= first_generated)) {
        const border = element("span", "border", "generated");
        border.role = "presentation";
        cells.append(border);
      }
      cells.append(cell);
      if (breaks[i]) {
        const line = element("span", "break");
        line.role = "presentation";
        cells.append(line);
      }
      if (indents[i]) {
        const indent = element("span", "indent");
        indent.role = "presentation";
        indent.style.width = `${indents[i]}ch`;
        cells.append(indent);
      }
      return cell;
    });
    this.box.replaceChildren(cells);
    this.box.style.setProperty("--rows", rows_shown(breaks));
    this.readout.classList.toggle("long", this.data.long_readout);
    this.signature = this.data.signature;
    this.marked = "";
    this.token = -1;
    this.pending = null;
    return same;
  }

  // Underline the matches of the search, unless they are underlined already.
  mark_found() {
    const { found } = this.data;
    if (this.marked === found.join()) return;
    this.marked = found.join();
    const set = new Set(found.map((token) => this.cell_of[token]));
    this.cells.forEach((cell, i) => {
      cell.classList.toggle("found", set.has(i));
      cell.setAttribute("aria-label", this.describe(i) + (set.has(i) ? ", found" : ""));
    });
  }

  // Select the next match or the one before, wrapping round at the ends of the text.
  step_found(by) {
    const { found } = this.data;
    if (!found.length) return;
    const next = by > 0 ? found.find((i) => i > this.token) : found.findLast((i) => i < this.token);
    this.select(next ?? found.at(by > 0 ? 0 : -1), this.layer, false, this.box.contains(this.box.getRootNode().activeElement));
  }

  // Fade the edge towards which the text can be scrolled.
  fade() {
    const { scrollTop, clientHeight, scrollHeight } = this.box;
    this.box.classList.toggle("above", scrollTop > 4);
    this.box.classList.toggle("below", scrollTop + clientHeight < scrollHeight - 4);
  }

  describe(i) {
    const { labels, values, surprisal, quantity, starts, tokens, first_generated } = this.data, last = (starts[i + 1] ?? tokens) - 1;
    const where = last > starts[i] ? `tokens ${starts[i]} to ${last}` : `token ${starts[i]}`;
    const by = starts[i] >= first_generated ? ", generated" : "";
    return `${where}: ${labels[i]}, ${quantity} ${values[i]}, surprisal ${surprisal[i]}${by}`;
  }

  // With `still` a token that is seen stays where it is, under the pointer.
  mark(token, layer, focus, still = false) {
    const before = this.cells[this.cell_of[this.token]];
    if (before) {
      before.setAttribute("aria-selected", "false");
      before.tabIndex = -1;
    }
    const moved = token !== this.token;
    this.token = token;
    this.layer = layer;
    const cell = this.cells[this.cell_of[token]];
    cell.setAttribute("aria-selected", "true");
    cell.tabIndex = 0;
    if (focus) cell.focus({ preventScroll: true });
    if (moved && !(still && this.seen(cell))) {
      // Scroll it to the third row, so that the text before it stays visible; for the first rows scroll to the top.
      const row = cell.offsetHeight + 3, top = cell.offsetTop - this.box.offsetTop - 2 * row;
      this.box.scrollTop = top < 2 * row ? 0 : top;
    }
    this.fade();
  }

  seen(cell) {
    const top = cell.offsetTop - this.box.offsetTop - this.box.scrollTop;
    return top >= 0 && top + cell.offsetHeight <= this.box.clientHeight;
  }

  // The token that a click on a cell selects: the cell's first token, or the one after the selected token of a word.
  piece(cell) {
    const { starts, tokens } = this.data, end = starts[cell + 1] ?? tokens;
    const inside = this.token >= starts[cell] && this.token + 1 < end;
    return inside ? this.token + 1 : starts[cell];
  }

  select(token, layer, at_once, focus = true, still = false) {
    const { tokens, layers } = this.data;
    token = Math.min(Math.max(token, 0), tokens - 1);
    layer = Math.min(Math.max(layer, 0), layers - 1);
    if (token === this.token && layer === this.layer) return;
    this.mark(token, layer, focus, still);
    this.pending = { token, layer };
    clearTimeout(this.timer);
    // Debounced, since a key that is held down would cause one rerun per token.
    this.timer = setTimeout(() => this.send("select", { token, layer }), at_once ? 0 : 120);
  }

  key(event) {
    if (event.key === "Escape") this.tip.hidden = true;
    if (this.data.query && ["n", "N", "F3"].includes(event.key) && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      return this.step_found(event.shiftKey ? -1 : 1);
    }
    const { starts, tokens, window } = this.data, cell = this.cell_of[this.token], press = [this.piece(cell) - this.token, 0];
    const to = {
      ArrowRight: [(starts[cell + 1] ?? this.token) - this.token, 0], ArrowLeft: [(starts[cell - 1] ?? 0) - this.token, 0],
      ArrowUp: [0, 1], ArrowDown: [0, -1], Enter: press, " ": press,
      Home: [-tokens, 0], End: [tokens, 0], "]": [window, 0], "[": [-window, 0],
    }[event.key];
    if (!to || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    this.select(this.token + to[0], this.layer + to[1], false);
  }

  hint(cell) {
    if (!cell) return (this.tip.hidden = true);
    this.tip.textContent = this.describe(+cell.dataset.cell);
    this.tip.hidden = false;
    const frame = this.wrap.getBoundingClientRect(), at = cell.getBoundingClientRect();
    const readout = this.readout.getBoundingClientRect().top, height = this.tip.offsetHeight, gap = 6;
    const fits = at.bottom + gap + height <= readout; // below the last row it would cover the read-out
    this.tip.style.left = Math.max(0, Math.min(at.left - frame.left, frame.width - this.tip.offsetWidth)) + "px";
    this.tip.style.top = (fits ? at.bottom + gap : at.top - gap - height) - frame.top + "px";
  }

  draw_readout() {
    if (this.readout.querySelector("input")) return; // a number is being typed
    const focused = this.readout.getRootNode().activeElement?.dataset?.step;
    const step = (name, by, sign, label) =>
      step_button(sign, label, () =>
        this.select(this.token + (name === "token" ? by : 0), this.layer + (name === "layer" ? by : 0), true, false)
      );
    this.readout.replaceChildren(
      ...this.data.readout.map(([name, value]) => {
        if (name === "text") return element("span", "text", value);
        const item = element("span", "item", name + " ");
        const steps = name === "token" || name === "layer";
        if (!steps) item.append(element("b", "", value));
        else item.append(step(name, -1, "\u2039", "previous " + name), this.number(name, value), step(name, 1, "\u203a", "next " + name));
        return item;
      })
    );
    if (focused) this.readout.querySelector(`[data-step="${focused}"]`)?.focus();
    this.live.textContent = this.data.readout.map(([name, value]) => (name === "text" ? value : `${name} ${value}`)).join(", ");
  }

  // The number of the selected token or layer. A click makes it a field, for one that is many steps away.
  number(name, value) {
    const shown = element("b", ""), button = step_button(value, `type the number of a ${name}`, () => this.ask(name, value, button));
    button.className = "number";
    button.setAttribute("aria-label", `${button.title}, now ${value}`);
    shown.append(button);
    return shown;
  }

  ask(name, value, button) {
    const field = element("input", "");
    field.value = value;
    field.inputMode = "numeric";
    field.setAttribute("aria-label", `number of a ${name}`);
    field.onkeydown = (event) => {
      if (event.key === "Escape") field.value = value;
      if (event.key === "Escape" || event.key === "Enter") field.blur();
    };
    field.onblur = () => {
      const typed = /^\s*\d+\s*$/.test(field.value) ? { [name]: +field.value } : {};
      const { token, layer } = { token: this.token, layer: this.layer, ...typed };
      field.remove();
      this.draw_readout();
      this.select(token, layer, true, false);
    };
    button.replaceWith(field);
    field.select();
  }

  draw_matches() {
    const { found, query, tokens } = this.data;
    this.matches.hidden = !query;
    this.root.getRootNode().host?.closest(".frame-wrapper")?.classList.toggle("searched", !!query);
    const state = JSON.stringify([query, found, tokens]);
    if (this.drawn_matches === state) return;
    this.drawn_matches = state;
    const told = element("span", "", `Search for ${query}: `);
    told.append(element("b", "", `${found.length} of ${tokens} tokens`));
    told.setAttribute("role", "status");
    const steps = found.length
      ? [step_button("\u2039", "previous match (N)", () => this.step_found(-1)), step_button("\u203a", "next match (n)", () => this.step_found(1))]
      : [];
    const clear = step_button("\u00d7", "end the search", () => this.send("clear", true));
    this.matches.replaceChildren(told, ...steps, clear);
  }

  draw_legend() {
    this.legend.replaceChildren(
      ...this.data.legend.map(([kind, value, ink]) => {
        if (kind === "text") return element("span", "", value);
        if (kind === "hatch") return element("span", "swatch hatched", "");
        if (kind === "bar") {
          const bar = element("span", "bar", "");
          bar.style.background = `linear-gradient(90deg, ${value.join(",")})`;
          return bar;
        }
        const swatch = element("span", "swatch", value[1]);
        swatch.style.background = value[0];
        swatch.style.color = ink;
        return swatch;
      })
    );
  }
}

// Code and verse have many short lines, which would soon have to be scrolled: they are given more rows than other texts.
function rows_shown(breaks) {
  const lines = breaks.filter(Boolean).length + 1;
  return breaks.length / lines <= SHORT_LINE ? Math.min(Math.max(lines, ROWS), MOST_ROWS) : ROWS;
}

function step_button(sign, label, act) {
  const button = element("button", "step", sign);
  button.setAttribute("aria-label", label);
  button.title = label;
  button.dataset.step = label;
  button.onclick = act;
  return button;
}

function element(tag, name, text) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text !== undefined) made.textContent = text;
  return made;
}
