/** What the hub and the streams throw: `code` for programs, `field` to blame where there is one, `message` for people. */
export class SseError extends Error {
  constructor(code, message, field = '') {
    super(message);
    this.name = 'SseError';
    this.code = code;
    this.field = field;
  }
}

/** Runs a call into the engine; what it throws as text becomes an {@link SseError}. A trap is passed on as it is. */
export function call(operation) {
  try {
    return operation();
  } catch (error) {
    if (typeof error !== 'string') throw error;
    const [code, field, ...message] = error.split('\n');
    throw new SseError(code, message.join('\n'), field);
  }
}
