"""Where the parts of the schematic stand, in pixels from its top left: side by side, or in a narrow figure below."""

from dataclasses import dataclass

Point = tuple[float, float]
Label = tuple[float, float, str]
"""x, y, and where the text lies from there."""
NARROW_PX, ROOMY_PX = 780, 960
"""A drawing narrower than the first goes from top to bottom; from the second on, its boxes are wide."""


@dataclass(frozen=True)
class Box:
    """A rectangle; y grows downwards."""

    left: float
    top: float
    right: float
    low: float

    @property
    def width(self) -> float:
        """Width in pixels."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Height in pixels."""
        return self.low - self.top

    @property
    def centre(self) -> Point:
        """The middle of the box."""
        return (self.left + self.right) / 2, (self.top + self.low) / 2

    def split(self, share: float) -> tuple["Box", "Box"]:
        """The box in two along its longer side; the first, top or left, has this share."""
        if self.height > self.width:
            border = self.top + share * self.height
            return Box(self.left, self.top, self.right, border), Box(self.left, border, self.right, self.low)
        border = self.left + share * self.width
        return Box(self.left, self.top, border, self.low), Box(border, self.top, self.right, self.low)


def cells(lane: Box, count: int, *, gap: float) -> list[Box]:
    """`count` boxes of one width beside each other in a lane, `gap` pixels apart."""
    width = (lane.width + gap) / count
    return [Box(lane.left + i * width, lane.top, lane.left + (i + 1) * width - gap, lane.low) for i in range(count)]


@dataclass(frozen=True)
class Places:
    """Boxes of all parts, and the points that the lines between them run through."""

    height: float
    input: Box
    router: Box
    depth_head: Box
    tall_heads: bool
    """Whether the heads have room for four lines of text; otherwise for three."""
    titles_left: float
    """Where the titles of both paths begin, above slices and loops."""
    slices: Box
    loops: Box
    mixture: Box
    width_first: bool
    """Whether the width path's weight is the first part of the mixture's bar, at its top or left end."""
    output: Box
    to_router: list[Point]
    to_depth_head: list[Point]
    router_to_slices: list[Point]
    depth_head_to_loops: list[Point]
    slices_to_mixture: list[Point]
    """From the level below the slices on which their outputs are collected; it begins at that level."""
    loops_to_mixture: list[Point]
    """From the level below the loops, to which the output falls; it begins below the loop that the token leaves."""
    to_output: list[Point]
    width_weight: Label
    depth_weight: Label


def places(width: float) -> Places:
    """The places in a drawing of this width in pixels."""
    return _top_down(width) if width < NARROW_PX else _side_by_side(width)


def _side_by_side(width: float) -> Places:
    end, head, turn = (92, (124, 286), 108) if width >= ROOMY_PX else (78, (98, 240), 88)
    upper, middle, lower = 60, 164, 252
    lane = head[1] + 34, width - end - 150
    bar = Box(width - end - 98, 124, width - end - 38, 204)
    centre, output = bar.centre[0], Box(width - end - 2, middle - 36, width - 2, middle + 36)
    return Places(
        height=300,
        input=Box(2, middle - 36, end + 2, middle + 36),
        router=Box(head[0], upper - 24, head[1], upper + 24),
        depth_head=Box(head[0], lower - 36, head[1], lower + 36),
        tall_heads=True,
        titles_left=lane[0],
        slices=Box(lane[0], upper - 24, lane[1], upper + 24),
        loops=Box(lane[0], lower - 24, lane[1], lower + 24),
        mixture=bar,
        width_first=True,
        output=output,
        to_router=[(end + 2, middle), (turn, middle), (turn, upper), (head[0], upper)],
        to_depth_head=[(end + 2, middle), (turn, middle), (turn, lower), (head[0], lower)],
        router_to_slices=[(head[1], upper), (lane[0], upper)],
        depth_head_to_loops=[(head[1], lower), (lane[0], lower)],
        slices_to_mixture=[(centre, upper + 46), (centre, bar.top)],
        loops_to_mixture=[(centre, lower + 46), (centre, bar.low)],
        to_output=[(bar.right, middle), (output.left, middle)],
        width_weight=(centre + 5, upper + 36, "middle center"),
        depth_weight=(centre + 5, lower - 30, "middle right"),
    )


def _top_down(width: float) -> Places:
    left, right, gutter = 16, width - 16, 6
    router, slices = Box(left, 74, right, 116), Box(left, 152, right, 190)
    depth_head, loops = Box(left, 250, right, 308), Box(left, 344, right, 382)
    bar = Box(left, 446, right, 472)
    return Places(
        height=548,
        input=Box(2, 2, max(0.4 * width, 120), 58),
        router=router,
        depth_head=depth_head,
        tall_heads=False,
        titles_left=left + 26,
        slices=slices,
        loops=loops,
        mixture=bar,
        width_first=False,
        output=Box(0.3 * width, 500, 0.7 * width, 544),
        to_router=[(gutter, 58), (gutter, 95), (left, 95)],
        to_depth_head=[(gutter, 58), (gutter, 279), (left, 279)],
        router_to_slices=[(left + 14, router.low), (left + 14, slices.top)],
        depth_head_to_loops=[(left + 14, depth_head.low), (left + 14, loops.top)],
        slices_to_mixture=[(width - gutter, slices.low + 22), (width - gutter, 459), (right, 459)],
        loops_to_mixture=[(left + 30, loops.low + 22), (left + 30, bar.top)],
        to_output=[(width / 2, bar.low), (width / 2, 500)],
        width_weight=(right - 4, bar.top - 10, "middle left"),
        depth_weight=(left + 38, bar.top - 10, "middle right"),
    )
