// Checks that Apollo Federation composes the server's subgraph with another one, which refers to a pool from a type of
// its own, and that the documents of documents/ are valid against what clients of the supergraph see.

import { readFileSync } from 'node:fs';
import { composeServices } from '@apollo/composition';
import { parse, validate } from 'graphql';
import { check, demand, describe, operations, setting } from './common.mjs';

// A service that knows of a pool only its id.
const listings = parse(`
  extend schema @link(url: "https://specs.apollo.dev/federation/v2.9", import: ["@key"])

  type Query {
    listing(id: ID!): Listing
  }

  type Listing @key(fields: "id") {
    id: ID!
    title: String!
    paidFrom: CreditPool
  }

  type CreditPool @key(fields: "id", resolvable: false) {
    id: ID!
  }
`);

const { schema, supergraphSdl } = await check('the subgraphs compose', () => {
  const bursar = parse(readFileSync(setting('BURSAR_SUBGRAPH'), 'utf8'));
  const { errors, hints, ...supergraph } = composeServices([
    { name: 'bursar', url: 'http://bursar.example/graphql', typeDefs: bursar },
    { name: 'listings', url: 'http://listings.example/graphql', typeDefs: listings },
  ]);
  demand(!errors?.length, (errors ?? []).map(({ message }) => message).join('\n'));
  demand(!hints.length, hints.map(({ message }) => message).join('\n'));
  return supergraph;
});

await check('a pool belongs to this subgraph, and the other one refers to it', () => {
  const [pool] = supergraphSdl.match(/^type CreditPool\b[^{]*/m);
  demand(pool.includes('@join__type(graph: BURSAR, key: "id")'), `no key: ${pool}`);
  demand(pool.includes('@join__type(graph: LISTINGS, key: "id", resolvable: false)'), `no reference: ${pool}`);
});

await check('the documents are valid against the supergraph', () => {
  const api = schema.toAPISchema().toGraphQLJSSchema();
  for (const [name, document] of Object.entries(operations)) {
    const errors = validate(api, document);
    demand(errors.length === 0, `${name}: ${describe(errors)}`);
  }
});

// The composition of today drops @oneOf without a word; the server demands exactly one field all the same.
const [selector] = supergraphSdl.match(/^input OrganizationSelector\b[^{]*/m);
console.log(`the supergraph ${selector.includes('@oneOf') ? 'keeps' : 'does not keep'} @oneOf`);
