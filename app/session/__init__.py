"""The state of one visitor. Only this package reads or writes `st.session_state`."""
