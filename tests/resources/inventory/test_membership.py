"""Whose a machine is: never a guess, and never another tenant's."""

from itertools import permutations

import pytest

from resources.inventory.membership import Machine, TenantVm, attribute, portions


def vm(vm_id: str, name: str = "", *nodes: str) -> TenantVm:
    return TenantVm(vm_id, name, frozenset(nodes))


def owned(machines, vms, strangers=(), tenant="acme"):
    found = attribute(machines, tenant, vms, lambda names: [one for one in strangers if one.vm_name in names])
    return {(machine.uuid, machine.name): vm_id for machine, vm_id in found.items()}


def test_a_uuid_decides_before_a_name():
    machines = [Machine("u1", "web"), Machine("u2", "u1"), Machine("u9", "other")]
    assert owned(machines, [vm("u1", "db"), vm("v2", "web")]) == {("u1", "web"): "u1"}


def test_a_name_joins_where_only_one_vm_has_it():
    assert owned([Machine("u1", "web"), Machine("", "db")], [vm("v1", "web"), vm("v2", "db")]) == {
        ("u1", "web"): "v1",
        ("", "db"): "v2",
    }
    assert owned([Machine("u1", "web")], [vm("v1", "web"), vm("v2", "web")]) == {}
    assert owned([Machine("u1", "")], [vm("v1", "")]) == {}


def test_two_machines_of_one_name_are_nobodys():
    """Stops the size of another host's machine from being taken because it was reported first."""
    assert owned([Machine("u1", "web"), Machine("u2", "web")], [vm("v1", "web")]) == {}
    assert owned([Machine("", "web", "n1"), Machine("", "web", "n2")], [vm("v1", "web")]) == {}
    assert len(owned([Machine("u1", "web", "n1"), Machine("u1", "web", "n2")], [vm("v1", "web")])) == 1
    assert owned([Machine("u2", "web"), Machine("v1", "x")], [vm("v1", "web")]) == {("v1", "x"): "v1"}


def test_a_name_that_another_tenant_uses_too_is_nobodys():
    """Stops a tenant from being shown the size of another tenant's VM of the same name."""
    mine, theirs = vm("v1", "web"), vm("x1", "web")
    assert owned([Machine("u1", "web")], [mine], [theirs]) == {}
    assert owned([Machine("u1", "web")], [mine], [vm("x1", "db")]) == {("u1", "web"): "v1"}


def test_nodes_tell_machines_of_one_name_apart():
    mine, theirs = vm("v1", "web", "n1"), vm("x1", "web", "n2")
    machines = [Machine("u1", "web", "n1"), Machine("u2", "web", "n2")]
    assert owned(machines, [mine], [theirs]) == {("u1", "web"): "v1"}
    assert owned(machines, [vm("v1", "web", "n1"), vm("v2", "web", "n2")]) == {("u1", "web"): "v1", ("u2", "web"): "v2"}
    assert owned([Machine("u2", "web", "n2")], [mine]) == {}
    assert owned(machines, [mine], [vm("x1", "web")]) == {}
    assert owned([Machine("u1", "web")], [mine], [theirs]) == {}


def test_a_tenant_label_is_believed_and_another_one_ends_it():
    machines = [
        Machine("u1", "web", "", "acme"),
        Machine("u2", "db", "", "globex"),
        Machine("v3", "x", "", "globex"),
        Machine("", "lonely", "", "acme"),
        Machine("", "", "", "acme"),
    ]
    vms = [vm("v1", "web"), vm("v2", "db"), vm("v3", "x")]
    assert owned(machines, vms, [vm("x", "web")]) == {("u1", "web"): "v1", ("", "lonely"): "lonely"}
    assert owned(machines[:1], [], tenant="acme") == {("u1", "web"): "u1"}


def test_others_are_asked_for_doubtful_names_only():
    """Stops every look from asking a server about all names of the cluster."""
    asked = []
    machines = [Machine("v1", "web"), Machine("u2", "db"), Machine("u3", "x", "", "acme"), Machine("u4", "stranger")]

    def others(names):
        asked.append(list(names))
        return []

    attribute(machines, "acme", [vm("v1", "web"), vm("v2", "db"), vm("v3", "x")], others)
    attribute([Machine("v1", "web")], "acme", [vm("v1", "web")], others)
    assert asked == [["db"]]


def test_the_order_of_the_machines_decides_nothing():
    machines = [Machine("u1", "web"), Machine("u2", "web", "n"), Machine("v2", "db"), Machine("u3", "db")]
    vms = [vm("v1", "web"), vm("v2", "db")]
    assert len({tuple(sorted(owned(order, vms).items())) for order in permutations(machines)}) == 1


@pytest.mark.parametrize("length", [1, 100, 20_000])
def test_names_fit_into_queries(length):
    """Stops a query that is longer than a server takes, and a name that is left out."""
    values = [f"{number:05d}." + "x" * length for number in range(50)]
    parts = portions(values)
    assert [value for part in parts for value in part] == values
    assert all(len(part) == 1 or sum(len(value) + 2 for value in part) <= 11_000 for part in parts)
    assert portions([]) == []
