from dataclasses import dataclass

from engine.models.wire import Json


@dataclass(frozen=True, slots=True)
class Turn:
    history: list[Json]
    given: list[Json]
    chain: list[str]

    @classmethod
    def alone(cls, given: list[Json]) -> "Turn":
        return cls([], given, [])

    @property
    def has_references(self) -> bool:
        return any(i.get("type") == "item_reference" for i in self.given)


saved = {}


def save_response(session, caller_id: str, response: Json, turn: Turn, keep_seconds: float) -> None:
    saved[response["id"]] = response


def read_turn(session, caller_id: str, prev: str | None, given: list[Json], most: int) -> Turn: ...
def read_response(session, caller_id: str, response_id: str): ...
def delete_response(session, caller_id: str, response_id: str): ...
def page_of_input_items(session, caller_id: str, response_id: str, query): ...
