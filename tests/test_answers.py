"""Answers of the pages: true to the tables below them, honest about chance and few tokens, linked where they name."""

import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from analysis import answers
from analysis.answers import ANSWERS, Answer, answer_of
from analysis.answers.answer import share
from analysis.difficulty import token_difficulty
from analysis.experts import expert_load
from analysis.explain.attention import attention_table
from analysis.explain.cost import cost_by_layer, cost_ledger
from analysis.explain.geometry import cosine_table
from analysis.explain.ledger import ledger_table
from analysis.explain.near_miss import TwoPrecisions, near_miss_table
from analysis.gate import gate_table
from analysis.models.health import Check
from analysis.overview import halves, loops_by_layer
from analysis.texts.groups import deal_p
from analysis.texts.summary import PromptSummary, summary_table
from analysis.view import View
from analysis.words.numbers import number
from app.pages import PAGES
from hooks.lens_trace import EXIT, OUTPUT
from hooks.trace import RoutingTrace
from tests.answer_data import SUMMARIES, TRACES, VIEW, data_of
from tests.capture_results import make_attention, make_attribution, make_lens, make_paths
from tests.traces import make_trace, random_trace


def test_numbers_have_one_minus_sign_and_no_share_is_rounded_to_nothing_or_all():
    assert [number(each) for each in (-0.004, -0.5, 2)] == ["0.00", "−0.50", "2.00"]
    assert [share(each) for each in (0, 0.001, 0.5, 0.999, 1, -0.03)] == [
        *("0%", "under 1%", "50%", "over 99%", "100%", "−3%"),
    ]


def test_every_page_has_an_answer_of_its_name():
    assert [function.__name__ for function in ANSWERS] == [page.url_path for page in PAGES]
    assert all(getattr(answers, function.__name__) is function for function in ANSWERS)


@pytest.mark.parametrize("name", TRACES)
@pytest.mark.parametrize("page", [function.__name__ for function in ANSWERS])
def test_answer_of_any_trace_is_short_plain_text_whose_links_name_what_they_select(page, name):
    trace = TRACES[name]
    view = View(layer=trace.num_layers - 1, token=trace.num_tokens - 1)
    found = answer_of(page, data_of(ANSWERS[getattr(answers, page)], name, view), view)
    assert isinstance(found, Answer) and "".join(text for text, _ in found.parts()) == found.text
    assert 20 < len(found.text) < 460 and found.text.endswith(".") and "  " not in found.text
    assert "nan" not in re.sub("“.*?”", "", found.text).split() and "-0" not in found.text
    assert found.text.endswith("routing is noise.") == (name == "untrained" and page != "prompts")
    for text, link in found.parts():
        if link is None:
            continue
        if link.expert is not None:
            assert text.lower() == f"expert {link.expert}" and 0 <= link.layer < trace.num_layers
        elif link.token is not None:
            assert text.startswith("“") and 0 <= link.token < trace.num_tokens
            assert trace.tokens.count(trace.tokens[link.token]) == 1 or f"(token {link.token})" in text
        else:
            assert text.lower() == f"layer {link.layer}" and 0 <= link.layer < trace.num_layers


def test_overview_names_the_layers_and_the_token_of_the_tables():
    trace = TRACES["ordinary"]
    found = answers.overview(trace)
    loops = loops_by_layer(trace)["mean_loops"]
    named, hard = [(link.layer, link.token) for link in found.links], token_difficulty(trace).argmax()
    there = trace.difficulty_soft[:, hard].argmax()
    assert named[:4] == [(loops.idxmax(), None), (loops.idxmin(), None), (there, hard), (there, None)]
    assert f", and {number(trace.difficulty_soft[there, hard])} in layer {there})." in found.text
    assert f"has the most loops ({loops.max():.2f})" in found.text
    two = answers.overview(make_trace(loops=((1, 2), (4, 3))))
    assert two.text.startswith(
        "On average a token passes the FFN 2.50 times per layer, of at most 4; with the experts it costs "
    )
    assert "Layer 1 has the most loops (3.50) and layer 0 the fewest (1.50). “" in two.text


