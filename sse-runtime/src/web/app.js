// The page of the hub: one listener, and a few buttons that make something happen.
//
// From the top: the page's own state, the forms, what arrives, the lists; then the stream (fetch, back-off, resume) and
// the parser of the wire format at the end. Text from the hub enters the document by `textContent` only.

const FEED_ROWS = 100;
const WIRE_ROWS = 200;
const FRAME_SHOWN = 4_000; // characters of one frame, or one feed entry, that are shown
const LISTENERS_SHOWN = 200;
const LISTENERS_CHANGED = 'listeners-changed';

const $ = (id) => document.getElementById(id);
const PREFIX = readPrefix();

/** What the page knows. The token lives here and nowhere else. */
const me = {
  token: '',
  name: '',
  id: '',
  keys: new Set(),
  tasks: new Map(), // name → { row, status, … } as drawn
};

let stream = null;

// ---------------------------------------------------------------------------------------------------- connect

onSubmit('connect-form', async (form) => {
  const name = required(form, 'name', 'Say who you are: any short name will do.');
  me.name = name;
  me.id = await call('GET', `make-id/${enc(name)}`);
  me.keys.clear();
  me.tasks.clear();
  $('tasks').replaceChildren();
  stream = new Stream({
    request: streamRequest,
    onState: showState,
    onOpen: restore,
    onFrame: (frame) => { showFrame(frame); arrived(frame); },
    onLine: showHttp,
    onBytes: (n) => { wire.bytes += n; },
    onUnknown: renew,
  });
  showConnected(true);
  showKeys();
  stream.start();
});

$('disconnect').addEventListener('click', async () => {
  stream.stop();
  const id = me.id;
  me.id = '';
  me.keys.clear();
  showConnected(false);
  showKeys();
  note($('connect-form'), 'Disconnected.');
  $('connect-button').focus();
  try {
    await call('GET', `disconnect-registrant/${enc(id)}`);
  } catch (error) {
    note($('connect-form'), `Disconnected here, but the hub could not be told: ${error.message}`, 'bad');
  }
  listListeners();
});

$('retry-now').addEventListener('click', () => stream?.retryNow());
addEventListener('online', () => stream?.retryNow());
document.addEventListener('visibilitychange', () => { if (!document.hidden) stream?.retryNow(); });

/** Everything the page listens to is in the address, so one request restores it all, in a hub that knows nothing too. */
function streamRequest() {
  const query = new URLSearchParams({ client: me.id });
  for (const key of [LISTENERS_CHANGED, ...me.keys]) query.append('topic', key);
  return { path: `${PREFIX}events?${query}`, headers: authorization() };
}

/** The hub does not know this page's id and wants one of its own making. */
async function renew() {
  me.id = await call('GET', `make-id/${enc(me.name)}`);
  $('my-id').textContent = me.id;
}

async function restore() {
  listListeners();
  if (me.tasks.size === 0) return;
  try {
    const known = new Map(JSON.parse(await call('GET', `tasks/${enc(me.id)}`)).map((task) => [task.task, task]));
    for (const [name, task] of me.tasks) {
      if (known.has(name)) showTask(name, known.get(name));
      else if (running(task)) showTask(name, { status: 'lost', reason: 'the hub no longer knows of it; submit it again' });
    }
  } catch (error) {
    note($('task-form'), `The state of your tasks could not be read: ${error.message}`, 'bad');
  }
}

const STATES = {
  idle: () => 'Not connected',
  connecting: () => 'Connecting…',
  open: () => 'Connected',
  waiting: ({ seconds }) => (seconds > 0 ? `Reconnecting in ${seconds} s` : 'Reconnecting…'),
  refused: () => 'Refused by the hub',
};

let lastState = 'idle';

function showState(state, detail = {}) {
  $('state').dataset.state = state;
  // A countdown is for the eye; only a change of state is read out.
  $('state').setAttribute('aria-live', state === 'waiting' && lastState === 'waiting' ? 'off' : 'polite');
  $('state-text').textContent = STATES[state](detail);
  $('retry-now').hidden = state !== 'waiting' && state !== 'refused';
  if (state === 'waiting' && lastState === 'open') {
    feed('hub', 'connection', `The connection ended${detail.why ? ` (${detail.why})` : ''}. This page keeps trying, and will go on where it stopped.`);
  }
  if (state === 'refused') {
    feed('fail', 'refused', detail.why);
    if (detail.status === 401) askForToken(detail.why);
  }
  lastState = state;
}

