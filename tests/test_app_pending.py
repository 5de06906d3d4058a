"""What was asked for is done once, even if the run that began it was stopped."""

from streamlit.testing.v1 import AppTest


def page():
    import streamlit as st

    from app.session import pending

    def work():
        st.session_state.begun = st.session_state.get("begun", 0) + 1
        if st.session_state.begun == 1:
            st.stop()  # as the reader's next click does
        st.session_state.done = st.session_state.get("done", 0) + 1

    def fails():
        st.session_state.begun = st.session_state.get("begun", 0) + 1
        raise ValueError("cannot be done")

    pending.do()
    st.button("ask", on_click=pending.callback(work))
    st.button("ask in vain", on_click=pending.callback(fails))
    st.text("waiting" if pending.exists() else "nothing waits")


def test_what_was_stopped_is_begun_again_and_done_once():
    app = AppTest.from_function(page, default_timeout=60).run()
    app.button[0].click().run()
    assert not app.text and app.session_state.begun == 1, "the run was stopped"
    app.run()
    assert app.session_state.done == 1 and app.text[0].value == "nothing waits"
    app.run()
    assert (app.session_state.begun, app.session_state.done) == (2, 1)


def test_what_cannot_be_done_is_told_and_not_tried_again():
    app = AppTest.from_function(page, default_timeout=60).run()
    app.button[1].click().run()
    assert len(app.exception) == 1
    app.run()
    assert not app.exception and app.session_state.begun == 1
