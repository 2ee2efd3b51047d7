// Checks the server's event streams with the client of the package graphql-sse, one connection for each operation.
// The client tries again after any answer but 2xx, so what is wrong with a document has to come as an event.

import { createClient, NetworkError } from 'graphql-sse';
import { ask, check, dataOf, demand, demo, oneCredit, reader, setting, textOf, within } from './common.mjs';

const url = `${setting('BURSAR_URL')}/graphql/stream`;
const authorization = `Bearer ${setting('BURSAR_TOKEN')}`;

const subjects = await check('demonstration data', demo);
const watch = { query: textOf('WatchPool'), variables: { poolId: subjects.pool.id } };

// `referrerPolicy` and the like are the client's; what it sends is a POST of JSON that accepts text/event-stream.
const answers = [];
const client = createClient({
  url,
  headers: { authorization },
  retryAttempts: 0,
  fetchFn: async (...request) => {
    const response = await fetch(...request);
    answers.push(response);
    return response;
  },
});

await check('a snapshot, then a change', async () => {
  const events = reader(client.iterate(watch));
  const { poolBalance: first } = dataOf(await events.next('the snapshot'));
  demand(first.kind === 'SNAPSHOT', `the first event is a ${first.kind}`);

  await ask('AllocateCredits', { input: oneCredit(subjects) });
  const { poolBalance: second } = dataOf(await events.next('the change'));
  demand(second.kind === 'CHANGE', `the second event is a ${second.kind}`);
  demand(second.version === first.version + 1, `version ${second.version} follows ${first.version}`);
  await events.stop();
});

await check('a subscription goes on after a version', async () => {
  const { version } = (await ask('Pool', { id: subjects.pool.id })).pool.balance;
  await ask('AllocateCredits', { input: oneCredit(subjects) });
  const events = reader(client.iterate({ ...watch, variables: { ...watch.variables, after: version } }));
  const { poolBalance } = dataOf(await events.next('what was missed'));
  const missed = poolBalance.transfers.map((transfer) => transfer.version).join();
  demand(missed === String(version + 1), `after ${version} it brings ${missed || 'nothing'}`);
  await events.stop();
});

await check('a query, which ends after its result', async () => {
  const results = reader(client.iterate({ query: textOf('Viewer') }));
  demand(dataOf(await results.next('the result')).viewer.user.id, 'there is no viewer');
  await results.ends('the query');
});

await check('an invalid document is answered by an event', async () => {
  for (const query of ['subscription { nowhere }', '{ nowhere }', '{']) {
    const results = reader(client.iterate({ query }));
    const { data, errors } = await results.next('the errors');
    demand(errors?.[0]?.message && data === undefined, `${query} is answered by ${JSON.stringify({ data, errors })}`);
    await results.ends(query);
  }
});

await check('every answer so far is an event stream', () => {
  for (const { status, headers } of answers) {
    const type = headers.get('content-type');
    demand(status === 200 && /^text\/event-stream\b/.test(type ?? ''), `${status} ${type}`);
    demand(/no-cache|no-store/.test(headers.get('cache-control') ?? ''), 'the stream may be cached');
  }
});

await check('the events as they are sent', async () => {
  const response = await fetch(url, {
    method: 'POST',
    headers: { authorization, accept: 'text/event-stream', 'content-type': 'application/json; charset=utf-8' },
    body: JSON.stringify({ query: '{ __typename }' }),
  });
  const text = await within(15, 'the end of the stream', response.text());
  // Lines that begin with a colon keep the connection busy and say nothing.
  const events = text
    .split(/\r?\n\r?\n/)
    .map((block) => block.split(/\r?\n/).filter((line) => line && !line.startsWith(':')))
    .filter((lines) => lines.length > 0);
  demand(events.length === 2, `the events are ${JSON.stringify(events)}`);
  const [next, complete] = events;
  demand(/^event: ?next$/.test(next[0]), `the first event is ${next[0]}`);
  demand(JSON.parse(next[1].replace(/^data: ?/, '')).data.__typename === 'Query', `its data is ${next[1]}`);
  demand(/^event: ?complete$/.test(complete[0]), `the last event is ${complete[0]}`);
  // Browsers pass an event on only if it has data, be it empty.
  demand(/^data: ?$/.test(complete[1] ?? ''), 'the last event has no empty data');
});

await check('a wrong token is refused with 401', async () => {
  const stranger = createClient({ url, headers: { authorization: 'Bearer wrong' }, retryAttempts: 0 });
  try {
    await reader(stranger.iterate(watch)).next('a refusal');
  } catch (error) {
    demand(error instanceof NetworkError && error.response?.status === 401, `fails with ${error.message}`);
    return;
  } finally {
    stranger.dispose();
  }
  throw new Error('it was let in');
});

client.dispose();