function showConnected(yes) {
  $('connect-form').hidden = yes;
  $('connected').hidden = !yes;
  $('my-name').textContent = me.name;
  $('my-id').textContent = me.id;
  for (const part of document.querySelectorAll('[data-needs="connection"]')) part.disabled = !yes;
  if (yes) $('disconnect').focus({ preventScroll: true });
}

// ---------------------------------------------------------------------------------------------------- forms

onSubmit('listen-form', async (form) => {
  const key = required(form, 'key', 'Which key?');
  if (me.keys.has(key)) return `You already listen to ${key}.`;
  await call('PUT', `listen/${enc(me.id)}/${enc(key)}`);
  me.keys.add(key);
  showKeys();
  listListeners();
  return `Listening to ${key}. Now publish to it, or notify it.`;
});

function showKeys() {
  $('keys').replaceChildren(...[...me.keys].map((key) => {
    const remove = h('button', { type: 'button', ariaLabel: `Stop listening to ${key}` }, '×');
    const chip = h('li', { className: 'chip' }, key, remove);
    remove.addEventListener('click', async () => {
      remove.disabled = true;
      try {
        await call('DELETE', `listen/${enc(me.id)}/${enc(key)}`);
        me.keys.delete(key);
        showKeys();
        note($('listen-form'), `No longer listening to ${key}.`);
        $('listen-form').elements.key.focus();
        listListeners();
      } catch (error) {
        remove.disabled = false;
        note($('listen-form'), error.message, 'bad');
      }
    });
    return chip;
  }));
}

$('task-pick').addEventListener('change', (event) => {
  $('seconds-field').hidden = event.target.value !== 'sleep';
  $('other-field').hidden = event.target.value !== '';
});

onSubmit('task-form', async (form) => {
  const name = form.elements.task.value || required(form, 'other', 'Which task?');
  let parameters;
  if (form.elements.task.value === 'sleep') {
    const seconds = form.elements.seconds;
    if (seconds.value === '' || !seconds.validity.valid) throw new Unfit(seconds, 'Seconds: a number from 0 to 600.');
    parameters = { seconds: seconds.valueAsNumber };
  }
  // Drawn before the hub answers: the first frame about it may arrive before the answer does.
  const before = me.tasks.get(name);
  if (!running(before)) showTask(name, { status: 'submitted' }, true);
  try {
    await call('PUT', `submit-task/${enc(me.id)}/${enc(name)}`, parameters);
  } catch (error) {
    if (!running(before)) dropTask(name);
    throw error;
  }
});

onSubmit('publish-form', async (form) => {
  const topic = required(form, 'topic', 'To which topic?');
  const { event, data, json } = form.elements;
  let value = data.value;
  if (json.checked) {
    try {
      value = JSON.parse(value);
    } catch (error) {
      throw new Unfit(data, `The data is not JSON: ${error.message}`);
    }
  }
  const body = { to: { topic }, data: value };
  if (event.value.trim()) body.event = event.value.trim();
  const { id } = JSON.parse(await call('POST', 'publish', body));
  const unheard = me.id && !me.keys.has(topic) ? ` You do not listen to ${topic}, so it does not come back to you.` : '';
  return `Published as ${id}.${unheard}`;
});

onSubmit('notify-form', async (form) => {
  const key = required(form, 'key', 'Which key?');
  const { id } = JSON.parse(await call('POST', `notify/${enc(key)}`));
  return `Notified as ${id}.`;
});

onSubmit('token-form', async (form) => {
  me.token = required(form, 'token', 'Paste the token the hub was started with.');
  form.reset();
  $('token-bar').hidden = true;
  showCurl();
  stream?.retryNow();
  listListeners();
});

function askForToken(why) {
  $('token-why').textContent = me.token ? `It did not accept the one you gave. ${why}` : why;
  if (!$('token-bar').hidden) return;
  $('token-bar').hidden = false;
  showCurl();
}

