"""Spaces of every kind, for tests of properties that hold in each."""

from hypothesis import strategies as st

from nbtune.space import Bool, Choice, Int, LogNormal, Normal, Real, Space


def tanh():
    return "tanh"


@st.composite
def domains(draw, depth=2):
    low = draw(st.integers(1, 50))
    kinds = [
        st.just(Real(low / 7, low * 3.0, log=draw(st.booleans()))),
        st.just(Real(low / 10, low / 10 + 1.0, step=0.1)),
        st.just(Int(low, low + draw(st.integers(1, 400)), log=draw(st.booleans()))),
        st.just(Bool()),
        st.just(Choice("a", None, 1, True, (1, 2), tanh)),
        st.just(Choice("alone")),
        st.just(Normal(0.0, float(low), step=0.5)),
        st.just(LogNormal(0.0, 1.0)),
        st.just("fixed"),
    ]
    if depth:
        kinds.append(spaces(depth=depth - 1))
        kinds.append(
            st.builds(
                lambda one, other: Choice(one | {"kind": 1}, other | {"kind": 2}, "none"),
                spaces(depth=depth - 1),
                spaces(depth=depth - 1),
            )
        )
    return draw(st.one_of(kinds))


@st.composite
def spaces(draw, depth=2):
    names = draw(st.lists(st.sampled_from("abcd"), unique=True, max_size=3))
    return Space({name: draw(domains(depth=depth)) for name in names})
