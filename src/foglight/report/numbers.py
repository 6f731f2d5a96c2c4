"""How a figure is written: fractions in percent, a dash where there is none, a sign on differences.

A minus is the true sign, not a hyphen, and a difference that rounds to nothing has no sign.
"""

from typing import Final

DASH: Final = "–"
MINUS: Final = "−"


def percent(value: float | None, *, digits: int = 1) -> str:
    """A fraction in percent, without the sign.

    >>> percent(0.57643), percent(None)
    ('57.6', '–')
    """
    return DASH if value is None else plain(100 * value, digits=digits)


def plain(value: float | None, *, digits: int = 3) -> str:
    """A number with that many digits after the point.

    >>> plain(-0.25, digits=1)
    '−0.2'
    """
    if value is None:
        return DASH
    text = f"{value:.{digits}f}"
    # "-0.0" is a zero.
    return text.lstrip("-") if float(text) == 0 else text.replace("-", MINUS)


def signed(value: float | None, *, digits: int) -> str:
    """A difference.

    >>> signed(1.24, digits=1), signed(-1.26, digits=1), signed(-0.01, digits=1), signed(None, digits=1)
    ('+1.2', '−1.3', '0.0', '–')
    """
    text = plain(value, digits=digits)
    return f"+{text}" if value is not None and value > 0 and float(text) != 0 else text


def short(value: float) -> str:
    """Three significant digits, for axes and scales.

    >>> short(0.000123456), short(1234.5), short(20.0)
    ('0.000123', '1.23e+03', '20')
    """
    return f"{value:.3g}".replace("-", MINUS) if value < 0 else f"{value:.3g}"


def count(value: int | None) -> str:
    """Thousands and millions in words that fit a cell.

    >>> count(123456), count(2_500_000), count(950), count(None)
    ('123 k', '2.50 M', '950', '–')
    """
    if value is None:
        return DASH
    if value >= 1_000_000:
        return f"{value / 1e6:.2f} M"
    return f"{value / 1e3:.0f} k" if value >= 10_000 else f"{value}"


def duration(seconds: float | None) -> str:
    """Seconds, minutes or hours.

    >>> duration(0.0123), duration(42.0), duration(600.0), duration(9000.0), duration(None)
    ('0.012 s', '42.0 s', '10.0 min', '2.50 h', '–')
    """
    if seconds is None:
        return DASH
    if seconds < 1:
        return f"{seconds:.3f} s"
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.2f} h"