const authorization = () => (me.token ? { authorization: `Bearer ${me.token}` } : {});

/** A form's action: the button rests meanwhile; what it returns, or why it failed, is said under the form. */
function onSubmit(id, action) {
  const form = $(id);
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const button = form.querySelector('button');
    if (button.disabled) return;
    for (const field of form.elements) field.removeAttribute('aria-invalid');
    button.disabled = true;
    try {
      note(form, (await action(form)) ?? '', 'good');
    } catch (error) {
      note(form, error.message, 'bad');
      const field = error.input ?? blamed(form, error.field);
      field?.setAttribute('aria-invalid', 'true');
      field?.focus();
    } finally {
      button.disabled = false;
    }
  });
}

/** The input a server error speaks of: its `field` is a path such as `to.topic`. */
function blamed(form, field) {
  const last = field?.split(/[./[\]]+/).filter(Boolean).pop();
  const input = last && form.elements.namedItem(last);
  return input instanceof HTMLElement ? input : null;
}

function note(form, text, kind = '') {
  const place = form.querySelector('.note');
  place.textContent = text;
  place.className = text ? `note ${kind}` : 'note';
}

function required(form, field, complaint) {
  const input = form.elements.namedItem(field);
  const value = input.value.trim();
  if (!value) throw new Unfit(input, complaint);
  return value;
}

/** What a person typed cannot be sent; `input` is where. */
class Unfit extends Error {
  constructor(input, message) {
    super(message);
    this.input = input;
  }
}

// ---------------------------------------------------------------------------------------------------- what arrives

const GAPS = {
  epoch: 'The hub was restarted and its log began anew, so anything sent meanwhile cannot be shown.',
  evicted: 'This page was away for longer than the log remembers; some events in between are gone.',
  unknown: 'The hub does not know the place where this page stopped; some events may be missing.',
  overrun: 'Events came faster than this page read them; some were passed over.',
};

function arrived(frame) {
  if (!frame.dispatched) return;
  const value = parseJson(frame.data);
  if (frame.event === 'connected') return feed('hub', 'connected', `You are connected as ${me.name}.${again()}`);
  if (frame.event === 'gap') return feed('hub', 'gap', `${GAPS[value?.reason] ?? 'Some events could not be given.'} You are up to date from here on.`);
  if (['progress', 'completed', 'failed'].includes(frame.event) && value?.client === me.id && typeof value.task === 'string') {
    return taskArrived(frame.event, value);
  }
  if (frame.event === 'message' && typeof value === 'string' && value.startsWith('notify^')) {
    const key = value.slice('notify^'.length);
    return key === LISTENERS_CHANGED ? listListeners() : feed('event', 'notify', `${key} has changed.`);
  }
  feed('event', frame.event, frame.data);
}

const again = () => (me.keys.size ? ` This page listens again to ${[...me.keys].join(', ')}.` : '');

function taskArrived(event, value) {
  const status = event === 'progress' ? 'progress' : event;
  showTask(value.task, { ...value, status });
  if (status === 'completed') feed('event', 'completed', `${value.task} is done.`);
  if (status === 'failed') feed('fail', 'failed', `${value.task} failed: ${value.reason ?? 'no reason was given'}`);
}

function feed(kind, tag, text) {
  $('feed-empty').hidden = true;
  $('feed').prepend(h('li', { className: `${kind} fresh` },
    h('span', { className: 'tag' }, tag), clock(), h('p', { className: 'body' }, shortened(text))));
  while ($('feed').childElementCount > FEED_ROWS) $('feed').lastElementChild.remove();
}

$('feed-clear').addEventListener('click', () => { $('feed').replaceChildren(); $('feed-empty').hidden = false; });

// ---------------------------------------------------------------------------------------------------- tasks

const running = (task) => task?.status === 'submitted' || task?.status === 'progress';

