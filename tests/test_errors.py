"""Messages say what, where and how to mend it, all problems at once."""

import pytest

from nssi_bayes.errors import DataError, NssiBayesError, did_you_mean


def test_one_problem_is_one_sentence() -> None:
    error = DataError(
        "3 values are outside 0 to 2", where="phenotype/isas.tsv: isas_01", cure="mend the table"
    )
    assert str(error) == (
        "phenotype/isas.tsv: isas_01: 3 values are outside 0 to 2\n  What to do: mend the table"
    )
    assert isinstance(error, NssiBayesError)


def test_all_problems_are_said_at_once() -> None:
    text = str(DataError(["a is missing", "b is missing"], where="table.tsv"))
    assert text.splitlines() == ["table.tsv: 2 problems", "  - a is missing", "  - b is missing"]


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("sead", ["seed", "study"], "Did you mean 'seed'?"),
        ("zzz", ["b", "a"], "Known: a, b."),
        ("zzz", [], "None is defined."),
    ],
)
def test_a_wrong_name_gets_the_closest_known_one(name: str, known: list[str], hint: str) -> None:
    assert did_you_mean(name, known) == hint
