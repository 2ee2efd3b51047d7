// Uses the generated types the way a front end does. It is only compiled, by codegen.mjs.

import type { ResultOf, VariablesOf } from '@graphql-typed-document-node/core';
import { ChargeCreditsDocument, PoolDocument, PoolsDocument, RefetchDocument, WatchPoolDocument } from './generated/codegen/graphql';

// Credits are numbers, and a pool may be missing.
export function availableIn(data: ResultOf<typeof PoolDocument>): number {
  const available: number | undefined = data.pool?.balance.available;
  // @ts-expect-error A balance is not text.
  const text: string | undefined = data.pool?.balance.available;
  // @ts-expect-error The pool may be missing.
  data.pool.balance;
  return available ?? 0;
}

// A selector takes exactly one of its fields.
export const bySlug: VariablesOf<typeof PoolsDocument> = { organization: { slug: 'demo' }, first: 20 };
// @ts-expect-error Two are too many.
export const byBoth: VariablesOf<typeof PoolsDocument> = { organization: { slug: 'demo', id: 'org_1' }, first: 20 };

// Names of pools, by way of edges and nodes.
export function namesOf(data: ResultOf<typeof PoolsDocument>): string[] {
  return data.organization?.pools?.edges.map((edge) => edge.node.name) ?? [];
}

// A line without a quantity is one unit; a key is necessary.
export const charge: VariablesOf<typeof ChargeCreditsDocument> = {
  input: { poolId: 'pool_1', idempotencyKey: 'job-1', lines: [{ service: 'ADVANCED_STAGING' }] },
};
// @ts-expect-error There is no charge without a key.
export const keyless: VariablesOf<typeof ChargeCreditsDocument> = { input: { poolId: 'pool_1', lines: [] } };

// What was refused: the name of the type tells which fields there are.
export function refusalOf(data: ResultOf<typeof ChargeCreditsDocument>): string | null {
  for (const error of data.chargeCredits?.userErrors ?? []) {
    if (error.__typename === 'InsufficientCreditsError') {
      const shortBy: number = error.shortBy;
      return `${shortBy} credits short`;
    }
    return error.message;
  }
  return null;
}

// The first event has the state, the others what changed.
export function describeEvent({ poolBalance }: ResultOf<typeof WatchPoolDocument>): string {
  const kind: 'SNAPSHOT' | 'CHANGE' | 'RESYNC' = poolBalance.kind;
  return `${kind} ${poolBalance.version}: ${poolBalance.balance.available}`;
}

// Anything by its id.
export function creditsOf({ node }: ResultOf<typeof RefetchDocument>): number | undefined {
  switch (node?.__typename) {
    case 'CreditPool':
      return node.balance.available;
    case 'Transfer':
      return node.credits;
    default:
      return undefined;
  }
}