/** Draws a task anew; `fresh` starts its clock, everything else keeps what was known. */
function showTask(name, news, fresh = false) {
  const old = me.tasks.get(name);
  const task = fresh || !old ? { since: performance.now(), ...news } : { ...old, ...news };
  const percent = typeof task.progress === 'number' ? task.progress : task.progress?.percent;
  const seconds = ((performance.now() - task.since) / 1000).toFixed(1);
  const ended = !running(task);
  if (ended && old && !fresh && !running(old)) return;

  const bar = h('progress', { max: 100, ariaLabel: `Progress of ${name}` });
  if (task.status === 'completed') bar.value = 100;
  else if (typeof percent === 'number') bar.value = percent;
  else if (ended) bar.value = 0;

  const said = {
    submitted: () => 'accepted, waiting',
    progress: () => (typeof percent === 'number' ? `${Math.round(percent)} %` : 'under way'),
    completed: () => `done in ${seconds} s`,
    failed: () => 'failed',
    lost: () => 'lost',
  }[task.status]?.() ?? task.status;
  const detail = task.status === 'completed' ? task.result : ended ? task.reason : typeof percent === 'number' ? undefined : task.progress;

  const row = h('li', { className: 'task' },
    h('div', { className: 'task-top' }, h('strong', {}, name), h('span', { className: 'task-status' }, said)), bar);
  row.dataset.status = task.status;
  if (detail !== undefined && detail !== null) {
    row.append(h('p', { className: 'task-result' }, shortened(typeof detail === 'string' ? detail : JSON.stringify(detail))));
  }
  if (old && !fresh) old.row.replaceWith(row);
  else {
    old?.row.remove();
    $('tasks').prepend(row);
  }
  me.tasks.set(name, { ...task, row });
}

function dropTask(name) {
  me.tasks.get(name)?.row.remove();
  me.tasks.delete(name);
}

// ---------------------------------------------------------------------------------------------------- the wire

const wire = { frames: 0, beats: 0, bytes: 0, paused: false, following: true, touched: -Infinity };

/** Draws a frame as it was received: field names set apart, nothing left out but the tail of a very long one. */
function showFrame(frame) {
  const beat = frame.lines.every((line) => line.startsWith(':'));
  wire.frames += !beat;
  wire.beats += beat;
  const text = frame.lines.join('\n');
  const pre = h('pre');
  for (const line of shortened(text).split('\n')) {
    const colon = line.indexOf(':');
    if (pre.hasChildNodes()) pre.append('\n');
    if (colon > 0) pre.append(h('span', { className: 'f' }, line.slice(0, colon + 1)), line.slice(colon + 1));
    else pre.append(line);
  }
  wireRow(beat ? 'beat' : 'frame', pre);
}

const showHttp = (text) => wireRow('http', h('pre', {}, text));

function wireRow(kind, pre) {
  $('wire-count').textContent = `${count(wire.frames, 'frame')}, ${count(wire.beats, 'heartbeat')}, ${bytes(wire.bytes)}`;
  if (wire.paused) return;
  const list = $('wire');
  $('wire-empty').hidden = true;
  list.append(h('li', { className: kind }, clock(), pre));
  while (list.childElementCount > WIRE_ROWS) list.firstElementChild.remove();
  followWire();
}

/** The newest frame stays in sight until somebody scrolls away from it. */
function followWire() {
  if (wire.following) $('wire').scrollTop = $('wire').scrollHeight;
}

new ResizeObserver(followWire).observe($('wire'));
$('wire').addEventListener('scroll', ({ target }) => {
  const atEnd = target.scrollHeight - target.scrollTop - target.clientHeight < 24;
  // A change of layout scrolls too; only a hand turns the following off.
  if (atEnd) wire.following = true;
  else if (performance.now() - wire.touched < 1_000) wire.following = false;
});
for (const touch of ['wheel', 'touchmove', 'pointerdown', 'keydown']) {
  $('wire').addEventListener(touch, () => { wire.touched = performance.now(); }, { passive: true });
}

$('wire-clear').addEventListener('click', () => { $('wire').replaceChildren(); $('wire-empty').hidden = false; });
$('wire-pause').addEventListener('click', () => {
  wire.paused = !wire.paused;
  $('wire-pause').setAttribute('aria-pressed', String(wire.paused));
  $('wire-pause').textContent = wire.paused ? 'Go on' : 'Pause';
});

// ---------------------------------------------------------------------------------------------------- who is listening

const listing = { busy: false, again: false };

