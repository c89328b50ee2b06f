"""A limit on what may be spent holds before anything is asked for, whoever asks at the same time."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changedet.errors import BudgetError
from changedet.providers.estimates import Budget


@given(st.floats(0, 20), st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=8))
def test_the_limit_is_never_passed_and_what_is_refused_costs_nothing(limit, wishes):
    budget = Budget(limit, "paid")
    for units, after in wishes:
        before = budget.spent
        try:
            budget.spend(units, needed_after=after)
        except BudgetError:
            assert before + units + after > limit
            assert budget.spent == before
        else:
            assert budget.spent == before + units <= limit - after


def test_what_is_refused_is_told():
    budget = Budget(10.0, "paid")
    budget.spend(8.0)
    budget.require(2.0)
    with pytest.raises(BudgetError) as caught:
        budget.require(2.5)
    assert str(caught.value) == (
        "paid: this would take 10.5 processing units in all, and the limit is 10; "
        "raise the limit (--max-pu), or choose a smaller site or fewer bands"
    )
    assert caught.value.details == {"processing_units": 10.5, "max_processing_units": 10.0}
    assert budget.spent == 8.0


def test_what_was_not_asked_for_in_the_end_is_free_again():
    budget = Budget(10.0, "paid")
    budget.spend(10.0)
    budget.correct(-4.0)
    budget.spend(4.0)
    assert budget.spent == 10.0


def test_without_a_limit_everything_is_counted():
    budget = Budget(None, "paid")
    budget.spend(1e9, needed_after=1e12)
    assert budget.spent == 1e9


def test_many_at_one_time_do_not_pass_the_limit():
    budget = Budget(50.0, "paid")

    def spends(_):
        try:
            budget.spend(1.0, needed_after=9.0)
        except BudgetError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(spends, range(200))) == 41
    assert budget.spent == 41.0
