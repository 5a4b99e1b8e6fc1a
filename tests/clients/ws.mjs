// graphql-ws against a running API: node ws.mjs ws://HOST/graphql/ws http://HOST/graphql RUN
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';
import { bounded, expect, followRun } from './expectations.mjs';

bounded(60);
const [given, http, run] = process.argv.slice(2);
if (!run) {
  console.error('usage: node ws.mjs SOCKET_URL GRAPHQL_URL RUN');
  process.exit(2);
}
const url = given.replace(/^http/, 'ws');
const client = createClient({ url, webSocketImpl: WebSocket, retryAttempts: 0, lazy: false });

const one = await client.iterate({ query: '{ __typename }' }).next();
expect(one.value.data.__typename === 'Query', 'a query is answered on the socket');

await followRun((query, variables) => client.iterate({ query, variables }), http, run);

let refused;
try {
  await client.iterate({ query: 'subscription { nothing }' }).next();
} catch (errors) {
  refused = errors;
}
expect(refused?.[0]?.extensions?.code === 'GRAPHQL_VALIDATION_FAILED', 'a bad document is an error message with a code');

async function closedWith(send, protocol = 'graphql-transport-ws') {
  const socket = new WebSocket(url, protocol);
  return new Promise((resolve) => {
    socket.on('open', () => send(socket));
    socket.on('message', (text) => {
      if (JSON.parse(text).type === 'connection_ack') socket.emit('acknowledged');
    });
    socket.on('close', (code, reason) => resolve(`${code} ${reason}`));
    socket.on('error', (error) => resolve(error.message));
  });
}
const say = (socket, ...messages) => messages.forEach((message) => socket.send(JSON.stringify(message)));
const init = { type: 'connection_init' };
const endless = { type: 'subscribe', id: '1', payload: { query: 'subscription { events { position } }' } };
expect((await closedWith((s) => say(s, endless))) === '4401 Unauthorized', 'subscribing before the init closes');
expect((await closedWith((s) => say(s, init, init))).startsWith('4429 '), 'a second init closes');
expect((await closedWith((s) => say(s, init, endless, endless))).startsWith('4409 '), 'an id in use closes');
expect((await closedWith((s) => s.send('{'))).startsWith('4400 '), 'nonsense closes');
expect((await closedWith(() => {}, 'graphql-ws')).includes('400'), 'the old protocol is refused');

await client.dispose();
console.log('all ok');
process.exit(0);