/** At most one request at a time; a change while it runs asks once more. */
async function listListeners() {
  if (listing.busy) {
    listing.again = true;
    return;
  }
  listing.busy = true;
  try {
    showListeners(JSON.parse(await call('GET', 'list-registrants')));
    note($('who-note').parentElement, '');
  } catch (error) {
    // While the connection is being restored its state says enough.
    if (error.status) note($('who-note').parentElement, `The list could not be read: ${error.message}`, 'bad');
  } finally {
    listing.busy = false;
    if (listing.again) {
      listing.again = false;
      listListeners();
    }
  }
}

function showListeners(registrants) {
  const all = Object.entries(registrants);
  $('who').hidden = all.length === 0;
  $('who-empty').hidden = all.length > 0;
  $('who-count').textContent = all.length > LISTENERS_SHOWN ? `${all.length}, the first ${LISTENERS_SHOWN} shown` : all.length ? String(all.length) : '';
  $('who-rows').replaceChildren(...all.slice(0, LISTENERS_SHOWN).map(([id, about]) => {
    const cut = id.lastIndexOf('_');
    const name = h('td', {}, h('strong', {}, cut > 0 ? id.slice(0, cut) : id));
    if (id === me.id) name.append(h('span', { className: 'you' }, 'this page'));
    const keys = (about.listenKeys ?? []).filter((key) => !(id === me.id && key === LISTENERS_CHANGED));
    const suffix = cut > 0 ? id.slice(cut + 1) : '';
    return h('tr', {},
      name,
      h('td', {}, h('code', { title: id }, suffix.length > 10 ? `…${suffix.slice(-8)}` : suffix)),
      h('td', {}, keys.length ? h('ul', { className: 'chips' }, ...keys.map((key) => h('li', { className: 'chip plain' }, key))) : h('span', { className: 'soft' }, 'nothing yet')),
      h('td', {}, clockText(new Date(about['registered-ts']))));
  }));
}

$('who-refresh').addEventListener('click', listListeners);

// ---------------------------------------------------------------------------------------------------- from a terminal

function showCurl() {
  const base = `${location.origin}${PREFIX}`;
  const auth = me.token || !$('token-bar').hidden ? ' -H "Authorization: Bearer $TOKEN"' : '';
  $('curl-listen').textContent = `curl -N '${base}events?topic=news'`;
  $('curl-publish').textContent = `curl${auth} -d '{"to":{"topic":"news"},"event":"greeting","data":"Hello from a terminal"}' ${base}publish`;
}

for (const button of document.querySelectorAll('[data-copy]')) {
  button.addEventListener('click', async () => {
    const code = $(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = 'Copied';
    } catch {
      getSelection().selectAllChildren(code); // no clipboard here: leave it selected for ctrl-c
      button.textContent = 'Selected';
    }
    setTimeout(() => { button.textContent = 'Copy'; }, 1500);
  });
}

// ---------------------------------------------------------------------------------------------------- small things

/** One request to the hub; resolves with the body, or throws what the hub said was wrong. */
async function call(method, path, body) {
  const headers = authorization();
  if (body !== undefined) headers['content-type'] = 'application/json';
  let response;
  let text;
  try {
    response = await fetch(PREFIX + path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), cache: 'no-store' });
    text = await response.text();
  } catch {
    throw new HubError(0, 'The hub does not answer. Is it running?');
  }
  if (response.ok) return text;
  const error = await HubError.from(response, text);
  if (error.status === 401) askForToken(error.message);
  throw error;
}

/** What the hub answered instead: its own words, and the field it blames. */
class HubError extends Error {
  constructor(status, message, field) {
    super(message);
    this.status = status;
    this.field = field;
  }

  static from(response, text) {
    const said = parseJson(text);
    return new HubError(response.status, said?.error ?? (text.trim() || `The hub answered ${response.status}.`), said?.field);
  }
}

function readPrefix() {
  const given = document.querySelector('meta[name="sse-prefix"]')?.content ?? '';
  return given.startsWith('/') && given.endsWith('/') ? given : '/sse/';
}

function h(tag, props = {}, ...children) {
  const element = Object.assign(document.createElement(tag), props);
  element.append(...children);
  return element;
}

function parseJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const enc = encodeURIComponent;
const clock = () => h('time', {}, clockText(new Date()));
const clockText = (date) => date.toLocaleTimeString('en-GB');
const count = (n, what) => `${n} ${what}${n === 1 ? '' : 's'}`;
const bytes = (n) => (n < 1000 ? `${n} B` : n < 1e6 ? `${(n / 1e3).toFixed(1)} kB` : `${(n / 1e6).toFixed(1)} MB`);
const shortened = (text) => (text.length > FRAME_SHOWN ? `${text.slice(0, FRAME_SHOWN)}… (${bytes(text.length - FRAME_SHOWN)} more)` : text);

// ---------------------------------------------------------------------------------------------------- the stream

const FIRST_DELAY = 1_000;
const LONGEST_DELAY = 15_000;
const SILENCE = 45_000; // three heartbeats

/**
 * An event stream read by `fetch`, so that every byte can be shown.
 *
 *   idle → connecting → open → waiting → connecting → …      a broken connection
 *              └──────→ refused                              an answer that trying again would not change
 *
 * It resumes with `Last-Event-ID`, waits as long as the hub's `retry:` asks, longer with each failure, and ends by itself a
 * connection on which heartbeats have stopped.
 */
class Stream {
  #hooks;
  #running = false;
  #attempt = 0; // counts runs, so that what an ended one still does is ignored
  #abort = null;
  #wake = null;
  #failures = 0;
  #delay = FIRST_DELAY;
  #lastEventId = '';

  constructor(hooks) {
    this.#hooks = hooks;
  }

  start() {
    this.#running = true;
    this.#run(++this.#attempt);
  }

  stop() {
    this.#running = false;
    this.#attempt += 1;
    this.#abort?.abort();
    this.#wake?.();
    this.#hooks.onState('idle');
  }

