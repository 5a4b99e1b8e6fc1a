// graphql-sse against a running API: node sse.mjs http://HOST/graphql/stream http://HOST/graphql RUN
import { createClient } from 'graphql-sse';
import { bounded, expect, followRun } from './expectations.mjs';

bounded(60);
const [url, http, run] = process.argv.slice(2);
if (!run) {
  console.error('usage: node sse.mjs STREAM_URL GRAPHQL_URL RUN');
  process.exit(2);
}
const client = createClient({ url, fetchFn: fetch, retryAttempts: 0 });

const one = await client.iterate({ query: '{ __typename }' }).next();
expect(one.value.data.__typename === 'Query', 'a query is answered on the stream');

await followRun((query, variables) => client.iterate({ query, variables }), http, run);

const refused = await client.iterate({ query: 'subscription { nothing }' }).next();
expect(
  refused.value.errors[0].extensions.code === 'GRAPHQL_VALIDATION_FAILED',
  'a bad document is told with a code, and the stream completes',
);

// What a browser's EventSource does: GET, and after a loss the last id.
const document = `subscription { events(filter: { streams: [{ type: DIAGNOSTIC_RUN, id: "${run}" }] }, after: 0) { version } }`;
async function firstIds(count, lastEventId) {
  const headers = { accept: 'text/event-stream', ...(lastEventId ? { 'last-event-id': lastEventId } : {}) };
  const answer = await fetch(`${url}?query=${encodeURIComponent(document)}`, { headers });
  let text = '';
  const decoder = new TextDecoder();
  for await (const chunk of answer.body) {
    text += decoder.decode(chunk, { stream: true });
    const ids = [...text.matchAll(/^id: ?(\d+)$/gm)].map((match) => match[1]);
    if (ids.length >= count) {
      // Leaving the loop closes the connection.
      return ids.slice(0, count);
    }
  }
  return [];
}
const [first, second] = await firstIds(2);
const [again] = await firstIds(1, first);
expect(second !== undefined && again === second, 'Last-Event-ID resumes after that event');

const mutation = await fetch(`${url}?query=${encodeURIComponent('mutation { cancelRun(input: {}) { __typename } }')}`, {
  headers: { accept: 'text/event-stream' },
});
expect((await mutation.text()).includes('OPERATION_NOT_ALLOWED'), 'no mutation by GET');

client.dispose();
console.log('all ok');
process.exit(0);
