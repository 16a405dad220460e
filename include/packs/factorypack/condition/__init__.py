"""Predictive maintenance: from hours of steady production to alerts that people act on.

    fct_asset_hour ─> train ─> score ─> confirm ─> alerts ─> acknowledged, closed, labelled by people

A **baseline** is what a station's drive showed after its last renewal, product by product: its first hours of steady
production. Each **method** learns from these hours alone what it calls usual, and draws its limit from them and from
one number, how often it may be wrong (`Rules.false_alarm_every_h`). No limit is ever chosen on labels: failures are
known to the benchmark and to people, never to this code.

A pack that has a folder of this name is scored: `MART` names the mart whose publishing starts it, and `run` has the
steps `tell`, `train`, `score` and `alert`.
"""

MART = "fct_asset_hour"
