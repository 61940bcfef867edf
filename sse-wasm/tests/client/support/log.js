// Events with numbers for ids, kept, so that who comes back is given what it missed.

export function startLog() {
  const events = [];
  const streams = new Set();
  let opened = 0;
  const write = (response, number) => response.write(`id: ${number}\nevent: ${number % 2 ? 'odd' : 'message'}\ndata: ${events[number - 1]}\n\n`);
  return {
    route(request, response) {
      opened += 1;
      response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
      response.write('retry: 50\n\n');
      const last = request.headers['last-event-id'];
      for (let number = last === undefined ? events.length + 1 : Number(last) + 1; number <= events.length; number++) write(response, number);
      streams.add(response);
      response.on('close', () => streams.delete(response));
    },
    publish(data) {
      events.push(data);
      for (const response of streams) write(response, events.length);
    },
    /** Ends all streams. */
    cut() {
      for (const response of streams) response.end();
      streams.clear();
    },
    get open() { return streams.size; },
    get opened() { return opened; },
  };
}
