// The audits of the GraphQL over HTTP specification: node audit.mjs http://127.0.0.1:8080/graphql
import { serverAudits } from 'graphql-http';
import { bounded } from './expectations.mjs';

bounded(60);
const [url] = process.argv.slice(2);
if (!url) {
  console.error('usage: node audit.mjs URL');
  process.exit(2);
}

const counts = { ok: 0, notice: 0, warn: 0, error: 0 };
for (const audit of serverAudits({ url, fetchFn: fetch })) {
  const result = await audit.fn();
  counts[result.status] += 1;
  if (result.status !== 'ok') {
    console.error(`${result.status}: ${result.id} ${result.name}: ${result.reason}`);
  }
}
console.log(`${counts.ok} ok, ${counts.notice} notice, ${counts.warn} warn, ${counts.error} error`);
process.exit(counts.ok === 61 && counts.notice + counts.warn + counts.error === 0 ? 0 : 1);
