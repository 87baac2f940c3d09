"""Series selectors: read, written and meant as PromQL means them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.errors import InvalidInput
from resources.monitoring.selector import NAME, Matcher, Selector, one_of, parse_selector, quoted

labels = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,10}", fullmatch=True).filter(lambda name: name != NAME)
texts = st.text(max_size=30)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("up", "up"),
        ("up{}", "up"),
        (" up { a = \"b\" , c!~'d' , } ", 'up{a="b",c!~"d"}'),
        ('{__name__="up"}', "up"),
        ('{__name__=~"a|b",x="y"}', '{__name__=~"a|b",x="y"}'),
        ("job:rate:sum", "job:rate:sum"),
        ("up{a=`raw\\n`}", 'up{a="raw\\\\n"}'),
        (r'up{a="\x41\u00e9\101\t"}', 'up{a="AéA\t"}'),
    ],
)
def test_a_selector_is_read_and_written_again(text, written):
    assert str(parse_selector(text)) == written
    assert str(parse_selector(written)) == written


@pytest.mark.parametrize(
    "text",
    ["", " ", "{}", "rate(up[5m])", "up[5m]", "up offset 5m", "up{a}", 'up{a="b" c="d"}', 'up{a="b}', 'up{a=~"("}',
     'up{1a="b"}', "up{a=b}", '{a=~".*"}', '{a=""}', '{a!="b"}', 'up{a="\\q"}', "up}{", 'up{a=="b"}', "a b"],
)  # fmt: skip
def test_anything_else_is_refused_by_its_text(text):
    """Stops an expression, or a selector of everything, from being sent to a server."""
    with pytest.raises(InvalidInput, match="is not a series selector"):
        parse_selector(text)


def test_a_very_long_selector_is_refused():
    with pytest.raises(InvalidInput, match="too long"):
        parse_selector("a" * 20_000)


@given(labels, texts)
def test_any_value_survives_being_written(label, value):
    """Stops a label value with quotes, backslashes, braces or line ends from ending its quotes."""
    selector = Selector((Matcher(NAME, "=", "up"), Matcher(label, "=", value)))
    assert parse_selector(str(selector)) == selector
    assert selector.matches("up", {label: value})
    assert not selector.matches("up", {label: value + "x"})


@given(st.lists(texts.filter(bool), min_size=1, max_size=5), texts)
def test_one_of_means_just_those_values(values, other):
    """Stops a VM id with a dot or a bar from selecting other VMs."""
    matcher = one_of("vm_id", values)
    assert all(matcher.matches(value) for value in values)
    assert matcher.matches(other) == (other in values)
    assert parse_selector(str(Selector((Matcher(NAME, "=", "up"), matcher)))).matchers[1] == matcher


@pytest.mark.parametrize(
    ("condition", "value", "meant"),
    [
        ('a="b"', "b", True), ('a="b"', "", False), ('a!="b"', "", True), ('a!="b"', "b", False),
        ('a=~"b|c"', "c", True), ('a=~"b"', "bb", False), ('a=~"b.*"', "b\nc", True), ('a!~"b.*"', "bc", False),
        ('a=~""', "", True), ('a=""', "", True),
    ],
)  # fmt: skip
def test_conditions_mean_what_they_mean_to_prometheus(condition, value, meant):
    """Stops an unanchored expression, and a label that is absent from being unlike an empty one."""
    assert parse_selector(f"up{{{condition}}}").matches("up", {"a": value} if value else {}) is meant


@pytest.mark.parametrize(
    ("expression", "value", "meant"),
    [
        ("[[:alpha:]]+1", "abc1", True), (r"\pL+", "é", True), (r"\d+", "٣", False), (r"\w", "é", False),
        (r"\Qa.b\E", "a.b", True), (r"\Qa.b\E", "axb", False), ("(?i)web", "WEB", True), (r"a\z", "a", True),
        ("a{,3}", "aa", False), ("a{,3}", "a{,3}", True),
    ],
)  # fmt: skip
def test_expressions_are_those_of_the_servers(expression, value, meant):
    """Stops an expression that Prometheus understands from being refused here, or from meaning something else."""
    assert (
        parse_selector(str(Selector((Matcher(NAME, "=", "up"), Matcher("a", "=~", expression))))).matches(
            "up", {"a": value}
        )
        is meant
    )


@pytest.mark.parametrize("expression", [r"(?=a)b", r"(a)\1", "(?<!a)b"])
def test_expressions_that_no_server_knows_are_refused(expression):
    """Stops a selector from working on imported traces and failing on a server."""
    with pytest.raises(InvalidInput, match="is wrong"):
        parse_selector(f"up{{a=~{quoted(expression)}}}")


def test_a_hostile_expression_takes_no_time():
    """Stops a pipeline's selector from keeping a worker busy for ever."""
    selector = parse_selector('up{a=~"(a+)+b"}')
    assert not selector.matches("up", {"a": "a" * 50_000})
