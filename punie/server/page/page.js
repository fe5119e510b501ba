// Shows what the server tells at /live. Whatever comes is put in as text, never as markup.

const KEY = "punie-token";
const LEVELS = { debug: 0, info: 1, warning: 2, error: 3, critical: 3 };
const MOST_RECORDS = 500;
const SILENCE_MS = 15000;

const sessions = new Map(); // id -> {about, items: Map(number -> {item, node})}
const records = [];
let connections = [];
let chosen = null; // the id of the session that is shown, once somebody chose one
let shown = null; // the one that is on the screen
let version = null;

const byId = (id) => document.getElementById(id);

function make(tag, className, text, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text) node.textContent = text;
  node.append(...children);
  return node;
}

// The token comes behind the # of the address, which is never sent to anybody, and stays in this
// tab only.
function token() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    sessionStorage.setItem(KEY, given);
    history.replaceState(null, "", location.pathname);
  }
  return sessionStorage.getItem(KEY);
}

function say(text, state) {
  byId("link").textContent = text;
  byId("link").dataset.state = state;
}

// --- the connection ---------------------------------------------------------------------------

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

async function ask(path, options = {}) {
  const headers = { Authorization: `Bearer ${token()}`, ...options.headers };
  return fetch(path, { ...options, headers, cache: "no-store", credentials: "omit" });
}

async function stay() {
  let wait = 500;
  let refusal = "No token.";
  for (;;) {
    if (!token()) {
      say(`${refusal} Open the address that \`punie status\` prints.`, "bad");
      await pause(1000);
      continue;
    }
    try {
      const begun = Date.now();
      const refused = await follow();
      if (Date.now() - begun > 5000) wait = 500;
      if (refused) {
        sessionStorage.removeItem(KEY);
        refusal = refused;
        continue;
      }
    } catch {
      // The network's trouble is what the next line says.
    }
    say("The server does not answer; trying again.", "bad");
    document.body.classList.add("away");
    await pause(wait * (0.5 + Math.random() / 2));
    wait = Math.min(wait * 2, 10000);
  }
}

async function follow() {
  const silent = new AbortController();
  let timer = setTimeout(() => silent.abort(), SILENCE_MS);
  try {
    const response = await ask("/live", { signal: silent.signal });
    if (response.status === 401) return (await response.json()).error;
    if (!response.ok) return null;
    forget();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return null;
      clearTimeout(timer);
      timer = setTimeout(() => silent.abort(), SILENCE_MS);
      const events = (rest + value).split("\n\n");
      rest = events.pop();
      for (const event of events) {
        if (event.startsWith("data: ")) take(JSON.parse(event.slice(6)));
      }
    }
  } finally {
    clearTimeout(timer);
  }
}

function forget() {
  sessions.clear();
  records.length = 0;
  byId("log").replaceChildren();
  byId("items").replaceChildren();
  shown = null;
  document.body.classList.remove("away");
}

function take(changes) {
  const stream = byId("items");
  const atEnd = stream.scrollHeight - stream.scrollTop - stream.clientHeight < 40;
  for (const change of changes) apply(change);
  draw();
  if (atEnd) stream.scrollTop = stream.scrollHeight;
}

function apply(change) {
  switch (change.type) {
    case "hello":
      // Another version of the server has another page.
      if (version !== null && version !== change.version) location.reload();
      version = change.version;
      say("live", "good");
      break;
    case "numbers":
      drawNumbers(change);
      break;
    case "connections":
      connections = change.connections;
      break;
    case "session": {
      const session = sessions.get(change.id) ?? { items: new Map() };
      session.about = change;
      sessions.set(change.id, session);
      for (const [number, entry] of session.items) {
        if (number >= change.first) break;
        entry.node?.remove();
        session.items.delete(number);
      }
      break;
    }
    case "gone":
      sessions.delete(change.session);
      break;
    case "item":
      putItem(change.session, change.item);
      break;
    case "more": {
      const entry = sessions.get(change.session)?.items.get(change.n);
      if (entry) {
        entry.item.text += change.text;
        entry.node?.querySelector(".text").append(change.text);
      }
      break;
    }
    case "log":
      for (const record of change.records) putRecord(record);
      break;
  }
}

// --- the stream of a session ------------------------------------------------------------------

