"""Browser-side pieces that Streamlit lacks, inline: no iframe, no network, token text only as text nodes."""
