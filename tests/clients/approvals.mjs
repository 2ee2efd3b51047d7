// Reads mails about approvals in Chromium as people and machines do, one after another as it is told to on its standard
// input: a line of JSON each, with what to `do`, a `name`, and the `letter` as a mail server has taken it.
// `scan`: a machine with scripts opens the link and sends whatever it finds, with the code `wrong`. `approve`: the button in
// the mail, on a phone, without scripts, with the keyboard alone. `late`: it is decided already. `pay`: from the mail to the
// checkout, until it is paid. BURSAR_SCREENSHOTS names a folder for pictures.

import { createServer } from 'node:http';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';
import { check, demand, setting } from './common.mjs';

const pictures = process.env.BURSAR_SCREENSHOTS;
const ORIGIN = 'http://bursar.test';
const PHONE = { width: 360, height: 740 };
const WIDE = { width: 1280, height: 900 };
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
    `--host-resolver-rules=MAP bursar.test ${new URL(setting('BURSAR_URL')).host}`,
    // And counts as https would, so that all headers of the pages are heeded.
    `--unsafely-treat-insecure-origin-as-secure=${ORIGIN}`,
  ],
});

/** The bytes of a part of a letter. */
function decoded(body, encoding) {
  if (encoding === 'base64') return Buffer.from(body, 'base64');
  if (encoding !== 'quoted-printable') return Buffer.from(body, 'utf8');
  const byte = (_, digits) => String.fromCharCode(parseInt(digits, 16));
  return Buffer.from(body.replace(/=\r\n/g, '').replace(/=([0-9A-F]{2})/gi, byte), 'latin1');
}

/** The parts of a letter, as MIME has them: kind and bytes. */
function parts(letter) {
  const end = letter.indexOf('\r\n\r\n');
  const head = letter.slice(0, end).replace(/\r\n[ \t]+/g, ' ');
  const header = (name) => head.match(new RegExp(`^${name}: *(.*)$`, 'im'))?.[1].trim() ?? '';
  const kind = header('content-type');
  const body = letter.slice(end + 4);
  const boundary = kind.match(/boundary="?([^";]+)"?/i)?.[1];
  if (!boundary) return [{ kind, bytes: decoded(body, header('content-transfer-encoding').toLowerCase()) }];
  const inner = body.split(`--${boundary}`).slice(1, -1);
  return inner.flatMap((part) => parts(part.replace(/^[ \t]*\r\n/, '')));
}

