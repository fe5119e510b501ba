"""Chunks of text and thought: one id a message, joined while they stream, nothing lost."""

from tests.e2e.client import messages_of
from tests.e2e.conformance.conftest import Stage

LIST = {"tool": "list_dir", "arguments": {"path": "."}}


def test_one_id_for_each_message(stage: Stage) -> None:
    session = stage.session(
        {"thought": "First I think.", "text": "Then I look.", "calls": [LIST]},
        {"thought": "I think again.", "text": "And I am done."},
    )
    stage.client.prompt(session)
    shown = [
        message
        for message in messages_of(stage.client.updates(session))
        if "Loading the model" not in message[2]
    ]
    assert [(kind, text) for kind, _, text in shown] == [
        ("agent_thought_chunk", "First I think."),
        ("agent_message_chunk", "Then I look."),
        ("agent_thought_chunk", "I think again."),
        ("agent_message_chunk", "And I am done."),
    ]
    ids = [message_id for _, message_id, _ in shown]
    assert all(ids)
    # A thought belongs to the answer that it leads to; another model call is another message.
    assert len(set(ids)) in (2, 4)
    assert not {ids[0], ids[1]} & {ids[2], ids[3]}


def test_ids_are_never_used_again(stage: Stage) -> None:
    session = stage.session({"text": "Fine."}, repeat=True)
    for _ in range(3):
        stage.client.prompt(session)
    messages = messages_of(stage.client.updates(session))
    answers = [message for message in messages if message[0] == "agent_message_chunk"]
    assert [text for _, _, text in answers] == ["Fine."] * 3


def test_many_small_pieces_are_joined(stage: Stage) -> None:
    text = "".join(f"{number} " for number in range(5000))
    session = stage.session({"text": text, "chunks": 5000})
    stage.client.prompt(session)
    assert stage.client.text(session) == text
    chunks = stage.client.updates(session, "agent_message_chunk")
    assert 1 < len(chunks) < 500


def test_text_streams_while_the_model_writes(stage: Stage) -> None:
    session = stage.session({"text": "slow " * 20, "delay": 0.1, "chunks": 20})
    request = stage.client.begin_prompt(session)
    stage.client.wait_update(session, lambda update: "slow" in str(update.get("content")))
    assert not any(message.get("id") == request for message in stage.client.messages)
    stage.client.result(request)
    assert len(stage.client.updates(session, "agent_message_chunk")) > 5


def test_every_text_survives_the_way(stage: Stage) -> None:
    text = 'ünï 🐍 \u2028 \\ " \t \x7f <|im_end|> ```\n\n- a\r\n\x00 end'
    session = stage.session({"text": text, "chunks": 40})
    stage.client.prompt(session)
    assert stage.client.text(session) == text


def test_nothing_of_a_turn_comes_after_its_answer(stage: Stage) -> None:
    session = stage.session({"text": "Fine.", "calls": [LIST]}, {"text": "Done."})
    request = stage.client.begin_prompt(session)
    stage.client.result(request)
    stage.client.initialize()
    messages = stage.client.messages
    at = next(n for n, message in enumerate(messages) if message.get("id") == request)
    late = [m["params"]["update"]["sessionUpdate"] for m in messages[at:] if "method" in m]
    assert set(late) <= {"session_info_update"}


def test_the_title_comes_after_the_first_exchange(stage: Stage) -> None:
    session = stage.session({"text": "Fine."}, repeat=True)
    prompt = "Please rename the function greet to hello.\n\nAnd keep the tests green " + "x" * 500
    stage.client.prompt(session, prompt)
    update = stage.client.wait_update(
        session, lambda update: update["sessionUpdate"] == "session_info_update"
    )
    assert "greet" in update["title"]
    assert "\n" not in update["title"]
    assert len(update["title"]) <= 100
    stage.client.prompt(session, "Another thing")
    titles = stage.client.updates(session, "session_info_update")
    assert len({update["title"] for update in titles}) == 1
    # It costs no second question to the model: the script would be one response further.
    assert stage.client.text(session) == "Fine.Fine."
