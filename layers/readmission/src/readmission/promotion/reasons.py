"""The codes of the reasons in the ledger, for programs that word a reason themselves, such as the Spanish pages."""

from typing import Literal

type Code = Literal[
    # promoted
    "first",
    "real_over_synthetic",
    "previous_unusable",
    "previous_gone",
    "returned",
    "better",
    "newer",
    # refused
    "synthetic_over_real",
    "rolled_back_before",
    "unusable",
    "miscalibrated",
    "not_better",
    "worse_in_subgroups",
    "other_sites",
    "broke_off",
    "withdrawn_before",
    # rolled back; shadowed and withdrawn too
    "by_hand",
    # canaried; promoted after it
    "shadow_passed",
    "canary_passed",
    # withdrawn
    "broken",
    "slow",
    "constant",
    "shifted",
    "worse",
    "superseded",
    "overtaken",
]
