"""Whoever talks to an agent through the official Python client of A2A, and prints what came of it as JSON.

The agent works on `hold NAME` until there is a file of that name, and answers anything else at once."""

import asyncio
import json
import os
import uuid
from pathlib import Path

import httpx
from a2a.client import ClientConfig, create_client
from a2a.types import (
    CancelTaskRequest,
    GetTaskRequest,
    ListTasksRequest,
    Message,
    Part,
    Role,
    SendMessageRequest,
    SubscribeToTaskRequest,
)
from a2a.utils.errors import A2AError
from google.protobuf.json_format import MessageToDict

AGENT = os.environ["AGENT"]
BINDING = os.environ["BINDING"]
WORK = Path(os.environ["WORK"])
CONTEXT = str(uuid.uuid4())


def said(text, context=CONTEXT):
    message = Message(message_id=str(uuid.uuid4()), context_id=context, role=Role.ROLE_USER, parts=[Part(text=text)])
    return SendMessageRequest(message=message)


async def all_of(events):
    return [MessageToDict(event) async for event in events]


async def failing(awaitable):
    """The kind of error that this ends with."""
    try:
        await awaitable
    except A2AError as error:
        return type(error).__name__
    return None


async def until(client, task, state):
    while True:
        found = MessageToDict(await client.get_task(GetTaskRequest(id=task)))
        if found["status"]["state"] == state:
            return found
        await asyncio.sleep(0.05)


async def talk(http):
    def client(**how):
        config = ClientConfig(httpx_client=http, supported_protocol_bindings=[BINDING], use_client_preference=True, **how)
        return create_client(AGENT, config)

    waiting, streaming, polling = await client(streaming=False), await client(), await client(streaming=False, polling=True)
    seen = {"card": MessageToDict(waiting._card), "context": CONTEXT}
    [sent] = await all_of(waiting.send_message(said("say hello")))
    seen["sent"] = sent["task"]
    seen["streamed"] = await all_of(streaming.send_message(said("say streamed")))
    seen["got"] = MessageToDict(await waiting.get_task(GetTaskRequest(id=sent["task"]["id"])))

    [held] = await all_of(polling.send_message(said("hold file")))
    held = held["task"]["id"]
    await until(waiting, held, "TASK_STATE_WORKING")
    [queued] = await all_of(polling.send_message(said("say later")))
    seen["queued"] = queued["task"]
    seen["cancelled"] = MessageToDict(await waiting.cancel_task(CancelTaskRequest(id=queued["task"]["id"])))
    seen["not_cancelled"] = await failing(waiting.cancel_task(CancelTaskRequest(id=held)))

    events = streaming.subscribe(SubscribeToTaskRequest(id=held))
    first = MessageToDict(await anext(events))
    (WORK / "file").touch()
    seen["subscribed"] = [first, *await all_of(events)]
    seen["over"] = await failing(all_of(streaming.subscribe(SubscribeToTaskRequest(id=held))))
    seen["unknown"] = await failing(waiting.get_task(GetTaskRequest(id=str(uuid.uuid4()))))

    request = ListTasksRequest(context_id=CONTEXT, page_size=3, include_artifacts=True)
    seen["pages"] = []
    while True:
        page = await waiting.list_tasks(request)
        seen["pages"].append(MessageToDict(page))
        request.page_token = page.next_page_token
        if not page.next_page_token:
            return seen


async def main():
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {os.environ['TOKEN']}"}, timeout=60) as http:
        print(json.dumps(await talk(http)))


asyncio.run(main())
