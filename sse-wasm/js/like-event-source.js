// What everything that looks like an EventSource has in common.

export const CONNECTING = 0;
export const OPEN = 1;
export const CLOSED = 2;

/** Gives a class the constants, `onopen`, `onmessage` and `onerror`, and lets `using` close its objects. */
export function likeEventSource(target) {
  for (const [name, value] of Object.entries({ CONNECTING, OPEN, CLOSED })) {
    for (const object of [target, target.prototype]) Object.defineProperty(object, name, { value, enumerable: true });
  }
  for (const type of ['open', 'message', 'error']) Object.defineProperty(target.prototype, `on${type}`, handlerOf(type));
  for (const dispose of [Symbol.dispose, Symbol.asyncDispose].filter(Boolean)) {
    target.prototype[dispose] = function () {
      this.close();
    };
  }
}

/** The URL as the page resolves it. */
export function resolve(url) {
  const base = globalThis.document?.baseURI ?? globalThis.location?.href;
  try {
    return new URL(url, base).href;
  } catch {
    throw new DOMException(`"${url}" is not a URL`, 'SyntaxError');
  }
}

/** In workerd an EventTarget calls what stands under `on` and the type by itself. */
const hostCallsHandlers = (() => {
  const target = new EventTarget();
  let called = false;
  target.onprobe = () => { called = true; };
  target.dispatchEvent(new Event('probe'));
  return called;
})();

/** A handler keeps the place among the listeners that it was given first, until it is taken away. */
function handlerOf(type) {
  const handlers = new WeakMap();
  return {
    enumerable: true,
    configurable: true,
    get() {
      return handlers.get(this)?.handler ?? null;
    },
    set(handler) {
      const own = handlers.get(this);
      if (typeof handler !== 'function') {
        if (own) this.removeEventListener(type, own.listener);
        handlers.delete(this);
      } else if (own) {
        own.handler = handler;
      } else {
        const made = { handler, listener: (event) => made.handler.call(this, event) };
        handlers.set(this, made);
        if (!hostCallsHandlers) this.addEventListener(type, made.listener);
      }
    },
  };
}