  /** Ends a wait early; starts again after a refusal. */
  retryNow() {
    if (this.#wake) this.#wake();
    else if (this.#running && !this.#abort) this.start();
  }

  async #run(attempt) {
    const current = () => attempt === this.#attempt;
    let renewed = false;
    while (current()) {
      this.#hooks.onState(this.#failures ? 'waiting' : 'connecting', { seconds: 0 });
      let end = await this.#connect(current);
      this.#abort = null;
      if (!current()) return;
      if (end.status === 404 && !renewed) {
        renewed = true;
        try {
          await this.#hooks.onUnknown();
          continue;
        } catch (error) {
          end = { why: error.message };
        }
      }
      renewed = false;
      if (end.refused) {
        this.#hooks.onState('refused', end);
        return;
      }
      await this.#wait(end, current);
    }
  }

  async #connect(current) {
    const abort = new AbortController();
    this.#abort = abort;
    const { path, headers } = this.#hooks.request();
    const resume = this.#lastEventId ? { 'last-event-id': this.#lastEventId } : {};
    this.#hooks.onLine(`GET ${path}${this.#lastEventId ? `\nLast-Event-ID: ${this.#lastEventId}` : ''}`);
    let watch;
    try {
      const response = await fetch(path, {
        headers: { accept: 'text/event-stream', ...headers, ...resume }, cache: 'no-store', signal: abort.signal,
      });
      if (!current()) return {};
      this.#hooks.onLine(`${response.status} ${response.headers.get('content-type') ?? ''}`.trim());
      if (response.status !== 200) return await this.#declined(response);
      if (!response.headers.get('content-type')?.startsWith('text/event-stream')) {
        abort.abort();
        return { refused: true, why: 'What answers at this address is not an event stream.' };
      }

      this.#failures = 0;
      this.#hooks.onState('open');
      this.#hooks.onOpen();
      let heard = performance.now();
      let beats = false; // silence means something only where there were heartbeats
      watch = setInterval(() => { if (beats && performance.now() - heard > SILENCE) abort.abort(); }, 1_000);

      const parser = new SseParser((frame) => {
        if (!current()) return;
        beats ||= frame.lines.some((line) => line.startsWith(':'));
        if (frame.retry !== undefined) this.#delay = frame.retry;
        this.#lastEventId = frame.id;
        this.#hooks.onFrame(frame);
      }, this.#lastEventId);
      const decoder = new TextDecoder();
      const reader = response.body.getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done || !current()) return { why: 'the hub closed it' };
        heard = performance.now();
        this.#hooks.onBytes(value.byteLength);
        parser.push(decoder.decode(value, { stream: true }));
      }
    } catch (error) {
      abort.abort();
      return { why: error instanceof FrameTooLong ? error.message : '' };
    } finally {
      clearInterval(watch);
    }
  }

  /** An answer other than 200: some are worth another try. */
  async #declined(response) {
    if (response.status === 204) return { refused: true, status: 204, why: 'This hub was closed and takes no more listeners.' };
    const error = HubError.from(response, await response.text());
    const after = Number.parseInt(response.headers.get('retry-after') ?? '', 10);
    const passing = response.status >= 500 || response.status === 429;
    return { refused: !passing, status: response.status, why: error.message, after: Number.isNaN(after) ? undefined : after * 1_000 };
  }

  async #wait(end, current) {
    const grown = Math.min(LONGEST_DELAY, this.#delay * 2 ** this.#failures);
    // Spread, so that the listeners of a restarted hub do not return all at once.
    const delay = end.after ?? Math.max(this.#delay, grown * (0.5 + Math.random() / 2));
    this.#failures += 1;
    const until = performance.now() + delay;
    const woken = new Promise((resolve) => { this.#wake = resolve; });
    const tell = () => {
      if (current()) this.#hooks.onState('waiting', { seconds: Math.ceil((until - performance.now()) / 1_000), why: end.why });
    };
    tell();
    const ticking = setInterval(tell, 1_000);
    const timer = setTimeout(() => this.#wake?.(), delay);
    await woken;
    this.#wake = null;
    clearInterval(ticking);
    clearTimeout(timer);
  }
}

// ---------------------------------------------------------------------------------------------------- the wire format

const LONGEST_FRAME = 8_000_000;

/**
 * Server-Sent Events, by the WHATWG text (section 9.2.6), from text in pieces of any size.
 *
 * `onFrame` is called at each blank line that ends something: with the lines as they came, and with what they mean. Lines end
 * with LF, CR or CRLF, also where a piece ends between the two. A frame cut off by the end of the stream is dropped,
 * and so is its `id`.
 */
export class SseParser {
  #onFrame;
  #line = '';
  #size = 0;
  #skipLf = false;
  #id;
  #frame;

  constructor(onFrame, lastEventId = '') {
    this.#onFrame = onFrame;
    this.#id = lastEventId;
    this.#frame = blankFrame();
  }

  push(text) {
    if (text === '') return;
    let from = this.#skipLf && text[0] === '\n' ? 1 : 0;
    this.#skipLf = false;
    const ends = /\r\n?|\n/g;
    ends.lastIndex = from;
    for (let end = ends.exec(text); end; end = ends.exec(text)) {
      this.#size += ends.lastIndex - from;
      this.#endLine(this.#line + text.slice(from, end.index));
      this.#line = '';
      from = ends.lastIndex;
      this.#skipLf = end[0] === '\r' && from === text.length;
    }
    this.#line += text.slice(from);
    if (this.#size + this.#line.length > LONGEST_FRAME) throw new FrameTooLong('a frame was too long for this page');
  }

  #endLine(line) {
    const frame = this.#frame;
    if (line === '') {
      if (frame.lines.length > 0) this.#end(frame);
      this.#frame = blankFrame();
      this.#size = 0;
      return;
    }
    frame.lines.push(line);
    const colon = line.indexOf(':');
    if (colon === 0) return;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1);
    if (field === 'data') frame.parts.push(value);
    else if (field === 'event') frame.event = value;
    else if (field === 'id' && !value.includes('\0')) this.#id = value;
    else if (field === 'retry' && /^[0-9]+$/.test(value)) frame.retry = Number(value);
  }

  #end({ lines, parts, event, retry }) {
    this.#onFrame({
      lines,
      dispatched: parts.length > 0,
      event: event || 'message',
      data: parts.join('\n'),
      id: this.#id,
      retry,
    });
  }
}

const blankFrame = () => ({ lines: [], parts: [], event: '', retry: undefined });

class FrameTooLong extends Error {}

showCurl();
listListeners();
