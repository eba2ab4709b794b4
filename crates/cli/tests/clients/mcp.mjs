// An agent that works through the official TypeScript client of MCP, and prints what it saw as JSON.

import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';

const { SERVER, TOKEN, MODE, PEER, VALUE } = process.env;
const mode = MODE.startsWith('20') ? { pin: MODE } : MODE;
const client = new Client({ name: 'portcullis-test', version: '1' }, { versionNegotiation: { mode } });
const headers = { Authorization: `Bearer ${TOKEN}` };
await client.connect(new StreamableHTTPClientTransport(new URL(SERVER), { requestInit: { headers } }));

const call = async (name, args = {}) => {
    const result = await client.callTool({ name, arguments: args });
    return { error: result.isError === true, body: result.structuredContent };
};
const { tools } = await client.listTools();
const { resources } = await client.listResources();
const seen = {
    revision: client.getNegotiatedProtocolVersion(),
    server: client.getServerVersion()?.name,
    tools: tools.map(tool => tool.name),
    resources: resources.map(resource => resource.uri),
    info: await call('get_workspace_info'),
    peers: await call('list_peers'),
    set: await call('set_workspace_secret', { key: 'FROM_A_CLIENT', value: VALUE }),
    secrets: await call('list_workspace_secrets'),
    refused: await call('set_workspace_secret', { key: 'PATH', value: VALUE }),
    reply: await call('delegate_task', { workspace_id: PEER, task: 'hello' }),
};
await client.close();
console.log(JSON.stringify(seen));