/** A letter as a mail client shows it: its page, with its pictures in it, and its plain text. */
function read(letter) {
  const all = parts(letter.replace(/\r\n\.\./g, '\r\n.'));
  const of = (kind) => all.find((part) => part.kind.startsWith(kind));
  const picture = of('image/png');
  demand(of('text/html') && of('text/plain'), `parts: ${all.map((part) => part.kind)}`);
  demand(picture, 'the logo is not in the letter');
  const html = of('text/html').bytes.toString('utf8');
  demand(html.includes('cid:logo') && !/<script|http:\/\/(?!bursar\.test)|https:\/\//.test(html), 'something from elsewhere is in it');
  const address = `data:image/png;base64,${picture.bytes.toString('base64')}`;
  return { html: html.replaceAll('cid:logo', address), text: of('text/plain').bytes.toString('utf8') };
}

/** Opens a window in which a letter is read, and notes what must not happen in it. */
async function open(letter, viewport, more = {}) {
  const context = await browser.newContext({ viewport, ...more });
  const faults = [];
  context.on('request', (request) => {
    const { protocol, origin } = new URL(request.url());
    if (!['data:', 'about:'].includes(protocol) && origin !== ORIGIN) faults.push(`a request to ${request.url()}`);
  });
  context.on('console', (message) => message.type() === 'error' && faults.push(message.text()));
  const mail = await context.newPage();
  const { html, text } = read(letter);
  await mail.setContent(html);
  const shown = (await mail.locator('body').innerText()).replace(/\s+/g, ' ');
  return { context, mail, faults, shown, text, close: () => context.close() };
}

async function picture(page, name) {
  const file = `approval-${name.replaceAll(/[^a-z]+/g, '-')}.png`;
  if (pictures) await page.screenshot({ path: join(pictures, file), fullPage: true });
}

/** Presses the button of a mail, and answers the page that it leads to. */
async function follow({ context, mail }, name) {
  const [page] = await Promise.all([context.waitForEvent('page'), mail.getByRole('link', { name, exact: true }).click()]);
  await page.waitForLoadState();
  return page;
}

/** What a page says, in a word. */
const state = (page) => page.locator('#state').getAttribute('data-state');

/** What a page of ours has to be, whatever it says. */
async function sound(page, faults) {
  const seen = await page.evaluate((thumb) => ({
    overflow: document.documentElement.scrollWidth - innerWidth,
    language: document.documentElement.lang,
    titles: document.querySelectorAll('h1').length,
    scripts: document.querySelectorAll('script, iframe').length,
    pictures: [...document.images].filter((one) => !one.complete || one.naturalWidth === 0).length,
    unnamed: [...document.querySelectorAll('input:not([type=hidden]), textarea')]
      .filter((one) => !one.labels?.length).length,
    low: [...document.querySelectorAll('button:not([hidden]), a.main')]
      .map((one) => ({ name: one.textContent.trim(), height: one.getBoundingClientRect().height }))
      .filter(({ name, height }) => !name || height < thumb),
  }), THUMB);
  demand(seen.overflow <= 0, `${seen.overflow} pixels are out of sight`);
  demand(seen.language === 'en' && seen.titles === 1 && seen.scripts === 0, JSON.stringify(seen));
  demand(seen.pictures === 0 && seen.unnamed === 0, JSON.stringify(seen));
  demand(seen.low.length === 0, `lower than ${THUMB} pixels, or without a name: ${JSON.stringify(seen.low)}`);
  demand(faults.length === 0, faults.join('\n'));
}

/** Goes from one thing to the next with the tabulator until it is at the one that is wanted, which has to be seen. */
async function tabTo(page, wanted) {
  const passed = [];
  for (let n = 0; n < 12; n += 1) {
    await page.keyboard.press('Tab');
    const at = await page.evaluate(() => {
      const one = document.activeElement;
      const style = getComputedStyle(one);
      const seen = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
      return { name: one.name && one.tagName !== 'BUTTON' ? one.name : one.textContent.trim(), seen };
    });
    passed.push(at.name);
    if (at.name.startsWith(wanted)) {
      demand(at.seen, `nobody sees that the focus is at ${wanted}`);
      return;
    }
  }
  throw new Error(`the keyboard does not get to ${wanted}: ${passed.join(', ')}`);
}

/** Presses Enter where the focus is, and waits for the page that follows. */
async function enter(page) {
  await Promise.all([page.waitForEvent('framenavigated'), page.keyboard.press('Enter')]);
  await page.waitForLoadState();
}

/** The digits that a mail shows. */
function code(shown) {
  const digits = shown.match(/this code: *(\d{4})/)?.[1];
  demand(digits, `no code: ${shown}`);
  return digits;
}

/** What a mail that asks for a decision has to say to whoever reads it, as a page and as plain text. */
function tells({ shown, text }) {
  for (const told of [shown, text.replace(/\s+/g, ' ')]) {
    for (const wanted of [
      'Ada Admin asks for',
      'USD 899.00',
      'A house at the lake',
      'In the pool now',
      'Used in the last 90 days',
      'Opening the page decides nothing',
    ]) {
      demand(told.includes(wanted), `the mail does not say "${wanted}": ${told}`);
    }
  }
}

/** Whether a mail stays as wide as a phone, whatever words stand in it. */
async function fits({ mail }) {
  const out = await mail.evaluate(() => {
    for (const one of document.querySelectorAll('strong, h1, td > p, th, td bdi')) one.append(` ${'W'.repeat(150)}`);
    return document.documentElement.scrollWidth - innerWidth;
  });
  demand(out <= 0, `${out} pixels of the mail are out of sight`);
}

/** A machine that looks for viruses: it opens links, runs scripts, fills fields in and presses buttons. */
async function scan({ name, letter, wrong }) {
  const window = await open(letter, WIDE);
  tells(window);
  await picture(window.mail, `${name}-mail`);
  const links = await window.mail.locator('a').evaluateAll((all) => all.map((one) => one.href));
  demand(links.length >= 2, `links: ${links}`);
  const page = await window.context.newPage();
  for (const link of links) {
    await page.goto(link);
    demand((await state(page)) === 'OPEN', await page.content());
  }
  const forms = (await page.locator('form').count());
  const buttons = await page.locator('form button').count();
  demand(forms === 1 && buttons === 3, `${forms} forms, ${buttons} buttons`);
  for (const digits of ['', wrong]) {
    for (let index = 0; index < buttons; index += 1) {
      await page.goto(links[0]);
      await Promise.all([
        page.waitForEvent('framenavigated'),
        page.evaluate(({ index, digits }) => {
          const form = document.querySelector('form');
          form.noValidate = true;
          for (const field of form.querySelectorAll('input:not([type=hidden]), textarea')) field.value = digits;
          for (const box of form.querySelectorAll('[type=checkbox]')) box.checked = true;
          form.querySelector('textarea').value = 'automatic';
          form.requestSubmit(form.querySelectorAll('button')[index]);
        }, { index, digits }),
      ]);
      await page.waitForLoadState();
      demand((await state(page)) === 'OPEN', await page.content());
    }
  }
  await picture(page, `${name}-sent`);
  // From the page to a server elsewhere: that server is not told where one comes from.
  const heard = [];
  const elsewhere = createServer((request, response) => {
    if (request.url === '/') heard.push(request.headers.referer ?? 'nothing');
    response.end('elsewhere');
  });
  await new Promise((listening) => elsewhere.listen(0, '127.0.0.1', listening));
  const { port } = elsewhere.address();
  await page.goto(links[0]);
  await Promise.all([
    page.waitForURL(`http://127.0.0.1:${port}/`),
    page.evaluate((address) => { location.href = address; }, `http://127.0.0.1:${port}/`),
  ]);
  demand(heard.length >= 1 && heard.every((told) => told === 'nothing'), `referrers: ${heard}`);
  elsewhere.closeAllConnections();
  elsewhere.close();
  await window.close();
}

/** Somebody who agrees: from the mail's button, on a phone, without scripts, with the keyboard alone. */
async function approve({ name, letter }) {
  const window = await open(letter, PHONE, { javaScriptEnabled: false });
  tells(window);
  await picture(window.mail, `${name}-mail`);
  const page = await follow(window, 'Decide');
  demand((await state(page)) === 'OPEN', await page.content());
  await sound(page, window.faults);
  await picture(page, `${name}-page`);
  await tabTo(page, 'code');
  await page.keyboard.type(code(window.shown));
  await tabTo(page, 'reason');
  await page.keyboard.type('It is needed.\nSoon.');
  await tabTo(page, 'Approve');
  await picture(page, `${name}-focus`);
  await enter(page);
  demand((await state(page)) === 'DECIDED', await page.content());
  const reason = await page.locator('.decisions q').first().innerText();
  demand(reason.includes('It is needed.\nSoon.'), `the lines of a reason run together: ${reason}`);
  await sound(page, window.faults);
  await picture(page, `${name}-decided`);
  // Read again, the mail leads to what has become of it.
  const again = await follow(window, 'Decide');
  demand((await state(again)) === 'DECIDED_BY_YOU' && (await again.locator('form').count()) === 0, await again.content());
  await fits(window);
  await window.close();
}

/** Somebody who comes when it is decided. */
async function late({ name, letter }) {
  const window = await open(letter, WIDE);
  const page = await follow(window, 'Decide');
  demand((await state(page)) === 'APPROVED' && (await page.locator('form').count()) === 0, await page.content());
  await sound(page, window.faults);
  await picture(page, name);
  await window.close();
}

/** Somebody who is sent to the checkout, and pays. */
async function pay({ name, letter }) {
  const window = await open(letter, PHONE, { javaScriptEnabled: false });
  await picture(window.mail, `${name}-mail`);
  const page = await follow(window, 'Go to payment');
  demand((await state(page)) === 'PAY', await page.content());
  await sound(page, window.faults);
  await picture(page, `${name}-page`);
  await tabTo(page, 'code');
  await page.keyboard.type(code(window.shown));
  await tabTo(page, 'Go on to pay USD 899.00');
  await enter(page);
  demand(new URL(page.url()).pathname.startsWith('/checkout/'), page.url());
  await tabTo(page, 'Pay USD 899.00');
  await enter(page);
  await page.getByText('Paid. Thank you.').first().waitFor({ timeout: 20_000 });
  demand(window.faults.length === 0, window.faults.join('\n'));
  const again = await follow(window, 'Go to payment');
  demand((await state(again)) === 'PAID', await again.content());
  await picture(again, `${name}-paid`);
  await window.close();
}

const steps = { scan, approve, late, pay };
for await (const line of createInterface({ input: process.stdin })) {
  const step = JSON.parse(line);
  await check(step.name, () => steps[step.do](step));
}
await browser.close();
