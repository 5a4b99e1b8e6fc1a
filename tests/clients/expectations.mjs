// What the scripts share: a failed expectation ends the script with its reason and exit code 1.

export function expect(condition, what) {
  if (condition) {
    console.log(`ok: ${what}`);
    return;
  }
  console.error(`FAILED: ${what}`);
  process.exit(1);
}

/** Ends a script that hangs. */
export function bounded(seconds) {
  setTimeout(() => {
    console.error(`FAILED: not done within ${seconds} s`);
    process.exit(1);
  }, seconds * 1000).unref();
}

export async function query(http, document, variables) {
  const answer = await fetch(http, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'application/graphql-response+json' },
    body: JSON.stringify({ query: document, variables }),
  });
  return answer.json();
}

export const PROGRESS = `subscription ($run: ID!) {
  scanProgress(runId: $run) { position status ended planned done ok critical outcome latest { checkCode outcome } }
}`;

export const EVENTS = `subscription ($run: ID!, $after: Position) {
  events(filter: { streams: [{ type: DIAGNOSTIC_RUN, id: $run }] }, after: $after) { position type version data }
}`;

export const HISTORY = `query ($run: ID!) {
  history(stream: { type: DIAGNOSTIC_RUN, id: $run }, first: 100) { position type version }
}`;

/** Follows a run to its end; `subscribe(document, variables)` gives an async iterator of results. */
export async function followRun(subscribe, http, run) {
  const snapshots = [];
  for await (const result of subscribe(PROGRESS, { run })) {
    expect(!result.errors, `a snapshot without errors ${JSON.stringify(result.errors ?? '')}`);
    snapshots.push(result.data.scanProgress);
  }
  const last = snapshots.at(-1);
  expect(snapshots[0].planned === 5, 'the first snapshot tells the present state');
  expect(last.ended && last.status === 'COMPLETED' && last.outcome === 'CRITICAL', 'the last one tells the verdict');
  expect(last.done === 5 && last.ok === 4 && last.critical === 1, 'the last one counts all checks');
  const told = snapshots.flatMap((snapshot) => snapshot.latest.map((result) => result.checkCode));
  expect(told.length === 5 && new Set(told).size === 5, 'each result is told once');
  const positions = snapshots.map((snapshot) => snapshot.position);
  expect(positions.every((at, n) => n === 0 || at > positions[n - 1]), 'snapshots go forward');

  // Two events at a time, each time on a new subscription: nothing may be lost or doubled.
  const history = (await query(http, HISTORY, { run })).data.history;
  const seen = [];
  while (seen.length < history.length) {
    let taken = 0;
    for await (const result of subscribe(EVENTS, { run, after: seen.at(-1)?.position ?? 0 })) {
      expect(!result.errors, `an event without errors ${JSON.stringify(result.errors ?? '')}`);
      seen.push(result.data.events);
      taken += 1;
      if (taken === 2 || seen.length === history.length) break;
    }
  }
  const line = (event) => `${event.position} ${event.version} ${event.type}`;
  expect(seen.map(line).join() === history.map(line).join(), 'resumed events are the history, once each, in order');
  expect(seen[0].data.RunRequested.run === run, 'an event carries its data');
}
