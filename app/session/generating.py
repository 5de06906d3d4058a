"""One visitor's generated text: its branches, the work that is still to be done, and opening it as a text to explore.

The session holds what was written and its trace; the model's caches are with `app.server.generations`.
"""

import secrets
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import streamlit as st

from analysis.texts.branches import NAMES, Branches, BranchOfText
from app.limits import MAX_BRANCHES, MAX_GENERATED
from app.server import generations, models
from app.server.generations import Grown
from app.session import generated_texts, state
from app.texts.prompts import PromptError, check_text, check_token_count, typed_prompt
from hooks.interventions import Intervention, in_words
from hooks.sampling import ENDED, FULL, Sampling
from hooks.trace import RoutingTrace

if TYPE_CHECKING:
    from hooks.batches import BatchRuns

STORY = "generation"
PROMPT_KEY, TOKENS_KEY = "generate-prompt", "generate-tokens"
WAY_KEY, TEMPERATURE_KEY, TOP_K_KEY = "generate-way", "generate-temperature", "generate-top-k"
TOP_P_KEY, SEED_KEY, AGAINST_KEY = "generate-top-p", "generate-seed", "generate-against"
GREEDY, DRAWN = "likeliest", "drawn"
GAP = "\N{EM SPACE}"
"""Stands in a tree of branches where no line goes on; plain spaces would be lost at the beginning of a row."""
DEFAULTS = {TOKENS_KEY: 40, WAY_KEY: GREEDY, TEMPERATURE_KEY: 0.8, TOP_K_KEY: 40, TOP_P_KEY: 0.95, SEED_KEY: 0}
"""Key of an option -> its value until the visitor sets another."""
ENDS = {
    ENDED: "The model wrote its end-of-text token.",
    FULL: "Prompt and text fill the context on which the model was trained.",
}
"""Why a text goes no further -> the sentence."""


@dataclass(frozen=True)
class Branch:
    """One text, as far as it is known."""

    key: str
    """Its unguessable name on the server."""
    grown: Grown
    sampling: Sampling
    trace: RoutingTrace | None = None
    """The last one that was complete; None before its prompt was read."""
    parent: int | None = None
    token: int | None = None
    changed: str = ""
    goal: int = 0
    """Number of tokens of prompt and text together up to which it is to grow."""

    @property
    def tokens(self) -> int:
        """Number of tokens of prompt and text."""
        return len(self.grown.written.ids)

    @property
    def generated(self) -> int:
        """Number of generated tokens."""
        return len(self.grown.written.chosen_by)


@dataclass
class Story:
    """All branches of one prompt."""

    model: str
    branches: list[Branch] = field(default_factory=list)
    shown: int = 0
    running: bool = False
    token: int | None = None
    """The token from which the next branch begins; None for the last one."""
    other_token: int | None = None
    """The token that is selected in the branch beside it; None for the first that differs."""

    @property
    def branch(self) -> Branch:
        """The one that is shown."""
        return self.branches[self.shown]


def story() -> Story | None:
    """What was generated; None at first."""
    return st.session_state.get(STORY)


def option(key: str):
    """The value of an option."""
    return st.session_state.get(key, DEFAULTS[key])


def chosen_sampling() -> Sampling:
    """How the visitor wants tokens to be chosen."""
    return Sampling() if option(WAY_KEY) == GREEDY else drawn_sampling()


def drawn_sampling() -> Sampling:
    """How tokens are drawn, where they are."""
    return Sampling(option(TEMPERATURE_KEY), option(TOP_K_KEY) or None, option(TOP_P_KEY), option(SEED_KEY))


def prompt() -> str:
    """Content of the prompt's field: the current text until something else is typed; another text replaces it."""
    session, current = st.session_state, state.current_prompt().text
    if session.get("generate-prompt-of") != current or PROMPT_KEY not in session:
        session["generate-prompt-of"], session[PROMPT_KEY] = current, current
    return session[PROMPT_KEY]


def start() -> None:
    """Begin anew with the text in the field, under the interventions of the current trace. A problem is told."""
    session = st.session_state
    text, model = session[PROMPT_KEY], session[state.MODEL_KEY]
    same = text == state.current_prompt().text
    changed = state.current_trace().interventions if same else ()
    try:
        key = secrets.token_hex(16)
        grown = generations.begin(model, key, check_text(text), chosen_sampling(), changed)
        check_token_count(len(grown.written.ids))
    except (PromptError, models.ModelError) as error:
        session.problem = str(error)
        return
    session.problem = None
    first = Branch(key, grown, chosen_sampling(), changed=in_words(changed))
    session[STORY] = Story(model, [first])
    session.pop(AGAINST_KEY, None)
    go_on(option(TOKENS_KEY))


def go_on(tokens: int) -> None:
    """Have so many more tokens written to the branch that is shown, in the next runs."""
    found = story()
    _put(found, replace(found.branch, goal=found.branch.tokens + min(tokens, MAX_GENERATED), sampling=_sampling(found)))
    found.running, found.token = True, None


def stop() -> None:
    """Stop writing after the token that is being written."""
    story().running = False


def is_running() -> bool:
    """Whether there are tokens to be written now."""
    found = story()
    return found is not None and found.running and state.why_no_model() is None


def work() -> None:
    """Write for a moment. At the end, or if the model's numbers are not finite, nothing is running any more."""
    found = story()
    branch = found.branch
    try:
        left = max(branch.goal - branch.tokens, 0)
        grown, added = generations.grow(found.model, branch.key, branch.grown.written, branch.sampling, left)
    except (PromptError, models.ModelError) as error:
        st.session_state.problem, found.running = str(error), False
        return
    _put(found, replace(branch, grown=grown, trace=grown.trace or branch.trace))
    ended = grown.finished == FULL or (added and grown.finished)
    if not grown.unread and (ended or found.branch.tokens >= branch.goal):
        found.running = False


