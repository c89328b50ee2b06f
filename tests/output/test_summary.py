"""What a terminal says of a result: how the candidates are ordered, and how many there are of each kind."""

from dataclasses import replace

from tests.synthetic import make_result

from changedet.output import facts
from changedet.output.summary import MOST_LISTED, kinds_text, result_text


def with_kinds(*kinds):
    result = make_result()
    objects = result.objects.iloc[[0] * len(kinds)].assign(kind=list(kinds), id=range(1, len(kinds) + 1))
    return replace(result, objects=objects.reset_index(drop=True))


def test_kinds_are_counted_and_the_most_frequent_comes_first():
    assert (
        kinds_text(with_kinds("water change", "demolition", "demolition")) == "demolition 2, water change 1"
    )
    assert kinds_text(with_kinds()) == ""


def test_the_list_says_how_it_is_ordered_and_what_it_holds():
    result = with_kinds("vegetation change", "new construction", "new construction")
    lines = result_text(result).splitlines()
    heading = facts.ORDER_BY_SCORE if result.construction is None else facts.ORDER_BY_CONSTRUCTION
    said = f"  {heading[0]} (consistent with new construction 2, vegetation change 1):"
    assert lines[lines.index(said) + 1].startswith("  1 | consistent with vegetation change")
    assert MOST_LISTED >= 3


def test_without_candidates_nothing_is_said_of_their_order():
    assert "Candidates, " not in result_text(with_kinds())