def test_halves_of_a_long_text_are_compared_beside_other_ways_to_cut_it():
    rng, low = np.random.default_rng(3), np.repeat([3, 2], 30)
    step = make_trace(loops=np.tile(low, (2, 1)))
    found, said = halves(step), answers.overview(step)
    assert (found.first, found.second, found.start, found.differ) == (3, 2, 30, True)
    assert (
        "The first half takes 3.00 loops and the second, from “e” (token 30) on, 2.00: beyond chance (halves"
        in said.text
    )
    assert said.links[-1].token == 30
    added = make_trace(loops=np.tile(np.r_[4, low], (2, 1)), special=[True] + [False] * 60)
    assert halves(added).start == 31 and halves(added).first == 3, "what the tokenizer added counts nowhere"
    assert halves(make_trace(loops=[[1] * 39])) is None and "half" not in answers.overview(make_trace()).text
    unlike = [halves(make_trace(loops=rng.integers(1, 5, (3, 61)))).differ for _ in range(400)]
    assert 0.01 < np.mean(unlike) < 0.08, "of unrelated tokens one text in twenty differs"


def test_gate_and_cost_say_what_their_tables_hold():
    trace = TRACES["ordinary"]
    by_layer = gate_table(trace).groupby("layer")["gate"].mean()
    found = answers.gate(trace)
    assert f"Layer {by_layer.idxmax()} gives the experts the most weight ({by_layer.max():.2f})" in found.text
    assert f"{(~trace.width_ran).mean():.0%} of {trace.loops.size} pairs" in found.text
    lead, led = (by_layer < 0.5).sum(), (by_layer > 0.5).sum()
    assert f"The loops lead in {lead} of {len(by_layer)} layers, the experts in {led or 'none'}" in found.text
    level = answers.gate(make_trace(loops=((2, 2), (1, 2), (4, 3))))
    assert "The loops lead in 1 of 3 layers, the experts in 1, and both weigh alike in 1. Layer 1" in level.text
    total = cost_ledger(trace).query("design == 'VersatileFFN'").set_index("account")["total"]
    nominal = cost_by_layer(trace).query("account == 'nominal'").set_index("layer")["ffn_equivalents"]
    found = answers.cost(trace)
    assert f"costs {total['nominal']:.2f} times" in found.text and f"runs {total['ours']:.2f}" in found.text
    assert f"Layer {nominal.idxmax()} costs the most ({nominal.max():.2f})" in found.text


def test_experts_names_the_largest_load_and_what_an_even_one_is():
    trace = TRACES["ordinary"]
    load = expert_load(trace)
    largest = load.loc[load["share"].idxmax()]
    found = answers.experts(trace, VIEW)
    assert (found.links[1].layer, found.links[1].expert) == (largest["layer"], largest["expert"])
    assert f"has {largest['share']:.0%} of " in found.text and "an even share is 12.5%" in found.text
    here = load[load["layer"] == VIEW.layer]
    assert f"has the largest share ({here['share'].max():.0%}) and" in found.text
    few = make_trace(loops=np.ones((1, 9), int), num_experts=8, expert_ids=np.tile([2, 5], (1, 9, 1)))
    assert answers.experts(few).text.endswith("largest share (50%); 6 of the 8 experts served no token.")


def test_uneven_load_is_called_possible_by_chance_where_choices_are_even_and_only_there():
    rng, said = np.random.default_rng(0), []
    for _ in range(60):
        ids = rng.random((4, 40, 8)).argsort(axis=-1)[..., :2]
        even = make_trace(loops=np.ones((4, 40), int), num_experts=8, expert_ids=ids)
        said.append("could reach this by chance" in answers.experts(even).text)
    assert np.mean(said) > 0.9
    assert "by chance" not in answers.experts(make_trace(loops=np.ones((4, 40), int))).text


def test_difficulty_calls_a_correlation_chance_unless_it_is_beyond():
    trace = TRACES["ordinary"]
    assert "difficulty are more surprising than chance explains (ρ = " in answers.difficulty(trace).text
    order = np.random.default_rng(1).permutation(np.arange(1, trace.num_tokens))
    shuffled = replace(trace, logprob=trace.logprob[np.concatenate([[0], order])])
    assert "correlate no more than by chance (ρ = " in answers.difficulty(shuffled).text
    assert "too few" in answers.difficulty(random_trace(tokens=8)).text


