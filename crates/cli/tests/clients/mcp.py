"""An agent that works through the official Python client of MCP, and prints what it saw as JSON."""

import asyncio
import json
import os

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client


async def main():
    headers = {"Authorization": f"Bearer {os.environ['TOKEN']}"}
    async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
        transport = streamable_http_client(os.environ["SERVER"], http_client=http)
        async with Client(transport, mode=os.environ["MODE"]) as client:
            print(json.dumps(await seen(client)))


async def seen(client):
    async def call(name, **arguments):
        result = await client.call_tool(name, arguments)
        return {"error": bool(result.is_error), "body": result.structured_content}

    tools = await client.list_tools()
    resources = await client.list_resources()
    return {
        "revision": client.protocol_version,
        # A client that was told the revision does not ask who is there.
        "server": client.server_info and client.server_info.name,
        "tools": [tool.name for tool in tools.tools],
        "resources": [str(resource.uri) for resource in resources.resources],
        "info": await call("get_workspace_info"),
        "peers": await call("list_peers"),
        "set": await call("set_workspace_secret", key="FROM_A_CLIENT", value=os.environ["VALUE"]),
        "secrets": await call("list_workspace_secrets"),
        "refused": await call("set_workspace_secret", key="PATH", value=os.environ["VALUE"]),
        "reply": await call("delegate_task", workspace_id=os.environ["PEER"], task="hello"),
    }


asyncio.run(main())
