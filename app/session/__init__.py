"""What one visitor has. Only this room touches `st.session_state`."""
