from jessy_build import parted


def test_the_caret_stands_under_the_first_letter_that_differs() -> None:
    shown = parted.shown(("training", "şu\nbir"), ("Ollama", "şu\n bir")).splitlines()
    assert shown == ["  training  şu\\nbir", "  Ollama    şu\\n bir", "                ^"]


def test_a_text_that_ends_early_says_so() -> None:
    one, other, caret = parted.shown(("a", "same"), ("b", "same and more")).splitlines()
    assert one.endswith("same(ends here)") and other.endswith("same and more")
    assert caret.index("^") == one.index("(ends")


def test_only_the_surroundings_of_a_long_text_are_shown() -> None:
    long = "x" * 500
    one, other, caret = parted.shown(("a", long + "1" + long), ("b", long + "2")).splitlines()
    assert len(one) < 90 and one[caret.index("^")] == "1" and other[caret.index("^")] == "2"


def test_tokens_are_parted_by_bars() -> None:
    ours, theirs = ["mer", "haba", " dünya"], ["mer", "hab", "a", " dünya"]
    one, other, caret = parted.pieces(("training", ours), ("GGUF", theirs)).splitlines()
    assert "mer|haba| dünya" in one and "mer|hab|a| dünya" in other
    assert caret.index("^") == one.index("haba")


def test_far_behind_the_beginning_the_last_few_tokens_are_shown() -> None:
    ours = [f"t{n}" for n in range(100)]
    one, _, caret = parted.pieces(("a", ours), ("b", [*ours[:60], "x"])).splitlines()
    assert "…t56|t57|t58|t59|t60" in one and one[caret.index("^") :].startswith("t60")
