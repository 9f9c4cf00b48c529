"""Writes ledgerctl/core/currencies.py from the official ISO 4217 list in the development dependency `iso4217`.

Run `python tools/generate_currencies.py` after raising that dependency, and read the difference before it is committed:
a code that vanishes from the list keeps its place in every ledger that has it.
"""

from __future__ import annotations

from pathlib import Path

import iso4217

TARGET = Path(__file__).parents[1] / "ledgerctl" / "core" / "currencies.py"

HEADER = '''\
"""How many decimals each currency has, by ISO 4217 list one as published on {published}.

Written by `python tools/generate_currencies.py`; do not edit. The list is data of its day: a ledger takes its
currencies from it once and keeps them in the database, beside the custom ones (points, coins) that ISO does not know.

Left out are the entries whose minor unit ISO gives as "N.A." ({without}):
metals, bonds, units of account, the code for tests and the one for no currency. They have no number of decimals that a
table could state; a ledger that needs one of them adds it as a custom currency and chooses the decimals itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

EXPONENTS: Final[Mapping[str, int]] = {{
{rows}
}}
'''


def render() -> str:
    """The module's whole text."""
    # Places without a currency of their own (Antarctica) stand in the list with no code.
    units = {code: str(entry["CcyMnrUnts"]) for code, entry in iso4217.raw_table.items() if code}
    codes = sorted(units)
    return HEADER.format(
        published=iso4217.__published__.isoformat(),
        without=" ".join(code for code in codes if units[code] == "N.A."),
        rows="\n".join(f'    "{code}": {int(units[code])},' for code in codes if units[code] != "N.A."),
    )


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8", newline="\n")