def test_recursion_counts_loops_ties_and_near_misses():
    found = answers.recursion(make_trace(loops=[[1, 2, 2, 4], [2, 2, 2, 4]]))
    assert found.text.startswith(
        "2 loops ran most often, in 62% of 8 pairs of token and layer, and all 4 ran in 25%. “d” "
    )
    assert "0% of the choices were near misses" in found.text
    assert "“a” and 1 other looped most (3.00," in answers.recursion(make_trace(loops=[[3, 3, 1]])).text


def test_near_misses_counts_the_table_and_names_the_closest():
    trace = TRACES["ordinary"]
    table = near_miss_table(trace)
    found = answers.near_misses(trace)
    closest = table.loc[table["loops_margin"].idxmin()]
    assert found.text.startswith(f"{table['loops_near_miss'].sum()} of {len(table)} choices")
    assert (found.links[0].layer, found.links[0].token) == (closest["layer"], closest["token"])
    other = replace(trace, loops=np.where(trace.loops == 1, 2, trace.loops))
    twice = answers.near_misses(trace, precisions=TwoPrecisions(trace, other))
    assert twice.text.endswith(f" In bfloat16, {(trace.loops == 1).sum()} of the {trace.loops.size} choices change.")


def test_walkthrough_tells_loops_gate_and_experts_or_that_none_ran():
    trace = make_trace(loops=((1, 2), (4, 3)))
    text = "In layer 0 the FFN ran 2 times for “b”; that choice won by 20.00 logits. With λ = 0.50 the experts "
    text += "weigh 50% in the mixture, the loops the rest. Expert 0 (75%) and expert 1 (25%) share that weight."
    text += " From layer 0 to layer 1 it took 2 and 3 loops."
    assert answers.walkthrough(trace, View(layer=0, token=1)).text == text
    none_ran = "and no expert ran. From layer 0 to layer 1 it took 1 and 4 loops."
    assert answers.walkthrough(trace, View(layer=1)).text.endswith(none_ran)
    forced = replace(trace, loops=np.full((2, 2), 3))
    assert ", although the depth head preferred 4." in answers.walkthrough(forced, View(layer=1)).text


def test_write_ledger_names_the_largest_write_of_the_table():
    paths = make_paths(TRACES["ordinary"])
    for layer in range(8):
        found = answers.write_ledger(paths, View(layer=layer, token=5))
        table = ledger_table(paths).query(f"layer == {layer} and token == 5 and ran")
        largest = table.loc[table["share"].idxmax()]
        assert found.text.startswith(f"In layer {layer}, {largest['write']} wrote the largest part")
        experts = table.loc[table["write"].str.startswith("expert"), "share"].sum()
        assert found.text.endswith(f"the experts {share(experts)}." if experts else "and no expert ran.")
    for token in range(0, 57, 7):
        made = make_attribution(paths, token)
        found = answers.write_ledger(paths, View(layer=2, token=token), prediction=made)
        writes = made.table.assign(layer=made.table["layer"].replace(-1, np.nan))
        best = writes.loc[writes["contribution"].idxmax()]
        kind, layer = (writes.groupby(each)["contribution"].sum() for each in ("kind", "layer"))
        of = {"loop": "loops", "expert": "experts", "attention": "attention", "embedding": "embedding"}
        value = number(made.direction.value, signed=True)
        first = f"{of[kind.idxmax()]} {number(kind.max(), signed=True)}, "
        assert f" The logit of “<i>$x$” over “b” is {value} in all: {first}" in found.text
        assert (
            f"The layer that adds most is layer {layer.idxmax():.0f} ({number(layer.max(), signed=True)}). "
            in found.text
        )
        single = "the embedding" if best["kind"] == "embedding" else f"{best['write']} of layer {best['layer']:.0f}"
        assert f"The write that adds most is {single} ({number(best['contribution'], signed=True)}), and " in found.text
        here = made.table.query("layer == 2").set_index("write")["contribution"]
        most = f", and in layer 2 it is {here.idxmax()} ({number(here.max(), signed=True)})."
        assert found.text.endswith(most if here.max() > 0 else ", and all writes of layer 2 lower it.")
    assert "logit" not in answers.write_ledger(paths, VIEW, prediction=replace(made, allowed=-1.0)).text
    broken = replace(paths, resid_post=paths.resid_post + 1)
    assert answers.write_ledger(broken, VIEW).text.startswith("Not drawn: the writes differ")


