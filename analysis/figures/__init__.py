"""Figures: pure functions `xxx_figure(trace, view, *, options) -> go.Figure`."""

from analysis.figures.compare import (
    compare_difficulty_figure,
    compare_experts_figure,
    compare_gate_figure,
    compare_loops_figure,
)
from analysis.figures.compare_beside import beside_difference_figure
from analysis.figures.compare_tokens import compare_logprob_figure, paraphrase_null_figure
from analysis.figures.difficulty import (
    difficulty_by_loops_figure,
    difficulty_map_figure,
    difficulty_surprisal_figure,
)
from analysis.figures.expert_load import expert_load_by_layer_figure, expert_load_figure, expert_pairs_figure
from analysis.figures.expert_tokens import expert_tokens_figure
from analysis.figures.experts import expert_map_figure, expert_path_figure
from analysis.figures.explain.attention import attention_by_loops_figure, attention_map_figure
from analysis.figures.explain.attribution import attribution_by_layer_figure, logit_attribution_figure
from analysis.figures.explain.cost import cost_by_layer_figure, cost_ledger_figure, cost_map_figure
from analysis.figures.explain.geometry import first_loop_figure, path_agreement_figure, steps_figure
from analysis.figures.explain.knock_out import (
    knock_out_control_figure,
    knock_out_map_figure,
    knock_out_token_figure,
)
from analysis.figures.explain.knock_out_bars import (
    knock_out_pairs_figure,
    knock_out_paths_figure,
    knock_out_top_k_figure,
)
from analysis.figures.explain.ledger import write_stack_figure, write_waterfall_figure
from analysis.figures.explain.lens import lens_grid_figure, lens_layer_figure, lens_path_figure
from analysis.figures.explain.near_miss import flip_distance_figure, near_miss_map_figure, precision_map_figure
from analysis.figures.explain.other_gates import frontier_figure, gate_sweep_figure
from analysis.figures.explain.regret import best_by_chosen_figure, gates_regret_figure, regret_map_figure
from analysis.figures.explain.schematic import layer_schematic_figure
from analysis.figures.explain.slices import loop_slices_figure
from analysis.figures.explain.stream import stream_ledger_figure
from analysis.figures.explain.trajectories import embedding_figure, trajectory_figure
from analysis.figures.explain.walkthrough import fusion_plane_figure, recursion_states_figure
from analysis.figures.gate import gate_along_text_figure, gate_levels_figure, gate_map_figure
from analysis.figures.layers_alike import layers_alike_figure
from analysis.figures.models.sampling import drawn_loops_figure
from analysis.figures.models.training import training_course_figure, training_curve_figure, training_map_figure
from analysis.figures.overview import compute_map_figure, loops_by_layer_figure
from analysis.figures.recursion import (
    depth_choice_figure,
    depth_logits_figure,
    depth_margin_figure,
    loop_map_figure,
    loop_shares_figure,
)
from analysis.figures.template import config
from analysis.figures.texts.knock_out import knock_out_intervals_figure, knock_out_texts_figure
from analysis.figures.texts.sources import loop_flow_figure, sources_figure, together_figure
from analysis.figures.texts.validity import class_difficulty_figure, validity_by_layer_figure, validity_intervals_figure
from analysis.figures.transplant import routing_transplant_figure
from analysis.figures.what_if import logprob_change_figure, what_if_map_figure

__all__ = [
    "compute_map_figure",
    "loops_by_layer_figure",
    "difficulty_map_figure",
    "difficulty_surprisal_figure",
    "difficulty_by_loops_figure",
    "gate_map_figure",
    "gate_levels_figure",
    "gate_along_text_figure",
    "expert_tokens_figure",
    "expert_map_figure",
    "expert_path_figure",
    "expert_load_figure",
    "expert_load_by_layer_figure",
    "expert_pairs_figure",
    "layers_alike_figure",
    "loop_map_figure",
    "loop_shares_figure",
    "depth_choice_figure",
    "depth_logits_figure",
    "depth_margin_figure",
    "near_miss_map_figure",
    "flip_distance_figure",
    "precision_map_figure",
    "layer_schematic_figure",
    "recursion_states_figure",
    "fusion_plane_figure",
    "write_stack_figure",
    "write_waterfall_figure",
    "stream_ledger_figure",
    "logit_attribution_figure",
    "attribution_by_layer_figure",
    "lens_grid_figure",
    "lens_layer_figure",
    "lens_path_figure",
    "path_agreement_figure",
    "first_loop_figure",
    "steps_figure",
    "loop_slices_figure",
    "trajectory_figure",
    "embedding_figure",
    "attention_map_figure",
    "attention_by_loops_figure",
    "cost_ledger_figure",
    "cost_by_layer_figure",
    "cost_map_figure",
    "sources_figure",
    "together_figure",
    "loop_flow_figure",
    "validity_by_layer_figure",
    "validity_intervals_figure",
    "class_difficulty_figure",
    "what_if_map_figure",
    "logprob_change_figure",
    "knock_out_map_figure",
    "knock_out_control_figure",
    "knock_out_token_figure",
    "knock_out_paths_figure",
    "knock_out_top_k_figure",
    "knock_out_pairs_figure",
    "knock_out_texts_figure",
    "knock_out_intervals_figure",
    "regret_map_figure",
    "best_by_chosen_figure",
    "gates_regret_figure",
    "gate_sweep_figure",
    "frontier_figure",
    "compare_loops_figure",
    "compare_gate_figure",
    "compare_difficulty_figure",
    "compare_experts_figure",
    "compare_logprob_figure",
    "paraphrase_null_figure",
    "beside_difference_figure",
    "routing_transplant_figure",
    "drawn_loops_figure",
    "training_course_figure",
    "training_map_figure",
    "training_curve_figure",
    "config",
]
"""In the order of the pages, which `analysis.catalogue` takes over."""
