// What the checks share: where the server is, how a check is run and reported, and the documents of documents/.

import { randomUUID } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { concatAST, parse, print, separateOperations } from 'graphql';

export const here = import.meta.dirname;

/** The value of an environment variable that a script cannot do without. */
export function setting(name) {
  const value = process.env[name];
  if (!value) {
    console.error(`${name} is not set`);
    process.exit(1);
  }
  return value;
}

/** Stops with a message unless something holds. */
export function demand(holds, message) {
  if (!holds) throw new Error(message);
}

/** Waits for a promise, but not for ever. */
export async function within(seconds, what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing after ${seconds} s`)), seconds * 1000);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Runs one check, prints `ok` with its name, and ends the script with exit code 1 if it fails. */
export async function check(name, run) {
  try {
    const result = await within(60, name, Promise.resolve().then(run));
    console.log(`ok ${name}`);
    return result;
  } catch (error) {
    console.error(`failed ${name}: ${describe(error)}`);
    process.exit(1);
  }
}

/** Any error as text. The WebSocket client reports lists of GraphQL errors and close events as errors, too. */
export function describe(error) {
  if (Array.isArray(error)) return error.map((one) => one.message).join('; ');
  if (error && typeof error.code === 'number' && 'reason' in error) return `closed with ${error.code} ${error.reason}`;
  return String(error?.message ?? error);
}

/** The demand that a GraphQL result has no errors; gives its data. */
export function dataOf(result) {
  demand(!result.errors?.length, `errors: ${describe(result.errors ?? [])}`);
  return result.data;
}

/** The operations of documents/ by name, each with the fragments that it uses. */
export const operations = separateOperations(
  concatAST(
    readdirSync(join(here, 'documents'))
      .filter((name) => name.endsWith('.graphql'))
      .sort()
      .map((name) => parse(readFileSync(join(here, 'documents', name), 'utf8'))),
  ),
);

/** An operation of documents/ as text. */
export function textOf(name) {
  return print(operations[name]);
}

/** Sends an operation of documents/ with nothing but fetch. */
export async function ask(name, variables = {}) {
  const response = await fetch(`${setting('BURSAR_URL')}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${setting('BURSAR_TOKEN')}` },
    body: JSON.stringify({ query: textOf(name), operationName: name, variables }),
  });
  return dataOf(await response.json());
}

/** The pool and the department of the demonstration data that the checks work with. */
export async function demo() {
  const organization = { slug: 'demo' };
  const pools = (await ask('Pools', { organization })).organization.pools.edges.map((edge) => edge.node);
  const departments = (await ask('Departments', { organization })).organization.departments.nodes;
  return {
    pool: pools.find((pool) => pool.name === 'Main'),
    department: departments.find((department) => department.code === 'SALES'),
  };
}

/** The input of an allocation of one credit, with a key of its own. */
export function oneCredit({ pool, department }) {
  return { poolId: pool.id, departmentId: department.id, credits: 1, idempotencyKey: randomUUID() };
}

/** An async iterator of results that can be waited for with a limit. */
export function reader(results) {
  const iterator = results[Symbol.asyncIterator]();
  return {
    async next(what) {
      const { value, done } = await within(15, what, iterator.next());
      demand(!done, `${what}: the stream ended`);
      return value;
    },
    async ends(what) {
      demand((await within(15, what, iterator.next())).done, `${what}: the stream goes on`);
    },
    stop: () => iterator.return?.(),
  };
}
