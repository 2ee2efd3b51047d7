// Checks single sign-on with the provider of the package oidc-provider: a browser (fetch, with cookies) walks the whole
// code flow with PKCE, in which the provider tells of the person only when it is asked; and a token that the provider
// has made for the API is taken there.

import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import Provider from 'oidc-provider';
import { check, dataOf, demand, setting } from './common.mjs';

const bursar = setting('BURSAR_URL');
const audience = 'https://bursar.test/api';
const [clientId, clientSecret, app] = ['bursar', randomBytes(24).toString('base64url'), 'app'];

/** Sends an operation with a token. */
async function ask(token, query, variables = {}) {
  const response = await fetch(`${bursar}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
    body: JSON.stringify({ query, variables }),
  });
  return { status: response.status, result: await response.json() };
}

/** A browser: keeps cookies by host and path, and follows nothing by itself. */
class Browser {
  #cookies = [];

  async open(url, request = {}) {
    const { host, pathname } = new URL(url);
    const fitting = this.#cookies.filter((cookie) => cookie.host === host && pathname.startsWith(cookie.path));
    const cookie = fitting.map(({ name, value }) => `${name}=${value}`).join('; ');
    const response = await fetch(url, { redirect: 'manual', ...request, headers: cookie ? { cookie } : {} });
    for (const line of response.headers.getSetCookie()) this.#keep(host, pathname, line);
    const location = response.headers.get('location');
    return {
      url,
      status: response.status,
      text: await response.text(),
      location: location && new URL(location, url).href,
    };
  }

  #keep(host, pathname, line) {
    const [pair, ...attributes] = line.split(';').map((part) => part.trim());
    const [name, value] = [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)];
    const attribute = (wanted) => {
      const found = attributes.find((one) => one.toLowerCase().startsWith(`${wanted}=`));
      return found?.slice(wanted.length + 1);
    };
    const path = attribute('path') ?? pathname;
    this.#cookies = this.#cookies.filter((one) => !(one.host === host && one.name === name && one.path === path));
    const over = attribute('max-age') === '0' || new Date(attribute('expires') ?? '9999-01-01') < new Date();
    if (!over && value) this.#cookies.push({ host, path, name, value });
  }
}

/** The form of a page: where it goes, its hidden fields, the names of all. */
function formOf(text) {
  const form = /<form[^>]*\baction="([^"]+)"[^>]*>([\s\S]*?)<\/form>/i.exec(text);
  if (!form) return undefined;
  const inputs = [...form[2].matchAll(/<input\b[^>]*>/gi)].map(([input]) => ({
    name: /\bname="([^"]*)"/.exec(input)?.[1],
    value: /\bvalue="([^"]*)"/.exec(input)?.[1] ?? '',
    hidden: /\btype="hidden"/.test(input),
  }));
  const hidden = inputs.filter((input) => input.hidden).map(({ name, value }) => [name, value]);
  return { action: form[1], hidden: Object.fromEntries(hidden), names: inputs.map((input) => input.name) };
}

/** Goes wherever it is led, and fills in what the provider asks for, until a page of somebody else's is there. */
async function walk(browser, issuer, start, login, ends = () => false) {
  let [url, request, steps] = [start, {}, []];
  while (steps.length < 20) {
    if (ends(url)) return { url, steps };
    const page = await browser.open(url, request);
    steps.push(`${request.method ?? 'GET'} ${url.split('?')[0]} ${page.status}`);
    request = {};
    if (page.location) {
      // The settings say http://bursar.test; the server listens elsewhere.
      url = page.location.replace(/^http:\/\/bursar\.test(?=\/sso\/)/, bursar);
      continue;
    }
    const form = page.url.startsWith(issuer) ? formOf(page.text) : undefined;
    if (!form) return { ...page, steps };
    const typed = form.names.includes('login') ? { login, password: 'anything' } : {};
    url = new URL(form.action, page.url).href;
    request = { method: 'POST', body: new URLSearchParams({ ...form.hidden, ...typed }) };
  }
  throw new Error(`led in a circle: ${steps.join(', ')}`);
}

// The provider's name has its port in it, which is known only when it listens.
let answer = (_, response) => response.end();
const server = createServer((request, response) => answer(request, response));
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const issuer = `http://127.0.0.1:${server.address().port}`;
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });

