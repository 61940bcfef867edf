// Web streams as outlets.
import { SseError } from '../errors.js';
import { checkSignal } from '../events.js';

/**
 * The stream of a registration. Nothing is enqueued that was not asked for: what a peer does not take stays in the engine's log,
 * where it costs nothing, and the engine ends who takes nothing for too long.
 */
export function streamOf(hub, registration, signal) {
  checkSignal(signal);
  let controller;
  let connection;
  const left = () => {
    hub.left(connection);
    outlet.end('left');
  };
  const outlet = {
    write(chunk) {
      try {
        controller.enqueue(chunk);
      } catch {
        queueMicrotask(left);
      }
    },
    end(reason) {
      signal?.removeEventListener('abort', left);
      try {
        if (reason === 'stalled') controller.error(new SseError('stalled', 'the peer took nothing for too long'));
        else if (reason === 'broken') controller.error(new SseError('broken', 'the hub is gone; come back'));
        else controller.close();
      } catch {
        // It ended by itself.
      }
    },
  };
  connection = hub.open(registration, outlet);
  const stream = new ReadableStream(
    {
      start(made) {
        controller = made;
      },
      // Never waits: a pull that finds nothing leaves `wants` set, and what is published later is enqueued by the hub.
      pull() {
        connection.wants = true;
        hub.fill(connection);
      },
      cancel: left,
    },
    { highWaterMark: 0 },
  );
  if (signal?.aborted) left();
  else signal?.addEventListener('abort', left, { once: true });
  return stream;
}
