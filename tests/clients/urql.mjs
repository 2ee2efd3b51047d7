// Checks the server with urql's core client: a query, a mutation and a subscription over graphql-ws, and that the cache
// asks again for what a mutation changed.

import { Client, cacheExchange, fetchExchange, subscriptionExchange } from '@urql/core';
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';
import { check, demand, demo, oneCredit, operations, reader, setting } from './common.mjs';

const url = setting('BURSAR_URL');
const authorization = `Bearer ${setting('BURSAR_TOKEN')}`;

const subjects = await check('demonstration data', demo);
const { id } = subjects.pool;

const socket = createClient({
  url: `${url.replace(/^http/, 'ws')}/graphql/ws`,
  webSocketImpl: WebSocket,
  connectionParams: { authorization },
  retryAttempts: 0,
});
const client = new Client({
  url: `${url}/graphql`,
  fetchOptions: { headers: { authorization } },
  preferGetMethod: false,
  exchanges: [
    cacheExchange,
    fetchExchange,
    subscriptionExchange({
      forwardSubscription: ({ query, variables, operationName }) => ({
        subscribe: (sink) => ({ unsubscribe: socket.subscribe({ query, variables, operationName }, sink) }),
      }),
    }),
  ],
});

/** The results of an urql source, one after the other. */
function resultsOf(source) {
  let subscription;
  return reader(
    new ReadableStream({
      start(controller) {
        subscription = source.subscribe((result) => controller.enqueue(result));
      },
      cancel() {
        subscription.unsubscribe();
      },
    }),
  );
}

/** The demand that a result has no error; gives its data. */
function without({ data, error }) {
  if (error) throw error;
  return data;
}

await check('a query', async () => {
  const { pool } = without(await client.query(operations.Pool, { id }).toPromise());
  demand(pool.balance.available > 0, 'the pool is empty');
});

await check('a subscription and a mutation', async () => {
  const events = resultsOf(client.subscription(operations.WatchPool, { poolId: id }));
  const shown = resultsOf(client.query(operations.Pool, { id }));
  without(await shown.next('the pool on the screen'));

  const { poolBalance: first } = without(await events.next('the snapshot'));
  demand(first.kind === 'SNAPSHOT', `the first event is a ${first.kind}`);

  const input = oneCredit(subjects);
  const { allocateCredits } = without(await client.mutation(operations.AllocateCredits, { input }).toPromise());
  demand(allocateCredits.userErrors.length === 0, JSON.stringify(allocateCredits.userErrors));

  const { poolBalance: second } = without(await events.next('the change'));
  demand(second.kind === 'CHANGE', `the second event is a ${second.kind}`);
  demand(second.version === first.version + 1, `version ${second.version} follows ${first.version}`);
  demand(second.transfers.length === 1 && second.transfers[0].credits === 1, 'the change does not bring its transfer');

  // The mutation named the pool, so the cache has asked for it again.
  for (let seen = 0; seen < second.version; ) {
    seen = without(await shown.next('the pool on the screen')).pool.balance.version;
  }
  await events.stop();
  await shown.stop();
});

await check('an invalid document is an error', async () => {
  const { error } = await client.query('query Wrong { nowhere }', {}).toPromise();
  demand(error?.graphQLErrors.length === 1, `reported as ${error}`);
});

await socket.dispose();
