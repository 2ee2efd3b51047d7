// Buys at the checkout page in Chromium as people do: with the keyboard alone on a phone's width, without scripts on a wide
// window, and through a payment provider's page where the server has one. Looks at every state that a page can show.
// BURSAR_CHECKOUTS names the pages: JSON with `pay`, `cancel` and, one for each state, `states` ({ name, url, says });
// `provider` is the origin of the provider's page, null in the sandbox. Once the buyer has paid there the script says so,
// and whoever runs it lets the provider tell of the payment. BURSAR_SCREENSHOTS names a folder for pictures.

import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { check, demand, demo, setting } from './common.mjs';

const pages = JSON.parse(setting('BURSAR_CHECKOUTS'));
const pictures = process.env.BURSAR_SCREENSHOTS;
const { origin } = new URL(pages.pay);
const PHONE = { width: 360, height: 740 };
const WIDE = { width: 1280, height: 800 };
/** The smallest height, in pixels, of what a thumb is to hit. */
const THUMB = 44;

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-background-networking',
    '--disable-component-update',
    // The server's own name in links leads to where it listens.
    `--host-resolver-rules=MAP ${new URL(origin).host} ${new URL(setting('BURSAR_URL')).host}`,
    // And counts as https would, so that all headers of the pages are heeded.
    `--unsafely-treat-insecure-origin-as-secure=${origin}`,
  ],
});

/** Opens a window, and notes what must not happen in it. */
async function open(viewport, more = {}) {
  const context = await browser.newContext({ viewport, ...more });
  const page = await context.newPage();
  const faults = [];
  const allowed = [origin, pages.provider];
  // The browser itself tells of what a policy forbids, and of what could not be loaded.
  page.on('console', (message) => message.type() === 'error' && faults.push(message.text()));
  page.on('pageerror', (error) => faults.push(String(error)));
  page.on('request', (request) => {
    const { protocol, origin } = new URL(request.url());
    if (protocol !== 'data:' && !allowed.includes(origin)) faults.push(`a request to ${request.url()}`);
  });
  page.on('response', (response) => response.status() >= 400 && faults.push(`${response.status()} ${response.url()}`));
  return { page, faults, close: () => context.close() };
}

async function picture(page, name) {
  if (pictures) await page.screenshot({ path: join(pictures, `checkout-${name}.png`), fullPage: true });
}

/** Waits until the page says something. */
const says = (page, text) => page.getByText(text, { exact: false }).first().waitFor({ timeout: 20_000 });

/** What a page of ours has to be, whatever it says. */
async function sound(page, faults) {
  const seen = await page.evaluate((thumb) => ({
    overflow: document.documentElement.scrollWidth - innerWidth,
    language: document.documentElement.lang,
    titles: document.querySelectorAll('h1').length,
    scripts: document.querySelectorAll('script, iframe, img').length,
    low: [...document.querySelectorAll('button, a.main')]
      .map((one) => ({ name: one.textContent.trim(), height: one.getBoundingClientRect().height }))
      .filter(({ name, height }) => !name || height < thumb),
  }), THUMB);
  demand(seen.overflow <= 0, `${seen.overflow} pixels are out of sight`);
  demand(seen.language === 'en' && seen.titles === 1 && seen.scripts === 0, JSON.stringify(seen));
  demand(seen.low.length === 0, `lower than ${THUMB} pixels, or without a name: ${JSON.stringify(seen.low)}`);
  demand(faults.length === 0, faults.join('\n'));
}

/** Goes from one thing to the next with the tabulator until it is at the one with a name, which has to be seen. */
async function tabTo(page, name) {
  const passed = [];
  for (let n = 0; n < 12; n += 1) {
    await page.keyboard.press('Tab');
    const at = await page.evaluate(() => {
      const one = document.activeElement;
      const style = getComputedStyle(one);
      const seen = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
      return { name: (one.textContent || one.value || '').trim(), seen };
    });
    passed.push(at.name);
    if (at.name.startsWith(name)) {
      demand(at.seen || new URL(page.url()).origin !== origin, `nobody sees that the focus is at ${name}`);
      return;
    }
  }
  throw new Error(`the keyboard does not get to ${name}: ${passed.join(', ')}`);
}