def test_lens_counts_exits_that_would_change_the_prediction():
    trace = TRACES["ordinary"]
    lens = make_lens(trace, 5)
    still = answers.recursion_lens(lens, VIEW)
    took = int(trace.loops[2, 5])
    assert took > 1 and still.text.startswith("After “scope” the model predicts “<b>” (")
    assert f"Had this token left layer 2 after one loop instead of {took}, the model would still predict “<b>” (" in (
        still.text
    )
    layer, token = np.argwhere(trace.loops == 1)[0].tolist()
    anyway = answers.recursion_lens(make_lens(trace, token), View(layer, token))
    assert "this token took one loop, so leaving after one changes nothing." in anyway.text
    ids = np.full_like(lens.top_ids, 7)
    assert answers.recursion_lens(replace(lens, top_ids=ids), VIEW).text.endswith("none would change the prediction.")
    ids = lens.top_ids.copy()
    ids[lens.of(OUTPUT)[:3], 0] = 7  # the first three layers would say another token
    other = lens.of(EXIT)[(lens.layer[lens.of(EXIT)] == 4) & ~lens.used[lens.of(EXIT)]]
    ids[other[:2], 0] = 7
    moved = answers.recursion_lens(replace(lens, top_ids=ids), View(layer=4, token=5))
    assert "would predict “<b>” (" in moved.text or trace.loops[4, 5] == 1
    assert "from the output of layer 3 on" in moved.text
    assert moved.text.endswith("2 would change the prediction, most often in layer 4 (2 of 3).")
    one = make_lens(trace, 5, exits=(4,))
    one = replace(one, top_ids=ids[(lens.kind != EXIT) | (lens.layer == 4)])
    alone = answers.recursion_lens(one, View(layer=4, token=5))
    assert alone.text.endswith(" Of 3 other exits from layer 4, 2 would change the prediction.")
    assert "Had this token left" not in answers.recursion_lens(one, VIEW).text  # of layer 2 it has no exits
    assert answers.recursion_lens(make_lens(trace, 5, exits=()), VIEW).text.rstrip().endswith(" on.")


def test_geometry_gives_the_mean_of_the_table_beside_the_dealt_one():
    paths = make_paths(TRACES["ordinary"])
    rows = cosine_table(paths).query("layer == 2").dropna()
    own, dealt = rows["cosine_of_writes"].mean(), rows["cosine_of_writes_dealt"].mean()
    text = answers.geometry(paths, VIEW).text
    assert f"have a mean cosine of {number(own)} for {len(rows)} tokens" in text
    assert f"the experts of another one, it would be {number(dealt)}: only the difference is about" in text


def test_attention_names_what_was_read_most():
    read = make_attention(TRACES["ordinary"], 20)
    mean = attention_table(read).query("layer == 2").groupby("read_token")["weight"].mean()
    found = answers.attention(read, View(layer=2, token=20))
    assert [link.token for link in found.links] == [None, 20, mean.idxmax()]
    assert f"({share(mean.max())} of the attention, mean over heads)" in found.text
    first = answers.attention(make_attention(TRACES["ordinary"], 0), View(layer=2))
    assert first.text.endswith("could attend only to itself, because it is the first token.")


def test_models_and_prompts_say_what_was_not_measured_and_what_is_short():
    trace = TRACES["ordinary"]
    assert "has not been checked yet" in answers.models(trace).text
    found = [Check(name, status, "", "") for name, status in (("all loops in use", "sick"), ("weights", "healthy"))]
    checked = answers.models(trace, checks=found)
    assert checked.text.endswith("The health check calls it sick, since it failed 1 of 2 checks: “all loops in use”.")
    found = answers.prompts(summary_table(SUMMARIES))
    assert found.text.startswith("Of 2 traced prompts, “<b>$x$</b>” has the highest soft difficulty (0.70,")
    assert found.text.endswith("The shorter one has only 4 tokens, and means of short texts scatter more.")
    assert answers.prompts(summary_table(SUMMARIES[1:])).text.startswith("1 of 2 prompts traced")


