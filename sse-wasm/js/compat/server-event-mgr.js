// System M: npm `@aphorica/server-event-mgr`, its router and its manager's functions under their names.
//
// The engine has the ids, keys, tasks, frames and sweeps; the routes are the hub's.
import { STREAM_HEADERS } from '../hub/answer.js';
import { Guard } from '../hub/guard.js';
import { EngineHub } from '../hub/hub.js';
import { handleNode, openNode } from '../hub/node.js';
import { Routes, registrants } from '../hub/routes.js';

const ROUTES = [
  'make-id',
  'register-listener',
  'disconnect-registrant',
  'list-registrants',
  'clear-registrants',
  'trigger-cleanup',
  'trigger-adhoc',
  'trigger-ad-hoc',
];
/** What an application of the original answers itself. */
const TASK_ROUTES = ['submit-task', 'listen', 'tasks'];
const LISTENERS_CHANGED = 'listeners-changed';

/** A manager of its own. The default export is one that all who import it share. */
export function createManager(options = {}) {
  const { tasks, origins, resume = false, endOnDisconnect = false, maxBody = 1 << 20, requestTimeout = 30_000 } = options;
  const guard = new OpenGuard({ origins });
  const served = tasks ? [...ROUTES, ...TASK_ROUTES] : ROUTES;
  let made;
  let verbose = false;
  let prefix = '/sse/';
  let changedKey = '';

  const log = (words) => verbose && console.log(`SSE: ${words}`);

  /** Made when it is first needed. */
  function hub() {
    made ??= new EngineHub({
      tasks,
      limits: options.limits,
      heartbeat: options.heartbeat,
      writeStall: options.writeStall,
      dormantAfter: options.dormantAfter,
      sweepEvery: options.sweepEvery,
      idForm: options.idForm,
      age: options.age,
      payloads: options.payloads,
      eventIds: resume ? 'numbered' : 'given',
      retry: resume ? undefined : -1,
      listenersChanged: null,
      onConnect: ({ client, returning }) => log(`${short(client.id)} ${returning ? 'registered again' : 'registered'}`),
      onDisconnect: ({ client, reason }) => log(`a stream of ${short(client.id)} ended: ${reason ?? 'the peer left'}`),
      onExpire: ({ id }) => log(`${short(id)} was too old and is gone`),
    });
    return made;
  }

  return {
    get prefix() {
      return prefix;
    },

    get hub() {
      return hub();
    },

    createRouter(ownPrefix = prefix) {
      const routes = new Routes(hub(), { prefix: ownPrefix, endOnDisconnect, resume }, guard, served);
      prefix = ownPrefix;
      // Below the path that Express mounted the router at.
      return (request, response, next) =>
        handleNode(hub(), routes, request, response, next, { maxBody, requestTimeout }, request.url);
    },

    getUniqueID(name) {
      return hub().allocateId(String(name));
    },

    registerListener(id, response) {
      const { req } = response;
      const lastEventId = resume ? req?.headers['last-event-id'] : undefined;
      const registration = { client: String(id), greeting: 'registered', dialect: 'manager', replace: true, lastEventId };
      const cors = guard.headers('stream', { header: (name) => req?.headers[name] ?? null });
      openNode(hub(), registration, response, { ...STREAM_HEADERS, ...cors });
    },

    unregisterListener(id) {
      log(`${short(id)} is unregistered`);
      hub().unregister(String(id), { endStreams: endOnDisconnect });
    },

    unregisterAllListeners() {
      log('everyone is unregistered');
      hub().clear({ endStreams: endOnDisconnect });
    },

    isRegistered(id) {
      return hub().isRegistered(String(id));
    },

    addListenKey(id, listenKey) {
      hub().listen(String(id), String(listenKey));
    },

    getListenersJSON() {
      return registrants(hub());
    },

    notifyListeners(listenKey, usernames) {
      log(`notify ${listenKey}`);
      hub().notify(String(listenKey), { names: usernames });
    },

    async notifyCompletions(id, taskid) {
      log(`task ${taskid} of ${short(id)} completed`);
      hub().notifyCompletions(String(id), String(taskid));
      return true;
    },

    setNotifyListenersChanged(flag) {
      hub().announce(flag ? LISTENERS_CHANGED : null, { everybody: true });
    },

    notifyListenersChanged() {
      hub().notify(LISTENERS_CHANGED, { everybody: true });
    },

    get listenersChangedKey() {
      return changedKey;
    },

    set listenersChangedKey(key) {
      changedKey = key;
      hub().announce(key);
    },

    triggerAdHocResponse(id) {
      hub().notifyAdHoc(String(id));
    },

    triggerCleanup() {
      log('sweep');
      hub().sweep();
    },

    setVerbose(flag) {
      verbose = Boolean(flag);
    },

    close() {
      hub().close();
    },
  };
}

/** Whoever may reach the application may ask, as with the original: what is in front of the router decides. */
class OpenGuard extends Guard {
  refusal() {
    return null;
  }

  isOurs() {
    return true;
  }
}

/** An id as logs may show it: it is a capability. */
function short(id) {
  const [, name, suffix] = /^(.*_)?(.*)$/s.exec(String(id));
  const shown = (name ?? '').slice(0, 33) + suffix.slice(0, Math.min(4, suffix.length >> 1));
  return `${JSON.stringify(shown).slice(1, -1)}…`;
}

const manager = createManager();
export default manager;

export const {
  createRouter,
  getUniqueID,
  registerListener,
  unregisterListener,
  unregisterAllListeners,
  isRegistered,
  addListenKey,
  getListenersJSON,
  notifyListeners,
  notifyCompletions,
  setNotifyListenersChanged,
  notifyListenersChanged,
  triggerAdHocResponse,
  triggerCleanup,
  setVerbose,
} = manager;

/** For `require`, which gives the manager itself, as the original does. */
export { manager as 'module.exports' };
