// Checks the server with Apollo Client (without React): a query, a mutation and a subscription, the cache that the
// three keep, and automatic persisted queries. BURSAR_PERSISTED_QUERIES=off leaves the last out.

import { createHash } from 'node:crypto';
import { ApolloClient, ApolloLink, HttpLink, InMemoryCache } from '@apollo/client';
import { PersistedQueryLink } from '@apollo/client/link/persisted-queries';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions';
import { OperationTypeNode } from 'graphql';
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';
import { check, demand, demo, oneCredit, operations, reader, setting } from './common.mjs';

const url = setting('BURSAR_URL');
const authorization = `Bearer ${setting('BURSAR_TOKEN')}`;

const subjects = await check('demonstration data', demo);
const { id } = subjects.pool;

// A balance has no id, and the cache would replace one by another, with fewer fields; it is to merge them.
const newCache = () => new InMemoryCache({ typePolicies: { Balance: { merge: true } } });

const socket = createClient({
  url: `${url.replace(/^http/, 'ws')}/graphql/ws`,
  webSocketImpl: WebSocket,
  connectionParams: { authorization },
  retryAttempts: 0,
});
const client = new ApolloClient({
  cache: newCache(),
  link: ApolloLink.split(
    ({ operationType }) => operationType === OperationTypeNode.SUBSCRIPTION,
    new GraphQLWsLink(socket),
    new HttpLink({ uri: `${url}/graphql`, headers: { authorization } }),
  ),
});

/** The results of an Apollo observable, one after the other. */
function resultsOf(observable) {
  const stream = new ReadableStream({
    start(controller) {
      this.subscription = observable.subscribe({
        next: (result) => controller.enqueue(result),
        error: (error) => controller.error(error),
        complete: () => controller.close(),
      });
    },
    cancel() {
      this.subscription.unsubscribe();
    },
  });
  return reader(stream);
}

/** The demand that a result has no error; gives its data. */
function without({ data, error }) {
  if (error) throw error;
  return data;
}

await check('a query, normalised by id', async () => {
  const { pool } = without(await client.query({ query: operations.Pool, variables: { id } }));
  demand(pool.balance.available > 0, 'the pool is empty');
  const cached = client.cache.extract()[`CreditPool:${id}`];
  demand(cached?.name === pool.name, `there is no CreditPool:${id} in the cache`);
});

await check('a refetch by node(id) shares the cache', async () => {
  const before = Object.keys(client.cache.extract()).filter((key) => key.startsWith('CreditPool:'));
  const { node } = without(await client.query({ query: operations.Refetch, variables: { id }, fetchPolicy: 'network-only' }));
  demand(node.__typename === 'CreditPool', `the node is a ${node.__typename}`);
  const after = Object.keys(client.cache.extract()).filter((key) => key.startsWith('CreditPool:'));
  demand(before.length === after.length, 'the pool is in the cache twice');
});

await check('a subscription and a mutation', async () => {
  const events = resultsOf(client.subscribe({ query: operations.WatchPool, variables: { poolId: id } }));
  const shown = resultsOf(client.watchQuery({ query: operations.Pool, variables: { id }, fetchPolicy: 'cache-only' }));

  const { poolBalance: first } = without(await events.next('the snapshot'));
  demand(first.kind === 'SNAPSHOT', `the first event is a ${first.kind}`);

  const { allocateCredits } = without(
    await client.mutate({ mutation: operations.AllocateCredits, variables: { input: oneCredit(subjects) } }),
  );
  demand(allocateCredits.userErrors.length === 0, JSON.stringify(allocateCredits.userErrors));

  const { poolBalance: second } = without(await events.next('the change'));
  demand(second.kind === 'CHANGE', `the second event is a ${second.kind}`);
  demand(second.version === first.version + 1, `version ${second.version} follows ${first.version}`);
  demand(second.transfers.length === 1 && second.transfers[0].credits === 1, 'the change does not bring its transfer');

  // What was shown before is up to date by now, and nobody asked for it again.
  for (let seen = 0; seen < second.version; ) {
    const { data } = await shown.next('the pool on the screen');
    seen = data?.pool?.balance.version ?? 0;
  }
  await events.stop();
  await shown.stop();
});

if (process.env.BURSAR_PERSISTED_QUERIES === 'off') {
  console.log('left out: automatic persisted queries');
} else {
  for (const useGETForHashedQueries of [false, true]) {
    await check(`automatic persisted queries by ${useGETForHashedQueries ? 'GET' : 'POST'}`, async () => {
      const requests = [];
      const link = new PersistedQueryLink({
        sha256: (text) => createHash('sha256').update(text).digest('hex'),
        useGETForHashedQueries,
      }).concat(
        new HttpLink({
          uri: `${url}/graphql`,
          headers: { authorization },
          fetch: (uri, options) => {
            requests.push({ method: options.method, text: /"query"/.test(options.body ?? '') });
            return fetch(uri, options);
          },
        }),
      );
      const persisting = new ApolloClient({ cache: newCache(), link });
      const ask = async () =>
        without(await persisting.query({ query: fresh, variables: { id }, fetchPolicy: 'network-only' }));
      // A document that the server has never seen.
      const fresh = renamed(operations.Pool);
      demand((await ask()).pool.id === id, 'the first answer is not the pool');
      demand((await ask()).pool.id === id, 'the second answer is not the pool');
      const texts = requests.map(({ text }) => text).join();
      demand(texts === 'false,true,false', `requests with the text of the query: ${texts}`);
      const method = useGETForHashedQueries ? 'GET' : 'POST';
      demand(requests[2].method === method, `the last request is a ${requests[2].method}`);
    });
  }
}

/** The same operation under a name of its own. */
function renamed(document) {
  const value = `Pool${Date.now()}`;
  return {
    ...document,
    definitions: document.definitions.map((definition) =>
      definition.kind === 'OperationDefinition' ? { ...definition, name: { kind: 'Name', value } } : definition,
    ),
  };
}

client.stop();
await socket.dispose();
