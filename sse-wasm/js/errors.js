/** What the hub and the streams throw: `code` for programs, `field` to blame where there is one, `message` for people. */
export class SseError extends Error {
  constructor(code, message, field = '') {
    super(message);
    this.name = 'SseError';
    this.code = code;
    this.field = field;
  }
}