const provider = await check('the provider', () => {
  const code = { grant_types: ['authorization_code'], response_types: ['code'] };
  return new Provider(issuer, {
    clients: [
      { ...code, client_id: clientId, client_secret: clientSecret, redirect_uris: ['http://bursar.test/sso/demo/callback'] },
      { ...code, client_id: app, token_endpoint_auth_method: 'none', redirect_uris: ['http://bursar.test/app'] },
    ],
    jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), kid: 'first', use: 'sig', alg: 'RS256' }] },
    cookies: { keys: [randomBytes(24).toString('hex')] },
    scopes: ['openid', 'email', 'profile', 'credits'],
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
    pkce: { required: () => true },
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({ sub: id, email: `${id}@demo.test`, email_verified: true, name: `The ${id}` }),
    }),
    features: {
      devInteractions: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: () => ({
          scope: 'credits',
          audience,
          accessTokenTTL: 300,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: 'RS256' } },
        }),
        useGrantedResource: () => true,
      },
    },
  });
});
answer = provider.callback();

const viewer = '{ viewer { user { email name } memberships { role organization { slug } } } }';
const newcomer = {
  user: { email: 'newcomer@demo.test', name: 'The newcomer' },
  memberships: [{ role: 'AUDITOR', organization: { slug: 'demo' } }],
};

/** The demand that somebody is the newcomer. */
function demandNewcomer({ status, result }) {
  const found = JSON.stringify(dataOf(result).viewer);
  demand(status === 200 && found === JSON.stringify(newcomer), `${status}: it is ${found}`);
}

const urls = await check('an owner has the organization trust it', async () => {
  const owner = setting('BURSAR_TOKEN');
  const found = await ask(owner, '{ organization(by: { slug: "demo" }) { id } }');
  const input = {
    organizationId: dataOf(found.result).organization.id,
    issuer,
    clientId,
    clientSecret,
    audience,
    domains: ['demo.test'],
    joinsJustInTime: true,
    defaultRole: 'AUDITOR',
  };
  const mutation = `mutation Trust($input: ConfigureSingleSignOnInput!) {
    configureSingleSignOn(input: $input) {
      singleSignOn { signInUrl redirectUrl }
      userErrors { message field }
    }
  }`;
  const { singleSignOn, userErrors } = dataOf((await ask(owner, mutation, { input })).result).configureSingleSignOn;
  demand(userErrors.length === 0, JSON.stringify(userErrors));
  demand(singleSignOn.redirectUrl === 'http://bursar.test/sso/demo/callback', singleSignOn.redirectUrl);
  return singleSignOn;
});

const browser = new Browser();
const start = urls.signInUrl.replace('http://bursar.test', bursar);

await check('the whole code flow in a browser', async () => {
  const page = await walk(browser, issuer, start, 'newcomer');
  demand(page.status === 200, `${page.steps.join(', ')}: ${page.text}`);
  demand(page.steps.some((step) => step.startsWith(`POST ${issuer}/`)), 'the provider has asked for nothing');
  const token = /<textarea name="token"[^>]*>([^<]+)</.exec(page.text)?.[1];
  demand(token, 'the page shows no token');
  demandNewcomer(await ask(token, viewer));
});

await check('again, without being asked', async () => {
  const page = await walk(browser, issuer, start, 'nobody');
  demand(page.status === 200 && page.text.includes('newcomer@demo.test'), page.text);
});

await check('another browser is asked, and is somebody else', async () => {
  const page = await walk(new Browser(), issuer, start, 'member');
  demand(page.status === 200 && page.text.includes('member@demo.test'), page.text);
});

await check('a token that the provider has made for the API', async () => {
  const verifier = randomBytes(32).toString('base64url');
  const back = 'http://bursar.test/app';
  const query = new URLSearchParams({
    client_id: app,
    response_type: 'code',
    redirect_uri: back,
    scope: 'openid credits',
    resource: audience,
    state: 'here',
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
  });
  const page = await walk(browser, issuer, `${issuer}/auth?${query}`, 'newcomer', (url) => url.startsWith(back));
  const code = new URL(page.url).searchParams.get('code');
  demand(code, `no code: ${page.url}`);
  const form = { grant_type: 'authorization_code', client_id: app, code, redirect_uri: back, code_verifier: verifier, resource: audience };
  const response = await fetch(`${issuer}/token`, { method: 'POST', body: new URLSearchParams(form) });
  const { access_token: access, id_token: identity } = await response.json();
  demand(access?.split('.').length === 3, `the token is ${access}`);
  demandNewcomer(await ask(access, viewer));
  // The one that tells the application who has signed in is not one for the API.
  const { status } = await ask(identity, viewer);
  demand(status === 401, `an identity token is answered by ${status}`);
});

server.close();
process.exit(0);
