// Shows the schematic step by step: what comes later is faint. The parts of the drawing are named "step n" in the figure.
const mounted = new WeakMap(), watched = new WeakSet();
const FAINT = 0.1, FADE_MS = 350, READ_MS = 3000; // a step of the animation is shown for READ_MS

export default function ({ data, parentElement: root }) {
  let steps = mounted.get(root);
  if (!steps) mounted.set(root, (steps = new Steps(root)));
  steps.show(data);
  return () => steps.pause();
}

class Steps {
  constructor(root) {
    this.box = root.querySelector(".buttons");
    this.said = root.querySelector(".said");
    this.live = root.querySelector(".live");
    this.told = root.querySelector(".told");
    this.play = root.querySelector(".play");
    this.at = this.timer = 0; // step 0 is the whole drawing
    this.play.onclick = () => (this.timer ? this.pause() : this.start());
    this.box.addEventListener("keydown", (event) => this.key(event));
  }

  show(data) {
    const before = JSON.stringify(this.data), now = JSON.stringify(data);
    this.data = data;
    if (before !== now) this.build();
    this.paint();
  }

  build() {
    const names = ["Whole", ...this.data.told.map(([name], number) => `${number + 1} ${name}`)];
    const sentences = [this.data.whole, ...this.data.told.map(([, sentence]) => sentence)];
    const focused = this.buttons().indexOf(this.box.getRootNode().activeElement);
    this.at = Math.min(this.at, names.length - 1);
    this.buttons().forEach((button) => button.remove());
    this.box.querySelectorAll(".spare").forEach((room) => room.remove());
    this.box.append(...names.map((name, number) => {
      const button = document.createElement("button");
      button.textContent = name;
      button.onclick = () => this.go(number);
      return button;
    }));
    for (let loop = 0; loop < this.data.spare; loop++) this.box.append(this.spare());
    this.said.replaceChildren(...sentences.map((sentence) => element("p", sentence)));
    this.told.replaceChildren(...sentences.map((sentence) => element("li", sentence)));
    if (focused >= 0) this.buttons()[Math.min(focused, names.length - 1)].focus({ preventScroll: true });
    this.mark();
  }

  // Unseen room for a button of a loop that this token did not take.
  spare() {
    const room = document.createElement("span");
    room.className = "spare";
    room.textContent = "0 Loop 0";
    return room;
  }

  buttons() {
    return [...this.box.querySelectorAll("button:not(.play)")];
  }

  key(event) {
    const last = this.data.told.length;
    const to = { ArrowRight: this.at + 1, ArrowLeft: this.at - 1, Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.go(Math.min(Math.max(to, 0), last));
    this.buttons()[this.at].focus({ preventScroll: true });
  }

  go(step) {
    this.pause();
    this.turn(step);
  }

  turn(step) {
    this.at = step;
    this.mark();
    this.live.textContent = this.said.children[step].textContent;
    this.paint();
  }

  mark() {
    this.buttons().forEach((button, number) => {
      if (number === this.at) button.setAttribute("aria-current", "step");
      else button.removeAttribute("aria-current");
    });
    [...this.said.children].forEach((sentence, number) => {
      sentence.classList.toggle("shown", number === this.at);
      sentence.setAttribute("aria-hidden", "true"); // screen readers have the list of all sentences, and what is live
    });
  }

  start() {
    this.turn(1);
    this.play.textContent = "Pause";
    this.timer = setInterval(() => {
      if (this.at < this.data.told.length) return this.turn(this.at + 1);
      this.pause();
      this.turn(0);
    }, READ_MS);
  }

  pause() {
    clearInterval(this.timer);
    this.timer = 0;
    this.play.textContent = "Play";
  }

  // Plotly draws its parts anew when the selection moves, so this is called after each of its drawings, too.
  paint() {
    const figure = document.querySelector(`.st-key-${this.data.figure} .js-plotly-plot`);
    if (!figure?._fullLayout) {
      if (this.at) setTimeout(() => this.paint(), 100);
      return;
    }
    if (!watched.has(figure) && figure.on) {
      watched.add(figure);
      figure.on("plotly_afterplot", () => this.paint());
    }
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    for (const [node, step] of parts(figure)) {
      node.style.transition = still ? "" : `opacity ${FADE_MS}ms`;
      node.style.opacity = this.at && step > this.at ? FAINT : 1;
    }
  }
}

function element(tag, text) {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}

// The drawn parts of a figure with the number of the step in which they appear.
function* parts(figure) {
  for (const node of figure.querySelectorAll(".shapelayer .shape-group")) {
    yield [node, step_of(figure._fullLayout.shapes[node.dataset.index])];
  }
  for (const node of figure.querySelectorAll(".scatterlayer > .trace")) yield [node, step_of(node.__data__?.[0]?.trace)];
}

function step_of(part) {
  return Number(part?.name?.split(" ")[1] ?? 0);
}
