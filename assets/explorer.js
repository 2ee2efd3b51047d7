// The explorer: runs documents over HTTP, and subscriptions over graphql-transport-ws.
"use strict";

const field = (id) => document.getElementById(id);
const samples = {
  "Who am I": ["query Viewer {\n  viewer {\n    user { email name }\n    memberships {\n      role\n      organization { id slug name balance { available version } }\n    }\n  }\n}", {}],
  "Pools and departments": ["query Pools($slug: String!) {\n  organization(by: { slug: $slug }) {\n    pools(first: 10) {\n      nodes {\n        id name\n        balance { posted held available version }\n        unallocated { available }\n        allocations(first: 10) { nodes { department { id name } balance { available } } }\n      }\n    }\n    departments(first: 10) { nodes { id code name } }\n  }\n}", { slug: "demo" }],
  "Catalog": ["query Catalog($slug: String!) {\n  organization(by: { slug: $slug }) {\n    services(first: 20) { nodes { code name credits } }\n    packages(first: 20) { nodes { code name credits prices { amount currency } } }\n  }\n}", { slug: "demo" }],
  "Allocate to a department": ["mutation Allocate($input: AllocateCreditsInput!) {\n  allocateCredits(input: $input) {\n    allocation { balance { available } }\n    balance { available version }\n    userErrors { code message field }\n  }\n}", { input: { poolId: "", departmentId: "", credits: 40, idempotencyKey: "allocate-1" } }],
  "Charge": ["mutation Charge($input: ChargeCreditsInput!) {\n  chargeCredits(input: $input) {\n    charge { id credits lines { service quantity credits } }\n    balance { available version }\n    replayed\n    userErrors {\n      code message field\n      ... on InsufficientCreditsError { scope available shortBy }\n    }\n  }\n}", { input: { poolId: "", departmentId: "", lines: [{ service: "BASIC_ROOM_STAGING", quantity: 1 }], reference: "job-1", idempotencyKey: "job-1" } }],
  "Buy a package": ["mutation Buy($input: RequestPurchaseInput!) {\n  requestPurchase(input: $input) {\n    purchase { id state total { amount currency } }\n    userErrors { code message field }\n  }\n}", { input: { poolId: "", package: "STARTER", idempotencyKey: "buy-1" } }],
  "Pay it": ["mutation Checkout($input: StartCheckoutInput!) {\n  startCheckout(input: $input) {\n    checkoutUrl\n    userErrors { code message field }\n  }\n}", { input: { purchaseId: "", idempotencyKey: "pay-1" } }],
  "Watch a pool": ["subscription Watch($poolId: ID!) {\n  poolBalance(poolId: $poolId) {\n    kind version\n    balance { available }\n    departments { department { name } balance { available } }\n    transfers { version kind credits }\n  }\n}", { poolId: "" }],
};

let socket = null;

function show(value, append) {
  const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
  field("answer").textContent = append ? `${text}\n\n${field("answer").textContent}` : text;
}

function stop() {
  if (socket) socket.close(1000);
  socket = null;
  field("stop").disabled = true;
}

function subscribe(payload) {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const mine = new WebSocket(`${scheme}//${location.host}/graphql/ws`, "graphql-transport-ws");
  socket = mine;
  field("stop").disabled = false;
  const send = (message) => mine.send(JSON.stringify(message));
  mine.onopen = () => send({ type: "connection_init", payload: { authorization: `Bearer ${field("token").value.trim()}` } });
  mine.onmessage = (event) => {
    const message = JSON.parse(event.data);
    if (message.type === "connection_ack") send({ id: "1", type: "subscribe", payload });
    else if (message.type === "ping") send({ type: "pong" });
    else if (message.type === "next" || message.type === "error") show(message.payload, true);
    else if (message.type === "complete") stop();
  };
  mine.onclose = (event) => {
    if (event.code !== 1000) show(`closed: ${event.code} ${event.reason}`, true);
    if (socket === mine) stop();
  };
}

async function run() {
  stop();
  let variables;
  try {
    variables = JSON.parse(field("variables").value || "{}");
  } catch (error) {
    return show(`The variables are not JSON: ${error.message}`);
  }
  const payload = { query: field("document").value, variables };
  if (/^\s*subscription\b/m.test(payload.query)) {
    show("waiting for events ...");
    return subscribe(payload);
  }
  const headers = { "content-type": "application/json", accept: "application/graphql-response+json, application/json" };
  const token = field("token").value.trim();
  if (token) headers.authorization = `Bearer ${token}`;
  try {
    const response = await fetch("/graphql", { method: "POST", headers, body: JSON.stringify(payload) });
    show(await response.json());
  } catch (error) {
    show(`The request failed: ${error.message}`);
  }
}

function choose() {
  const [text, variables] = samples[field("sample").value];
  field("document").value = text;
  field("variables").value = JSON.stringify(variables, null, 2);
}

for (const name of Object.keys(samples)) field("sample").add(new Option(name, name));
field("sample").onchange = choose;
field("run").onclick = run;
field("stop").onclick = stop;
field("token").value = sessionStorage.getItem("token") || "";
field("token").oninput = () => sessionStorage.setItem("token", field("token").value);
document.onkeydown = (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) run();
};
choose();
