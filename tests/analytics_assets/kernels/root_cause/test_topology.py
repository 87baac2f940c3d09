from analytics_assets.kernels.root_cause.topology import dependencies, distances, members


def test_loops_and_doubled_edges_end():
    edges = [("a", "b"), ("b", "c"), ("c", "a"), ("a", "b"), ("b", "b"), ("x", "a")]
    depends_on = dependencies(edges)
    assert depends_on == {"a": ("b",), "b": ("c",), "c": ("a",), "x": ("a",)}
    assert distances(depends_on, "a") == {"a": 0, "b": 1, "c": 2}


def test_the_shortest_way_counts():
    depends_on = dependencies([("a", "b"), ("b", "c"), ("a", "c"), ("c", "d")])
    assert distances(depends_on, "a") == {"a": 0, "b": 1, "c": 1, "d": 2}
    assert distances(depends_on, "lonely") == {"lonely": 0}


def test_members_are_all_that_an_edge_names():
    assert members(dependencies([("a", "b"), ("b", "c"), ("alone", "alone")])) == {"a", "b", "c"}
