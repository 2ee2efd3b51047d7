// Checks the schema with GraphQL-ESLint: its rules for Relay, the naming of types and fields, descriptions and reasons
// of deprecations; and the documents of documents/ with its rules for operations.

import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import graphql from '@graphql-eslint/eslint-plugin';
import { ESLint } from 'eslint';
import { check, demand, here, setting } from './common.mjs';

const schema = setting('BURSAR_SCHEMA');
const documents = join(here, 'documents', '*.graphql');
const { configs } = graphql;

/** What ESLint says about files under some rules, one line for each finding. */
async function findingsOf(files, rules) {
  const eslint = new ESLint({
    cwd: here,
    overrideConfigFile: true,
    overrideConfig: [
      {
        files: ['**/*.graphql'],
        plugins: { '@graphql-eslint': graphql },
        languageOptions: { parser: graphql.parser, parserOptions: { graphQLConfig: { schema, documents } } },
        rules,
      },
    ],
  });
  const findings = [];
  for (const [name, text] of files) {
    for (const result of await eslint.lintText(text, { filePath: join(here, name) })) {
      for (const { line, ruleId, message } of result.messages) findings.push(`${name}:${line} ${ruleId}: ${message}`);
    }
  }
  return findings;
}

function demandNone(findings) {
  demand(findings.length === 0, `${findings.length} findings\n${findings.join('\n')}`);
}

await check('the schema under the rules', async () => {
  const rules = {
    ...configs['flat/schema-recommended'].rules,
    ...configs['flat/schema-relay'].rules,
    '@graphql-eslint/require-description': [
      'error',
      {
        types: true,
        rootField: true,
        DirectiveDefinition: true,
        EnumValueDefinition: true,
        FieldDefinition: true,
        InputValueDefinition: true,
        // GraphQL's own directives, which the SDL repeats.
        ignoredSelectors: ['[type=InputValueDefinition][parent.name.value=/^(include|skip|specifiedBy|deprecated)$/]'],
      },
    ],
    // There are `nodes` beside `edges`, and short lists that are no connections; and a person's place in a department,
    // which an edge of its members leads to, is no thing of its own.
    '@graphql-eslint/relay-edge-types': ['error', { listTypeCanWrapOnlyEdgeType: false, shouldImplementNode: false }],
    // What has an id is a node; values, payloads and parts of lists have none.
    '@graphql-eslint/strict-id-in-types': 'off',
    '@graphql-eslint/input-name': 'error',
    '@graphql-eslint/no-scalar-result-type-on-mutation': 'error',
    '@graphql-eslint/require-nullable-fields-with-oneof': 'error',
    '@graphql-eslint/require-nullable-result-in-root': 'error',
  };
  // A purchase order is a thing of its own, by a name of its own: that a purchase has one repeats nothing.
  const own = /no-typename-prefix: Field "purchaseOrder" starts/;
  const findings = await findingsOf([['schema.graphql', readFileSync(schema, 'utf8')]], rules);
  demandNone(findings.filter((finding) => !own.test(finding)));
});

await check('the documents under the rules', async () => {
  const names = readdirSync(join(here, 'documents')).filter((name) => name.endsWith('.graphql'));
  const files = names.map((name) => [`documents/${name}`, readFileSync(join(here, 'documents', name), 'utf8')]);
  demandNone(await findingsOf(files, configs['flat/operations-recommended'].rules));
});
