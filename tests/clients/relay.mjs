// Checks that Relay's compiler accepts the schema and the templates of relay/ (a query, a paginated fragment that
// refetches itself by `node(id)`, a mutation, a subscription), and that Relay's runtime pages through a connection of
// the server with what the compiler made. The artifacts are written into generated/relay.

import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import compiler from 'relay-compiler';
import Relay from 'relay-runtime';
import { ask, check, demand, demo, here, oneCredit, setting } from './common.mjs';

const { Environment, Network, RecordSource, Store, fetchQuery, createOperationDescriptor, getSingularSelector } = Relay;

// What the scalars are in JSON.
const customScalarTypes = {
  Credits: 'number',
  CurrencyCode: 'string',
  DateTime: 'string',
  Decimal: 'string',
  IdempotencyKey: 'string',
  JSON: 'mixed',
  SignedCredits: 'number',
  TimeZone: 'string',
  Version: 'number',
};

const folder = join(here, 'generated', 'relay');
const artifacts = join(folder, 'artifacts');

await check('the Relay compiler accepts schema and templates', () => {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(artifacts, { recursive: true });
  // The compiler wants all that it reads in one folder.
  copyFileSync(setting('BURSAR_SCHEMA'), join(folder, 'schema.graphql'));
  for (const name of readdirSync(join(here, 'relay'))) copyFileSync(join(here, 'relay', name), join(folder, name));
  const config = {
    src: '.',
    schema: 'schema.graphql',
    language: 'javascript',
    artifactDirectory: 'artifacts',
    eagerEsModules: false,
    customScalarTypes,
    requireCustomScalarTypes: true,
    // Only nodes have an `id`: there are no exceptions.
    schemaConfig: { nonNodeIdFields: { allowedIdTypes: {} } },
  };
  writeFileSync(join(folder, 'relay.config.json'), JSON.stringify(config));
  const { status, stdout, stderr } = spawnSync(compiler, ['--noWatchman', 'relay.config.json'], {
    cwd: folder,
    encoding: 'utf8',
  });
  demand(status === 0, stdout + stderr);
});

await check('the Relay runtime pages through a connection by node(id)', async () => {
  // The artifacts are CommonJS.
  writeFileSync(join(artifacts, 'package.json'), '{ "type": "commonjs" }\n');
  const [query, refetch, history] = ['PoolPageQuery', 'PoolPageHistoryQuery', 'PoolPage_history'].map((name) =>
    createRequire(artifacts)(join(artifacts, `${name}.graphql.js`)),
  );
  const network = Network.create(async ({ text, name }, variables) => {
    const response = await fetch(`${setting('BURSAR_URL')}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${setting('BURSAR_TOKEN')}` },
      body: JSON.stringify({ query: text, operationName: name, variables }),
    });
    return response.json();
  });
  const environment = new Environment({ network, store: new Store(new RecordSource()) });

  // At least two transfers, so that there are two pages of one.
  const subjects = await demo();
  for (let n = 0; n < 2; n += 1) {
    const { allocateCredits } = await ask('AllocateCredits', { input: oneCredit(subjects) });
    demand(allocateCredits.userErrors.length === 0, JSON.stringify(allocateCredits.userErrors));
  }

  const variables = { id: subjects.pool.id, first: 1 };
  const operation = createOperationDescriptor(query, variables);
  const retained = environment.retain(operation);
  await fetchQuery(environment, query, variables).toPromise();
  const page = environment.lookup(operation.fragment).data;
  const list = () => environment.lookup(getSingularSelector(history, page.pool)).data;
  const edgesOf = ({ transfers }) => transfers.edges;
  demand(edgesOf(list()).length === 1, 'the first page has not one edge');
  demand(list().transfers.pageInfo.hasNextPage, 'there is no second page');

  const after = list().transfers.pageInfo.endCursor;
  await fetchQuery(environment, refetch, { id: list().id, first: 1, after }).toPromise();
  const versions = edgesOf(list()).map(({ node }) => node.version);
  demand(versions.length === 2 && versions[0] === versions[1] + 1, `versions on both pages: ${versions.join(', ')}`);
  retained.dispose();
});
