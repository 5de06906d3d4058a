"""A dense model of the Llama family turned into a VersatileFFN that imitates it: `python -m sample_models.distil`.

The start is the dense model itself, read as a VersatileFFN (`upcycling`). `gates` then fits router and depth head in
closed form, and two stages of training teach the shared FFN to write, in the loops and experts that were chosen, what
the dense FFN wrote: first layer by layer on the dense model's own residual stream, then end to end on its predictions.
"""