function putItem(id, item) {
  const session = sessions.get(id);
  const before = session.items.get(item.n);
  const entry = { item, node: null };
  session.items.set(item.n, entry);
  if (shown === id) {
    entry.node = itemNode(item);
    if (before?.node) {
      const open = before.node.querySelector("details")?.open;
      before.node.replaceWith(entry.node);
      const details = entry.node.querySelector("details");
      if (details && open !== undefined) details.open = open;
    } else {
      byId("items").append(entry.node);
    }
  }
}

function itemNode(item) {
  const node = make("article", `item ${item.kind}`);
  node.dataset.n = item.n;
  switch (item.kind) {
    case "call":
      node.append(callNode(item));
      break;
    case "question":
      node.append(questionNode(item));
      break;
    case "plan":
      for (const step of item.steps) {
        node.append(make("p", `step ${known(step.status)}`, step.content));
      }
      break;
    case "end":
      node.append(make("p", item.failed ? "failed" : "", ended(item)));
      break;
    case "thought": {
      const details = make("details", "", "", make("summary", "", "thinking"));
      details.open = true;
      details.append(make("div", "text", item.text));
      node.append(details);
      break;
    }
    default:
      node.append(make("div", "text", item.text));
  }
  return node;
}

const known = (status) => (/^[a-z_]+$/.test(status) ? status : "");
const ended = (item) => (item.reason === "end_turn" ? "the turn ended" : item.reason.replaceAll("_", " "));

function callNode(item) {
  const head = make("summary", "", "",
    make("span", `status ${known(item.status)}`, item.status.replaceAll("_", " ")),
    make("span", "title", titled(item.title) || item.id),
  );
  const details = make("details", "", "", head);
  const content = item.content.filter((block) => block.text || block.path);
  if (!content.length && item.input) content.push({ text: item.input });
  for (const block of content) details.append(blockNode(block));
  details.open = content.some((block) => block.path) || item.status === "in_progress";
  return details;
}

function questionNode(item) {
  const node = make("div", item.answer ? "answered" : "open", "",
    make("p", "title", titled(item.title)),
  );
  for (const block of item.content) node.append(blockNode(block));
  if (!item.content.length && item.input) node.append(blockNode({ text: item.input }));
  if (item.answer) node.append(make("p", "answer", item.answer));
  else {
    const choices = item.options.map((option) => make("li", "", option.name));
    node.append(make("p", "hint", "Waits for an answer in its front end:"), make("ul", "", "", ...choices));
  }
  return node;
}

function blockNode(block) {
  if (!block.path) return make("pre", "output", unfenced(block.text));
  const lines = diffLines(block.old, block.new);
  const body = make("pre", "diff");
  for (const [sign, text] of lines) {
    const kind = { "+": "added", "-": "removed", "…": "skipped" }[sign] ?? "";
    body.append(make("span", kind, `${sign} ${text}\n`));
  }
  if (block.cut) body.append(make("span", "skipped", "… cut\n"));
  return make("div", "change", "", make("p", "path", block.path), body);
}

// Results are written for front ends that show Markdown; here they are plain.
function unfenced(text) {
  const fenced = /^(`{3,})[^\n`]*\n([^]*?)\n?\1\s*$/.exec(text);
  return fenced && !fenced[2].includes(`\n${fenced[1]}`) ? fenced[2] : text;
}

