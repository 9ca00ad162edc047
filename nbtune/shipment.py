"""An objective as it goes to the workers: its payload in the store, and the data that it names."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from nbtune.exceptions import NbtuneError, StoreError
from nbtune.objective import Payload, write_payload
from nbtune.objective.cargo import Cargo
from nbtune.store import Store
from nbtune.trial import Params

__all__ = ["Shipment"]


class Shipment:
    """What one sweep ships, written once and taken up again by a later process.

    Parameters
    ----------
    store : Store
    name : str
        The sweep's.
    call : callable, optional
        The objective; without it, it is loaded from the payload when it is asked for.
    """

    def __init__(
        self, store: Store, name: str, call: Callable[[Params], Any] | None = None
    ) -> None:
        self._store = store
        self._name = name
        self._call = call
        self._cargo: Cargo | None = None

    @property
    def path(self) -> Path:
        """The payload's file."""
        return self._store.payload(self._name)

    @property
    def payload(self) -> Payload:
        """The payload, with the folders where its large buffers lie."""
        places = (self._store.data,) if self._cargo is None else self._cargo.places
        return Payload(self.path, places)

    @property
    def cargo(self) -> Cargo:
        """What holds the data that the payload names."""
        if self._cargo is None:
            cargo = Cargo(self._store.data)
            cargo.take_up(Payload(self.path).packs())
            self._cargo = cargo
        return self._cargo

    @property
    def loaded(self) -> Callable[[Params], Any] | None:
        """The objective, None where it would have to be read from the store."""
        return self._call

    @property
    def call(self) -> Callable[[Params], Any]:
        """The objective, to be called here."""
        if self._call is None:
            payload = Payload(self.path, self.cargo.places)
            try:
                self._call = payload.load()
            except NbtuneError:
                raise
            except Exception as error:  # whatever a damaged pickle makes of itself
                raise StoreError(
                    f"{self.path} cannot be loaded ({type(error).__name__}: {error}): it is "
                    "damaged, or needs code that is not there. Import or install that, or give "
                    "the objective again with .resume(objective=...)."
                ) from error
        return self._call

    @property
    def trouble(self) -> str:
        """Why the store lacks some of the data, empty when it does not."""
        return self._cargo.trouble if self._cargo else ""

    def write(
        self, call: Callable[[Params], Any] | None = None, *, folder: Path | None = None
    ) -> None:
        """Write the payload: of this objective from now on, if one is given.

        With `folder` it goes there, where the sweep is put together that it belongs to.
        """
        self._call = call or self._call
        if self._call is not None:
            cargo = Cargo(self._store.data)
            with cargo.writing():
                path = self.path if folder is None else folder / self.path.name
                write_payload(self._call, path, cargo)
            self._cargo = cargo

    def forget(self) -> None:
        """Take the data up anew when it is next asked for."""
        self._cargo = None

    def close(self) -> None:
        """Hold the data no longer."""
        if self._cargo is not None:
            self._cargo.close()
