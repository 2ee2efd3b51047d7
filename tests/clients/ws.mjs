// Checks the server's WebSocket with the client of the package graphql-ws alone: when it connects, what shares a
// socket, how errors arrive, and how a connection without a good token is closed.

import { createClient, CloseCode } from 'graphql-ws';
import WebSocket from 'ws';
import { ask, check, dataOf, demand, demo, oneCredit, reader, setting, textOf, within } from './common.mjs';

const url = `${setting('BURSAR_URL').replace(/^http/, 'ws')}/graphql/ws`;
const token = setting('BURSAR_TOKEN');

const subjects = await check('demonstration data', demo);
const watch = { query: textOf('WatchPool'), variables: { poolId: subjects.pool.id } };

/** A client that counts its connections and keeps how they were closed. */
function connect(options = {}) {
  const seen = { connecting: 0, connected: 0, closed: [] };
  let whenClosed;
  const closed = new Promise((resolve) => (whenClosed = resolve));
  const client = createClient({
    url,
    webSocketImpl: WebSocket,
    connectionParams: { authorization: `Bearer ${token}` },
    retryAttempts: 0,
    on: {
      connecting: () => (seen.connecting += 1),
      connected: () => (seen.connected += 1),
      closed: (event) => {
        seen.closed.push(event.code);
        whenClosed();
      },
    },
    ...options,
  });
  return { client, seen, closed };
}

/** What a stream of results fails with. */
async function failureOf(results) {
  try {
    await reader(results).next('a failure');
  } catch (error) {
    return error;
  }
  throw new Error('it did not fail');
}

await check('two subscriptions on one socket, which is opened and closed as needed', async () => {
  const { client, seen, closed } = connect();
  demand(seen.connecting === 0, 'the socket is open before it is needed');
  const both = [client.iterate(watch), client.iterate(watch)].map(reader);
  const snapshots = await Promise.all(both.map(async (one) => dataOf(await one.next('a snapshot')).poolBalance));
  demand(snapshots.every(({ kind }) => kind === 'SNAPSHOT'), 'the first events are not snapshots');
  demand(seen.connected === 1, `${seen.connected} connections`);

  await ask('AllocateCredits', { input: oneCredit(subjects) });
  const changes = await Promise.all(both.map(async (one) => dataOf(await one.next('a change')).poolBalance));
  for (const { kind, version } of changes) {
    demand(kind === 'CHANGE' && version === snapshots[0].version + 1, `${kind} ${version} follows ${snapshots[0].version}`);
  }

  // One ends, the other goes on.
  await both[0].stop();
  await ask('AllocateCredits', { input: oneCredit(subjects) });
  const { version } = dataOf(await both[1].next('a further change')).poolBalance;
  demand(version === changes[0].version + 1, `version ${version} follows ${changes[0].version}`);

  await both[1].stop();
  await within(5, 'the socket is still open', closed);
  demand(seen.closed.join() === '1000', `closed with ${seen.closed}`);
});

await check('a subscription goes on after a version', async () => {
  const { client } = connect();
  const { version } = (await ask('Pool', { id: subjects.pool.id })).pool.balance;
  await ask('AllocateCredits', { input: oneCredit(subjects) });
  const events = reader(client.iterate({ ...watch, variables: { ...watch.variables, after: version } }));
  const { poolBalance } = dataOf(await events.next('what was missed'));
  const missed = poolBalance.transfers.map((transfer) => transfer.version).join();
  demand(missed === String(version + 1), `after ${version} it brings ${missed || 'nothing'}`);
  await events.stop();
});

await check('a query over the socket, which ends after its result', async () => {
  const { client } = connect();
  const results = reader(client.iterate({ query: textOf('Viewer') }));
  demand(dataOf(await results.next('the result')).viewer.user.id, 'there is no viewer');
  await results.ends('the query');
});

await check('an invalid document is an error, and the socket stays', async () => {
  const { client, seen } = connect();
  const events = reader(client.iterate(watch));
  await events.next('the snapshot');
  for (const query of ['subscription { nowhere }', '{ nowhere }', '{']) {
    const errors = await failureOf(client.iterate({ query }));
    demand(Array.isArray(errors) && errors[0].message, `${query} fails with ${errors}`);
  }
  await ask('AllocateCredits', { input: oneCredit(subjects) });
  await events.next('a change');
  demand(seen.closed.length === 0, `closed with ${seen.closed}`);
  await events.stop();
});

await check('a wrong token is refused with 4403', async () => {
  const { client, seen } = connect({ connectionParams: { authorization: 'Bearer wrong' } });
  const event = await failureOf(client.iterate(watch));
  demand(event.code === CloseCode.Forbidden, `fails with ${event.code ?? event}`);
  demand(seen.connected === 0, 'the connection was acknowledged');
});

await check('after 4403 the client comes again, with a good token', async () => {
  const tokens = ['wrong', token];
  const { client, seen } = connect({
    connectionParams: () => ({ authorization: `Bearer ${tokens.shift()}` }),
    retryAttempts: 1,
    retryWait: async () => {},
  });
  const events = reader(client.iterate(watch));
  demand(dataOf(await events.next('the snapshot')).poolBalance.kind === 'SNAPSHOT', 'the first event is not a snapshot');
  demand(seen.connecting === 2 && seen.connected === 1, `${seen.connecting} attempts, ${seen.connected} connections`);
  await events.stop();
});
