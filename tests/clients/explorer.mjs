// Checks the explorer in Chromium: it is built in, works with nothing from elsewhere and under its content security
// policy, runs a query with the token and shows live events; on a wide window and on a narrow one. BURSAR_SCREENSHOTS
// names a folder for pictures of it.

import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { ask, check, demand, demo, oneCredit, setting } from './common.mjs';

const url = setting('BURSAR_URL');
const pictures = process.env.BURSAR_SCREENSHOTS;

const subjects = await check('demonstration data', demo);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update'],
});

/** Opens the explorer, and notes what must not happen. */
async function open(width) {
  const page = await browser.newPage({ viewport: { width, height: 800 } });
  const faults = [];
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) =>
      console.error(`the policy forbids ${event.violatedDirective} ${event.blockedURI}`),
    );
  });
  page.on('console', (message) => message.type() === 'error' && faults.push(message.text()));
  page.on('pageerror', (error) => faults.push(String(error)));
  page.on('request', (request) => {
    const { protocol, origin } = new URL(request.url());
    if (protocol !== 'data:' && protocol !== 'blob:' && origin !== url) faults.push(`a request to ${request.url()}`);
  });
  await page.goto(`${url}/graphql`);
  await page.waitForSelector('.graphiql-query-editor .view-line');
  await page.fill('#token', setting('BURSAR_TOKEN'));
  await page.press('#token', 'Enter');
  return { page, faults };
}

/** What the answer pane shows, as soon as it shows some text. */
async function answer(page, text) {
  const shown = await page.waitForFunction((text) => {
    const model = globalThis.__MONACO?.editor.getModels().find((one) => one.uri.path.includes('response'));
    return model?.getValue().includes(text) && model.getValue();
  }, text);
  return shown.jsonValue();
}

async function picture(page, name) {
  if (pictures) await page.screenshot({ path: join(pictures, `${name}.png`) });
}

await check('a query with the token', async () => {
  const { page, faults } = await open(1280);
  demand((await page.title()) === 'Bursar explorer', await page.title());
  await page.click('.graphiql-execute-button');
  await answer(page, 'owner@demo.test');
  await picture(page, 'query');
  demand(faults.length === 0, faults.join('\n'));
  await page.close();
});

await check('a subscription', async () => {
  const { page, faults } = await open(1280);
  await page.click('text=WatchPool');
  await page.evaluate((poolId) => {
    const model = globalThis.__MONACO.editor.getModels().find((one) => one.uri.path.includes('variables'));
    model.setValue(JSON.stringify({ poolId }));
  }, subjects.pool.id);
  await page.click('.graphiql-execute-button');
  await answer(page, 'SNAPSHOT');
  await ask('AllocateCredits', { input: oneCredit(subjects) });
  await answer(page, 'ALLOCATE');
  await picture(page, 'subscription');
  demand(faults.length === 0, faults.join('\n'));
  await page.close();
});

await check('the documentation of the schema', async () => {
  const { page, faults } = await open(1280);
  await page.click('[aria-label="Show Documentation Explorer"]');
  await page.fill('.graphiql-doc-explorer input', 'poolBalance');
  await page.waitForSelector('text=PoolBalanceEvent');
  await picture(page, 'documentation');
  demand(faults.length === 0, faults.join('\n'));
  await page.close();
});

await check('a narrow window', async () => {
  const { page, faults } = await open(400);
  await page.click('.graphiql-execute-button');
  await answer(page, 'owner@demo.test');
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  demand(overflow <= 0, `${overflow} pixels are out of sight`);
  await picture(page, 'narrow');
  demand(faults.length === 0, faults.join('\n'));
});

await browser.close();
