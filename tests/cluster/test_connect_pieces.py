"""What is composed for Kafka Connect, as far as that can be seen without it."""

import re

import pytest

from include.land import connect, kafka, sink

pytestmark = pytest.mark.platform


def test_the_topics_of_tables_become_one_and_no_other_topic_does():
    together = re.compile(sink.source_overrides("s", 1)["transforms.together.regex"])

    assert together.fullmatch("hnai.s.1.public.orders")
    for other in (
        kafka.transactions_topic("s", 1),
        "__debezium-heartbeat.hnai.s.1",
        "hnai.s.12.public.t",
        "hnai.s.1.m",
    ):
        assert not together.fullmatch(other)


@pytest.mark.parametrize(
    ("route", "targets"),
    [("s__t", {"raw.s__t"}), ("s__t+", {"raw.s__t", "quarantine.s__t"}), ("s__t!", {"quarantine.s__t"})],
)
def test_a_row_goes_where_its_route_says_and_to_no_table_of_a_longer_name(route, targets):
    routes = sink.routes(["s__t", "s__t2", "s__other"])

    assert {table for table, regex in routes.items() if re.fullmatch(regex, route)} == targets


def test_nothing_of_two_epochs_has_the_same_name():
    names = [
        {of("s", epoch) for of in (kafka.changes_topic, kafka.transactions_topic, kafka.control_topic, kafka.group)}
        for epoch in (1, 2)
    ]

    assert len(names[0]) == 4 and not names[0] & names[1]


def test_a_trace_is_told_without_the_places_in_java_that_it_passed():
    trace = "ConnectException: Tolerance exceeded\n\tat a.X.y(X.java:1)\nCaused by: the reason\n\t... 3 more\n"

    assert connect._told(trace) == "ConnectException: Tolerance exceeded\nCaused by: the reason"
