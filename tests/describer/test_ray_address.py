"""Addresses of Ray clusters that nothing answers at, without Ray."""

from __future__ import annotations

import pytest

from kindred.describer import on_ray
from kindred.errors import ServerError


@pytest.mark.parametrize(("address", "why"), [("ray://127.0.0.1:1", "refused"), ("ray://127.0.0.1:99999", "no port")])
def test_a_cluster_that_is_not_there_is_not_waited_for(address: str, why: str) -> None:
    """Ray is not asked at all, which would try for half a minute: the object has no `init`."""
    with pytest.raises(ServerError, match=f"executor {address}: its cluster cannot be used .*{why}"):
        on_ray._connect(object(), address)
