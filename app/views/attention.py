"""What had this token read when it was routed?"""

from app.parts.panel import heading, panel

heading(
    "Attention",
    "What had this token read when it was routed?",
    "attention",
    "loop",
    "λ",
    "did not route",
)
panel("attention_map", main=True)
panel("attention_by_loops")
