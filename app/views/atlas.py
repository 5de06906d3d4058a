"""Atlas page: a whole run, of which every panel shows the tokens that count."""

import streamlit as st

from app.server.runs import RunError
from app.session import run_choice
from app.texts.markdown import literal

HOW_TO_MAKE = """There is no run to show yet. A run is a folder with the routing of every token of your files. Make \
one where this program is installed, and start the explorer with it:

```sh
python -m app run prompts.jsonl --out my_run
python -m app serve --run my_run
```
"""


def choose_run() -> None:
    """The choice of the run, and what it is of."""
    names = run_choice.run_names()
    if not names:
        st.markdown(HOW_TO_MAKE)
        return
    st.selectbox("Run", names, key=run_choice.RUN_KEY, persist_state="session")
    try:
        run = run_choice.current_run()
    except RunError as error:
        st.text(str(error))
        return
    manifest = run.manifest
    going = "" if manifest.finished else " It is not finished: it holds what was read so far."
    st.caption(
        literal(
            f"Model {run.meta.get('model')}, weights {str(run.meta.get('weights_sha256'))[:12]}. "
            f"{run.counts.prompts:,} prompts, {run.counts.tokens:,} tokens.{going}"
        )
    )
