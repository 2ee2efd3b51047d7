// Checks that GraphQL Code Generator makes strict TypeScript of the schema and of the documents: the types are
// generated into generated/codegen, and the TypeScript compiler is run over them and over usage.ts, which uses them.

import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { generate } from '@graphql-codegen/cli';
import { check, demand, here, operations, setting } from './common.mjs';

const out = join(here, 'generated', 'codegen');

// What the scalars are in JSON; ids are never numbers. `unknown` makes the user of a field look before using it; nothing is `any`.
const scalars = {
  Credits: 'number',
  CurrencyCode: 'string',
  DateTime: 'string',
  Decimal: 'string',
  ID: 'string',
  IdempotencyKey: 'string',
  JSON: 'unknown',
  SignedCredits: 'number',
  TimeZone: 'string',
  Version: 'number',
};

await check('types of the documents are generated', async () => {
  rmSync(out, { recursive: true, force: true });
  await generate(
    {
      cwd: here,
      silent: true,
      errorsOnly: true,
      schema: setting('BURSAR_SCHEMA'),
      documents: join(here, 'documents', '*.graphql'),
      generates: {
        [`${out}/`]: {
          preset: 'client',
          presetConfig: { fragmentMasking: false },
          config: { scalars, strictScalars: true, useTypeImports: true, enumsAsTypes: true },
        },
      },
    },
    true,
  );
  const types = readFileSync(join(out, 'graphql.ts'), 'utf8');
  for (const name of Object.keys(operations)) demand(types.includes(`${name}Document`), `${name} is not among the types`);
  const loose = types.split('\n').filter((line) => /[:<|] *any\b/.test(line));
  demand(loose.length === 0, `any: ${loose.join(' ')}`);
});

await check('the types are used under --strict', () => {
  const compiler = join(here, 'node_modules', 'typescript', 'bin', 'tsc');
  const { status, stdout, stderr } = spawnSync(process.execPath, [compiler, '--project', join(here, 'tsconfig.json')], {
    encoding: 'utf8',
  });
  demand(status === 0, stdout + stderr);
});
