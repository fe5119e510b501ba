import pytest

from punie.training.data.scripts import known_scripts, script_shares


@pytest.mark.parametrize(
    ("text", "shares"),
    [
        ("", {}),
        ("1 + 2 = 3!", {}),
        ("abc", {"LATIN": 1.0}),
        ("Größe à 5 µm", {"LATIN": 1.0}),
        ("ab где", {"CYRILLIC": 0.6, "LATIN": 0.4}),
        ("列表とx", {"CJK": 0.5, "HIRAGANA": 0.25, "LATIN": 0.25}),
        ("𝐱ｙ", {"LATIN": 1.0}),
        ("λ x", {"GREEK": 0.5, "LATIN": 0.5}),
        ("𐎠a", {"LATIN": 0.5, "OTHER": 0.5}),
    ],
)
def test_shares(text: str, shares: dict[str, float]) -> None:
    assert script_shares(text) == shares
    assert set(shares) <= set(known_scripts())