/** Presses Enter where the focus is, and waits for the page that follows. */
async function enter(page) {
  await Promise.all([page.waitForEvent('framenavigated'), page.keyboard.press('Enter')]);
  await page.waitForLoadState();
}

/** The credits of the pool that can be spent. */
const available = async () => (await demo()).pool.balance.available;

const before = await check('the balance before', available);

await check('opening changes nothing', async () => {
  const { page, faults, close } = await open(PHONE);
  await page.goto(pages.pay);
  await says(page, 'Please check the order');
  demand((await page.title()).includes('Starter'), await page.title());
  await sound(page, faults);
  await picture(page, 'phone');
  demand((await available()) === before, 'the balance has moved');
  await close();
});

await check('giving up with the keyboard', async () => {
  const { page, faults, close } = await open(WIDE, { javaScriptEnabled: false });
  await page.goto(pages.cancel);
  await picture(page, 'wide');
  if (pages.provider) {
    // Giving up at the provider's page leads back, and nothing is lost.
    await tabTo(page, 'Go on to pay USD 199.00');
    await enter(page);
    await tabTo(page, 'Back');
    await page.keyboard.press('Enter');
    await page.waitForURL(pages.cancel);
    await says(page, 'Please check the order');
  }
  await tabTo(page, 'Cancel');
  await picture(page, 'focus');
  await enter(page);
  await says(page, 'This checkout is closed.');
  await sound(page, faults);
  await picture(page, 'given-up');
  demand((await available()) === before, 'the balance has moved');
  await close();
});

await check('paying on a phone with the keyboard alone', async () => {
  const { page, faults, close } = await open(PHONE, { colorScheme: 'dark' });
  await page.goto(pages.pay);
  await picture(page, 'dark');
  if (pages.provider) {
    await tabTo(page, 'Go on to pay USD 199.00');
    await enter(page);
    demand(new URL(page.url()).origin === pages.provider, `at ${page.url()}`);
    await picture(page, 'provider');
    await tabTo(page, 'Pay');
    await page.keyboard.press('Enter');
    await page.waitForURL((url) => url.origin === origin, { timeout: 20_000 });
    // The provider's message is slower than the buyer: the page waits for it without being asked.
    await says(page, 'The payment is being confirmed.');
    await picture(page, 'back');
    console.log('at the provider it is paid');
    await says(page, 'This order is paid.');
  } else {
    await tabTo(page, 'Pay USD 199.00');
    await enter(page);
    await says(page, 'Paid. Thank you.');
  }
  demand((await available()) === before + 100, 'the credits are not there with the page that says so');
  await sound(page, faults);
  await picture(page, 'paid');
  demand((await page.title()).startsWith('Paid:'), await page.title());

  // Opened again, wherever the browser's history leads: it is paid once.
  for (const address of [page.url(), pages.pay, `${pages.pay}/done`, `${pages.pay}/back`]) {
    await page.goto(address);
    await says(page, 'This order is paid.');
    demand((await page.locator('form').count()) === 0, 'it can be paid again');
  }
  demand((await available()) === before + 100, 'it was paid more than once');
  await sound(page, faults);
  await picture(page, 'again');

  await page.getByRole('link', { name: 'Receipt', exact: true }).click();
  await says(page, 'Download as PDF');
  await tabTo(page, 'Download as PDF');
  await sound(page, faults);
  await picture(page, 'receipt');
  await close();
});

const states = await open(PHONE);
for (const { name, url, says: text } of pages.states) {
  await check(`a payment that is ${name}`, async () => {
    const { page, faults } = states;
    await page.goto(url);
    await says(page, text);
    await sound(page, faults);
    await picture(page, `state-${name}`);
    demand((await page.locator('form, a.main').count()) === 0, 'it can be paid');
  });
}

await check('the balance after', async () => demand((await available()) === before + 100, 'the balance has moved'));
await browser.close();