const titled = (text) => /^`([^`]+)`$/.exec(text)?.[1] ?? text;

// Lines in common at the beginning and the end are left out but for three; between them the
// longest common subsequence tells what was kept.
function diffLines(before, after) {
  const old = splitLines(before);
  const now = splitLines(after);
  let start = 0;
  while (start < old.length && start < now.length && old[start] === now[start]) start++;
  let end = 0;
  while (
    end < old.length - start && end < now.length - start &&
    old[old.length - 1 - end] === now[now.length - 1 - end]
  ) end++;
  const lines = [];
  if (start > 3) lines.push(["…", ""]);
  for (const text of old.slice(Math.max(0, start - 3), start)) lines.push([" ", text]);
  lines.push(...changedLines(old.slice(start, old.length - end), now.slice(start, now.length - end)));
  const tail = old.slice(old.length - end);
  for (const text of tail.slice(0, 3)) lines.push([" ", text]);
  if (tail.length > 3) lines.push(["…", ""]);
  return lines;
}

function splitLines(text) {
  if (!text) return [];
  return text.replace(/\n$/, "").split("\n");
}

function changedLines(old, now) {
  const removed = (text) => ["-", text];
  const added = (text) => ["+", text];
  if (old.length * now.length > 250000) return [...old.map(removed), ...now.map(added)];
  const width = now.length + 1;
  const common = new Uint32Array((old.length + 1) * width);
  for (let i = old.length - 1; i >= 0; i--) {
    for (let j = now.length - 1; j >= 0; j--) {
      common[i * width + j] = old[i] === now[j]
        ? common[(i + 1) * width + j + 1] + 1
        : Math.max(common[(i + 1) * width + j], common[i * width + j + 1]);
    }
  }
  const lines = [];
  let i = 0;
  let j = 0;
  while (i < old.length && j < now.length) {
    if (old[i] === now[j]) {
      lines.push([" ", old[i]]);
      i++;
      j++;
    } else if (common[(i + 1) * width + j] >= common[i * width + j + 1]) lines.push(removed(old[i++]));
    else lines.push(added(now[j++]));
  }
  return [...lines, ...old.slice(i).map(removed), ...now.slice(j).map(added)];
}

// --- what is around it ------------------------------------------------------------------------

const nameOf = (about) => about.title || "new session";
const folderOf = (cwd) => cwd.split("/").filter(Boolean).pop() ?? cwd;
const modelOf = (model) => (model.includes("/") ? model.split("/").pop() : model);

function draw() {
  const current = sessions.has(chosen) ? chosen : liveliest();
  drawSessions(current);
  drawQuestions();
  drawAbout(current);
  if (current !== shown) drawItems(current);
  drawClients();
}

function liveliest() {
  const all = [...sessions.values()].reverse().map((session) => session.about);
  for (const state of ["waiting", "running", "idle", "closed"]) {
    const these = all.filter((about) => about.state === state);
    const found = these.find((about) => about.id === shown) ?? these[0];
    if (found) return found.id;
  }
  return null;
}

function choose(id) {
  chosen = id;
  draw();
  byId("items").scrollTop = byId("items").scrollHeight;
}

function drawSessions(current) {
  const projects = new Map();
  for (const { about } of [...sessions.values()].reverse()) {
    if (!projects.has(about.cwd)) projects.set(about.cwd, []);
    projects.get(about.cwd).push(about);
  }
  const groups = [];
  for (const cwd of [...projects.keys()].sort()) {
    const head = make("h2", "", folderOf(cwd));
    head.title = cwd;
    const group = make("div", "project", "", head);
    for (const about of projects.get(cwd)) {
      const row = make("button", `session ${about.state}`, "",
        make("span", "name", nameOf(about)),
        make("span", "facts", [about.state, about.client, modelOf(about.model)].filter(Boolean).join(" · ")),
      );
      row.type = "button";
      row.setAttribute("aria-current", about.id === current);
      row.dataset.session = about.id;
      group.append(row);
    }
    groups.push(group);
  }
  if (!groups.length) groups.push(make("p", "none", "No client has a session open."));
  redraw(byId("sessions"), groups, "session");
}

// What is drawn anew must not take the keyboard away from whoever is on it; and what is the same
// stays, so that a click in the middle of a stream is one.
function redraw(place, nodes, name) {
  const same = place.childNodes.length === nodes.length &&
    nodes.every((node, index) => node.isEqualNode(place.childNodes[index]));
  if (same) return;
  const focused = place.contains(document.activeElement) ? document.activeElement.dataset[name] : null;
  place.replaceChildren(...nodes);
  if (focused) place.querySelector(`[data-${name}="${CSS.escape(focused)}"]`)?.focus();
}

function drawQuestions() {
  const rows = [];
  for (const [id, session] of sessions) {
    if (session.about.state !== "waiting") continue;
    for (const { item } of session.items.values()) {
      if (item.kind !== "question" || item.answer) continue;
      const row = make("button", "waiting", "",
        make("span", "what", titled(item.title)),
        make("span", "facts", [
          folderOf(session.about.cwd), nameOf(session.about),
          `waits for an answer in ${session.about.client || "its front end"}`,
        ].join(" · ")),
      );
      row.type = "button";
      row.dataset.session = id;
      rows.push(row);
    }
  }
  redraw(byId("questions"), rows, "session");
}

function drawAbout(current) {
  const place = byId("about");
  const about = sessions.get(current)?.about;
  if (!about) {
    place.replaceChildren();
    return;
  }
  const facts = [
    about.cwd, about.client, about.mode && `mode ${about.mode}`, modelOf(about.model),
    about.size ? `${Math.round((100 * about.used) / about.size)} % of ${about.size.toLocaleString("en")} tokens` : "",
  ].filter(Boolean);
  const nodes = [
    make("h2", "", nameOf(about)),
    make("p", "facts", facts.join(" · ")),
  ];
  if (about.state === "running" || about.state === "waiting") {
    const stop = make("button", "cancel", "Cancel the turn");
    stop.type = "button";
    stop.dataset.cancel = about.id;
    nodes.push(stop);
  }
  redraw(place, nodes, "cancel");
}

function drawItems(current) {
  const entries = sessions.get(shown)?.items.values() ?? [];
  for (const entry of entries) entry.node = null;
  shown = current;
  const nodes = [];
  for (const entry of sessions.get(current)?.items.values() ?? []) {
    entry.node = itemNode(entry.item);
    nodes.push(entry.node);
  }
  byId("items").replaceChildren(...nodes);
  byId("items").scrollTop = byId("items").scrollHeight;
}

function drawClients() {
  const rows = connections.map((each) => {
    const own = [...sessions.values()].filter((session) => session.about.connection === each.id);
    return make("tr", "", "",
      make("td", "", each.client || "unknown"),
      make("td", "", each.kind),
      make("td", "", each.id),
      make("td", "", new Date(each.since * 1000).toLocaleTimeString()),
      make("td", "", String(own.length)),
    );
  });
  const head = make("tr", "", "", ...["client", "over", "connection", "since", "sessions"].map((name) => make("th", "", name)));
  redraw(byId("clients"), [rows.length ? make("table", "", "", head, ...rows) : make("p", "none", "No client is connected.")]);
  byId("tab-clients").textContent = `Clients (${connections.length})`;
}

function drawNumbers(numbers) {
  const ended = Object.values(numbers.turns_ended).reduce((sum, count) => sum + count, 0);
  const facts = [
    ["up", duration(numbers.uptime_seconds)],
    ["clients", numbers.clients],
    ["sessions", numbers.sessions],
    ["turns now", numbers.turns],
    ["turns ended", ended],
    ["mean turn", ended ? `${(numbers.turn_seconds / ended).toFixed(1)} s` : "–"],
    ["memory", numbers.memory_bytes ? `${(numbers.memory_bytes / 2 ** 30).toFixed(1)} GiB` : "–"],
  ];
  byId("numbers").replaceChildren(
    ...facts.map(([name, value]) => make("div", "", "", make("dt", "", name), make("dd", "", String(value)))),
  );
}

function duration(seconds) {
  const minutes = Math.floor(seconds / 60);
  if (minutes < 1) return `${Math.floor(seconds)} s`;
  if (minutes < 60) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

// --- the log ----------------------------------------------------------------------------------

function passes(record) {
  const wanted = byId("filter").value.toLowerCase();
  if ((LEVELS[record.level.toLowerCase()] ?? 1) < Number(byId("level").value)) return false;
  return !wanted || `${record.event} ${record.fields}`.toLowerCase().includes(wanted);
}

function putRecord(record) {
  const log = byId("log");
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  records.push(record);
  record.node = make("p", known(record.level.toLowerCase()), "",
    make("time", "", new Date(record.at * 1000).toLocaleTimeString()),
    make("b", "", record.event),
    make("span", "fields", record.fields),
  );
  record.node.hidden = !passes(record);
  log.append(record.node);
  if (records.length > MOST_RECORDS) records.shift().node.remove();
  if (atEnd) log.scrollTop = log.scrollHeight;
}

function filterLog() {
  for (const record of records) record.node.hidden = !passes(record);
  byId("log").scrollTop = byId("log").scrollHeight;
}

function pick(name) {
  for (const each of ["log", "clients"]) {
    byId(each).hidden = each !== name;
    byId(`tab-${each}`).setAttribute("aria-selected", each === name);
  }
  for (const each of ["filter", "level"]) byId(each).hidden = name !== "log";
}

// --- what a person does -----------------------------------------------------------------------

document.addEventListener("click", async (event) => {
  const target = event.target.closest("button");
  if (target?.dataset.session) choose(target.dataset.session);
  if (target?.dataset.cancel) {
    target.disabled = true;
    await ask("/live/cancel", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ session: target.dataset.cancel }),
    }).catch(() => {});
  }
});
byId("tab-log").addEventListener("click", () => pick("log"));
byId("tab-clients").addEventListener("click", () => pick("clients"));
byId("filter").addEventListener("input", filterLog);
byId("level").addEventListener("change", filterLog);
window.addEventListener("hashchange", token);

stay();