def step_back() -> None:
    """Take back the last token of the branch that is shown."""
    found = story()
    branch = found.branch
    grown = generations.step_back(found.model, branch.key, branch.grown.written, branch.sampling)
    _put(found, replace(branch, grown=grown, trace=grown.trace))
    found.running, found.token = False, None


def in_form(key: str):
    """The value of a field of the form that describes a branch."""
    return st.session_state[key]


def branch_off(
    trunk: int, token: int, interventions: tuple[Intervention, ...], changed: str, sampling: Sampling
) -> None:
    """Begin a branch of a text, and have as much written to it as that has. A problem is told.

    Nothing more happens once there is no room for another.
    """
    found, key, session = story(), secrets.token_hex(16), st.session_state
    if not may_branch():
        return
    old = found.branches[trunk]
    try:
        grown = generations.branch(found.model, (old.key, key), old.grown.written, token, interventions, sampling)
    except ValueError as error:
        session.problem = state.why_refused(found.model, error)
        return
    session.problem = None
    session[AGAINST_KEY] = trunk
    goal = max(old.tokens, len(grown.written.ids) + 1)
    # Last, and without the session, where Streamlit may stop a run: a stopped run's work is done again from the start.
    found.branches.append(Branch(key, grown, sampling, None, trunk, token, changed, goal))
    found.shown, found.running, found.token, found.other_token = len(found.branches) - 1, True, None, None


def in_tree_order() -> list[tuple[int, str]]:
    """(number of a branch, the lines that lead to it), each followed by those that left it."""
    found = story()

    def below(parent: int, before: str) -> list[tuple[int, str]]:
        own = [number for number, branch in enumerate(found.branches) if branch.parent == parent]
        rows = []
        for number in own:
            last = number == own[-1]
            rows += [(number, f"{before}{'└' if last else '├'} "), *below(number, f"{before}{GAP if last else '│'} ")]
        return rows

    firsts = [number for number, branch in enumerate(found.branches) if branch.parent is None]
    return [row for number in firsts for row in ((number, ""), *below(number, ""))]


def may_branch() -> bool:
    """Whether there is room for another branch."""
    return len(story().branches) < MAX_BRANCHES


def show(number: int) -> None:
    """Show a branch."""
    found = story()
    if st.session_state.get(AGAINST_KEY) == number:
        st.session_state[AGAINST_KEY] = found.shown
    found.shown, found.running, found.token, found.other_token = number, False, None, None


def select(token: int) -> None:
    """Choose the token from which the next branch begins."""
    story().token = token


def select_in_other(token: int) -> None:
    """Select a token of the branch with which the shown one is compared."""
    story().other_token = token


def branches() -> Branches:
    """The branches that have a trace, as their answer and their tables take them."""
    found = story()
    if found is None:
        return Branches()
    known = [number for number, branch in enumerate(found.branches) if branch.trace is not None]
    if not known:
        return Branches()
    place = {number: at for at, number in enumerate(known)}
    parts = [(number, found.branches[number]) for number in known]
    return Branches(
        tuple(
            BranchOfText(name_of(number), part.trace, place.get(part.parent), part.token, part.changed)
            for number, part in parts
        ),
        place.get(found.shown, 0),
        place.get(compared()),
    )


def compared() -> int | None:
    """The branch with which the shown one is compared; None if there is no other."""
    found, session = story(), st.session_state
    others = [number for number in range(len(found.branches)) if number != found.shown]
    if others and session.get(AGAINST_KEY) not in others:
        session[AGAINST_KEY] = others[0]
    return session[AGAINST_KEY] if others else None


def name_of(number: int) -> str:
    """Name of a branch."""
    return NAMES[number]


def open_in_explorer() -> bool:
    """Make the shown branch the current text, with its trace: the model does not run again. Whether that was possible.

    A text that the model would read as other tokens, or one under interventions, is opened as a trace file is.
    """
    found, session = story(), st.session_state
    trace, model = found.branch.trace, found.model
    try:
        text = typed_prompt(str(trace.meta["text"]))
    except PromptError as error:
        session.problem = str(error)
        return False
    found.running = False
    if generations.keep(model, trace):
        generated_texts.remember(model, trace)
        session[state.MODEL_KEY] = session[state.PICKED_KEY] = model
        state.show(text)
    else:
        state.show_file(f"{text.name} (generated)", trace)
    return True


def check_batches() -> None:
    """Run the prompt of what was generated alone and in batches."""
    found = story()
    text = found.branches[0].grown.written.reading.text
    st.session_state["generate-batches"] = (found.model, text), generations.batches_of(found.model, text)


def checked_batches() -> "BatchRuns | None":
    """The runs of the prompt in batches; None until they were asked for."""
    found = story()
    of, runs = st.session_state.get("generate-batches", (None, None))
    return runs if found and of == (found.model, found.branches[0].grown.written.reading.text) else None


def _sampling(found: Story) -> Sampling:
    """How the next tokens of the shown branch are chosen: as the visitor wants it, but a branch keeps its own seed."""
    chosen = chosen_sampling()
    return replace(chosen, seed=found.branch.sampling.seed) if found.branch.parent is not None else chosen


def _put(found: Story, branch: Branch) -> None:
    found.branches[found.shown] = branch
