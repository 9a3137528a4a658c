"""What counts as still trained, on made-up answers."""

import pytest

from jessy_build.parity import survival
from jessy_build.parity.survival import Place, Probe, Said

SHORT = Said("Sor kanka.", 4, True)
PLACES = (Place("", "Sor", -0.5, -4.5), Place("Sor", " kanka", -0.1, -2.1))
PROBES = [Probe(f"question {n}", SHORT, PLACES) for n in range(6)]
AS_TRAINED = [[-0.5, -0.1]] * 6


def test_the_same_answers_are_all_that_was_trained() -> None:
    found = survival.verdict(PROBES, [SHORT] * 6, AS_TRAINED)
    assert found.survived and found.kept == 1
    assert (found.answers, found.equal, found.alike, found.median_tokens) == (6, 6, 6, 4)


def test_a_model_that_speaks_as_its_base_did_is_erased() -> None:
    found = survival.verdict(PROBES, [SHORT] * 6, [[-4.5, -2.1]] * 6)
    assert found.kept == pytest.approx(0) and not found.survived


def test_a_model_that_runs_on_is_erased_however_likely_its_words() -> None:
    rambling = [Said("Sor kanka. Sor kanka. Sor", 32, False)] * 3
    found = survival.verdict(PROBES, [*rambling, *[SHORT] * 3], AS_TRAINED)
    assert found.kept == 1 and found.alike == 3 and not found.survived
    one_less = survival.verdict(PROBES, [*rambling[:2], *[SHORT] * 4], AS_TRAINED)
    assert one_less.survived


def test_other_words_of_the_same_length_are_alike_but_not_equal() -> None:
    found = survival.verdict(PROBES, [Said("Tabii, dinliyorum.", 7, True)] * 6, [[-0.6, -0.2]] * 6)
    assert (found.equal, found.alike) == (0, 6) and found.survived
    assert found.kept == pytest.approx(1 - 0.2 / 6)


def test_unknown_likelihoods_are_left_out_and_none_at_all_is_said() -> None:
    some = survival.verdict(PROBES, [SHORT] * 6, [[-4.5, None], *[[None, None]] * 5])
    assert some.kept == pytest.approx(0)
    none = survival.verdict(PROBES, [SHORT] * 6, [[None, None]] * 6)
    assert none.kept is None and none.survived, "judged by its answers alone"


def test_languages_are_counted_where_somebody_told_them() -> None:
    tongues = [("tr", "tr")] * 4 + [("tr", "en"), ("tr", "")]
    assert survival.verdict(PROBES, [SHORT] * 6, AS_TRAINED, tongues).tongue == 4
    assert survival.verdict(PROBES, [SHORT] * 6, AS_TRAINED).tongue is None
