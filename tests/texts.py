"""Texts of any length that do not repeat themselves, for models that write much."""


def numbers(size: int) -> str:
    """Return `size` characters: numbers, each but once."""
    return " ".join(f"{number:08}" for number in range(size // 9 + 1))[:size]