def test_prompts_name_the_leading_group_its_size_and_whether_it_is_beyond_chance():
    rng, kinds = np.random.default_rng(0), ["verse", "sums", "talk"] * 10

    def said(difficulties, groups=kinds) -> str:
        rows = [(f"p{i}", "", PromptSummary(30, float(d), 0.4, 0.1, 3.0)) for i, d in enumerate(difficulties)]
        return answers.prompts(summary_table(rows, {"kind": groups[: len(rows)]}), column="kind").text

    noise = rng.normal(0.4, 0.02, 30)
    lifted = noise + 0.05 * (np.array(kinds) == "sums")
    assert re.match(
        r"By kind, “sums” has the highest mean difficulty: 0\.4\d, n = 10 \(beyond chance, p = 0\.001\)\. Its lead "
        r"over “\w+” \(0\.\d+, n = 10\) is beyond chance, p = 0\.001, and “\w+” is lowest \(0\.\d+, n = 10\)\. Of 30 ",
        said(lifted),
    )
    lifted += 0.05 * (np.array(kinds) == "talk")
    both = said(lifted)
    assert re.search(
        r"\(beyond chance, p = 0\.0\d+\)\. Its lead over “\w+” \(0\.45, n = 10\) is within chance, p = 0\.", both
    )
    assert "“verse” is lowest" in both and "lowest" not in said(noise[:8], ["a", "b"] * 4).split("Of 8")[0]
    assert "not tested against chance: this takes 5 traced prompts" in said([0.1, 0.2, 0.3])
    assert said([0.1, 0.2, 0.3], ["one"] * 3).startswith("Of 3 traced prompts")
    p = [deal_p(tuple(rng.normal(size=12)), tuple(kinds[:12])) for _ in range(150)]
    assert np.mean(np.array(p) < 0.05) < 0.09, "unrelated groups lead beyond chance in one list of twenty"
    assert deal_p((3.0, 2.0, 1.0, 0.5, 0.0), tuple("aabbb")) >= 1 / 10, "as small as ten different deals allow"


def test_validity_says_in_words_whether_hard_tokens_are_rare_or_surprising():
    def said(**rho) -> str:
        rows = [{"measure": name, "layer": pd.NA, "rho": value, "p_corrected": p} for name, (value, p) in rho.items()]
        study = SimpleNamespace(texts=31, difficulty_validity={"soft": pd.DataFrame(rows)})
        return answers.validity(study).text

    surprise = {"surprisal_read": (-0.22, 0.01), "surprisal_read_given_frequency": (-0.1, 0.01)}
    assert said(**surprise, frequency=(0.2, 0.01), position=(0.1, 0.01)) == (
        "Over 31 texts, tokens of higher difficulty are less surprising (ρ = −0.22, beyond chance; among equally "
        "frequent tokens −0.10, beyond chance) and more frequent (ρ = +0.20, beyond chance). Each ρ is taken within "
        "texts, as a mean over layers."
    )
    other = said(**surprise, frequency=(0.2, 0.5), position=(0.4, 0.01))
    assert "and neither more nor less frequent (ρ = +0.20, within chance)" in other
    assert other.endswith("Difficulty correlates most with the position in the text (ρ = +0.40, beyond chance).")


def test_pages_of_several_texts_test_nothing_with_too_few():
    few = data_of(ANSWERS[answers.validity], "ordinary", View(layer=7, token=56))
    text = answers.validity(few).text
    assert "Over 2 texts" in text and ", not tested: this takes 5 texts" in text
    assert "(not tested: this takes 5 texts)" in answers.what_decides(few).text


def test_answers_of_given_data_are_those_of_its_pages():
    trace = TRACES["ordinary"]
    alone = answers.answers((trace,), VIEW)
    assert set(alone) == {name.__name__ for name, kind in ANSWERS.items() if kind is RoutingTrace}
    more = answers.answers((trace, make_paths(trace)), VIEW)
    assert set(more) - set(alone) == {"write_ledger", "geometry"} and more["gate"] == alone["gate"]
    with pytest.raises(ValueError, match="there is no page 'nowhere'; there are overview, difficulty"):
        answer_of("nowhere", trace)


def test_the_only_token_of_a_text_is_not_compared_with_itself():
    for page in (answers.overview, answers.difficulty):
        found = page(TRACES["one token"])
        assert "The only token, " in found.text and not re.search(r"highest|most loops for|of 1 token", found.text)
