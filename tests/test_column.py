"""An array that grows."""

import numpy as np

from nbtune.column import Column


def test_what_was_never_set_is_the_fill():
    column = Column(np.int32, -1)
    column[3] = 7

    assert column.first(5).tolist() == [-1, -1, -1, 7, -1]


def test_a_view_stays_while_the_column_grows():
    column = Column(np.float64, np.nan)
    column[0] = 1.0
    before = column.first(1)

    column[100_000] = 2.0
    column[0] = 3.0

    assert before.tolist() == [1.0]
    assert (column[0], column[100_000]) == (3.0, 2.0)


def test_a_row_holds_several_values():
    column = Column(np.float64, 0.0, width=2)
    column[70] = [1.0, 2.0]

    assert column.first(71)[70].tolist() == [1.0, 2.0]
    assert column.first(71).shape == (71, 2)


def test_a_copy_of_more_than_there_is_leaves_the_column_as_it_is():
    column = Column(np.float64, -1.0, width=2)
    column[0] = [1.0, 2.0]
    view = column.first(1)

    copied = column.copy(1000)
    view[0] = [3.0, 4.0]  # as another thread may, whose array must not have been replaced

    assert copied.shape == (1000, 2)
    assert copied[:2].tolist() == [[1.0, 2.0], [-1.0, -1.0]]
    assert column[0].tolist() == [3.0, 4.0]
    assert column.copy(1).tolist() == [[3.0, 4.0]]
