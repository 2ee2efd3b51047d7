// Checks the server against the GraphQL-over-HTTP specification, with the audits of the package graphql-http.

import { auditServer } from 'graphql-http';
import { check, demand, setting } from './common.mjs';

const url = `${setting('BURSAR_URL')}/graphql`;

await check('GraphQL over HTTP', async () => {
  const results = await auditServer({ url });
  const others = results.filter((result) => result.status !== 'ok');
  for (const { id, name, status, reason } of others) console.error(`${status} ${id} ${name}: ${reason}`);
  console.log(`${results.length - others.length} of ${results.length} audits are ok`);
  demand(results.length >= 61, `only ${results.length} audits were made`);
  demand(others.length === 0, `${others.length} audits are not ok`);
});
